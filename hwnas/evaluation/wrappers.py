"""Wrappers instead of options: each adds one behaviour to any evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hwnas.arrays import Bools, Floats
from hwnas.design.designs import Designs
from hwnas.errors import HwnasError, MeasurementError, ProblemError
from hwnas.evaluation.interface import (
    ALL_PARTS,
    Chunk,
    Evaluator,
    Expense,
    collect,
    describe,
)
from hwnas.metrics import Measurements, Metric, Reason
from hwnas.space import Space, keys

_Key = tuple[int, float, int, bytes]
"""Which space, fidelity, the study's seed, the projected genome."""


class Wrapper(Evaluator):
    """Passes everything on to another evaluator.

    Args:
        inner: The evaluator that is wrapped.
    """

    def __init__(self, inner: Evaluator) -> None:
        self.inner = inner
        self.metrics = inner.metrics
        self.reads = inner.reads
        self.expense = inner.expense
        self.fidelities = inner.fidelities
        self.version = inner.version
        self.deterministic = inner.deterministic

    @property
    def name(self) -> str:
        """The name of the evaluator that is wrapped."""
        return self.inner.name

    def close(self) -> None:
        """Lets go of what the evaluator holds; see `Evaluator.close`."""
        self.inner.close()

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch by its stream; see `Evaluator.evaluate`."""
        return collect(self.metrics, len(designs), self.stream(designs, fidelity))


class Joined(Evaluator):
    """Several evaluators as one that answers all their metrics.

    It reads what any of them reads, is COSTLY if one is, and its fidelities are those that all of
    them have.

    Args:
        evaluators: At least one.

    Raises:
        ProblemError: None is given, or two measure the same metric.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        if not evaluators:
            raise ProblemError("nothing to join", rule="at least one evaluator")
        self.evaluators = tuple(evaluators)
        self.metrics = distinct_metrics(self.evaluators)
        everything = any(not e.reads for e in self.evaluators)
        union = frozenset().union(*(e.reads for e in self.evaluators))
        self.reads = ALL_PARTS if everything else union
        costly = any(e.expense is Expense.COSTLY for e in self.evaluators)
        self.expense = Expense.COSTLY if costly else Expense.FREE
        common = set(self.evaluators[0].fidelities).intersection(
            *(e.fidelities for e in self.evaluators)
        )
        self.fidelities = tuple(sorted(common))
        self.version = "+".join(f"{e.name}:{e.version}" for e in self.evaluators)
        self.deterministic = all(e.deterministic for e in self.evaluators)

    @property
    def name(self) -> str:
        """The names of the evaluators, joined."""
        return "+".join(e.name for e in self.evaluators)

    def close(self) -> None:
        """Lets go of what the evaluators hold; see `Evaluator.close`."""
        for evaluator in self.evaluators:
            evaluator.close()

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch with each in turn; see `Evaluator.evaluate`."""
        result = safely(self.evaluators[0], designs, fidelity)
        for evaluator in self.evaluators[1:]:
            result = result.beside(safely(evaluator, designs, fidelity))
        return result

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Streams the first; the others measure each chunk; see `Evaluator.stream`."""
        for rows, part in _safe_stream(self.evaluators[0], designs, fidelity):
            for evaluator in self.evaluators[1:]:
                part = part.beside(safely(evaluator, designs[rows], fidelity))
            yield rows, part


def safely(evaluator: Evaluator, designs: Designs, fidelity: float = 1.0) -> Measurements:
    """Measures a batch; what the evaluator does wrong becomes failed rows.

    Raises:
        HwnasError: A mistake of the person, such as a space that the evaluator cannot read, which
            no row can answer.
    """
    try:
        answer = evaluator.evaluate(designs, fidelity)
    except Exception as error:  # whatever a foreign evaluator raises fails the batch
        return _failed(evaluator, len(designs), error)
    return _complete(evaluator, len(designs), answer)


def _failed(evaluator: Evaluator, n: int, error: Exception) -> Measurements:
    if isinstance(error, HwnasError) and not isinstance(error, MeasurementError):
        raise error
    reason = Reason.BROKEN if isinstance(error, MeasurementError) else Reason.RAISED
    return Measurements.nothing(evaluator.metrics, n, reason, describe(error))


def _complete(evaluator: Evaluator, n: int, answer: Any) -> Measurements:
    """The answer, or failed rows where it has another number of rows or other metrics."""
    if not isinstance(answer, Measurements):
        note = f"the answer is a {type(answer).__name__}, not Measurements"
    elif len(answer) != n:
        note = f"the answer has {len(answer)} rows, not {n}"
    elif set(answer.columns) != {metric.name for metric in evaluator.metrics}:
        note = "the answer has other metrics than declared: " + ", ".join(answer.columns)
    else:
        return answer
    return Measurements.nothing(evaluator.metrics, n, Reason.BROKEN, note)


def _safe_stream(evaluator: Evaluator, designs: Designs, fidelity: float) -> Iterator[Chunk]:
    """Streams; rows that are answered wrongly, twice or not at all are failed rows."""
    missing = np.ones(len(designs), dtype=np.bool_)
    failure = Measurements.nothing(evaluator.metrics, 1, Reason.BROKEN, "the row was not answered")
    try:
        for rows, part in evaluator.stream(designs, fidelity):
            if len(np.unique(rows)) != len(rows) or not missing[rows].all():
                note = "a row was answered twice"
                failure = Measurements.nothing(evaluator.metrics, 1, Reason.BROKEN, note)
                break
            missing[rows] = False
            yield rows, _complete(evaluator, len(rows), part)
    except Exception as error:  # whatever a foreign evaluator raises fails what is left
        failure = _failed(evaluator, 1, error)
    left = np.flatnonzero(missing)
    if left.size:
        yield left, failure.take(np.zeros(len(left), dtype=np.int64))


def distinct_metrics(evaluators: Sequence[Evaluator]) -> tuple[Metric, ...]:
    """All metrics of some evaluators.

    Raises:
        ProblemError: Two evaluators measure the same metric.
    """
    owner: dict[str, str] = {}
    for evaluator in evaluators:
        for metric in evaluator.metrics:
            if metric.name in owner:
                raise ProblemError(
                    f"metric {metric.name!r} is measured twice",
                    rule="one evaluator per metric",
                    given=f"{owner[metric.name]} and {evaluator.name}",
                    cure="leave one of them out",
                )
            owner[metric.name] = evaluator.name
    return tuple(metric for evaluator in evaluators for metric in evaluator.metrics)


class Cached(Wrapper):
    """Measures nothing twice that differs only in parts the evaluator does not read.

    Lives in memory; a study fills it from its history (see `remember`). Failed rows are not kept.
    An evaluator that is not deterministic is passed through.

    Args:
        inner: The evaluator that is wrapped.
    """

    def __init__(self, inner: Evaluator) -> None:
        super().__init__(inner)
        self._kept: dict[_Key, Measurements] = {}
        self._spaces: list[Space] = []

    def _keys(self, designs: Designs, fidelity: float) -> list[_Key]:
        space = designs.space
        # An index means another value in another space.
        which = next((i for i, s in enumerate(self._spaces) if s is space or s == space), -1)
        if which < 0:
            which = len(self._spaces)
            self._spaces.append(space)
        columns = designs.space.columns_of(*designs.space.read_by(self.reads))
        projected = np.ascontiguousarray(designs.genomes[:, columns])
        return [(which, fidelity, designs.seed, key) for key in keys(projected)]

    def knows(self, designs: Designs, fidelity: float = 1.0) -> Bools:
        """``bool (n,)``: the designs that need no measuring."""
        found = [key in self._kept for key in self._keys(designs, fidelity)]
        return np.array(found, dtype=np.bool_)

    def remember(self, designs: Designs, measured: Measurements, fidelity: float = 1.0) -> None:
        """Keeps measurements that were made before.

        Args:
            designs: ``n`` designs.
            measured: ``n`` rows with (at least) this evaluator's metrics.
            fidelity: At which they were made.
        """
        if not self.deterministic:
            return
        own = Measurements(
            self.metrics,
            {metric.name: measured[metric.name] for metric in self.metrics},
            measured.feasible,
            measured.reason,
            measured.notes,
        )
        for i, key in enumerate(self._keys(designs, fidelity)):
            if not measured.failed[i]:
                self._kept.setdefault(key, own.take(slice(i, i + 1)))

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Hands out what is known, then measures each other projection once."""
        if not self.deterministic:
            yield from self.inner.stream(designs, fidelity)
            return
        rows_of: dict[_Key, list[int]] = {}
        known: list[int] = []
        names = self._keys(designs, fidelity)
        for i, key in enumerate(names):
            if key in self._kept:
                known.append(i)
            else:
                rows_of.setdefault(key, []).append(i)
        if known:
            yield np.array(known), Measurements.stack(self._kept[names[i]] for i in known)
        first = np.array([rows[0] for rows in rows_of.values()], dtype=np.int64)
        for chunk, measured in self.inner.stream(designs[first], fidelity):
            self.remember(designs[first[chunk]], measured, fidelity)
            alike = [rows_of[names[first[i]]] for i in chunk]
            where = np.repeat(np.arange(len(chunk)), [len(rows) for rows in alike])
            yield np.array([row for rows in alike for row in rows]), measured.take(where)


class Noisy(Wrapper):
    """Adds Gaussian noise to the metrics, for testing how a searcher bears it.

    The noise of a design follows from the study's seed and its genome, so it is the same whenever
    the design is measured: it is noise between designs, as one training run per design has.

    Args:
        inner: The evaluator that is wrapped.
        deviation: Standard deviation of the noise, relative to the value.
    """

    def __init__(self, inner: Evaluator, deviation: float) -> None:
        super().__init__(inner)
        self.deviation = deviation
        self.version = f"{inner.version}+noise{deviation}"

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Streams the noisy values; see `Evaluator.stream`."""
        for rows, part in self.inner.stream(designs, fidelity):
            noise = self._noise(designs[rows])
            columns = {
                metric.name: part[metric.name] * (1.0 + self.deviation * noise[:, j])
                for j, metric in enumerate(self.metrics)
            }
            yield rows, Measurements(self.metrics, columns, part.feasible, part.reason, part.notes)

    def _noise(self, designs: Designs) -> Floats:
        seeds: Sequence[int] = designs.seeds(*self.reads, stream="noise")
        draws = [np.random.default_rng(s).standard_normal(len(self.metrics)) for s in seeds]
        return np.array(draws).reshape(len(designs), len(self.metrics))
