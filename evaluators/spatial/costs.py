"""What layers cost on a spatial array: the pure core, struct of arrays in and out.

Counting follows ZigZag (Mei et al., IEEE TC 2021): an operand moves between two levels as often as
the loops outside change it; loops innermost that it does not depend on keep it where it is. The
family of mappings is the product of `tilings` (off chip) and `stays` (on chip): one more axis, over
which the best is taken per layer, as Marvel separates the two (Chatarasi et al., arXiv 2002.07752).

Everything broadcasts: layers ``(L, 1)`` (or ``(L, n)``) against accelerators ``(n,)``; float64.
``xp`` is numpy or torch, so that large batches may be compiled.
"""

from __future__ import annotations

from typing import Final

from evaluators.spatial.mapping_choice import (
    Chosen,
    Conventions,
    Objective,
    Setting,
    Traffic,
    best,
    blend,
)
from evaluators.spatial.rows import Array, Arrays, Costs, Layers
from evaluators.spatial.stays import Moved, OnChip, Rates, Stay, Words, rooms
from evaluators.spatial.tilings import POLICIES, Library, Tiling, tilings
from evaluators.spatial.unrolled import Dataflow, Unrolled, product, room_for

_BYTE: Final = 8.0


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
    steps = u.steps / g.speed + u.handing
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
    s = Setting(g, a, how, u, chip, registers, macs * g.mac_energy)
    return _costs(xp, s, family, best(xp, s, family, objective, given=given), smallest)


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


def _pick(marks: list[Array], options: list[Array]) -> Array:
    """One of some options each: marks are 1 at the one that is wanted, else 0."""
    if all(option is options[0] for option in options):
        return options[0]
    picked = marks[0] * options[0]
    for mark, option in zip(marks[1:], options[1:], strict=True):
        picked = picked + mark * option
    return picked


def _mapped(xp: Library, s: Setting, family: list[Tiling], chosen: Chosen) -> tuple[Moved, Traffic]:
    """What moves under the mappings that were chosen."""
    marks = [(chosen.tiling == number) * 1.0 for number in range(len(family))]
    t = Tiling(
        **{
            name: _pick(marks, [getattr(member, name) for member in family])
            for name in vars(family[0])
        }
    )
    stays = s.chip.stays
    moved = [s.chip.moved(xp, stay, t) for stay in stays]
    marks = [(chosen.stay == stay.value) * 1.0 for stay in stays]
    return Moved(*(_pick(marks, list(each)) for each in zip(*moved, strict=True))), s.traffic(t)


def _costs(
    xp: Library,
    s: Setting,
    family: list[Tiling],
    chosen: Chosen,
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
    latency = blend(xp, compute_time, dram_time, s.how.overlap)
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
        busy=least["outputs"] * (g.C * g.R * g.S) * (g.work / g.speed) + nothing,
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
        tiling=xp.where(chosen.fits, chosen.tiling + 1.0, nothing),
        stay=xp.where(chosen.fits, chosen.stay + 1.0, nothing),
    )


def _register_energy(s: Setting, m: Moved) -> Array:
    """Register files: filled when operands arrive, read by every MAC (or when they change)."""
    g, a, u, words = s.g, s.a, s.u, s.chip.words
    macs = words.least["outputs"] * (g.C * g.R * g.S)
    filters = m.filters * product(u.at_once, "NPQ")
    inputs = m.inputs * product(u.at_once, "K")
    every = s.how.register_reads
    return (
        (a.weight_rf > 0)
        * g.weight_bits
        * (filters * a.weight_rf_write + (macs if every else filters) * a.weight_rf_read)
        + (a.input_rf > 0)
        * g.activation_bits
        * (inputs * a.input_rf_write + (macs * g.work if every else inputs) * a.input_rf_read)
        + g.sum_bits
        * (
            words.always["outputs"] * (a.output_rf_read + a.output_rf_write)
            + m.outputs * a.output_rf_read
            + (m.outputs - words.least["outputs"]) * a.output_rf_write
        )
    )
