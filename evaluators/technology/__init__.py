"""Technologies: what an action costs in energy, and a component in area and leakage.

One JSON file per technology lies beside this module. Every number in it names its unit and its
source; what was scaled or borrowed is said there. To add a technology, add a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.errors import PluginError, UnitError, nearest

UNITS: Final[Mapping[str, float]] = {
    "pJ": 1e-12,
    "nW": 1e-9,
    "uW": 1e-6,
    "um2": 1e-12,
    "B": 1.0,
    "KiB": 1024.0,
}
"""The units that technology files may use, in units at rest (spares the free path loading pint)."""

_FAR: Final = 2.0**40
"""Up to this size (B), curves go on as beyond their last two points."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity of an SRAM macro as it grows with the macro's size.

    Piecewise linear between the points of the source; beyond them the outermost pieces go on, but
    never below 0.

    Attributes:
        sizes: Capacities, B, ascending.
        values: The quantity at these sizes, at rest.
    """

    sizes: Floats
    values: Floats

    def __call__(self, size: Floats | Ints) -> Floats:
        """The quantity at some sizes (B), same shape."""
        return np.asarray(np.interp(size, self.sizes, self.values), dtype=np.float64)

    @classmethod
    def through(cls, sizes: Floats, values: Floats) -> Curve:
        """The curve through two or more points, sizes ascending, B."""
        slopes = np.diff(values) / np.diff(sizes)
        start = max(0.0, float(values[0] - slopes[0] * sizes[0]))
        end = float(values[-1] + slopes[-1] * (_FAR - sizes[-1]))
        return cls(np.r_[0.0, sizes, _FAR], np.r_[start, values, end])


@dataclass(frozen=True)
class Logic:
    """A component whose energy, area and leakage are proportional to its size.

    Attributes:
        energy: Energy of one action, J per bit (of a multiplier: per bit x bit).
        area: m^2 per bit (or bit x bit).
        leakage: W per bit (or bit x bit).
    """

    energy: float
    area: float
    leakage: float


@dataclass(frozen=True, eq=False)
class Technology:
    """Costs per action and per component, at rest.

    Attributes:
        name: The name of its file.
        version: Changes whenever a number does.
        description: What it stands for, and what in it is scaled or borrowed.
        multiplier: Per bit x bit: a product of a-bit and b-bit numbers costs a b times as much.
        adder: Per bit of the sum.
        register: Per bit; the energy is that of a write.
        sram_read: Energy of reading one bit of a macro of a given size, J.
        sram_write: Energy of writing one bit, J.
        sram_area: Area of a macro of a given size, m^2.
        sram_leakage: Leakage of a macro of a given size, W.
        dram_energy: Energy of moving one bit from or to DRAM, J.
    """

    name: str
    version: str
    description: str
    multiplier: Logic
    adder: Logic
    register: Logic
    sram_read: Curve
    sram_write: Curve
    sram_area: Curve
    sram_leakage: Curve
    dram_energy: float


def available() -> tuple[str, ...]:
    """The names of the technologies, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in files if name.endswith(".json")))


@cache
def load(name: str) -> Technology:
    """Reads a technology.

    Args:
        name: One of `available`.

    Raises:
        PluginError: There is none of that name; the message names the nearest.
        UnitError: Its file uses an unknown unit.
    """
    known = available()
    if name not in known:
        raise PluginError(
            f"there is no technology named {name!r}",
            where="argument technology",
            rule="a name of a technology file",
            given=repr(name),
            cure=nearest(name, known),
        )
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    table = json.loads(text)
    sram = table["sram"]
    bits = sram["access_bits"]
    return Technology(
        name=table["name"],
        version=table["version"],
        description=table["description"],
        multiplier=_logic(table["multiplier"], table["multiplier"]["bits"] ** 2),
        adder=_logic(table["adder"], table["adder"]["bits"]),
        register=_logic(table["register"], table["register"]["bits"]),
        sram_read=_curve(sram["read"], bits),
        sram_write=_curve(sram["write"], bits),
        sram_area=_curve(sram["area"], 1),
        sram_leakage=_curve(sram["leakage"], 1),
        dram_energy=_at_rest(table["dram"]["energy"]) / table["dram"]["bits"],
    )


def _logic(entry: Mapping[str, Any], size: int) -> Logic:
    return Logic(*(_at_rest(entry[what]) / size for what in ("energy", "area", "leakage")))


def _curve(entry: Mapping[str, Any], bits: int) -> Curve:
    sizes = np.array(entry["size"], dtype=np.float64) * _scale(entry["size_unit"])
    values = np.array(entry["values"], dtype=np.float64) * _scale(entry["unit"])
    return Curve.through(sizes, values / bits)


def _at_rest(entry: Mapping[str, Any]) -> float:
    return float(entry["value"]) * _scale(entry["unit"])


def _scale(unit: str) -> float:
    if unit not in UNITS:
        raise UnitError(
            f"a technology file uses the unit {unit!r}",
            rule="one of " + ", ".join(UNITS),
            given=repr(unit),
            cure=nearest(unit, UNITS),
        )
    return UNITS[unit]
