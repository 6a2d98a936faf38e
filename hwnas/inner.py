"""Inner fronts: for given outer parts of a design, the best that the remaining parts can do.

Accelerators are the usual inner part: for every network and its bits, the free metrics of all of
them are known at once, so the only ones that matter are those on the front of the free objectives.

Symbols: ``o`` outer designs, ``i`` inner ones, ``f`` objectives that inner parts decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import pairwise

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.cost_classes import CostClasses
from hwnas.design.designs import Designs
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.pairing import Against, against
from hwnas.problem import Problem, nondominated
from hwnas.space import Space, unique
from hwnas.space.operators import crossover, mutate

_ENUMERABLE = 20_000
_CELLS = 1_000_000
"""Cells of a grid in memory at a time."""
_BINS = 32
_REPRESENTATIVES = 16
_LAYERS = 20
_ENOUGH = 400
_ROUNDS = 20
_CHILDREN = 1024
_STRANGERS = 256
"""Random designs that join every round, so that a search without luck starts anew."""
_SEARCHED = 4096
"""Inner designs at most that a search keeps."""


@dataclass(frozen=True, eq=False)
class InnerFront:
    """What inner designs can do for one outer design, worse ones left out.

    Attributes:
        places: Rows among the inner designs, ``int64 (j,)``.
        losses: Their losses in the inner objectives, ``(j, f)``; they do not dominate each other.
    """

    places: Ints
    losses: Floats


class InnerFronts:
    """The inner fronts of a problem, computed when asked for, once per cost class.

    A cost class are outer designs whose inner objectives coincide for every inner design: see
    `hwnas.cost_classes`.

    Args:
        problem: The problem.
        inner: The inner parts of the genome; may be none. One that the activity of an outer gene
            depends on is taken to be outer.
        evaluators: Who measures the inner objectives, and nothing else that counts.
        seed: Seed of the search where there are too many inner designs.
        limit: The largest number of inner designs that is enumerated; beyond, they are searched.

    Attributes:
        problem: The problem.
        evaluators: Who measures.
        outer_parts: The outer parts, in the order of the space.
        inner_parts: The inner parts, likewise.
        outer_columns: Their columns in the joint genome, ``(d_o,)``.
        inner_columns: Likewise, ``(d_i,)``.
        objectives: The objectives that inner parts decide, as indices, ``f`` of them.
        constraints: The constraints that are settled here, as indices.
        size: The number of inner designs.
        exact: Whether all of them are enumerated.
        fronts: The fronts found so far, one per cost class; see `labels`.
        failure: Why a design could not be measured, if one could not; it counts as infeasible.
    """

    def __init__(
        self,
        problem: Problem,
        inner: Sequence[str],
        evaluators: Iterable[Evaluator],
        *,
        seed: int = 0,
        limit: int = _ENUMERABLE,
    ) -> None:
        space = problem.space
        self.problem = problem
        self.evaluators = tuple(evaluators)
        self.inner_parts = _settled_inside(space, inner)
        self.outer_parts = tuple(p for p in space.part_names if p not in self.inner_parts)
        self.outer_columns = space.columns_of(*self.outer_parts)
        self.inner_columns = space.columns_of(*self.inner_parts)
        known = {m.name for e in self.evaluators for m in e.metrics}
        self.objectives = _decided(known, [o.node.metrics for o in problem.objectives])
        self.constraints = _decided(known, [c.metrics for c in problem.constraints])
        self.seed = seed
        self.size = self.inner_space.size()
        self.exact = self.size <= limit
        self.fronts: list[InnerFront] = []
        self.failure = ""
        self._label_of: dict[int, int] = {}

    @cached_property
    def classes(self) -> CostClasses:
        """The cost classes of outer designs."""
        return CostClasses(self.problem.space, self.outer_parts, self.evaluators)

    @cached_property
    def outer_space(self) -> Space:
        """The space of the outer parts."""
        return self.problem.space.part(*self.outer_parts)

    @cached_property
    def inner_space(self) -> Space:
        """The space of the inner parts."""
        return self.problem.space.part(*self.inner_parts)

    @cached_property
    def inner_rows(self) -> Ints:
        """The inner designs that count, ``int64 (i, d_i)``."""
        if not self.inner_parts or not self.evaluators:  # one does as well as any other
            return np.zeros((1, len(self.inner_columns)), dtype=np.int64)
        return self.inner_space.rows() if self.exact else self._searched()

    @cached_property
    def _against(self) -> list[Against]:
        return self._laid(self.inner_rows)

    def _laid(self, inner: Ints) -> list[Against]:
        designs = Designs(self.inner_space, inner)
        needed = [self.problem.objectives[j].node.metrics for j in self.objectives]
        needed += [self.problem.constraints[j].metrics for j in self.constraints]
        names = frozenset().union(*needed)
        return [against(e, self.problem.space, designs, names) for e in self.evaluators]

    def labels(self, outer: Ints) -> Ints:
        """The cost class of each outer design, as its place in `fronts`, ``int64 (o,)``.

        Args:
            outer: ``int64 (o, d_o)``.
        """
        numbers, first, which = np.unique(
            self.classes.of(outer), return_index=True, return_inverse=True
        )
        new = [i for i, number in enumerate(numbers.tolist()) if number not in self._label_of]
        if new:
            order = self.classes.grouped(numbers[new])
            rows = zip(numbers[new][order].tolist(), first[new][order].tolist(), strict=True)
            self._add(dict(rows), outer)
        labels = np.array([self._label_of[number] for number in numbers.tolist()], dtype=np.int64)
        return labels[which]

    def _add(self, new: dict[int, int], outer: Ints) -> None:
        names, rows = list(new), np.array(list(new.values()), dtype=np.int64)
        step = max(1, _CELLS // max(1, len(self.inner_rows)))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            losses, usable = self._losses(outer[rows[some]], self._against)
            for name, front in zip(names[some], _fronts(losses, usable), strict=True):
                self._label_of[name] = len(self.fronts)
                self.fronts.append(front)

    def _losses(self, outer: Ints, laid: list[Against]) -> tuple[Floats, Bools]:
        """Losses of a grid in the inner objectives, ``(f, o, i)``, and what is not ruled out.

        Losses are infinite where the grid, ``(o, i)``, is ruled out.
        """
        designs = Designs(self.outer_space, outer)
        if not laid:
            return np.zeros((0, len(outer), 1)), np.ones((len(outer), 1), dtype=np.bool_)
        whole = reduce(Grid.beside, (measure(designs) for measure in laid))
        self.failure = self.failure or whole.failure
        losses = np.empty((len(self.objectives), *whole.feasible.shape))
        usable: Bools = whole.feasible.copy()
        with np.errstate(all="ignore"):
            for place, j in enumerate(self.objectives):
                objective = self.problem.objectives[j]
                losses[place] = objective.values(whole.columns) * self.problem.signs[j]
            for j in self.constraints:
                # What has no value is not met either, and NaN compares as False.
                usable &= self.problem.constraints[j].violation(whole.columns) <= 0
            for place in range(len(self.objectives)):
                usable &= np.isfinite(losses[place])
        if not usable.all():
            losses[:, ~usable] = np.inf
        return losses, usable

    def genomes(self, outer: Ints, places: Ints) -> Ints:
        """The whole genomes of one outer design with some inner ones, ``int64 (j, d)``.

        Args:
            outer: ``int64 (d_o,)``, or one for each inner design, ``(j, d_o)``.
            places: Rows among `inner_rows`, ``(j,)``.
        """
        rows = np.zeros((len(places), len(self.problem.space)), dtype=np.int64)
        rows[:, self.outer_columns] = outer
        rows[:, self.inner_columns] = self.inner_rows[places]
        return self.problem.space.canonical(rows)

    def _searched(self) -> Ints:
        """Inner designs that are good for a few outer ones, found by evolution.

        What suits one network suits its likes, so they are shared by all outer designs.
        """
        rng = np.random.default_rng((self.seed, self.size % 2**32))
        space = self.inner_space
        outer = self._representatives(rng)
        best = np.empty((0, len(space)), dtype=np.int64)
        children = space.sample(2 * _CHILDREN, rng)
        for _ in range(_ROUNDS):
            rows = np.concatenate([best, children])
            rows = rows[unique(rows)[0]]
            kept = _layers(*self._losses(outer, self._laid(rows)))
            best = rows[rng.permutation(kept)[:_SEARCHED]]
            children = space.sample(_STRANGERS, rng)
            if len(best):
                one, other = best[rng.integers(0, len(best), size=(2, _CHILDREN))]
                bred = mutate(crossover(one, other, rng, 0.5), space, rng)
                children = space.canonical(np.concatenate([bred, children]))
        return best if len(best) else children

    def _representatives(self, rng: np.random.Generator) -> Ints:
        """Outer designs that differ: the two ends of the space, and random ones."""
        space = self.outer_space
        ends = np.stack([np.zeros_like(space.cardinalities), space.cardinalities - 1])
        rows = np.concatenate([space.canonical(ends), space.sample(_REPRESENTATIVES - 2, rng)])
        return rows[unique(rows)[0]]


def _settled_inside(space: Space, inner: Sequence[str]) -> tuple[str, ...]:
    """The inner parts, less those that decide whether genes outside of them are active."""
    part = {gene.name: gene.part for gene in space.genes}
    left = [name for name in space.part_names if name in inner]
    while True:
        asked = {
            part[w.gene] for g in space.genes if g.part not in left for w in g.when
            if w.gene in part
        }  # fmt: skip
        if not asked & set(left):
            return tuple(left)
        left = [name for name in left if name not in asked]


def _decided(known: set[str], needed: Sequence[frozenset[str]]) -> tuple[int, ...]:
    return tuple(j for j, metrics in enumerate(needed) if metrics <= known)


def _fronts(losses: Floats, usable: Bools) -> list[InnerFront]:
    """The fronts of ``(f, o, i)`` losses among usable cells ``(o, i)``, equal losses once."""
    if not len(losses):
        firsts = (np.flatnonzero(row)[:1] for row in usable)
        return [InnerFront(first, np.empty((len(first), 0))) for first in firsts]
    if len(losses) <= 2:
        return _planar(losses)
    alive = _undominated_by_pivots(losses, _scales(losses)[1], range(len(losses) + 1))
    fronts = []
    for row, left in enumerate(alive):
        places = np.flatnonzero(left)
        some = np.ascontiguousarray(losses[:, row, places].T)
        kept = nondominated(some)
        kept = kept[np.sort(unique_rows(some[kept]))]
        fronts.append(InnerFront(places[kept], some[kept]))
    return fronts


def _planar(losses: Floats) -> list[InnerFront]:
    """The fronts of one or two objectives, ``(f, o, i)``, of all rows in one pass.

    Sorted by the first objective, what stays has less of the last one than everything before it.
    """
    low, weight = _scales(losses)
    alive = _undominated_by_pivots(losses, weight, [len(losses)])
    flat = np.flatnonzero(alive)
    rows, places = np.divmod(flat, alive.shape[1])
    first, last = losses[0].reshape(-1)[flat], losses[-1].reshape(-1)[flat]
    # What has a smaller first objective by a bin, and no more of the last one, dominates.
    bins = np.minimum((first - low[0, rows]) * (_BINS * weight[0, rows]), _BINS).astype(np.int64)
    bins += rows * (_BINS + 2)
    best = np.full((len(alive), _BINS + 2), np.inf)
    np.minimum.at(best.reshape(-1), bins + 1, last)
    np.minimum.accumulate(best, axis=1, out=best)
    left = np.flatnonzero(last < best.reshape(-1)[bins])
    rows, places, first, last = rows[left], places[left], first[left], last[left]
    order = np.lexsort((last, first, rows))
    values, rank = np.unique(last, return_inverse=True)
    # All of a row rank below all rows before it, so that minima begin anew with each row.
    height = rank.reshape(-1)[order] - (len(values) + 1) * rows[order]
    lowest = np.minimum.accumulate(height)
    kept = np.sort(order[np.r_[True, height[1:] < lowest[:-1]][: len(order)]])
    ends = np.searchsorted(rows[kept], np.arange(len(alive) + 1)).tolist()
    places = places[kept]
    cells = np.ascontiguousarray(losses[:, rows[kept], places].T)
    return [InnerFront(places[a:b], cells[a:b]) for a, b in pairwise(ends)]


def _layers(losses: Floats, usable: Bools) -> Ints:
    """Inner designs of the first fronts of any outer design, ``(j,)``.

    What is second best for one is often best for another.
    """
    left, free = losses.copy(), usable.copy()
    found = np.empty(0, dtype=np.int64)
    for _ in range(_LAYERS):
        for row, front in enumerate(_fronts(left, free)):
            left[:, row, front.places], free[row, front.places] = np.inf, False
            found = np.append(found, front.places)
        found = np.unique(found)
        if len(found) >= _ENOUGH:
            break
    return found


def _scales(losses: Floats) -> tuple[Floats, Floats]:
    """Of each objective in each row, its least value and about the inverse of its span, ``(f, o)``.

    The span is that of some of the cells.
    """
    low = losses.min(axis=2)
    some = losses[:, :, :: max(1, losses.shape[2] // 64)]
    with np.errstate(invalid="ignore"):
        span = np.where(np.isfinite(some), some, -np.inf).max(axis=2) - low
    return low, 1.0 / np.where(np.isfinite(span) & (span > 0), span, 1.0)


def _undominated_by_pivots(losses: Floats, weight: Floats, heavy: Iterable[int]) -> Bools:
    """Most of what is dominated falls to a few good compromises, ``bool (o, i)``: what is left.

    Args:
        losses: ``(f, o, i)``.
        weight: See `_scales`.
        heavy: Which objective counts most, per compromise; ``f`` is none of them.
    """
    f, o, i = losses.shape
    alive: Bools = np.isfinite(losses[0])
    for one in heavy:
        score = np.zeros((o, i))
        for j in range(f):
            score += losses[j] * (weight[j] * (4.0 if j == one else 1.0))[:, None]
        pivot = np.argmin(score, axis=1)
        worse = np.ones((o, i), dtype=np.bool_)
        for j in range(f):
            worse &= losses[j] >= losses[j][np.arange(o), pivot][:, None]
        worse[np.arange(o), pivot] = False
        alive &= ~worse
    return alive


def unique_rows(losses: Floats) -> Ints:
    """The first of each different row, ``(j,)``."""
    first: Ints = np.unique(losses, axis=0, return_index=True)[1]
    return first
