"""The designs of a study as points in objective space, thinned so that pages stay small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnas.arrays import Floats, Ints

if TYPE_CHECKING:
    from hwnas.study import Study

MOST_POINTS: Final = 2000
_STREAM: Final = 1


@dataclass(frozen=True)
class Cloud:
    """Some designs.

    Attributes:
        numbers: Their rows in the study's history.
        values: Their objectives at rest, in natural direction.
    """

    numbers: tuple[int, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, objective: int) -> list[float]:
        """The values of one objective."""
        return [value[objective] for value in self.values]


@dataclass(frozen=True)
class Points:
    """The designs of a study that have finite objectives.

    Attributes:
        front: The Pareto front, complete, sorted by the first objective.
        feasible: Designs that meet all constraints but are dominated.
        infeasible: Designs that violate a constraint or are infeasible.
        thinned: How many dominated or infeasible designs were left out by chance.
        without_values: How many designs have no finite objectives and no place in a figure.
    """

    front: Cloud = Cloud()
    feasible: Cloud = Cloud()
    infeasible: Cloud = Cloud()
    thinned: int = 0
    without_values: int = 0


def points(study: Study, most: int = MOST_POINTS) -> Points:
    """The points of a study.

    Args:
        study: The study.
        most: How many points there may be; the front is kept whole, the others are drawn by the
            study's seed.
    """
    history, problem = study.history, study.problem
    measured = history.rows.measurements
    values = problem.values(measured)
    satisfied = problem.satisfied(measured)
    on_front = np.zeros(len(history), dtype=np.bool_)
    on_front[history.front] = True
    finite = np.isfinite(values).all(axis=1) & ~measured.partial
    others = np.flatnonzero(finite & ~on_front)
    kept = thin(others, most - int(on_front.sum()), study.seed)
    front = history.front[np.lexsort((history.front, history.front_losses[:, 0]))]
    return Points(
        _cloud(front, values),
        _cloud(kept[satisfied[kept]], values),
        _cloud(kept[~satisfied[kept]], values),
        len(others) - len(kept),
        int((~finite & ~measured.partial).sum()),
    )


def thin(rows: Ints, most: int, seed: int) -> Ints:
    """At most so many of some rows, drawn evenly by a seed, ascending."""
    if len(rows) <= most:
        return rows
    rng = np.random.default_rng((seed, _STREAM))
    kept: Ints = np.sort(rng.choice(rows, size=max(0, most), replace=False))
    return kept


def _cloud(rows: Ints, values: Floats) -> Cloud:
    return Cloud(tuple(map(int, rows)), tuple(tuple(map(float, value)) for value in values[rows]))
