"""The history of a study, as columns: what was measured, when, and the front so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem, nondominated
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
        asked: How many designs the searcher was asked for in that step, ``int64 (n,)``.
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
    """The columns of the genome that somebody COSTLY reads, ``(j,)``; all where nothing is COSTLY.

    Designs that are equal there share one costly evaluation.
    """
    reads = [e.reads for e in problem.costly]
    parts: frozenset[str] = frozenset().union(*reads) if all(reads) else frozenset()
    return problem.space.columns_of(*problem.space.read_by(parts))


class History:
    """Everything a study has measured, in the order in which it was finished.

    Args:
        problem: The problem.

    Attributes:
        failures: Rows where an evaluator failed.
        seconds: How long the study had run when the last row was finished.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._blocks = [Block.empty(problem)]
        self._count = 0
        self._row_of: dict[tuple[float, bytes], int] = {}
        self._paid: dict[bytes, int] = {}
        self._partly: set[tuple[float, bytes]] = set()
        self._spent = 0.0
        self._front = np.empty(0, dtype=np.int64)
        self._front_losses = np.empty((0, len(problem.objectives)))
        self._costly_columns = costly_columns(problem)
        self._repeatable = all(e.deterministic for e in problem.evaluators)
        self.failures = 0
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
        """What the budget counts.

        Where something is COSTLY: how often it was measured, equal projections onto the parts
        that it reads counted once, and at a lower fidelity that share of an evaluation. Else the
        number of different designs.
        """
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
        self._pay(block, canonical, rows)
        self._blocks.append(block)
        self._count += len(block)
        self.failures += int(block.measurements.failed.sum())
        self.seconds = max(self.seconds, float(block.at.max()))
        kept = np.flatnonzero(first & self.problem.satisfied(block.measurements))
        if kept.size:
            losses = self.problem.losses(block.measurements)[kept]
            candidates = np.concatenate([self._front, rows[kept]])
            together = np.concatenate([self._front_losses, losses])
            front = nondominated(together)
            self._front, self._front_losses = candidates[front], together[front]

    def _pay(self, block: Block, canonical: Ints, rows: Ints) -> None:
        tried = block.measurements.reason != Reason.RULED_OUT
        projected = self._projected(canonical[tried])
        shares = block.measurements.fidelity[tried]
        for key, row, share in zip(projected, rows[tried], shares, strict=True):
            known = (share, key) in self._partly if share < 1 else key in self._paid
            if share < 1:
                self._partly.add((share, key))
            else:
                self._paid.setdefault(key, int(row))
            if not (known and self._repeatable):
                self._spent += share

    def _projected(self, canonical: Ints) -> list[bytes]:
        return keys(np.ascontiguousarray(canonical[:, self._costly_columns]))

    def paid_row_of(self, genomes: Ints) -> Ints:
        """For each design the first row that cost its whole evaluation, or -1, ``int64 (n,)``."""
        projected = self._projected(self.problem.space.canonical(genomes))
        return np.array([self._paid.get(key, -1) for key in projected], dtype=np.int64)

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
