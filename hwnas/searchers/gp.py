"""Bayesian optimisation with Gaussian processes, by Optuna's `GPSampler`.

Sources: Optuna's documentation of ``optuna.samplers.GPSampler``; Ament, Daulton, Eriksson,
Balandat, Bakshy, "Unexpected Improvements to Expected Improvement for Bayesian Optimization",
NeurIPS 2023; Daulton, Balandat, Bakshy, "Differentiable Expected Hypervolume Improvement for
Parallel Multi-Objective Bayesian Optimization", NeurIPS 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

from optuna.samplers import BaseSampler, GPSampler

from hwnas import plugins
from hwnas.problem import Problem
from hwnas.searchers.options import at_least
from hwnas.searchers.optuna_sampler import OptunaSearcher, constraint_options


class GP(OptunaSearcher):
    """Optuna's Gaussian processes on the joint genome, with expected hypervolume improvement.

    Good with few evaluations, and slow: about a second per design, more with many genes,
    objectives, constraints and rows told. Set ``OMP_NUM_THREADS=1`` where cores are shared. A
    Gaussian process needs one fixed space, so genes that sleep are drawn as well.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        batch: How many designs are asked for at once.
        startup: How many designs are drawn at random first.

    Raises:
        MissingExtraError: The package torch is not installed.
    """

    name: ClassVar[str] = "gp"
    needs: ClassVar[tuple[str, ...]] = ("torch",)
    tries: ClassVar[int] = 2  # it insists on what it thinks is best, and each try takes a second

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        batch: int = 1,
        startup: int = 10,
    ) -> None:
        if find_spec("torch") is None:
            raise plugins.missing_extra("searcher 'gp'", "torch")
        at_least(1, self.name, startup=startup)
        self.startup = startup
        self._exact = all(evaluator.deterministic for evaluator in problem.evaluators)
        super().__init__(problem, self._sampler, seed=seed, budget=budget, batch=batch, flat=True)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"batch": self.batch, "startup": self.startup}

    def _sampler(self, seed: int) -> BaseSampler:
        return GPSampler(
            seed=seed,
            n_startup_trials=self.startup,
            deterministic_objective=self._exact,
            warn_independent_sampling=False,
            **constraint_options(),
        )
