"""Blocks that several families of networks are made of."""

from __future__ import annotations

from collections.abc import Iterator

from hwnas.design.graph import Graph
from hwnas.design.graph_builder import GraphBuilder
from hwnas.design.rows import Row, attention, linear


def classifier(net: GraphBuilder, place: int, classes: int) -> Graph:
    """Global average pooling, a fully connected layer, and nothing more."""
    net.linear(net.global_pool(place), classes)
    return net.graph()


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
