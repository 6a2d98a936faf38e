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
    MULTIPLY = "multiply"
    """The second source scales the first, element by element or, of image 1, whole channels."""


class Activation(Enum):
    """A function of one element."""

    NONE = "none"
    """The identity."""
    RELU = "relu"
    """max(0, x)."""
    RELU6 = "relu6"
    """min(max(0, x), 6)."""
    SIGMOID = "sigmoid"
    """1 / (1 + exp(-x))."""
    HARD_SIGMOID = "hard_sigmoid"
    """min(max(0, x + 3), 6) / 6."""
    SILU = "silu"
    """x times the sigmoid of x, also called swish."""
    HARD_SWISH = "hard_swish"
    """x times the hard sigmoid of x."""

    def signed(self, below: bool) -> bool:
        """Whether its results may be negative, given whether its inputs may."""
        keeping = (Activation.NONE, Activation.SILU, Activation.HARD_SWISH)
        return below and self in keeping


class Pooling(Enum):
    """What a pooling layer takes of its windows."""

    AVERAGE = "average"
    """The mean of what is inside the image: padding is not counted."""
    MAXIMUM = "maximum"
    """The largest element."""


@dataclass(frozen=True)
class Source:
    """Where a layer's input comes from.

    Attributes:
        layer: Index of an earlier layer in the graph, or -1 for the network's input.
        channels: The channels taken, ascending; ``None`` takes all.
        zero: Whether zeros take the place of what is there: the edge ``none`` of a cell.
    """

    layer: int
    channels: tuple[int, ...] | None = None
    zero: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer of a graph.

    In order of execution: the sources are joined; batch normalisation and activation in front of
    the operator, of which most layers have neither; the operator; batch normalisation or else a
    bias; the activation.

    A sum that several layers draw on is a layer of its own, of the operator ADD: two sources of
    equal shape with `Join.ADD`, and nothing else is computed. A product is likewise one of the
    operator ELEMENTWISE with `Join.MULTIPLY`.

    Attributes:
        name: Readable and unique, e.g. ``cell1.layer2``.
        operator: What it computes.
        sources: Where its input comes from; at least one.
        join: How several sources are put together.
        C: Input channels after joining.
        K: Output channels.
        kernel: Kernel height and width; for POOL the window (the whole image for a global one).
        stride: Stride.
        groups: Groups of the convolution.
        image: Output height and width.
        weight_bits: Bits of a weight.
        activation_bits: Bits of an activation.
        cell: The cell it belongs to, from 1; 0 for stem and head.
        normalised: Whether batch normalisation follows the operator.
        activation: What follows after that.
        biased: Whether a bias is added where no batch normalisation follows and there are weights.
        normalised_before: Whether batch normalisation comes before the operator.
        activation_before: What comes between that and the operator (pre-activation).
        padding: Rows and columns of padding on each side; ``None`` for (kernel - 1) / 2, rounded
            down, and none for POOL.
        pooling: What POOL takes of its windows.
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
    normalised: bool
    activation: Activation
    biased: bool = True
    normalised_before: bool = False
    activation_before: Activation = Activation.NONE
    padding: int | None = None
    pooling: Pooling = Pooling.AVERAGE

    @property
    def activated(self) -> bool:
        """Whether an activation follows."""
        return self.activation is not Activation.NONE

    @property
    def pad(self) -> int:
        """The padding on each side, in rows and columns."""
        if self.padding is not None:
            return self.padding
        return 0 if self.operator is Operator.POOL else (self.kernel - 1) // 2


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
