"""What takes the place of products in shift and adder layers, and what they need to be built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluators.dataflows import Gemms
from evaluators.pe import ProcessingElement
from evaluators.technology import Technology
from hwnas.arrays import Bools, Floats
from hwnas.design import LayerTable


def energy_per_mac(g: Gemms, multiplying: Floats, costs: Technology) -> Floats:
    """Energy of one step of each layer, without registers, J, ``(L,)``.

    A shift layer shifts an activation and adds it up; an adder layer (Chen et al., "AdderNet", CVPR
    2020) takes a difference, which is one bit wider than its operands, and adds it up.

    Args:
        g: Layers.
        multiplying: What a product and its sum cost, J, ``(L,)``.
        costs: What actions cost.
    """
    summing = costs.adder.energy * g.sum_bits
    difference = costs.adder.energy * (np.maximum(g.weight_bits, g.activation_bits) + 1.0)
    shifting = costs.shifter.energy * g.activation_bits
    instead = np.where(g.adders > 0, difference + summing, multiplying)
    return np.where(g.shifts > 0, shifting + summing, instead)


@dataclass(frozen=True, eq=False)
class Widest:
    """The widest operands of each network, bits, ``(n,)`` each; 0 where there are none.

    Attributes:
        weight: Weights that are multiplied.
        activation: Activations that are multiplied.
        total: Partial sums.
        shifted: Activations that are shifted.
        difference: Differences of adder layers.
    """

    weight: Floats
    activation: Floats
    total: Floats
    shifted: Floats
    difference: Floats

    @classmethod
    def of(cls, table: LayerTable, g: Gemms) -> Widest:
        """Of all layers of each network."""
        real = g.gemms > 0
        products = real & (g.shifts + g.adders == 0.0)
        return cls(
            weight=widest(table, g.weight_bits, products),
            activation=widest(table, g.activation_bits, products),
            total=widest(table, g.sum_bits, real),
            shifted=widest(table, g.activation_bits, real & (g.shifts > 0)),
            difference=widest(
                table, np.maximum(g.weight_bits, g.activation_bits) + 1.0, real & (g.adders > 0)
            ),
        )

    @classmethod
    def nothing(cls, n: int) -> Widest:
        """That of ``n`` networks without layers."""
        return cls(*(np.zeros(n) for _ in range(5)))

    def pe_area(self, pe: ProcessingElement, costs: Technology) -> Floats:
        """Area of one processing element, register files apart, m^2, ``(n,)``."""
        area = pe.area(self.weight, self.activation, self.total, costs)
        return area + costs.shifter.area * self.shifted + costs.adder.area * self.difference

    def pe_leakage(self, pe: ProcessingElement, costs: Technology) -> Floats:
        """Leakage of one, register files apart, W, ``(n,)``."""
        leakage = pe.leakage(self.weight, self.activation, self.total, costs)
        shifter, adder = costs.shifter.leakage, costs.adder.leakage
        return leakage + shifter * self.shifted + adder * self.difference


def widest(table: LayerTable, bits: Floats, which: Bools) -> Floats:
    """The most bits in each network, ``(n,)``; 0 where it has no such layer.

    Args:
        table: ``L`` layers of ``n`` networks.
        bits: Of each layer, ``(L,)``.
        which: The layers that count, ``(L,)``.
    """
    most = np.zeros(table.n)
    if which.any():
        np.maximum.at(most, table.design, np.where(which, bits, 0.0))
    return most
