"""Regularised (ageing) evolution for several objectives.

Source: Real, Aggarwal, Huang, Le, "Regularized evolution for image classifier architecture
search", AAAI 2019: the oldest dies, not the worst. There the accuracy decides a tournament. Here
the nondominated rank does, then the crowding distance: random scalarisations would need the
losses' scales, and would not favour the gaps of the front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Ints
from hwnas.problem import Problem
from hwnas.searchers.breeding import offspring
from hwnas.searchers.interface import Searcher
from hwnas.searchers.nsga2 import survivors
from hwnas.searchers.options import at_least
from hwnas.space.operators import mutate


class RegularizedEvolution(Searcher):
    """Mutates winners of tournaments among the designs told last.

    Feasible designs win against infeasible ones, these in the order of their violations. The front
    is that of the whole history; the population may lose it, which is what keeps it moving.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        population: How many designs live, the last ones told. Left out: the square root of the
            budget, between 30 and 100.
        tournament: How many of them compete to be a parent.

    Raises:
        SearcherError: ``population`` is less than 2, or ``tournament`` less than 1.
    """

    name: ClassVar[str] = "regularized_evolution"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        population: int | None = None,
        tournament: int = 10,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        if population is None:
            population = min(100, max(30, round(math.sqrt(budget or 2500))))
        at_least(2, self.name, population=population)
        at_least(1, self.name, tournament=tournament)
        self.population = population
        self.tournament = tournament

    @property
    def batch(self) -> int:
        """Few, as every child may be a parent of the next ones."""
        return min(8, self.population)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"population": self.population, "tournament": self.tournament}

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` children, random designs at first; see `Searcher.ask`."""
        rng = self.rng()
        parents = self._living()
        breed = partial(self._breed, parents, rng) if len(parents) else None
        return offspring(self.told, self.problem.space, n, rng, breed)

    def _breed(self, parents: Ints, rng: np.random.Generator, n: int) -> Ints:
        # `parents` is sorted from best to worst, so a tournament is won by the smallest place.
        places = rng.integers(0, len(parents), size=(n, self.tournament)).min(axis=1)
        return mutate(self.told.genomes[parents[places]], self.problem.space, rng)

    def _living(self) -> Ints:
        """The youngest designs, best first, as rows told; none before there are enough."""
        count = len(self.told)
        if count < self.population:
            return np.empty(0, dtype=np.int64)
        young = np.arange(count - self.population, count)
        order = survivors(self.told.losses[young], self.told.violation[young], self.population)
        return np.asarray(young[order])
