"""What loop nests move between the levels of a hierarchy: exact counts, all rows at once.

A level gets a new tile of an operand whenever a loop above it steps on that indexes the operand;
loops inside the innermost such loop leave the tile where it is, so that contiguous innermost
irrelevant loops are the temporal reuse. When a loop steps on, all loops inside it start again, so
every dimension moves by a known distance; two input tiles overlap in the product of the overlaps
of their axes (the halo). Everything follows from summing this over the loops (a few dozen), never
over their iterations. Where an input tile moves back by as much as it moves on, it has not moved.

What a tool counts is a matter of convention; see `Conventions`. `TIMELOOP` is the one under which
the rows of `benchmarks/timeloop_rows.py` agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

import numpy as np

from evaluators.loop_nest import (
    DIMENSIONS,
    OPERANDS,
    OUTPUTS,
    LoopNest,
    Operand,
    elements,
    product_of,
)
from evaluators.loop_nest_spans import Span
from hwnas.arrays import Bools, Floats, Ints

_BLOCK: Final = 4096
"""Rows at a time: what they need stays within a few MB."""


class Halo(Enum):
    """Which part of an input tile is kept when the next one overlaps it."""

    NONE = "none"
    """Nothing: a tile whose loops moved is fetched whole."""
    INNERMOST = "innermost"
    """The overlap along the innermost loop above the level; at all other steps nothing."""
    ALL = "all"
    """Everything that the next tile shares with the last one, at every step."""


class Sharing(Enum):
    """When one read of a level serves several instances below it."""

    NONE = "none"
    """Never: every instance is sent its own."""
    MULTICAST = "multicast"
    """Where they hold the same tile: along spatial loops that do not index the operand."""
    NEIGHBOURS = "neighbours"
    """Where any element is wanted by several: also halos and diagonals (P and R spread together).

    Nothing is read that any of them had a step before: neighbours pass it on.
    """


@dataclass(frozen=True)
class Conventions:
    """How traffic is counted.

    Attributes:
        halo: What is kept of overlapping input tiles.
        sharing: Reads of weights and inputs that serve several instances.
        reduction: Partial sums of instances below are added on their way up, and one of them gets
            the sum so far when it goes on; else each writes its own, starting from nothing, and
            the level above reads, adds and writes.
        latched: A multiplier keeps an operand, and an adder a sum, over innermost loops that do
            not index it; else every step reads weights and inputs and reads and writes sums.
        gaps: Input tiles are boxes: where a stride is longer than the part of the kernel in a
            tile, elements between that nobody uses are moved along; else they are left out.
        one_way: Output tiles count one access per element and visit at the lower level: a fill,
            also at the first visit, and no drain. Else first visits start from zero without a
            fill, later ones are filled, and every visit is drained.
    """

    halo: Halo = Halo.ALL
    sharing: Sharing = Sharing.MULTICAST
    reduction: bool = True
    latched: bool = False
    gaps: bool = True
    one_way: bool = False


TIMELOOP: Final = Conventions(halo=Halo.INNERMOST, one_way=True)
"""Those of the Timeloop that made DOSA's rows, inferred from their cycles and energies."""

ZIGZAG: Final = Conventions(halo=Halo.NONE, latched=True, gaps=False)
"""Those of ZigZag 3.9.1 for weights and inputs, inferred from its access counts.

Its outputs are not latched, and its first visits are filled with, and add to, a sum as later ones
do, wherever any visit is not the last.
"""


@dataclass(frozen=True, eq=False)
class Traffic:
    """Elements that a nest moves, all instances of a level together, ``float64 (m, D, 3)``.

    Attributes:
        reads: Read to be sent down: weights, inputs, and partial sums to go on with.
        fills: Written from above: weights, inputs, and partial sums that come back.
        updates: Outputs and partial sums written from below.
        drains: Outputs and partial sums read to be written above; none at the last level.
    """

    reads: Floats
    fills: Floats
    updates: Floats
    drains: Floats

    @property
    def accesses(self) -> Floats:
        """All together."""
        return self.reads + self.fills + self.updates + self.drains


def traffic(nest: LoopNest, conventions: Conventions | None = None) -> Traffic:
    """What loop nests move.

    Per row and step O(loops of the nest); counts are exact below 2^53.

    >>> from evaluators.loop_nest import Level, LoopNest
    >>> nest = LoopNest.of([Level("WIO"), Level(loops={"K": 4, "C": 3, "Q": 5})])
    >>> traffic(nest).fills[0, 0]           # weights stay over Q, inputs and outputs do not
    array([12., 60., 40.])

    Args:
        nest: ``m`` mappings.
        conventions: How to count; every reuse there is by default.

    Returns:
        Elements per row, level and operand.
    """
    conventions = conventions or Conventions()
    shape = (len(nest), nest.depth, len(OPERANDS))
    moved = Traffic(*(np.zeros(shape) for _ in range(4)))
    for start in range(0, len(nest), _BLOCK):
        rows = slice(start, start + _BLOCK)
        part = Traffic(*(column[rows] for column in vars(moved).values()))
        _count(nest.pick(rows), conventions, part)
    return moved


@dataclass(frozen=True, eq=False)
class _Turn:
    """One loop stepping on while all loops inside it start again.

    Attributes:
        times: How often, ``(m,)``.
        moved: By how much every dimension moves, ``(m, 8)``.
        innermost: Whether no loop runs inside it, ``(m,)``.
    """

    times: Floats
    moved: Ints
    innermost: Bools


def _turns(nest: LoopNest, child: int) -> list[_Turn]:
    """The turns of the temporal loops above a level, the innermost first."""
    rows = np.arange(len(nest))
    step = nest.within(child)
    back = np.zeros_like(step)
    outside = product_of(nest.temporal[:, child + 1 :])
    first = np.ones(len(nest), dtype=np.bool_)
    turns = []
    for level in range(child + 1, nest.depth):
        step = step * nest.spatial[:, level]
        for place in range(len(DIMENSIONS) - 1, -1, -1):
            dimension = nest.order[:, level, place]
            factor = nest.temporal[rows, level, dimension]
            if (factor == 1).all():
                continue
            outside = outside / factor
            moved = -back
            moved[rows, dimension] += step[rows, dimension]
            turns.append(_Turn((factor - 1) * outside, moved, first))
            back[rows, dimension] += (factor - 1) * step[rows, dimension]
            step[rows, dimension] *= factor
            first = first & (factor == 1)
    return turns


def _count(nest: LoopNest, conventions: Conventions, out: Traffic) -> None:
    """Adds the traffic of every operand between every two levels that keep it."""
    turns = {child: _turns(nest, child) for child in range(-1, nest.depth - 1)}
    for place, operand in enumerate(OPERANDS):
        keepers = [-1, *np.flatnonzero(nest.kept[:, place]).tolist()]
        for child, parent in pairwise(keepers):
            link = _Link(nest, operand, child, parent, turns[child], conventions)
            if place == OUTPUTS:
                _count_outputs(link, out)
            else:
                _count_inputs(link, place, out)


@dataclass(frozen=True, eq=False)
class _Link:
    """Two levels that keep an operand, with none between that does; child -1: the multipliers."""

    nest: LoopNest
    operand: Operand
    child: int
    parent: int
    turns: list[_Turn]
    conventions: Conventions

    def spread(self, dimensions: tuple[int, ...]) -> Floats:
        """Children of one parent along some dimensions, ``(m,)``."""
        between = self.nest.spatial[:, self.child + 1 : self.parent + 1]
        return product_of(between[:, :, dimensions])

    @property
    def held(self) -> Floats:
        """Elements that one child holds, ``(m,)``."""
        return elements(self.operand, self.nest.within(self.child), self.nest.stride)

    @property
    def every_step(self) -> bool:
        """Whether nothing is kept from one step to the next."""
        return self.child < 0 and not self.conventions.latched

    @property
    def visits(self) -> Floats:
        """Tiles that one child holds one after the other, ``(m,)``."""
        if self.every_step:
            return self.nest.steps
        visits = np.ones(len(self.nest))
        for turn in self.turns:
            visits += turn.times * _moves(turn, self.operand.relevant)
        return visits

    def fetched(self, *, together: bool) -> Floats:
        """Elements that come in over the time, ``(m,)``.

        Args:
            together: For all children of one parent as if they were one; else for one child.
        """
        plain, spans = self._box(together=together)
        size = plain.copy()
        for span in spans:
            size *= span.size
        if self.every_step:
            return size * self.nest.steps
        total = size.copy()
        for turn in self.turns:
            total += turn.times * (size - self._stays(turn, plain, size, spans))
        return total

    def _box(self, *, together: bool) -> tuple[Floats, list[Span]]:
        """Elements along plain dimensions, ``(m,)``, and the spans of the axes with a halo."""
        nest, extents = self.nest, self.nest.within(self.child)
        plain = product_of(extents[:, self.operand.plain])
        copies: list[list[tuple[Ints, Ints]]] = [[] for _ in self.operand.axes]
        if together:
            plain = plain * self.spread(self.operand.plain)
            step = extents
            for level in range(self.child + 1, self.parent + 1):
                factors = nest.spatial[:, level]
                for axis, (output, kernel) in zip(copies, self.operand.axes, strict=True):
                    axis.append((factors[:, output], step[:, output] * nest.stride))
                    axis.append((factors[:, kernel], step[:, kernel]))
                step = step * factors * nest.temporal[:, level]
        spans = [
            self._span(extents[:, output], extents[:, kernel], axis)
            for (output, kernel), axis in zip(self.operand.axes, copies, strict=True)
        ]
        return plain, spans

    def _span(self, output: Ints, kernel: Ints, copies: list[tuple[Ints, Ints]]) -> Span:
        """The lines under some output and kernel lines of a child, and its copies."""
        stride = self.nest.stride
        if self.conventions.gaps:
            return Span.of((output - 1) * stride + kernel, copies)
        return Span.of(kernel, [(output, stride), *copies])

    def _stays(self, turn: _Turn, plain: Floats, size: Floats, spans: list[Span]) -> Floats:
        """Elements that are still wanted after a turn, ``(m,)``."""
        stays = np.where(_moves(turn, self.operand.relevant), 0.0, size)
        if self.conventions.halo is Halo.NONE or not spans:
            return stays
        shared = np.where(_moves(turn, self.operand.plain), 0.0, plain)
        for (output, kernel), span in zip(self.operand.axes, spans, strict=True):
            shift = self.nest.stride * turn.moved[:, output] + turn.moved[:, kernel]
            shared = shared * span.overlap(shift)
        if self.conventions.halo is Halo.INNERMOST:
            return np.where(turn.innermost, shared, stays)
        return shared


def _moves(turn: _Turn, dimensions: tuple[int, ...]) -> Bools:
    moves: Bools = (turn.moved[:, dimensions] != 0).any(axis=1)
    return moves


def _count_inputs(link: _Link, place: int, out: Traffic) -> None:
    """Weights and inputs: read above, written below."""
    sharing = link.conventions.sharing
    instances = link.nest.instances
    everywhere = tuple(range(len(DIMENSIONS)))
    if link.child >= 0:
        out.fills[:, link.child, place] += link.fetched(together=False) * instances[:, link.child]
    if sharing is Sharing.NEIGHBOURS:
        sent = link.fetched(together=True)
    else:
        apart = everywhere if sharing is Sharing.NONE else link.operand.relevant
        sent = link.fetched(together=False) * link.spread(apart)
    out.reads[:, link.parent, place] += sent * instances[:, link.parent]


def _count_outputs(link: _Link, out: Traffic) -> None:
    """Outputs: written above, partial sums read there to go on with."""
    nest, relevant = link.nest, link.operand.relevant
    parents = nest.instances[:, link.parent]
    groups = link.spread(relevant) * parents
    children = link.spread(tuple(range(len(DIMENSIONS)))) * parents
    held, visits = link.held, link.visits
    different = product_of(nest.temporal[:, link.child + 1 :][:, :, relevant])
    updates = visits * held * (groups if link.conventions.reduction else children)
    returned = updates - different * held * groups
    out.updates[:, link.parent, OUTPUTS] += updates
    out.reads[:, link.parent, OUTPUTS] += returned
    if link.child < 0:
        return
    if link.conventions.one_way:
        out.fills[:, link.child, OUTPUTS] += visits * held * children
        return
    out.drains[:, link.child, OUTPUTS] += visits * held * children
    if link.conventions.reduction:
        out.fills[:, link.child, OUTPUTS] += returned
