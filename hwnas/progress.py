"""Where a study stands."""

from __future__ import annotations

import math
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
    CONVERGED = "converged"
    """The searcher certifies that less is left to be gained than the budget asks for."""
    IDLE = "idle"
    """The searcher proposes nothing any more that is worth a costly evaluation."""


@dataclass(frozen=True)
class Bound:
    """What a searcher certified after a step.

    Attributes:
        step: The step, from 0.
        evaluations: What the budget had counted by then.
        remaining: At most this much hypervolume was still to be gained, as a share of what was
            reached; NaN where nobody knows.
        confidence: How sure that is.
    """

    step: int
    evaluations: float
    remaining: float
    confidence: float

    def __str__(self) -> str:
        if math.isnan(self.remaining):
            return ""
        return (
            f"at most {rounded_up(self.remaining)} hypervolume left ({100 * self.confidence:.3g} %)"
        )


def rounded_up(share: float) -> str:
    """A share in percent with two digits, rounded up: a bound must not become smaller."""
    percent = 100 * share
    if percent <= 0:
        return "0 %"
    unit = 10.0 ** (math.floor(math.log10(percent)) - 1)
    # What is a round number but for its last binary digits stays one.
    return f"{math.ceil(percent / unit - 1e-9) * unit:.3g} %"


UNKNOWN = Bound(-1, 0, math.nan, math.nan)
"""Where nobody has certified anything."""


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
        bound: What the searcher certified last.
    """

    step: int
    designs: int
    evaluations: float
    budget: Budget
    hypervolume: float
    front: int
    failures: int
    seconds: float
    step_complete: bool
    bound: Bound = UNKNOWN

    @property
    def remaining(self) -> float:
        """At most this much is left to be gained, a share of the hypervolume; NaN if unknown."""
        return self.bound.remaining

    @property
    def seconds_left(self) -> float:
        """An estimate from the speed so far; NaN at the start, 0 once nothing much is left."""
        if self.budget.gain is not None and self.remaining < self.budget.gain:
            return 0.0
        if not self.evaluations:
            return float("nan")
        each = self.seconds / self.evaluations
        left = each * max(0, self.budget.evaluations - self.evaluations)
        return min(left, (self.budget.seconds or np.inf) - self.seconds)
