"""ResNets: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.

Table 1 there. The stride of a bottleneck is in its 3x3 convolution, as in the implementations whose
weights are published; the paper has it in the first 1x1 convolution.
"""

from __future__ import annotations

from typing import Final

from hwnas.design.graph import Activation, Graph, Pooling
from hwnas.design.graph_builder import INPUT, Form, GraphBuilder
from hwnas.design.networks.blocks import classifier

_STAGES: Final = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Width and first stride of each stage."""
_RECTIFIED: Final[Form] = {"normalised": True, "activation": Activation.RELU}


def resnet18(image: int = 224, channels: int = 3, classes: int = 1000) -> Graph:
    """ResNet-18; where a stage changes the width, the shortcut is a 1x1 convolution."""
    net = GraphBuilder(image, channels)
    place = _stem(net)
    for width, first in _STAGES:
        for stride in (first, 1):
            body = net.convolution(place, width, 3, stride=stride, **_RECTIFIED)
            body = net.convolution(body, width, 3, normalised=True)
            place = _residual(net, body, place, stride)
    return classifier(net, place, classes)


def resnet50(image: int = 224, channels: int = 3, classes: int = 1000) -> Graph:
    """ResNet-50: bottlenecks of 1x1, 3x3 and 1x1 convolutions."""
    net = GraphBuilder(image, channels)
    place = _stem(net)
    for (width, first), repetitions in zip(_STAGES, (3, 4, 6, 3), strict=True):
        for stride in (first, *[1] * (repetitions - 1)):
            body = net.convolution(place, width, **_RECTIFIED)
            body = net.convolution(body, width, 3, stride=stride, **_RECTIFIED)
            body = net.convolution(body, 4 * width, normalised=True)
            place = _residual(net, body, place, stride)
    return classifier(net, place, classes)


def _stem(net: GraphBuilder) -> int:
    first = net.convolution(INPUT, 64, 7, stride=2, **_RECTIFIED)
    return net.pool(first, 3, stride=2, padding=1, pooling=Pooling.MAXIMUM)


def _residual(net: GraphBuilder, body: int, source: int, stride: int) -> int:
    """The rectified sum of a block and its shortcut; it is rounded after it is rectified."""
    if net.width(source) != net.width(body):
        source = net.convolution(source, net.width(body), stride=stride, normalised=True)
    return net.sum(body, source, activation_before=Activation.RELU)
