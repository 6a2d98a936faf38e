"""Where the cost of a systolic array comes from: parts and layers add up, rooflines hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.systolic import Systolic
from hwnas.design import (
    Designs,
    FixedNetwork,
    ImportedNetwork,
    LayerTable,
    NetworkFamily,
    Operator,
    SystolicArray,
    UniformBits,
)
from hwnas.space import Gene
from tests.evaluators.test_systolic import SPACE, batch, technologies

TIMES = {"latency", "compute_time", "dram_time"}
KNOWN = TIMES | {"energy", "utilization", "macs", "dram_bytes", "power"}


def one(network: NetworkFamily, **array: object) -> Designs:
    """One network on one array."""
    choices = {
        "rows": (4,),
        "columns": (4,),
        "dataflow": ("os",),
        "ifmap_sram": (65536,),
        "filter_sram": (65536,),
        "ofmap_sram": (65536,),
        "dram_bandwidth": (1e6,),
        "clock": (1e9,),
    }
    space = network.space() + SystolicArray(**(choices | array)).space()
    return Designs(space, np.zeros((1, len(space)), np.int64))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), technologies, st.sampled_from((0.0, 0.3, 1.0)))
def test_parts_and_layers_add_up_and_no_layer_is_above_its_roof(seed, technology, overlap):
    evaluator = Systolic(technology=technology, overlap=overlap)
    designs = batch(SPACE, 4, seed)
    measured = evaluator.evaluate(designs)
    for i, design in enumerate(designs):
        said = evaluator.explain(design)
        if not measured.feasible[i]:
            assert said is None
            continue
        metric = {name: column[i] for name, column in measured.columns.items()}
        for name in ("energy", "area"):
            assert sum(said.parts[name].values()) == pytest.approx(metric[name], rel=1e-12)
        compute, dram = said.parts["latency"]["compute"], said.parts["latency"]["dram"]
        assert max(compute, dram) <= metric["latency"] * (1 + 1e-12)
        assert metric["latency"] <= (compute + dram) * (1 + 1e-12)
        assert set(said.layers) == KNOWN
        assert said.rows == len(design.layers)
        for name in ("latency", "energy", "dram_bytes"):
            assert said.layers[name].sum() == pytest.approx(metric[name], rel=1e-12)
        np.testing.assert_array_equal(said.layers["macs"], design.layers.macs)
        assert said.layers["power"].max() == pytest.approx(metric["peak_power"], rel=1e-12)
        for part, time in (("compute", "compute_time"), ("dram", "dram_time")):
            assert said.layers[time].sum() == pytest.approx(said.parts["latency"][part], rel=1e-12)
        roof = said.roofline
        assert roof.peak == design["hw.rows"] * design["hw.columns"] * design["hw.clock"]
        assert roof.bandwidth == design["hw.dram_bandwidth"]
        assert (roof.attained <= roof.bound * (1 + 1e-12)).all()
        assert (said.layers["utilization"] <= 1 + 1e-12).all()


def test_one_layer_by_hand():
    table = LayerTable.of(
        1, np.zeros(1, np.int64), operator=Operator.LINEAR, C=64, K=32,
        weight_bits=8, activation_bits=8,
    )  # fmt: skip
    network = ImportedNetwork.of(table, "one")
    moved = 64 + 64 * 32 + 32
    said = Systolic().explain(one(network)[0])
    assert said.layers["dram_bytes"].tolist() == [moved]
    assert said.roofline.intensity[0] == pytest.approx(64 * 32 / moved)
    # 1 MB/s is too slow for it to be bound by anything but memory: it lies on the slope.
    assert said.layers["latency"][0] == pytest.approx(moved / 1e6)
    assert said.roofline.attained[0] == pytest.approx(64 * 32 / moved * 1e6)
    # Eight folds of four filters: 64 steps each, skewed by rows and columns; one row has work.
    fast = Systolic().explain(one(network, dram_bandwidth=(1e15,))[0])
    cycles = 8 * (64 + 4 + 4 - 2)
    assert fast.layers["latency"][0] == pytest.approx(cycles / 1e9)
    assert fast.layers["utilization"][0] == pytest.approx(64 * 32 / (16 * cycles))


def test_an_infeasible_design_has_nothing_to_explain():
    network = ImportedNetwork.of(FixedNetwork("resnet18").table, "resnet18")
    designs = one(network, dataflow=("ws",), filter_sram=(16,))
    assert not Systolic().evaluate(designs).feasible[0]
    assert Systolic().explain(designs[0]) is None


def test_layers_without_products_are_at_the_origin():
    space = (
        FixedNetwork("resnet18").space()
        + UniformBits().space()
        + SystolicArray(ifmap_sram=(65536,), filter_sram=(65536,), ofmap_sram=(65536,)).space()
    )
    design = Designs(space, np.zeros((1, len(space)), np.int64))[0]
    said = Systolic().explain(design)
    idle = design.layers.macs == 0
    assert idle.any()
    assert not said.roofline.intensity[idle].any()
    assert not said.roofline.attained[idle].any()
    assert not said.layers["utilization"][idle].any()
    assert (said.layers["latency"][idle] > 0).all()


class Empty(NetworkFamily):
    """A network without layers."""

    name = "empty"

    def genes(self):
        return (Gene("net.nothing", (0,)),)

    def layers(self, columns, n):
        return LayerTable.of(n, np.empty(0, np.int64), C=1, K=1)

    def graph(self, config):
        raise NotImplementedError


def test_a_network_without_layers():
    said = Systolic().explain(one(Empty())[0])
    assert said.rows == 0
    assert sum(said.parts["energy"].values()) == 0
