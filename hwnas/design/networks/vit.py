"""Vision transformers: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.design.networks.blocks import perceptron, self_attention
from hwnas.design.rows import Row, addition, convolution, elementwise, linear


def vit_tiny() -> Iterator[Row]:
    """ViT-Tiny/16: Touvron et al., "Training data-efficient image transformers", ICML 2021.

    Table 1 there: 12 blocks of 192 channels and 3 heads, normalised before each half.
    """
    yield from vit(depth=12, width=192, heads=3, patch=16)


def vit(*, depth: int, width: int, heads: int, patch: int, image: int = 224) -> Iterator[Row]:
    """A vision transformer with a class token, for images of 3 channels and 1,000 classes.

    Args:
        depth: Blocks.
        width: Channels.
        heads: Heads.
        patch: Height and width of a patch.
        image: Height and width of the image.
    """
    side = image // patch
    tokens = side * side + 1
    yield convolution(3, width, side, patch, stride=patch)
    yield addition(width, tokens)
    for _ in range(depth):
        yield elementwise(width, tokens)
        yield from self_attention(width, heads, tokens)
        yield addition(width, tokens)
        yield elementwise(width, tokens)
        yield from perceptron(width, 4 * width, tokens)
        yield addition(width, tokens)
    yield elementwise(width, tokens)
    yield linear(width, 1000)
