"""MobileNets of the second and third version."""

from __future__ import annotations

from typing import Final

from hwnas.design.graph import Activation, Graph
from hwnas.design.graph_builder import INPUT, Form, GraphBuilder
from hwnas.design.networks.blocks import classifier

_Block = tuple[int, int, int, int, int]

_V3_LARGE: Final[tuple[_Block, ...]] = (
    (3, 16, 16, 0, 1),
    (3, 64, 24, 0, 2),
    (3, 72, 24, 0, 1),
    (5, 72, 40, 24, 2),
    (5, 120, 40, 32, 1),
    (5, 120, 40, 32, 1),
    (3, 240, 80, 0, 2),
    (3, 200, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 184, 80, 0, 1),
    (3, 480, 112, 120, 1),
    (3, 672, 112, 168, 1),
    (5, 672, 160, 168, 2),
    (5, 960, 160, 240, 1),
    (5, 960, 160, 240, 1),
)
"""Kernel, channels inside, channels out, channels squeezed to and stride of each block: a quarter
of those inside, rounded to multiples of 8."""
_V3_SMALL: Final[tuple[_Block, ...]] = (
    (3, 16, 16, 8, 2),
    (3, 72, 24, 0, 2),
    (3, 88, 24, 0, 1),
    (5, 96, 40, 24, 2),
    (5, 240, 40, 64, 1),
    (5, 240, 40, 64, 1),
    (5, 120, 48, 32, 1),
    (5, 144, 48, 40, 1),
    (5, 288, 96, 72, 2),
    (5, 576, 96, 144, 1),
    (5, 576, 96, 144, 1),
)


_RELU6: Final[Form] = {"normalised": True, "activation": Activation.RELU6}
_HARD_SWISH: Final[Form] = {"normalised": True, "activation": Activation.HARD_SWISH}


def mobilenet_v2(image: int = 224, channels: int = 3, classes: int = 1000) -> Graph:
    """MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018.

    Table 2 of "MobileNetV2: Inverted residuals and linear bottlenecks": expansion, width,
    repetitions and stride of each stage. There is no dropout.
    """
    net = GraphBuilder(image, channels)
    place = net.convolution(INPUT, 32, 3, stride=2, **_RELU6)
    for expansion, width, repetitions, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for stride in (first, *[1] * (repetitions - 1)):
            inside = expansion * net.width(place)
            place = net.inverted_residual(
                place, width, 3, stride=stride, inside=inside, activation=Activation.RELU6
            )
    return classifier(net, net.convolution(place, 1280, **_RELU6), classes)


def mobilenet_v3_large(image: int = 224, channels: int = 3, classes: int = 1000) -> Graph:
    """MobileNetV3-Large: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1."""
    return _mobilenet_v3(_V3_LARGE, 1280, 6, GraphBuilder(image, channels), classes)


def mobilenet_v3_small(image: int = 224, channels: int = 3, classes: int = 1000) -> Graph:
    """MobileNetV3-Small: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 2."""
    return _mobilenet_v3(_V3_SMALL, 1024, 3, GraphBuilder(image, channels), classes)


def _mobilenet_v3(
    blocks: tuple[_Block, ...], last: int, rectified: int, net: GraphBuilder, classes: int
) -> Graph:
    """The first blocks are rectified, all others have a hard swish; there is no dropout."""
    place = net.convolution(INPUT, 16, 3, stride=2, **_HARD_SWISH)
    for number, (kernel, inside, width, squeezed, stride) in enumerate(blocks):
        place = net.inverted_residual(
            place,
            width,
            kernel,
            stride=stride,
            inside=inside,
            activation=Activation.RELU if number < rectified else Activation.HARD_SWISH,
            squeezed=squeezed,
            squeezing=(Activation.RELU, Activation.HARD_SIGMOID),
        )
    place = net.convolution(place, 6 * net.width(place), **_HARD_SWISH)
    place = net.linear(net.global_pool(place), last, activation=Activation.HARD_SWISH)
    net.linear(place, classes)
    return net.graph()
