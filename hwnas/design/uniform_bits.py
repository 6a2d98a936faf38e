"""One choice of weight bits and one of activation bits for the whole network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from hwnas.arrays import Columns, Ints
from hwnas.design.bit_widths import settle_bits
from hwnas.design.parts import QuantizationPolicy
from hwnas.space import Gene


@dataclass(frozen=True)
class UniformBits(QuantizationPolicy):
    """The same bit widths for all layers, stem and head included.

    Attributes:
        weight_bits: Bits of a weight to choose from.
        activation_bits: Bits of an activation to choose from.
    """

    weight_bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    activation_bits: tuple[int, ...] = (4, 6, 8)

    name: ClassVar[str] = "uniform_bits"

    def __post_init__(self) -> None:
        settle_bits(self, "weight_bits", "activation_bits")

    def genes(self) -> tuple[Gene, ...]:
        """``quant.weight_bits`` and ``quant.activation_bits``."""
        return (
            Gene("quant.weight_bits", self.weight_bits),
            Gene("quant.activation_bits", self.activation_bits),
        )

    def bits(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Bit widths of layer rows; see `QuantizationPolicy.bits`."""
        weight, activation = (columns[gene.name].astype(np.int64) for gene in self.genes())
        return weight[design], activation[design]
