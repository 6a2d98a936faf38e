"""When a study gives up: nothing but failures for a while, or from the beginning."""

from __future__ import annotations

from typing import Final

import numpy as np

from hwnas.errors import TooManyFailuresError
from hwnas.history import History
from hwnas.metrics import Measurements

_IN_A_ROW: Final = 10


class FailureGuard:
    """Counts failures in a row.

    Args:
        history: What was measured; its failures are what the message quotes.
        name: The name of the study.
    """

    def __init__(self, history: History, name: str) -> None:
        self._history, self._name = history, name
        self._in_a_row = 0

    def watch(self, measured: Measurements) -> None:
        """Takes note of rows that were just kept.

        Raises:
            TooManyFailuresError: Ten in a row failed.
        """
        for failed in measured.failed:
            self._in_a_row = self._in_a_row + 1 if failed else 0
        if self._in_a_row >= _IN_A_ROW:
            raise self._error(self._in_a_row)

    def conclude(self) -> None:
        """Looks back at the end of a run.

        Raises:
            TooManyFailuresError: All that was ever measured failed.
        """
        if 0 < len(self._history) == self._history.failures:
            raise self._error(len(self._history))

    def _error(self, n: int) -> TooManyFailuresError:
        measurements = self._history.rows.measurements
        notes = [measurements.notes[i] for i in np.flatnonzero(measurements.failed)]
        most = max(set(notes), key=notes.count, default="")
        names = ", ".join(evaluator.name for evaluator in self._history.problem.evaluators)
        return TooManyFailuresError(
            f"{n} evaluations in a row failed, so the study gives up",
            where=f"study {self._name!r}, evaluators {names}",
            rule="an evaluator measures, or says that a design is infeasible",
            given=f"{notes.count(most)} times: {most}",
            cure="mend the evaluator (hwnas check runs its conformance suite); what was measured "
            "is kept",
        )
