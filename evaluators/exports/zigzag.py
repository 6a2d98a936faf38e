"""Accelerators, mappings and workloads of ZigZag.

The formats are those that ZigZag 3.9.1 (PyPI ``zigzag-dse``) reads and checks
(``zigzag/parser/*_validator.py``). Run it with ``zigzag.api.get_hardware_performance_zigzag``
(workload.yaml, accelerator.yaml, mapping.yaml).

Only the spatial mapping is given; ZigZag searches the temporal one. Energies are pJ from one of our
technologies; sizes are bits, bandwidths bits per cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, ClassVar, Final

import numpy as np

from evaluators import technology as technologies
from evaluators.exports.arrays import Array, array_of
from evaluators.exports.nests import OPERANDS, RELEVANT, Nest, nests_of
from evaluators.exports.texts import yaml_text
from evaluators.exports.unrolling import steps, unroll
from evaluators.pe import PES
from evaluators.technology import Curve, Technology
from hwnas.design import Design, Operator
from hwnas.design.export import Export, Exported, ExportedLayer

_LOOPS: Final[Mapping[str, str]] = {
    "N": "B", "G": "G", "K": "K", "C": "C", "P": "OY", "Q": "OX", "R": "FY", "S": "FX",
}  # fmt: skip
_OPERATORS: Final[Mapping[Operator, str]] = {
    Operator.CONVOLUTION: "Conv",
    Operator.LINEAR: "Gemm",
    Operator.MATMUL: "Gemm",
}
_MEMORIES: Final[Mapping[str, str]] = {"weights": "I2", "inputs": "I1", "outputs": "O"}
_LINKS: Final = {"O": "O", "W": "I2", "I": "I1"}
_EQUATION: Final = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
_BYTE: Final = 8
_DRAM_BITS: Final = 10**12
"""So many that every network fits."""


class ZigZag(Export):
    """ZigZag 3.9.1: accelerator, spatial mapping and workload, with the bits of every layer.

    Args:
        technology: The table of energies, e.g. ``aladdin40``.

    Raises:
        PluginError: There is no technology of that name.
    """

    name: ClassVar[str] = "zigzag"

    def __init__(self, technology: str = "aladdin40") -> None:
        self.technology = technologies.load(technology)

    def files(self, design: Design) -> Exported:
        """Accelerator, mapping (one entry per layer) and workload.

        Raises:
            DesignError: The accelerator is of no known template, or no layer multiplies.
        """
        array = array_of(design, "ZigZag")
        nests, notes = nests_of(design, "ZigZag")
        return Exported(
            files={
                f"{name}.yaml": yaml_text(values)
                for name, values in contents(array, nests, self.technology).items()
            },
            notes=(*notes, *array.pe_note(), *_notes(array, nests)),
            layers=tuple(ExportedLayer(nest.name, nest.row, 1) for nest in nests),
        )


def contents(
    array: Array,
    nests: tuple[Nest, ...],
    costs: Technology,
    built: tuple[Nest, ...] | None = None,
) -> dict[str, Any]:
    """What the files of some layers on an array made in a technology say: name to values.

    Args:
        array: The accelerator.
        nests: The layers.
        costs: The technology.
        built: The layers that its elements are wide enough for; these, if left out.
    """
    return {
        "accelerator": _accelerator(array, nests, costs, nests if built is None else built),
        "mapping": _mappings(array, nests),
        "workload": [_layer(i, nest) for i, nest in enumerate(nests)],
    }


def _layer(place: int, nest: Nest) -> dict[str, Any]:
    return {
        "id": place,
        "name": nest.name,
        "operator_type": _OPERATORS[nest.operator],
        "equation": _EQUATION,
        "dimension_relations": [f"ix={nest.stride}*ox+1*fx", f"iy={nest.stride}*oy+1*fy"],
        "loop_dims": list(_LOOPS.values()),
        "loop_sizes": [nest.sizes[loop] for loop in _LOOPS],
        "operand_precision": {
            "W": nest.weight_bits,
            "I": nest.activation_bits,
            "O": nest.sum_bits,
            "O_final": nest.activation_bits,
        },
        # Its own number: both operands come from DRAM, not from another layer.
        "operand_source": {"W": place, "I": place},
    }


def _mappings(array: Array, nests: tuple[Nest, ...]) -> list[dict[str, Any]]:
    whole = {
        f"D{place}": [f"{_LOOPS[axis.loops[0][0]]}, {axis.size}"]
        for place, axis in enumerate(array.axes, 1)
    }
    entries = [{"name": "default", "spatial_mapping": whole, "memory_operand_links": dict(_LINKS)}]
    for nest in nests:
        spatial = {
            f"D{place}": [f"{_LOOPS[loop]}, {factor}" for loop, factor in _used(factors)]
            for place, factors in enumerate(unroll(nest, array), 1)
        }
        entries.append(
            {"name": nest.name, "spatial_mapping": spatial, "memory_operand_links": dict(_LINKS)}
        )
    return entries


def _used(factors: Mapping[str, int]) -> list[tuple[str, int]]:
    """The loops that are unrolled; one of them at least, as ZigZag fills what is empty."""
    used = [(loop, factor) for loop, factor in factors.items() if factor > 1]
    return used or list(factors.items())[:1]


def _accelerator(
    array: Array, nests: tuple[Nest, ...], costs: Technology, built: tuple[Nest, ...]
) -> dict[str, Any]:
    widest = widest_of(nests)
    dimensions = [f"D{place}" for place in range(1, len(array.axes) + 1)]
    memories: dict[str, Any] = {}
    for operand in OPERANDS:
        if _registers(array, operand):
            memories[f"register_{operand}"] = _register(array, operand, widest[operand], costs)
    for operand in OPERANDS:
        memories[f"scratchpad_{operand}"] = _scratchpad(array, operand, widest, costs)
    memories["dram"] = _dram(array, costs)
    weight, activation, total = (np.array(float(widest[operand])) for operand in OPERANDS)
    most = widest_of(built)
    widths = (np.array(float(most[operand])) for operand in OPERANDS)
    widest_weight, widest_activation, widest_sum = widths
    product = PES[array.pe].energy_per_mac(
        weight, activation, total, widest_weight, widest_activation, widest_sum, costs
    )
    accelerator: dict[str, Any] = {
        "name": f"{array.template}_{array.dataflow}".replace("|", "_"),
        "memories": memories,
        "operational_array": {
            "unit_energy": _picojoules(float(product)),
            "unit_area": 1.0,
            "dimensions": dimensions,
            "sizes": [axis.size for axis in array.axes],
        },
    }
    if array.systolic:
        accelerator["operational_array"]["systolic_dimensions"] = dimensions
    return accelerator


def _registers(array: Array, operand: str) -> bool:
    """Whether an operand has registers of its own: what stays, sums, and all that are given."""
    if array.systolic:
        return operand in (array.held, "outputs")
    return operand == "outputs" or array.registers[operand] > 0


def _register(array: Array, operand: str, bits: int, costs: Technology) -> dict[str, Any]:
    """The registers of an operand: one set per element, or per sum where elements add up."""
    served = []
    if operand == "outputs" and array.held != "outputs":
        served = [
            f"D{place}"
            for place, axis in enumerate(array.axes, 1)
            if not any(loop in RELEVANT["outputs"] for loops in axis.loops for loop in loops)
        ]
    size = array.registers[operand]
    # A latch in a systolic array costs when it is written; a register file both ways; where there
    # is none, sums pass through one that is free.
    read, write = 0.0, costs.register.energy
    if not array.systolic:
        curves = (costs.rf_read, costs.rf_write)
        read, write = (_of_size(curve, size) if size else 0.0 for curve in curves)
    return {
        "size": max(size * _BYTE, bits),
        "r_cost": _picojoules(read * bits),
        "w_cost": _picojoules(write * bits),
        "area": 0.0,
        "latency": 1,
        "operands": [_MEMORIES[operand]],
        "ports": _ports(operand, bits, bits, apart=True),
        "served_dimensions": served,
    }


def _scratchpad(
    array: Array, operand: str, widest: Mapping[str, int], costs: Technology
) -> dict[str, Any]:
    size = array.scratchpads[operand]
    width = _width(array, operand, widest[operand])
    # Into the array: what is read, and of sums what is written (what comes back is not told from
    # what leaves for DRAM).
    wires = 0.0 if array.systolic else costs.noc
    read, write = (0.0, wires) if operand == "outputs" else (wires, 0.0)
    return {
        "size": size * _BYTE,
        "r_cost": _picojoules((_of_size(costs.sram_read, size) + read) * width),
        "w_cost": _picojoules((_of_size(costs.sram_write, size) + write) * width),
        "area": 0.0,
        "latency": 1,
        "operands": [_MEMORIES[operand]],
        "ports": _ports(operand, _BYTE, width, apart=False),
        "served_dimensions": [f"D{place}" for place in range(1, len(array.axes) + 1)],
        # Half of it works while the other half is filled.
        "force_double_buffering": True,
    }


def _width(array: Array, operand: str, bits: int) -> int:
    """Bits per cycle of a scratchpad's port, whole bytes.

    A systolic array takes one element per row or column and cycle: along the axes where the
    operand changes or, where it is loaded to stay, row by row.
    """
    port = array.port(operand)
    if port is not None:
        return max(_BYTE, int(port * _BYTE))
    changing = [
        axis.size
        for axis in array.axes
        if any(loop in RELEVANT[operand] for loops in axis.loops for loop in loops)
    ]
    elements = changing[-1] if operand in (array.held, "outputs") else prod(changing)
    return -(-elements * bits // _BYTE) * _BYTE


def _dram(array: Array, costs: Technology) -> dict[str, Any]:
    width = array.dram_bits_per_cycle
    energy = _picojoules(costs.dram_energy * width)
    inputs = [f"{name}, {way}" for name in ("I1", "I2") for way in ("fh", "tl")]
    outputs = [f"O, {way}" for way in ("fh", "tl", "fl", "th")]
    return {
        "size": _DRAM_BITS,
        "r_cost": energy,
        "w_cost": energy,
        "area": 0.0,
        "latency": 1,
        "operands": ["I1", "I2", "O"],
        "ports": [_port("rw", 1, "read_write", (min(_BYTE, width), width), [*inputs, *outputs])],
        "served_dimensions": [f"D{place}" for place in range(1, len(array.axes) + 1)],
    }


def _ports(operand: str, least: int, most: int, *, apart: bool) -> list[dict[str, Any]]:
    """Ports of one memory: read and write; for sums, if ``apart``, two of each."""
    name = _MEMORIES[operand]
    reads, writes = [f"{name}, tl"], [f"{name}, fh"]
    if operand == "outputs":
        reads, writes = [*reads, f"{name}, th"], [*writes, f"{name}, fl"]
    widths = (least, most)
    if apart:
        return [
            *(_port("r", i, "read", widths, [way]) for i, way in enumerate(reads, 1)),
            *(_port("w", i, "write", widths, [way]) for i, way in enumerate(writes, 1)),
        ]
    return [_port("r", 1, "read", widths, reads), _port("w", 1, "write", widths, writes)]


def _port(
    short: str, number: int, kind: str, widths: tuple[int, int], ways: list[str]
) -> dict[str, Any]:
    return {
        "name": f"{short}_port_{number}",
        "type": kind,
        "bandwidth_min": widths[0],
        "bandwidth_max": widths[1],
        "allocation": ways,
    }


def _of_size(curve: Curve, size: int) -> float:
    return float(curve(np.array([size]))[0])


def _picojoules(joules: float) -> float:
    return float(f"{joules * 1e12:.6g}")


def paced(array: Array, nest: Nest, built: tuple[Nest, ...]) -> tuple[Array, float]:
    """An array whose cycle is one MAC of an element, as ZigZag has it.

    Args:
        array: The accelerator.
        nest: The layer.
        built: The layers that its elements are wide enough for.

    Returns:
        It, with as many cycles per second, and how many of ours one of them takes: bits for serial
        elements, a fraction for composable ones with narrow operands.
    """
    most = widest_of(built)
    bits = (nest.weight_bits, nest.activation_bits, most["weights"], most["inputs"])
    speed = float(PES[array.pe].macs_per_cycle(*(np.array(float(b)) for b in bits)))
    width = array.scratchpad_bandwidth
    per_cycle = None if width is None else width / speed
    return replace(array, clock=array.clock * speed, scratchpad_bandwidth=per_cycle), 1.0 / speed


def widest_of(nests: tuple[Nest, ...]) -> dict[str, int]:
    """Operand to the most bits that it has in some layers; partial sums for the outputs."""
    return {operand: max(nest.bits(operand) for nest in nests) for operand in OPERANDS}


def _notes(array: Array, nests: tuple[Nest, ...]) -> tuple[str, ...]:
    notes = [
        "ZigZag's MACs cost the same at all bits: the energy given is that of the widest.",
        "ZigZag searches the temporal mapping itself, and moves whole bytes.",
        *array.bandwidth_note(),
    ]
    single = [n.name for n in nests if prod(steps(n, unroll(n, array)).values()) == 1]
    if single:
        notes.append(
            "ZigZag 3.9.1 stops when it draws layers of a single step: " + ", ".join(single) + "."
        )
    if array.systolic:
        more = [_more_steps(nest, array) for nest in nests]
        slower = [
            f"{nest.name} x {share:.3g}"
            for nest, share in zip(nests, more, strict=True)
            if share > 1.0
        ]
        notes.append(
            "ZigZag adds the drain of the array once per layer; ours fills and drains per fold."
        )
        if slower:
            notes.append(
                "ZigZag unrolls whole loops where im2col cuts their product anywhere; steps "
                "against ours: " + ", ".join(slower) + "."
            )
    else:
        narrow = [
            operand
            for operand in OPERANDS
            if _registers(array, operand)
            and array.registers[operand] * _BYTE < max(nest.bits(operand) for nest in nests)
        ]
        if array.dataflow == "row_stationary":
            notes.append(
                "Sums that a row-stationary element hands up take no cycle there, and every MAC "
                "reads and writes a sum."
            )
        if narrow:
            notes.append("Registers are widened to hold one element: " + ", ".join(narrow) + ".")
    return tuple(notes)


def _more_steps(nest: Nest, array: Array) -> float:
    """Steps there against those of an array that cuts the products of loops anywhere."""
    there = prod(steps(nest, unroll(nest, array)).values())
    unrolled = [[loop for loops in axis.loops for loop in loops] for axis in array.axes]
    folds = prod(
        -(-prod(nest.sizes[loop] for loop in loops) // axis.size)
        for loops, axis in zip(unrolled, array.axes, strict=True)
    )
    along = {loop for loops in unrolled for loop in loops}
    return there / (folds * prod(size for loop, size in nest.sizes.items() if loop not in along))
