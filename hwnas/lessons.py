"""What a study learns instead of measuring it: rows that were measured before, elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.errors import MeasurementError, nearest
from hwnas.history import Block, History, answered
from hwnas.metrics import Measurements, Metric, Reason
from hwnas.problem import Problem
from hwnas.proposal import Proposal
from hwnas.space import keys
from hwnas.units import dimension, scale

ASKED: Final = 0
"""For how many designs the searcher was asked in a step that was learnt (`Block.asked`)."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """Rows to be learnt, each design once per fidelity.

    Attributes:
        problem: The problem.
        genomes: As they were given, ``int64 (n, d)``.
        measurements: ``n`` rows with all metrics of the problem.
    """

    problem: Problem
    genomes: Ints
    measurements: Measurements

    @classmethod
    def of(cls, problem: Problem, genomes: Any, given: Measurements, seed: int) -> Lesson:
        """Makes rows that somebody measured into rows of a problem.

        FREE metrics are measured now, whatever was given: they may have changed. A design that
        they find infeasible keeps what is COSTLY, since others may share it. Rows are left out
        that say nothing of what is COSTLY (`Reason.RULED_OUT`), and further rows of a design;
        the first that did not fail stays.

        Args:
            problem: The problem.
            genomes: ``int64 (n, d)``; sleeping genes may have any value.
            given: ``n`` rows with (at least) the metrics that are COSTLY.
            seed: The study's seed.

        Raises:
            SpaceError: A genome is not of the space.
            MeasurementError: The numbers of rows differ, a COSTLY metric is missing or has
                another unit, or nobody can measure at a fidelity.
        """
        rows = problem.space.check(genomes)
        _check(problem, rows, given)
        whole = problem.free(problem.designs(rows, seed))
        kept = np.ones(len(rows), dtype=np.bool_)
        if problem.costly:
            whole = _beside(whole, _costly(problem, given))
            kept = answered(problem, whole) | whole.failed
        order = np.lexsort((np.arange(len(rows)), whole.failed))
        order = order[kept[order]]
        names = zip(whole.fidelity[order], keys(problem.space.canonical(rows[order])), strict=True)
        first: dict[tuple[float, bytes], int] = {}
        for name, row in zip(names, order, strict=True):
            first.setdefault(name, int(row))
        chosen = np.sort(np.array(list(first.values()), dtype=np.int64))
        return cls(problem, rows[chosen], whole.take(chosen))

    def __len__(self) -> int:
        return len(self.genomes)

    def new_to(self, history: History, unfinished: Block | None) -> Lesson:
        """The rows that a history does not have.

        Args:
            history: The history.
            unfinished: Rows of a lesson that was cut off, which count as new; ``None`` if none
                was.
        """
        rows = history.row_of(self.genomes, self.measurements.fidelity)
        known = rows >= 0
        if unfinished is not None:
            known &= history.rows.step[rows] != unfinished.step[0]
        new = np.flatnonzero(~known)
        return Lesson(self.problem, self.genomes[new], self.measurements.take(new))

    def begins_with(self, unfinished: Block) -> bool:
        """Whether it is the lesson that was cut off when some of its rows were stored."""
        if len(self) != unfinished.size[0]:
            return False
        return np.array_equal(self.genomes[unfinished.position], unfinished.genomes)

    def block(self, rows: Ints, step: int, at: float) -> Block:
        """Some of its rows as rows of a history.

        Args:
            rows: Which, ``int64 (j,)``.
            step: The step that they are learnt in.
            at: Seconds the study had run then.
        """
        own = Proposal(self.problem, self.genomes, self.measurements.fidelity, step, ASKED)
        return own.block(rows, self.measurements.take(rows), at)


def _check(problem: Problem, rows: Ints, given: Measurements) -> None:
    if len(rows) != len(given):
        raise MeasurementError(
            "genomes and measurements differ in length",
            rule="one row of measurements per genome",
            given=f"{len(rows)} and {len(given)}",
        )
    strange = np.setdiff1d(given.fidelity, problem.fidelities)
    if strange.size:
        raise MeasurementError(
            "rows of a fidelity that nobody measures at cannot be learnt",
            where="row " + str(np.flatnonzero(given.fidelity == strange[0])[0]),
            rule="fidelities of the problem: " + ", ".join(map(str, problem.fidelities)),
            given=str(strange[0]),
            cure="leave such rows out",
        )
    own = {metric.name: metric for metric in given.metrics}
    for metric in (m for e in problem.costly for m in e.metrics):
        if metric.name not in own:
            raise MeasurementError(
                f"the costly metric {metric.name!r} is missing, so the rows cannot be learnt",
                rule="everything that is COSTLY has a column; what is FREE is measured anew",
                given=", ".join(own) or "no metric",
                cure=nearest(metric.name, own),
            )
        _check_unit(metric, own[metric.name])


def _check_unit(metric: Metric, given: Metric) -> None:
    same = metric.unit == given.unit or (
        dimension(metric.unit) == dimension(given.unit) and scale(metric.unit) == scale(given.unit)
    )
    if not same:
        raise MeasurementError(
            f"metric {metric.name!r} has another unit here",
            rule=f"{metric.unit}, as in the problem",
            given=given.unit,
            cure="convert the values",
        )


def _costly(problem: Problem, given: Measurements) -> Measurements:
    """What the COSTLY evaluators would have answered."""
    metrics = tuple(m for e in problem.costly for m in e.metrics)
    columns = {m.name: given[m.name] for m in metrics}
    finite = np.isfinite(list(columns.values())).all(axis=0)
    # Free metrics ruled such a row out where it comes from, or it was measured early: its values
    # are values.
    usable = finite & np.isin(given.reason, (int(Reason.RULED_OUT), int(Reason.LOW_FIDELITY)))
    reason = np.where(usable, int(Reason.NONE), given.reason)
    feasible = reason == Reason.NONE
    return Measurements(metrics, columns, feasible, reason, given.notes, given.fidelity)


def _beside(free: Measurements, costly: Measurements) -> Measurements:
    both = free.beside(costly)
    reason = np.where(free.feasible, costly.reason, int(Reason.RULED_OUT))
    early = (reason == Reason.NONE) & (both.fidelity < 1)
    reason = np.where(early, int(Reason.LOW_FIDELITY), reason)
    return replace(both, feasible=reason == Reason.NONE, reason=reason)
