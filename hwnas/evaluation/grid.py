"""The measurements of a grid of designs: every outer design with every inner one.

Symbols: ``o`` outer designs, ``i`` inner ones, on disjoint parts of one joint space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwnas.arrays import Bools, Floats


@dataclass(frozen=True, eq=False)
class Grid:
    """Measurements of a grid.

    Attributes:
        columns: Metric name to values, ``float64 (o, i)``; NaN where infeasible.
        feasible: ``bool (o, i)``.
        failure: Why a cell could not be measured, if one could not; it counts as infeasible.
    """

    columns: Mapping[str, Floats]
    feasible: Bools
    failure: str = ""

    def beside(self, other: Grid) -> Grid:
        """The metrics of both; feasible where both are."""
        return Grid(
            {**self.columns, **other.columns},
            self.feasible & other.feasible,
            self.failure or other.failure,
        )
