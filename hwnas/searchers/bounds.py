"""How far designs are from the bounds of constraints, for libraries that model or add that up."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Floats
from hwnas.metrics import Measurements
from hwnas.problem import Problem


def relative_excesses(problem: Problem, measurements: Measurements) -> Floats:
    """How far each constraint is beyond its bound, in units of the bound, ``(n, c)``.

    Negative where there is room, NaN where a metric of the constraint was not measured. Where
    positive it is `Problem.relative_violations`.
    """
    columns, n = measurements.columns, len(measurements)
    with np.errstate(all="ignore"):
        parts = [c.excess(columns) / c.scale(columns) for c in problem.constraints]
    if not parts:
        return np.zeros((n, 0))
    table = np.stack([np.broadcast_to(part, n) for part in parts], axis=1)
    return np.where(np.isfinite(table), table, np.nan)
