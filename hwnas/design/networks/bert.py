"""BERT encoders: Devlin, Chang, Lee, Toutanova, "BERT", NAACL 2019."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hwnas.design.layers import Operator
from hwnas.design.networks.blocks import perceptron, self_attention
from hwnas.design.rows import Row, addition, elementwise, linear

_WORDS: Final = 30_522
_POSITIONS: Final = 512
_SEGMENTS: Final = 2


def bert_small() -> Iterator[Row]:
    """BERT-Small, uncased, on 128 tokens: 4 blocks of 512 channels and 8 heads, and the pooler.

    Turc, Chang, Lee, Toutanova, "Well-read students learn better", 2019.
    """
    yield from bert(depth=4, width=512, heads=8, tokens=128)


def bert(
    *, depth: int, width: int, heads: int, tokens: int, inside: int | None = None
) -> Iterator[Row]:
    """An encoder, normalised after each half of a block; the pooler reads the first token.

    Args:
        depth: Blocks.
        width: Channels.
        heads: Heads.
        tokens: Tokens of the text.
        inside: Channels between the two fully connected layers; four times ``width`` if left out.
    """
    yield Row(_WORDS, width, tokens, operator=Operator.EMBEDDING)
    for entries in (_SEGMENTS, _POSITIONS):
        yield Row(entries, width, tokens, operator=Operator.EMBEDDING)
        yield addition(width, tokens)
    yield elementwise(width, tokens)
    for _ in range(depth):
        yield from self_attention(width, heads, tokens)
        yield addition(width, tokens)
        yield elementwise(width, tokens)
        yield from perceptron(width, inside or 4 * width, tokens)
        yield addition(width, tokens)
        yield elementwise(width, tokens)
    yield linear(width, width)
