"""Grey-box search with and without a lower fidelity, on the joint problem of NAS-Bench-201.

    python benchmarks/early.py --seeds 10

The published accuracies after 12 of 200 epochs cost 0.06 evaluations each. Shares of the exact
front's hypervolume, median and quartiles, after so many evaluations' worth of training.
"""

from __future__ import annotations

import argparse
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import problems
from joblib import Parallel, delayed

from hwnas import Study
from hwnas.exact import solve
from hwnas.yardstick import Yardstick

CHECKPOINTS = (15, 20, 30, 40, 50, 75, 100)


def shares(early: bool, seed: int, front: np.ndarray) -> list[float]:
    """Shares of the exact front's hypervolume at the checkpoints."""
    box = Yardstick.spanning(front, {})
    whole = box.hypervolume(front)
    study = Study(problems.nas_bench_201(early=early), "greybox", budget=CHECKPOINTS[-1], seed=seed)
    reached = dict.fromkeys(CHECKPOINTS, 0.0)
    for progress in study.run():
        for checkpoint in CHECKPOINTS:
            if progress.evaluations <= checkpoint:
                reached[checkpoint] = box.hypervolume(study.history.front_losses) / whole
    return list(reached.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    front = solve(problems.nas_bench_201(), measure_costly=True).losses
    print(f"{'lower fidelity':16}" + "".join(f"{c:>22}" for c in CHECKPOINTS))
    for early in (False, True):
        runs = Parallel(n_jobs=given.jobs)(
            delayed(shares)(early, seed, front) for seed in range(given.seeds)
        )
        quartiles = np.quantile(runs, [0.25, 0.5, 0.75], axis=0).T
        cells = "".join(f"{m:.3f} {a:.3f}-{b:.3f}".rjust(22) for a, m, b in quartiles)
        print(f"{'0.06' if early else 'none':16}{cells}", flush=True)


if __name__ == "__main__":
    main()
