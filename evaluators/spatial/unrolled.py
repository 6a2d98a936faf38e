"""Layers laid out on an array that unrolls some of their loops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from evaluators.spatial.rows import Array, Arrays, Layers
from evaluators.spatial.tilings import Library, Loops
from hwnas.design.spatial_array import LOOPS, unrolled


@dataclass(frozen=True, eq=False)
class Unrolled:
    """Layers laid out on arrays.

    Attributes:
        steps: Steps of the array: the product of all loops, those unrolled divided and rounded up.
        trips: Loop to its steps.
        used: Loop to how many iterations are computed at once, at most.
        at_once: Loop to how many on average: iterations / steps.
        shared: Input elements under the positions computed at once, over those positions: less
            than 1 where output and kernel positions are both unrolled.
        taps: Taps of a kernel's row that an element works through by itself, with as many inputs
            and weights in its registers; 1 if it takes them one by one.
        handing: Cycles besides, in which sums are handed on, however fast an element multiplies.
    """

    steps: Array
    trips: dict[str, Array]
    used: dict[str, Array]
    at_once: dict[str, Array]
    shared: Array
    taps: Array
    handing: Array


class Dataflow(Protocol):
    """What the rows, the columns and the depth of an array are."""

    def __hash__(self) -> int:
        """Equal ones are one: code is compiled once for each."""

    @property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """Per dimension of the array its loops: the first takes what it can, the next the rest."""

    @property
    def forwarded(self) -> bool:
        """Whether neighbours hand inputs on, so that those under a window are read once."""

    def lay_out(self, xp: Library, g: Layers, a: Arrays) -> Unrolled:
        """Lays layers out on arrays; the two broadcast."""


@dataclass(frozen=True)
class Unrolling:
    """Each dimension of the array holds neighbouring iterations of one loop.

    K|C is NVDLA's, P|Q that of ShiDianNao (Du et al., ISCA 2015). The steps are the product of the
    loops, those that are unrolled divided by the array's size and rounded up.

    Attributes:
        loops: The loops along rows, columns and, if there are three, depth.
    """

    loops: tuple[str, ...]

    @property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """One loop per dimension; see `Dataflow`."""
        return tuple((loop,) for loop in self.loops)

    @property
    def forwarded(self) -> bool:
        """Whether the elements are output pixels of a plane, as in ShiDianNao."""
        return {"P", "Q"} <= set(self.loops)

    def lay_out(self, xp: Library, g: Layers, a: Arrays) -> Unrolled:
        """Lays layers out on arrays; see `Dataflow`."""
        trips: dict[str, Array] = {loop: getattr(g, loop) for loop in LOOPS}
        used: dict[str, Array] = {}
        for loop, size in zip(self.loops, (a.rows, a.columns, a.depth), strict=False):
            used[loop] = xp.minimum(trips[loop], size)
            trips[loop] = xp.ceil(trips[loop] / size)
        return _laid_out(xp, g, trips, used)


@dataclass(frozen=True)
class RowStationary:
    """Each element convolves a row of the kernel with a row of the input (Eyeriss).

    Kernel lines lie along the rows of the array, output lines along its columns; sums are handed
    up from line to line, which takes an element one cycle for each sum, i.e. for the S taps of as
    many channels as its inputs' register file holds. Spare rows take further channels, spare
    columns further filters (Chen et al., "Eyeriss: an energy-efficient reconfigurable accelerator
    for deep convolutional neural networks", IEEE JSSC 2017).
    """

    @property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """Lines, and what spare rows and columns take; see `Dataflow`."""
        lines = unrolled("row_stationary")
        return tuple(zip(lines, ("C", "K"), strict=True))

    @property
    def forwarded(self) -> bool:
        """Inputs reach all elements of a diagonal at once, which `Unrolled.shared` counts."""
        return False

    def lay_out(self, xp: Library, g: Layers, a: Arrays) -> Unrolled:
        """Lays layers out on arrays; see `Dataflow`."""
        one = xp.asarray(1.0)
        channels = xp.maximum(xp.floor(a.rows / g.R), one)
        filters = xp.maximum(xp.floor(a.columns / g.P), one)
        sizes = {"R": a.rows, "P": a.columns, "C": channels, "K": filters}
        trips: dict[str, Array] = {loop: getattr(g, loop) for loop in LOOPS}
        used = {loop: xp.minimum(trips[loop], size) for loop, size in sizes.items()}
        trips.update({loop: xp.ceil(trips[loop] / size) for loop, size in sizes.items()})
        laid_out = _laid_out(xp, g, trips, used)
        room = xp.floor(a.input_rf / (g.activation_bits * g.S))
        held = xp.maximum(xp.minimum(room, trips["C"]), one)
        fits = (room >= 1.0) & (a.weight_rf >= g.weight_bits * g.S)
        return replace(
            laid_out,
            taps=xp.where(fits, g.S, one),
            handing=laid_out.steps / (g.S * held),
        )


def dataflow_of(name: str) -> Dataflow:
    """The dataflow of a name that `hwnas.design.spatial_array.unrolled` knows.

    Raises:
        SpaceError: There is none of that name.
    """
    loops = unrolled(name)
    return RowStationary() if name == "row_stationary" else Unrolling(loops)


def _laid_out(xp: Library, g: Layers, trips: dict[str, Array], used: dict[str, Array]) -> Unrolled:
    one = xp.asarray(1.0)
    at_once = {loop: getattr(g, loop) / xp.maximum(trips[loop], one) for loop in used}
    steps = g.work
    for loop in LOOPS:
        steps = steps * trips[loop]
    used = {loop: xp.maximum(most, one) for loop, most in used.items()}
    return Unrolled(steps, trips, used, at_once, _shared(at_once, g), one, 0.0 * one)


def product(factors: dict[str, Array], loops: str) -> Array:
    """The product of the factors of some loops; those that are not unrolled have 1."""
    product: Array = 1.0
    for loop in loops:
        if loop in factors:
            product = product * factors[loop]
    return product


def _shared(u: dict[str, Array], g: Layers) -> Array:
    share: Array = 1.0
    for line, kernel, step in (("P", "R", g.step), ("Q", "S", g.column_step)):
        if line in u and kernel in u:
            share = share * ((u[line] - 1.0) * step + u[kernel]) / (u[line] * u[kernel])
    return share


def room_for(
    xp: Library, g: Layers, a: Arrays, u: Unrolled
) -> tuple[Loops, tuple[Array, Array, Array]]:
    """The loops of one group, and the bits of the smallest tile: inputs, weights, outputs."""
    lines, columns = product(u.used, "P"), product(u.used, "Q")
    least_lines = (lines - 1.0) * g.step + g.R
    least_columns = (columns - 1.0) * g.column_step + g.S
    filters = product(u.used, "GKC") * g.R * g.S * g.weight_bits
    sums = product(u.used, "GNKPQ") * g.sum_bits
    inputs = product(u.used, "GNC") * g.activation_bits
    loops = Loops(
        K=u.trips["K"],
        C=u.trips["C"],
        N=u.trips["N"],
        P=u.trips["P"],
        Q=u.trips["Q"],
        lines=g.P,
        columns=g.Q,
        kernel_lines=g.R,
        kernel_columns=g.S,
        step=g.step,
        column_step=g.column_step,
        height=g.height,
        width=g.width,
        unrolled_lines=lines,
        unrolled_columns=columns,
        least_lines=least_lines,
        filter_room=xp.floor(a.filter_bits / filters),
        sums_room=xp.floor(a.ofmap_bits / sums),
        input_room=xp.floor(a.ifmap_bits / inputs),
    )
    return loops, (inputs * least_lines * least_columns, filters, sums)
