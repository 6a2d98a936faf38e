"""What a searcher proposes in one step of a study, and how it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.errors import SearcherError, StorageError
from hwnas.evaluation.interface import Chunk, Evaluator
from hwnas.history import Block, History
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher


@dataclass(frozen=True, eq=False)
class Proposal:
    """The designs of a step.

    Attributes:
        problem: The problem.
        genomes: What is proposed, ``int64 (n, d)``.
        fidelity: At which fidelity each is to be measured, ``(n,)``.
        step: The step, from 0.
        asked: How many designs the searcher was asked for.
    """

    problem: Problem
    genomes: Ints
    fidelity: Floats
    step: int
    asked: int

    @classmethod
    def of(cls, searcher: Searcher, n: int, step: int) -> Proposal:
        """Asks a searcher.

        Args:
            searcher: The searcher.
            n: How many designs it is asked for.
            step: The step.

        Raises:
            SearcherError: It wants a fidelity that the costly evaluators do not have.
        """
        genomes = searcher.ask(n)
        fidelity = searcher.fidelity_of(genomes)
        offered = searcher.problem.fidelities
        strange = np.setdiff1d(fidelity, offered)
        if strange.size:
            raise SearcherError(
                f"{searcher.name} asks for a fidelity that nobody can measure at",
                rule="fidelities of the problem: " + ", ".join(map(str, offered)),
                given=str(strange[0]),
                cure="mend the searcher: its conformance suite (hwnas check) says where",
            )
        return cls(searcher.problem, genomes, fidelity, step, n)

    def __len__(self) -> int:
        return len(self.genomes)

    def check_again(self, unfinished: Block | None, where: str) -> None:
        """Checks that a step which was cut off is proposed again as it was.

        Args:
            unfinished: What was measured of it; ``None`` if no step was cut off.
            where: The storage that it was read from.

        Raises:
            StorageError: It is proposed otherwise.
        """
        if unfinished is None:
            return
        if not np.array_equal(self.genomes[unfinished.position], unfinished.genomes):
            raise StorageError(
                "the interrupted step cannot be continued",
                where=where,
                rule="a searcher proposes the same again for the same history",
                cure="was the searcher changed since? start anew, or go back to its old version",
            )

    def known(self, history: History, unfinished: Block | None) -> Chunk:
        """What need not be measured: an interrupted step's rows, and designs known already."""
        rows = history.row_of(self.genomes, self.fidelity)
        known = rows >= 0
        if not all(e.deterministic for e in self.problem.evaluators):
            known[:] = False
            if unfinished is not None:
                known[unfinished.position] = True
        positions = np.flatnonzero(known)
        if not positions.size:
            metrics = tuple(self.problem.metrics.values())
            return positions, Measurements.nothing(metrics, 0, Reason.NONE)
        return positions, history.rows.measurements.take(rows[positions])

    def measured(self, positions: Ints, costly: Evaluator | None, seed: int) -> Iterator[Chunk]:
        """Measures some of the designs, the cheapest fidelity first.

        Args:
            positions: Which, as rows of the proposal.
            costly: Stands in for the COSTLY evaluators.
            seed: The study's seed.
        """
        for share in np.unique(self.fidelity[positions]):
            some = positions[self.fidelity[positions] == share]
            designs = self.problem.designs(self.genomes[some], seed)
            for rows, part in self.problem.stream(designs, costly, float(share)):
                yield some[rows], part

    def block(self, positions: Ints, measured: Measurements, at: float) -> Block:
        """Rows of the history.

        Args:
            positions: Which designs of the proposal they are, ``int64 (j,)``.
            measured: Theirs.
            at: Seconds the study had run when they were finished.
        """

        def everywhere(value: int) -> Ints:
            return np.full(len(positions), value, dtype=np.int64)

        return Block(
            self.genomes[positions],
            measured,
            everywhere(self.step),
            positions,
            everywhere(self.asked),
            everywhere(len(self)),
            np.full(len(positions), round(at, 3)),
        )
