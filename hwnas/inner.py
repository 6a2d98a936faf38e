"""Inner fronts: for given outer parts of a design, the best that the remaining parts can do.

Accelerators are the usual inner part: for every network and its bits, the free metrics of all of
them are known at once, so the only ones that matter are those on the front of the free objectives.

Symbols: ``o`` outer designs, ``i`` inner ones, ``f`` objectives that inner parts decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.design.designs import Designs
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.pairing import Against, against
from hwnas.problem import Problem, nondominated
from hwnas.space import Space, keys, unique
from hwnas.space.operators import crossover, mutate

_ENUMERABLE = 20_000
_CELLS = 1_000_000
"""Cells of a grid in memory at a time."""
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
    `Evaluator.fingerprints`.

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
        self._label_of: dict[tuple[bytes, ...], int] = {}
        self._marks: list[dict[bytes, bytes]] = [{} for _ in self.outer_parts]

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
        marks = self.marks(outer)
        new: dict[tuple[bytes, ...], int] = {}
        for row, mark in enumerate(marks):
            if mark not in self._label_of:
                new.setdefault(mark, row)
        self._add(new, outer)
        return np.array([self._label_of[mark] for mark in marks], dtype=np.int64)

    def marks(self, outer: Ints) -> list[tuple[bytes, ...]]:
        """A hashable key per outer design, equal within a cost class."""
        if not self.evaluators:
            return [()] * len(outer)
        outer = self.outer_space.canonical(outer)
        # Designs may differ in which genes of other parts they wake up, whatever they cost alone.
        deciding = np.concatenate([outer, self.outer_space.active(outer)], axis=1)
        whole = [keys(deciding[:, self._deciding])]
        for place, part in enumerate(self.outer_parts if self.evaluators else ()):
            rows = outer[:, self.outer_space.columns_of(part)]
            names, known = keys(rows), self._marks[place]
            new = [i for i in unique(rows)[0] if names[i] not in known]
            if new:
                designs = Designs(self.outer_space.part(part), rows[new])
                marks = zip(*(e.fingerprints(designs) for e in self.evaluators), strict=True)
                for i, mark in zip(new, marks, strict=True):
                    known[names[i]] = b"".join(len(m).to_bytes(4) + m for m in mark)
            whole.append([known[name] for name in names])
        return list(zip(*whole, strict=True))

    @cached_property
    def _deciding(self) -> Ints:
        """Columns of outer values, then of activities, that conditions of other parts look at."""
        space = self.problem.space
        part = {gene.name: gene.part for gene in space.genes}
        asked = {w.gene for g in space.genes for w in g.when if part[w.gene] != g.part}
        where = np.flatnonzero([name in asked for name in self.outer_space.names])
        return np.concatenate([where, where + len(self.outer_space)])

    def _add(self, new: dict[tuple[bytes, ...], int], outer: Ints) -> None:
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
        losses[:, ~usable] = np.inf
        return losses, usable

    def genomes(self, outer: Ints, places: Ints) -> Ints:
        """The whole genomes of one outer design with some inner ones, ``int64 (j, d)``.

        Args:
            outer: ``int64 (d_o,)``.
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
    fronts = []
    for row, alive in enumerate(_undominated_by_pivots(losses)):
        places = np.flatnonzero(alive)
        some = np.ascontiguousarray(losses[:, row, places].T)
        kept = nondominated(some)
        kept = kept[np.sort(unique_rows(some[kept]))]
        fronts.append(InnerFront(places[kept], some[kept]))
    return fronts


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


def _undominated_by_pivots(losses: Floats) -> Bools:
    """Most of what is dominated falls to a few good compromises, ``bool (o, i)``: what is left."""
    f, o, i = losses.shape
    alive: Bools = np.isfinite(losses[0])
    low = losses.min(axis=2)
    some = losses[:, :, :: max(1, i // 64)]
    with np.errstate(invalid="ignore"):
        span = np.where(np.isfinite(some), some, -np.inf).max(axis=2) - low
        weight = 1.0 / np.where(np.isfinite(span) & (span > 0), span, 1.0)
    for heavy in range(f + 1):
        score = np.zeros((o, i))
        for j in range(f):
            score += losses[j] * (weight[j] * (4.0 if j == heavy else 1.0))[:, None]
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
