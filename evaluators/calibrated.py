"""What calibration changes in the costs of layers: one pure function, for every hardware template.

An analytical model knows how many cycles the array computes and how many bytes move; silicon adds
what it cannot know: stalls in proportion, a fixed cost per layer, DRAM that does not reach its
peak, computing and moving that overlap imperfectly, and energies per action of another process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from hwnas.arrays import Floats
from hwnas.evaluation.calibration import Constant

ENERGIES: Final = ("mac", "sram", "dram", "leakage")
"""The components of energy that have a scale each."""


@dataclass(frozen=True)
class Terms:
    """The constants; the values that stand here change nothing.

    Attributes:
        compute: Cycles of the array, in units of the model's.
        layer: Cycles more per layer that does anything.
        dram: Time that DRAM traffic takes, in units of the time at peak bandwidth.
        exposed: Share of the shorter of computing and DRAM traffic that does not hide behind the
            longer: 0 takes the maximum of the two, 1 their sum.
        energy_mac: Energy of multipliers, adders and registers, in units of the model's.
        energy_sram: Likewise of scratchpads.
        energy_dram: Likewise of DRAM.
        energy_leakage: Likewise of leakage.
    """

    compute: float = 1.0
    layer: float = 0.0
    dram: float = 1.0
    exposed: float = 0.0
    energy_mac: float = 1.0
    energy_sram: float = 1.0
    energy_dram: float = 1.0
    energy_leakage: float = 1.0

    @classmethod
    def of(cls, constants: Mapping[str, float]) -> Terms:
        """The terms of a calibration's constants; others there are passed over."""
        return cls(**{f.name: constants[f.name] for f in fields(cls)})


CONSTANTS: Final = (
    Constant("compute", 1.0, 0.1, 100.0, "1", "cycles of the array, in units of the model's"),
    Constant("layer", 0.0, 0.0, 1e7, "cycles", "fixed cost of a layer", 1000.0),
    Constant("dram", 1.0, 0.1, 100.0, "1", "DRAM time, in units of that at peak bandwidth"),
    Constant("exposed", 0.0, 0.0, 1.0, "1", "share of the shorter of both that shows", 0.2),
    *(
        Constant(f"energy_{part}", 1.0, 0.0, 1e3, "1", f"energy ({part}), in units of the model's")
        for part in ENERGIES
    ),
)
"""The terms as constants of a template."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Costs of layers after calibration, of one shape.

    Attributes:
        cycles: Clock cycles without stalls for DRAM.
        compute_time: The same in s.
        dram_time: DRAM traffic, s.
        latency: Both together, s.
        energies: By component of `ENERGIES`, J.
    """

    cycles: Floats
    compute_time: Floats
    dram_time: Floats
    latency: Floats
    energies: dict[str, Floats]


def calibrated(
    terms: Terms,
    *,
    cycles: Floats,
    clock: Floats,
    dram_time: Floats,
    latency: Floats,
    energies: Mapping[str, Floats],
) -> Calibrated:
    """Applies the terms to what a model says; all arrays broadcast.

    Rows that neither compute nor move anything (padding of a batch) stay at 0.

    Args:
        terms: The constants.
        cycles: Of the array, without stalls.
        clock: Hz.
        dram_time: At peak bandwidth, s.
        latency: By the model, s: its leakage is in proportion to it.
        energies: By component of `ENERGIES`, J.
    """
    busy = (cycles > 0) | (dram_time > 0)
    cycles = np.asarray(terms.compute * cycles + np.where(busy, terms.layer, 0.0))
    compute_time = np.asarray(cycles / clock)
    dram_time = np.asarray(terms.dram * dram_time)
    longer, shorter = np.maximum(compute_time, dram_time), np.minimum(compute_time, dram_time)
    whole = np.asarray(longer + terms.exposed * shorter)
    stretch = np.divide(whole, latency, out=np.ones_like(whole), where=latency > 0)
    scales = {part: getattr(terms, f"energy_{part}") for part in ENERGIES}
    costs = {part: np.asarray(scales[part] * energies[part]) for part in ENERGIES}
    costs["leakage"] = np.asarray(costs["leakage"] * stretch)
    return Calibrated(cycles, compute_time, dram_time, whole, costs)
