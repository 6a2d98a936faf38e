"""NSGA-III: many objectives, kept apart by reference directions.

Source: Deb, Jain, "An Evolutionary Many-Objective Optimization Algorithm Using
Reference-Point-Based Nondominated Sorting Approach, Part I", IEEE Transactions on Evolutionary
Computation 18(4), 2014. The algorithm is pymoo's, with this project's operators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from pymoo.algorithms.moo.nsga3 import NSGA3 as PYMOO_NSGA3
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.reference_direction import UniformReferenceDirectionFactory

from hwnas.arrays import Floats, Ints
from hwnas.problem import Problem
from hwnas.searchers.options import at_least, population_for, probability
from hwnas.searchers.pymoo_algorithm import PymooSearcher, operators

_FEW: Final = 3


class NSGA3(PymooSearcher):
    """pymoo's NSGA-III on the flat genome.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        population: Size of the population and of a generation, and the largest number of
            reference directions. Left out: the square root of the budget, between 12 and 200.
        crossover: Probability that two parents are crossed.
    """

    name: ClassVar[str] = "nsga3"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        population: int | None = None,
        crossover: float = 0.9,
    ) -> None:
        size = population_for(budget) if population is None else population
        at_least(2, self.name, population=size)
        probability(self.name, crossover=crossover)
        self.crossover = crossover
        self.directions = directions(len(problem.objectives), size)

        def build() -> Any:
            return PYMOO_NSGA3(
                self.directions,
                pop_size=max(size, len(self.directions)),
                selection=TournamentSelection(func_comp=less_violation),
                **operators(problem.space, crossover),
            )

        super().__init__(problem, build, seed=seed, budget=budget)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"population": self.population, "crossover": self.crossover}


def less_violation(pop: Any, pairs: Any, random_state: Any, **_: Any) -> Ints:
    """Who wins a tournament: less violation, else chance.

    pymoo's own comparison draws ties of violation from a stream that no seed reaches.

    Args:
        pop: The population.
        pairs: Who meets whom, ``int (n, 2)``.
        random_state: The random stream.

    Returns:
        ``int64 (n, 1)``.
    """
    violation = pop.get("CV")[:, 0][pairs]
    chance = random_state.integers(0, 2, size=len(pairs))
    equal = violation[:, 0] == violation[:, 1]
    winner = np.where(equal, chance, violation.argmin(axis=1))
    return np.asarray(pairs[np.arange(len(pairs)), winner][:, None], dtype=np.int64)


def directions(m: int, n: int) -> Floats:
    """Directions spread evenly over the unit simplex, by Das and Dennis.

    From four objectives on, where few directions all lie on the simplex's boundary, a second,
    inner layer of half the size is added, as Deb and Jain do.

    Args:
        m: How many objectives.
        n: How many directions at most; but the ``m`` axes are always there.

    Returns:
        ``(j, m)``, rows add up to 1.
    """
    outer = _partitions(m, n)
    points = _das_dennis(m, outer)
    if m <= _FEW or outer >= m:
        return points
    left = n - len(points)
    if left < m:
        return points
    inner = _das_dennis(m, min(_partitions(m, left), outer))
    return np.concatenate([points, 0.5 * inner + 0.5 / m])


def _partitions(m: int, n: int) -> int:
    """The largest number of partitions that gives at most ``n`` directions; at least 1."""
    if m == 1:
        return 1
    partitions = 1
    while math.comb(partitions + m, m - 1) <= n:
        partitions += 1
    return partitions


def _das_dennis(m: int, partitions: int) -> Floats:
    points: Floats = UniformReferenceDirectionFactory(m, n_partitions=partitions).do()
    return points
