"""Explicit mappings: loop nests over a hierarchy of memories, all rows at once.

A mapping says, for every memory level, which loops run there one after the other (temporal, in
an order), which are spread over the instances of the level below (spatial), and which operands
the level keeps. From it follows exactly what every level holds (`LoopNest.tiles`) and moves
(`evaluators.loop_nest_traffic.traffic`), and so cycles and energy
(`evaluators.loop_nest_costs.nest_costs`). Nothing is searched here: this is the oracle that
closed forms and mappers are tested against.

The picture is that of Timeloop (Parashar et al., "Timeloop: a systematic approach to DNN
accelerator evaluation", ISPASS 2019): level 0 is next to the multipliers, the last level is DRAM.
Inside one instance of level l, its temporal loops walk over tiles of the level below; its spatial
loops, inside them, say how these tiles are spread. So the tile of level l is the product of all
factors at and below l.

Symbols: ``m`` rows, ``D`` levels, the dimensions of `DIMENSIONS`, the operands of `OPERANDS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import DesignError, nearest

DIMENSIONS: Final = ("G", "N", "K", "C", "P", "Q", "R", "S")
"""Groups, images, output and input channels of one group, output rows and columns, kernel rows
and columns: the last axis of every factor array."""

_AT: Final = {name: place for place, name in enumerate(DIMENSIONS)}


@dataclass(frozen=True)
class Operand:
    """How a tensor is indexed by the loops.

    Attributes:
        letter: As in Timeloop's mapping strings.
        plain: Places of the dimensions that index it directly.
        axes: Per axis with a halo, the places of the output and of the kernel dimension: element
            ``stride * p + r``.
    """

    letter: str
    plain: tuple[int, ...]
    axes: tuple[tuple[int, int], ...] = ()

    @property
    def relevant(self) -> tuple[int, ...]:
        """Places of all dimensions that index it."""
        return (*self.plain, *(place for axis in self.axes for place in axis))


def _places(letters: str) -> tuple[int, ...]:
    return tuple(_AT[letter] for letter in letters)


OPERANDS: Final = (
    Operand("W", _places("GKCRS")),
    Operand("I", _places("GNC"), ((_AT["P"], _AT["R"]), (_AT["Q"], _AT["S"]))),
    Operand("O", _places("GNKPQ")),
)
"""Weights, inputs, outputs: the order of every axis of operands."""

OUTPUTS: Final = 2
"""The place of the outputs in `OPERANDS`."""


@dataclass(frozen=True)
class Level:
    """One memory level of a mapping, as a person writes it.

    Attributes:
        keeps: Letters of the operands that it keeps; the others pass it by.
        loops: Temporal factors, outermost first: dimension to factor, a number or ``(m,)``.
        spatial: Factors spread over the instances of the level below (of level 0: over the
            multipliers).
    """

    keeps: str = "WIO"
    loops: Mapping[str, ArrayLike] = field(default_factory=dict)
    spatial: Mapping[str, ArrayLike] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LoopNest:
    """Mappings of ``m`` layers onto one hierarchy of ``D`` levels.

    A nest covers the product of its factors: where that is more than the layer has, the rest is
    padding, which is computed and moved like everything else.

    Attributes:
        temporal: Factors, ``int64 (m, D, 8)``, at least 1.
        order: Places of the dimensions from the outermost to the innermost temporal loop of a
            level, ``int64 (m, D, 8)``, a permutation each.
        spatial: Factors, ``int64 (m, D, 8)``, at least 1.
        stride: Of both image axes, ``int64 (m,)``. Tiles are boxes: between the rows of a kernel
            shorter than the stride lie elements that nobody uses (see `Conventions.gaps`).
        kept: Whether a level keeps an operand, ``bool (D, 3)``; the last level keeps all.

    Raises:
        DesignError: The arrays do not fit together, a factor is below 1, an order is no
            permutation, or the last level does not keep everything.
    """

    temporal: Ints
    order: Ints
    spatial: Ints
    stride: Ints
    kept: Bools

    def __post_init__(self) -> None:
        shape = self.temporal.shape
        fits = len(shape) == 3 and shape[2] == len(DIMENSIONS)
        fits = fits and self.order.shape == self.spatial.shape == shape
        fits = fits and self.stride.shape == shape[:1]
        if not fits or self.kept.shape != (shape[1], len(OPERANDS)):
            raise DesignError(
                "the arrays of a loop nest do not fit together",
                rule="temporal, order and spatial (m, D, 8), stride (m,), kept (D, 3)",
                given=", ".join(str(a.shape) for a in vars(self).values()),
            )
        for name in ("temporal", "spatial", "stride"):
            low = np.nonzero(getattr(self, name) < 1)[0]
            if len(low):
                raise DesignError(
                    f"row {int(low[0])} of a loop nest has a {name} factor below 1",
                    rule="factors are whole numbers of at least 1; a loop that is not there is 1",
                )
        if (np.sort(self.order, axis=2) != np.arange(len(DIMENSIONS))).any():
            raise DesignError(
                "an order of loops is no permutation of the dimensions",
                rule="every level orders all of " + " ".join(DIMENSIONS),
            )
        if not self.kept[-1].all():
            raise DesignError(
                "the last level of a loop nest does not keep every operand",
                rule="operands come from the last level, DRAM, and go back to it",
                given="it keeps "
                + "".join(o.letter for o, k in zip(OPERANDS, self.kept[-1], strict=True) if k),
            )

    @classmethod
    def of(cls, levels: Sequence[Level], stride: ArrayLike = 1) -> Self:
        """A nest from levels as they are written, the innermost first.

        >>> nest = LoopNest.of([
        ...     Level("W", {"P": 4}),
        ...     Level("WIO", {"C": [2, 4]}, spatial={"K": 8}),
        ...     Level(loops={"K": 2}),
        ... ])
        >>> nest.steps
        array([16., 32.])

        Args:
            levels: Factors that are arrays ``(m,)`` give all rows; numbers are the same for all.
            stride: A number or ``(m,)``.

        Raises:
            DesignError: As the class; or a dimension or operand is unknown.
        """
        given = [np.asarray(stride)]
        given += [
            np.asarray(factor)
            for level in levels
            for part in (level.loops, level.spatial)
            for factor in part.values()
        ]
        m = np.broadcast_shapes((1,), *(array.shape for array in given))[0]
        shape = (m, len(levels), len(DIMENSIONS))
        temporal, spatial = np.ones(shape, dtype=np.int64), np.ones(shape, dtype=np.int64)
        order, kept = np.zeros(shape, dtype=np.int64), np.zeros((len(levels), 3), dtype=np.bool_)
        letters = [operand.letter for operand in OPERANDS]
        for place, level in enumerate(levels):
            for part, factors in ((level.loops, temporal), (level.spatial, spatial)):
                for name, factor in part.items():
                    factors[:, place, _known(name, DIMENSIONS)] = factor
            named = [_AT[name] for name in level.loops]
            order[:, place] = [d for d in range(len(DIMENSIONS)) if d not in named] + named
            for letter in level.keeps:
                kept[place, _known(letter, letters)] = True
        strides = np.broadcast_to(np.asarray(stride, dtype=np.int64), (m,))
        return cls(temporal, order, spatial, strides, kept)

    def __len__(self) -> int:
        return len(self.temporal)

    def pick(self, rows: Ints | slice) -> LoopNest:
        """The nests of some rows."""
        return LoopNest(
            self.temporal[rows], self.order[rows], self.spatial[rows], self.stride[rows], self.kept
        )

    @property
    def depth(self) -> int:
        """Levels ``D``."""
        return len(self.kept)

    @property
    def steps(self) -> Floats:
        """Cycles of the multipliers: the product of all temporal factors, ``(m,)``."""
        return product_of(self.temporal)

    @property
    def multipliers(self) -> Floats:
        """Multipliers that are used: the product of all spatial factors, ``(m,)``."""
        return product_of(self.spatial)

    @property
    def extents(self) -> Ints:
        """What every dimension is covered to, ``(m, 8)``."""
        return self.within(self.depth - 1)

    @property
    def instances(self) -> Floats:
        """Instances of every level that are used, ``(m, D)``."""
        fan_out = np.prod(self.spatial, axis=2, dtype=np.float64)
        instances: Floats = np.cumprod(fan_out[:, ::-1], axis=1)[:, ::-1] / fan_out
        return instances

    def within(self, level: int) -> Ints:
        """The extents of the tile of one instance of a level, ``(m, 8)``; of -1: one MAC."""
        inside = slice(0, level + 1)
        temporal, spatial = self.temporal[:, inside], self.spatial[:, inside]
        extents: Ints = temporal.prod(axis=1) * spatial.prod(axis=1)
        return extents

    @property
    def tiles(self) -> Floats:
        """Elements that one instance has to hold, ``(m, D, 3)``; 0 where not kept.

        Inputs with their halo: (P - 1) stride + R rows.
        """
        tiles = np.zeros((len(self), self.depth, len(OPERANDS)))
        for level, place in zip(*np.nonzero(self.kept), strict=True):
            tiles[:, level, place] = elements(OPERANDS[place], self.within(level), self.stride)
        return tiles


def elements(operand: Operand, extents: Ints, stride: Ints) -> Floats:
    """Elements of an operand in a box of loop extents ``(m, 8)``, ``(m,)``."""
    count = product_of(extents[:, operand.plain])
    for output, kernel in operand.axes:
        count = count * ((extents[:, output] - 1) * stride + extents[:, kernel])
    return count


def product_of(factors: Ints) -> Floats:
    """The product of all factors of a row, ``(m,)``; 1 where there is none."""
    product: Floats = np.prod(factors, axis=tuple(range(1, factors.ndim)), dtype=np.float64)
    return product


def _known(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise DesignError(
            f"a loop nest knows no {name!r}",
            rule="one of " + " ".join(names),
            cure=nearest(name, names),
        )
    return names.index(name)
