"""Cycles, traffic and energy of Bit Fusion's systolic array: a second opinion on composable bits.

A model of an array of fusion units (Sharma et al., "Bit Fusion", ISCA 2018) as the authors' public
simulator sees it, written anew from that simulator's published facts and checked against a table
that was computed with it (see `benchmarks/bitfusion.py`, `tests/evaluators/test_bitfusion.py`).

* An array has ``rows`` x ``columns`` fusion units; rows add up input channels, columns hold output
  channels. A unit does f = (8 / w) (8 / a) MACs per cycle, w and a rounded up to 2, 4, 8 bits. All
  of them are terms of one sum, so f times as many input channels fit the rows.
* A tile of p x q outputs, i input and c output channels takes
  ceil(c / columns) ceil(i / (rows f)) p q R S cycles. p and q, i, and c in units of ``columns`` are
  powers of two, or everything.
* Inputs, weights and sums have a buffer each; half of it works while the other half is filled.
  There, bits are rounded up to 2, 4, 8 and channels to whole rows x f or columns; sums have 32
  bits. DRAM moves exact bits. Sums are read from DRAM and written back for every tile.
* Around the tiles are four loops over output lines, output columns, input channels and output
  channels, in any order. An operand that fits its half buffer is kept for the loops that it does
  not depend on, outwards until it does not fit.
* What is loaded before the first tile and stored after the last one adds to the time; the rest of
  the traffic hides behind computing, or the other way round. The tiles and the order with the
  fewest cycles count, and among them those with the least energy. A larger buffer may therefore
  cost cycles: more of an operand is then kept from the start, and waited for.
* A depthwise layer is run as dense layers of 8 f channels each, most of whose products are zeros.
  The table implies that; why 8, when there are 16 rows, is not known.

Layers run one after the other, images of a batch too (the table has batch 1). Only layers that
multiply are costed; to all others (pooling, additions) the table has no entry, and they cost
nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import permutations
from typing import Final

import numpy as np

from evaluators.pe import PES, brick_bits
from hwnas.arrays import Floats
from hwnas.design import LayerTable
from hwnas.errors import DesignError

_BYTE: Final = 8.0
_WIDEST: Final = np.array(8.0)
_SUM_BITS: Final = 32.0
_PACKED: Final = 8.0
"""Depthwise channels that are run as one dense layer, at the widest bits."""
_BLOCK: Final = 32
"""Layers laid out at a time."""

_LINES, _COLUMNS = 0, 1
"""Loops over output lines and columns; 2 and 3 are those over input and output channels."""
_NEEDS: Final = (
    (True, True, True, False),
    (False, False, True, True),
    (True, True, False, True),
)
"""Which of the four loops inputs, weights and sums depend on."""
_ORDERS: Final = tuple(permutations(range(4)))
"""The loops from the outermost to the innermost."""
_SQUARE: Final = tuple(o for o in _ORDERS if o.index(_LINES) < o.index(_COLUMNS))
"""All that differ where lines and columns are equally many."""


@dataclass(frozen=True)
class FusionArray:
    """An array of fusion units; as it comes, the one that the published table implies.

    These are the settings of bf_e_conf.ini, which the simulator comes with.

    Attributes:
        rows: Fusion units that add up one output.
        columns: Fusion units side by side.
        input_buffer: Both halves together, B.
        weight_buffer: Likewise.
        output_buffer: Likewise.
        dram_bandwidth: B/s.
        clock: Hz.
    """

    rows: int = 16
    columns: int = 32
    input_buffer: float = 32768.0
    weight_buffer: float = 65536.0
    output_buffer: float = 16384.0
    dram_bandwidth: float = 12e9
    clock: float = 500e6

    @property
    def bits_per_cycle(self) -> float:
        """What DRAM moves per clock cycle, bit."""
        return self.dram_bandwidth * _BYTE / self.clock


@dataclass(frozen=True)
class FusionEnergies:
    """What actions cost; as it comes, fitted to the published table's layers of 7 x 7 and 56 x 56.

    `benchmarks/bitfusion.py` fits them. The simulator counts 15 pJ per bit of DRAM traffic; the
    rest of what a bit costs goes to the buffers, whose figures (from CACTI) are not published.

    Attributes:
        cycle: One cycle of the whole array and of its buffers, J.
        input_move: Moving an input from DRAM into its buffer, J per bit.
        weight_move: Moving a weight from DRAM into its buffer, J per bit.
        sum_move: Moving a sum between DRAM and its buffer, J per bit.
    """

    cycle: float = 950e-12
    input_move: float = 14.88e-12
    weight_move: float = 16.61e-12
    sum_move: float = 16.69e-12


@dataclass(frozen=True, eq=False)
class FusionCosts:
    """What layer rows cost, ``float64 (L,)`` each.

    Attributes:
        cycles: Clock cycles, stalls included.
        compute_cycles: Those in which the array computes.
        input_bits: Bits of inputs from DRAM.
        weight_bits: Bits of weights from DRAM.
        sum_bits: Bits of sums from and to DRAM.
    """

    cycles: Floats
    compute_cycles: Floats
    input_bits: Floats
    weight_bits: Floats
    sum_bits: Floats

    def energy(self, energies: FusionEnergies) -> Floats:
        """Energy, J, in the shape of the columns."""
        return (
            energies.cycle * self.compute_cycles
            + energies.input_move * self.input_bits
            + energies.weight_move * self.weight_bits
            + energies.sum_move * self.sum_bits
        )


@dataclass(frozen=True, eq=False)
class _Convolutions:
    """Dense convolutions, ``(m,)`` each, and how often each one is run."""

    runs: Floats
    K: Floats
    C: Floats
    P: Floats
    Q: Floats
    R: Floats
    S: Floats
    stride: Floats
    weight_bits: Floats
    activation_bits: Floats

    @property
    def fused(self) -> Floats:
        """MACs per fusion unit and cycle, ``(m,)``."""
        return _fused(self.weight_bits, self.activation_bits)


def fusion_costs(
    layers: LayerTable,
    array: FusionArray | None = None,
    energies: FusionEnergies | None = None,
) -> FusionCosts:
    """What layers cost on an array of fusion units.

    Args:
        layers: ``L`` rows, with weights and activations of at most 8 bits.
        array: The array; left out, that of the published table.
        energies: What actions cost, which decides between mappings of equal cycles.

    Returns:
        One value per row, in their order; NaN where the buffers hold no tile at all.

    Raises:
        DesignError: A layer that multiplies has more than 8 bits.
    """
    array, energies = array or FusionArray(), energies or FusionEnergies()
    _refuse_wide_layers(layers)
    rows, inverse = np.unique(_convolutions(layers), axis=0, return_inverse=True)
    found = {field.name: np.zeros(len(rows)) for field in fields(FusionCosts)}
    busy = np.flatnonzero(rows[:, 0] > 0.0)
    for first in range(0, len(busy), _BLOCK):
        some = busy[first : first + _BLOCK]
        for name, column in vars(_best(_Convolutions(*rows[some].T), array, energies)).items():
            found[name][some] = column * rows[some, 0]
    return FusionCosts(**{name: column[inverse.reshape(-1)] for name, column in found.items()})


def _refuse_wide_layers(layers: LayerTable) -> None:
    bits = np.maximum(layers.operand_bits, layers.activation_bits)
    wide = np.flatnonzero((layers.macs > 0) & (bits > _WIDEST))
    if len(wide):
        raise DesignError(
            "a layer has more bits than Bit Fusion's units are built for",
            where=f"layer row {int(wide[0])}",
            rule=f"at most {int(_WIDEST)} bits for weights and activations",
            given=f"{int(bits[wide[0]])} bits",
            cure="quantise the network, or cost it on processing elements of evaluators.pe",
        )


def _convolutions(layers: LayerTable) -> Floats:
    """The rows of `_Convolutions` as columns of one matrix, ``(L, 10)``."""
    groups = layers.groups.astype(np.float64)
    inputs, outputs = layers.C / groups, layers.K / groups
    bits = layers.operand_bits.astype(np.float64), layers.activation_bits.astype(np.float64)
    packed = np.maximum(np.floor(_PACKED * _fused(*bits) / inputs), 1.0)
    together = np.where(groups > 1.0, packed, 1.0)
    runs = np.where(layers.macs > 0, layers.N * np.ceil(groups / together), 0.0)
    shape = (layers.P, layers.Q, layers.R, layers.S, layers.stride)
    return np.stack(
        [runs, outputs * together, inputs * together, *shape, *bits], axis=1, dtype=np.float64
    )


def _fused(weight_bits: Floats, activation_bits: Floats) -> Floats:
    """MACs per cycle of fusion units that are built for the widest bits."""
    return PES["composable"].macs_per_cycle(weight_bits, activation_bits, _WIDEST, _WIDEST)


def _tiles(sizes: Floats) -> Floats:
    """Powers of two below each size, and the size, ``(m, longest)``; with repeats at the end."""
    longest = int(np.frexp(np.max(sizes) - 1.0)[1]) + 1 if np.max(sizes) > 1.0 else 1
    return np.asarray(np.minimum(np.exp2(np.arange(longest)), sizes[:, None]), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Tilings:
    """All tilings of some convolutions, ``(m, t)`` each.

    Attributes:
        counts: How often each of the four loops turns.
        bits: DRAM bits of one tile of inputs, weights, sums.
        fits: How many such tiles half a buffer holds.
        cycles: Cycles of computing all tiles.
    """

    counts: tuple[Floats, ...]
    bits: tuple[Floats, ...]
    fits: tuple[Floats, ...]
    cycles: Floats

    @classmethod
    def of(cls, one: _Convolutions, array: FusionArray) -> _Tilings:
        shape = _tiles(np.maximum(one.P, one.Q)), _tiles(one.C)
        wide = _tiles(np.ceil(one.K / array.columns)) * array.columns
        grids = (shape[0][:, :, None, None], shape[1][:, None, :, None], wide[:, None, None, :])
        side, i, c = (grid.reshape(len(one.K), -1) for grid in np.broadcast_arrays(*grids))
        K, C, P, Q, R, S, stride, weight, activation, fused = (
            column[:, None]
            for column in (
                one.K, one.C, one.P, one.Q, one.R, one.S, one.stride,
                one.weight_bits, one.activation_bits, one.fused,
            )
        )  # fmt: skip
        p, q, c = np.minimum(side, P), np.minimum(side, Q), np.minimum(c, K)
        deep, across = np.ceil(i / (array.rows * fused)), np.ceil(c / array.columns)
        counts = np.ceil(P / p), np.ceil(Q / q), np.ceil(C / i), np.ceil(K / c)
        plane = ((p - 1.0) * stride + R) * ((q - 1.0) * stride + S)
        held_i, held_c = deep * array.rows * fused, across * array.columns
        halves = np.array([array.input_buffer, array.weight_buffer, array.output_buffer])
        held = (
            plane * held_i * brick_bits(activation),
            R * S * held_i * held_c * brick_bits(weight),
            p * q * held_c * _SUM_BITS,
        )
        return cls(
            counts=counts,
            bits=(plane * i * activation, R * S * i * c * weight, p * q * c * _SUM_BITS),
            fits=tuple(half * _BYTE / 2.0 / size for half, size in zip(halves, held, strict=True)),
            cycles=counts[0] * counts[1] * counts[2] * counts[3] * deep * across * p * q * R * S,
        )

    def traffic(self, order: tuple[int, ...]) -> tuple[list[Floats], list[Floats]]:
        """DRAM bits of inputs, weights and sums: all together, and held at first; ``(m, t)``."""
        everything, at_first = [], []
        for needs, bits, fits in zip(_NEEDS, self.bits, self.fits, strict=True):
            loads, held = np.ones_like(bits), np.ones_like(bits)
            stays = fits >= 1.0
            for loop in reversed(order):
                if needs[loop]:
                    loads = loads * self.counts[loop]
                    stays = stays & (loads <= fits)
                    held = np.where(stays, loads, held)
                else:
                    loads = np.where(stays, loads, loads * self.counts[loop])
            everything.append(bits * loads)
            at_first.append(bits * held)
        return everything, at_first


def _mappings(one: _Convolutions, array: FusionArray) -> Iterator[FusionCosts]:
    """What every tiling costs in one order of the loops after the other, ``(m, t)`` each."""
    tilings = _Tilings.of(one, array)
    possible = np.logical_and.reduce([fits >= 1.0 for fits in tilings.fits])
    for order in _SQUARE if np.array_equal(one.P, one.Q) else _ORDERS:
        (inputs, weights, sums), first = tilings.traffic(order)
        moved = np.ceil((inputs + weights + 2.0 * sums) / array.bits_per_cycle)
        # Nothing hides loading before the first tile and storing after the last one.
        exposed = np.ceil(sum(first) / array.bits_per_cycle)
        exposed = exposed + np.ceil(first[2] / array.bits_per_cycle)
        cycles = exposed + np.maximum(tilings.cycles, moved - exposed)
        yield FusionCosts(
            cycles=np.where(possible, cycles, np.inf),
            compute_cycles=tilings.cycles,
            input_bits=inputs,
            weight_bits=weights,
            sum_bits=2.0 * sums,
        )


def _best(one: _Convolutions, array: FusionArray, energies: FusionEnergies) -> FusionCosts:
    """The mapping with the fewest cycles, and of those with the least energy, ``(m,)`` each."""
    best: dict[str, Floats] = {}
    lowest = least = np.full(len(one.K), np.inf)
    for costs in _mappings(one, array):
        energy = costs.energy(energies)
        fewest = costs.cycles.min(axis=1)
        frugal = np.where(costs.cycles == fewest[:, None], energy, np.inf)
        place = frugal.argmin(axis=1)[:, None]
        won = np.take_along_axis(frugal, place, axis=1)[:, 0]
        better = (fewest < lowest) | ((fewest == lowest) & (won < least))
        lowest, least = np.where(better, fewest, lowest), np.where(better, won, least)
        for name, column in vars(costs).items():
            here = np.take_along_axis(column, place, axis=1)[:, 0]
            best[name] = np.where(better, here, best.get(name, here))
    possible = np.isfinite(lowest)
    return FusionCosts(**{name: np.where(possible, c, np.nan) for name, c in best.items()})
