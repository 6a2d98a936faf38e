"""How many accuracies of NAS-Bench-201 (CIFAR-10) a searcher asks for until it has the best.

    python benchmarks/queries.py

One objective, the table of 15,625 networks; two share the best accuracy, 94.373 %.
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

from hwnas import plugins

LIMITS = {"greybox": 300, "local_search": 2000, "regularized_evolution": 2000, "random": 2000}


def queries(name: str, seed: int) -> tuple[float, float]:
    """Evaluations until the optimum, infinite if not within the limit, and CPU seconds."""
    problem = problems.nas_bench_201_accuracy()
    everything = problem.evaluate(problem.designs(problem.space.rows()))
    best = everything["error"].min()
    searcher = plugins.load("hwnas.searchers", name)(problem, seed=seed, budget=150)
    spent, start = 0, time.process_time()
    while spent < LIMITS[name]:
        rows = searcher.ask(searcher.batch)
        answer = problem.evaluate(problem.designs(rows))
        hit = np.flatnonzero(answer["error"] <= best + 1e-12)
        if hit.size:
            return spent + int(hit[0]) + 1, time.process_time() - start
        spent += len(rows)
        searcher.tell(rows, answer)
    return np.inf, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--searchers", default=",".join(LIMITS))
    given = parser.parse_args()
    print(f"{'searcher':24}{'found':>8}{'median':>8}{'largest':>9}{'CPU s':>8}")
    for name in given.searchers.split(","):
        found = Parallel(n_jobs=2)(delayed(queries)(name, seed) for seed in range(given.seeds))
        counts, seconds = np.array(found).T
        share, longest = np.mean(np.isfinite(counts)), counts.max()
        median = np.median(counts)
        print(
            f"{name:24}{share:8.0%}{median:8.0f}{longest:9.0f}{np.median(seconds):8.1f}", flush=True
        )


if __name__ == "__main__":
    main()
