"""Architectures, problems and mappings of Timeloop.

Timeloop could not be run here. The formats follow its documentation for version 3
(timeloop.csail.mit.edu, "timeloop-accelergy-v3": architecture 0.2, problem, mapping), with the
problem shape of the exercises plus a loop G for groups. A layer is run with

    timeloop-model architectures/w8a8.yaml problems/conv000.yaml mappings/conv000.yaml

where ``layers.csv`` says which architecture belongs to a layer: Timeloop has one word length per
memory, so there is one architecture per pair of bit widths. Loops are padded to whole multiples of
what the array unrolls; the product of the temporal factors is then the number of steps.

The mapping is one that fits, not the best one: the array first, then registers, then as much as
half of each scratchpad holds, and the rest at DRAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Final

from evaluators.exports.arrays import Array, array_of
from evaluators.exports.nests import LOOPS, OPERANDS, Nest, nests_of
from evaluators.exports.texts import yaml_text
from evaluators.exports.unrolling import spatial, steps, unroll
from hwnas.design import Design
from hwnas.design.export import Export, Exported, ExportedLayer

_BYTE: Final = 8
_NAMES: Final = {"weights": "Weights", "inputs": "Inputs", "outputs": "Outputs"}
_INNER_TO_OUTER: Final = {"weights": "QPNSRCKG", "inputs": "KSRCQPNG", "outputs": "SRCQPNKG"}
"""By what stays: its own loops come last, so that it changes least often."""
_FILLED_FIRST: Final = "SRCQPKNG"
"""The loops that a memory takes in first."""

_SHAPE: Final = {
    "name": "grouped-convolution",
    "dimensions": list(LOOPS),
    "coefficients": [
        {"name": name, "default": 1} for name in ("Wstride", "Hstride", "Wdilation", "Hdilation")
    ],
    "data-spaces": [
        {"name": "Weights", "projection": [[["G"]], [["K"]], [["C"]], [["R"]], [["S"]]]},
        {
            "name": "Inputs",
            "projection": [
                [["N"]],
                [["G"]],
                [["C"]],
                [["R", "Hdilation"], ["P", "Hstride"]],
                [["S", "Wdilation"], ["Q", "Wstride"]],
            ],
        },
        {
            "name": "Outputs",
            "projection": [[["N"]], [["G"]], [["K"]], [["P"]], [["Q"]]],
            "read-write": True,
        },
    ],
}


class Timeloop(Export):
    """Timeloop, version 3: architectures, one problem and one mapping per layer."""

    name: ClassVar[str] = "timeloop"

    def files(self, design: Design) -> Exported:
        """Architectures (one per pair of bit widths), problems, mappings and ``layers.csv``.

        Raises:
            DesignError: The accelerator is of no known template, or no layer multiplies.
        """
        array = array_of(design, "Timeloop")
        nests, notes = nests_of(design, "Timeloop")
        sums = max(nest.sum_bits for nest in nests)
        files: dict[str, str] = {}
        rows = ["layer,row,architecture,MACs,MACs with padding"]
        padded, crowded = [], []
        for nest in nests:
            tiling = _tile(nest, array, sums)
            chip = f"w{nest.weight_bits}a{nest.activation_bits}"
            files[f"architectures/{chip}.yaml"] = yaml_text(
                {"architecture": _architecture(array, nest, nests, sums)}
            )
            files[f"problems/{nest.name}.yaml"] = yaml_text(_problem(nest, tiling.padded))
            files[f"mappings/{nest.name}.yaml"] = yaml_text({"mapping": _mapping(tiling)})
            macs = prod(tiling.padded.values())
            rows.append(f"{nest.name},{nest.row},{chip},{nest.macs},{macs}")
            if macs > nest.macs:
                padded.append(f"{nest.name} x {macs / nest.macs:.4g}")
            if tiling.crowded:
                crowded.append(f"{nest.name} ({', '.join(tiling.crowded)})")
        files["layers.csv"] = "\n".join(rows) + "\n"
        return Exported(
            files=files,
            notes=(*notes, *array.pe_note(), *_notes(array, padded, crowded)),
            layers=tuple(ExportedLayer(nest.name, nest.row, 1) for nest in nests),
        )


@dataclass(frozen=True)
class _Tiling:
    """Where the factors of each loop lie; all of them multiply to the padded size.

    Attributes:
        axes: Loop to factor per axis of the array.
        registers: Loop to factor in a processing element.
        scratchpads: Loop to factor from the scratchpads.
        dram: Loop to factor from DRAM.
        padded: Loop to padded size.
        held: What stays.
        crowded: Memories that cannot hold one load of the array.
    """

    axes: tuple[dict[str, int], ...]
    registers: dict[str, int]
    scratchpads: dict[str, int]
    dram: dict[str, int]
    padded: dict[str, int]
    held: str
    crowded: tuple[str, ...]


def _tile(nest: Nest, array: Array, sums: int) -> _Tiling:
    axes = unroll(nest, array)
    along, left = spatial(axes), steps(nest, axes)
    padded = {loop: along[loop] * left[loop] for loop in LOOPS}
    bits = {operand: sums if operand == "outputs" else nest.bits(operand) for operand in OPERANDS}
    rooms = {o: max(1, array.registers[o] * _BYTE // bits[o]) for o in OPERANDS}
    registers = _fill(nest, dict.fromkeys(LOOPS, 1), left, rooms)
    left = {loop: left[loop] // registers[loop] for loop in LOOPS}
    base = {loop: along[loop] * registers[loop] for loop in LOOPS}
    halves = {o: array.scratchpads[o] * _BYTE // 2 // bits[o] for o in OPERANDS}
    scratchpads = _fill(nest, base, left, halves)
    return _Tiling(
        axes=axes,
        registers=registers,
        scratchpads=scratchpads,
        dram={loop: left[loop] // scratchpads[loop] for loop in LOOPS},
        padded=padded,
        held=array.held,
        crowded=tuple(o for o in OPERANDS if nest.elements(o, base) > halves[o]),
    )


def _fill(
    nest: Nest, base: Mapping[str, int], left: Mapping[str, int], rooms: Mapping[str, int]
) -> dict[str, int]:
    """Of each loop in turn the largest divisor that is left with which all operands fit.

    Args:
        nest: The layer.
        base: Loop to what lies below.
        left: Loop to what is left to lay out.
        rooms: Operand to elements that there is room for.
    """
    taken = dict.fromkeys(LOOPS, 1)
    for loop in _FILLED_FIRST:
        size = left[loop]
        for factor in (size // n for n in range(1, size + 1) if size % n == 0):
            tile = {name: base[name] * taken[name] for name in LOOPS}
            tile[loop] *= factor
            if all(nest.elements(operand, tile) <= rooms[operand] for operand in OPERANDS):
                taken[loop] = factor
                break
    return taken


def _problem(nest: Nest, padded: Mapping[str, int]) -> dict[str, Any]:
    coefficients = {
        "Wstride": nest.stride,
        "Hstride": nest.stride,
        "Wdilation": 1,
        "Hdilation": 1,
    }
    return {"problem": {"shape": _SHAPE, "instance": {**padded, **coefficients}}}


def _mapping(tiling: _Tiling) -> list[dict[str, Any]]:
    one = dict.fromkeys(LOOPS, 1)
    order = _INNER_TO_OUTER[tiling.held]
    temporal = {
        "DRAM": tiling.dram,
        "WeightsBuffer": one,
        "InputsBuffer": one,
        "OutputsBuffer": tiling.scratchpads,
        "WeightsRegister": one,
        "InputsRegister": one,
        "OutputsRegister": tiling.registers,
    }
    directives: list[dict[str, Any]] = []
    for target, factors in temporal.items():
        directives.append(_directive(target, "temporal", factors, order))
        if target == "OutputsBuffer":
            # Rows lie along Y, columns and depth along X; X has the first loops of the order.
            rows = tiling.axes[0]
            across = "".join(loop for loop in LOOPS if loop not in rows)
            spread = _directive(target, "spatial", spatial(tiling.axes), across + "".join(rows))
            directives.append({**spread, "split": len(across)})
    for operand in OPERANDS:
        name = _NAMES[operand]
        others = [other for other in _NAMES.values() if other != name]
        directives += [
            {"target": f"{name}{kind}", "type": "bypass", "keep": [name], "bypass": others}
            for kind in ("Buffer", "Register")
        ]
    return directives


def _directive(target: str, kind: str, factors: Mapping[str, int], order: str) -> dict[str, Any]:
    return {
        "target": target,
        "type": kind,
        "factors": " ".join(f"{loop}={factors[loop]}" for loop in LOOPS),
        "permutation": order,
    }


def _architecture(array: Array, nest: Nest, nests: tuple[Nest, ...], sums: int) -> dict[str, Any]:
    bits = {"weights": nest.weight_bits, "inputs": nest.activation_bits, "outputs": sums}
    mesh = prod(axis.size for axis in array.axes[1:])
    widest = max(max(n.weight_bits, n.activation_bits) for n in nests)
    word = max(nest.weight_bits, nest.activation_bits)
    dram = {
        "name": "DRAM",
        "class": "DRAM",
        "attributes": {
            "width": word,
            "block-size": 1,
            "word-bits": word,
            "shared_bandwidth": _round(array.dram_bandwidth * _BYTE / array.clock / word),
        },
    }
    chip = {
        "name": "Chip",
        "attributes": {"technology": "45nm", "global_cycle_seconds": 1.0 / array.clock},
        "local": [_buffer(array, operand, bits[operand]) for operand in OPERANDS],
        "subtree": [
            {
                "name": f"PE[0..{array.pes - 1}]",
                "local": [
                    *(_register(array, operand, bits[operand], mesh) for operand in OPERANDS),
                    {
                        "name": "MAC",
                        "class": "intmac",
                        "attributes": {"datawidth": widest, "meshX": mesh},
                    },
                ],
            }
        ],
    }
    system = {"name": "System", "local": [dram], "subtree": [chip]}
    return {"version": 0.2, "subtree": [system]}


def _buffer(array: Array, operand: str, bits: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "depth": max(1, array.scratchpads[operand] * _BYTE // bits),
        "width": bits,
        "block-size": 1,
        "word-bits": bits,
        "multiple-buffering": 2.0,
    }
    port = array.port(operand)
    if port is not None:
        words = _round(port * _BYTE / bits)
        attributes |= {"read_bandwidth": words, "write_bandwidth": words}
    return {"name": f"{_NAMES[operand]}Buffer", "class": "SRAM", "attributes": attributes}


def _register(array: Array, operand: str, bits: int, mesh: int) -> dict[str, Any]:
    return {
        "name": f"{_NAMES[operand]}Register",
        "class": "regfile",
        "attributes": {
            "depth": max(1, array.registers[operand] * _BYTE // bits),
            "width": bits,
            "block-size": 1,
            "word-bits": bits,
            "meshX": mesh,
        },
    }


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _notes(array: Array, padded: list[str], crowded: list[str]) -> tuple[str, ...]:
    notes = [
        "Timeloop was not run: the files follow the documentation of its version 3.",
        "Timeloop has one word length per memory: there is an architecture per pair of bit widths, "
        "with multipliers for the widest; DRAM has words of the wider of the two.",
        "The mapping fits but is not the best one: timeloop-mapper finds better ones.",
        "Timeloop counts no fill and drain of the array.",
    ]
    if padded:
        notes.append(
            "Loops are padded to multiples of what the array unrolls; MACs there against ours: "
            + ", ".join(padded)
            + "."
        )
    if crowded:
        notes.append(
            "Half a scratchpad cannot hold one load of the array, which Timeloop will refuse: "
            + ", ".join(crowded)
            + "."
        )
    if array.systolic:
        notes.append("Every element has one register per operand: Timeloop does not pass them on.")
    return tuple(notes)
