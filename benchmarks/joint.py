"""Searchers on joint problems of network, bits and accelerator, and on one black box.

    python benchmarks/joint.py nas_bench_201
    python benchmarks/joint.py nas_bench_macro resnet18_bits nas_bench_201_int8 black_box

See `problems.py` for the problems. Volumes are shares of the exact front's where it can be
computed, else of the best front that is known (all runs, and long runs of NSGA-II where everything
is cheap here). An evaluation is one of accuracy, for a setting of network and bits that was not
measured before (of anything, on the black box). Finished runs are kept in runs/joint and not run
again; ``--fresh`` forgets them. Times are CPU seconds of one core, spent by the searcher itself.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import problems
from joblib import Parallel, delayed
from scipy.stats import wilcoxon

from hwnas import plugins
from hwnas.errors import ExactRefusedError
from hwnas.exact import solve
from hwnas.problem import nondominated
from hwnas.space import keys
from hwnas.yardstick import Yardstick

CHECKPOINTS = (50, 100, 200, 500, 1000, 2000, 5000)
BUDGETS = {
    "greybox": 500,
    "bilevel_nsga2": 500,
    "nsga2": 5000,
    "random": 500,
    "tpe": 200,
    "gp": 100,
}
"""Evaluations per searcher: as far as they are of interest, or as one can wait for."""
SHORT = {"black_box": 200}
"""Evaluations at most, per problem."""
SEEDS = {"gp": 3, "tpe": 5}
"""Seeds of searchers that take long, where not all ten are run."""
FOLDER = Path("runs/joint")


def budget_of(name: str, problem_name: str) -> int:
    return min(BUDGETS[name], SHORT.get(problem_name, BUDGETS[name]))


def front_of(losses: np.ndarray) -> np.ndarray:
    return losses[nondominated(losses)]


def search(name: str, problem_name: str, seed: int, budget: int) -> None:
    """One run; its fronts at the checkpoints, times, and bounds are written to a file."""
    file = FOLDER / problem_name / f"{name}-{seed}-{budget}.json"
    if file.exists():
        return
    problem = getattr(problems, problem_name)()
    searcher = plugins.load("hwnas.searchers", name)(problem, seed=seed, budget=budget)
    reads = frozenset().union(*(e.reads for e in problem.costly))
    columns = problem.space.columns_of(*problem.space.read_by(reads))
    measured: set[bytes] = set()
    front = np.empty((0, len(problem.objectives)))
    own, record, bounds, curve = 0.0, {}, [], []
    while len(measured) < budget:
        start = time.process_time()
        rows = searcher.ask(min(searcher.batch, budget - len(measured)))
        own += time.process_time() - start
        if not len(rows):
            break
        answer = problem.evaluate(problem.designs(rows))
        measured.update(keys(problem.space.canonical(rows)[:, columns]))
        good = problem.satisfied(answer)
        front = front_of(np.concatenate([front, problem.losses(answer)[good]]))
        start = time.process_time()
        searcher.tell(rows, answer)
        own += time.process_time() - start
        curve.append((len(measured), front.tolist() if len(measured) <= 500 else []))
        passed = [c for c in CHECKPOINTS if c <= len(measured) and str(c) not in record]
        for checkpoint in passed:
            record[str(checkpoint)] = {"front": front.tolist(), "own": own / len(measured)}
        start = time.process_time()
        bound = searcher.remaining()
        own += time.process_time() - start
        if bound is not None:
            bounds.append((len(measured), bound))
    file.parent.mkdir(parents=True, exist_ok=True)
    step = max(1, len(curve) // 100)
    whole = {"checkpoints": record, "bounds": bounds, "curve": curve[::step]}
    file.write_text(json.dumps(whole))


def exact(problem_name: str) -> tuple[np.ndarray | None, str]:
    problem = getattr(problems, problem_name)()
    file = FOLDER / problem_name / "exact.json"
    if file.exists():
        kept = json.loads(file.read_text())
        return np.array(kept["losses"]), kept["how"]
    try:
        start = time.process_time()
        found = solve(problem, measure_costly=True)
    except ExactRefusedError as error:
        return None, f"no exact front: {error.what}"
    spent = time.process_time() - start
    how = f"exact front: {len(found)} designs in {spent:.1f} CPU s; {found.how}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"losses": found.losses.tolist(), "how": how}))
    return found.losses, how


def long_runs(problem_name: str) -> np.ndarray:
    """What 3 x 80,000 evaluations of NSGA-II find: everything is cheap on synthetic problems."""
    file = FOLDER / problem_name / "long.json"
    if not file.exists():
        problem = getattr(problems, problem_name)()
        best = np.empty((0, len(problem.objectives)))
        for seed in range(3):
            searcher = plugins.load("hwnas.searchers", "nsga2")(problem, seed=seed, population=200)
            for _ in range(400):
                rows = searcher.ask(200)
                searcher.tell(rows, problem.evaluate(problem.designs(rows)))
            best = front_of(np.concatenate([best, searcher.told.losses]))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(best.tolist()))
    return np.array(json.loads(file.read_text()))


def table(problem_name: str, names: list[str], seeds: int) -> None:
    """Reads what was run and prints medians."""
    best, how = exact(problem_name)
    print(f"\n## {problem_name}: {how}")
    runs: dict[str, dict[int, dict]] = {}
    for name in names:
        for seed in range(min(seeds, SEEDS.get(name, seeds))):
            found = FOLDER / problem_name / f"{name}-{seed}-{budget_of(name, problem_name)}.json"
            if found.exists():
                runs.setdefault(name, {})[seed] = json.loads(found.read_text())
    if best is None:
        parts = [long_runs(problem_name)]
        for record in (r for some in runs.values() for r in some.values()):
            parts += [np.array(c["front"]) for c in record["checkpoints"].values()]
        best = front_of(np.concatenate(parts))
    box = Yardstick.spanning(best, {})
    whole = box.hypervolume(best)
    shares: dict[str, dict[int, dict[int, float]]] = {}
    for name, some in runs.items():
        for seed, record in some.items():
            shares.setdefault(name, {})[seed] = {
                int(c): box.hypervolume(np.array(r["front"])) / whole
                for c, r in record["checkpoints"].items()
            }
    print(
        f"{'searcher (seeds)':24}" + "".join(f"{c:>16,}" for c in CHECKPOINTS) + "  ms/evaluation"
    )
    for name, some in shares.items():
        line = f"{name} ({len(some)})".ljust(24)
        for checkpoint in CHECKPOINTS:
            values = [s[checkpoint] for s in some.values() if checkpoint in s]
            quartiles = np.quantile(values, [0.25, 0.5, 0.75]) if values else None
            text = "" if quartiles is None else "{1:.3f} {0:.2f}-{2:.2f}".format(*quartiles)
            line += f"{text:>16}"
        at = str(min(200, BUDGETS[name]))
        own = [r["checkpoints"][at]["own"] for r in runs[name].values() if at in r["checkpoints"]]
        print(line + f"{1e3 * np.median(own):12.1f} at {at}")
    tests(shares)
    calibration(runs.get("greybox", {}), box, whole)


def tests(shares: dict[str, dict[int, dict[int, float]]]) -> None:
    """Paired over seeds at 100 evaluations: the first searcher against each other."""
    (first, own), *others = shares.items()
    for name, theirs in others:
        pairs = [(own[s][100], theirs[s][100]) for s in own if s in theirs and 100 in theirs[s]]
        if not pairs:
            continue
        ours, other = np.array(pairs).T
        text = f"{first} - {name} at 100: {np.median(ours - other):+.3f} (median of {len(pairs)})"
        if len(pairs) >= 6 and np.any(ours != other):
            text += f", Wilcoxon p = {wilcoxon(ours, other).pvalue:.3g}"
        print(text)


def calibration(runs: dict[int, dict], box: Yardstick, whole: float) -> None:
    """How often the bound on what is left was right."""
    rows = []
    for record in runs.values():
        known = {count: np.array(front) for count, front in record["curve"] if front}
        for count, bound in record["bounds"]:
            if count in known:
                left = whole / max(box.hypervolume(known[count]), 1e-12) - 1.0
                rows.append((count, bound, left))
    if not rows:
        return
    counts, bounds, left = np.array(rows).T
    for low, high in ((0, 50), (50, 100), (100, 200), (200, 501)):
        some = (counts > low) & (counts <= high)
        if some.any():
            right = np.mean(left[some] <= bounds[some])
            print(
                f"certificate, {low}-{high} evaluations: right in {right:.0%} of {some.sum()} "
                f"steps; "
                f"median bound {np.median(bounds[some]):.1%}, left {np.median(left[some]):.1%}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="+")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--searchers", default="greybox,bilevel_nsga2,gp,tpe,nsga2,random")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    names = given.searchers.split(",")
    for problem_name in given.problems:
        if given.fresh:
            shutil.rmtree(FOLDER / problem_name, ignore_errors=True)
        todo = [
            (name, problem_name, seed, budget_of(name, problem_name))
            for name in names
            for seed in range(min(given.seeds, SEEDS.get(name, given.seeds)))
        ]
        Parallel(n_jobs=given.jobs)(delayed(search)(*one) for one in todo)
    for problem_name in given.problems:
        table(problem_name, names, given.seeds)


if __name__ == "__main__":
    main()
