"""Made-up studies with everything that a report has to cope with: failures, broken constraints."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import hwnas
from hwnas import Designs, Goal, Metric, Problem, Space, Study
from hwnas.report import Record, record


def joint() -> Space:
    return hwnas.SkipNet().space() + hwnas.BitsPerCell().space() + hwnas.SystolicArray().space()


@hwnas.measures(Metric("error", worst=1.0, best=0.0), reads=("net", "quant"), batch=True)
def error(designs: Designs) -> Any:
    """Falls with width and bits; has no value for one kind of network."""
    value = 0.05 + 0.4 / (designs["net.width"] * designs["net.cells"])
    value = value + 0.6 / designs["quant.cell1.weight_bits"] ** 1.5
    broken = (designs["net.cells"] == 3) & (designs["net.width"] == 1)
    return np.where(broken, np.nan, np.minimum(value, 1.0))


@hwnas.measures(
    Metric("energy", "J"),
    Metric("latency", "s"),
    Metric("area", "m^2"),
    Metric("rate", "Hz", Goal.MAXIMIZE),
    expense="free",
    batch=True,
)
def cost(designs: Designs) -> Any:
    """Made up; spans decades."""
    work = 1e4 * designs["net.width"] ** 2 * designs["net.cells"]
    units = designs["hw.rows"] * designs["hw.columns"]
    latency = work / units / designs["hw.clock"]
    area = units * 6e-10 + designs["hw.ifmap_sram"] * 3e-12
    bits = designs["quant.cell1.weight_bits"] * designs["quant.cell1.activation_bits"]
    return {
        "energy": work * bits * 1e-13 + latency * area * 1e3,
        "latency": latency,
        "area": area,
        "rate": 1.0 / latency,
    }


OBJECTIVES = {
    1: ("latency",),
    2: ("error", "rate"),
    3: ("error", "energy", "latency"),
    4: ("error", "minimize: edp = energy * latency", "latency", "area"),
}


def run(
    m: int = 3,
    budget: int = 60,
    *,
    seed: int = 0,
    name: str = "toy",
    constraints: tuple[str, ...] = ("area <= 0.5 mm2", "error <= 0.5"),
    searcher: str = "random",
) -> Study:
    """A finished study with ``m`` objectives; 0 evaluations: one that did not begin."""
    problem = Problem(joint(), [error, cost], OBJECTIVES[m], constraints)
    study = Study(problem, searcher, budget=max(budget, 1), seed=seed, name=name)
    if budget:
        for _ in study.run():
            pass
    return study


@cache
def recorded(study: Study) -> Record:
    """The record of a study, computed once."""
    return record(study)
