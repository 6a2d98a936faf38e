"""Rules of evaluators that know more than one design at a time: what looks alike, and grids."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.evaluation.pairing import depends, paired
from hwnas.metrics import Measurements
from hwnas.space import Space, unique
from hwnas.testing.check import nothing_to_check, require

_DRAWN: Final = 512
_TWINS: Final = 64


def check_keys(evaluator: Evaluator, space: Space, seed: int) -> None:
    """Fingerprints are one key per design, equal for equal designs, in any order.

    Raises:
        AssertionError: They are not.
    """
    rng = np.random.default_rng(seed)
    for part in space.part_names:
        own = space.part(part)
        rows = own.sample(_TWINS, rng)
        keys = evaluator.fingerprints(Designs(own, rows, seed))
        require(
            len(keys) == len(rows) and all(isinstance(key, bytes) for key in keys),
            f"fingerprints of {len(rows)} designs of {part!r} are {len(keys)} keys, or not bytes",
        )
        order = rng.integers(0, len(rows), size=2 * len(rows))
        again = evaluator.fingerprints(Designs(own, rows[order], seed))
        require(
            again == [keys[i] for i in order],
            f"equal designs of {part!r} have other fingerprints in another batch",
        )
        nobody = evaluator.fingerprints(Designs(own, rows[:0], seed))
        require(nobody == [], f"fingerprints of no designs of {part!r} are {nobody}")


def twins(evaluator: Evaluator, space: Space, seed: int, n: int) -> Iterator[tuple[str, Ints]]:
    """Pairs of whole designs that fingerprints of one part cannot tell apart.

    Yields:
        A part, and pairs ``int64 (2, j, d)`` that differ in it alone; up to ``n`` per part.
    """
    rng = np.random.default_rng(seed)
    for part in space.part_names:
        own, columns = space.part(part), space.columns_of(part)
        rows = own.sample(_DRAWN, rng)
        rows = rng.permutation(rows[unique(rows)[0]])
        first: dict[bytes, int] = {}
        keys = evaluator.fingerprints(Designs(own, rows, seed))
        other = np.array([first.setdefault(key, i) for i, key in enumerate(keys)], dtype=np.int64)
        found = np.flatnonzero(other != np.arange(len(rows)))[:n]
        pair = np.repeat(space.sample(len(found), rng)[None], 2, axis=0)
        pair[:, :, columns] = rows[np.stack([other[found], found])]
        whole = np.stack([space.canonical(side) for side in pair])
        awake = np.stack([space.active(side) for side in whole])
        rest = np.setdiff1d(np.arange(len(space)), columns)
        # What sends genes of other parts to sleep in one of the two is a difference.
        alike = (whole[:, :, columns] == pair[:, :, columns]).all(axis=(0, 2))
        alike &= (whole[0][:, rest] == whole[1][:, rest]).all(axis=1)
        alike &= (awake[0][:, rest] == awake[1][:, rest]).all(axis=1)
        if alike.any():
            yield part, whole[:, alike]


def how_many(evaluator: Evaluator, rows: int) -> int:
    """How many pairs of twins are measured: few where evaluations cost something."""
    return _TWINS if evaluator.expense is Expense.FREE else rows


def grids(evaluator: Evaluator, space: Space, seed: int) -> Iterator[tuple[str, Designs, Designs]]:
    """The splits of a space for which an evaluator has a way of its own to measure grids.

    Yields:
        What the split is called, outer designs, and inner ones.
    """
    rng = np.random.default_rng(seed)
    names = frozenset(metric.name for metric in evaluator.metrics)
    few = evaluator.expense is not Expense.FREE
    for count in range(1, len(space.part_names)):
        for inside in combinations(space.part_names, count):
            outside = tuple(p for p in space.part_names if p not in inside)
            if depends(space, set(inside), set(outside)):
                continue
            if depends(space, set(outside), set(inside)):
                continue
            sides = []
            for parts, n in ((outside, 2 if few else 6), (inside, 2 if few else 40)):
                own = space.part(*parts)
                sides.append(Designs(own, own.sample(n, rng), seed))
            if evaluator.against(space, sides[1], names) is not None:
                yield f"{'+'.join(outside)} against {'+'.join(inside)}", sides[0], sides[1]


def check_grid(
    evaluator: Evaluator, space: Space, outer: Designs, inner: Designs, tolerance: float
) -> None:
    """A grid is what its cells measure, whatever was measured before, and whatever is wanted.

    Raises:
        AssertionError: It is not.
    """
    cells = evaluator.evaluate(Designs(space, paired(space, outer, inner), outer.seed))
    names = [metric.name for metric in evaluator.metrics]
    measure = evaluator.against(space, inner, frozenset(names))
    if measure is None:
        nothing_to_check("it measures designs one by one")
    order = np.arange(len(outer))[::-1]
    for rows in (order[:0], order[:1], order[::-1], order):
        _check_cells(measure(outer[rows]), cells, rows, len(inner), names, tolerance)
    for name in names:
        alone = evaluator.against(space, inner, frozenset({name}))
        require(alone is not None, f"it answers all metrics of a grid, but not {name!r} alone")
        if alone is not None:
            _check_cells(alone(outer), cells, order[::-1], len(inner), [name], tolerance)


def _check_cells(
    grid: Grid, cells: Measurements, rows: Ints, i: int, names: list[str], tolerance: float
) -> None:
    shape = len(rows), i
    require(isinstance(grid, Grid), f"the answer is a {type(grid).__name__}, not a Grid")
    missing = [name for name in names if name not in grid.columns]
    require(not missing, f"the grid lacks {missing}, which are wanted")
    shapes = {grid.feasible.shape, *(grid.columns[name].shape for name in names)}
    require(shapes == {shape}, f"columns of a grid of {shape} designs have the shapes {shapes}")
    feasible = cells.feasible.reshape(-1, i)[rows]
    differ = np.argwhere(grid.feasible != feasible)
    if differ.size:
        o, j = differ[0]
        raise AssertionError(
            f"cell ({o}, {j}) is {'' if grid.feasible[o, j] else 'not '}feasible in the grid, and "
            f"{'' if feasible[o, j] else 'not '}feasible by itself"
        )
    for name in names:
        expected = cells[name].reshape(-1, i)[rows]
        close = np.isclose(grid.columns[name], expected, rtol=tolerance, atol=0.0) | ~feasible
        for o, j in np.argwhere(~close)[:1]:
            raise AssertionError(
                f"{name} differs in {(~close).sum()} of {close.size} cells: cell ({o}, {j}) is "
                f"{grid.columns[name][o, j]} in the grid, and {expected[o, j]} by itself"
            )
