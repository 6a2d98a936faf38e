"""The layers of a design as loop nests, which is how other tools see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.design import FLOAT_BITS, Design, Operator
from hwnas.errors import DesignError

LOOPS: Final = ("N", "G", "K", "C", "P", "Q", "R", "S")
"""Images, groups, filters and channels of one group, output lines and columns, kernel."""

OPERANDS: Final = ("weights", "inputs", "outputs")

RELEVANT: Final[Mapping[str, frozenset[str]]] = {
    "weights": frozenset("GKCRS"),
    "inputs": frozenset("NGCPQRS"),
    "outputs": frozenset("NGKPQ"),
}
"""The loops that change which element of an operand is used."""


@dataclass(frozen=True)
class Nest:
    """A layer of multiply-accumulates as a loop nest.

    Attributes:
        name: Kind and row, e.g. ``conv003``.
        row: The row of ``design.layers``.
        operator: CONVOLUTION, LINEAR or MATMUL.
        sizes: Loop to size. Where two activations are multiplied, every image has a second factor
            of its own: the images are groups then.
        stride: Stride, both directions.
        weight_bits: Bits of a weight, or of the second factor.
        activation_bits: Bits of an input or output.
    """

    name: str
    row: int
    operator: Operator
    sizes: Mapping[str, int]
    stride: int
    weight_bits: int
    activation_bits: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates: the product of all loops."""
        return int(np.prod(list(self.sizes.values()), dtype=object))

    @property
    def window(self) -> int:
        """Terms of one sum: C R S."""
        return self.sizes["C"] * self.sizes["R"] * self.sizes["S"]

    @property
    def pixels(self) -> int:
        """Output pixels of all images: N P Q."""
        return self.sizes["N"] * self.sizes["P"] * self.sizes["Q"]

    @property
    def sum_bits(self) -> int:
        """Bits of a partial sum: weight bits + activation bits + ceil(log2 C R S)."""
        return self.weight_bits + self.activation_bits + (self.window - 1).bit_length()

    def extent(self, outputs: int, kernel: int) -> int:
        """Input lines (or columns) under some output lines: (outputs - 1) stride + kernel."""
        return (outputs - 1) * self.stride + kernel

    def elements(self, operand: str, tile: Mapping[str, int]) -> int:
        """Elements of an operand that a tile of some loops touches; padding counts."""
        if operand == "inputs":
            lines = self.extent(tile["P"], tile["R"]) * self.extent(tile["Q"], tile["S"])
            return tile["N"] * tile["G"] * tile["C"] * lines
        return int(np.prod([tile[loop] for loop in RELEVANT[operand]], dtype=object))

    def bits(self, operand: str) -> int:
        """Bits of an element; partial sums for the outputs."""
        return {
            "weights": self.weight_bits,
            "inputs": self.activation_bits,
            "outputs": self.sum_bits,
        }[operand]


_KINDS: Final = {
    Operator.CONVOLUTION: "conv",
    Operator.LINEAR: "linear",
    Operator.MATMUL: "matmul",
}
"""The operators that other tools compute, and how their layers are called."""


def nests_of(design: Design, tool: str) -> tuple[tuple[Nest, ...], tuple[str, ...]]:
    """The layers with multiply-accumulates, in the order of execution.

    Args:
        design: With a network.
        tool: Whom they are for, for the messages.

    Returns:
        The layers, and notes on what is left out.

    Raises:
        DesignError: There are none, or the design has no network.
    """
    table = design.layers
    nests: list[Nest] = []
    without: dict[str, list[int]] = {}
    for row in range(len(table)):
        operator = Operator(int(table.operator[row]))
        if operator not in _KINDS:
            without.setdefault(operator.name, []).append(row)
            continue
        groups = int(table.groups[row])
        sizes = {loop: int(getattr(table, loop)[row]) for loop in "NPQRS"}
        sizes["K"], sizes["C"] = int(table.K[row]) // groups, int(table.C[row]) // groups
        sizes["G"] = groups
        if operator is Operator.MATMUL:
            sizes["G"], sizes["N"] = groups * sizes["N"], 1
        nests.append(
            Nest(
                name=f"{_KINDS[operator]}{row:03d}",
                row=row,
                operator=operator,
                sizes={loop: sizes[loop] for loop in LOOPS},
                stride=int(table.stride[row]),
                weight_bits=int(table.operand_bits[row]),
                activation_bits=int(table.activation_bits[row]),
            )
        )
    if not nests:
        raise DesignError(
            f"{tool} computes none of the layers of this design",
            rule="layers that multiply: " + ", ".join(operator.name for operator in _KINDS),
            given=", ".join(without) or "no layers",
        )
    notes = [f"{name} is left out: {_rows(rows)}." for name, rows in without.items()]
    rows = [nest.row for nest in nests]
    sparse = [row for row in rows if table.density[row] < 1.0]
    if sparse:
        notes.append(f"Densities are left out, all weights count: {_rows(sparse)}.")
    if any(FLOAT_BITS in (nest.weight_bits, nest.activation_bits) for nest in nests):
        notes.append("Single-precision layers are written as 32-bit integers, as we count them.")
    notes.append("Every layer goes from DRAM to DRAM, as in our own figures.")
    return tuple(nests), tuple(notes)


def _rows(rows: list[int]) -> str:
    return ("row " if len(rows) == 1 else "rows ") + ", ".join(map(str, rows))
