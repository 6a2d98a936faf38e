"""MOEA/D: many scalar problems, one per direction, that learn from their neighbours.

Sources: Zhang, Li, "MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition", IEEE
Transactions on Evolutionary Computation 11(6), 2007; bounded replacement from Li, Zhang, same
journal 13(2), 2009; global replacement from Wang, Zhang, Zhou, Gong, Jiao, "Adaptive Replacement
Strategies for MOEA/D", IEEE Transactions on Cybernetics 46(2), 2016.

pymoo's MOEA/D knows no constraints and learns only what it has just proposed, so this is our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.errors import SearcherError
from hwnas.problem import Problem
from hwnas.searchers.breeding import offspring
from hwnas.searchers.interface import Searcher
from hwnas.searchers.nsga3 import directions
from hwnas.searchers.options import at_least, population_for, probability
from hwnas.space.operators import crossover, mutate

_NEARBY: Final = 0.9
"""Probability that both parents are neighbours (Li and Zhang 2009, delta)."""

_LEAST_WEIGHT: Final = 1e-6


class MOEAD(Searcher):
    """MOEA/D with Tchebycheff decomposition, constraints, and rows from anywhere.

    Each direction keeps one design. A row told, whoever proposed it, competes for the direction
    that it suits best and for that direction's neighbours (global replacement): less violation
    wins, then the smaller scalar loss. Losses are scaled to the box of the designs kept.

    Args:
        problem: See `Searcher`; at least two objectives.
        seed: See `Searcher`.
        budget: See `Searcher`.
        population: The largest number of directions. Left out: the square root of the budget,
            between 12 and 200. Also how many random designs come first.
        neighbours: How many nearest directions are neighbours, itself among them. Left out: a
            fifth of the directions, at least 3.
        replaced: How many designs one row may replace.
        crossover: Probability that two parents are crossed.

    Raises:
        SearcherError: There is one objective only, or an option is impossible.
    """

    name: ClassVar[str] = "moead"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        population: int | None = None,
        neighbours: int | None = None,
        replaced: int = 2,
        crossover: float = 0.9,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        m = len(problem.objectives)
        if m < 2:
            raise SearcherError(
                "there is nothing to decompose",
                where="searcher moead",
                rule="at least two objectives",
                given=str(m),
                cure="use another searcher, e.g. regularized_evolution or nsga2",
            )
        wanted = population_for(budget) if population is None else population
        at_least(2, self.name, population=wanted)
        if neighbours is not None:
            at_least(2, self.name, neighbours=neighbours)
        at_least(1, self.name, replaced=replaced)
        probability(self.name, crossover=crossover)
        self.directions = np.maximum(directions(m, wanted), _LEAST_WEIGHT)
        n = len(self.directions)
        self.population = wanted
        self.neighbours = min(n, max(3, n // 5) if neighbours is None else neighbours)
        self.replaced = replaced
        self.crossover = crossover
        apart = np.linalg.norm(self.directions[:, None] - self.directions[None], axis=2)
        # Row k: the directions from the nearest to k (itself) to the farthest, (N, T).
        self._near = np.argsort(apart, axis=1, kind="stable")[:, : self.neighbours]
        self._kept = np.full(n, -1)
        self._losses = np.full((n, m), np.inf)
        self._violation = np.full(n, np.inf)
        self._ideal = np.full(m, np.inf)
        self._read = 0

    @property
    def batch(self) -> int:
        """One child per direction."""
        return len(self.directions)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {
            "population": self.population,
            "neighbours": self.neighbours,
            "replaced": self.replaced,
            "crossover": self.crossover,
        }

    @property
    def kept(self) -> Ints:
        """The design that each direction keeps, as a row told, ``int64 (N,)``; -1 for none yet."""
        self._update()
        return self._kept.copy()

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` children of the designs kept; see `Searcher.ask`."""
        self._update()
        rng = self.rng()
        ready = len(self.told) >= len(self.directions)
        breed = partial(self._breed, rng) if ready else None
        return offspring(self.told, self.problem.space, n, rng, breed)

    def _update(self) -> None:
        while self._read < len(self.told):
            self._compete(self._read)
            self._read += 1

    def _breed(self, rng: np.random.Generator, n: int) -> Ints:
        """One child for each of ``n`` directions, which take turns, ``int64 (n, d)``."""
        many = len(self.directions)
        turns = -(-n // many)
        turn = np.concatenate([rng.permutation(many) for _ in range(turns)])[:n]
        near = self._near[turn][np.arange(n), rng.integers(0, self.neighbours, size=(2, n))]
        anyone = rng.integers(0, many, size=(2, n))
        first, second = self._kept[np.where(rng.random(n) < _NEARBY, near, anyone)]
        genomes = self.told.genomes
        children = crossover(genomes[first], genomes[second], rng, self.crossover)
        return mutate(children, self.problem.space, rng)

    def _compete(self, row: int) -> None:
        """Lets one row told replace designs that are worse than it."""
        losses, violation = self.told.losses[row], self.told.violation[row]
        empty = np.flatnonzero(self._kept < 0)
        if not np.isfinite(losses).all() or violation > 0:
            # Without losses it suits no direction; it may only drive out what violates more.
            worst = empty[0] if empty.size else np.argmax(self._violation)
            if empty.size or violation < self._violation[worst]:
                self._keep(np.array([worst]), row, np.full_like(losses, np.inf), violation)
            return
        self._ideal = np.minimum(self._ideal, losses)
        scalar = self._scalar(np.broadcast_to(losses, self._losses.shape), losses)
        near = self._near[int(np.argmin(scalar))]
        theirs = self._scalar(self._losses, losses)[near]
        worse = (self._violation[near] > 0) | (theirs > scalar[near])
        self._keep(near[worse][: self.replaced], row, losses, 0.0)
        if empty.size:
            self._keep(empty[[np.argmin(scalar[empty])]], row, losses, 0.0)

    def _scalar(self, losses: Floats, newcomer: Floats) -> Floats:
        """Tchebycheff losses (Zhang and Li 2007, equation 7) of one design per direction, ``(N,)``.

        They are scaled to the box of the designs kept and the newcomer, and divided by the
        weights, not multiplied, so that the best point for a direction lies on it.
        """
        kept = np.where(np.isfinite(self._losses), self._losses, -np.inf).max(axis=0)
        span = np.maximum(kept, newcomer) - self._ideal
        scaled = (losses - self._ideal) / np.where(span > 0, span, 1.0)
        scalar: Floats = (scaled / self.directions).max(axis=1)
        return scalar

    def _keep(self, places: Ints, row: int, losses: Floats, violation: float) -> None:
        self._kept[places] = row
        self._losses[places] = losses
        self._violation[places] = violation
