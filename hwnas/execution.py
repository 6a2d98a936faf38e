"""How a study measures what is COSTLY: nothing twice, in processes, each design within its time."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Bools
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.processes import Parallel, Timeout
from hwnas.evaluation.wrappers import Cached, Joined
from hwnas.metrics import Measurements
from hwnas.problem import Problem


class Costly(Cached):
    """The costly evaluators of a problem, executed and cached."""

    def measured_in(self, measurements: Measurements) -> Bools:
        """``bool (n,)``: rows where the costly metrics were measured, at whatever fidelity."""
        names = [metric.name for metric in self.metrics]
        values = np.stack([measurements[name] for name in names])
        finite: Bools = np.asarray(np.isfinite(values).all(axis=0))
        return finite & (measurements.feasible | measurements.partial)


def executed(problem: Problem, workers: int, timeout: float | None) -> Costly | None:
    """The costly evaluators of a problem as one; ``None`` where nothing is COSTLY.

    Args:
        problem: The problem.
        workers: How many evaluations run at once, each in a process.
        timeout: How long one may take, s; ``None``: for ever, and one worker needs no process.
    """
    if not problem.costly:
        return None
    joined: Evaluator = Joined(problem.costly)
    if timeout is not None:
        joined = Timeout(joined, timeout, workers)
    elif workers > 1:
        joined = Parallel(joined, workers)
    return Costly(joined)
