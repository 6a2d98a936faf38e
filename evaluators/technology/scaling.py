"""Logic from one process node to another, after Stillmaker and Baas.

A. Stillmaker, B. Baas, "Scaling equations for the accurate prediction of CMOS device performance
from 180 nm to 7 nm", Integration 58, 2017. Their areas are ratios with two digits; their energies
are quadratics in the supply voltage, fitted to circuit simulations: bulk down to 65 nm, then the
high-performance devices. The coefficients were read from two programs that print them
(wromaszkan/nodeScale and Accelergy's hwcomponents), which agree.

What they have not is not scaled: leakage, and memories, whose cells shrink less than logic.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from evaluators.technology.costs import Logic, Technology
from hwnas.arrays import Floats
from hwnas.errors import ProblemError

NODES: Final = (130.0, 90.0, 65.0, 45.0, 32.0, 20.0, 16.0, 14.0, 10.0, 7.0)
"""The nodes of the source that have an area and an energy at `SUPPLY`, nm."""
SUPPLY: Final = 0.8
"""Both nodes are compared at this supply voltage, V, as Accelergy does; each has its own nominal
voltage, and with them energies would differ by more."""
VERSION: Final = "stillmaker1"

_AREAS: Final = (6.4, 2.8, 1.5, 1.0, 0.46, 0.21, 0.19, 0.17, 0.1, 0.059)
"""Areas relative to 45 nm: a row of the source's table of areas."""
_ENERGIES: Final = (
    (7.171, -6.709, 2.904),
    (4.762, -4.781, 2.092),
    (3.755, -4.398, 1.975),
    (1.018, -0.3107, 0.1539),
    (0.8367, -0.4341, 0.1701),
    (0.373, -0.1582, 0.04104),
    (0.2958, -0.1241, 0.03024),
    (0.2363, -0.09675, 0.02239),
    (0.2068, -0.09311, 0.02375),
    (0.1776, -0.09097, 0.02447),
)
"""Energy is a V^2 + b V + c: (a, b, c) for each node."""


def area_scale(from_nm: float, to_nm: float) -> float:
    """Area of logic at one node over its area at another.

    Args:
        from_nm: The node of the known area, nm; between the source's nodes, the logarithm of the
            area is interpolated over that of the node.
        to_nm: The other node, nm.

    Raises:
        ProblemError: A node is beyond those of the source.
    """
    return _ratio(np.array(_AREAS), from_nm, to_nm)


def energy_scale(from_nm: float, to_nm: float) -> float:
    """Energy of logic at one node over its energy at another, both at `SUPPLY`.

    Args:
        from_nm: The node of the known energy, nm; see `area_scale`.
        to_nm: The other node, nm.

    Raises:
        ProblemError: A node is beyond those of the source.
    """
    powers = np.array([SUPPLY**2, SUPPLY, 1.0])
    return _ratio(np.array(_ENERGIES) @ powers, from_nm, to_nm)


@cache
def scaled(technology: Technology, node_nm: float) -> Technology:
    """A technology with the logic of another node; what was scaled is said in its description.

    Energy and area of multiplier, adder, shifter and register are scaled. Leakage, register files,
    scratchpads, wires and DRAM stay as they are.

    Args:
        technology: With a node.
        node_nm: The wanted node, nm.

    Returns:
        The scaled technology; the same one if it is of that node already.

    Raises:
        ProblemError: The table states no node, or a node is beyond those of the source.
    """
    if technology.node_nm is None:
        raise ProblemError(
            f"the technology {technology.name!r} cannot be scaled to {node_nm:g} nm",
            where="argument node_nm",
            rule="a table that states the node of its logic",
            given=f"{technology.name}, without a node",
            cure="take another table, e.g. aladdin40, or leave node_nm out",
        )
    if node_nm == technology.node_nm:
        return technology
    energy = energy_scale(technology.node_nm, node_nm)
    area = area_scale(technology.node_nm, node_nm)

    def smaller(logic: Logic) -> Logic:
        return Logic(logic.energy * energy, logic.area * area, logic.leakage)

    return replace(
        technology,
        name=f"{technology.name}@{node_nm:g}nm",
        version=f"{technology.version}.{VERSION}",
        description=f"{technology.description} Scaled from {technology.node_nm:g} nm to "
        f"{node_nm:g} nm, logic alone (Stillmaker and Baas 2017, at {SUPPLY:g} V): energies of "
        f"multiplier, adder, shifter and register x {energy:.3g}, their areas x {area:.3g}. Not "
        "scaled: leakage, register files, scratchpads, wires, DRAM.",
        multiplier=smaller(technology.multiplier),
        adder=smaller(technology.adder),
        shifter=smaller(technology.shifter),
        register=smaller(technology.register),
        node_nm=float(node_nm),
        sources=(*technology.sources, "scaling: Stillmaker and Baas, Integration 2017"),
    )


def _ratio(values: Floats, from_nm: float, to_nm: float) -> float:
    for node in (from_nm, to_nm):
        if not NODES[-1] <= node <= NODES[0]:
            raise ProblemError(
                f"logic cannot be scaled from {from_nm:g} nm to {to_nm:g} nm",
                where="argument node_nm",
                rule=f"a node from {NODES[0]:g} nm to {NODES[-1]:g} nm",
                given=f"{node:g} nm",
                cure="take a node between these, or write a table for it",
            )
    known = np.log(NODES[::-1])
    logs = np.interp(np.log([from_nm, to_nm]), known, np.log(values[::-1]))
    return float(np.exp(logs[1] - logs[0]))
