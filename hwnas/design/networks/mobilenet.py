"""MobileNets of the second and third version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hwnas.design.networks.blocks import classifier, inverted_residual
from hwnas.design.rows import Row, convolution, global_pooling, linear

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


def mobilenet_v2() -> Iterator[Row]:
    """MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018.

    Table 2 of "MobileNetV2: Inverted residuals and linear bottlenecks": expansion, width,
    repetitions and stride of each stage.
    """
    yield convolution(3, 32, 112, 3, stride=2)
    before, image = 32, 112
    for expansion, width, repetitions, first in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        image //= first
        for stride in (first, *[1] * (repetitions - 1)):
            yield from inverted_residual(
                before, width, image, kernel=3, stride=stride, inside=before * expansion
            )
            before = width
    yield convolution(before, 1280, image)
    yield from classifier(1280, image)


def mobilenet_v3_large() -> Iterator[Row]:
    """MobileNetV3-Large: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1."""
    yield from _mobilenet_v3(_V3_LARGE, 1280)


def mobilenet_v3_small() -> Iterator[Row]:
    """MobileNetV3-Small: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 2."""
    yield from _mobilenet_v3(_V3_SMALL, 1024)


def _mobilenet_v3(blocks: tuple[_Block, ...], last: int) -> Iterator[Row]:
    yield convolution(3, 16, 112, 3, stride=2)
    before, image = 16, 112
    for kernel, inside, width, squeezed, stride in blocks:
        image //= stride
        yield from inverted_residual(
            before, width, image, kernel=kernel, stride=stride, inside=inside, squeezed=squeezed
        )
        before = width
    yield convolution(before, 6 * before, image)
    yield global_pooling(6 * before, image, image)
    yield linear(6 * before, last)
    yield linear(last, 1000)
