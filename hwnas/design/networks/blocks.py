"""Blocks that several families of networks are made of."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.design.rows import (
    Row,
    addition,
    attention,
    convolution,
    depthwise,
    elementwise,
    global_pooling,
    linear,
)


def classifier(width: int, image: int) -> Iterator[Row]:
    """Global average pooling and a fully connected layer to 1,000 classes."""
    yield global_pooling(width, image, image)
    yield linear(width, 1000)


def squeeze_excitation(C: int, image: int, squeezed: int) -> Iterator[Row]:
    """Hu, Shen, Sun, "Squeeze-and-excitation networks", CVPR 2018: scales channels by their means.

    Args:
        C: Channels.
        image: Height and width.
        squeezed: Channels between the two small convolutions.
    """
    yield global_pooling(C, image, image)
    yield convolution(C, squeezed, 1)
    yield convolution(squeezed, C, 1)
    yield elementwise(C, image, image)


def inverted_residual(
    C: int, K: int, image: int, *, kernel: int, stride: int, inside: int, squeezed: int = 0
) -> Iterator[Row]:
    """Expansion, depthwise convolution, squeeze-and-excitation, projection, addition.

    There is no expansion where it would not widen, and no addition where stride or width change.

    Args:
        C: Input channels.
        K: Output channels.
        image: Output height and width; the input's are ``stride`` times as large.
        kernel: Kernel of the depthwise convolution.
        stride: Its stride.
        inside: Its channels.
        squeezed: See `squeeze_excitation`, which 0 leaves out.
    """
    if inside > C:
        yield convolution(C, inside, image * stride)
    yield depthwise(inside, image, kernel, stride=stride)
    if squeezed:
        yield from squeeze_excitation(inside, image, squeezed)
    yield convolution(inside, K, image)
    if stride == 1 and C == K:
        yield addition(K, image, image)


def self_attention(width: int, heads: int, tokens: int) -> Iterator[Row]:
    """Multi-head self-attention: queries, keys and values, attention, projection.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.

    Args:
        width: Channels.
        heads: Heads, each of ``width / heads`` channels.
        tokens: Tokens.
    """
    for _ in ("queries", "keys", "values"):
        yield linear(width, width, tokens)
    yield from attention(heads, width // heads, tokens, tokens)
    yield linear(width, width, tokens)


def perceptron(width: int, inside: int, tokens: int) -> Iterator[Row]:
    """Two fully connected layers on each token."""
    yield linear(width, inside, tokens)
    yield linear(inside, width, tokens)
