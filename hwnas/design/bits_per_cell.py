"""Mixed precision, one choice of weight and activation bits per cell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Columns, Ints
from hwnas.design.bit_widths import checked_bits
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
    """

    cells: int = 3
    weight_bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    activation_bits: tuple[int, ...] = (2, 3, 4, 6, 8)
    boundary_bits: int = 8
    cells_gene: str = "net.cells"

    name: ClassVar[str] = "bits_per_cell"

    def __post_init__(self) -> None:
        for option in ("weight_bits", "activation_bits"):
            values = checked_bits(self.name, option, getattr(self, option))
            object.__setattr__(self, option, values)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments as plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def genes(self) -> tuple[Gene, ...]:
        """Per cell its weight bits and its activation bits."""
        genes: list[Gene] = []
        for cell in range(1, self.cells + 1):
            exists = (When(self.cells_gene, at_least=cell),) if self.cells_gene and cell > 1 else ()
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
        if cell.size and cell.max() > self.cells:
            raise SpaceError(
                f"the network has a cell {cell.max()}, the policy bits for {self.cells}",
                rule="one pair of bit widths per cell",
                cure=f"bits_per_cell(cells={cell.max()})",
            )
        n = len(next(iter(columns.values())))
        boundary = np.full(n, self.boundary_bits, dtype=np.int64)

        def table(kind: str) -> Ints:
            per_cell = [columns[f"quant.cell{c}.{kind}"] for c in range(1, self.cells + 1)]
            return np.stack([boundary, *per_cell], axis=1).astype(np.int64)

        return table("weight_bits")[design, cell], table("activation_bits")[design, cell]
