"""Measured layers, one per row, as every hardware template takes them for calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from evaluators.calibrated import ENERGIES, Terms, calibrated
from evaluators.dataflows import SCRATCHPADS
from hwnas.arrays import Floats
from hwnas.design import LayerTable
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Column, Rows

_SHAPE: Final = ("N", "K", "C", "P", "Q", "R", "S", "stride", "groups")
_ONES: Final = ("N", "Q", "R", "S", "stride", "groups")
_BITS: Final = ("weight_bits", "activation_bits")

LAYER_COLUMNS: Final = (
    *(
        Column(name, "size of the layer", default=1.0 if name in _ONES else None, shape=True)
        for name in _SHAPE
    ),
    Column("weight_bits", "bits of a weight", default=8.0),
    Column("activation_bits", "bits of an input or output", default=8.0),
)
"""What rows say of the layer."""
SCRATCHPAD_COLUMNS: Final = tuple(Column(n, "size of a scratchpad", "B") for n in SCRATCHPADS)
"""What rows say of the scratchpads."""
SPEED_COLUMNS: Final = (
    Column("dram_bandwidth", "peak bandwidth of the DRAM", "B/s"),
    Column("clock", "clock of the array", "Hz"),
)
"""What rows say of how fast everything is."""


def layers_of(rows: Rows) -> LayerTable:
    """One design of one layer per measured row.

    Raises:
        ProblemError: A size is no whole number, or groups do not divide channels.
    """
    whole = {}
    for name in (*_SHAPE, *_BITS):
        column = np.asarray(rows[name], dtype=np.float64)
        broken = np.flatnonzero(column != np.floor(column))
        if len(broken):
            raise ProblemError(
                f"column {name!r} has a value that is no whole number",
                where=f"row {int(broken[0])}, counted from 0",
                given=repr(float(column[broken[0]])),
            )
        whole[name] = column.astype(np.int64)
    mixed = (whole["K"] % whole["groups"] != 0) | (whole["C"] % whole["groups"] != 0)
    if mixed.any():
        raise ProblemError(
            "groups do not divide the channels of a layer",
            where=f"row {int(np.flatnonzero(mixed)[0])}, counted from 0",
            rule="K and C are multiples of groups",
        )
    n = len(whole["K"])
    return LayerTable.of(n, np.arange(n, dtype=np.int64), **whole)


def predicted(counts: Mapping[str, Floats], constants: Mapping[str, float]) -> dict[str, Floats]:
    """Cycles with stalls, and energy (J), per row, ``(n,)`` each.

    Args:
        counts: By the model that is not calibrated: ``cycles``, ``clock`` (Hz), ``dram_time``,
            ``latency`` (s), and ``energy_`` and each of `ENERGIES` (J).
        constants: The terms.
    """
    found = calibrated(
        Terms.of(constants),
        cycles=counts["cycles"],
        clock=counts["clock"],
        dram_time=counts["dram_time"],
        latency=counts["latency"],
        energies={name: counts[f"energy_{name}"] for name in ENERGIES},
    )
    energy = np.sum([found.energies[name] for name in ENERGIES], axis=0)
    return {"cycles": found.latency * counts["clock"], "energy": energy}
