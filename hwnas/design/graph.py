"""One network as a graph of layers: what training builds a module from.

A graph and the rows of the layer table describe the same network twice, once to compute with and
once to cost; the conformance suite compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hwnas.design.layers import Operator


class Join(Enum):
    """How a layer puts several inputs together."""

    CONCATENATE = "concat"
    """Side by side along the channels (DenseNet)."""
    ADD = "add"
    """Further sources, side by side, are added onto the leading channels of the first (ResNet)."""


@dataclass(frozen=True)
class Source:
    """Where a layer's input comes from.

    Attributes:
        layer: Index of an earlier layer in the graph, or -1 for the network's input.
        channels: The channels taken, ascending; ``None`` takes all.
    """

    layer: int
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of a graph: joined inputs, the operator, then normalisation and activation.

    Attributes:
        name: Readable and unique, e.g. ``cell1.layer2``.
        operator: What it computes.
        sources: Where its input comes from; at least one.
        join: How several sources are put together.
        C: Input channels after joining.
        K: Output channels.
        kernel: Kernel height and width; for POOL the window (the whole image for a global one).
        stride: Stride; padding is (kernel - 1) / 2 except for POOL, which has none.
        groups: Groups of the convolution.
        image: Output height and width.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an activation.
        cell: The cell it belongs to, from 1; 0 for stem and head.
        activated: Whether batch normalisation and ReLU follow.
    """

    name: str
    operator: Operator
    sources: tuple[Source, ...]
    join: Join
    C: int
    K: int
    kernel: int
    stride: int
    groups: int
    image: int
    weight_bits: int
    activation_bits: int
    cell: int
    activated: bool


@dataclass(frozen=True)
class Graph:
    """A network: layers in order of execution; the last one gives the class scores.

    Attributes:
        layers: The layers.
        image: Height and width of the input.
        channels: Channels of the input.
        classes: Number of classes.
    """

    layers: tuple[Layer, ...]
    image: int
    channels: int
    classes: int
