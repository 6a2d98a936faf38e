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
_REPRESENTATIVES = 8
_ROUNDS = 12
_CHILDREN = 1024
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
        inner: The inner parts of the genome; may be none.
        evaluators: Who measures the inner objectives, and nothing else that counts.
        seed: Seed of the search where there are too many inner designs.
        limit: The largest number of inner designs that is enumerated; beyond, they are searched.
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
        self.outer_parts = tuple(p for p in space.part_names if p not in inner)
        self.inner_parts = tuple(p for p in space.part_names if p in inner)
        self.outer_columns = space.columns_of(*self.outer_parts)
        self.inner_columns = space.columns_of(*self.inner_parts)
        known = {m.name for e in self.evaluators for m in e.metrics}
        self.objectives = _decided(known, [o.node.metrics for o in problem.objectives])
        self.constraints = _decided(known, [c.metrics for c in problem.constraints])
        self.seed = seed
        self.size = self.inner_space.size()
        self.exact = self.size <= limit
        self.fronts: list[InnerFront] = []
        self._label_of: dict[tuple[bytes, ...], int] = {}
        self._marks: list[dict[bytes, tuple[bytes, ...]]] = [{} for _ in self.outer_parts]

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
        if not self.inner_parts:
            return np.zeros((1, 0), dtype=np.int64)
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
        outer = self.outer_space.canonical(outer)
        whole: list[list[tuple[bytes, ...]]] = []
        for place, part in enumerate(self.outer_parts):
            rows = outer[:, self.outer_space.columns_of(part)]
            names, known = keys(rows), self._marks[place]
            new = [i for i in unique(rows)[0] if names[i] not in known]
            if new:
                designs = Designs(self.outer_space.part(part), rows[new])
                marks = [e.fingerprints(designs) for e in self.evaluators]
                known.update(zip([names[i] for i in new], zip(*marks, strict=True), strict=True))
            whole.append([known[name] for name in names])
        return [tuple(m for part in mark for m in part) for mark in zip(*whole, strict=True)]

    def _add(self, new: dict[tuple[bytes, ...], int], outer: Ints) -> None:
        names, rows = list(new), np.array(list(new.values()), dtype=np.int64)
        step = max(1, _CELLS // max(1, len(self.inner_rows)))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            losses = self._losses(outer[rows[some]], self._against)
            for name, front in zip(names[some], _fronts(losses), strict=True):
                self._label_of[name] = len(self.fronts)
                self.fronts.append(front)

    def _losses(self, outer: Ints, laid: list[Against]) -> Floats:
        """Losses of a grid in the inner objectives, ``(f, o, i)``; infinite where ruled out."""
        designs = Designs(self.outer_space, outer)
        if not laid:
            return np.zeros((0, len(outer), len(self.inner_rows)))
        whole = reduce(Grid.beside, (measure(designs) for measure in laid))
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
        return losses

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
        outer = self.outer_space.sample(_REPRESENTATIVES, rng)
        best = np.empty((0, len(self.inner_space)), dtype=np.int64)
        children = self.inner_space.sample(2 * _CHILDREN, rng)
        for _ in range(_ROUNDS):
            rows = np.concatenate([best, children])
            rows = rows[unique(rows)[0]]
            losses = self._losses(outer, self._laid(rows))
            kept = np.unique(np.concatenate([front.places for front in _fronts(losses)]))
            best = rows[kept] if kept.size else rows[: _CHILDREN // 8]
            best = rng.permutation(best)[:_SEARCHED]
            one, other = best[rng.integers(0, len(best), size=(2, _CHILDREN))]
            children = mutate(crossover(one, other, rng, 0.9), self.inner_space, rng)
            children = self.inner_space.canonical(children)
        return best


def _decided(known: set[str], needed: Sequence[frozenset[str]]) -> tuple[int, ...]:
    return tuple(j for j, metrics in enumerate(needed) if metrics <= known)


def _fronts(losses: Floats) -> list[InnerFront]:
    """The fronts of ``(f, o, i)`` losses, equal losses once."""
    if not len(losses):
        return [InnerFront(np.arange(1), np.empty((1, 0))) for _ in range(losses.shape[1])]
    fronts = []
    for row, alive in enumerate(_undominated_by_pivots(losses)):
        places = np.flatnonzero(alive)
        some = np.ascontiguousarray(losses[:, row, places].T)
        kept = nondominated(some)
        kept = kept[np.sort(unique_rows(some[kept]))]
        fronts.append(InnerFront(places[kept], some[kept]))
    return fronts


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
