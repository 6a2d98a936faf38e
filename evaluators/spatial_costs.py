"""What layers cost on a spatial array: the pure core, struct of arrays in and out.

Counting follows ZigZag (Mei et al., IEEE TC 2021): an operand moves between two levels as often as
the loops outside change it; loops innermost that it does not depend on keep it where it is. The
family of mappings is the product of `evaluators.tilings` (off chip) and `evaluators.stays` (on
chip): one more axis, over which the best is taken per layer, as Marvel separates the two
(Chatarasi et al., arXiv 2002.07752).

Everything broadcasts: layers ``(L, 1)`` (or ``(L, n)``) against accelerators ``(n,)``; float64.
``xp`` is numpy or torch, so that large batches may be compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from evaluators.spatial_rows import Array, Arrays, Costs, Layers
from evaluators.stays import NEVER, OPERANDS, ROLES, Moved, OnChip, Rates, Stay, Words, rooms
from evaluators.tilings import POLICIES, Library, Tiling, tilings
from evaluators.unrolled import Dataflow, Unrolled, product, room_for

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


class _Traffic(NamedTuple):
    """Elements between DRAM and scratchpads; partial sums go out and come back."""

    inputs: Array
    filters: Array
    spilled: Array


@dataclass(frozen=True, eq=False)
class _Setting:
    """What all members of the family have in common."""

    g: Layers
    a: Arrays
    how: Conventions
    u: Unrolled
    chip: OnChip
    registers: dict[str, Array]
    fixed_energy: Array

    def traffic(self, t: Tiling) -> _Traffic:
        g, least = self.g, self.chip.words.least
        return _Traffic(
            inputs=(g.G * g.N * g.C) * t.ifmap,
            filters=least["filters"] * t.filters,
            spilled=least["outputs"] * (t.passes - 1.0),
        )


class _Chosen(NamedTuple):
    """Places of the tiling and of what stays, from 0."""

    policy: Array
    stay: Array
    fits: Array


def spatial_costs(
    xp: Library,
    g: Layers,
    a: Arrays,
    dataflow: Dataflow,
    *,
    how: Conventions,
    objective: Objective,
    stays: tuple[Stay, ...] = tuple(Stay),
    members: int = len(POLICIES),
    given: bool = False,
) -> Costs:
    """Costs layers on spatial arrays, each under its best mapping; the two broadcast.

    Args:
        xp: numpy or torch.
        g: Layers.
        a: Accelerators, all of one dataflow.
        dataflow: That dataflow.
        how: What is assumed.
        objective: What the mapping is chosen for.
        stays: The on-chip members of the family that differ for these register files.
        members: How many of the off-chip members there are to choose from.
        given: Whether some layers name their mapping.
    """
    u = dataflow.lay_out(xp, g, a)
    room, smallest = room_for(xp, g, a, u)
    family = tilings(xp, room, lines_kept=how.lines_kept, members=members)
    words = Words.of(g, u, forwarded=dataflow.forwarded)
    steps = u.steps / g.speed
    window = u.trips["R"] * u.trips["S"] / u.taps
    if how.window_cycle:
        steps = steps * (window + 1.0) / window
    registers = {
        "filters": xp.floor(a.weight_rf / (g.weight_bits * u.taps)),
        "inputs": xp.floor(a.input_rf / (g.activation_bits * u.taps)),
        "outputs": xp.maximum(xp.floor(a.output_rf / g.sum_bits), xp.asarray(1.0)),
    }
    chip = OnChip(
        words=words,
        rates=_rates(g, a, u, how, steps),
        rooms=rooms(xp, registers, stays),
        window=window,
        steps=steps,
        stays=stays,
    )
    macs = words.least["outputs"] * (g.C * g.R * g.S)
    s = _Setting(g, a, how, u, chip, registers, macs * g.mac_energy)
    return _costs(xp, s, family, _best(xp, s, family, objective, given=given), smallest)


def _rates(g: Layers, a: Arrays, u: Unrolled, how: Conventions, steps: Array) -> Rates:
    reads = 0.0 if how.register_reads else 1.0
    filters = product(u.at_once, "NPQ") * (a.weight_rf_write + reads * a.weight_rf_read)
    inputs = product(u.at_once, "K") * (a.input_rf_write + reads * a.input_rf_read)
    outputs = a.ofmap_read + a.ofmap_write + a.output_rf_read + a.output_rf_write + 2.0 * a.noc
    # A load of all registers takes one cycle anyway: the step that it is for.
    hidden = 0.0 if how.fills_hidden else 1.0 / product(u.at_once, "GKCRS")
    filter_cycles = g.weight_bits / a.sram_bandwidth - hidden
    return Rates(
        energy={
            "filters": g.weight_bits * (a.filter_read + a.noc + (a.weight_rf > 0) * filters),
            "inputs": g.activation_bits * (a.ifmap_read + a.noc + (a.input_rf > 0) * inputs),
            "outputs": g.sum_bits * outputs,
        },
        cycles={
            "filters": filter_cycles * (filter_cycles > 0.0),
            "inputs": g.activation_bits / a.sram_bandwidth,
            "outputs": g.sum_bits / a.output_bandwidth,
        },
        waiting=0.0 * steps if how.fills_hidden else steps,
    )


def _dram_bits(s: _Setting, moved: _Traffic) -> Array:
    g = s.g
    return (
        (moved.inputs + s.chip.words.least["outputs"]) * g.activation_bits
        + moved.filters * g.weight_bits
        + moved.spilled * (2.0 * g.sum_bits)
    )


def _blend(xp: Library, one: Array, other: Array, overlap: float) -> Array:
    longer = xp.maximum(one, other)
    return longer if overlap == 1.0 else longer + (1.0 - overlap) * xp.minimum(one, other)


def _best(
    xp: Library, s: _Setting, family: list[Tiling], objective: Objective, *, given: bool
) -> _Chosen:
    """The best member of the family per layer and array, or the one that the layer names."""
    a, chip = s.a, s.chip
    timed = objective is not Objective.ENERGY
    joules = {x: (chip.words.always[x], chip.words.least[x]) for x in OPERANDS}
    joules = {x: tuple(n * chip.rates.energy[x] for n in ns) for x, ns in joules.items()}
    rates = chip.rates.cycles
    fill = s.g.activation_bits * (a.dram + a.ifmap_write)
    drain = s.g.weight_bits * (a.dram + a.filter_write)
    spill = s.g.sum_bits * (2.0 * a.dram + a.ofmap_read + a.ofmap_write)
    thirds = {stay: next(x for x in OPERANDS if x not in ROLES[stay]) for stay in chip.stays}
    nothing = 0.0 * chip.steps

    def never(met: Array) -> Array:
        return xp.where(met, NEVER, nothing)

    fixed = {
        stay: joules[third][0] + s.fixed_energy + never(s.registers[ROLES[stay][0]] < 1.0)
        for stay, third in thirds.items()
    }

    def port(operand: str, words: Array) -> Array:
        cycles = words * rates[operand]
        return chip.rates.waiting + cycles if operand == "filters" else cycles

    if timed:
        base = {
            stay: xp.maximum(chip.steps, port(third, chip.words.always[third]))
            for stay, third in thirds.items()
        }
    first = second = NEVER + nothing
    mapping = nothing
    for policy, t in enumerate(family):
        moved = s.traffic(t)
        misfit = xp.where(t.fits, nothing, NEVER)
        off_chip = moved.inputs * fill + moved.filters * drain + moved.spilled * spill + misfit
        tiles, limits = chip.tiles(t), chip.limits(t)
        still = {x: off_chip + joules[x][1] * tiles[x] for x in OPERANDS}
        if timed:
            dram_time = _dram_bits(s, moved) / (_BYTE * a.dram_bandwidth)
            still_cycles = {x: port(x, chip.words.least[x] * tiles[x]) for x in OPERANDS}
        for stay in chip.stays:
            held, served = ROLES[stay]
            block = xp.minimum(chip.rooms[stay], limits[served])
            main = still[held] + joules[served][0] / block + fixed[stay]
            number = float(policy * len(Stay) + stay)
            if given:
                other = (s.g.tiling != 0.0) & (s.g.tiling != policy + 1.0)
                main = main + never(other | ((s.g.stay != 0.0) & (s.g.stay != stay + 1.0)))
            if timed:
                busy = xp.maximum(base[stay], port(served, chip.words.always[served] / block))
                busy = xp.maximum(busy, still_cycles[held]) / a.clock
                seconds = _blend(xp, busy, dram_time, s.how.overlap)
                if objective is Objective.EDP:
                    main = main * seconds
                else:
                    energy, main = main, seconds + never(main >= _REAL)
                    better = (main < first) | ((main == first) & (energy < second))
                    second = xp.where(better, energy, second)
                    first = xp.minimum(first, main)
                    mapping = xp.where(better, number, mapping)
                    continue
            mapping = xp.where(main < first, number, mapping)
            first = xp.minimum(first, main)
    policy_of = xp.floor(mapping / len(Stay))
    return _Chosen(policy_of, mapping - policy_of * len(Stay), first < _REAL)


def _pick(xp: Library, which: Array, options: list[Array]) -> Array:
    picked = options[0]
    for number, option in enumerate(options[1:], start=1):
        if option is not picked:
            picked = xp.where(which == number, option, picked)
    return picked


def _mapped(
    xp: Library, s: _Setting, family: list[Tiling], chosen: _Chosen
) -> tuple[Moved, _Traffic]:
    """What moves under the mappings that were chosen."""
    t = Tiling(
        **{
            name: _pick(xp, chosen.policy, [getattr(member, name) for member in family])
            for name in vars(family[0])
        }
    )
    moved = {stay: s.chip.moved(xp, stay, t) for stay in s.chip.stays}
    some = moved[s.chip.stays[0]]
    options = zip(*(moved.get(stay, some) for stay in Stay), strict=True)
    return Moved(*(_pick(xp, chosen.stay, list(each)) for each in options)), s.traffic(t)


def _costs(
    xp: Library,
    s: _Setting,
    family: list[Tiling],
    chosen: _Chosen,
    smallest: tuple[Array, Array, Array],
) -> Costs:
    g, a, least = s.g, s.a, s.chip.words.least
    m, dram = _mapped(xp, s, family, chosen)
    cycles = s.chip.cycles(xp, m) + xp.ceil(g.vector_outputs / a.columns) * g.vector_window
    ifmap_bits = (dram.inputs + g.vector_inputs) * g.activation_bits
    filter_bits = (dram.filters + g.vector_weights) * g.weight_bits
    spilled_bits = dram.spilled * g.sum_bits
    result_bits = (least["outputs"] + g.vector_outputs) * g.activation_bits
    ofmap_bits = result_bits + 2.0 * spilled_bits
    traffic = ifmap_bits + filter_bits + ofmap_bits

    sram_ifmap = (m.inputs + g.vector_reads) * g.activation_bits
    sram_filter = (m.filters + g.vector_weights) * g.weight_bits
    # Sums leave for every tile of channels, and come back all but the first time.
    back = (m.outputs - least["outputs"]) * g.sum_bits
    sram = (
        sram_ifmap * a.ifmap_read
        + ifmap_bits * a.ifmap_write
        + sram_filter * a.filter_read
        + filter_bits * a.filter_write
        + (result_bits + back + spilled_bits) * (a.ofmap_read + a.ofmap_write)
    )
    register = _register_energy(s, m)
    compute_time, dram_time = cycles / a.clock, traffic / (_BYTE * a.dram_bandwidth)
    latency = _blend(xp, compute_time, dram_time, s.how.overlap)
    noc = (sram_ifmap + sram_filter + result_bits + 2.0 * back) * a.noc
    energy_dram = traffic * a.dram
    energy = s.fixed_energy + register + noc + sram + energy_dram
    nothing = 0.0 * cycles
    real = (g.G > 0.0) * 1.0
    lacks = [
        xp.maximum(bits - has, nothing) * (real / _BYTE)
        for bits, has in zip(smallest, (a.ifmap_bits, a.filter_bits, a.ofmap_bits), strict=True)
    ]
    return Costs(
        macs=least["outputs"] * (g.C * g.R * g.S) + nothing,
        cycles=cycles,
        compute_time=compute_time,
        dram_time=dram_time,
        latency=latency,
        sram_ifmap=sram_ifmap / _BYTE,
        sram_filter=sram_filter / _BYTE,
        sram_ofmap=(result_bits + 2.0 * back) / _BYTE,
        dram_ifmap=ifmap_bits / _BYTE,
        dram_filter=filter_bits / _BYTE,
        dram_ofmap=ofmap_bits / _BYTE,
        dram_bytes=traffic / _BYTE,
        energy_mac=s.fixed_energy + nothing,
        energy_register=register,
        energy_noc=noc,
        energy_sram=sram,
        energy_dram=energy_dram,
        energy_leakage=nothing,
        power=energy / xp.where(latency > 0.0, latency, 1.0 + nothing),
        lacks_ifmap=lacks[0],
        lacks_filter=lacks[1],
        lacks_ofmap=lacks[2],
        unfit=xp.where(chosen.fits, nothing, real + nothing),
        tiling=xp.where(chosen.fits, chosen.policy + 1.0, nothing),
        stay=xp.where(chosen.fits, chosen.stay + 1.0, nothing),
    )


def _register_energy(s: _Setting, m: Moved) -> Array:
    """Register files: filled when operands arrive, read by every MAC (or when they change)."""
    g, a, u, words = s.g, s.a, s.u, s.chip.words
    macs = words.least["outputs"] * (g.C * g.R * g.S * g.work)
    filters = m.filters * product(u.at_once, "NPQ")
    inputs = m.inputs * product(u.at_once, "K")
    every = s.how.register_reads
    return (
        (a.weight_rf > 0)
        * g.weight_bits
        * (filters * a.weight_rf_write + (macs if every else filters) * a.weight_rf_read)
        + (a.input_rf > 0)
        * g.activation_bits
        * (inputs * a.input_rf_write + (macs if every else inputs) * a.input_rf_read)
        + g.sum_bits
        * (
            words.always["outputs"] * (a.output_rf_read + a.output_rf_write)
            + m.outputs * a.output_rf_read
            + (m.outputs - words.least["outputs"]) * a.output_rf_write
        )
    )
