"""EfficientNets: Tan, Le, "EfficientNet: rethinking model scaling", ICML 2019."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.design.networks.blocks import classifier, inverted_residual
from hwnas.design.rows import Row, convolution


def efficientnet_b0() -> Iterator[Row]:
    """EfficientNet-B0, table 1: kernel, expansion, width, repetitions and stride of each stage.

    Blocks squeeze to a quarter of their input's channels.
    """
    yield convolution(3, 32, 112, 3, stride=2)
    before, image = 32, 112
    for kernel, expansion, width, repetitions, first in (
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    ):
        image //= first
        for stride in (first, *[1] * (repetitions - 1)):
            yield from inverted_residual(
                before,
                width,
                image,
                kernel=kernel,
                stride=stride,
                inside=before * expansion,
                squeezed=before // 4,
            )
            before = width
    yield convolution(before, 1280, image)
    yield from classifier(1280, image)
