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
from hwnas.evaluation.safety import safely
from hwnas.metrics import Measurements, Reason
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


def against(evaluator: Evaluator, space: Space, inner: Designs, names: frozenset[str]) -> Against:
    """How an evaluator measures grids: once per design of the side that it reads, if one suffices.

    Args:
        evaluator: A FREE evaluator, or one that is cheap enough.
        space: The joint space.
        inner: The inner designs.
        names: The metrics that are wanted; there may be more in the answer.
    """
    reads = set(space.read_by(evaluator.reads))
    within = set(inner.space.part_names)
    without = set(space.part_names) - within
    if reads <= within and not depends(space, within, without):
        return _inner_alone(safely(evaluator, inner))
    if not reads & within and not depends(space, without, within):
        return _outer_alone(evaluator, len(inner))
    if depends(space, within, without) or depends(space, without, within):
        # A gene that sleeps in some cells of the grid is not what it is in its part alone.
        return _one_by_one(evaluator, space, inner)
    return evaluator.against(space, inner, names) or _one_by_one(evaluator, space, inner)


def depends(space: Space, parts: set[str], on: set[str]) -> bool:
    """Whether a gene of some parts is active or not by genes of others."""
    part = {gene.name: gene.part for gene in space.genes}
    return any(part.get(w.gene) in on for g in space.genes if g.part in parts for w in g.when)


def _inner_alone(measured: Measurements) -> Against:
    """For an evaluator that reads the inner designs, which it has measured."""
    failure = _failure_of(measured)

    def measure(outer: Designs) -> Grid:
        shape = len(outer), len(measured)
        columns = {n: np.broadcast_to(c, shape) for n, c in measured.columns.items()}
        return Grid(columns, np.broadcast_to(measured.feasible, shape), failure)

    return measure


def _outer_alone(evaluator: Evaluator, i: int) -> Against:
    """For an evaluator that reads the outer designs."""

    def measure(outer: Designs) -> Grid:
        shape = len(outer), i
        measured = safely(evaluator, outer)
        columns = {n: np.broadcast_to(c[:, None], shape) for n, c in measured.columns.items()}
        feasible = np.broadcast_to(measured.feasible[:, None], shape)
        return Grid(columns, feasible, _failure_of(measured))

    return measure


def _failure_of(measured: Measurements) -> str:
    """Why the first row that failed did; empty where none did."""
    failed = np.flatnonzero(measured.failed)[:1]
    return "".join(f"{Reason(int(measured.reason[i])).name}: {measured.notes[i]}" for i in failed)


def _one_by_one(evaluator: Evaluator, space: Space, inner: Designs) -> Against:
    """Measures every cell of a grid as a design of its own."""

    def measure(outer: Designs) -> Grid:
        parts = [safely(evaluator, chunk) for chunk in _chunks(space, outer, inner)]
        shape = len(outer), len(inner)
        names = [metric.name for metric in evaluator.metrics]
        return Grid(
            {n: np.concatenate([p[n] for p in parts]).reshape(shape) for n in names},
            np.concatenate([p.feasible for p in parts]).reshape(shape),
            next(filter(None, map(_failure_of, parts)), ""),
        )

    return measure


def _chunks(space: Space, outer: Designs, inner: Designs) -> Iterator[Designs]:
    step = max(1, _CELLS // max(1, len(inner)))
    for start in range(0, max(1, len(outer)), step):
        some = outer[start : start + step]
        yield Designs(space, paired(space, some, inner), outer.seed)
