"""Exports: what all of them have in common, and how layers lie on arrays."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.exports.arrays import TEMPLATES, Array, Axis, array_of
from evaluators.exports.nests import LOOPS, Nest, nests_of
from evaluators.exports.unrolling import spatial as factors_of
from evaluators.exports.unrolling import steps, unroll
from evaluators.spatial.unrolled import dataflow_of
from hwnas import plugins
from hwnas.design import (
    BitsPerCell,
    Designs,
    LayerTable,
    Operator,
    SkipNet,
    SpatialArray,
    SystolicArray,
)
from hwnas.design.export import GROUP, export
from hwnas.errors import DesignError
from tests.exported_designs import SPATIAL, on, only, spatial, systolic, table
from tests.exported_files import accounted, expected, maestro_macs, parse, scalesim_products

TOOLS = ("maestro", "scalesim", "timeloop", "zigzag")
"""Tools that measure hardware; networks are exported as ONNX, too."""


def test_all_tools_come_through_the_door():
    assert set(plugins.available(GROUP)) == {*TOOLS, "onnx"}


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_left_out_is_named(tool):
    exported = export(systolic(), tool)
    assert [layer.row for layer in exported.layers] == [0, 1, 2, 4, 5, 6]
    assert len({layer.name for layer in exported.layers}) == len(exported.layers)
    notes = " ".join(exported.notes)
    assert "POOL is left out: row 3." in notes
    assert "ADD is left out: row 7." in notes
    assert "Densities" not in notes


def test_densities_are_left_out_with_a_note():
    dense = table()
    half = np.where(np.arange(len(dense)) == 1, 0.5, 1.0)
    columns = {k: v for k, v in vars(dense).items() if k not in ("n", "design", "density")}
    thinned = LayerTable.of(1, dense.design, density=half, **columns)
    _, notes = nests_of(SimpleNamespace(layers=thinned), "a tool")
    assert "Densities are left out, all weights count: row 1." in notes


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("operator", [Operator.SHIFT, Operator.ADDER, Operator.POOL])
def test_networks_without_products_are_refused(tool, operator):
    with pytest.raises(DesignError, match="computes none of the layers") as caught:
        export(systolic(only(operator)), tool)
    assert operator.name in caught.value.given


@pytest.mark.parametrize("tool", TOOLS)
def test_unknown_templates_are_refused(tool):
    @dataclass(frozen=True)
    class Optical(SpatialArray):
        name: ClassVar[str] = "optical_mesh"

    with pytest.raises(DesignError, match="optical_mesh cannot be exported") as caught:
        export(on(Optical()), tool)
    for template in TEMPLATES:
        assert template in caught.value.rule


@pytest.mark.parametrize("tool", ["maestro", "timeloop", "zigzag"])
def test_multipliers_that_are_faster_with_few_bits_are_named(tool):
    assert any("bit_serial" in note for note in export(spatial(pe="bit_serial"), tool).notes)
    assert not any("MAC takes one cycle" in note for note in export(spatial(), tool).notes)


def test_nests_conserve_macs_and_bits():
    design = systolic()
    nests, _ = nests_of(design, "a tool")
    assert {n.row: n.macs for n in nests} == expected(design)
    assert [n.weight_bits for n in nests] == [4, 8, 8, 3, 2, 8]
    product = nests[-1]  # two images with four heads: eight products with factors of their own
    assert product.sizes == {**dict.fromkeys(LOOPS, 1), "G": 8, "K": 8, "C": 12, "P": 6}
    assert nests[0].sum_bits == 4 + 8 + math.ceil(math.log2(3 * 7 * 7))
    dense = dict.fromkeys(LOOPS, 1)
    for nest, row in zip(nests[:3], (0, 1, 2), strict=True):
        assert nest.elements("inputs", nest.sizes) == design.layers.inputs[row]
        assert nest.elements("weights", nest.sizes) == design.layers.weights[row]
        assert nest.elements("outputs", nest.sizes) == design.layers.outputs[row]
        assert nest.elements("inputs", dense) == 1


def nest(**sizes):
    sizes = {**dict.fromkeys(LOOPS, 1), **sizes}
    return Nest("layer", 0, Operator.CONVOLUTION, sizes, 1, 8, 8)


def array(*axes):
    empty = dict.fromkeys(("weights", "inputs", "outputs"), 1)
    return Array("made_up", "x", axes, "weights", empty, empty, 1.0, 1.0, 1.0)


@given(
    st.integers(1, 9), st.integers(1, 7), st.integers(1, 7), st.integers(1, 24), st.integers(1, 9)
)
def test_no_whole_factors_leave_fewer_steps(c, r, s, rows, columns):
    layer = nest(C=c, R=r, S=s, K=5)
    axes = unroll(layer, array(Axis(rows, (("C", "R", "S"),)), Axis(columns, (("K",),))))
    assert math.prod(axes[0].values()) <= rows
    fewest = min(
        math.ceil(c / a) * math.ceil(r / b) * math.ceil(s / d)
        for a, b, d in itertools.product(range(1, c + 1), range(1, r + 1), range(1, s + 1))
        if a * b * d <= rows
    )
    left = steps(layer, axes)
    assert left["C"] * left["R"] * left["S"] == fewest
    assert left["K"] == math.ceil(5 / columns)
    assert all(left[loop] * factors_of(axes)[loop] >= layer.sizes[loop] for loop in LOOPS)


def test_spare_rows_and_columns_of_a_row_stationary_array():
    """16 rows hold five times the 3 of a kernel; 13 lines take two folds of 7, 4 lines half."""
    rows = array_of(spatial(dataflow="row_stationary"), "")
    axes = unroll(nest(R=3, C=64, K=64, P=13), rows)
    assert axes == ({"R": 3, "C": 5}, {"P": 7, "K": 1})
    axes = unroll(nest(R=3, C=64, K=64, P=4), rows)
    assert axes == ({"R": 3, "C": 5}, {"P": 4, "K": 2})


_SIZES = st.integers(1, 20)


@given(st.fixed_dictionaries(dict.fromkeys(LOOPS, _SIZES)), st.sampled_from(SPATIAL), _SIZES)
def test_steps_are_those_of_spatial(sizes, dataflow, rows):
    """Also where a kernel has more lines than the array has rows."""
    layer = replace(nest(), sizes=sizes)
    design = spatial(dataflow=dataflow, rows=rows)
    values = {loop: np.array([[float(size)]]) for loop, size in sizes.items()}
    names = ("step", "column_step", "work", "activation_bits", "weight_bits")
    layers = SimpleNamespace(**values, **dict.fromkeys(names, np.array([[1.0]])))
    numbers = ("rows", "columns", "depth", "input_rf", "weight_rf")
    arrays = {name: np.array([float(design.accelerator[name])]) for name in numbers}
    trips = dataflow_of(dataflow).lay_out(np, layers, SimpleNamespace(**arrays)).trips
    left = steps(layer, unroll(layer, array_of(design, "")))
    assert left == {loop: int(trips[loop].item()) for loop in LOOPS}


def test_steps_are_those_of_zigzag(shared):
    """All rows of the reference runs: K|C on 32 x 32."""
    rows = pd.read_csv(shared / "reference" / "zigzag391_resnet18_32x32_ws_latency_lpf4.csv")
    shape = {name: rows[name].to_numpy() for name in ("K", "C", "P", "Q", "R", "S", "stride")}
    layers = LayerTable.of(1, np.zeros(len(rows), dtype=np.int64), **shape)
    design = spatial(layers, rows=32, columns=32, dataflow="K|C")
    nests, _ = nests_of(design, "ZigZag")
    found = [math.prod(steps(n, unroll(n, array_of(design, ""))).values()) for n in nests]
    np.testing.assert_array_equal(found, rows["ideal_temporal_cycle"])
    network = export(design, "maestro").files["network.m"]
    printed = pd.read_csv(
        shared / "reference" / "maestro_resnet18_16x16_ws_noc1000.csv", skipinitialspace=True
    )
    np.testing.assert_array_equal(list(maestro_macs(network).values()), printed["Num MACs"])


def test_random_designs_conserve_macs_everywhere():
    space = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
    genomes = space.sample(3, np.random.default_rng(0))
    for design in (Designs(space, genomes)[i] for i in range(len(genomes))):
        exports = {tool: export(design, tool) for tool in TOOLS}
        macs = {
            "scalesim": {
                name: math.prod(sizes)
                for name, sizes in scalesim_products(
                    exports["scalesim"].files["topology.csv"]
                ).items()
            },
            "zigzag": {
                layer["name"]: math.prod(layer["loop_sizes"])
                for layer in parse(exports["zigzag"].files["workload.yaml"])
            },
            "timeloop": {
                line.split(",")[0]: int(line.split(",")[3])
                for line in exports["timeloop"].files["layers.csv"].splitlines()[1:]
            },
            "maestro": maestro_macs(exports["maestro"].files["network.m"]),
        }
        for tool, found in macs.items():
            assert accounted(exports[tool], found) == expected(design), tool
