"""ResNets: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.

Table 1 there. The stride of a bottleneck is in its 3x3 convolution, as in the implementations whose
weights are published; the paper has it in the first 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hwnas.design.networks.blocks import classifier
from hwnas.design.rows import Row, addition, convolution, pooling

_STAGES: Final = ((64, 56, 1), (128, 28, 2), (256, 14, 2), (512, 7, 2))
"""Width, image and first stride of each stage."""


def resnet18() -> Iterator[Row]:
    """ResNet-18; where a stage changes the width, the shortcut is a 1x1 convolution."""
    yield from _stem()
    before = 64
    for width, image, first in _STAGES:
        for stride in (first, 1):
            yield convolution(before, width, image, 3, stride=stride)
            yield convolution(width, width, image, 3)
            yield from _shortcut(before, width, image, stride)
            before = width
    yield from classifier(before, 7)


def resnet50() -> Iterator[Row]:
    """ResNet-50: bottlenecks of 1x1, 3x3 and 1x1 convolutions."""
    yield from _stem()
    before = 64
    for (width, image, first), repetitions in zip(_STAGES, (3, 4, 6, 3), strict=True):
        for stride in (first, *[1] * (repetitions - 1)):
            yield convolution(before, width, image * stride)
            yield convolution(width, width, image, 3, stride=stride)
            yield convolution(width, 4 * width, image)
            yield from _shortcut(before, 4 * width, image, stride)
            before = 4 * width
    yield from classifier(before, 7)


def _stem() -> Iterator[Row]:
    yield convolution(3, 64, 112, 7, stride=2)
    yield pooling(64, 56, 3, 2)


def _shortcut(C: int, K: int, image: int, stride: int) -> Iterator[Row]:
    if C != K:
        yield convolution(C, K, image, stride=stride)
    yield addition(K, image, image)
