"""An exact Pareto front and how it was obtained."""

from __future__ import annotations

from dataclasses import dataclass

from hwnas.arrays import Floats, Ints


@dataclass(frozen=True, eq=False)
class ExactFront:
    """The Pareto front of a problem; of designs with equal losses one is kept.

    Attributes:
        genomes: Its designs, canonical, ``int64 (j, d)``.
        losses: Their losses, ``(j, m)``, see `hwnas.problem.Problem.losses`.
        designs: How many designs the front is the front of.
        measured: How many of them, or cells of a grid of parts, were measured.
        how: Why no design can be missing, for a person.
    """

    genomes: Ints
    losses: Floats
    designs: int
    measured: int
    how: str

    def __len__(self) -> int:
        return len(self.losses)
