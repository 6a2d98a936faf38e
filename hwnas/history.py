"""The history of a study, as columns: what was measured, when, and the front so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem, nondominated
from hwnas.rungs import Standing, standings
from hwnas.space import keys

_ROUNDING: Final = 1e-6


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that were finished together.

    Attributes:
        genomes: As the searcher proposed them, ``int64 (n, d)``.
        measurements: ``n`` rows.
        step: The step of the study they belong to, ``int64 (n,)``, from 0.
        position: Their place in what the searcher proposed in that step, ``int64 (n,)``.
        asked: How many designs the searcher was asked for in that step, ``int64 (n,)``; 0 where
            they were learnt: measured before, and nobody asked for them.
        size: How many it proposed, ``int64 (n,)``.
        at: Seconds the study had run when they were finished, ``float64 (n,)``.
    """

    genomes: Ints
    measurements: Measurements
    step: Ints
    position: Ints
    asked: Ints
    size: Ints
    at: Floats

    def __len__(self) -> int:
        return len(self.genomes)

    def take(self, rows: Ints) -> Block:
        """The rows asked for, in that order."""
        return Block(
            self.genomes[rows],
            self.measurements.take(rows),
            self.step[rows],
            self.position[rows],
            self.asked[rows],
            self.size[rows],
            self.at[rows],
        )

    @classmethod
    def stack(cls, blocks: Iterable[Block]) -> Block:
        """Puts blocks below each other."""
        parts = list(blocks)
        return cls(
            np.concatenate([b.genomes for b in parts]),
            Measurements.stack(b.measurements for b in parts),
            np.concatenate([b.step for b in parts]),
            np.concatenate([b.position for b in parts]),
            np.concatenate([b.asked for b in parts]),
            np.concatenate([b.size for b in parts]),
            np.concatenate([b.at for b in parts]),
        )

    @classmethod
    def empty(cls, problem: Problem) -> Block:
        """No rows."""
        none = np.empty(0, dtype=np.int64)
        metrics = tuple(problem.metrics.values())
        return cls(
            np.empty((0, len(problem.space)), dtype=np.int64),
            Measurements.nothing(metrics, 0, Reason.NONE),
            none,
            none,
            none,
            none,
            np.empty(0),
        )


def costly_columns(problem: Problem) -> Ints:
    """See `Problem.costly_columns`."""
    return problem.costly_columns


def answered(problem: Problem, measurements: Measurements) -> Bools:
    """``bool (n,)``: rows that say what is COSTLY, at whatever fidelity.

    They have its values, or its verdict that the design is infeasible.
    """
    values = [measurements[m.name] for e in problem.costly for m in e.metrics]
    known = np.isfinite(values).all(axis=0) if values else np.ones(len(measurements), np.bool_)
    verdict = np.isin(measurements.reason, (int(Reason.INFEASIBLE), int(Reason.DIVERGED)))
    answers: Bools = (known & ~measurements.failed) | verdict
    return answers


class Payments:
    """What the budget counts of the rows of a history, in their order.

    Where something is COSTLY: each measurement of it, equal projections onto the parts that it
    reads counted once, and at a lower fidelity that share of an evaluation. Else each different
    design. What was learnt costs nothing, then or later.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._columns = costly_columns(problem)
        self._repeatable = all(e.deterministic for e in problem.evaluators)
        self._paid: dict[bytes, int] = {}
        self._known: set[tuple[float, bytes]] = set()
        self._count = 0

    def add(self, block: Block) -> Floats:
        """Takes rows.

        Args:
            block: ``n`` rows.

        Returns:
            What each of them costs, ``(n,)``.
        """
        first, self._count = self._count, self._count + len(block)
        costs: Floats = np.zeros(len(block))
        learnt = block.asked == 0
        tried = block.measurements.reason != Reason.RULED_OUT
        # Of what was learnt, a failure says nothing: who measures it pays for it.
        known = learnt
        if learnt.any():
            known = learnt & answered(self._problem, block.measurements)
        projected = self._projected(block.genomes)
        shares = block.measurements.fidelity
        for i in np.flatnonzero(known | (tried & ~learnt)):
            name = float(shares[i]), projected[i]
            if learnt[i]:
                self._known.add(name)
            elif name not in self._known or not self._repeatable:
                self._known.add(name)
                costs[i] = shares[i]
                if shares[i] >= 1:
                    self._paid.setdefault(projected[i], first + int(i))
        return costs

    def row_of(self, genomes: Ints) -> Ints:
        """For each design the first row that cost its whole evaluation, or -1, ``int64 (n,)``."""
        return np.array([self._paid.get(key, -1) for key in self._projected(genomes)], np.int64)

    def _projected(self, genomes: Ints) -> list[bytes]:
        canonical = self._problem.space.canonical(genomes)
        return keys(np.ascontiguousarray(canonical[:, self._columns]))


class History:
    """Everything a study has measured, in the order in which it was finished.

    Args:
        problem: The problem.

    Attributes:
        failures: Rows where an evaluator failed.
        learnt: Rows that were measured before the study, and told to it.
        seconds: How long the study had run when the last row was finished.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._blocks = [Block.empty(problem)]
        self._count = 0
        self._row_of: dict[tuple[float, bytes], int] = {}
        self._payments = Payments(problem)
        self._spent = 0.0
        self._front = np.empty(0, dtype=np.int64)
        self._front_losses = np.empty((0, len(problem.objectives)))
        self._standings: tuple[int, tuple[Standing, ...]] = (0, ())
        self.failures = 0
        self.learnt = 0
        self.seconds = 0.0

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Block:
        """All rows."""
        if len(self._blocks) > 1:
            self._blocks = [Block.stack(self._blocks)]
        return self._blocks[0]

    @property
    def evaluations(self) -> float:
        """What the budget counts; see `Payments`."""
        whole = round(self._spent)
        # Whole numbers stay whole; shares add up to something that is not quite round.
        return whole if abs(self._spent - whole) < _ROUNDING else round(self._spent, 6)

    @property
    def front(self) -> Ints:
        """The Pareto front among the designs that meet all constraints, as rows, ascending."""
        return self._front

    @property
    def front_losses(self) -> Floats:
        """The losses of the front, ``(j, m)``."""
        return self._front_losses

    @property
    def rungs(self) -> tuple[Standing, ...]:
        """How each fidelity ranks designs, ascending; nothing where none below 1 was used."""
        if len(self.problem.fidelities) == 1:
            return ()
        count, found = self._standings
        if count < self._count:
            rows = self.rows
            found = standings(self.problem, rows.genomes, rows.measurements, rows.step)
            self._standings = self._count, found
        return found

    def add(self, block: Block) -> None:
        """Appends rows."""
        if not len(block):
            return
        rows = self._count + np.arange(len(block))
        canonical = self.problem.space.canonical(block.genomes)
        fidelity = block.measurements.fidelity
        first = np.array(
            [
                self._row_of.setdefault((share, key), int(row)) == row
                for row, share, key in zip(rows, fidelity, keys(canonical), strict=True)
            ]
        )
        self._spent += float(self._payments.add(block).sum())
        self._blocks.append(block)
        self._count += len(block)
        self.failures += int(block.measurements.failed.sum())
        self.learnt += int((block.asked == 0).sum())
        self.seconds = max(self.seconds, float(block.at.max()))
        kept = np.flatnonzero(first & self.problem.satisfied(block.measurements))
        if kept.size:
            losses = self.problem.losses(block.measurements)[kept]
            candidates = np.concatenate([self._front, rows[kept]])
            together = np.concatenate([self._front_losses, losses])
            front = nondominated(together)
            self._front, self._front_losses = candidates[front], together[front]

    def paid_row_of(self, genomes: Ints) -> Ints:
        """For each design the first row that cost its whole evaluation, or -1, ``int64 (n,)``."""
        return self._payments.row_of(genomes)

    def row_of(self, genomes: Ints, fidelity: Floats | None = None) -> Ints:
        """For each design the first row where it was measured, or -1, ``int64 (n,)``.

        Args:
            genomes: ``int64 (n, d)``.
            fidelity: At which, ``(n,)``; 1 if left out.
        """
        shares = np.ones(len(genomes)) if fidelity is None else fidelity
        names = keys(self.problem.space.canonical(genomes))
        found = [self._row_of.get(key, -1) for key in zip(shares, names, strict=True)]
        return np.array(found, dtype=np.int64)

    def front_after(self, counts: Ints) -> list[Floats]:
        """The front's losses after the first so many rows each, ascending counts."""
        rows = self.rows
        kept = self.problem.satisfied(rows.measurements)
        losses = np.where(kept[:, None], self.problem.losses(rows.measurements), np.inf)
        fronts: list[Floats] = []
        front = np.empty((0, losses.shape[1]))
        start = 0
        for count in map(int, counts):
            front = np.concatenate([front, losses[start:count]])
            front = front[nondominated(front)]
            fronts.append(front)
            start = count
        return fronts
