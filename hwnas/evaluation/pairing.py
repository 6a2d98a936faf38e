"""Measuring grids of designs: every outer one with every inner one, e.g. networks x accelerators.

Symbols: ``o`` outer designs, ``i`` inner ones. They live on disjoint parts of one joint space, and
every part belongs to one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.wrappers import safely
from hwnas.space import Space

_CELLS = 200_000
"""Cells measured at a time, so that the joint genomes of a large grid need no memory."""

Against = Callable[[Designs], Grid]
"""Measures outer designs against inner ones that were laid out before."""


def paired(space: Space, outer: Designs, inner: Designs) -> Ints:
    """The joint genomes of a grid, outer designs slowest, ``int64 (o * i, d)``."""
    rows = np.zeros((len(outer), len(inner), len(space)), dtype=np.int64)
    rows[:, :, _places(space, outer.space)] = outer.genomes[:, None, :]
    rows[:, :, _places(space, inner.space)] = inner.genomes[None, :, :]
    return rows.reshape(-1, len(space))


def _places(space: Space, part: Space) -> Ints:
    where = {name: j for j, name in enumerate(space.names)}
    return np.array([where[name] for name in part.names], dtype=np.int64)


def against(
    evaluator: Evaluator, space: Space, inner: Designs, names: frozenset[str]
) -> Against:
    """How an evaluator measures grids: once per design of the side that it reads, if one suffices.

    Args:
        evaluator: A FREE evaluator, or one that is cheap enough.
        space: The joint space.
        inner: The inner designs.
        names: The metrics that are wanted; there may be more in the answer.
    """
    reads = set(space.read_by(evaluator.reads))
    if reads <= set(inner.space.part_names):
        measured = safely(evaluator, inner)
        by_inner = {name: column[None, :] for name, column in measured.columns.items()}

        def inner_alone(outer: Designs) -> Grid:
            shape = len(outer), len(inner)
            return Grid(
                {name: np.broadcast_to(column, shape) for name, column in by_inner.items()},
                np.broadcast_to(measured.feasible, shape),
            )

        return inner_alone
    if not reads & set(inner.space.part_names):

        def outer_alone(outer: Designs) -> Grid:
            shape = len(outer), len(inner)
            measured = safely(evaluator, outer)
            return Grid(
                {
                    name: np.broadcast_to(column[:, None], shape)
                    for name, column in measured.columns.items()
                },
                np.broadcast_to(measured.feasible[:, None], shape),
            )

        return outer_alone
    return evaluator.against(space, inner, names) or _one_by_one(evaluator, space, inner)


def _one_by_one(evaluator: Evaluator, space: Space, inner: Designs) -> Against:
    """Measures every cell of a grid as a design of its own."""

    def measure(outer: Designs) -> Grid:
        parts = [safely(evaluator, chunk) for chunk in _chunks(space, outer, inner)]
        shape = len(outer), len(inner)
        names = [metric.name for metric in evaluator.metrics]
        return Grid(
            {n: np.concatenate([p[n] for p in parts]).reshape(shape) for n in names},
            np.concatenate([p.feasible for p in parts]).reshape(shape),
        )

    return measure


def _chunks(space: Space, outer: Designs, inner: Designs) -> Iterator[Designs]:
    step = max(1, _CELLS // max(1, len(inner)))
    for start in range(0, max(1, len(outer)), step):
        some = outer[start : start + step]
        yield Designs(space, paired(space, some, inner), outer.seed)
