"""Exports for ZigZag: workloads, mappings and memories."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from evaluators import technology as technologies
from evaluators.exports.nests import nests_of
from evaluators.exports.zigzag import ZigZag
from hwnas.design.export import export
from tests.exported_designs import ALL, SYSTOLIC, design_of, spatial, systolic
from tests.exported_files import accounted, expected, parse


@pytest.mark.parametrize("dataflow", ALL)
def test_zigzag_workloads_and_mappings(dataflow):
    design = design_of(dataflow)
    exported = export(design, "zigzag")
    layers = parse(exported.files["workload.yaml"])
    assert [layer["name"] for layer in layers] == [layer.name for layer in exported.layers]
    macs = {layer["name"]: math.prod(layer["loop_sizes"]) for layer in layers}
    assert accounted(exported, macs) == expected(design)
    assert [layer["operand_precision"]["W"] for layer in layers] == [4, 8, 8, 3, 2, 8]
    chip = parse(exported.files["accelerator.yaml"])
    axes = dict(
        zip(
            chip["operational_array"]["dimensions"], chip["operational_array"]["sizes"], strict=True
        )
    )
    mappings = {entry["name"]: entry for entry in parse(exported.files["mapping.yaml"])}
    assert set(mappings) == {"default", *macs}
    for layer in layers:
        assert layer["dimension_relations"][1].startswith(
            f"iy={design.layers.stride[exported.layers[layer['id']].row]}*oy"
        )
        left = dict(zip(layer["loop_dims"], layer["loop_sizes"], strict=True))
        spread = mappings[layer["name"]]["spatial_mapping"]
        assert set(spread) == set(axes)
        for axis, entries in spread.items():
            pairs = [(entry.split(", ")[0], int(entry.split(", ")[1])) for entry in entries]
            assert 1 <= math.prod(factor for _, factor in pairs) <= axes[axis]
            for loop, factor in pairs:
                assert factor <= left[loop]
                left[loop] = math.ceil(left[loop] / factor)
        if "|" in dataflow:
            loops = {"P": "OY", "Q": "OX", "R": "FY"}
            for letter, (axis, size) in zip(dataflow.split("|"), axes.items(), strict=True):
                ((loop, factor),) = [entry.split(", ") for entry in spread[axis]]
                whole = layer["loop_sizes"][layer["loop_dims"].index(loop)]
                assert loop == loops.get(letter, letter)
                assert math.ceil(whole / int(factor)) == math.ceil(whole / size)


@pytest.mark.parametrize("dataflow", ALL)
def test_zigzag_memories(dataflow):
    design = design_of(dataflow)
    chip = parse(export(design, "zigzag").files["accelerator.yaml"])
    ways = {"I1": {"fh", "tl"}, "I2": {"fh", "tl"}, "O": {"fh", "tl", "fl", "th"}}
    held = {}
    for name, memory in chip["memories"].items():
        found = {}
        for port in memory["ports"]:
            assert 1 <= port["bandwidth_min"] <= port["bandwidth_max"]
            assert re.fullmatch(r"[r]?[w]?_port_\d+", port["name"])
            for entry in port["allocation"]:
                operand, way = entry.split(", ")
                assert way not in found.setdefault(operand, set())
                found[operand].add(way)
                assert port["type"] in ("read_write", "read" if way[0] == "t" else "write")
        assert found == {operand: ways[operand] for operand in memory["operands"]}
        assert memory["w_cost"] > 0
        # A latch costs when it is written only.
        assert (memory["r_cost"] == 0) == (name.startswith("register") and dataflow in SYSTOLIC)
        if name.startswith("register"):
            held[memory["operands"][0]] = memory["size"]
            # One element of the widest layer at least, each access one element.
            assert memory["size"] >= memory["ports"][0]["bandwidth_max"]
    if dataflow in ("os", "ws", "is"):
        assert set(held) == {"O", *{"ws": {"I2"}, "is": {"I1"}}.get(dataflow, set())}
        assert chip["operational_array"]["systolic_dimensions"] == ["D1", "D2"]
        assert held["O"] == max(n.sum_bits for n in nests_of(design, "")[0])
    else:
        assert held["I2"] == 16 * 8
        assert "systolic_dimensions" not in chip["operational_array"]
        width = {name: m["ports"][0]["bandwidth_max"] for name, m in chip["memories"].items()}
        # 16 bytes per cycle, and twice as much for sums.
        assert width["scratchpad_weights"] == width["scratchpad_inputs"] == 128
        assert width["scratchpad_outputs"] == 256
    assert chip["memories"]["scratchpad_inputs"]["size"] == 8192 * 8
    assert chip["memories"]["dram"]["ports"][0]["bandwidth_max"] == 32


def test_zigzag_has_the_registers_that_there_are():
    design = spatial(input_rf=0, output_rf=0)
    memories = parse(export(design, "zigzag").files["accelerator.yaml"])["memories"]
    assert "register_weights" in memories
    assert "register_inputs" not in memories
    sums = memories["register_outputs"]
    assert (sums["r_cost"], sums["w_cost"]) == (0, 0)
    assert sums["size"] == max(n.sum_bits for n in nests_of(design, "")[0])
    assert sums["served_dimensions"] == ["D2"]  # K|C: one per row, where columns add up


def test_zigzag_pays_for_the_way_into_the_array():
    """The table of Eyeriss has wires: 2 per bit-wise access of its 16 bits, as its source has."""
    table = technologies.load("eyeriss")
    exported = ZigZag("eyeriss").files(spatial())
    for name, way, noc in (
        ("inputs", "r", True), ("inputs", "w", False), ("outputs", "r", False),
        ("outputs", "w", True),
    ):  # fmt: skip
        memory = parse(exported.files["accelerator.yaml"])["memories"][f"scratchpad_{name}"]
        curve = table.sram_read if way == "r" else table.sram_write
        each = float(curve(np.array([8192]))[0]) + table.noc * noc
        width = memory["ports"][0]["bandwidth_max"]
        assert memory[f"{way}_cost"] == pytest.approx(each * width * 1e12, rel=1e-5)
    assert table.noc > 0


def test_zigzag_says_where_it_takes_more_steps():
    notes = " ".join(export(systolic(), "zigzag").notes)
    # A window of 147 in 10 folds of 16 rows; whole loops take 3 x 4, of 2 x 7 = 14 rows each.
    assert "steps against ours: conv000 x 1.2" in notes


def test_zigzag_files_look_like_those_that_ran(shared):
    ran = parse((shared / "reference" / "zigzag391_hw_ws_32x32.yaml").read_text())
    chip = parse(export(systolic(rows=32, columns=32), "zigzag").files["accelerator.yaml"])
    assert set(ran) == set(chip)
    for memory in chip["memories"].values():
        assert set(memory) - {"force_double_buffering"} == set(ran["memories"]["sram_w"])
        assert set(memory["ports"][0]) == set(ran["memories"]["sram_w"]["ports"][0])
    mapped = parse((shared / "reference" / "zigzag391_mapping_ws_32x32.yaml").read_text())
    for entry in parse(export(systolic(), "zigzag").files["mapping.yaml"]):
        assert set(entry) == set(mapped[0])
        assert entry["memory_operand_links"] == mapped[0]["memory_operand_links"]
