"""How a run came on: fronts and hypervolume against what the budget counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.history import Block, Payments
from hwnas.problem import Problem, nondominated
from hwnas.yardstick import Yardstick

_ROUNDING: Final = 1e-9
_DIGITS: Final = 6
"""Of sums of shares: they are not quite round numbers where they should be."""


def evaluations_by_row(problem: Problem, block: Block) -> Floats:
    """What the budget had counted after each row of a history, ``(n,)``.

    Several rows may share one evaluation: those that agree in the parts that the costly
    evaluators read, and those that were ruled out without a costly measurement; see `Payments`.
    The last entry is `History.evaluations`.

    Args:
        problem: The problem.
        block: The rows of a history, in its order.
    """
    counted: Floats = np.cumsum(Payments(problem).add(block)).round(_DIGITS)
    return counted


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What counts of a run's history. Symbols: ``n`` rows, ``m`` objectives.

    Attributes:
        evaluations: What the budget had counted after each row, ascending, ``(n,)``.
        losses: ``(n, m)``; infinite where a design is infeasible or misses a constraint.
        failed: ``bool (n,)``: rows where an evaluator failed.
    """

    evaluations: Floats
    losses: Floats
    failed: Bools

    @classmethod
    def of(cls, problem: Problem, block: Block) -> Trajectory:
        """From the rows of a history, in its order."""
        kept = problem.satisfied(block.measurements)
        losses = np.where(kept[:, None], problem.losses(block.measurements), np.inf)
        return cls(evaluations_by_row(problem, block), losses, block.measurements.failed)

    def within(self, evaluations: float) -> Trajectory:
        """The part of it that so many evaluations paid for."""
        rows = int(np.searchsorted(self.evaluations, evaluations, side="right"))
        return Trajectory(self.evaluations[:rows], self.losses[:rows], self.failed[:rows])

    @property
    def spent(self) -> float:
        """What the budget counted in all."""
        return _whole(self.evaluations[-1]) if len(self.evaluations) else 0

    def front(self) -> Floats:
        """The losses on the front at its end, ``(j, m)``."""
        return self.losses[nondominated(self.losses)]

    def volumes(self, box: Yardstick, at: Ints) -> Floats:
        """The hypervolume after some numbers of evaluations each, ``(j,)``.

        A run that ended earlier keeps what it had.

        Args:
            box: The yardstick.
            at: Ascending numbers of evaluations, ``int64 (j,)``.
        """
        stops = np.searchsorted(self.evaluations, at, side="right")
        front = np.empty((0, self.losses.shape[1]))
        volumes = np.zeros(len(at))
        start, volume = 0, 0.0
        for i, stop in enumerate(map(int, stops)):
            if stop > start:
                together = np.concatenate([front, self.losses[start:stop]])
                front = together[nondominated(together)]
                volume, start = box.hypervolume(front), stop
            volumes[i] = volume
        return volumes

    def reaches(self, box: Yardstick, volume: float) -> float | None:
        """After how many evaluations the hypervolume first was so large; ``None`` if never.

        Exact to the evaluation: the hypervolume never falls, so the place is found by bisection.
        """
        steps = np.unique(self.evaluations)
        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            reached = box.hypervolume(self.within(steps[middle]).front())
            if reached >= volume * (1 - _ROUNDING):
                high = middle
            else:
                low = middle + 1
        return _whole(steps[low]) if low < len(steps) else None


def _whole(count: float) -> float:
    """The same number, without decimals where it has none."""
    return int(count) if float(count).is_integer() else float(count)


def checkpoints(budget: int) -> tuple[int, ...]:
    """Where a comparison looks unless it is told: the budget halved some times, ascending.

    Args:
        budget: The evaluations of each run.

    Returns:
        At most five numbers, the last of them the budget, none below 10 but a budget itself.
    """
    halves = (round(budget / 2**k) for k in range(4, -1, -1))
    return tuple(dict.fromkeys(h for h in halves if h >= min(10, budget)))
