"""The one interface for everything that measures a design.

Trained accuracy, surrogate accuracy, training-free metrics, tables, analytical hardware models,
external simulators and measurements on a device are all an `Evaluator`.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

import numpy as np

from hwnas.arrays import Ints
from hwnas.design.designs import Design, Designs
from hwnas.errors import MeasurementError
from hwnas.evaluation.explanation import Explanation
from hwnas.evaluation.grid import Grid
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.space import Space, keys

ALL_PARTS: frozenset[str] = frozenset()
"""As `Evaluator.reads`: every part of the genome can change the answer."""


class Expense(Enum):
    """What an evaluation costs the person who waits."""

    FREE = "free"
    """Vectorised and fast: never budgeted, may be asked about millions of designs."""
    COSTLY = "costly"
    """Seconds to days each: counts against the budget."""


Chunk = tuple[Ints, Measurements]
"""Rows of the batch, ``int64 (j,)``, and their measurements, in that order."""


class Evaluator(ABC):
    """Measures designs: ``n`` rows in, ``n`` rows out; ``n`` may be 0.

    Attributes:
        metrics: What it answers.
        reads: The parts of the genome that can change the answer, e.g. ``{"net", "quant"}``;
            empty means all. One that is too small is a bug that the conformance suite finds.
        expense: FREE or COSTLY.
        fidelities: Ascending; 1.0 is the real thing.
        version: Changes whenever the answers do. Stored with every study: one that changed may
            not continue.
        deterministic: Whether equal designs (and study seeds) give equal answers.
    """

    metrics: tuple[Metric, ...]
    reads: frozenset[str] = ALL_PARTS
    expense: Expense = Expense.COSTLY
    fidelities: tuple[float, ...] = (1.0,)
    version: str = "1"
    deterministic: bool = True

    @abstractmethod
    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch.

        Args:
            designs: ``n`` designs.
            fidelity: One of `fidelities`.

        Returns:
            ``n`` rows, in the order of the designs.
        """

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Measures a batch and hands out rows as they are finished, in any order.

        What was handed out can be stored at once, so a killed run loses only what was in work.
        """
        if len(designs):
            yield np.arange(len(designs)), self.evaluate(designs, fidelity)

    def get_ready(self, space: Space, fidelity: float = 1.0) -> None:  # noqa: B027 - most are
        """Does what takes long and is done once before designs are measured: trains a supernet.

        No time limit counts for it. It may be called again, and in several processes, and is then
        over at once. Studies call it before they measure; what it made must survive pickling, or
        be on disk. What it raises fails the designs that were to be measured.

        Args:
            space: The space of the designs.
            fidelity: At which they will be measured.
        """

    def fingerprints(self, designs: Designs) -> list[bytes]:
        """Says which designs it cannot tell apart; override it where different genomes cost alike.

        Args:
            designs: ``n`` designs, perhaps of some parts of the genome only.

        Returns:
            ``n`` keys. Designs with equal keys have equal metrics, whatever parts of the genome
            are added to both.
        """
        columns = designs.space.columns_of(*designs.space.read_by(self.reads))
        return keys(designs.genomes[:, columns])

    def against(
        self, space: Space, inner: Designs, names: frozenset[str]
    ) -> Callable[[Designs], Grid] | None:
        """Lays out inner designs, to measure many outer ones against all of them.

        Override it where a grid costs less than its cells, e.g. because networks share layers.

        Args:
            space: The joint space.
            inner: Designs of some parts of it, e.g. of ``hw``; the outer ones are of the others.
            names: The metrics that are wanted.

        Returns:
            A function from ``o`` outer designs to their grid, or ``None``: cell by cell.
        """
        del space, inner, names
        return None

    def explain(self, design: Design) -> Explanation | None:
        """Says where the metrics of a design come from: for people, tables and pictures.

        Override it where components or layers are known, e.g. in a cost model. It is asked about
        single designs, without a time limit, so it should take well below a second.

        Args:
            design: A design of the space.

        Returns:
            Parts of metrics, columns per layer and a roofline, as far as they are known, or
            ``None``: nothing is known, or the design is infeasible.
        """
        del design
        return None

    @property
    def name(self) -> str:
        """How reports call it."""
        return type(self).__name__

    def close(self) -> None:  # noqa: B027 - most evaluators hold nothing
        """Lets go of processes and files; the evaluator can still be used afterwards."""


class PerDesign(Evaluator):
    """The base for slow, one-by-one evaluators: implement `measure`.

    What `measure` raises is recorded as a failed row, and the batch goes on.
    """

    @abstractmethod
    def measure(self, design: Design, fidelity: float = 1.0) -> Mapping[str, float] | Infeasible:
        """Measures one design.

        Returns:
            Metric name to value, or `Infeasible` with the reason.
        """

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch one by one; see `Evaluator.evaluate`."""
        return collect(self.metrics, len(designs), self.stream(designs, fidelity))

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Measures one by one and hands out each row; see `Evaluator.stream`."""
        for i, design in enumerate(designs):
            yield np.array([i]), self._row(design, fidelity)

    def _row(self, design: Design, fidelity: float) -> Measurements:
        try:
            answer = self.measure(design, fidelity)
        except Exception as error:  # whatever a foreign evaluator raises is a failed row
            return Measurements.nothing(self.metrics, 1, Reason.RAISED, describe(error))
        return checked_row(self.metrics, answer)


class Infeasible:
    """The answer of `PerDesign.measure` for a design that cannot be measured.

    Args:
        note: Why, for a person.
        reason: `Reason.INFEASIBLE` or `Reason.DIVERGED`.
    """

    def __init__(self, note: str, reason: Reason = Reason.INFEASIBLE) -> None:
        if reason not in (Reason.INFEASIBLE, Reason.DIVERGED):
            raise MeasurementError(
                "this is no reason for a design to be infeasible",
                rule="Reason.INFEASIBLE or Reason.DIVERGED",
                given=str(reason),
            )
        self.note = note
        self.reason = reason


def describe(error: BaseException) -> str:
    """One line for an exception: its type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def checked_row(metrics: tuple[Metric, ...], answer: Any) -> Measurements:
    """Turns the answer for one design into a row; one that breaks the contract is a failed row.

    Numbers must be real, finite and not truth values: NaN, infinity, ``True`` or text would
    otherwise win every comparison.
    """
    if isinstance(answer, Infeasible):
        return Measurements.nothing(metrics, 1, answer.reason, answer.note)
    if not isinstance(answer, Mapping):
        note = f"the answer is a {type(answer).__name__}, not a mapping from metric to number"
        return Measurements.nothing(metrics, 1, Reason.BROKEN, note)
    values: dict[str, float] = {}
    for metric in metrics:
        value = answer.get(metric.name)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.item()
        if isinstance(value, bool | np.bool_) or not isinstance(
            value, int | float | np.integer | np.floating
        ):
            note = f"metric {metric.name!r} is {value!r}, not a number"
            return Measurements.nothing(metrics, 1, Reason.BROKEN, note)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            note = f"metric {metric.name!r} is {number}"
            return Measurements.nothing(metrics, 1, Reason.NOT_FINITE, note)
        values[metric.name] = number
    return Measurements.of(metrics, {name: [value] for name, value in values.items()})


def collect(metrics: tuple[Metric, ...], n: int, chunks: Iterable[Chunk]) -> Measurements:
    """Puts the chunks of a stream together in the order of the batch.

    Raises:
        MeasurementError: A row is missing or was answered twice.
    """
    order: list[Ints] = []
    parts: list[Measurements] = []
    for rows, part in chunks:
        order.append(rows)
        parts.append(part)
    if not parts:
        parts = [Measurements.nothing(metrics, 0, Reason.NONE)]
        order = [np.empty(0, dtype=np.int64)]
    index = np.concatenate(order)
    if not np.array_equal(np.sort(index), np.arange(n)):
        raise MeasurementError(
            "a stream did not answer every row once", rule=f"rows 0 to {n - 1}", given=str(index)
        )
    return Measurements.stack(parts).take(np.argsort(index))


class FunctionEvaluator(Evaluator):
    """A plain function as an evaluator; made by the decorator `measures`.

    Args:
        function: Takes a `Design` (or `Designs` if ``batch``) and returns a number, or for
            several metrics a mapping (or the arrays thereof).
        metrics: What it answers.
        reads: See `Evaluator`.
        expense: See `Evaluator`.
        batch: Whether it takes whole batches.
        version: See `Evaluator`.
        deterministic: See `Evaluator`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        metrics: tuple[Metric, ...],
        *,
        reads: frozenset[str] = ALL_PARTS,
        expense: Expense = Expense.COSTLY,
        batch: bool = False,
        version: str = "1",
        deterministic: bool = True,
    ) -> None:
        self.function = function
        self.metrics = metrics
        self.reads = reads
        self.expense = expense
        self.batch = batch
        self.version = version
        self.deterministic = deterministic

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function itself."""
        return self.function(*args, **kwargs)

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`."""
        if self.batch and len(designs):
            return self._batch(designs)
        return collect(self.metrics, len(designs), self.stream(designs, fidelity))

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Hands out the batch, or row by row; see `Evaluator.stream`."""
        if self.batch:
            yield from super().stream(designs, fidelity)
            return
        for i, design in enumerate(designs):
            try:
                row = checked_row(self.metrics, self._named(self.function(design)))
            except Exception as error:  # whatever the function raises is a failed row
                row = Measurements.nothing(self.metrics, 1, Reason.RAISED, describe(error))
            yield np.array([i]), row

    def _named(self, answer: Any) -> Any:
        if len(self.metrics) == 1 and not isinstance(answer, Mapping | Infeasible):
            return {self.metrics[0].name: answer}
        return answer

    def _batch(self, designs: Designs) -> Measurements:
        n = len(designs)
        try:
            answer = self._named(self.function(designs))
        except Exception as error:  # whatever the function raises is a failed batch
            return Measurements.nothing(self.metrics, n, Reason.RAISED, describe(error))
        return checked_batch(self.metrics, n, answer)


def checked_batch(metrics: tuple[Metric, ...], n: int, answer: Any) -> Measurements:
    """Turns columns into measurements; rows or batches that break the contract are failed rows."""
    if not isinstance(answer, Mapping):
        note = f"the answer is a {type(answer).__name__}, not a mapping from metric to column"
        return Measurements.nothing(metrics, n, Reason.BROKEN, note)
    columns: dict[str, Any] = {}
    for metric in metrics:
        try:
            column = _numbers(answer[metric.name])
        except (KeyError, TypeError, ValueError) as error:
            return Measurements.nothing(metrics, n, Reason.BROKEN, describe(error))
        if column.dtype.kind not in "iuf":
            note = f"metric {metric.name!r} has values of type {column.dtype}, not numbers"
            return Measurements.nothing(metrics, n, Reason.BROKEN, note)
        if column.shape != (n,):
            note = f"metric {metric.name!r} has shape {column.shape}, not ({n},)"
            return Measurements.nothing(metrics, n, Reason.BROKEN, note)
        columns[metric.name] = column.astype(np.float64)
    finite = np.all([np.isfinite(column) for column in columns.values()], axis=0)
    reason = np.where(finite, int(Reason.NONE), int(Reason.NOT_FINITE))
    notes = tuple("" if ok else "the answer is not finite" for ok in finite)
    return Measurements.of(metrics, columns, reason=reason, notes=notes)


def _numbers(given: Any) -> Any:
    """An array; ``None`` among numbers is a value that is missing."""
    column = np.asarray(given)
    if column.dtype.kind != "O" or any(isinstance(v, bool | str | bytes) for v in column.flat):
        return column
    return np.array([math.nan if v is None else v for v in column.flat], np.float64)


class _Measures(Protocol):
    def __call__(self, function: Callable[..., Any], /) -> FunctionEvaluator: ...


def measures(
    *metrics: Metric | str,
    unit: str = "1",
    goal: Goal | str = Goal.MINIMIZE,
    reads: Iterable[str] = (),
    expense: Expense | str = Expense.COSTLY,
    batch: bool = False,
    version: str = "1",
    deterministic: bool = True,
) -> _Measures:
    """Turns a plain function into an evaluator.

    Example:
        >>> @measures("latency", unit="s", expense="free", batch=True)
        ... def latency(designs):
        ...     return 1e-3 * designs["net.depth"]
        >>> latency.metrics[0].unit
        's'

    Args:
        *metrics: What it answers; a bare name is a metric of the unit and goal given here.
        unit: The unit of bare names.
        goal: ``minimize`` or ``maximize``, for bare names.
        reads: The parts of the genome that can change the answer; all if none is given.
        expense: ``costly`` (counts against the budget) or ``free``.
        batch: Whether the function takes `Designs` (columns) instead of a `Design` (values).
        version: Change it whenever the answers change.
        deterministic: Whether equal designs give equal answers.
    """
    declared = tuple(m if isinstance(m, Metric) else Metric(m, unit, Goal(goal)) for m in metrics)
    if not declared:
        raise MeasurementError(
            "an evaluator measures something", rule="name at least one metric: @measures('error')"
        )

    def decorate(function: Callable[..., Any], /) -> FunctionEvaluator:
        evaluator = FunctionEvaluator(
            function,
            declared,
            reads=frozenset(reads),
            expense=Expense(expense),
            batch=batch,
            version=version,
            deterministic=deterministic,
        )
        evaluator.__doc__ = inspect.getdoc(function)
        return evaluator

    return decorate
