"""Mixed precision, one choice of weight and activation bits per cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas.arrays import Columns, Ints
from hwnas.design.bit_widths import bits_of_cells, check_boundary, check_reach, settle_bits
from hwnas.design.candidates import check_positive
from hwnas.design.parts import QuantizationPolicy
from hwnas.errors import SpaceError
from hwnas.space import Gene, When


@dataclass(frozen=True)
class BitsPerCell(QuantizationPolicy):
    """One pair of bit widths per cell; stem and head keep fixed ones, as is usual.

    Attributes:
        cells: The largest number of cells of the network.
        weight_bits: Bits of a weight to choose from.
        activation_bits: Bits of an activation to choose from.
        boundary_bits: Bits of weights and activations of stem and head.
        cells_gene: The gene that says how many cells a network has: the bits of an absent cell
            are inactive. Empty if all cells always exist.
        exists: In place of that, for each cell a gene and the value from which on the cell exists,
            e.g. the ``blocks`` of `hwnas.design.MBConv`. Empty if `cells_gene` says it all.
    """

    cells: int = 3
    weight_bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    activation_bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    boundary_bits: int = 8
    cells_gene: str = "net.cells"
    exists: tuple[tuple[str, float], ...] = ()

    name: ClassVar[str] = "bits_per_cell"

    def __post_init__(self) -> None:
        check_positive(self, "cells")
        check_boundary(self, self.boundary_bits)
        settle_bits(self, "weight_bits", "activation_bits")
        object.__setattr__(self, "exists", tuple((gene, at) for gene, at in self.exists))
        if self.exists and len(self.exists) != self.cells:
            raise SpaceError(
                f"bits_per_cell has {self.cells} cells, but conditions for {len(self.exists)}",
                rule="one pair of a gene and its least value per cell, or none at all",
            )

    def _conditions(self, cell: int) -> tuple[When, ...]:
        if self.exists:
            gene, least = self.exists[cell - 1]
            return (When(gene, at_least=least),)
        return (When(self.cells_gene, at_least=cell),) if self.cells_gene and cell > 1 else ()

    def genes(self) -> tuple[Gene, ...]:
        """Per cell its weight bits and its activation bits."""
        genes: list[Gene] = []
        for cell in range(1, self.cells + 1):
            exists = self._conditions(cell)
            genes.append(Gene(f"quant.cell{cell}.weight_bits", self.weight_bits, when=exists))
            genes.append(
                Gene(f"quant.cell{cell}.activation_bits", self.activation_bits, when=exists)
            )
        return tuple(genes)

    def bits(self, columns: Columns, design: Ints, cell: Ints) -> tuple[Ints, Ints]:
        """Bit widths of layer rows; see `QuantizationPolicy.bits`.

        Raises:
            SpaceError: The network has more cells than the policy.
        """
        check_reach(self, "cells", self.cells, cell)

        def of(kind: str) -> Ints:
            genes = [f"quant.cell{cell}.{kind}" for cell in range(1, self.cells + 1)]
            return bits_of_cells(columns, genes, self.boundary_bits, design, cell)

        return of("weight_bits"), of("activation_bits")
