"""What a study learns instead of measuring it: rows that were measured before, elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.errors import MeasurementError, nearest
from hwnas.evaluation.interface import Evaluator
from hwnas.history import Block, History, answered
from hwnas.metrics import Measurements, Metric, Reason
from hwnas.problem import Problem
from hwnas.proposal import Proposal
from hwnas.space import keys
from hwnas.units import dimension, scale

ASKED: Final = 0
"""For how many designs the searcher was asked in a step that was learnt (`Block.asked`)."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """Rows to be learnt, each design once per fidelity.

    Attributes:
        problem: The problem.
        genomes: As they were given, ``int64 (n, d)``.
        measurements: ``n`` rows with all metrics of the problem.
    """

    problem: Problem
    genomes: Ints
    measurements: Measurements

    @classmethod
    def of(cls, problem: Problem, genomes: Any, given: Measurements, seed: int) -> Lesson:
        """Makes rows that somebody measured into rows of a problem.

        FREE metrics are measured now, whatever was given: they may have changed. A design that
        they find infeasible keeps what is COSTLY, since others may share it. Rows are left out
        that say nothing of what is COSTLY (`Reason.RULED_OUT`), and further rows of a design;
        the first that did not fail stays.

        Args:
            problem: The problem.
            genomes: ``int64 (n, d)``; sleeping genes may have any value.
            given: ``n`` rows with (at least) the metrics that are COSTLY.
            seed: The study's seed.

        Raises:
            SpaceError: A genome is not of the space.
            MeasurementError: The numbers of rows differ, a COSTLY metric is missing or has
                another unit, or nobody can measure at a fidelity.
        """
        rows = problem.space.check(genomes)
        if len(rows) != len(given):
            raise MeasurementError(
                "genomes and measurements differ in length",
                rule="one row of measurements per genome",
                given=f"{len(rows)} and {len(given)}",
            )
        _check_fidelities(problem, given)
        free = problem.free(problem.designs(rows, seed))
        whole = free
        if problem.costly:
            whole = _beside(free, _costly_of(problem, given))
        kept = answered(problem, whole) | whole.failed if problem.costly else np.full(len(rows), 1)
        order = np.lexsort((np.arange(len(rows)), whole.failed))
        order = order[kept.astype(np.bool_)[order]]
        names = zip(whole.fidelity[order], keys(problem.space.canonical(rows[order])), strict=True)
        first: dict[tuple[float, bytes], int] = {}
        for name, row in zip(names, order, strict=True):
            first.setdefault(name, int(row))
        chosen = np.sort(np.array(list(first.values()), dtype=np.int64))
        return cls(problem, rows[chosen], whole.take(chosen))

    def new(self, history: History, unfinished: Block | None, step: int) -> Proposal:
        """What of it a history does not have, as a step of the study.

        Args:
            history: The history.
            unfinished: Rows of a lesson that was cut off, which count as new.
            step: The step.
        """
        rows = history.row_of(self.genomes, self.measurements.fidelity)
        known = rows >= 0
        if unfinished is not None:
            known &= history.rows.step[rows] != unfinished.step[0]
        new = np.flatnonzero(~known)
        fidelity = self.measurements.fidelity[new]
        return Proposal(self.problem, self.genomes[new], fidelity, step, ASKED)

    def of_genomes(self, genomes: Ints, fidelity: Any) -> Measurements:
        """The rows of some of its designs, in their order."""
        canonical = self.problem.space.canonical
        own = zip(self.measurements.fidelity, keys(canonical(self.genomes)), strict=True)
        place = {name: i for i, name in enumerate(own)}
        wanted = zip(fidelity, keys(canonical(genomes)), strict=True)
        return self.measurements.take(np.array([place[name] for name in wanted], dtype=np.int64))
