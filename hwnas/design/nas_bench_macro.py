"""The networks of NAS-Bench-Macro: eight blocks in a row, each of one of three kinds.

A network is a 3x3 stem of 32 channels, blocks in stages of two, three and three, a 1x1 convolution
to 1,280 channels, global average pooling and a classifier. The first block of a stage halves the
image and doubles the channels. A block is an inverted residual (expansion 3 with kernel 3, or
expansion 6 with kernel 5) or the identity, which at the head of a stage is a 1x1 convolution.

Source: Su, Huang, Li, You, Wang, Qian, Zhang, Xu, "Prioritized architecture sampling with
Monto-Carlo tree search", CVPR 2021, and the model that its authors published. The published numbers
of FLOPs are the multiply-accumulates of the table here to the digit; the published numbers of
parameters are its weights plus two per channel of the batch normalisation behind each convolution
plus the biases of the classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np

from hwnas.arrays import Bools, Choice, Columns, Floats, Ints
from hwnas.design.candidates import (
    ALWAYS,
    CandidateRows,
    check_positive,
    codes,
    inverted_residual,
    one_hot,
    relative_logs,
    sizes,
)
from hwnas.design.graph import Activation, Graph
from hwnas.design.graph_builder import INPUT, Form, GraphBuilder
from hwnas.design.layers import LayerTable, Operator
from hwnas.design.parts import NetworkFamily
from hwnas.errors import SpaceError
from hwnas.space import Gene

BLOCKS: Final = ("identity", "mbconv_e3_k3", "mbconv_e6_k5")
"""What a block can be; the published names of architectures are made of places in this list."""
IDENTITY: Final = 0
_EXPANSION_KERNEL: Final = {1: (3, 3), 2: (6, 5)}

STAGES: Final = ((0, 1), (2, 3, 4), (5, 6, 7))
"""The positions of the blocks of each stage."""
_BLOCKS: Final = sum(map(len, STAGES))
_STEM, _HEAD = 32, 1280


@dataclass(frozen=True)
class NASBenchMacro(NetworkFamily):
    """The networks of NAS-Bench-Macro.

    Cells are the eight blocks, numbered from 1; an identity has no layer but at the head of a
    stage.

    Attributes:
        image: Height and width of the input image.
        channels: Channels of the input image.
        classes: Number of classes.
    """

    image: int = 32
    channels: int = 3
    classes: int = 10

    name: ClassVar[str] = "nas_bench_macro"

    def __post_init__(self) -> None:
        check_positive(self, "image", "channels", "classes")
        if self.image % 2 ** len(STAGES):
            raise SpaceError(
                f"nas_bench_macro cannot have an image of {self.image} x {self.image}",
                rule="a multiple of 8: the image is halved three times",
            )

    def genes(self) -> tuple[Gene, ...]:
        """``net.b1`` to ``net.b8``: the kind of each block."""
        return tuple(Gene(f"net.b{b + 1}", BLOCKS, ordered=False) for b in range(_BLOCKS))

    def layers(self, columns: Columns, n: int) -> LayerTable:
        """All layers of ``n`` networks at single precision; see `NetworkFamily.layers`."""
        return _table(self, codes(self.genes(), columns, n))

    def encoding_names(self) -> tuple[str, ...]:
        """Kinds of blocks, one-hot, then counts and sizes; see `encoding`."""
        kinds = [f"b{b + 1}={kind}" for b in range(_BLOCKS) for kind in BLOCKS]
        counts = [f"stage{s + 1}.{kind}" for s in range(len(STAGES)) for kind in BLOCKS[1:]]
        return (*kinds, *counts, "blocks", "log_weights", "log_macs")

    def encoding(self, columns: Columns, n: int) -> Floats:
        """Describes the canonical form of ``n`` networks; see `Part.encoding`.

        Returns:
            ``float64 (n, 33)``, all in [0, 1]: the blocks of the canonical form one-hot; of each
            stage the share of either kind of block; the share of blocks that are no identity; and
            the logarithms of weights and multiply-accumulates between those of the smallest and the
            largest network.
        """
        blocks = canonical(codes(self.genes(), columns, n))
        shares = [
            (blocks[:, list(stage)] == kind).sum(axis=1) / len(stage)
            for stage in STAGES
            for kind in _EXPANSION_KERNEL
        ]
        depth = (blocks != IDENTITY).sum(axis=1) / _BLOCKS
        extremes = np.array([[IDENTITY], [max(_EXPANSION_KERNEL)]]).repeat(_BLOCKS, axis=1)
        smallest, largest = sizes(_table(self, extremes))
        logs = relative_logs(sizes(_table(self, blocks)), smallest, largest)
        return np.column_stack([one_hot(blocks, len(BLOCKS)), *shares, depth, logs])

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """One network as a graph at single precision; see `NetworkFamily.graph`."""
        rectified: Form = {"normalised": True, "activation": Activation.RELU}
        net = GraphBuilder(self.image, self.channels)
        place, width = net.convolution(INPUT, _STEM, 3, **rectified), _STEM
        for stage in STAGES:
            width *= 2
            for block in stage:
                net.cell = block + 1
                stride = 2 if block == stage[0] else 1
                kind = BLOCKS.index(str(config[f"net.b{block + 1}"]))
                if kind != IDENTITY:
                    expansion, kernel = _EXPANSION_KERNEL[kind]
                    inside = expansion * net.width(place)
                    place = net.inverted_residual(
                        place, width, kernel,
                        stride=stride, inside=inside, activation=Activation.RELU,
                    )  # fmt: skip
                elif stride > 1:
                    place = net.convolution(place, width, stride=stride, normalised=True)
        net.cell = 0
        place = net.convolution(place, _HEAD, **rectified)
        net.linear(net.global_pool(place), self.classes)
        return net.graph()


def canonical(blocks: Ints) -> Ints:
    """One form for all that are the same network: identities go to the end of their stage.

    The first block of a stage stays where it is: there the identity is a convolution.

    Args:
        blocks: Places in `BLOCKS`, ``int64 (n, 8)``.

    Returns:
        ``int64 (n, 8)``.
    """
    moved = blocks.copy()
    for stage in STAGES:
        rest = list(stage[1:])
        order = np.argsort(blocks[:, rest] == IDENTITY, axis=1, kind="stable")
        moved[:, rest] = np.take_along_axis(blocks[:, rest], order, axis=1)
    return moved


def _table(family: NASBenchMacro, blocks: Ints) -> LayerTable:
    always: Bools = np.ones((len(blocks), 1), dtype=np.bool_)
    return _rows(family).table(np.hstack([always, one_hot(blocks, len(BLOCKS))]))


@lru_cache(maxsize=16)
def _rows(family: NASBenchMacro) -> CandidateRows:
    rows = CandidateRows()
    image, width = family.image, _STEM
    rows.add(ALWAYS, C=family.channels, K=width, P=image, Q=image, R=3, S=3)
    for stage in STAGES:
        for block in stage:
            first = block == stage[0]
            stride, before = (2 if first else 1), width
            image, width = image // stride, width * stride
            condition = ALWAYS + 1 + block * len(BLOCKS)
            if first:
                square = {"P": image, "Q": image, "stride": stride}
                rows.add(condition + IDENTITY, C=before, K=width, **square, cell=block + 1)
            for kind, (expansion, kernel) in _EXPANSION_KERNEL.items():
                for row in inverted_residual(
                    before, width, image, kernel=kernel, stride=stride, expansion=expansion
                ):
                    rows.add(condition + kind, **row, cell=block + 1)
    rows.add(ALWAYS, C=width, K=_HEAD, P=image, Q=image)
    rows.add(ALWAYS, C=_HEAD, K=_HEAD, R=image, S=image, operator=Operator.POOL)
    rows.add(ALWAYS, C=_HEAD, K=family.classes, operator=Operator.LINEAR)
    return rows
