"""A free objective on ordered genes, and NSGA-II of ours, of pymoo and of Optuna on it.

Everything that is measured there is what the searcher and its loop cost.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hwnas import Gene, Problem, Space, Study, measures
from hwnas.metrics import Measurements
from hwnas.searchers.nsga2 import NSGA2


@dataclass(frozen=True)
class FreeObjective:
    """Two objectives that pull every gene in opposite directions, some of them unevenly.

    Every method searches with NSGA-II and returns losses, ``(j, 2)``, at least those of the front.
    """

    genes: int
    choices: int
    population: int

    def losses(self, genomes: np.ndarray) -> np.ndarray:
        x = genomes / (self.choices - 1)
        weights = np.linspace(0.5, 1.5, self.genes)
        return np.stack([(weights * x**2).sum(axis=1), ((1 - x) ** 2).sum(axis=1)], axis=1)

    def volume(self, losses: np.ndarray) -> float:
        """The share of the box between the origin and the worst losses that is dominated."""
        import moocore

        worst = self.losses(np.array([[0], [self.choices - 1]]).repeat(self.genes, 1)).max(axis=0)
        return float(moocore.hypervolume(losses, ref=worst) / worst.prod())

    @cached_property
    def problem(self) -> Problem:
        @measures("left", "right", expense="free", batch=True)
        def objectives(designs):
            """The same as an evaluator."""
            both = self.losses(designs.genomes)
            return {"left": both[:, 0], "right": both[:, 1]}

        genes = (Gene(f"net.g{j}", tuple(range(self.choices))) for j in range(self.genes))
        return Problem(Space(tuple(genes)), [objectives], ["left", "right"])

    def ours(self, budget: int, seed: int = 1, storage: Path | None = None) -> np.ndarray:
        """The whole study: history, progress, hypervolume, and a storage if one is given."""
        options = {"population": self.population}
        study = Study(
            self.problem, "nsga2", budget=budget, seed=seed, options=options, storage=storage
        )
        for _ in study.run():
            pass
        return study.history.front_losses

    def ours_stored(self, budget: int, seed: int = 1) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            return self.ours(budget, seed, Path(folder) / "study.journal")

    def asked_and_told(self, budget: int, seed: int = 1) -> np.ndarray:
        """The searcher alone, as the others' loops are: ask, compute, tell."""
        searcher = NSGA2(self.problem, seed=seed, budget=budget, population=self.population)
        while (left := budget - len(searcher.told)) > 0:
            genomes = searcher.ask(min(left, self.population))
            both = self.losses(genomes)
            columns = {"left": both[:, 0], "right": both[:, 1]}
            searcher.tell(genomes, Measurements.of(tuple(self.problem.metrics.values()), columns))
        return searcher.told.losses

    def pymoo(self, budget: int, seed: int = 1) -> np.ndarray:
        from pymoo.algorithms.moo import nsga2 as peer
        from pymoo.core.problem import Problem as PymooProblem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.operators.sampling.rnd import IntegerRandomSampling
        from pymoo.optimize import minimize

        free = self

        class Free(PymooProblem):
            def __init__(self) -> None:
                super().__init__(n_var=free.genes, n_obj=2, xl=0, xu=free.choices - 1, vtype=int)

            def _evaluate(self, x, out, *args, **kwargs):
                out["F"] = free.losses(x)

        algorithm = peer.NSGA2(
            pop_size=self.population,
            sampling=IntegerRandomSampling(),
            crossover=SBX(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
            mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
            eliminate_duplicates=True,
        )
        return minimize(Free(), algorithm, ("n_eval", budget), seed=seed).F

    def optuna(self, budget: int, seed: int = 1) -> np.ndarray:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed)
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)

        def objective(trial):
            genome = [trial.suggest_int(f"g{j}", 0, self.choices - 1) for j in range(self.genes)]
            return tuple(self.losses(np.array([genome]))[0])

        study.optimize(objective, n_trials=budget)
        return np.array([t.values for t in study.get_trials(deepcopy=False)])
