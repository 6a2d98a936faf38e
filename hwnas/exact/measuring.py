"""What exact fronts are measured with: rows in chunks, failures refused, equal losses once."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.errors import ExactRefusedError
from hwnas.exact.front import ExactFront
from hwnas.inner import unique_rows
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem, nondominated

CHUNK = 50_000
"""Designs measured at a time, and losses that wait for the next filtering."""


def enumerated_front(problem: Problem, *, limit: int) -> ExactFront:
    """The exact front, by measuring every design.

    Args:
        problem: The problem; COSTLY evaluators are asked about all that free ones allow.
        limit: How many designs are measured at most.

    Raises:
        ExactRefusedError: There are more designs, or one could not be measured.
    """
    size = problem.space.size()
    if size > limit:
        raise ExactRefusedError(
            f"there are too many designs to measure them all: {size:.4g}",
            rule=f"at most {limit:,}",
            given=f"{size:,}",
            cure="pin genes (restrict)",
        )
    rows = problem.space.rows()
    losses = measured_losses(problem, rows)
    front = one_each(losses)
    how = f"every one of the {len(rows):,} designs was measured"
    return ExactFront(rows[front], losses[front], len(rows), len(rows), how)


def measured_losses(problem: Problem, rows: Ints) -> Floats:
    """The losses of designs, ``(n, m)``; infinite where a constraint is not met.

    Raises:
        ExactRefusedError: One could not be measured.
    """
    losses = np.empty((len(rows), len(problem.objectives)))
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        measured = problem.evaluate(problem.designs(rows[some]))
        refuse_failures(measured)
        met = problem.satisfied(measured)
        losses[some] = np.where(met[:, None], problem.losses(measured), np.inf)
    return losses


def refuse_failures(measured: Measurements) -> None:
    """Refuses measurements of which some failed.

    Raises:
        ExactRefusedError: Some did; the message says how many and why the first did.
    """
    rows = np.flatnonzero(measured.failed)
    if rows.size:
        why = f"{Reason(int(measured.reason[rows[0]])).name}: {measured.notes[rows[0]]}"
        raise failed(f"{rows.size} of {len(measured)} designs", why)


def failed(who: str, why: str) -> ExactRefusedError:
    """The error where designs could not be measured."""
    return ExactRefusedError(
        f"{who} could not be measured, so nobody knows whether they matter",
        rule="every design is measured, or infeasible",
        given=why,
        cure="mend the evaluator, or restrict the space to what it can measure",
    )


def one_each(losses: Floats) -> Ints:
    """The rows of the front, ascending, equal ones once, ``(j,)``.

    Args:
        losses: To be minimised, ``(n, m)``; rows that are not finite are left out. Without
            columns all rows are equal.
    """
    if not losses.shape[1]:
        return np.arange(min(1, len(losses)))
    front = nondominated(losses)
    return front[np.sort(unique_rows(losses[front]))]
