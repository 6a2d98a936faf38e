"""Technologies: what an action costs in energy, and a component in area and leakage.

One JSON file per technology lies beside this module, one per type of DRAM in ``dram/``. Every
number in them names its unit and its source; what was scaled or borrowed is said there. Write your
own after `evaluators.technology.reading`; ``technology: mine.json`` in a study file takes it.
"""

from __future__ import annotations

from evaluators.technology.costs import Curve, Dram, Logic, Technology
from evaluators.technology.entries import UNITS
from evaluators.technology.files import (
    DramFile,
    TableFile,
    TableName,
    available,
    drams,
    load,
)
from evaluators.technology.scaling import area_scale, energy_scale, scaled

__all__ = [
    "UNITS",
    "Curve",
    "Dram",
    "DramFile",
    "Logic",
    "TableFile",
    "TableName",
    "Technology",
    "area_scale",
    "available",
    "drams",
    "energy_scale",
    "load",
    "scaled",
]
