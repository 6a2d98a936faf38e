"""From the shapes of tensors to layer rows: what PyTorch modules and ONNX files share.

Symbols: B is the batch size, the first size of the network's first input.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.rows import Row, table_of
from hwnas.errors import DesignError

Shape = Sequence[int]
Unknown = Literal["error", "skip"]
_UNKNOWN: Final = ("error", "skip")
_IMAGE: Final = 4
"""Sizes of a batch of images: N, C, height, width."""
_SEQUENCE: Final = 3


class UnknownLayerError(Exception):
    """An operator that a layer table cannot carry; the text says why."""


@dataclass(frozen=True)
class Bits:
    """Bits of what a layer is computed from."""

    weight: int = FLOAT_BITS
    activation: int = FLOAT_BITS


@dataclass
class Rows:
    """Collects the rows of a network, and the operators that are not known.

    Attributes:
        batch: B.
        unknown: ``error`` to refuse a network with an unknown operator, ``skip`` to go on without.
    """

    batch: int
    unknown: Unknown
    rows: list[Row] = field(default_factory=list)
    strange: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.unknown not in _UNKNOWN:
            raise DesignError(
                f"what to do about unknown operators cannot be {self.unknown!r}",
                where="argument unknown",
                rule=" or ".join(_UNKNOWN),
            )

    def table(self) -> LayerTable:
        """The rows as a table of one design.

        Raises:
            DesignError: There is an unknown operator that was not to be skipped, or no row.
        """
        if self.strange and self.unknown == "error":
            listed = (f"{what} ({places})" for what, places in self._listed())
            raise DesignError(
                "the network has operators whose cost is not known: " + "; ".join(listed),
                rule="operators that the layer table has, see hwnas.design.Operator",
                cure="replace them, or leave them out of the costs with unknown='skip'",
            )
        return table_of(self.rows)

    def _listed(self) -> list[tuple[str, str]]:
        places: dict[str, list[str]] = {}
        for (what, place), count in self.strange.items():
            places.setdefault(what, []).append(f"{place} x {count}" if count > 1 else place)
        return [(what, ", ".join(found[:3])) for what, found in places.items()]

    def note_unknown(self, what: str, place: str) -> None:
        """Notes an operator that is not known, and where in the network it is."""
        self.strange[what, place or "the network itself"] += 1

    def convolution(
        self, weight: Shape, output: Shape, strides: Shape, groups: int, bits: Bits, name: str
    ) -> None:
        """A convolution of one or two dimensions.

        Args:
            weight: K, C / groups, kernel.
            output: N, K, output sizes.
            strides: One per dimension, or one for all.
            groups: Groups.
            bits: Its bits.
            name: The layer's name.

        Raises:
            UnknownLayerError: Three dimensions, or strides that differ.
        """
        images = output[0] if len(output) == len(weight) else 1
        (R, S), (P, Q) = _plane(weight[2:]), _plane(output[2 - len(weight) :])
        self.rows.append(
            Row(
                weight[1] * groups, weight[0], P, Q, R, S, _stride(strides, (P, Q)), groups, images,
                Operator.CONVOLUTION, bits.weight, bits.activation, name,
            )
        )  # fmt: skip

    def pooling(self, window: Shape, output: Shape, strides: Shape, bits: Bits, name: str) -> None:
        """Pooling of one or two dimensions; as `convolution`."""
        (R, S), (P, Q) = _plane(window), _plane(output[2:])
        self.rows.append(
            Row(
                output[1], output[1], P, Q, R, S, _stride(strides, (P, Q)), 1, output[0],
                Operator.POOL, FLOAT_BITS, bits.activation, name,
            )
        )  # fmt: skip

    def reduction(self, before: Shape, dims: Shape, bits: Bits, name: str) -> None:
        """A mean, sum or maximum over some dimensions; all, if none is named."""
        rank = len(before)
        over = {dim % rank for dim in dims} if dims else set(range(rank))
        kept = math.prod(size for i, size in enumerate(before) if i not in over)
        sizes = [before[i] for i in sorted(over)]
        R, S = sizes if len(sizes) == 2 else (math.prod(sizes), 1)
        images, channels = self._split(kept)
        self.rows.append(
            Row(
                channels, channels, 1, 1, R, S, 1, 1, images,
                Operator.POOL, FLOAT_BITS, bits.activation, name,
            )
        )  # fmt: skip

    def linear(self, C: int, K: int, output: Shape, bits: Bits, name: str) -> None:
        """A product with weights, C x K of them, on every token."""
        images, tokens = self._split(math.prod(output) // K)
        self.rows.append(
            Row(
                C, K, tokens, N=images, operator=Operator.LINEAR,
                weight_bits=bits.weight, activation_bits=bits.activation, name=name,
            )
        )  # fmt: skip

    def matmul(
        self, left: Shape, right: Shape, output: Shape, bits: Bits, name: str, *, weights: bool
    ) -> None:
        """The matrix product of tensors of any rank; ``weights`` tells if the right one is some."""
        M, C, K = (left[-2] if left[1:] else 1), left[-1], (right[-1] if right[1:] else 1)
        many, groups = math.prod(output) // (M * K), math.prod(right[:-2])
        if not weights:
            self.product((many, M, C, K), bits, name)
        elif groups == 1:
            self.linear(C, K, output, bits, name)
        else:
            self.grouped_linear((groups, many * M // groups, C, K), bits, name)

    def einsum(
        self, equation: str, left: Shape, right: Shape, bits: Bits, name: str, *, weights: bool
    ) -> None:
        """A sum over products of two tensors, with explicit indices; as `matmul`."""
        terms, arrow, result = equation.replace(" ", "").partition("->")
        indices = terms.split(",")
        if len(indices) != 2 or "." in equation or not arrow:
            raise UnknownLayerError(equation)
        size = dict(zip(indices[0] + indices[1], (*left, *right), strict=True))
        a, b = map(set, indices)
        groups = a & b & set(result)
        own = (groups, a - b, (a & b) - groups, b - a)
        many, M, C, K = (math.prod(size[letter] for letter in letters) for letters in own)
        if weights:
            self.grouped_linear((many, M, C, K), bits, name)
        else:
            self.product((many, M, C, K), bits, name)

    def product(self, sizes: tuple[int, int, int, int], bits: Bits, name: str) -> None:
        """Products of two activations: how many, and M x C times C x K of each."""
        many, M, C, K = sizes
        images, groups = self._split(many)
        self.rows.append(
            Row(
                C * groups, K * groups, M, groups=groups, N=images, operator=Operator.MATMUL,
                activation_bits=bits.activation, name=name,
            )
        )  # fmt: skip

    def grouped_linear(self, sizes: tuple[int, int, int, int], bits: Bits, name: str) -> None:
        """Products with different weights per group: groups, and M x C times C x K of each."""
        groups, M, C, K = sizes
        images, tokens = self._split(M)
        self.rows.append(
            Row(
                C * groups, K * groups, tokens, groups=groups, N=images,
                weight_bits=bits.weight, activation_bits=bits.activation, name=name,
            )
        )  # fmt: skip

    def attention(self, query: Shape, key: Shape, value: Shape, bits: Bits, name: str) -> None:
        """Scaled dot-product attention on ``(..., tokens, channels)``: scores, softmax, values."""
        heads, queries, keys = math.prod(query[:-2]), query[-2], key[-2]
        self.product((heads, queries, query[-1], keys), bits, name)
        self.elementwise((*query[:-1], keys), bits, name)
        self.product((heads, queries, keys, value[-1]), bits, name)

    def elementwise(self, shape: Shape, bits: Bits, name: str) -> None:
        """Work that costs its traffic alone, on one input."""
        self._alike(Operator.ELEMENTWISE, shape, bits, name)

    def addition(self, shape: Shape, bits: Bits, name: str) -> None:
        """An element-wise function of two inputs of this shape."""
        self._alike(Operator.ADD, shape, bits, name)

    def binary(self, shape: Shape, computed: list[int], constant: list[int]) -> Operator | None:
        """What an element-wise function of two inputs is: a row, or part of the layer before.

        Args:
            shape: Of the result.
            computed: Elements of the inputs that depend on the network's input.
            constant: Elements of the others.

        Returns:
            ADD for two inputs of full size, ELEMENTWISE if one is smaller, ``None`` if there is
            but one besides numbers per channel.
        """
        whole, smallest = math.prod(shape), min(computed)
        if len(computed) == 1:
            most = max(constant, default=0)
            return Operator.ADD if most > 1 and most * self.batch >= whole else None
        if smallest == 1:
            return None
        return Operator.ADD if smallest == whole else Operator.ELEMENTWISE

    def embedding(self, table: Shape, output: Shape, bits: Bits, name: str) -> None:
        """Rows looked up in a table."""
        images, tokens = self._split(math.prod(output) // table[1])
        self.rows.append(
            Row(
                table[0], table[1], tokens, N=images, operator=Operator.EMBEDDING,
                weight_bits=bits.weight, activation_bits=bits.activation, name=name,
            )
        )  # fmt: skip

    def _alike(self, operator: Operator, shape: Shape, bits: Bits, name: str) -> None:
        if len(shape) == _IMAGE:
            N, C, P, Q = shape
        elif len(shape) == _SEQUENCE:
            (N, P, C), Q = shape, 1
        else:
            (N, C), P, Q = self._split(math.prod(shape)), 1, 1
        self.rows.append(
            Row(C, C, P, Q, N=N, operator=operator, activation_bits=bits.activation, name=name)
        )

    def _split(self, count: int) -> tuple[int, int]:
        """What is per image of a count, if the batch divides it."""
        return (self.batch, count // self.batch) if count % self.batch == 0 else (1, count)


def _plane(sizes: Shape) -> tuple[int, int]:
    if not 1 <= len(sizes) <= 2:
        raise UnknownLayerError(f"in {len(sizes)} dimensions")
    return (sizes[0], sizes[1]) if len(sizes) > 1 else (sizes[0], 1)


def _stride(strides: Shape, output: Shape) -> int:
    """The stride of the directions in which there is more than one step."""
    both = _plane(list(strides) or [1])
    if len(strides) == 1:
        both = (strides[0], strides[0])
    moving = {stride for stride, steps in zip(both, output, strict=True) if steps > 1}
    if len(moving) > 1:
        raise UnknownLayerError(f"with strides {both[0]} x {both[1]}")
    return moving.pop() if moving else 1
