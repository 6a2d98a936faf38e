"""What an evaluator does wrong becomes failed rows, so that the batch and the study go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwnas.design.designs import Designs
from hwnas.errors import HwnasError, MeasurementError
from hwnas.evaluation.interface import Chunk, Evaluator, describe
from hwnas.metrics import Measurements, Reason


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


def kept_from_measuring(
    evaluator: Evaluator, designs: Designs, fidelity: float
) -> Measurements | None:
    """Lets an evaluator get ready.

    Returns:
        Failed rows if it cannot, else ``None``.

    Raises:
        HwnasError: See `safely`.
    """
    try:
        if len(designs):
            evaluator.get_ready(designs.space, fidelity)
    except Exception as error:  # whatever a foreign evaluator raises fails the batch
        return _failed(evaluator, len(designs), error)
    return None


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


def safe_stream(evaluator: Evaluator, designs: Designs, fidelity: float) -> Iterator[Chunk]:
    """Streams a batch; rows that are answered wrongly, twice or not at all are failed rows.

    Raises:
        HwnasError: See `safely`.
    """
    missing = np.ones(len(designs), dtype=np.bool_)
    failure = Measurements.nothing(evaluator.metrics, 1, Reason.BROKEN, "the row was not answered")
    try:
        if len(designs):
            evaluator.get_ready(designs.space, fidelity)
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
