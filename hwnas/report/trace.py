"""How a study came on: hypervolume and best values against evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.history import History

if TYPE_CHECKING:
    from hwnas.study import Study

# The exact hypervolume grows exponentially with the objectives, so fewer are taken of many.
_CHECKPOINTS: Final = {5: 60}
_MOST: Final = 200
_MANY: Final = 12


@dataclass(frozen=True)
class Trace:
    """Where a study stood after some of its designs. All columns have the same length.

    Attributes:
        designs: How many rows the history had.
        evaluations: What the budget had counted by then.
        hypervolume: The share of the yardstick's box that the front dominates.
        best: Per checkpoint the best value of each objective among the designs that meet all
            constraints, at rest; ``None`` where there is none yet.
    """

    designs: tuple[int, ...] = ()
    evaluations: tuple[float, ...] = ()
    hypervolume: tuple[float, ...] = ()
    best: tuple[tuple[float | None, ...], ...] = ()


def checkpoints(rows: int, objectives: int) -> Ints:
    """Where to look: dense at the beginning, where most happens, and evenly over the whole.

    Args:
        rows: Rows of the history.
        objectives: How many there are; many make each look expensive.

    Returns:
        Ascending numbers of rows, the last of them all rows, ``int64 (j,)``, at most 200.
    """
    most = _CHECKPOINTS.get(objectives, _MOST if objectives < 5 else _MANY)
    if rows <= most:
        return np.arange(1, rows + 1)
    half = most // 2
    early = np.geomspace(1, rows, half)
    even = np.linspace(1, rows, half)
    return np.unique(np.concatenate([early, even]).round().astype(np.int64))


def trace(study: Study) -> Trace:
    """Replays a study's history; empty where no design has finite objectives."""
    history, yardstick = study.history, study.yardstick
    if yardstick is None or not len(history):
        return Trace()
    signs = study.problem.signs
    counts = checkpoints(len(history), len(signs))
    replay = History(study.problem)
    evaluations: list[float] = []
    hypervolumes: list[float] = []
    best: list[tuple[float | None, ...]] = []
    rows = history.rows
    # Replaying counts evaluations just as the budget did.
    for start, stop in zip((0, *counts[:-1]), counts, strict=True):
        replay.add(rows.take(np.arange(start, stop)))
        losses = replay.front_losses
        evaluations.append(replay.evaluations)
        hypervolumes.append(yardstick.hypervolume(losses))
        found = losses.min(axis=0) * signs if len(losses) else (None,) * len(signs)
        best.append(tuple(None if v is None else float(v) for v in found))
    return Trace(tuple(map(int, counts)), tuple(evaluations), tuple(hypervolumes), tuple(best))
