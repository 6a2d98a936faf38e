"""What the study loop costs per evaluation, beside Optuna's and pymoo's NSGA-II, in one run.

    python benchmarks/overhead.py              # 1,000 and 10,000 evaluations
    python benchmarks/overhead.py --sizes 1000

A free objective on 24 ordered genes with 8 choices each, two objectives, so that everything that is
measured is overhead. CPU seconds of this process, one thread; ratios are against ours in memory.
"""

from __future__ import annotations

import argparse
import os
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

from free_objective import FreeObjective

FREE = FreeObjective(genes=24, choices=8, population=50)
METHODS = {
    "hwnas, in memory": FREE.ours,
    "hwnas, journal on disk": FREE.ours_stored,
    "pymoo NSGA-II": FREE.pymoo,
    "Optuna NSGA-II, in memory": FREE.optuna,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    sizes = parser.parse_args().sizes
    for method in METHODS.values():
        method(100)  # imports and caches
    print(f"{'':28}{'evaluations':>12}{'ms each':>10}{'ratio':>8}{'hypervolume':>13}")
    for size in sizes:
        base = 0.0
        for name, method in METHODS.items():
            start = time.process_time()
            found = method(size)
            each = 1e3 * (time.process_time() - start) / size
            base = base or each
            volume = FREE.volume(found)
            print(f"{name:28}{size:12}{each:10.3f}{each / base:8.1f}{volume:13.4f}", flush=True)


if __name__ == "__main__":
    main()
