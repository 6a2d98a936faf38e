"""What the study loop costs per evaluation, beside Optuna's and pymoo's NSGA-II, in one run.

    python benchmarks/overhead.py              # 1,000 and 10,000 evaluations
    python benchmarks/overhead.py --sizes 1000

A free objective on 24 ordered genes with 8 choices each, two objectives, so that everything that is
measured is overhead. CPU seconds of this process, one thread; ratios are against ours in memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

from hwnas import Gene, Problem, Space, Study, measures

GENES, CHOICES, POPULATION = 24, 8, 50
SPACE = Space(tuple(Gene(f"net.g{j}", tuple(range(CHOICES))) for j in range(GENES)))


def losses(genomes: np.ndarray) -> np.ndarray:
    """Two objectives that pull every gene in opposite directions, some of them unevenly."""
    x = genomes / (CHOICES - 1)
    weights = np.linspace(0.5, 1.5, GENES)
    return np.stack([(weights * x**2).sum(axis=1), ((1 - x) ** 2).sum(axis=1)], axis=1)


@measures("left", "right", expense="free", batch=True)
def objectives(designs):
    """The same as an evaluator."""
    both = losses(designs.genomes)
    return {"left": both[:, 0], "right": both[:, 1]}


def ours(budget: int, storage: Path | None = None) -> np.ndarray:
    problem = Problem(SPACE, [objectives], ["left", "right"])
    options = {"population": POPULATION}
    study = Study(problem, "nsga2", budget=budget, seed=1, options=options, storage=storage)
    for _ in study.run():
        pass
    return study.history.front_losses


def ours_stored(budget: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        return ours(budget, Path(folder) / "study.journal")


def pymoo(budget: int) -> np.ndarray:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    class Free(PymooProblem):
        def __init__(self) -> None:
            super().__init__(n_var=GENES, n_obj=2, xl=0, xu=CHOICES - 1, vtype=int)

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = losses(x)

    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    return minimize(Free(), algorithm, ("n_eval", budget), seed=1).F


def optuna(budget: int) -> np.ndarray:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=1)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)

    def objective(trial):
        genome = [trial.suggest_int(f"g{j}", 0, CHOICES - 1) for j in range(GENES)]
        return tuple(losses(np.array([genome]))[0])

    study.optimize(objective, n_trials=budget)
    return np.array([t.values for t in study.get_trials(deepcopy=False)])


METHODS: dict[str, Callable[[int], np.ndarray]] = {
    "hwnas, in memory": ours,
    "hwnas, journal on disk": ours_stored,
    "pymoo NSGA-II": pymoo,
    "Optuna NSGA-II, in memory": optuna,
}


def main() -> None:
    import moocore

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    sizes = parser.parse_args().sizes
    for method in METHODS.values():
        method(100)  # imports and caches
    worst = losses(np.array([[0] * GENES, [CHOICES - 1] * GENES])).max(axis=0)
    print(f"{'':28}{'evaluations':>12}{'ms each':>10}{'ratio':>8}{'hypervolume':>13}")
    for size in sizes:
        base = 0.0
        for name, method in METHODS.items():
            start = time.process_time()
            found = method(size)
            each = 1e3 * (time.process_time() - start) / size
            base = base or each
            volume = moocore.hypervolume(found, ref=worst) / worst.prod()
            print(f"{name:28}{size:12}{each:10.3f}{each / base:8.1f}{volume:13.4f}", flush=True)


if __name__ == "__main__":
    main()
