"""The cell of NAS-Bench-201: its operators, which of its edges matter, how to describe it.

Many of the 15,625 cells compute the same thing. An edge matters only on a path of edges from the
cell's input to its output; a ``skip_connect`` adds its node to another one, so nodes can be merged;
nodes can change places. `canonical` gives one cell to all that are written differently but equal.

Source of the cell: Dong, Yang, "NAS-Bench-201: Extending the scope of reproducible neural
architecture search", ICLR 2020. The canonical form and the description are our own.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints

OPERATORS: Final = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What an edge can do; the code of an operator is its place in this list."""
NONE, SKIP, CONV1, CONV3, POOL = range(len(OPERATORS))

EDGES: Final = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Source and target of each edge, in the order of codes and genes."""
PATHS: Final = ((3,), (0, 4), (1, 5), (0, 2, 5))
"""The edges of each path through the cell, from input to output."""
INTO: Final = {node: [e for e, (_, to) in enumerate(EDGES) if to == node] for node in (1, 2, 3)}
"""The edges that end in a node."""

_ON_PATH: Final = np.array([[e in path for e in range(len(EDGES))] for path in PATHS])
_LONGEST: Final = max(map(len, PATHS))


def _open_paths(codes: Ints) -> Bools:
    """``bool (n, 4)``: the paths on which no edge is ``none``."""
    return np.stack([(codes[:, list(path)] != NONE).all(axis=1) for path in PATHS], axis=1)


def living(codes: Ints) -> Ints:
    """Replaces edges that lie on no path of edges from input to output by ``none``.

    Args:
        codes: Operators, ``int64 (n, 6)``.

    Returns:
        ``int64 (n, 6)``.
    """
    alive = (_open_paths(codes)[:, :, None] & _ON_PATH).any(axis=1)
    return np.where(alive, codes, NONE)


def canonical(codes: Ints) -> Ints:
    """One cell for all that compute the same with the same weights, whatever these are.

    A convolution that is used twice is not two convolutions: these have more weights. That pooling
    is linear is not made use of.

    Args:
        codes: Operators, ``int64 (n, 6)``.

    Returns:
        ``int64 (n, 6)``: the lexicographically first of the living cells that are the same.
    """
    return _canonical_cells()[_number(codes)]


def _number(codes: Ints) -> Ints:
    """The place of cells in the odometer of all cells, ``(n,)``."""
    place = len(OPERATORS) ** np.arange(len(EDGES))[::-1]
    numbers: Ints = codes @ place
    return numbers


@cache
def _canonical_cells() -> Ints:
    """The canonical form of every cell, ``int64 (15625, 6)``."""
    shape = (len(OPERATORS),) * len(EDGES)
    every = living(np.indices(shape, dtype=np.int64).reshape(len(EDGES), -1).T)
    first: dict[tuple[str, ...], Ints] = {}
    written: dict[int, Ints] = {}
    numbers = _number(every)
    # Ascending numbers are lexicographic order, so the first of each meaning is the one to keep.
    for number in np.unique(numbers).tolist():
        cell = np.array(np.unravel_index(number, shape), dtype=np.int64)
        written[number] = first.setdefault(_meaning(cell.tolist()), cell)
    return np.stack([written[number] for number in numbers.tolist()])


def _meaning(cell: list[int]) -> tuple[str, ...]:
    """What a living cell computes: its output as a sum of terms, and its convolutions.

    A term is the input, or an operator applied to a sum of terms, written out with the terms in
    alphabetical order. Written-out terms cannot say whether two of them are one convolution used
    twice; the list of all convolutions can.
    """
    nodes: dict[int, list[str]] = {0: ["x"], 1: [], 2: [], 3: []}
    convolutions: list[str] = []
    for edge, operator in enumerate(cell):
        source, target = EDGES[edge]
        if operator == SKIP:
            nodes[target] = nodes[target] + nodes[source]
        elif operator != NONE:
            term = f"{operator}({'+'.join(sorted(nodes[source]))})"
            nodes[target] = [*nodes[target], term]
            if operator != POOL:
                convolutions.append(term)
    return (*sorted(nodes[3]), "weights:", *sorted(convolutions))


def description_names() -> tuple[str, ...]:
    """The names of the columns of `description`, 54 of them."""
    edges = [f"e{i}{j}={operator}" for i, j in EDGES for operator in OPERATORS]
    paths = [f"path{p + 1}.{o}" for p in range(len(PATHS)) for o in OPERATORS[SKIP:]]
    totals = [f"count.{operator}" for operator in OPERATORS]
    return (*edges, *paths, "paths", *totals, "longest", "shortest")


def description(cells: Ints) -> Floats:
    """Describes canonical cells to a predictor.

    Args:
        cells: Canonical cells, ``int64 (n, 6)``.

    Returns:
        ``float64 (n, 54)``, all in [0, 1]: the operators one-hot; of each path the numbers of its
        operators, the path of most 3x3 convolutions first (then 1x1, pooling, skips) and closed
        paths last; the number of open paths; the numbers of operators; the numbers of convolutions
        on the longest and the shortest open path (0 where none is open).
    """
    does = cells[:, :, None] == np.arange(len(OPERATORS))
    is_open = _open_paths(cells)
    per_path = np.einsum("neo,pe->npo", does, _ON_PATH, dtype=np.int64)[:, :, SKIP:]
    per_path = per_path * is_open[:, :, None]
    weight = np.array([4**place for place in (0, 2, 3, 1)])
    rank = per_path @ weight + is_open * 4**4
    order = np.argsort(-rank, axis=1, kind="stable")
    ordered = np.take_along_axis(per_path, order[:, :, None], axis=1)
    depth = per_path[:, :, [CONV1 - SKIP, CONV3 - SKIP]].sum(axis=2)
    longest = np.where(is_open, depth + 1, 0).max(axis=1)
    shortest = np.where(is_open, depth + 1, _LONGEST + 2).min(axis=1) % (_LONGEST + 2)
    n = len(cells)
    return np.column_stack(
        [
            does.reshape(n, len(EDGES) * len(OPERATORS)),
            ordered.reshape(n, len(PATHS) * (len(OPERATORS) - 1)) / _LONGEST,
            is_open.sum(axis=1) / len(PATHS),
            does.sum(axis=1) / len(EDGES),
            longest / (_LONGEST + 1),
            shortest / (_LONGEST + 1),
        ]
    ).astype(np.float64)
