"""Parallel coordinates: the genes that matter most and the objectives, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.report import quantity
from hwnas.report.points import thin
from hwnas.report.quantity import Quantity

if TYPE_CHECKING:
    from hwnas.study import Study

MOST_GENES: Final = 8
_MOST_FRONT: Final = 300
_MOST_OTHERS: Final = 300
SLEEPING: Final = -1.0


@dataclass(frozen=True)
class GeneAxis:
    """One gene as an axis.

    Attributes:
        name: The gene.
        choices: Its choices as shown, with units; a line's place is its choice's index.
        sleeps: Whether it is inactive in some line, whose place is then -1.
    """

    name: str
    choices: tuple[str, ...]
    sleeps: bool


@dataclass(frozen=True)
class Parallel:
    """Lines over axes.

    Attributes:
        genes: The axes of genes, in the order of the genome.
        objectives: The axes of objectives, which follow.
        front: One line per design of the front: a place on each axis, objectives at rest.
        others: The same for dominated feasible designs.
        genes_left_out: How many genes have no axis.
        front_left_out: How many designs of the front have no line.
    """

    genes: tuple[GeneAxis, ...]
    objectives: tuple[Quantity, ...]
    front: tuple[tuple[float, ...], ...]
    others: tuple[tuple[float, ...], ...]
    genes_left_out: int
    front_left_out: int


def parallel(study: Study, ranking: tuple[str, ...]) -> Parallel:
    """The parallel coordinates of a study.

    Args:
        study: The study.
        ranking: Genes that matter, the most important first; up to 8 get an axis. Where they are
            fewer, those that vary most over the front follow.
    """
    history, problem = study.history, study.problem
    space = problem.space
    block = history.rows
    satisfied = np.flatnonzero(problem.satisfied(block.measurements))
    others = thin(np.setdiff1d(satisfied, history.front), _MOST_OTHERS, study.seed)
    front = thin(history.front, _MOST_FRONT, study.seed)
    genomes = block.genomes
    shown = _chosen(study, ranking, genomes[front])

    def lines(rows: Ints) -> tuple[tuple[float, ...], ...]:
        places = np.where(space.active(genomes[rows]), space.canonical(genomes[rows]), SLEEPING)
        values = problem.values(block.measurements.take(rows))
        table = np.concatenate([places[:, shown], values], axis=1)
        return tuple(tuple(map(float, line)) for line in table)

    drawn = np.concatenate([front, others])
    asleep = ~space.active(genomes[drawn])
    return Parallel(
        tuple(
            GeneAxis(
                space.names[j],
                tuple(map(Quantity(space.names[j], space.genes[j].unit).show, choices)),
                bool(asleep[:, j].any()),
            )
            for j in shown
            for choices in (space.genes[j].choices,)
        ),
        quantity.objectives(study),
        lines(front),
        lines(others),
        len(space) - len(shown),
        len(history.front) - len(front),
    )


def _chosen(study: Study, ranking: tuple[str, ...], front: Ints) -> list[int]:
    """The columns that get an axis, ascending."""
    space = study.problem.space
    places = np.where(space.active(front), front, -1)
    variety = [len(np.unique(column)) for column in places.T]
    rank = {name: i for i, name in enumerate(ranking)}
    order = sorted(
        range(len(space)), key=lambda j: (rank.get(space.names[j], len(rank)), -variety[j], j)
    )
    several = [j for j in order if space.cardinalities[j] > 1]
    return sorted(several[:MOST_GENES])
