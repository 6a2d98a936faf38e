"""NSGA-II for genomes of choices, with constraints and without duplicates.

Source: Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm:
NSGA-II", IEEE Transactions on Evolutionary Computation 6(2), 2002. Ranks are moocore's, crowding
distances pymoo's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.problem import Problem
from hwnas.searchers.breeding import offspring
from hwnas.searchers.interface import Searcher
from hwnas.searchers.options import at_least, population_for, probability
from hwnas.space.operators import perturb, recombine


class NSGA2(Searcher):
    """Constrained NSGA-II on the flat genome.

    Feasible designs come before infeasible ones, these in the order of their violations. Whether
    a design is new is judged on its canonical form; sleeping genes are inherited as they are.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        population: Size of the population and of a generation. Left out: the square root of the
            budget, between 12 and 200 (small populations win at small budgets).
        crossover: Probability that two parents are crossed.
    """

    name: ClassVar[str] = "nsga2"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        population: int | None = None,
        crossover: float = 0.9,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        self.population = population_for(budget) if population is None else population
        at_least(2, self.name, population=self.population)
        probability(self.name, crossover=crossover)
        self.crossover = crossover
        self._parents = np.empty(0, dtype=np.int64)
        self._generations_read = 0
        self._crowding = np.empty(0)

    @property
    def batch(self) -> int:
        """One generation."""
        return self.population

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"population": self.population, "crossover": self.crossover}

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` children of the current population; see `Searcher.ask`."""
        rng = self.rng()
        parents = self._current()
        breed = partial(self._breed, parents, rng) if len(parents) else None
        return offspring(self.told, self.problem.space, n, rng, breed)

    def _breed(self, parents: Ints, rng: np.random.Generator, n: int) -> Ints:
        pairs = -(-n // 2)
        places = self._winners(parents, 2 * pairs, rng).reshape(2, pairs)
        first, second = self.told.genomes[parents[places]]
        space = self.problem.space
        children = recombine(first, second, space, rng, self.crossover)[:n]
        return perturb(children, space, rng)

    def _winners(self, parents: Ints, n: int, rng: np.random.Generator) -> Ints:
        """Winners of ``n`` tournaments of two, as places among the parents.

        A design wins against one that it dominates; else the less crowded one wins, whatever
        their ranks. Everybody takes part equally often.
        """
        rounds = -(-2 * n // len(parents))
        drawn = np.concatenate([rng.permutation(len(parents)) for _ in range(rounds)])
        # `parents` is sorted from best to worst: what dominates stands before what it dominates.
        one, other = np.sort(drawn[: 2 * n].reshape(2, n), axis=0)
        losses, crowding = self.told.losses[parents], self._crowding
        usable = np.isfinite(losses).all(axis=1) & (self.told.violation[parents] <= 0)
        dominates = (losses[one] <= losses[other]).all(axis=1) | ~usable[other]
        winners: Ints = np.where(dominates | (crowding[one] >= crowding[other]), one, other)
        return winners

    def _current(self) -> Ints:
        """The population after the generations told so far, best first, as rows told.

        A generation is complete when ``population`` more rows were told, however they came.
        """
        while len(self.told) >= (self._generations_read + 1) * self.population:
            start = self._generations_read * self.population
            newcomers = np.arange(start, start + self.population)
            rows = np.concatenate([self._parents, newcomers])
            order, self._crowding = _selected(
                self.told.losses[rows], self.told.violation[rows], self.population
            )
            self._parents = rows[order]
            self._generations_read += 1
        return self._parents


def survivors(losses: Floats, violation: Floats, n: int) -> Ints:
    """Chooses the next population.

    Args:
        losses: ``(j, m)``, to be minimised; infinite where infeasible.
        violation: Total violation, ``(j,)``; 0 where all constraints are met.
        n: How many survive.

    Returns:
        Up to ``n`` rows, best first: feasible ones by front and, within, by crowding distance;
        then the others by violation.
    """
    return _selected(losses, violation, n)[0]


def _selected(losses: Floats, violation: Floats, n: int) -> tuple[Ints, Floats]:
    """See `survivors`; and crowding distances, each in its whole front, 0 where infeasible."""
    import moocore
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    usable = np.isfinite(losses).all(axis=1) & (violation <= 0)
    feasible = np.flatnonzero(usable)
    distance = np.zeros(len(losses))
    order: list[Ints] = []
    if feasible.size:
        ranks = moocore.pareto_rank(losses[feasible], maximise=False)
        count = 0
        for rank in range(int(ranks.max()) + 1):
            front = feasible[ranks == rank]
            distance[front] = calc_crowding_distance(losses[front])
            order.append(front[np.argsort(-distance[front], kind="stable")])
            count += len(front)
            if count >= n:
                break
    others = np.flatnonzero(~usable)
    order.append(others[np.argsort(violation[others], kind="stable")])
    chosen = np.concatenate(order)[:n]
    return chosen, distance[chosen]
