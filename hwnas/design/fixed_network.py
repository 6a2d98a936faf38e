"""Networks that are not searched: a choice of bit widths and accelerators for a known one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np

from hwnas.arrays import Choice, Columns
from hwnas.design.candidates import ALWAYS, CandidateRows, inverted_residual
from hwnas.design.graph import Graph
from hwnas.design.layers import LayerTable, Operator
from hwnas.design.parts import NetworkFamily
from hwnas.errors import DesignError, SpaceError, nearest
from hwnas.space import Gene

_Row = dict[str, int]


@dataclass(frozen=True)
class FixedNetwork(NetworkFamily):
    """One well-known network for images of 224 x 224 and 1,000 classes.

    Every layer with weights is a cell of its own, numbered from 1 to `depth` in order of execution
    (see `BitsPerLayer`); poolings and additions belong to the cell of the layer before.

    Attributes:
        network: ``resnet18`` or ``mobilenet_v2``.
    """

    network: str = "resnet18"

    name: ClassVar[str] = "fixed_network"

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise SpaceError(
                f"fixed_network has no network {self.network!r}",
                rule="one of " + ", ".join(NETWORKS),
                given=repr(self.network),
                cure=nearest(self.network, NETWORKS),
            )

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        return int(self.layers({}, 1).cell.max())

    def genes(self) -> tuple[Gene, ...]:
        """``net.network``, of one choice: a part of the genome needs a gene to be projected on."""
        return (Gene("net.network", (self.network,), ordered=False),)

    def layers(self, columns: Columns, n: int) -> LayerTable:
        """The layers, ``n`` times, at single precision; see `NetworkFamily.layers`."""
        return _rows(self.network).table(np.ones((n, 1), dtype=np.bool_))

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """Not available.

        Raises:
            DesignError: Always: a `Graph` has no padded pooling, and no sum that several layers
                draw on.
        """
        raise DesignError(
            f"{self.network} cannot be built as a graph",
            rule="pooling has no padding, and a sum of layers is drawn on by one layer only",
            cure="take its accuracy from a table, or train networks of skipnet",
        )


def _resnet18() -> Iterator[_Row]:
    """ResNet-18: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.

    Table 1 there; where a stage changes the width, the shortcut is a 1x1 convolution.
    """
    yield _convolution(3, 64, 112, 7, stride=2)
    yield {**_convolution(64, 64, 56, 3, stride=2), "operator": Operator.POOL}
    before = 64
    for width, image in ((64, 56), (128, 28), (256, 14), (512, 7)):
        for _ in range(2):
            stride = width // before
            yield _convolution(before, width, image, 3, stride=stride)
            yield _convolution(width, width, image, 3)
            if before != width:
                yield _convolution(before, width, image, 1, stride=stride)
            yield {**_convolution(width, width, image, 1), "operator": Operator.ADD}
            before = width
    yield from _head(before, 7)


def _mobilenet_v2() -> Iterator[_Row]:
    """MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018.

    Table 2 of "MobileNetV2: Inverted residuals and linear bottlenecks": expansion, width,
    repetitions and stride of each stage.
    """
    yield _convolution(3, 32, 112, 3, stride=2)
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
        for repetition in range(repetitions):
            stride = first if repetition == 0 else 1
            yield from inverted_residual(
                before, width, image, kernel=3, stride=stride, expansion=expansion
            )
            before = width
    yield _convolution(before, 1280, image, 1)
    yield from _head(1280, image)


def _convolution(C: int, K: int, image: int, kernel: int, *, stride: int = 1) -> _Row:
    return {"C": C, "K": K, "P": image, "Q": image, "R": kernel, "S": kernel, "stride": stride}


def _head(width: int, image: int) -> Iterator[_Row]:
    """Global average pooling and the classifier."""
    yield {"C": width, "K": width, "R": image, "S": image, "operator": Operator.POOL}
    yield {"C": width, "K": 1000, "operator": Operator.LINEAR}


NETWORKS: Final[Mapping[str, Callable[[], Iterator[_Row]]]] = {
    "resnet18": _resnet18,
    "mobilenet_v2": _mobilenet_v2,
}
"""The networks by name, each as the rows of its layer table."""


@lru_cache(maxsize=len(NETWORKS))
def _rows(network: str) -> CandidateRows:
    rows = CandidateRows()
    cell = 0
    for row in NETWORKS[network]():
        if row.get("operator", Operator.CONVOLUTION) in (Operator.CONVOLUTION, Operator.LINEAR):
            cell += 1
        rows.add(ALWAYS, **row, cell=cell)
    return rows
