"""Checking now and then, while a study runs, that COSTLY evaluators read no more than they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Ints
from hwnas.errors import ProblemError
from hwnas.evaluation.interface import Evaluator
from hwnas.history import History, costly_columns
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem

EVERY: Final = 50
"""A check at most every so many evaluations, so that two in a hundred are spent on them."""

_CLOSE: Final = 1e-6
"""Relative: no rounding error of an evaluator is larger, and no lie worth finding is smaller."""


class SpotCheck:
    """Measures a design again that was given the values of another one.

    Designs that are the same to all COSTLY evaluators are measured once. The first time that one
    gets the values of another, and then at most every `EVERY` evaluations, it is measured itself,
    and must have these values. A check is not counted by the budget, and belongs to no step: it
    changes nothing in the history. Budgets of less than `EVERY` evaluations have none.

    Args:
        problem: The problem.
        seed: The study's seed.
        costly: Measures what is COSTLY, without a cache.

    Attributes:
        at: After how many evaluations each check was made.
    """

    def __init__(self, problem: Problem, seed: int, costly: Evaluator) -> None:
        self.problem = problem
        self.seed = seed
        self.at: list[float] = []
        self._costly = costly
        partly = len(costly_columns(problem)) < len(problem.space)
        self._possible = partly and all(e.deterministic for e in problem.costly)

    def is_due(self, evaluations: float, budget: int) -> bool:
        """Whether a check is to be made, if there is something to check.

        Args:
            evaluations: What the budget has counted.
            budget: How many it allows; nothing is checked when they are spent.
        """
        since = evaluations - self.at[-1] if self.at else EVERY
        return self._possible and EVERY <= budget > evaluations and since >= EVERY

    def check(self, history: History, rows: Ints) -> bool:
        """Checks one of some rows, if one of them got the values of another design.

        Args:
            history: Everything that was measured.
            rows: The rows of the step that was just measured, ``int64 (n,)``.

        Returns:
            Whether there was something to check.

        Raises:
            ProblemError: An evaluator answers differently though only genes differ that it
                claims not to read.
        """
        block = history.rows
        first = history.paid_row_of(block.genomes[rows])
        usable = self._measured(block.measurements)
        canonical = self.problem.space.canonical(block.genomes)
        borrowed = usable[rows] & usable[first] & (first >= 0)
        borrowed &= (canonical[rows] != canonical[first]).any(axis=1)
        if not borrowed.any():
            return False
        # Any of them, so that over a study all kinds of genes have their turn.
        rng = np.random.default_rng((self.seed, int(history.evaluations)))
        place = int(rng.choice(np.flatnonzero(borrowed)))
        row, source = int(rows[place]), int(first[place])
        self.at.append(history.evaluations)
        anew = self._costly.evaluate(self.problem.designs(block.genomes[[row]], self.seed))
        if not anew.failed[0]:
            self._compare(block.measurements.take(np.array([row])), anew, canonical[[source, row]])
        return True

    def _measured(self, measurements: Measurements) -> Bools:
        known: Bools = (measurements.reason != Reason.RULED_OUT) & ~measurements.failed
        return known & (measurements.fidelity >= 1)

    def _compare(self, before: Measurements, anew: Measurements, pair: Ints) -> None:
        if before.feasible[0] != anew.feasible[0]:
            said = ["feasible" if m.feasible[0] else "infeasible" for m in (before, anew)]
            raise self._lie(self.problem.costly, said, pair)
        for evaluator in self.problem.costly:
            for metric in evaluator.metrics:
                a, b = float(before[metric.name][0]), float(anew[metric.name][0])
                if not np.isclose(a, b, rtol=_CLOSE, atol=0, equal_nan=True):
                    values = [f"{metric.name} = {value!r}" for value in (a, b)]
                    raise self._lie([evaluator], values, pair)

    def _lie(
        self, evaluators: Sequence[Evaluator], values: Sequence[str], pair: Ints
    ) -> ProblemError:
        names = " or ".join(evaluator.name for evaluator in evaluators)
        reads = sorted(frozenset().union(*(e.reads for e in evaluators)))
        space = self.problem.space
        differing = [j for j in range(len(space)) if pair[0, j] != pair[1, j]]
        parts = sorted({space.genes[j].part for j in differing} - set(reads))
        designs = self.problem.designs(pair, self.seed)
        shown = [
            f"{value} with "
            + ", ".join(
                f"{name} = {design.config[name]!r}"
                for name in (space.names[j] for j in differing)
                if name in design.config
            )
            for value, design in zip(values, designs, strict=True)
        ]
        wider = ", ".join(repr(part) for part in [*reads, *parts])
        return ProblemError(
            f"evaluator {names} reads more of a design than it says",
            where=f"a spot check after {self.at[-1]} evaluations",
            rule=f"reads = {', '.join(reads) or 'everything'}: genes of other parts must not "
            "change what it answers",
            given="; ".join(shown) + "; all else is the same",
            cure=f"declare what it reads, e.g. reads=({wider}) (none means all), or "
            "deterministic=False if it answers differently every time, and start anew (--fresh): "
            "values that were shared are wrong",
        )
