"""How a study measures what is COSTLY: nothing twice, in processes, each design within its time."""

from __future__ import annotations

import numpy as np

from hwnas.errors import ProblemError
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.processes import Parallel, Timeout
from hwnas.evaluation.wrappers import Cached, Joined
from hwnas.history import Block, answered
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem


class Costly(Cached):
    """The costly evaluators of a problem, executed and cached."""

    def recall(self, problem: Problem, block: Block, seed: int) -> None:
        """Keeps what rows of a history say, at whatever fidelity.

        Args:
            problem: The problem.
            block: The rows.
            seed: The study's seed.
        """
        known = answered(problem, block.measurements)
        for fidelity in problem.fidelities:
            rows = np.flatnonzero(known & (block.measurements.fidelity == fidelity))
            said = block.measurements.take(rows)
            # What free metrics rule out was measured all the same, if there are values.
            ruled_out = said.reason == Reason.RULED_OUT
            reason = np.where(ruled_out | said.partial, int(Reason.NONE), said.reason)
            own = Measurements(
                self.metrics,
                {metric.name: said[metric.name] for metric in self.metrics},
                reason == Reason.NONE,
                reason,
                tuple("" if free else n for n, free in zip(said.notes, ruled_out, strict=True)),
            )
            self.remember(problem.designs(block.genomes[rows], seed), own, fidelity)


def at_least_one(argument: str, given: int | None) -> None:
    """Refuses a number that leaves nothing to do.

    Raises:
        ProblemError: It is below 1.
    """
    if given is not None and given < 1:
        raise ProblemError(f"{argument} is too small", rule="at least 1", given=str(given))


def executed(problem: Problem, workers: int, timeout: float | None) -> Costly | None:
    """The costly evaluators of a problem as one; ``None`` where nothing is COSTLY.

    Args:
        problem: The problem.
        workers: How many evaluations run at once, each in a process.
        timeout: How long one may take, s; ``None``: for ever, and one worker needs no process.

    Raises:
        ProblemError: There is no worker, or no time.
    """
    at_least_one("workers", workers)
    if timeout is not None and not timeout > 0:
        raise ProblemError("timeout is too short", rule="more than 0 s", given=f"{timeout} s")
    if not problem.costly:
        return None
    joined: Evaluator = Joined(problem.costly)
    if timeout is not None:
        joined = Timeout(joined, timeout, workers)
    elif workers > 1:
        joined = Parallel(joined, workers)
    return Costly(joined)
