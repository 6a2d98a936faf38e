"""Mixed precision, one choice of weight and activation bits per layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.arrays import Columns, Ints
from hwnas.design.bit_widths import bits_of_cells, check_boundary, check_reach, settle_bits
from hwnas.design.candidates import check_positive
from hwnas.design.parts import QuantizationPolicy
from hwnas.space import Gene


@dataclass(frozen=True)
class BitsPerLayer(QuantizationPolicy):
    """One pair of bit widths per layer with weights, in order of execution.

    A policy is told the cell of a row, not its place in the network. So this policy is for networks
    that count each layer with weights as a cell of its own, from 1 on, as `FixedNetwork` does, and
    their poolings and additions to the cell of the layer before, whose activation bits they get. In
    a network whose cells have several layers, these share their bits.

    Attributes:
        layers: The number of layers with weights.
        weight_bits: Bits of a weight to choose from.
        activation_bits: Bits of an activation to choose from.
        boundary_bits: Bits of rows that belong to no cell.
    """

    layers: int = 21
    weight_bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    activation_bits: tuple[int, ...] = (4, 6, 8)
    boundary_bits: int = 8

    name: ClassVar[str] = "bits_per_layer"

    def __post_init__(self) -> None:
        check_positive(self, "layers")
        check_boundary(self, self.boundary_bits)
        settle_bits(self, "weight_bits", "activation_bits")

    def genes(self) -> tuple[Gene, ...]:
        """``quant.w1``, ``quant.a1``, ``quant.w2``, and so on: bits of weights and activations."""
        kinds = (("w", self.weight_bits), ("a", self.activation_bits))
        return tuple(
            Gene(f"quant.{kind}{layer}", choices)
            for layer in range(1, self.layers + 1)
            for kind, choices in kinds
        )

    def bits(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Bit widths of layer rows; see `QuantizationPolicy.bits`.

        Raises:
            SpaceError: The network has more layers than the policy.
        """
        check_reach(self, "layers", self.layers, cell)

        def of(kind: str) -> Ints:
            genes = [f"quant.{kind}{layer}" for layer in range(1, self.layers + 1)]
            return bits_of_cells(columns, genes, self.boundary_bits, design, cell)

        return of("w"), of("a")
