"""One row of the layer table at a time: how networks that are not searched are written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from hwnas.design.graph import Graph
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.errors import DesignError

_WITH_WEIGHTS: Final = (
    Operator.CONVOLUTION, Operator.LINEAR, Operator.EMBEDDING, Operator.SHIFT, Operator.ADDER
)  # fmt: skip
_ONE_WINDOW: Final = (Operator.LINEAR, Operator.MATMUL, Operator.ELEMENTWISE, Operator.EMBEDDING)
_AS_WIDE: Final = (Operator.POOL, Operator.ADD, Operator.ELEMENTWISE)


@dataclass(frozen=True)
class Row:
    """A layer; the symbols are those of `LayerTable`.

    Raises:
        DesignError: A size is less than 1, groups do not divide the channels, the window or the
            channels do not fit the operator, or bits are not 1 to 32; ``name`` says of which layer.
    """

    C: int
    K: int
    P: int = 1
    Q: int = 1
    R: int = 1
    S: int = 1
    stride: int = 1
    groups: int = 1
    N: int = 1
    operator: Operator = Operator.CONVOLUTION
    weight_bits: int = FLOAT_BITS
    activation_bits: int = FLOAT_BITS
    name: str = ""

    def __post_init__(self) -> None:
        for size in ("N", "C", "K", "P", "Q", "R", "S", "stride", "groups"):
            self._require(getattr(self, size) >= 1, size, "at least 1")
        for channels in ("C", "K"):
            divides = getattr(self, channels) % self.groups == 0
            self._require(divides, channels, f"a multiple of its {self.groups} groups")
        for bits in ("weight_bits", "activation_bits"):
            self._require(1 <= getattr(self, bits) <= FLOAT_BITS, bits, f"1 to {FLOAT_BITS}")
        if self.operator in _ONE_WINDOW:
            for size in ("R", "S", "stride"):
                self._require(getattr(self, size) == 1, size, f"1 for {self.operator.name}")
        if self.operator in _AS_WIDE:
            self._require(self.K == self.C, "K", f"C = {self.C} for {self.operator.name}")

    def _require(self, holds: bool, column: str, rule: str) -> None:
        if not holds:
            name = f" {self.name!r}" if self.name else ""
            raise DesignError(
                f"layer{name} cannot have {column} = {getattr(self, column)}",
                rule=rule,
                given=str(self),
            )

    @property
    def has_weights(self) -> bool:
        """Whether it is a cell of its own, see `table_of`."""
        return self.operator in _WITH_WEIGHTS


COLUMNS: Final = tuple(field.name for field in fields(Row) if field.name != "name")
"""The columns of the layer table that a row gives."""


def table_of(rows: Iterable[Row]) -> LayerTable:
    """One network as a layer table of one design.

    Every layer with weights is a cell of its own, numbered from 1 in order of execution (see
    `hwnas.design.BitsPerLayer`); the others belong to the cell of the layer before, or to none.

    Raises:
        DesignError: There is no row.
    """
    listed = list(rows)
    if not listed:
        raise DesignError("a network has no layer", rule="at least one")
    columns = {
        name: np.array([int(getattr(row, name)) for row in listed], dtype=np.int64)
        for name in COLUMNS
    }
    cell = np.cumsum([row.has_weights for row in listed])
    return LayerTable.of(1, np.zeros(len(listed), dtype=np.int64), cell=cell, **columns)


def rows_of(graph: Graph) -> Iterator[Row]:
    """The layers of a graph in which every addition is a layer of its own."""
    for layer in graph.layers:
        yield Row(
            layer.C,
            layer.K,
            layer.image,
            layer.image,
            layer.kernel,
            layer.kernel,
            layer.stride,
            layer.groups,
            operator=layer.operator,
            weight_bits=layer.weight_bits,
            activation_bits=layer.activation_bits,
            name=layer.name,
        )


def convolution(C: int, K: int, image: int, kernel: int = 1, *, stride: int = 1) -> Row:
    """A square convolution; ``image`` is its output's height and width."""
    return Row(C, K, image, image, kernel, kernel, stride)


def linear(C: int, K: int, tokens: int = 1) -> Row:
    """A fully connected layer, on each of some tokens by itself."""
    return Row(C, K, tokens, operator=Operator.LINEAR)


def addition(C: int, P: int, Q: int = 1) -> Row:
    """The sum of two inputs."""
    return Row(C, C, P, Q, operator=Operator.ADD)


def elementwise(C: int, P: int, Q: int = 1) -> Row:
    """Softmax, normalisation, or scaling by something smaller."""
    return Row(C, C, P, Q, operator=Operator.ELEMENTWISE)


def pooling(C: int, image: int, kernel: int, stride: int) -> Row:
    """Pooling over square windows; ``image`` is its output's height and width."""
    return Row(C, C, image, image, kernel, kernel, stride, operator=Operator.POOL)


def attention(heads: int, width: int, queries: int, keys: int, *, N: int = 1) -> Iterator[Row]:
    """Scaled dot-product attention: scores, their softmax, weighted values.

    Args:
        heads: Heads.
        width: Channels of one head.
        queries: Tokens that ask.
        keys: Tokens that are asked.
        N: Batch size.
    """
    product = Operator.MATMUL
    inside, scores = heads * width, heads * keys
    yield Row(inside, scores, queries, groups=heads, N=N, operator=product)
    yield Row(heads, heads, queries, keys, N=N, operator=Operator.ELEMENTWISE)
    yield Row(scores, inside, queries, groups=heads, N=N, operator=product)
