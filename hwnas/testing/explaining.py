"""What the conformance suite of evaluators checks of explanations."""

from __future__ import annotations

from typing import Final

import numpy as np

from hwnas.design.designs import Design
from hwnas.design.parts import NetworkFamily
from hwnas.evaluation.explanation import Explanation
from hwnas.metrics import Measurements
from hwnas.testing.check import require

ADDING_UP: Final = ("energy", "area")
"""Metrics whose parts add up."""
_PER_LAYER: Final = ("energy", "latency", "macs", "dram_bytes")


def check_explanation(
    said: Explanation, design: Design, measured: Measurements, tolerance: float
) -> None:
    """Checks what an evaluator says of a feasible design against what it measures.

    Args:
        said: What it says.
        design: The design.
        measured: One row, with the evaluator's metrics.
        tolerance: How far sums may be from metrics, relative to them.

    Raises:
        AssertionError: A part belongs to no metric, parts or layers do not add up, there is not
            one value per layer, a share is above 1, or a layer is above its roofline.
    """
    require(isinstance(said, Explanation), f"it answers with a {type(said).__name__}")
    known = set(measured.columns)
    require(set(said.parts) <= known, f"parts of {sorted(set(said.parts) - known)}, not measured")
    for name in set(said.parts) & set(ADDING_UP):
        total = sum(said.parts[name].values())
        _check_sum(f"the parts of {name}", total, measured, name, tolerance)
    if isinstance(design.space.parts.get("net"), NetworkFamily) and said.rows is not None:
        rows = len(design.layers)
        require(said.rows == rows, f"it speaks of {said.rows} layers of {rows}")
    for name in set(said.layers) & known & set(_PER_LAYER):
        total = float(np.sum(said.layers[name]))
        _check_sum(f"the layers' {name}", total, measured, name, tolerance)
    share = np.max(said.layers.get("utilization", np.zeros(1)), initial=0.0)
    require(share <= 1 + tolerance, f"a layer uses {share} of the processing elements")
    roof = said.roofline
    if roof is not None:
        above = np.flatnonzero(roof.attained > roof.bound * (1 + tolerance))
        require(not above.size, f"layers {above[:10]} are above the roofline")


def _check_sum(
    what: str, total: float, measured: Measurements, name: str, tolerance: float
) -> None:
    metric = float(measured[name][0])
    require(
        abs(total - metric) <= tolerance * abs(metric),
        f"{what} add up to {total}, and {name} is {metric}",
    )
