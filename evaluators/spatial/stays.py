"""Which operand stays in the registers of a spatial array: the on-chip half of the mapping family.

One operand stays while the loops that it does not depend on run inside. What room its register
file has left lets a block of it stay, which serves a second operand: that one is moved once per
block. The third operand moves at every step. Energy and cycles are sums and maxima of terms of one
operand each, so that most of them are computed once for all members of the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from evaluators.spatial.rows import Array, Layers
from evaluators.spatial.tilings import Library, Tiling
from evaluators.spatial.unrolled import Unrolled, product

OPERANDS: Final = ("filters", "inputs", "outputs")
NEVER: Final = 1e150
"""The objective of a mapping that does not fit: larger than any real one, even if multiplied."""


class Stay(IntEnum):
    """Which operand stays in the registers, and which other one its spare room serves."""

    WEIGHTS_FOR_OUTPUTS = 0
    WEIGHTS_FOR_INPUTS = 1
    OUTPUTS_FOR_WEIGHTS = 2
    OUTPUTS_FOR_INPUTS = 3
    INPUTS_FOR_OUTPUTS = 4
    INPUTS_FOR_WEIGHTS = 5


ROLES: Final = {
    Stay.WEIGHTS_FOR_OUTPUTS: ("filters", "outputs"),
    Stay.WEIGHTS_FOR_INPUTS: ("filters", "inputs"),
    Stay.OUTPUTS_FOR_WEIGHTS: ("outputs", "filters"),
    Stay.OUTPUTS_FOR_INPUTS: ("outputs", "inputs"),
    Stay.INPUTS_FOR_OUTPUTS: ("inputs", "outputs"),
    Stay.INPUTS_FOR_WEIGHTS: ("inputs", "filters"),
}
"""The operand that stays, and the one that is served."""


class Moved(NamedTuple):
    """Elements from scratchpads into the array, all groups; of outputs, those that leave it."""

    filters: Array
    inputs: Array
    outputs: Array


@dataclass(frozen=True, eq=False)
class Words:
    """Elements between scratchpads and array, all groups.

    Attributes:
        always: Operand to elements if they move at every step.
        least: Operand to elements if they stay, per tile of the loops that they do not depend on.
    """

    always: dict[str, Array]
    least: dict[str, Array]

    @classmethod
    def of(cls, g: Layers, u: Unrolled, *, forwarded: bool) -> Words:
        """Counts them.

        Args:
            g: Layers.
            u: How they are laid out.
            forwarded: Neighbours hand inputs on, so those under all taps of a window are read once
                (ShiDianNao; Du et al., ISCA 2015).
        """
        at_once, trips = u.at_once, u.trips
        macs = g.G * g.N * g.K * g.C * g.P * g.Q * g.R * g.S
        inputs = macs * g.work / (product(at_once, "K") * u.taps) * u.shared
        if forwarded:
            lines, columns = at_once["P"], at_once["Q"]
            under = ((lines - 1.0) * g.step + g.R) * ((columns - 1.0) * g.column_step + g.S)
            inputs = inputs * under / (lines * columns * trips["R"] * trips["S"])
        return cls(
            always={
                "filters": macs / product(at_once, "NPQ"),
                "inputs": inputs,
                "outputs": macs * g.work / (product(at_once, "CRS") * u.taps),
            },
            least={
                "filters": g.G * g.K * g.C * g.R * g.S,
                "inputs": inputs / trips["K"],
                "outputs": g.G * g.N * g.K * g.P * g.Q,
            },
        )


@dataclass(frozen=True, eq=False)
class Rates:
    """What an element costs that moves between scratchpad and array.

    Attributes:
        energy: Operand to J.
        cycles: Operand to cycles of the scratchpad's port.
        waiting: Cycles that pass before weights are there: those of computing if the array waits
            for its registers, else 0.
    """

    energy: dict[str, Array]
    cycles: dict[str, Array]
    waiting: Array


@dataclass(frozen=True, eq=False)
class OnChip:
    """What the on-chip members of the family have in common.

    Attributes:
        words: Elements that move.
        rates: What they cost.
        rooms: Member of the family to the block that may stay; see `rooms`.
        window: Steps over a window, R S.
        steps: Cycles of computing.
        stays: The members that differ for these register files.
    """

    words: Words
    rates: Rates
    rooms: dict[Stay, Array]
    window: Array
    steps: Array
    stays: tuple[Stay, ...]

    def limits(self, t: Tiling) -> dict[str, Array]:
        """By which block at most an operand is served: the steps of a tile that it is without."""
        return {"filters": t.x, "inputs": t.k, "outputs": t.c * self.window}

    def tiles(self, t: Tiling) -> dict[str, Array]:
        """How often an operand that stays is fetched: the tiles of loops that it is without."""
        return {"filters": t.pixel_tiles, "inputs": t.filter_tiles, "outputs": t.channel_tiles}

    def moved(self, xp: Library, stay: Stay, t: Tiling) -> Moved:
        """What moves under one member of the family."""
        held, served = ROLES[stay]
        amounts = dict(self.words.always)
        amounts[held] = self.words.least[held] * self.tiles(t)[held]
        block = xp.minimum(self.rooms[stay], self.limits(t)[served])
        amounts[served] = amounts[served] / block
        return Moved(**amounts)

    def cycles(self, xp: Library, m: Moved) -> Array:
        """Cycles of the array: computing, and waiting for scratchpads."""
        rate = self.rates.cycles
        ports = xp.maximum(m.inputs * rate["inputs"], m.outputs * rate["outputs"])
        filters = self.rates.waiting + m.filters * rate["filters"]
        return xp.maximum(xp.maximum(self.steps, filters), ports)


def rooms(xp: Library, registers: dict[str, Array], stays: tuple[Stay, ...]) -> dict[Stay, Array]:
    """The blocks that may stay: 1 if the operand to be served has no register.

    Args:
        xp: numpy or torch.
        registers: Operand to the elements that a register file holds.
        stays: Members of the family.
    """
    found = {}
    for stay in stays:
        held, served = (registers[operand] for operand in ROLES[stay])
        found[stay] = xp.where(served >= 1.0, xp.maximum(held, xp.asarray(1.0)), 1.0)
    return found
