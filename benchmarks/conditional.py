"""A conditional space with an exactly known front: our NSGA-II beside Optuna's.

    python benchmarks/conditional.py                    # 2,000 evaluations, 10 seeds
    python benchmarks/conditional.py --budget 500 --seeds 3

The toy problem `conditional`: 1 to 12 layers, each active one with a width, a kernel and bits of
its own, 1.6e17 designs, minimising an error and a cost; its front follows by dynamic programming.
Optuna's define-by-run samples a layer's genes only where the layer is there, which is how people
write such spaces; "all suggested" always samples all 37.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

from hwnas import Study
from hwnas.problem import nondominated
from hwnas.testing import toys

PROBLEM = toys.conditional()
SPACE = PROBLEM.space
LAYERS = 12


def ours(budget: int, seed: int) -> np.ndarray:
    study = Study(PROBLEM, "nsga2", budget=budget, seed=seed)
    for _ in study.run():
        pass
    return PROBLEM.losses(study.history.rows.measurements)


def optuna_losses(budget: int, seed: int, *, everything: bool) -> np.ndarray:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(seed=seed)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    told: list[np.ndarray] = []

    def objective(trial):
        depth = trial.suggest_int("layers", 1, LAYERS)
        genome = np.zeros((1, len(SPACE)), dtype=np.int64)
        genome[0, 0] = depth - 1
        for j in range(1, len(SPACE) if everything else 1 + 3 * depth):
            genome[0, j] = trial.suggest_int(SPACE.names[j], 0, int(SPACE.cardinalities[j]) - 1)
        losses = PROBLEM.losses(PROBLEM.evaluate(PROBLEM.designs(genome)))[0]
        told.append(losses)
        return tuple(losses)

    study.optimize(objective, n_trials=budget)
    return np.array(told)


def define_by_run(budget: int, seed: int) -> np.ndarray:
    return optuna_losses(budget, seed, everything=False)


def all_suggested(budget: int, seed: int) -> np.ndarray:
    return optuna_losses(budget, seed, everything=True)


METHODS: dict[str, Callable[[int, int], np.ndarray]] = {
    "hwnas NSGA-II": ours,
    "Optuna NSGA-II, define-by-run": define_by_run,
    "Optuna NSGA-II, all suggested": all_suggested,
}


def volume(losses: np.ndarray, reference: np.ndarray, logarithmic: bool) -> float:
    import moocore

    front = losses[nondominated(losses)]
    front = front[(front < reference).all(axis=1)]
    if logarithmic:
        front, reference = np.log10(front), np.log10(reference)
    return float(moocore.hypervolume(front, ref=reference)) if len(front) else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    exact = toys.conditional_front()
    drawn = PROBLEM.designs(SPACE.sample(10_000, np.random.default_rng(0)))
    median = np.median(PROBLEM.losses(PROBLEM.evaluate(drawn)), axis=0)
    corner = exact.max(axis=0) * (1 + 1e-9)
    measures = {
        "median": (median, False),
        "corner": (corner, False),
        "corner, log": (corner, True),
    }
    print(f"{arguments.budget:,} evaluations; hypervolume over that of the exact front, against")
    print(
        f"  median: the median of 10,000 random designs in both losses {median.round(4).tolist()}"
    )
    print(f"  corner: the worst losses on the exact front {corner.round(4).tolist()}")
    print(f"{'':31}{'runs':>5}" + "".join(f"{name:>13}{'ratio':>8}" for name in measures), end="")
    print(f"{'CPU s':>8}")
    base: dict[str, float] = {}
    for name, method in METHODS.items():
        start = time.process_time()
        runs = [method(arguments.budget, seed) for seed in range(arguments.seeds)]
        seconds = (time.process_time() - start) / len(runs)
        line = f"{name:31}{len(runs):5}"
        for key, (reference, logarithmic) in measures.items():
            whole = volume(exact, reference, logarithmic)
            share = float(np.median([volume(r, reference, logarithmic) for r in runs])) / whole
            base.setdefault(key, share)
            line += f"{share:13.4f}{base[key] / share:8.2f}"
        print(f"{line}{seconds:8.2f}", flush=True)
    print("ratio: ours over it")


if __name__ == "__main__":
    main()
