"""The networks of NAS-Bench-201: one cell of six edges, repeated.

A network is a 3x3 stem, three stages of N cells at C, 2C and 4C channels, a residual block of
stride 2 before the second and the third stage, global average pooling and a classifier. A cell has
four nodes; an edge from node i to node j applies one of five operators to node i, and a node is the
sum of what its edges bring. ``nor_conv`` is ReLU, convolution, batch normalisation.

Source: Dong, Yang, "NAS-Bench-201: Extending the scope of reproducible neural architecture search",
ICLR 2020 (N = 5, C = 16). The published numbers of multiply-accumulates are those of the table here
to the digit; the published numbers of parameters are its weights plus two per channel of every
batch normalisation (one behind each convolution but those of the shortcuts, one before the global
pooling) plus the biases of the classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Final

import numpy as np

from hwnas.arrays import Bools, Choice, Columns, Floats, Ints
from hwnas.design.candidates import (
    ALWAYS,
    CandidateRows,
    check_positive,
    codes,
    one_hot,
    relative_logs,
    sizes,
)
from hwnas.design.graph import Activation, Graph, Source
from hwnas.design.graph_builder import INPUT, Form, GraphBuilder
from hwnas.design.layers import LayerTable, Operator
from hwnas.design.nas_bench_201_cell import (
    CONV1,
    CONV3,
    EDGES,
    INTO,
    NONE,
    OPERATORS,
    POOL,
    SKIP,
    canonical,
    description,
    description_names,
    living,
)
from hwnas.design.parts import NetworkFamily
from hwnas.errors import SpaceError
from hwnas.space import Gene

_STAGES: Final = 3
_KERNELS: Final = {CONV1: 1, CONV3: 3}


@dataclass(frozen=True)
class NASBench201(NetworkFamily):
    """The networks of NAS-Bench-201.

    Cells are numbered from 1 to 3 N + 2 in order of execution, the two residual blocks included.

    Attributes:
        image: Height and width of the input image.
        channels: Channels of the input image.
        classes: Number of classes.
        cells_per_stage: Cells of each of the three stages (N).
        stem_channels: Channels of the first stage (C).
        drop_dead_edges: Whether edges that no path from the cell's input to its output uses are
            left out, as a compiler would. The published benchmark keeps and counts them.
    """

    image: int = 32
    channels: int = 3
    classes: int = 10
    cells_per_stage: int = 5
    stem_channels: int = 16
    drop_dead_edges: bool = False

    name: ClassVar[str] = "nas_bench_201"

    def __post_init__(self) -> None:
        check_positive(self, "image", "channels", "classes", "cells_per_stage", "stem_channels")
        if self.image % 2 ** (_STAGES - 1):
            raise SpaceError(
                f"nas_bench_201 cannot have an image of {self.image} x {self.image}",
                rule="a multiple of 4: the image is halved twice",
            )

    def genes(self) -> tuple[Gene, ...]:
        """``net.e01`` to ``net.e23``: the operator of the edge between two nodes."""
        return tuple(Gene(f"net.e{i}{j}", OPERATORS, ordered=False) for i, j in EDGES)

    def layers(self, columns: Columns, n: int) -> LayerTable:
        """All layers of ``n`` networks at single precision; see `NetworkFamily.layers`.

        ``none`` and ``skip_connect`` have no row; a node that k edges bring something to has k-1
        additions.
        """
        cells = codes(self.genes(), columns, n)
        if self.drop_dead_edges:
            cells = living(cells)
        return _rows(self).table(_conditions(cells))

    def encoding_names(self) -> tuple[str, ...]:
        """The description of the cell, then the sizes of the network; see `encoding`."""
        return (*description_names(), "log_weights", "log_macs")

    def encoding(self, columns: Columns, n: int) -> Floats:
        """Describes the canonical form of ``n`` networks; see `Part.encoding`.

        Returns:
            ``float64 (n, 56)``, all in [0, 1]: `description` of the canonical cell, and the
            logarithms of weights and multiply-accumulates between those of the smallest and the
            largest network of the family.
        """
        cells = canonical(codes(self.genes(), columns, n))
        return np.hstack([description(cells), _log_sizes(self, cells)])

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """One network as a graph at single precision; see `NetworkFamily.graph`."""
        codes = np.array([[OPERATORS.index(str(config[f"net.e{i}{j}"])) for i, j in EDGES]])
        if self.drop_dead_edges:
            codes = living(codes)
        cell: tuple[int, ...] = tuple(codes[0].tolist())
        net = GraphBuilder(self.image, self.channels)
        width, number = self.stem_channels, 0
        place = Source(net.convolution(INPUT, width, 3, normalised=True))
        for stage in range(_STAGES):
            if stage:
                width, number = 2 * width, number + 1
                net.cell = number
                place = Source(_reduction(net, place, width))
            for _ in range(self.cells_per_stage):
                number += 1
                net.cell = number
                place = _cell(net, place, cell)
        net.cell = 0
        means = net.global_pool(place, normalised_before=True, activation_before=Activation.RELU)
        net.linear(means, self.classes)
        return net.graph()


_BEFORE_AND_AFTER: Final[Form] = {"activation_before": Activation.RELU, "normalised": True}


def _reduction(net: GraphBuilder, source: Source, width: int) -> int:
    """The residual block between stages; its shortcut is not normalised."""
    body = net.convolution(source, width, 3, stride=2, **_BEFORE_AND_AFTER)
    body = net.convolution(body, width, 3, **_BEFORE_AND_AFTER)
    shortcut = net.convolution(net.pool(source, 2, stride=2), width, biased=False)
    return net.sum(body, shortcut)


def _cell(net: GraphBuilder, source: Source, cell: tuple[int, ...]) -> Source:
    """The last node of a cell; a node that no edge brings anything to is zero."""
    nodes = [source]
    width = net.width(source)
    for into in INTO.values():
        brought: list[Source] = []
        for edge in into:
            operator, place = cell[edge], nodes[EDGES[edge][0]]
            if operator == SKIP:
                brought.append(place)
            elif operator == POOL:
                brought.append(Source(net.pool(place, 3, padding=1)))
            elif operator != NONE:
                kernel = _KERNELS[operator]
                brought.append(Source(net.convolution(place, width, kernel, **_BEFORE_AND_AFTER)))
        node = brought[0] if brought else replace(source, zero=True)
        for other in brought[1:]:
            node = Source(net.sum(node, other))
        nodes.append(node)
    return nodes[-1]


def _log_sizes(family: NASBench201, cells: Ints) -> Floats:
    """Logarithms of weights and multiply-accumulates, 0 of no convolution and 1 of six 3x3 ones.

    Args:
        family: The family.
        cells: Operators, ``int64 (n, 6)``.

    Returns:
        ``float64 (n, 2)``.
    """
    probes = np.zeros((3, len(EDGES)), dtype=np.int64)
    probes[1, 0], probes[2, 0] = CONV1, CONV3
    empty, one, three = sizes(_rows(family).table(_conditions(probes)))
    counts = np.column_stack([(cells == CONV1).sum(axis=1), (cells == CONV3).sum(axis=1)])
    here = empty + counts @ np.stack([one - empty, three - empty])
    return relative_logs(here, empty, empty + len(EDGES) * (three - empty))


# Conditions of rows: every network, then edge e does o, then node j has k additions or more.
def _edge_does(edge: int, operator: int) -> int:
    return ALWAYS + 1 + edge * len(OPERATORS) + operator


def _node_adds(node: int, times: int) -> int:
    return ALWAYS + 1 + len(EDGES) * len(OPERATORS) + {(2, 1): 0, (3, 1): 1, (3, 2): 2}[node, times]


def _conditions(cells: Ints) -> Bools:
    """Which conditions the networks of cells ``(n, 6)`` meet, ``bool (n, 34)``."""
    brings = cells != NONE
    two, three = (brings[:, INTO[node]].sum(axis=1) for node in (2, 3))
    always = np.ones(len(cells), dtype=np.bool_)
    does = one_hot(cells, len(OPERATORS))
    return np.column_stack([always, does, two > 1, three > 1, three > 2])


@lru_cache(maxsize=16)
def _rows(family: NASBench201) -> CandidateRows:
    rows = CandidateRows()
    image, width, cell = family.image, family.stem_channels, 0

    def row(condition: int, C: int, K: int, window: int, **other: int) -> None:
        square = {"P": image, "Q": image, "R": window, "S": window}
        rows.add(condition, C=C, K=K, **{**square, **other})

    row(ALWAYS, family.channels, width, 3)
    for stage in range(_STAGES):
        if stage:
            before, width, image, cell = width, 2 * width, image // 2, cell + 1
            row(ALWAYS, before, width, 3, stride=2, cell=cell)
            row(ALWAYS, width, width, 3, cell=cell)
            row(ALWAYS, before, before, 2, stride=2, operator=Operator.POOL, cell=cell)
            row(ALWAYS, before, width, 1, cell=cell)
            row(ALWAYS, width, width, 1, operator=Operator.ADD, cell=cell)
        for _ in range(family.cells_per_stage):
            cell += 1
            for node, into in INTO.items():
                for edge in into:
                    row(_edge_does(edge, CONV1), width, width, 1, cell=cell)
                    row(_edge_does(edge, CONV3), width, width, 3, cell=cell)
                    pool = _edge_does(edge, POOL)
                    row(pool, width, width, 3, operator=Operator.POOL, cell=cell)
                for times in range(1, len(into)):
                    added = _node_adds(node, times)
                    row(added, width, width, 1, operator=Operator.ADD, cell=cell)
    rows.add(ALWAYS, C=width, K=width, R=image, S=image, operator=Operator.POOL)
    rows.add(ALWAYS, C=width, K=family.classes, operator=Operator.LINEAR)
    return rows
