"""What a comparison says, as plain records: computed and tested here, drawn elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from hwnas.comparison.significance import PairedTest
from hwnas.report.quantity import Quantity
from hwnas.yardstick import Yardstick

_FORMAT: Final = 1

COLUMNS: Final = (
    "searcher",
    "seed",
    "status",
    "evaluations",
    "relative_hypervolume",
    "cpu_s_per_evaluation",
)
"""The columns of `Comparison.table`."""


@dataclass(frozen=True)
class Spread:
    """The quartiles of some numbers.

    Attributes:
        median: The median.
        lower: The lower quartile.
        upper: The upper quartile.
    """

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Spread | None:
        """Of some numbers (linear interpolation); ``None`` where there are none."""
        values = np.fromiter(numbers, np.float64)
        if not len(values):
            return None
        lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(float(median), float(lower), float(upper))


@dataclass(frozen=True)
class Run:
    """One seed of one searcher.

    Attributes:
        seed: The seed.
        status: Why it is not running: ``complete``, ``exhausted``, ``idle`` or ``failed``.
        error: What it failed of; empty where it did not.
        designs: How many designs it looked at, within the budget.
        evaluations: How many of them the budget counts.
        failures: Designs on which an evaluator failed.
        hypervolume: The share of the box that its final front dominates.
        relative: Its hypervolume at each checkpoint, relative to the target.
        reached: Per fraction of the target after how many evaluations it was reached; ``None``
            where it never was.
        overhead: CPU seconds of the searcher itself (ask and tell) per evaluation; ``None`` where
            it was not measured.
    """

    seed: int
    status: str
    error: str
    designs: int
    evaluations: float
    failures: int
    hypervolume: float
    relative: tuple[float, ...]
    reached: tuple[float | None, ...]
    overhead: float | None

    @property
    def final(self) -> float:
        """Its final hypervolume, relative to the target."""
        return self.relative[-1]


@dataclass(frozen=True)
class Reached:
    """How quickly the seeds of a searcher reached a fraction of the target.

    Attributes:
        fraction: The fraction.
        evaluations: The median over all seeds, one that never reached it counting as infinitely
            late; ``None`` where that leaves no finite median.
        seeds: How many seeds reached it.
    """

    fraction: float
    evaluations: float | None
    seeds: int


@dataclass(frozen=True)
class Row:
    """One searcher.

    Attributes:
        label: What it is called.
        searcher: The searcher's name.
        options: Its options, as text.
        refused: Why it cannot search this problem; empty where it can.
        runs: Its runs, by seed.
        relative: The relative hypervolume over seeds at each checkpoint.
        reached: How quickly fractions of the target were reached.
        overhead: CPU seconds of the searcher itself per evaluation, over seeds.
        band: The relative hypervolume over seeds at each point of the curves.
    """

    label: str
    searcher: str
    options: tuple[tuple[str, str], ...] = ()
    refused: str = ""
    runs: tuple[Run, ...] = ()
    relative: tuple[Spread, ...] = ()
    reached: tuple[Reached, ...] = ()
    overhead: Spread | None = None
    band: tuple[Spread, ...] = ()

    @property
    def failed(self) -> tuple[Run, ...]:
        """Runs that were broken off by an error."""
        return tuple(run for run in self.runs if run.error)


@dataclass(frozen=True)
class Target:
    """What hypervolume is measured against: HV*.

    Attributes:
        volume: The share of the box that the target's front dominates.
        designs: How many points that front has.
        exact: Whether it is the exact front, or only the best that is known.
        how: Where it is from.
    """

    volume: float
    designs: int
    exact: bool
    how: str


@dataclass(frozen=True)
class Comparison:
    """Searchers compared on one problem.

    Hypervolumes of all runs are measured in one box, and told relative to one target; see
    `Target`.

    Attributes:
        name: What is compared on.
        objectives: The objectives.
        budget: Evaluations of each run.
        seeds: The seeds.
        checkpoints: Where hypervolumes are told, in evaluations, ascending; the last is the
            budget.
        fractions: The fractions of the target whose reaching is told.
        points: Where the curves have points, in evaluations, ascending.
        box: The yardstick; ``None`` where no run found a feasible design.
        box_from: Where the box is from.
        target: What volumes are relative to; ``None`` without a box.
        rows: The searchers, as they were named.
        tests: Every other searcher against the first.
        notes: What a reader should know besides.
    """

    name: str
    objectives: tuple[Quantity, ...]
    budget: int
    seeds: tuple[int, ...]
    checkpoints: tuple[int, ...]
    fractions: tuple[float, ...]
    points: tuple[int, ...]
    box: Yardstick | None
    box_from: str
    target: Target | None
    rows: tuple[Row, ...]
    tests: tuple[PairedTest, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, label: str) -> Row:
        """The row of a searcher.

        Raises:
            KeyError: Nobody of that label took part.
        """
        for row in self.rows:
            if row.label == label:
                return row
        raise KeyError(label)

    @property
    def ran(self) -> bool:
        """Whether at least one searcher ran, with one seed without an error."""
        return any(not run.error for row in self.rows for run in row.runs)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        data = asdict(self)
        data["objectives"] = [
            {"name": q.name, "unit": q.unit, "goal": q.goal.value if q.goal else None}
            for q in self.objectives
        ]
        data["box"] = self.box.to_json() if self.box else None
        for row in data["rows"]:
            row["options"] = dict(row["options"])
        for test, found in zip(data["tests"], self.tests, strict=True):
            test["verdict"] = found.verdict
        return {"format": _FORMAT, **data}

    def table(self) -> list[dict[str, Any]]:
        """One line per run and checkpoint, for spreadsheets; see `to_json` for everything."""
        return [
            dict(
                zip(
                    COLUMNS,
                    (row.label, run.seed, run.status, at, relative, run.overhead),
                    strict=True,
                )
            )
            for row in self.rows
            for run in row.runs
            for at, relative in zip(self.checkpoints, run.relative, strict=True)
        ]


def reached(fraction: float, evaluations: Sequence[float | None]) -> Reached:
    """Summarises when the seeds of a searcher reached a fraction of the target."""
    late = [np.inf if e is None else float(e) for e in evaluations]
    # Halfway between a number and never is never, where np.median would do: inf + 5 is inf.
    median = float(np.median(late)) if late else np.inf
    count = sum(e is not None for e in evaluations)
    return Reached(fraction, median if np.isfinite(median) else None, count)


def as_text(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Options as pairs of text."""
    return tuple((name, str(value)) for name, value in options.items())
