"""Graphs drawn layer by layer: sizes follow from the sources, names from the place."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypedDict, Unpack

from hwnas.design.graph import Activation, Graph, Join, Layer, Pooling, Source
from hwnas.design.layers import FLOAT_BITS, Operator

INPUT: Final = -1
"""The place of the network's input."""
_JOINS: Final = {Operator.ADD: Join.ADD, Operator.ELEMENTWISE: Join.MULTIPLY}


class Form(TypedDict, total=False):
    """What may surround an operator; see `Layer`. Left out: nothing, and a bias."""

    normalised: bool
    activation: Activation
    biased: bool
    normalised_before: bool
    activation_before: Activation
    padding: int
    pooling: Pooling


class GraphBuilder:
    """Draws a graph, in order of execution and at single precision.

    A place is the number of a layer, or `INPUT`; a `Source` also takes some of its channels, or
    zeros of its shape.

    Args:
        image: Height and width of the input.
        channels: Channels of the input.

    Attributes:
        cell: The cell of the layers that follow.
    """

    def __init__(self, image: int, channels: int) -> None:
        self._image, self._channels = image, channels
        self._layers: list[Layer] = []
        self.cell = 0

    def width(self, place: int | Source) -> int:
        """Channels that a place gives."""
        source = _source(place)
        if source.channels is not None:
            return len(source.channels)
        return self._channels if source.layer < 0 else self._layers[source.layer].K

    def image(self, place: int | Source) -> int:
        """Height and width that a place gives."""
        layer = _source(place).layer
        return self._image if layer < 0 else self._layers[layer].image

    def convolution(
        self,
        source: int | Source,
        K: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        **form: Unpack[Form],
    ) -> int:
        """A convolution; padding is (kernel - 1) / 2 unless it is given."""
        return self._add(
            Operator.CONVOLUTION, (source,), K, kernel, stride=stride, groups=groups, **form
        )

    def linear(self, source: int | Source, K: int, **form: Unpack[Form]) -> int:
        """A fully connected layer of an image of one pixel."""
        return self._add(Operator.LINEAR, (source,), K, **form)

    def pool(
        self, source: int | Source, kernel: int, *, stride: int = 1, **form: Unpack[Form]
    ) -> int:
        """Pooling; there is no padding unless it is given."""
        return self._add(
            Operator.POOL, (source,), self.width(source), kernel, stride=stride, **form
        )

    def global_pool(self, source: int | Source, **form: Unpack[Form]) -> int:
        """The means of all channels."""
        return self.pool(source, self.image(source), **form)

    def sum(self, first: int | Source, second: int | Source, **form: Unpack[Form]) -> int:
        """The sum of two sources of one shape."""
        return self._add(Operator.ADD, (first, second), self.width(first), **form)

    def product(self, first: int | Source, scales: int | Source, **form: Unpack[Form]) -> int:
        """The first source times the second, element by element or channel by channel."""
        return self._add(Operator.ELEMENTWISE, (first, scales), self.width(first), **form)

    def inverted_residual(
        self,
        source: int,
        K: int,
        kernel: int,
        *,
        stride: int,
        inside: int,
        activation: Activation,
        squeezed: int = 0,
        squeezing: tuple[Activation, Activation] = (Activation.RELU, Activation.SIGMOID),
    ) -> int:
        """Expansion, depthwise convolution, squeeze-and-excitation, linear projection, addition.

        There is no expansion where it would not widen, and no addition where stride or width
        change. Source: Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks",
        CVPR 2018.

        Args:
            source: The block's input, of C channels.
            K: Output channels.
            kernel: Kernel of the depthwise convolution.
            stride: Its stride.
            inside: Its channels.
            activation: What follows expansion and depthwise convolution.
            squeezed: See `squeeze_excitation`, which 0 leaves out.
            squeezing: Likewise.
        """
        form: Form = {"normalised": True, "activation": activation}
        C, place = self.width(source), source
        if inside > C:
            place = self.convolution(place, inside, **form)
        place = self.convolution(place, inside, kernel, stride=stride, groups=inside, **form)
        if squeezed:
            place = self.squeeze_excitation(place, squeezed, squeezing)
        place = self.convolution(place, K, normalised=True)
        return self.sum(place, source) if stride == 1 and C == K else place

    def squeeze_excitation(
        self, source: int, squeezed: int, squeezing: tuple[Activation, Activation]
    ) -> int:
        """Scales channels by a function of their means.

        Source: Hu, Shen, Sun, "Squeeze-and-excitation networks", CVPR 2018.

        Args:
            source: The input.
            squeezed: Channels between the two small convolutions.
            squeezing: What follows each of them.
        """
        means = self.global_pool(source)
        few = self.convolution(means, squeezed, activation=squeezing[0])
        scales = self.convolution(few, self.width(source), activation=squeezing[1])
        return self.product(source, scales)

    def graph(self) -> Graph:
        """What was drawn; the last layer gives the scores of as many classes as it has channels."""
        return Graph(tuple(self._layers), self._image, self._channels, self._layers[-1].K)

    def _add(
        self,
        operator: Operator,
        sources: tuple[int | Source, ...],
        K: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        **form: Unpack[Form],
    ) -> int:
        number = len(self._layers)
        name = f"{operator.name.lower()}{number + 1}"
        surround: Form = {"normalised": False, "activation": Activation.NONE, **form}
        layer = Layer(
            name=f"cell{self.cell}.{name}" if self.cell else name,
            operator=operator,
            sources=tuple(map(_source, sources)),
            join=_JOINS.get(operator, Join.CONCATENATE),
            C=self.width(sources[0]),
            K=K,
            kernel=kernel,
            stride=stride,
            groups=groups,
            image=1,
            weight_bits=FLOAT_BITS,
            activation_bits=FLOAT_BITS,
            cell=self.cell,
            **surround,
        )
        image = (self.image(sources[0]) + 2 * layer.pad - kernel) // stride + 1
        self._layers.append(replace(layer, image=image))
        return number


def _source(place: int | Source) -> Source:
    return place if isinstance(place, Source) else Source(place)
