"""What actions and components cost: the contract between tables and cost models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints

_FAR: Final = 2.0**40
"""Up to this size (B), curves go on as beyond their last two points."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A quantity of a memory as it grows with the memory's size.

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

    @classmethod
    def line(cls, intercept: float, slope: float) -> Curve:
        """The curve ``intercept + slope * size``, the slope per B; a slope of 0 is a constant."""
        return cls(np.array([0.0, _FAR]), np.array([intercept, intercept + slope * _FAR]))


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


@dataclass(frozen=True)
class Dram:
    """A type of DRAM.

    Attributes:
        name: Its name.
        version: Changes whenever its number does.
        description: What it stands for.
        energy: Energy of moving one bit from or to it, J.
        sources: Where the number comes from.
    """

    name: str
    version: str
    description: str
    energy: float
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Technology:
    """Costs per action and per component, at rest.

    An energy of 0 means that the table's source counts it elsewhere or not at all (often additions,
    wires, leakage); `without` names them.

    Attributes:
        name: The name of its table, with what was changed, e.g. ``aladdin40@28nm+hbm2``.
        version: Changes whenever a number does.
        description: What it stands for, and what in it is scaled or borrowed.
        multiplier: Per bit x bit: a product of a-bit and b-bit numbers costs a b times as much.
        adder: Per bit of the sum.
        shifter: Per bit of the operand that is shifted.
        register: Per bit; the energy is that of a write.
        rf_read: Energy of reading one bit of a PE's register file of a given size, J.
        rf_write: Energy of writing one bit of it, J.
        rf_area: Area of a register file of a given size, m^2.
        rf_leakage: Leakage of a register file of a given size, W.
        sram_read: Energy of reading one bit of a macro of a given size, J.
        sram_write: Energy of writing one bit, J.
        sram_area: Area of a macro of a given size, m^2.
        sram_leakage: Leakage of a macro of a given size, W.
        dram_energy: Energy of moving one bit from or to DRAM, J.
        noc: Energy of moving one bit from a scratchpad into the array, J; 0 where the table has
            none.
        node_nm: The process node of its logic, nm; ``None`` where the table states none.
        dram: The name of the DRAM.
        sources: Where the numbers come from.
    """

    name: str
    version: str
    description: str
    multiplier: Logic
    adder: Logic
    shifter: Logic
    register: Logic
    rf_read: Curve
    rf_write: Curve
    rf_area: Curve
    rf_leakage: Curve
    sram_read: Curve
    sram_write: Curve
    sram_area: Curve
    sram_leakage: Curve
    dram_energy: float
    noc: float = 0.0
    node_nm: float | None = None
    dram: str = ""
    sources: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name and version: what an evaluator's version has to contain."""
        return f"{self.name}.{self.version}"

    @property
    def without(self) -> tuple[str, ...]:
        """What the table gives no energy for."""
        logic = ("multiplier", "adder", "shifter", "register")
        lacks = [name for name in logic if getattr(self, name).energy == 0.0]
        lacks += ["noc"] if self.noc == 0.0 else []
        leaks = [getattr(self, name).leakage for name in logic]
        largest = np.array([_FAR])
        leaks += [float(curve(largest)[0]) for curve in (self.rf_leakage, self.sram_leakage)]
        return tuple(lacks + (["leakage"] if not any(leaks) else []))
