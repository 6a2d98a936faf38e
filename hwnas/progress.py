"""Where a study stands."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from hwnas.budget import Budget


class Status(Enum):
    """Why a study is not running."""

    READY = "ready"
    """There is budget left."""
    COMPLETE = "complete"
    """The evaluations of the budget are spent."""
    OUT_OF_TIME = "out of time"
    """The seconds of the budget are spent."""
    EXHAUSTED = "exhausted"
    """The searcher has no further design."""
    IDLE = "idle"
    """The searcher proposes nothing any more that is worth a costly evaluation."""


@dataclass(frozen=True)
class Progress:
    """Where a study stands after some rows were measured and stored.

    Attributes:
        step: The step, from 0.
        designs: Rows of the history.
        evaluations: What the budget counts (see `Budget`).
        budget: The budget.
        hypervolume: See `Yardstick`; NaN until the yardstick is fixed.
        front: Designs on the front.
        failures: Rows where an evaluator failed.
        seconds: How long the study has run, over all resumed runs.
        step_complete: Whether these rows were the last of their step.
    """

    step: int
    designs: int
    evaluations: int
    budget: Budget
    hypervolume: float
    front: int
    failures: int
    seconds: float
    step_complete: bool

    @property
    def seconds_left(self) -> float:
        """An estimate from the speed so far; NaN at the start."""
        if not self.evaluations:
            return float("nan")
        each = self.seconds / self.evaluations
        left = each * max(0, self.budget.evaluations - self.evaluations)
        return min(left, (self.budget.seconds or np.inf) - self.seconds)
