"""The choice of a mapping per layer and array: the best member of the family.

The objective is a sum (energy) or a maximum (cycles) of terms of one operand each, so most are
computed once per tiling, and few per member of the family.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from evaluators.spatial.rows import Array, Arrays, Layers
from evaluators.spatial.stays import NEVER, OPERANDS, ROLES, OnChip, Stay
from evaluators.spatial.tilings import Library, Tiling
from evaluators.spatial.unrolled import Unrolled

_BYTE: Final = 8.0
_REAL: Final = 1e100
"""Larger than the objective of any mapping that fits."""


class Objective(Enum):
    """What the mapping of a layer is chosen for."""

    ENERGY = "energy"
    """Dynamic energy."""
    LATENCY = "latency"
    """Latency; of equally fast ones the one of least dynamic energy."""
    EDP = "edp"
    """Dynamic energy times latency."""


class Conventions(NamedTuple):
    """What cost models assume differently; the defaults are ours.

    Attributes:
        lines_kept: Input lines under two tiles that follow each other stay on the chip.
        register_reads: Registers are read for every MAC; else only when their content changes.
        fills_hidden: Registers are filled while the array computes; else it waits for weights.
        window_cycle: One more cycle per window of R S, as MAESTRO counts.
        overlap: Share in [0, 1] of the shorter of computing and DRAM traffic that hides behind
            the longer.
    """

    lines_kept: bool = True
    register_reads: bool = True
    fills_hidden: bool = True
    window_cycle: bool = False
    overlap: float = 1.0


class Traffic(NamedTuple):
    """Elements between DRAM and scratchpads; partial sums go out and come back."""

    inputs: Array
    filters: Array
    spilled: Array


@dataclass(frozen=True, eq=False)
class Setting:
    """What all members of the family have in common."""

    g: Layers
    a: Arrays
    how: Conventions
    u: Unrolled
    chip: OnChip
    registers: dict[str, Array]
    fixed_energy: Array

    @property
    def operand_energy(self) -> dict[str, tuple[Array, Array]]:
        """Operand to J if it moves at every step, and if it stays, per tile."""
        words, energy = self.chip.words, self.chip.rates.energy
        return {x: (words.always[x] * energy[x], words.least[x] * energy[x]) for x in OPERANDS}

    def port(self, operand: str, words: Array) -> Array:
        """Cycles until a scratchpad has handed out so many elements."""
        cycles = words * self.chip.rates.cycles[operand]
        return self.chip.rates.waiting + cycles if operand == "filters" else cycles

    def traffic(self, t: Tiling) -> Traffic:
        """What a tiling moves from and to DRAM."""
        g, least = self.g, self.chip.words.least
        return Traffic(
            inputs=(g.G * g.N * g.C) * t.ifmap,
            filters=least["filters"] * t.filters,
            spilled=least["outputs"] * (t.passes - 1.0),
        )


class Chosen(NamedTuple):
    """Places of the tiling and of what stays, from 0, and whether any mapping fits."""

    tiling: Array
    stay: Array
    fits: Array


def blend(xp: Library, one: Array, other: Array, overlap: float) -> Array:
    """The longer of two times, and the share of the shorter that does not hide behind it."""
    longer = xp.maximum(one, other)
    return longer if overlap == 1.0 else longer + (1.0 - overlap) * xp.minimum(one, other)


@dataclass(frozen=True, eq=False)
class _Terms:
    """Per member that stays: what all tilings have in common."""

    energy: dict[Stay, Array]
    cycles: dict[Stay, Array]


def _terms(xp: Library, s: Setting, *, timed: bool) -> _Terms:
    """Energy and cycles of the third operand, which moves at every step."""
    joules, chip = s.operand_energy, s.chip
    energy, cycles = {}, {}
    for stay in chip.stays:
        held = ROLES[stay][0]
        third = next(x for x in OPERANDS if x not in ROLES[stay])
        missing = xp.where(s.registers[held] < 1.0, NEVER, 0.0 * chip.steps)
        energy[stay] = joules[third][0] + s.fixed_energy + missing
        if timed:
            cycles[stay] = xp.maximum(chip.steps, s.port(third, chip.words.always[third]))
    return _Terms(energy, cycles)


def best(
    xp: Library, s: Setting, family: list[Tiling], objective: Objective, *, given: bool
) -> Chosen:
    """The best member of the family per layer and array, or the one that the layer names.

    Args:
        xp: numpy or torch.
        s: What the members have in common.
        family: Their tilings.
        objective: What is minimised; of equals, the first.
        given: Whether some layers name their mapping.
    """
    g, a, chip = s.g, s.a, s.chip
    timed = objective is not Objective.ENERGY
    joules, terms = s.operand_energy, _terms(xp, s, timed=timed)
    fill = g.activation_bits * (a.dram + a.ifmap_write)
    drain = g.weight_bits * (a.dram + a.filter_write)
    spill = g.sum_bits * (2.0 * a.dram + a.ofmap_read + a.ofmap_write)
    nothing = 0.0 * chip.steps
    first = second = NEVER + nothing
    mapping = nothing
    for policy, t in enumerate(family):
        moved = s.traffic(t)
        misfit = xp.where(t.fits, nothing, NEVER)
        off_chip = moved.inputs * fill + moved.filters * drain + moved.spilled * spill + misfit
        tiles, limits = chip.tiles(t), chip.limits(t)
        still = {x: off_chip + joules[x][1] * tiles[x] for x in OPERANDS}
        if timed:
            dram = _dram_cycles(s, moved)
            ports = {x: s.port(x, chip.words.least[x] * tiles[x]) for x in OPERANDS}
        for stay in chip.stays:
            held, served = ROLES[stay]
            block = xp.minimum(chip.rooms[stay], limits[served])
            energy = still[held] + joules[served][0] / block + terms.energy[stay]
            if given:
                other = (g.tiling != 0.0) & (g.tiling != policy + 1.0)
                other = other | ((g.stay != 0.0) & (g.stay != stay.value + 1.0))
                energy = energy + xp.where(other, NEVER, nothing)
            main = energy
            if timed:
                busy = s.port(served, chip.words.always[served] / block)
                busy = xp.maximum(xp.maximum(busy, terms.cycles[stay]), ports[held])
                main = cycles = blend(xp, busy, dram, s.how.overlap)
            if objective is Objective.EDP:
                main = energy * cycles
            better = main < first
            if objective is Objective.LATENCY:
                fits = energy < _REAL
                better = fits & (better | ((main == first) & (energy < second)))
                second = xp.where(better, energy, second)
                main = xp.where(better, main, first)
            # Later members have higher numbers, so the highest that was better is the best.
            mapping = xp.maximum(mapping, better * (policy * len(Stay) + stay.value + 1.0))
            first = xp.minimum(first, main)
    tiling = xp.floor(mapping / len(Stay) - 1.0 / (2 * len(Stay)))
    fits = mapping > 0.0 if objective is Objective.LATENCY else first < _REAL
    return Chosen(tiling * fits, (mapping - 1.0 - tiling * len(Stay)) * fits, fits)


def _dram_cycles(s: Setting, moved: Traffic) -> Array:
    g = s.g
    bits = (
        (moved.inputs + s.chip.words.least["outputs"]) * g.activation_bits
        + moved.filters * g.weight_bits
        + moved.spilled * (2.0 * g.sum_bits)
    )
    return bits * (s.a.clock / (_BYTE * s.a.dram_bandwidth))
