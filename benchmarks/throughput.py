"""Evaluations per second of NSGA-II on a free objective: ours, pymoo's and Optuna's, in one run.

    python benchmarks/throughput.py            # 10,000 evaluations, 3 seeds (Optuna: 1)
    python benchmarks/throughput.py --without optuna

35 ordered genes with 16 choices each, two objectives, the same population for all. The figure is
CPU time of this process, one thread; medians over the seeds. Hypervolume is the share of the box
between the origin and the worst losses; of pymoo's it is that of the final population, of the
others that of everything evaluated. Factor: how many times as fast ours is, the whole study
and the searcher alone.
"""

from __future__ import annotations

import argparse
import os
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from free_objective import FreeObjective

FREE = FreeObjective(genes=35, choices=16, population=100)
METHODS = {
    "study": ("hwnas, Study.run", FREE.ours),
    "searcher": ("hwnas, ask and tell", FREE.asked_and_told),
    "pymoo": ("pymoo NSGA2, integers", FREE.pymoo),
    "optuna": ("Optuna NSGAIISampler", FREE.optuna),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--without", nargs="*", default=[], choices=METHODS)
    arguments = parser.parse_args()
    budget = arguments.budget
    chosen = {key: METHODS[key] for key in METHODS if key not in arguments.without}
    for _, method in chosen.values():
        method(2 * FREE.population)  # imports and caches
    speeds: dict[str, float] = {}
    print(
        f"{'':24}{'runs':>5}{'CPU s':>9}{'per second':>12}{'x by study':>12}{'x by searcher':>15}"
        f"{'hypervolume':>13}{'mean':>9}{'sd':>8}"
    )
    for key, (name, method) in chosen.items():
        seconds, volumes = [], []
        for seed in range(1 if key == "optuna" else arguments.seeds):
            start = time.process_time()
            found = method(budget, seed)
            seconds.append(time.process_time() - start)
            volumes.append(FREE.volume(found))
        speeds[key] = budget / float(np.median(seconds))
        factors = [speeds.get(ours, np.nan) / speeds[key] for ours in ("study", "searcher")]
        print(
            f"{name:24}{len(seconds):5}{np.median(seconds):9.2f}{speeds[key]:12,.0f}"
            f"{factors[0]:12.2f}{factors[1]:15.2f}{np.median(volumes):13.4f}"
            f"{np.mean(volumes):9.4f}{np.std(volumes):8.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
