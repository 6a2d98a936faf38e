"""What is measured: metrics with units and goals, and measurements of a batch of designs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import MeasurementError, nearest


class Goal(Enum):
    """Which way a metric is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


@dataclass(frozen=True)
class Metric:
    """A quantity that an evaluator answers.

    Attributes:
        name: Its name in objectives and constraints, a Python identifier.
        unit: Its unit at rest: ``s``, ``J``, ``m^2``, ``W``, ``B``, ``Hz``, ``1`` or a product.
        goal: Which way it is better.
        worst: The worst value that can occur, if there is one (1.0 for an error rate): the
            hypervolume's reference point can then be fixed before anything is measured.
        best: The best value that can occur, if there is one (0.0 for an error rate).
    """

    name: str
    unit: str = "1"
    goal: Goal = Goal.MINIMIZE
    worst: float | None = None
    best: float | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise MeasurementError(
                f"{self.name!r} cannot name a metric",
                rule="letters, digits and underscores, not starting with a digit",
                given=repr(self.name),
            )


class Reason(IntEnum):
    """Why a row is not feasible. Stored with the study, so the numbers never change."""

    NONE = 0
    INFEASIBLE = 1
    """The design itself: it cannot be built, mapped or trained."""
    RULED_OUT = 2
    """Free metrics rule it out (infeasible, or a constraint is violated), so nothing costly was
    measured."""
    DIVERGED = 3
    """The training diverged."""
    RAISED = 4
    """The evaluator raised."""
    TIMED_OUT = 5
    """The evaluator took longer than it may."""
    CRASHED = 6
    """The process of the evaluator died."""
    NOT_FINITE = 7
    """The evaluator answered NaN or infinity."""
    BROKEN = 8
    """The evaluator's answer breaks its contract, e.g. a wrong number of rows."""
    LOW_FIDELITY = 9
    """Measured, but at a lower fidelity: the values are not those that count."""

    @property
    def is_failure(self) -> bool:
        """Whether the evaluator failed, as opposed to the design being infeasible."""
        return Reason.RAISED <= self <= Reason.BROKEN


def _empty_notes(n: int) -> tuple[str, ...]:
    return ("",) * n


@dataclass(frozen=True, eq=False)
class Measurements:
    """One column per metric for ``n`` designs. Infeasible is data, never a silent NaN.

    Attributes:
        metrics: The metrics, one per column.
        columns: Metric name to values, ``float64 (n,)``, in the metric's unit. NaN is allowed
            only in rows that are not feasible.
        feasible: ``bool (n,)``.
        reason: ``int64 (n,)``, a `Reason` code; 0 exactly where feasible.
        notes: One text per row, empty where there is nothing to say.
        fidelity: ``float64 (n,)``, above 0 and at most 1: the fidelity at which costly metrics
            were measured; 1 where nobody says otherwise.

    Raises:
        MeasurementError: Lengths differ, a column is missing, a feasible row has a reason or an
            infeasible one has none, or a feasible row is not finite (the rows are named).
    """

    metrics: tuple[Metric, ...]
    columns: Mapping[str, Floats]
    feasible: Bools
    reason: Ints
    notes: tuple[str, ...] = field(default=())
    fidelity: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n = len(self.feasible)
        if not self.notes:
            object.__setattr__(self, "notes", _empty_notes(n))
        if not len(self.fidelity):
            object.__setattr__(self, "fidelity", np.ones(n))
        if len(self.reason) != n or len(self.notes) != n or len(self.fidelity) != n:
            raise MeasurementError(
                "feasible, reason, notes and fidelity differ in length",
                rule="one entry per design",
                given=f"{n}, {len(self.reason)}, {len(self.notes)} and {len(self.fidelity)}",
            )
        if not np.array_equal(self.feasible, self.reason == Reason.NONE):
            raise MeasurementError(
                "feasible and reason contradict each other",
                rule="reason is 0 exactly where the row is feasible",
            )
        if sorted(self.columns) != sorted(metric.name for metric in self.metrics):
            raise MeasurementError(
                "the columns are not the metrics",
                rule="one column per metric, and no metric twice: "
                + ", ".join(m.name for m in self.metrics),
                given=", ".join(self.columns),
            )
        for metric in self.metrics:
            self._check_column(metric.name, n)

    def _check_column(self, name: str, n: int) -> None:
        column = self.columns[name]
        if column.shape != (n,):
            raise MeasurementError(
                f"column {name!r} has the wrong shape",
                rule=f"({n},): one value per design",
                given=str(column.shape),
            )
        bad = np.flatnonzero(self.feasible & ~np.isfinite(column))
        if bad.size:
            raise MeasurementError(
                f"metric {name!r} is not finite in feasible rows",
                where="rows " + ", ".join(map(str, bad[:10])) + (" ..." if bad.size > 10 else ""),
                rule="a feasible row has finite values",
                given=", ".join(str(v) for v in column[bad[:10]]),
                cure="answer such designs as infeasible, with a reason",
            )

    @classmethod
    def of(
        cls,
        metrics: Sequence[Metric],
        columns: Mapping[str, Any],
        *,
        reason: Any = None,
        notes: Sequence[str] = (),
    ) -> Measurements:
        """Builds measurements from plain arrays.

        Args:
            metrics: The metrics.
            columns: Metric name to an array-like ``(n,)``; further columns are left out.
            reason: Array-like ``(n,)`` of `Reason` codes; all feasible if left out.
            notes: One text per row.

        Raises:
            MeasurementError: A metric has no column, or the contract is broken.
        """
        missing = [m.name for m in metrics if m.name not in columns]
        if missing:
            raise MeasurementError(
                f"metric {missing[0]!r} was not answered",
                rule="every declared metric has a column",
                given=", ".join(columns) or "no column",
                cure=nearest(missing[0], columns),
            )
        arrays = {m.name: np.asarray(columns[m.name], dtype=np.float64) for m in metrics}
        n = len(next(iter(arrays.values()))) if arrays else len(notes)
        codes = np.zeros(n, np.int64) if reason is None else np.asarray(reason, dtype=np.int64)
        return cls(tuple(metrics), arrays, codes == Reason.NONE, codes, tuple(notes))

    @classmethod
    def nothing(
        cls, metrics: Sequence[Metric], n: int, reason: Reason, note: str = ""
    ) -> Measurements:
        """Builds ``n`` rows that all have no values, for the one reason given."""
        columns = {m.name: np.full(n, np.nan) for m in metrics}
        return cls.of(metrics, columns, reason=np.full(n, int(reason)), notes=(note,) * n)

    def __len__(self) -> int:
        return len(self.feasible)

    def __getitem__(self, name: str) -> Floats:
        """The column of a metric, ``(n,)``."""
        return self.columns[name]

    @property
    def failed(self) -> Bools:
        """``bool (n,)``: rows where the evaluator failed (as opposed to infeasible designs)."""
        return (self.reason >= int(Reason.RAISED)) & (self.reason <= int(Reason.BROKEN))

    @property
    def partial(self) -> Bools:
        """``bool (n,)``: rows with values, but of a lower fidelity."""
        return np.asarray(self.reason == int(Reason.LOW_FIDELITY))

    def at(self, fidelity: float) -> Measurements:
        """The same rows as measured at some fidelity: below 1 none of them counts."""
        reason = self.reason
        if fidelity < 1:
            reason = np.where(reason == Reason.NONE, int(Reason.LOW_FIDELITY), reason)
        return Measurements(
            self.metrics,
            self.columns,
            reason == Reason.NONE,
            reason,
            self.notes,
            np.full(len(self), fidelity),
        )

    def answered(self) -> Measurements:
        """As evaluators answered: at a lower fidelity, too, what was measured is feasible."""
        reason = np.where(self.partial, int(Reason.NONE), self.reason)
        feasible = reason == Reason.NONE
        return Measurements(self.metrics, self.columns, feasible, reason, self.notes)

    def take(self, rows: Ints | slice | Bools) -> Measurements:
        """The rows asked for, in that order."""
        index = np.arange(len(self))[rows]
        return Measurements(
            self.metrics,
            {name: column[index] for name, column in self.columns.items()},
            self.feasible[index],
            self.reason[index],
            tuple(self.notes[i] for i in index),
            self.fidelity[index],
        )

    def beside(self, other: Measurements) -> Measurements:
        """Joins the metrics of two measurements of the same rows.

        A row is feasible where both are; the first reason that is not `Reason.NONE` is kept.

        Raises:
            MeasurementError: The numbers of rows differ, or a metric is in both.
        """
        if len(self) != len(other):
            raise MeasurementError(
                "measurements of different batches cannot be joined",
                rule="equal numbers of rows",
                given=f"{len(self)} and {len(other)}",
            )
        twice = set(self.columns) & set(other.columns)
        if twice:
            raise MeasurementError(
                f"metric {min(twice)!r} is measured twice", rule="one evaluator per metric"
            )
        reason = np.where(self.reason != Reason.NONE, self.reason, other.reason)
        notes = tuple(a or b for a, b in zip(self.notes, other.notes, strict=True))
        return Measurements(
            self.metrics + other.metrics,
            {**self.columns, **other.columns},
            reason == Reason.NONE,
            reason,
            notes,
            np.minimum(self.fidelity, other.fidelity),
        )

    @classmethod
    def stack(cls, parts: Iterable[Measurements]) -> Measurements:
        """Puts measurements of the same metrics below each other.

        Raises:
            MeasurementError: There are none, or the metrics differ.
        """
        blocks = list(parts)
        if not blocks:
            raise MeasurementError("nothing to stack", rule="at least one block")
        names = tuple(blocks[0].columns)
        if any(set(block.columns) != set(names) for block in blocks):
            raise MeasurementError("blocks of different metrics cannot be stacked")
        return cls(
            blocks[0].metrics,
            {name: np.concatenate([b.columns[name] for b in blocks]) for name in names},
            np.concatenate([b.feasible for b in blocks]),
            np.concatenate([b.reason for b in blocks]),
            tuple(note for b in blocks for note in b.notes),
            np.concatenate([b.fidelity for b in blocks]),
        )
