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
    """Fully connected: P = Q = R = S = 1."""
    POOL = 2
    """Pooling over R x S windows: no MACs."""
    ADD = 3
    """Element-wise addition of a second input: no MACs."""


_WITH_WEIGHTS: Final = (int(Operator.CONVOLUTION), int(Operator.LINEAR))


@dataclass(frozen=True, eq=False)
class LayerTable:
    """A struct of arrays with ``L`` rows, sorted by design and, within, in order of execution.

    The first axis is the layer row; per-design sums are one `np.bincount` over `design`.

    Attributes:
        n: Number of designs (a design may have no row).
        design: The row's design, ``int64 (L,)``, ascending.
        operator: `Operator` codes, ``int64 (L,)``.
        N: Batch size.
        K: Output channels (all groups together).
        C: Input channels (all groups together).
        P: Output height.
        Q: Output width.
        R: Kernel height.
        S: Kernel width.
        stride: Stride, both directions.
        groups: Groups of channels that do not mix; ``C`` for a depthwise convolution.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an input and of an output activation.
        density: Share of weights that are not zero, ``float64 (L,)``.
        cell: The cell of the network that the row belongs to, counted from 1; 0 for stem and head.
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

    def __len__(self) -> int:
        return len(self.design)

    @property
    def macs(self) -> Ints:
        """Multiply-accumulates per row, dense, ``(L,)``: N K C/groups P Q R S, or 0."""
        dense = self.N * self.K * (self.C // self.groups) * self.P * self.Q * self.R * self.S
        return np.where(self.has_weights, dense, 0)

    @property
    def weights(self) -> Ints:
        """Weights per row, dense and without biases, ``(L,)``: K C/groups R S."""
        dense = self.K * (self.C // self.groups) * self.R * self.S
        return np.where(self.has_weights, dense, 0)

    @property
    def inputs(self) -> Ints:
        """Input activations that the kernel touches, per row, ``(L,)``.

        Height and width are (P-1) stride + R and (Q-1) stride + S: padding counts, as the array
        sees it. An addition has two inputs.
        """
        height = (self.P - 1) * self.stride + self.R
        width = (self.Q - 1) * self.stride + self.S
        one: Ints = self.N * self.C * height * width
        sources: Ints = np.where(self.operator == int(Operator.ADD), 2, 1)
        return one * sources

    @property
    def outputs(self) -> Ints:
        """Output activations per row, ``(L,)``."""
        return self.N * self.K * self.P * self.Q

    @property
    def has_weights(self) -> Bools:
        """``bool (L,)``: convolutions and fully connected layers."""
        return np.isin(self.operator, _WITH_WEIGHTS)

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
    def of(cls, n: int, design: Ints, **columns: Ints | Floats | int | float) -> LayerTable:
        """Builds a table from columns, broadcasting scalars and filling in the usual values.

        Args:
            n: Number of designs.
            design: ``int64 (L,)``.
            **columns: Any of the columns. Left out: operator CONVOLUTION, N = P = Q = R = S =
                stride = groups = 1, bits `FLOAT_BITS`, density 1, cell 0; K and C are needed.
        """
        usual: dict[str, int | float] = {
            "operator": Operator.CONVOLUTION,
            **dict.fromkeys(("N", "P", "Q", "R", "S", "stride", "groups"), 1),
            "weight_bits": FLOAT_BITS,
            "activation_bits": FLOAT_BITS,
            "density": 1.0,
            "cell": 0,
        }
        length = (len(design),)
        table: dict[str, Any] = {
            name: np.broadcast_to(
                np.asarray(value, dtype=np.float64 if name == "density" else np.int64), length
            )
            for name, value in {**usual, **columns}.items()
        }
        return cls(n=n, design=np.asarray(design, dtype=np.int64), **table)
