"""The layer table: all layers of all designs of a batch, one flat row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints

FLOAT_BITS = 32
"""The bits of a layer that no quantization policy touches: single-precision floats."""


class Operator(IntEnum):
    """What a layer computes."""

    CONVOLUTION = 0
    """Also grouped and depthwise convolution (``groups``)."""
    LINEAR = 1
    """Fully connected, R = S = 1: a vector (P = Q = 1), or each of P tokens by itself."""
    POOL = 2
    """Pooling over R x S windows, the whole image for global pooling: no MACs."""
    ADD = 3
    """Element-wise function of two inputs of one size, such as their sum: no MACs."""
    MATMUL = 4
    """Product of two activations per group: (P Q x C/groups) times (C/groups x K/groups).

    R = S = stride = 1. Attention with h heads of width d and T tokens has groups = h and P = T; its
    scores have C = h d and K = h T, its values C = h T and K = h d.
    """
    ELEMENTWISE = 5
    """Work on one input that costs its traffic alone, K = C: softmax, normalisation, scaling."""
    EMBEDDING = 6
    """P Q rows looked up in a table of C rows with K weights each: no MACs."""
    SHIFT = 7
    """A convolution whose weights are powers of two: a shift in place of each product."""
    ADDER = 8
    """A convolution with |x - w| in place of each product: additions alone."""


def _codes(*operators: Operator) -> tuple[int, ...]:
    return tuple(int(operator) for operator in operators)


_MULTIPLYING: Final = _codes(Operator.CONVOLUTION, Operator.LINEAR, Operator.MATMUL)
_ACCUMULATING: Final = (*_MULTIPLYING, *_codes(Operator.SHIFT, Operator.ADDER))
_WITH_WEIGHTS: Final = _codes(
    Operator.CONVOLUTION, Operator.LINEAR, Operator.EMBEDDING, Operator.SHIFT, Operator.ADDER
)


@dataclass(frozen=True, eq=False)
class LayerTable:
    """A struct of arrays with ``L`` rows, sorted by design and, within, in order of execution.

    The first axis is the layer row; per-design sums are one `np.bincount` over `design`. What is
    computed while a layer's results are written has no row: biases, batch normalisation, and
    activation functions of one element. Shift and adder layers are those of You et al.,
    "ShiftAddNet: a hardware-inspired deep network", NeurIPS 2020.

    Attributes:
        n: Number of designs (a design may have no row).
        design: The row's design, ``int64 (L,)``, ascending.
        operator: `Operator` codes, ``int64 (L,)``.
        N: Batch size.
        K: Output channels (all groups together).
        C: Input channels (all groups together).
        P: Output height; tokens of a sequence.
        Q: Output width.
        R: Kernel height.
        S: Kernel width.
        stride: Stride, both directions.
        groups: Groups of channels that do not mix; ``C`` for a depthwise convolution.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an input and of an output activation.
        density: Share of weights that are not zero, ``float64 (L,)``.
        cell: The cell of the network that the row belongs to, counted from 1; 0 for stem and head.
        tiling: Number of the off-chip tiling in `hwnas.design.mappings.TILINGS`, from 1; 0 for
            the best.
        stay: Number of what stays in the registers in `hwnas.design.mappings.STAYS`, from 1; 0 for
            the best.
    """

    n: int
    design: Ints
    operator: Ints
    N: Ints
    K: Ints
    C: Ints
    P: Ints
    Q: Ints
    R: Ints
    S: Ints
    stride: Ints
    groups: Ints
    weight_bits: Ints
    activation_bits: Ints
    density: Floats
    cell: Ints
    tiling: Ints
    stay: Ints

    def __len__(self) -> int:
        return len(self.design)

    @property
    def accumulations(self) -> Ints:
        """Terms that are summed up per row, dense, ``(L,)``: N K C/groups P Q R S.

        They are products, or what is in place of them (SHIFT, ADDER); 0 for all other operators.
        """
        dense = self.N * self.K * (self.C // self.groups) * self.P * self.Q * self.R * self.S
        return np.where(np.isin(self.operator, _ACCUMULATING), dense, 0)

    @property
    def macs(self) -> Ints:
        """Multiply-accumulates per row, dense, ``(L,)``: N K C/groups P Q R S.

        Of CONVOLUTION, LINEAR and MATMUL; 0 for all others, also for SHIFT and ADDER.
        """
        return np.where(np.isin(self.operator, _MULTIPLYING), self.accumulations, 0)

    @property
    def shifts(self) -> Ints:
        """Shifts in place of products per row, ``(L,)``: the accumulations of SHIFT."""
        return np.where(self.operator == int(Operator.SHIFT), self.accumulations, 0)

    @property
    def additions(self) -> Ints:
        """Additions in place of MACs per row, ``(L,)``.

        Per accumulation one of SHIFT (the sum), two of ADDER (difference and sum).
        """
        each = np.where(self.operator == int(Operator.ADDER), 2, 1)
        return (self.accumulations - self.macs) * each

    @property
    def weights(self) -> Ints:
        """Weights per row, dense and without biases, ``(L,)``: K C/groups R S.

        Of all operators that have weights (see `has_weights`); the whole table of EMBEDDING.
        """
        dense = self.K * (self.C // self.groups) * self.R * self.S
        return np.where(self.has_weights, dense, 0)

    @property
    def inputs(self) -> Ints:
        """Input activations that the kernel touches, per row, ``(L,)``.

        Height and width are (P-1) stride + R and (Q-1) stride + S: padding counts, as the array
        sees it. With them it is N C height width; ADD has twice as many. MATMUL has
        N (C P Q + K C/groups), both factors, and EMBEDDING N P Q, the numbers of the rows.
        """
        height = (self.P - 1) * self.stride + self.R
        width = (self.Q - 1) * self.stride + self.S
        one: Ints = self.N * self.C * height * width
        sources: Ints = np.where(self.operator == int(Operator.ADD), 2, 1)
        second = self.N * self.K * (self.C // self.groups)
        all_of_them = one * sources + np.where(self.operator == int(Operator.MATMUL), second, 0)
        embedding = self.operator == int(Operator.EMBEDDING)
        return np.where(embedding, self.N * self.P * self.Q, all_of_them)

    @property
    def outputs(self) -> Ints:
        """Output activations per row, ``(L,)``: N K P Q."""
        return self.N * self.K * self.P * self.Q

    @property
    def has_weights(self) -> Bools:
        """``bool (L,)``: CONVOLUTION, LINEAR, EMBEDDING, SHIFT and ADDER."""
        return np.isin(self.operator, _WITH_WEIGHTS)

    @property
    def operand_bits(self) -> Ints:
        """Bits of what inputs are multiplied with, ``(L,)``.

        The weight bits; the activation bits for MATMUL, whose second factor is an activation.
        """
        return np.where(
            self.operator == int(Operator.MATMUL), self.activation_bits, self.weight_bits
        )

    def total(self, values: Floats | Ints) -> Floats:
        """Sums one value per row over the rows of each design.

        Args:
            values: ``(L,)``.

        Returns:
            ``float64 (n,)``.
        """
        weights = np.asarray(values, dtype=np.float64)
        return np.bincount(self.design, weights=weights, minlength=self.n).astype(np.float64)

    def with_bits(self, weight_bits: Ints, activation_bits: Ints) -> LayerTable:
        """The same layers at other bit widths, each ``(L,)``."""
        return replace(self, weight_bits=weight_bits, activation_bits=activation_bits)

    def take(self, designs: Sequence[int]) -> LayerTable:
        """The rows of some designs, which are numbered anew from 0 in the order given."""
        starts = np.searchsorted(self.design, designs, side="left")
        stops = np.searchsorted(self.design, designs, side="right")
        counts = stops - starts
        rows = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "n"}
        columns["design"] = np.repeat(np.arange(len(counts)), counts)
        return LayerTable(n=len(counts), **columns)

    @classmethod
    def merged(cls, n: int, tables: Sequence[LayerTable], designs: Sequence[Ints]) -> LayerTable:
        """One table of several, whose designs are put in their places.

        Args:
            n: Number of designs.
            tables: At least one.
            designs: Per table the new numbers of its designs; all of them differ.
        """
        places = [new[table.design] for table, new in zip(tables, designs, strict=True)]
        design = np.concatenate(places)
        order = np.argsort(design, kind="stable")
        names = [field.name for field in fields(cls) if field.name not in ("n", "design")]
        columns = {k: np.concatenate([getattr(t, k) for t in tables])[order] for k in names}
        return cls(n=n, design=design[order], **columns)

    @classmethod
    def of(cls, n: int, design: Ints, **columns: Ints | Floats | int | float) -> LayerTable:
        """Builds a table from columns, broadcasting scalars and filling in the usual values.

        Args:
            n: Number of designs.
            design: ``int64 (L,)``.
            **columns: Any of the columns. Left out: operator CONVOLUTION, N = P = Q = R = S =
                stride = groups = 1, bits `FLOAT_BITS`, density 1, cell, tiling and stay 0; K and C
                are needed.
        """
        usual: dict[str, int | float] = {
            "operator": Operator.CONVOLUTION,
            **dict.fromkeys(("N", "P", "Q", "R", "S", "stride", "groups"), 1),
            "weight_bits": FLOAT_BITS,
            "activation_bits": FLOAT_BITS,
            "density": 1.0,
            "cell": 0,
            "tiling": 0,
            "stay": 0,
        }
        length = (len(design),)
        table: dict[str, Any] = {
            name: np.broadcast_to(
                np.asarray(value, dtype=np.float64 if name == "density" else np.int64), length
            )
            for name, value in {**usual, **columns}.items()
        }
        return cls(n=n, design=np.asarray(design, dtype=np.int64), **table)
