"""NSGA-II on the outer parts of the genome, with the exact front of the inner parts for each.

The outer parts are what costly evaluators read, e.g. network and bits; an individual stands for
all its accelerators at once. Nearest relatives: Deb, Sinha, "An efficient and accurate solution
methodology for bilevel multi-objective programming problems", Evolutionary Computation 18(3), 2010
(bilevel NSGA-II); Lin, Yang, Han, "NAAS", DAC 2021 (nested co-design). Selection by contribution
follows Beume, Naujoks, Emmerich, "SMS-EMOA", European Journal of Operational Research 181(3), 2007,
for groups of points.

Symbols: ``p`` individuals, ``k`` points, ``q`` samples of the hypervolume, ``m`` objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.inner import InnerFront
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem
from hwnas.searchers.greybox.anatomy import Anatomy
from hwnas.searchers.greybox.ledger import Ledger
from hwnas.searchers.interface import Searcher
from hwnas.searchers.options import at_least, population_for, probability
from hwnas.space.operators import perturb, recombine

_ROUNDS = 10
_ENUMERABLE = 100_000
_POINTS = 64
"""Points of an inner front at most that take part in selection."""
_SAMPLES = 1024


class BilevelNSGA2(Searcher):
    """NSGA-II on what costly evaluators read; everything that is free is exact.

    Each proposal is a setting of the outer parts with its inner front, up to ``siblings`` designs
    that share one costly evaluation, so `ask` may return more rows than asked for. An individual
    is as good as the best non-domination rank of its points; among equals, as the hypervolume that
    it alone dominates, losses replaced by their order. Where no part of the genome is free, it is
    NSGA-II with that selection.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        population: Size of the population and of a generation. Left out: the square root of the
            budget, between 12 and 200.
        crossover: Probability that two parents are crossed.
        siblings: Designs at most that share a costly evaluation.
        enumerate_inner: Up to how many inner designs all are enumerated; beyond, they are
            searched, and the inner fronts are as good as that search.

    Raises:
        SearcherError: An option is out of its range.
    """

    name: ClassVar[str] = "bilevel_nsga2"
    prunes: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        population: int | None = None,
        crossover: float = 0.9,
        siblings: int = 200,
        enumerate_inner: int = 20_000,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        self.population = population_for(budget) if population is None else population
        at_least(2, self.name, population=self.population)
        at_least(1, self.name, siblings=siblings, enumerate_inner=enumerate_inner)
        probability(self.name, crossover=crossover)
        self.crossover = crossover
        self.siblings = siblings
        self.enumerate_inner = enumerate_inner
        self.anatomy = Anatomy(problem, seed=seed, limit=enumerate_inner)
        self.fronts = self.anatomy.fronts
        self.space = self.fronts.outer_space
        self._ledger = Ledger(len(self.space), len(self.anatomy.open) + len(self.anatomy.limits))
        self._parents = np.empty(0, dtype=np.int64)
        self._generations_read = 0

    @property
    def batch(self) -> int:
        """One generation."""
        return self.population

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {
            "population": self.population,
            "crossover": self.crossover,
            "siblings": self.siblings,
            "enumerate_inner": self.enumerate_inner,
        }

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured; see `Searcher.tell`."""
        super().tell(genomes, measurements)
        tried = self.anatomy.tried(measurements)
        if self.fronts.inner_parts:
            # What was ruled out for its inner parts says nothing about its outer ones.
            tried &= measurements.reason != Reason.RULED_OUT
        rows = np.flatnonzero(tried)
        outer = self.problem.space.canonical(self.problem.space.check(genomes))
        outer = self.space.canonical(outer[:, self.fronts.outer_columns])
        self._ledger.add(outer[rows], self.anatomy.targets(measurements)[rows])

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` children, each with its inner designs; see `Searcher.ask`.

        Returns:
            Genomes with at most ``n`` different settings of the outer parts.
        """
        rng = self.rng()
        parents = self._ledger.outer[self._current()]
        rows = np.empty((0, len(self.space)), dtype=np.int64)
        for _ in range(_ROUNDS if len(parents) else 0):
            rows = self._joined(rows, self._bred(parents, n - len(rows), rng), n)
            if len(rows) == n:
                break
        for _ in range(_ROUNDS if len(rows) < n else 0):
            rows = self._joined(rows, self.space.sample(2 * n, rng), n)
            if len(rows) == n:
                break
        if len(rows) < n and self.space.size() <= _ENUMERABLE:
            rows = self._joined(rows, rng.permutation(self.space.rows(), axis=0), n)
        return self._with_siblings(rows)

    def _joined(self, rows: Ints, more: Ints, n: int) -> Ints:
        """Adds designs that are new and have inner ones, up to ``n`` in all."""
        both = np.concatenate([rows, self.space.canonical(more)])
        fresh = self._ledger.new(both)
        fresh[: len(rows)] = True
        both = both[fresh]
        labels = self.fronts.labels(both)
        possible = [len(self.fronts.fronts[label].places) > 0 for label in labels]
        return both[np.array(possible, dtype=np.bool_)][:n]

    def _bred(self, parents: Ints, n: int, rng: np.random.Generator) -> Ints:
        # Parents are sorted from best to worst, so a tournament is won by the smaller place.
        pairs = -(-n // 2)
        first, second = parents[rng.integers(0, len(parents), size=(2, pairs, 2)).min(axis=2)]
        children = recombine(first, second, self.space, rng, self.crossover)[:n]
        return perturb(children, self.space, rng)

    def _with_siblings(self, outer: Ints) -> Ints:
        rows = [np.empty((0, len(self.problem.space)), dtype=np.int64)]
        for row, label in zip(outer, self.fronts.labels(outer), strict=True):
            front = self.fronts.fronts[label]
            rows.append(self.fronts.genomes(row, front.places[_spread(front, self.siblings)]))
        proposed = np.concatenate(rows)
        return proposed[self.told.new(proposed)]

    def _current(self) -> Ints:
        """The population after the individuals tried so far, best first, as rows of the ledger.

        A generation is complete when ``population`` more were tried, however they came.
        """
        while len(self._ledger) >= (self._generations_read + 1) * self.population:
            start = self._generations_read * self.population
            rows = np.concatenate([self._parents, np.arange(start, start + self.population)])
            rng = np.random.default_rng((self.seed, self._generations_read))
            order = fittest(*self._individuals(rows), self.population, rng)
            self._parents = rows[order]
            self._generations_read += 1
        return self._parents

    def _individuals(self, rows: Ints) -> tuple[list[Floats], Floats]:
        """The points of individuals, and by how much they violate what has to be learnt."""
        outer, targets = self._ledger.outer[rows], self._ledger.targets[rows]
        u = len(self.anatomy.open)
        violation = np.maximum(targets[:, u:], 0.0).sum(axis=1)
        violation[~np.isfinite(targets).all(axis=1)] = np.inf
        points = []
        for row, label in zip(targets, self.fronts.labels(outer), strict=True):
            front = self.fronts.fronts[label]
            some = _spread(front, _POINTS)
            losses = np.empty((len(some), len(self.problem.objectives)))
            losses[:, self.anatomy.free] = front.losses[some]
            losses[:, self.anatomy.open] = row[:u]
            points.append(losses)
        return points, violation


def fittest(points: Sequence[Floats], violation: Floats, n: int, rng: np.random.Generator) -> Ints:
    """Chooses the next population of individuals that are whole fronts.

    Individuals come in the order of the best non-domination rank of their points; those of the
    last rank with room leave one by one, the one that alone dominates the least hypervolume first
    (estimated from samples; losses are replaced by their order).
    Those that violate a constraint or have no points come last.

    Args:
        points: The losses of each individual, ``(k_i, m)``, ``p`` of them.
        violation: ``(p,)``; 0 where all constraints are met.
        n: How many survive.
        rng: Of the samples by which hypervolumes are compared.

    Returns:
        Up to ``n`` individuals, best first.
    """
    import moocore

    usable = (violation <= 0) & np.array([len(losses) > 0 for losses in points], dtype=np.bool_)
    good = np.flatnonzero(usable)
    order: list[Ints] = []
    if good.size:
        fronts = [points[i] for i in good.tolist()]
        owner = np.repeat(np.arange(len(fronts)), [len(front) for front in fronts])
        ranks = moocore.pareto_rank(np.concatenate(fronts), maximise=False)
        best = np.full(len(good), np.iinfo(np.int64).max)
        np.minimum.at(best, owner, ranks)
        for rank in np.unique(best):
            alike = good[best == rank]
            masks = _dominated([points[i] for i in alike.tolist()], rng)
            order.append(alike[_by_contribution(masks)])
            if sum(map(len, order)) >= n:
                break
    others = np.flatnonzero(~usable)
    order.append(others[np.argsort(violation[others], kind="stable")])
    return np.concatenate(order)[:n]


def _dominated(points: Sequence[Floats], rng: np.random.Generator) -> Bools:
    """Which random points of their common box each front dominates, ``bool (p, q)``.

    Losses are replaced by their places in order, so that one that spans decades, as energies do,
    counts at its small end, too.
    """
    everything = np.concatenate(points)
    places = np.stack([np.unique(c, return_inverse=True)[1] for c in everything.T], axis=1)
    bounds = np.cumsum([len(losses) for losses in points])[:-1]
    # A box a little larger than the points lets the ends of a front count.
    high = 1.1 * places.max(axis=0) + 1.0
    samples = rng.uniform(0.0, 1.0, size=(_SAMPLES, places.shape[1])) * high
    return np.stack(
        [(own[:, None, :] <= samples).all(axis=2).any(axis=0) for own in np.split(places, bounds)]
    )


def _by_contribution(masks: Bools) -> Ints:
    """Sorted so that, from behind, each is the one that adds least to those before it, ``(p,)``."""
    left = np.arange(len(masks))
    removed: list[int] = []
    covered = masks.sum(axis=0)
    while len(left) > 1:
        alone = (masks[left] & (covered == 1)).sum(axis=1)
        # Of those that add nothing alone, the one that dominates least goes first.
        place = int(np.lexsort((masks[left].sum(axis=1), alone))[0])
        removed.append(int(left[place]))
        covered = covered - masks[left[place]]
        left = np.delete(left, place)
    return np.array([*left.tolist(), *removed[::-1]], dtype=np.int64)


def _spread(front: InnerFront, n: int) -> Ints:
    """Up to ``n`` points of a front, evenly along its first loss, as rows of it."""
    if len(front.places) <= n:
        return np.arange(len(front.places))
    order = np.argsort(front.losses[:, 0], kind="stable")
    even: Ints = order[np.linspace(0, len(order) - 1, n).round().astype(np.int64)]
    return even
