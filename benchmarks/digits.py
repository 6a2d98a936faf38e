"""Grey-box search against NSGA-II where every error is that of a real training, on 8 x 8 digits.

    python benchmarks/digits.py --seeds 10

All 1,026 settings of network and bits of a small space are trained once with quantisation (6 epochs
of `training`, about a second each) and kept in runs/digits/errors.csv; a table that is not whole is
gone on with. So ten seeds of three searchers train nothing twice: they see an evaluator that looks
errors up, the accelerators of the quickstart, and its objectives. As everything was trained, the
true front is known, and volumes are shares of its own.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import pandas as pd
import problems
from joblib import Parallel, delayed

from evaluators.systolic import Systolic
from hwnas import BitsPerCell, Problem, SkipNet, Space, Study, SystolicArray, evaluation
from hwnas.design import Designs
from hwnas.exact import solve
from hwnas.space import keys
from hwnas.yardstick import Yardstick

SETTINGS: Space = (
    SkipNet(
        cells=(1, 2),
        layers_per_cell=(2, 3),
        widths=(1, 2, 3),
        skip_channels=(0, 8),
        skips=("concat",),
    ).space()
    + BitsPerCell(cells=2, weight_bits=(2, 4, 8), activation_bits=(4, 8)).space()
)
OBJECTIVES = ("error", "energy", "latency")
CONSTRAINTS = ("area <= 0.3 mm2",)
EPOCHS = 6
CHECKPOINTS = (20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)
BUDGETS = {"greybox": 100, "nsga2": 1000, "random": 200}


def table(file: Path, workers: int) -> pd.DataFrame:
    """Genomes and trained errors of all settings; what is missing is trained."""
    from evaluators.training import Training

    genomes = np.unique(SETTINGS.canonical(SETTINGS.rows()), axis=0)
    columns = list(SETTINGS.names)
    known = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=[*columns, "error"])
    met = set(map(tuple, known[columns].to_numpy(np.int64).tolist()))
    missing = np.array([row for row in genomes.tolist() if tuple(row) not in met], np.int64)
    if len(missing):
        print(f"{len(missing)} of {len(genomes)} settings are to be trained", flush=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        parallel = evaluation.Parallel(Training(epochs=EPOCHS), workers)
        for chunk in np.array_split(missing, -(-len(missing) // 50)):
            answer = parallel.evaluate(Designs(SETTINGS, chunk, 0))
            rows = pd.DataFrame(chunk, columns=columns).assign(error=answer["error"])
            rows.to_csv(file, mode="a", header=not file.exists(), index=False)
        parallel.close()
    return pd.read_csv(file)


def problem(errors: pd.DataFrame) -> Problem:
    """The joint problem; a training that diverged is as wrong as a guess."""
    genomes = errors[list(SETTINGS.names)].to_numpy(np.int64)
    found = dict(zip(keys(genomes), errors["error"].fillna(0.9), strict=True))

    def error(designs: Designs) -> np.ndarray:
        rows = designs.space.canonical(designs.genomes)
        rows = rows[:, designs.space.columns_of("net", "quant")]
        return np.array([found[key] for key in keys(np.ascontiguousarray(rows))])

    space = SETTINGS + SystolicArray().space()
    return Problem(space, [problems.Error(error), Systolic()], OBJECTIVES, CONSTRAINTS)


def shares(errors: pd.DataFrame, searcher: str, seed: int, front: np.ndarray) -> list[float]:
    """Shares of the true front's hypervolume at the checkpoints; NaN beyond the budget."""
    box = Yardstick.spanning(front, {})
    whole = box.hypervolume(front)
    study = Study(problem(errors), searcher, budget=BUDGETS[searcher], seed=seed)
    reached = dict.fromkeys(CHECKPOINTS, np.nan)
    for progress in study.run():
        share = box.hypervolume(study.history.front_losses) / whole
        for checkpoint in CHECKPOINTS:
            if progress.evaluations <= checkpoint <= BUDGETS[searcher]:
                reached[checkpoint] = share
    return list(reached.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", type=Path, default=Path("runs/digits/errors.csv"))
    parser.add_argument("--only-table", action="store_true", help="train, and compare nothing")
    given = parser.parse_args()
    errors = table(given.table, given.workers)
    if given.only_table:
        return
    front = solve(problem(errors), measure_costly=True).losses
    print(f"the true front has {len(front)} designs; trainings:")
    print(f"{'':10}" + "".join(f"{c:>20}" for c in CHECKPOINTS))
    for searcher in BUDGETS:
        runs = Parallel(n_jobs=given.workers)(
            delayed(shares)(errors, searcher, seed, front) for seed in range(given.seeds)
        )
        quartiles = np.quantile(runs, [0.25, 0.5, 0.75], axis=0).T
        cells = "".join(f"{m:.3f} {a:.3f}-{b:.3f}".rjust(20) for a, m, b in quartiles)
        print(f"{searcher:10}{cells}", flush=True)


if __name__ == "__main__":
    main()
