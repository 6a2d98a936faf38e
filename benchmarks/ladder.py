"""Successive halving over fidelities against searches that measure everything whole.

    python benchmarks/ladder.py --seeds 10

Problems, all of NAS-Bench-201 (CIFAR-10, published tables; 15,625 networks):

* `table`: error against the published latency on a Raspberry Pi 4; a network costs one evaluation,
  its accuracy after 12 of 200 epochs costs 0.06.
* `ladder`: the same with a third rung below: multiply-accumulates, for 0.002, stand in.
* `noise`: the same, but the third rung is drawn at random: it must be found out and skipped.
* `joint`: the joint problem of `benchmarks/early.py` (15 bit settings, 7,200 accelerators).

Shares of the exact front's hypervolume, median and quartiles, after so many evaluations' worth of
training; and in how many runs each lower rung was found not to rank.
"""

from __future__ import annotations

import argparse
import os
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import problems
from joblib import Parallel, delayed

from evaluators.counts import Macs
from evaluators.ladder import Ladder, Rung
from evaluators.tabular import TableMetric, Tabular
from hwnas import Goal, Metric, Problem, Study, measures
from hwnas.design.nas_bench_201 import OPERATORS, NASBench201
from hwnas.exact import solve
from hwnas.yardstick import Yardstick

CHECKPOINTS = (10, 20, 50, 100, 200)
SEARCHERS = {
    "random": ("random", {}),
    "nsga2": ("nsga2", {}),
    "mo_asha": ("mo_asha", {}),
    "mo_asha, no control": ("mo_asha", {"control": 0}),
    "mo_asha, random": ("mo_asha", {"new": "random"}),
    "mo_asha, crowding": ("mo_asha", {"spread": "crowding"}),
    "mo_asha, eta 2": ("mo_asha", {"eta": 2.0}),
    "mo_asha, eta 4": ("mo_asha", {"eta": 4.0}),
    "greybox": ("greybox", {}),
}


def _tabular(metrics, **options) -> Tabular:
    edges = ("e01", "e02", "e12", "e03", "e13", "e23")
    return Tabular(
        path=problems.data() / "nb201.parquet",
        keys={f"net.{edge}": f"op_{edge}" for edge in edges},
        values={name: place for place, name in enumerate(OPERATORS)},
        metrics=metrics,
        **options,
    )


@measures(Metric("luck", goal=Goal.MAXIMIZE), reads=("net",), batch=True)
def luck(designs):
    """The same for equal networks, and nothing to do with them."""
    seeds = designs.seeds("net", stream="luck")
    return np.array([np.random.default_rng(seed).random() for seed in seeds])


def table(lowest=None) -> Problem:
    whole = TableMetric("acc200_c10_test", complement=100, worst=1, best=0)
    error = _tabular({"error": whole}, fidelities={0.06: {"error": "acc12_c10_valid"}})
    latency = TableMetric("lat_hwnb_c10_raspi4", unit="ms")
    free = _tabular({"latency": latency}, expense="free")
    if lowest is not None:
        error = Ladder(rungs=[Rung(lowest, 0.002), Rung(error, fidelity=0.06), Rung(error)])
    return Problem(NASBench201().space(), [error, free], ["error", "latency"])


class _MoreIsBetter(Macs):
    """More multiply-accumulates, better networks: as crude a guess as there is."""

    metrics = (Metric("macs", goal=Goal.MAXIMIZE, worst=0.0),)


PROBLEMS = {
    "table": table,
    "ladder": lambda: table(_MoreIsBetter()),
    "noise": lambda: table(luck),
    "joint": problems.nas_bench_201_early,
}


def run(name: str, searcher: str, seed: int, front: np.ndarray):
    """Shares of the exact front's hypervolume, tau of each lower rung, CPU seconds."""
    box = Yardstick.spanning(front, {})
    whole = box.hypervolume(front)
    kind, options = SEARCHERS[searcher]
    study = Study(
        PROBLEMS[name](), kind, options=options, budget=CHECKPOINTS[-1], seed=seed, batch=4
    )
    reached = dict.fromkeys(CHECKPOINTS, 0.0)
    begun = time.process_time()
    for progress in study.run():
        for checkpoint in CHECKPOINTS:
            if progress.evaluations <= checkpoint:
                reached[checkpoint] = box.hypervolume(study.history.front_losses) / whole
    rungs = study.history.rungs
    return list(reached.values()), rungs, time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--searchers", nargs="+", default=list(SEARCHERS), choices=SEARCHERS)
    given = parser.parse_args()
    for name in given.problems:
        whole = problems.nas_bench_201() if name == "joint" else table()
        front = solve(whole, measure_costly=True).losses
        print(f"\n{name:20}" + "".join(f"{c:>18}" for c in CHECKPOINTS) + "   CPU s")
        for searcher in given.searchers:
            runs = Parallel(n_jobs=given.jobs)(
                delayed(run)(name, searcher, seed, front) for seed in range(given.seeds)
            )
            quartiles = np.quantile([r[0] for r in runs], [0.25, 0.5, 0.75], axis=0).T
            cells = "".join(f"{m:.3f} {a:.3f}-{b:.3f}".rjust(18) for a, m, b in quartiles)
            seconds = np.median([r[2] for r in runs])
            print(f"{searcher:20}{cells}{seconds:8.1f}", flush=True)
            for rungs in zip(*(r[1] for r in runs), strict=True):
                taus = [r.tau for r in rungs if r.tau is not None]
                if rungs[0].fidelity < 1 and taus:
                    skipped = sum(r.ranks is False for r in rungs)
                    measured = np.median([r.measured for r in rungs])
                    print(
                        f"  rung {rungs[0].fidelity:g}: {measured:.0f} measured, median tau "
                        f"{np.median(taus):.2f}, skipped in {skipped} of {len(rungs)} runs"
                    )


if __name__ == "__main__":
    main()
