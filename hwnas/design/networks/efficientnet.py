"""EfficientNets: Tan, Le, "EfficientNet: rethinking model scaling", ICML 2019."""

from __future__ import annotations

from typing import Final

from hwnas.design.graph import Activation, Graph
from hwnas.design.graph_builder import INPUT, Form, GraphBuilder
from hwnas.design.networks.blocks import classifier

_SILU: Final[Form] = {"normalised": True, "activation": Activation.SILU}


def efficientnet_b0(image: int = 224, channels: int = 3, classes: int = 1000) -> Graph:
    """EfficientNet-B0, table 1: kernel, expansion, width, repetitions and stride of each stage.

    Blocks squeeze to a quarter of their input's channels. Activations are SiLU, as in the
    implementation of the authors; there is neither dropout nor stochastic depth.
    """
    net = GraphBuilder(image, channels)
    place = net.convolution(INPUT, 32, 3, stride=2, **_SILU)
    for kernel, expansion, width, repetitions, first in (
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    ):
        for stride in (first, *[1] * (repetitions - 1)):
            before = net.width(place)
            place = net.inverted_residual(
                place,
                width,
                kernel,
                stride=stride,
                inside=before * expansion,
                activation=Activation.SILU,
                squeezed=before // 4,
                squeezing=(Activation.SILU, Activation.SIGMOID),
            )
    return classifier(net, net.convolution(place, 1280, **_SILU), classes)
