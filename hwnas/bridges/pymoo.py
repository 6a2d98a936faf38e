"""Our problems for pymoo."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas.problem import Problem
from hwnas.searchers.pymoo_algorithm import Shape, operators, outcome

__all__ = ["operators", "to_pymoo"]


def to_pymoo(problem: Problem, seed: int = 0) -> PymooDesigns:
    """A problem that pymoo can minimise.

    Example:
        >>> from pymoo.algorithms.moo.nsga2 import NSGA2
        >>> from pymoo.optimize import minimize
        >>> from hwnas.bridges.pymoo import operators, to_pymoo
        >>> from hwnas.testing import toys
        >>> problem = toys.joint()
        >>> algorithm = NSGA2(20, **operators(problem.space))
        >>> result = minimize(to_pymoo(problem), algorithm, ("n_eval", 100), seed=1)
        >>> front = problem.designs(result.X)

    Args:
        problem: The problem.
        seed: The study's seed, from which stochastic evaluators derive theirs.
    """
    return PymooDesigns(problem, seed)


class PymooDesigns(Shape):
    """Designs as vectors of choice indices, evaluated a whole population at once.

    ``F`` are the losses (all minimised), ``G`` the constraints, at most 0 where met, each in units
    of its bound, and one more that designs without values violate by far; see `outcome`. Losses
    without a value are a huge number. Algorithms without support for constraints refuse it.

    Args:
        problem: The problem.
        seed: The study's seed.
    """

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        super().__init__(problem)
        self.hwnas = problem
        self.seed = seed

    def _evaluate(self, x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
        rows = np.rint(np.asarray(x, dtype=np.float64)).astype(np.int64)
        measured = self.hwnas.evaluate(self.hwnas.designs(rows, self.seed))
        out["F"], out["G"] = outcome(self.hwnas, measured)
