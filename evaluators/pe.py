"""Processing elements that do more when bits are fewer: throughput, energy, area; vectorised.

A processing element (PE) is built for operands of the widest bits that it will meet, and then runs
layers of fewer bits. What a PE is here: whatever one cell of an array holds. Registers are told
apart from logic: how many bits are latched per MAC depends on the dataflow, so their energy is the
caller's; their area and leakage are in the PE.

What is measured by others, and what is assumed:

* Fixed-width PEs are those of `evaluators.systolic`: a product of a and b bits costs a b times the
  energy of one bit x bit, because only so many bits switch; area is that of the widest operands.
* Composable PEs are fusion units of 2 x 2 bit bricks (Sharma et al., "Bit Fusion", ISCA 2018). Bits
  are rounded up to 2, 4, 8, 16, 32. What fusing costs is taken from that paper's synthesis at
  500 MHz in 45 nm, published with its simulator (results/systolic_array_synth.csv): one fusion
  unit against one fixed-width PE of the same bits. A unit burns the same power however it is fused,
  which is that simulator's own assumption, so energy per MAC is inverse to the MACs per cycle. The
  table ends at 16 bits; wider units are assumed to cost as many times as much as at 16.
* Serial PEs take one bit per cycle of one operand or of both. Judd et al. ("Stripes", MICRO 2016)
  report 32 % more area than a bit-parallel chip of equal peak, 1.92 times its speed and 57 % more
  energy efficiency, hence 1.92 / 1.57 = 1.22 times its power. Those are averages over whole chips
  with 16-bit activations; that they hold per PE, for other bits, for serial weights too, and for
  leakage in proportion to area, is assumed. Lee et al. ("UNPU", JSSC 2019) find 23 % to 54 % *less*
  energy than a fixed-width MAC for PEs with look-up tables, so the figure here is on the safe side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from evaluators.technology import Logic, Technology
from hwnas.arrays import Floats

_BRICKS: Final = np.array([1.0, 4.0, 16.0, 64.0])
"""Bricks of the fusion units that were synthesised: 2, 4, 8 and 16 bit operands."""
_FUSION_AREA: Final = np.array(
    [1.0, 431.474398 / 282.239998, 1733.129989 / 687.6072, 7492.413585 / 2203.236034]
)
"""Area of a fusion unit / of a fixed-width PE, by bricks, um^2 each (Bit Fusion's synthesis)."""
_FUSION_POWER: Final = np.array([1.0, 78470.1 / 60101.7, 279960 / 148845, 1166200 / 473688])
"""Likewise for dynamic power, nW."""
_FUSION_LEAKAGE: Final = np.array([1.0, 13545 / 7780.7, 64314 / 22952, 274220 / 68980])
"""Likewise for leakage, nW."""

_SERIAL_AREA: Final = 1.32
"""Logic of as many serial PEs as match a bit-parallel one / that one's (Stripes, abstract)."""
_SERIAL_POWER: Final = 1.92 / 1.57
"""Speed-up / gain in energy efficiency over a bit-parallel chip (Stripes, abstract)."""
_LANES: Final = 16.0
"""Serial products that one shift-accumulator adds up (Stripes: the 16 of an inner-product unit)."""


def accumulator_bits(weight_bits: Floats, activation_bits: Floats, window: Floats) -> Floats:
    """Bits that the sum of a window of products needs, so that it cannot overflow.

    A product of w and a bits has w + a bits; a sum of W of them has ceil(log2 W) more.

    Args:
        weight_bits: Bits of a weight.
        activation_bits: Bits of an activation.
        window: Products that are added up, at least 1.

    Returns:
        w + a + ceil(log2 W), broadcast.
    """
    # ceil(log2 W) is the number of binary digits of W - 1, which frexp gives exactly.
    growth = np.frexp(np.maximum(window - 1.0, 0.0))[1]
    return np.asarray(weight_bits + activation_bits + growth, dtype=np.float64)


def brick_bits(bits: Floats) -> Floats:
    """Bits rounded up to what 2-bit bricks fuse to: 2, 4, 8, 16, 32."""
    # As above, frexp counts the digits of bits - 1: the exponent of the next power of two.
    return np.asarray(np.exp2(np.frexp(np.maximum(bits, 2.0) - 1.0)[1]), dtype=np.float64)


@dataclass(frozen=True)
class ProcessingElement(ABC):
    """One kind of PE. Stateless; all arrays are ``float64`` and broadcast against each other.

    Results broadcast to the common shape too; what does not depend on a column may be smaller.
    Energy, area and leakage never grow, and MACs per cycle never shrink, when bits become fewer.
    """

    @abstractmethod
    def macs_per_cycle(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
    ) -> Floats:
        """Multiply-accumulates of one PE per clock cycle; below 1 for serial PEs.

        Args:
            weight_bits: Bits of a layer's weights, not above the widest.
            activation_bits: Bits of its activations, not above the widest.
            widest_weight: Bits of the weights that the PE is built for.
            widest_activation: Bits of the activations that the PE is built for.
        """

    @abstractmethod
    def energy_per_mac(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        sum_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """Energy of multiplying and adding up, without registers, J per MAC.

        Args:
            weight_bits: Bits of a layer's weights, not above the widest.
            activation_bits: Bits of its activations, not above the widest.
            sum_bits: Bits of its partial sums (see `accumulator_bits`), not above the widest.
            widest_weight: Bits of the weights that the PE is built for.
            widest_activation: Bits of the activations that the PE is built for.
            widest_sum: Bits of the sums that the PE is built for.
            technology: What actions cost.
        """

    @abstractmethod
    def area(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """Area of one PE with its registers, m^2; 0 where all bits are 0."""

    @abstractmethod
    def leakage(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """Leakage of one PE with its registers, W; 0 where all bits are 0."""


def _areas(technology: Technology) -> tuple[float, float, float]:
    """Area per bit of multiplier, adder and register, m^2."""
    return technology.multiplier.area, technology.adder.area, technology.register.area


def _leakages(technology: Technology) -> tuple[float, float, float]:
    """Leakage per bit of multiplier, adder and register, W."""
    parts: tuple[Logic, ...] = (technology.multiplier, technology.adder, technology.register)
    multiplier, adder, register = (part.leakage for part in parts)
    return multiplier, adder, register


@dataclass(frozen=True)
class FixedWidth(ProcessingElement):
    """A parallel multiplier and an adder: one MAC per cycle, whatever its bits.

    Narrow operands save energy (fewer bits switch) but no time. The numbers are those of
    `evaluators.systolic_costs`, to the last bit.
    """

    def macs_per_cycle(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
    ) -> Floats:
        """One; see `ProcessingElement.macs_per_cycle`."""
        columns = (weight_bits, activation_bits, widest_weight, widest_activation)
        return np.ones(np.broadcast_shapes(*(np.shape(column) for column in columns)))

    def energy_per_mac(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        sum_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """Of the bits that switch; see `ProcessingElement.energy_per_mac`."""
        return np.asarray(
            technology.multiplier.energy * weight_bits * activation_bits
            + technology.adder.energy * sum_bits
        )

    def area(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """See `ProcessingElement.area`."""
        return _parallel(widest_weight, widest_activation, widest_sum, _areas(technology))

    def leakage(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """See `ProcessingElement.leakage`."""
        return _parallel(widest_weight, widest_activation, widest_sum, _leakages(technology))


def _parallel(
    weight: Floats, activation: Floats, total: Floats, each: tuple[float, float, float]
) -> Floats:
    """Multiplier, adder and registers of a parallel PE, each at so much per bit."""
    multiplier, adder, register = each
    sizes = weight + activation + total
    return np.asarray(
        multiplier * (weight * activation) + adder * total + register * sizes, dtype=np.float64
    )


@dataclass(frozen=True)
class Serial(ProcessingElement):
    """A PE that takes some operand bit by bit, so that its time is in proportion to the bits.

    One lane of an inner-product unit: an AND of a bit with a whole operand (or with a bit), and
    its share of the shift-accumulator. A lane is as much smaller than a fixed-width PE as it is
    slower at the widest bits, but for the overhead; an array of serial PEs therefore needs more of
    them for the same peak.

    Attributes:
        weights: Whether weights are serial.
        activations: Whether activations are serial.
    """

    weights: bool
    activations: bool

    def macs_per_cycle(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
    ) -> Floats:
        """The inverse of the serial bits; see `ProcessingElement.macs_per_cycle`."""
        wide = np.broadcast_arrays(weight_bits, activation_bits, widest_weight, widest_activation)
        return 1.0 / self._cycles(wide[0], wide[1])

    def energy_per_mac(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        sum_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """All partial products, and an accumulation per cycle that the lanes share.

        See `ProcessingElement.energy_per_mac`.
        """
        products = technology.multiplier.energy * weight_bits * activation_bits
        sums = technology.adder.energy * sum_bits * self._cycles(weight_bits, activation_bits)
        return np.asarray(_SERIAL_POWER * (products + sums / _LANES))

    def area(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """See `ProcessingElement.area`."""
        return self._lane(widest_weight, widest_activation, widest_sum, _areas(technology))

    def leakage(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """See `ProcessingElement.leakage`."""
        return self._lane(widest_weight, widest_activation, widest_sum, _leakages(technology))

    def _cycles(self, weight_bits: Floats, activation_bits: Floats) -> Floats:
        """Cycles per MAC; at least 1, also where there are no bits."""
        cycles = np.ones(np.broadcast_shapes(np.shape(weight_bits), np.shape(activation_bits)))
        if self.weights:
            cycles = cycles * np.maximum(weight_bits, 1.0)
        if self.activations:
            cycles = cycles * np.maximum(activation_bits, 1.0)
        return cycles

    def _lane(
        self, weight: Floats, activation: Floats, total: Floats, each: tuple[float, float, float]
    ) -> Floats:
        """AND gates, share of the accumulator, and registers of one lane, at so much per bit."""
        multiplier, adder, register = each
        held_weight = np.minimum(weight, 1.0) if self.weights else weight
        held_activation = np.minimum(activation, 1.0) if self.activations else activation
        share = total / _LANES
        logic = multiplier * (held_weight * held_activation) + adder * share
        return np.asarray(
            _SERIAL_AREA * logic + register * (held_weight + held_activation + share),
            dtype=np.float64,
        )


@dataclass(frozen=True)
class Composable(ProcessingElement):
    """A fusion unit: 2 x 2 bit bricks that fuse to fewer wide or more narrow multipliers.

    Built for 8 x 8 bits it has 16 bricks and does 1 MAC of 8 x 8 bits per cycle, 2 of 4 x 8, 4 of
    4 x 4 or 2 x 8, 16 of 2 x 2. Their products go to one sum, so what an array unrolls over PEs and
    bricks alike must be terms of one window, or groups that its wiring keeps apart.
    """

    def macs_per_cycle(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
    ) -> Floats:
        """How often the layer's bricks fit; see `ProcessingElement.macs_per_cycle`."""
        built = brick_bits(widest_weight) * brick_bits(widest_activation)
        return np.asarray(built / (brick_bits(weight_bits) * brick_bits(activation_bits)))

    def energy_per_mac(
        self,
        weight_bits: Floats,
        activation_bits: Floats,
        sum_bits: Floats,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """The unit's energy per cycle, shared by the MACs of the cycle; sums are always widest.

        See `ProcessingElement.energy_per_mac`.
        """
        weight, activation = brick_bits(widest_weight), brick_bits(widest_activation)
        cycle = (
            technology.multiplier.energy * weight * activation
            + technology.adder.energy * widest_sum
        ) * _overhead(weight * activation, _FUSION_POWER)
        shared = self.macs_per_cycle(weight_bits, activation_bits, weight, activation)
        return np.asarray(cycle / shared + np.zeros_like(sum_bits))

    def area(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """See `ProcessingElement.area`."""
        return _unit(widest_weight, widest_activation, widest_sum, _areas(technology), _FUSION_AREA)

    def leakage(
        self,
        widest_weight: Floats,
        widest_activation: Floats,
        widest_sum: Floats,
        technology: Technology,
    ) -> Floats:
        """See `ProcessingElement.leakage`."""
        each = _leakages(technology)
        return _unit(widest_weight, widest_activation, widest_sum, each, _FUSION_LEAKAGE)


def _overhead(bit_products: Floats, measured: Floats) -> Floats:
    """What a fusion unit costs / what a fixed-width PE costs, by its bit x bit products.

    Between the units that were synthesised it is linear in the logarithm of the bricks.
    """
    bricks = np.log2(np.maximum(bit_products / 4.0, 1.0))
    return np.asarray(np.interp(bricks, np.log2(_BRICKS), measured), dtype=np.float64)


def _unit(
    widest_weight: Floats,
    widest_activation: Floats,
    widest_sum: Floats,
    each: tuple[float, float, float],
    measured: Floats,
) -> Floats:
    """A fusion unit with its registers, at so much per bit; nothing where there are no bits."""
    weight = np.where(np.asarray(widest_weight) > 0.0, brick_bits(widest_weight), 0.0)
    activation = np.where(np.asarray(widest_activation) > 0.0, brick_bits(widest_activation), 0.0)
    plain = _parallel(weight, activation, widest_sum, each)
    return plain * _overhead(weight * activation, measured)


PES: Final[Mapping[str, ProcessingElement]] = MappingProxyType(
    {
        "fixed": FixedWidth(),
        "weight_serial": Serial(weights=True, activations=False),
        "activation_serial": Serial(weights=False, activations=True),
        "bit_serial": Serial(weights=True, activations=True),
        "composable": Composable(),
    }
)
"""By the values of the accelerator parameter ``pe``.

Weights are serial in UNPU (Lee et al., JSSC 2019), activations in Stripes (Judd et al., MICRO
2016), both (``bit_serial``) in Loom (Sharify et al., DAC 2018) and BISMO (Umuroglu et al., FPL
2018); ``composable`` is Bit Fusion (Sharma et al., ISCA 2018).
"""
