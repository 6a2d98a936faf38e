"""The spatial array's cost model as a person uses it: laws, options, bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.sparsity import Sparsity
from evaluators.spatial import Spatial
from evaluators.spatial.sums import Batch, sums_of
from hwnas import Designs, SkipNet, SystolicArray
from hwnas.design import (
    BitsPerLayer,
    FixedNetwork,
    LayerTable,
    Operator,
    SpatialArray,
    UniformBits,
    UniformMapping,
)
from hwnas.design.mappings import STAYS, TILINGS
from hwnas.errors import DesignError, PluginError, ProblemError, SpaceError
from hwnas.metrics import Reason

KIB = 1024
HW = {
    "rows": 8, "columns": 8, "depth": 1, "dataflow": "nvdla", "pe": "fixed", "weight_rf": 4,
    "input_rf": 4, "output_rf": 16, "ifmap_sram": 16 * KIB, "filter_sram": 16 * KIB,
    "ofmap_sram": 16 * KIB, "sram_bandwidth": 32, "dram_bandwidth": 1.6e9, "clock": 400e6,
}  # fmt: skip
LAYER = {"K": 32, "C": 16, "P": 14, "Q": 14, "R": 3, "S": 3, "weight_bits": 8, "activation_bits": 8}
DATAFLOWS = ("nvdla", "shidiannao", "row_stationary", "K|P", "C|Q", "K|C|P", "G|R")


def totals(model: Spatial, layers: dict[str, Any], **hw: Any) -> dict[str, float]:
    """Energy (dynamic), latency, traffic of one network on one accelerator; NaN if unfit."""
    lengths = {len(value) for value in layers.values() if isinstance(value, list)}
    table = LayerTable.of(1, np.zeros(max(lengths, default=1), dtype=np.int64), **layers)
    columns = {name: np.array([value]) for name, value in {**HW, **hw}.items()}
    batch = Batch.of(table, np.zeros(1, dtype=np.int64), columns, model.model)
    s = sums_of(batch, model.model, parts=True)
    names = ("energy", "latency", "cycles", "dram_bytes", "macs")
    found = {name: s.columns[name][0] for name in names}
    return {name: float("nan") if s.unfit[0] else float(v) for name, v in found.items()}


SHAPES = st.fixed_dictionaries(
    {
        "N": st.integers(1, 3),
        "K": st.integers(1, 80),
        "C": st.integers(1, 80),
        "P": st.integers(1, 20),
        "Q": st.integers(1, 20),
        "R": st.integers(1, 5),
        "S": st.integers(1, 5),
        "stride": st.integers(1, 3),
        "weight_bits": st.integers(2, 16),
        "activation_bits": st.integers(2, 16),
    }
)
SIZES = st.sampled_from([KIB // 4, KIB, 4 * KIB, 32 * KIB, 256 * KIB])
ARRAYS = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 20),
        "columns": st.integers(1, 20),
        "depth": st.integers(1, 3),
        "dataflow": st.sampled_from(DATAFLOWS),
        "pe": st.sampled_from(["fixed", "weight_serial", "bit_serial", "composable"]),
        "weight_rf": st.sampled_from([0, 2, 16, 128]),
        "input_rf": st.sampled_from([0, 2, 16, 128]),
        "output_rf": st.sampled_from([0, 4, 16, 128]),
        "ifmap_sram": SIZES,
        "filter_sram": SIZES,
        "ofmap_sram": SIZES,
        "sram_bandwidth": st.sampled_from([1, 8, 64]),
        "dram_bandwidth": st.sampled_from([1e8, 1e9, 1e10]),
    }
)
GOALS = st.sampled_from(["energy", "latency", "edp"])
MORE = {
    "dram_bandwidth": 2.0, "sram_bandwidth": 2, "ifmap_sram": 2, "filter_sram": 2, "ofmap_sram": 2,
    "weight_rf": 2, "input_rf": 2, "output_rf": 2,
}  # fmt: skip


def objective(goal: str, found: dict[str, float]) -> float:
    if goal == "edp":
        return found["energy"] * found["latency"]
    return found[goal]


def level(goal: str) -> Spatial:
    """Energies per access that do not depend on a memory's size, as in Eyeriss' table."""
    return Spatial(technology="eyeriss", mapping=goal)


@given(SHAPES, ARRAYS, GOALS, st.sampled_from(sorted(MORE)))
def test_more_never_costs_more(shape, hw, goal, what):
    """More bandwidth, more buffer: what the mapping is chosen for never grows."""
    model = level(goal)
    before = totals(model, shape, **hw)
    after = totals(model, shape, **{**hw, what: hw[what] * MORE[what]})
    if np.isnan(before["energy"]):
        return
    if what.endswith("_rf") and hw[what] == 0:
        return
    assert objective(goal, after) <= objective(goal, before) * (1 + 1e-12)


@given(SHAPES, ARRAYS, GOALS, st.sampled_from(["weight_bits", "activation_bits"]))
def test_fewer_bits_never_cost_more(shape, hw, goal, which):
    """Within an element built for the wider layer, which is there in both networks."""
    model = level(goal)
    wide = {name: [value, value] for name, value in shape.items()}
    narrow = {**wide, which: [shape[which], max(2, shape[which] - 1)]}
    before, after = (totals(model, layers, **hw) for layers in (wide, narrow))
    if np.isnan(before["energy"]):
        return
    one = totals(model, shape, **hw)
    # The wide layer costs the same in both; so what differs is the other one.
    rest = {
        which: {name: found[name] - one[name] for name in ("energy", "latency")}
        for which, found in (("before", before), ("after", after))
    }
    assert objective(goal, rest["after"]) <= objective(goal, rest["before"]) * (1 + 1e-9)


@given(SHAPES, ARRAYS, GOALS)
def test_never_above_the_roofline(shape, hw, goal):
    found = totals(Spatial(mapping=goal), shape, **hw)
    if np.isnan(found["latency"]):
        return
    pes = hw["rows"] * hw["columns"] * hw["depth"]
    narrow = {"fixed": 1, "weight_serial": 1, "bit_serial": 1, "composable": 64}[hw["pe"]]
    assert found["latency"] >= found["macs"] / (pes * HW["clock"] * narrow) * (1 - 1e-12)
    assert found["latency"] >= found["dram_bytes"] / hw["dram_bandwidth"] * (1 - 1e-12)
    least = shape["K"] * shape["C"] * shape["R"] * shape["S"] * shape["weight_bits"] / 8
    least += shape["N"] * shape["K"] * shape["P"] * shape["Q"] * shape["activation_bits"] / 8
    assert found["dram_bytes"] >= least * (1 - 1e-12)


@given(st.lists(SHAPES, min_size=1, max_size=5), ARRAYS, GOALS)
def test_costs_add_up_over_layers(shapes, hw, goal):
    hw = {**hw, "pe": "fixed"}
    model = Spatial(mapping=goal)
    together = totals(model, {name: [s[name] for s in shapes] for name in shapes[0]}, **hw)
    apart = [totals(model, shape, **hw) for shape in shapes]
    for name, value in together.items():
        np.testing.assert_allclose(value, sum(one[name] for one in apart), rtol=1e-12)


@given(SHAPES, ARRAYS, GOALS)
@settings(max_examples=10)
def test_the_best_mapping_is_the_best_of_all(shape, hw, goal):
    """Named one by one, no mapping beats the one that was chosen, and one equals it."""
    model = level(goal)
    best = totals(model, shape, **hw)
    found = [
        totals(model, {**shape, "tiling": tiling, "stay": stay}, **hw)
        for tiling in range(1, len(TILINGS) + 1)
        for stay in range(1, len(STAYS) + 1)
    ]
    values = [objective(goal, one) for one in found if not np.isnan(one["energy"])]
    if np.isnan(best["energy"]):
        assert not values
        return
    assert objective(goal, best) == pytest.approx(min(values), rel=1e-12)


def test_a_hand_counted_layer():
    """One layer that fits everywhere: weights, inputs and outputs move once, 8 x 8 PEs are full."""
    model = Spatial(technology="eyeriss8", mapping="energy")
    shape = {**LAYER, "K": 8, "C": 8}
    found = totals(model, shape)
    assert found["cycles"] == 14 * 14 * 9
    assert found["dram_bytes"] == 8 * 8 * 9 + 8 * 16 * 16 + 8 * 14 * 14
    assert found["macs"] == 8 * 8 * 9 * 14 * 14


def test_depthwise_layers_fill_an_array_that_unrolls_groups():
    shape = {**LAYER, "K": 64, "C": 64, "groups": 64}
    model = Spatial()
    dense, apart = (totals(model, shape, dataflow=flow)["cycles"] for flow in ("nvdla", "G|R"))
    assert dense == 64 * 14 * 14 * 9
    assert apart == 8 * 14 * 14 * 3


@pytest.mark.parametrize("pe", ["weight_serial", "activation_serial", "bit_serial", "composable"])
def test_bits_change_throughput(pe):
    model = Spatial(mapping="latency")
    fast = {"dram_bandwidth": 1e12, "sram_bandwidth": 4096}
    two = {**LAYER, "weight_bits": [8, 2], "activation_bits": [8, 4]}
    narrow = totals(model, two, pe=pe, **fast)["cycles"]
    wide = totals(model, LAYER, pe=pe, **fast)["cycles"]
    gain = {"weight_serial": 4, "activation_serial": 2, "bit_serial": 8, "composable": 8}[pe]
    assert narrow / wide == pytest.approx(1 + 1 / gain)


def test_shift_and_adder_layers_cost_their_own_energy():
    model = Spatial(mapping="energy")
    table = model.technology
    works = {}
    for operator in (Operator.CONVOLUTION, Operator.SHIFT, Operator.ADDER):
        layer = {**LAYER, "operator": int(operator)}
        lone = LayerTable.of(1, np.zeros(1, dtype=np.int64), **layer)
        columns = {name: np.array([value]) for name, value in HW.items()}
        batch = Batch.of(lone, np.zeros(1, dtype=np.int64), columns, model.model)
        s = sums_of(batch, model.model, parts=True)
        works[operator] = s.columns["energy_mac"][0] / lone.accumulations[0], s.area["array"][0]
    total = 8 + 8 + 8  # bits of a sum of 144 products of 8 by 8 bits
    assert works[Operator.SHIFT][0] == pytest.approx(
        table.shifter.energy * 8 + table.adder.energy * total
    )
    assert works[Operator.ADDER][0] == pytest.approx(table.adder.energy * (9 + total))
    assert works[Operator.SHIFT][0] < works[Operator.CONVOLUTION][0]
    assert works[Operator.ADDER][1] < works[Operator.CONVOLUTION][1]


def test_zeros_save_energy_and_then_time():
    sparse = {**LAYER, "density": 0.5}
    dense, gated, skipped = (
        totals(Spatial(sparsity=kind, mapping="energy"), sparse)
        for kind in ("dense", "gated", "skipped")
    )
    assert gated["energy"] < dense["energy"]
    assert gated["cycles"] == dense["cycles"]
    assert skipped["cycles"] == pytest.approx(dense["cycles"] / 2)
    assert skipped["dram_bytes"] < dense["dram_bytes"]
    assert Sparsity(skipped=True, index_bits=4).stored(
        np.array([8.0]), np.array([0.5])
    ) == pytest.approx(6.0)


def space(**options: Any) -> Any:
    return FixedNetwork().space() + UniformBits().space() + SpatialArray(**options).space()


def test_what_does_not_fit_says_by_how_much():
    joint = space(ifmap_sram=(64,), rows=(32,), columns=(32,), dataflow=("nvdla",))
    measured = Spatial().evaluate(Designs(joint, joint.sample(3, np.random.default_rng(0))))
    assert not measured.feasible.any()
    assert (measured.reason == int(Reason.INFEASIBLE)).all()
    assert "ifmap_sram by" in measured.notes[0]
    assert np.isnan(measured.columns["energy"]).all()


def test_genes_choose_the_mapping():
    joint = FixedNetwork().space() + UniformMapping().space() + SpatialArray(rows=(8,)).space()
    rng = np.random.default_rng(0)
    designs = Designs(joint, joint.sample(40, rng))
    layers = Spatial().layers(designs)
    tiling, stay = designs["map.tiling"], designs["map.stay"]
    fits = (layers.macs > 0) & (layers.tiling > 0)
    owner = designs.layers.design
    for row in np.flatnonzero(fits)[:200]:
        names = tiling[owner[row]], stay[owner[row]]
        taken = TILINGS[int(layers.tiling[row]) - 1], STAYS[int(layers.stay[row]) - 1]
        assert all(name in ("best", mine) for name, mine in zip(names, taken, strict=True))
    named = Spatial().evaluate(designs)
    free, which = designs.part("net", "hw")
    best = Spatial().evaluate(free)
    assert 0 < named.feasible.sum() < best.feasible[which].sum()
    assert best.feasible[which][named.feasible].all()
    edp = {id(m): m.columns["energy"] * m.columns["latency"] for m in (named, best)}
    # The product is minimised layer by layer, so that of the sums can be a little more.
    assert (edp[id(best)][which] <= 1.02 * edp[id(named)])[named.feasible].all()


def test_a_part_of_the_costs_is_what_layers_say():
    joint = space(pe=("fixed", "composable"))
    designs = Designs(joint, joint.sample(7, np.random.default_rng(3)))
    model = Spatial()
    measured, layers = model.evaluate(designs), model.layers(designs)
    owner = designs.layers.design
    energy = sum(
        getattr(layers, f"energy_{part}")
        for part in ("mac", "register", "noc", "sram", "dram", "leakage")
    )
    for name, column in {"energy": energy, "latency": layers.latency}.items():
        total = np.bincount(owner, column, minlength=7)
        np.testing.assert_allclose(total, measured.columns[name], rtol=1e-12)
    hottest = np.zeros(7)
    np.maximum.at(hottest, owner, layers.power)
    np.testing.assert_allclose(hottest, measured.columns["peak_power"], rtol=1e-12)


def test_an_explanation_adds_up_and_stays_under_its_roof():
    joint = (
        FixedNetwork().space() + BitsPerLayer().space() + SpatialArray(pe=("composable",)).space()
    )
    designs = Designs(joint, joint.sample(4, np.random.default_rng(1)))
    model = Spatial()
    measured = model.evaluate(designs)
    for row, design in enumerate(designs):
        told = model.explain(design)
        assert told is not None
        for metric in ("energy", "area"):
            assert sum(told.parts[metric].values()) == pytest.approx(
                measured.columns[metric][row], rel=1e-12
            )
        assert told.roofline is not None
        assert (told.roofline.attained <= told.roofline.bound * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("pe", "fastest"), [("fixed", 1.0), ("bit_serial", 1 / 4), ("composable", 16.0)]
)
def test_no_element_works_more_than_always(pe, fastest):
    """Layers of 2 and of 8 bits: the peak is that of 2 by 2, and each layer may reach its own."""
    bits = BitsPerLayer(layers=21, weight_bits=(2, 8), activation_bits=(2, 8))
    array = SpatialArray((16,), (16,), pe=(pe,), ifmap_sram=(65536,), filter_sram=(65536,),
                         ofmap_sram=(65536,), clock=(4e8,))  # fmt: skip
    joint = FixedNetwork().space() + bits.space() + array.space()
    genomes = joint.sample(4, np.random.default_rng(2))
    genomes[:, [i for i, gene in enumerate(joint.genes) if gene.name.endswith("bits1")]] = 0
    genomes[:, [i for i, gene in enumerate(joint.genes) if gene.name.endswith("bits2")]] = 1
    designs = Designs(joint, genomes)
    model = Spatial()
    used = model.evaluate(designs)["utilization"]
    for design, of_all in zip(designs, used, strict=True):
        found = model.explain(design)
        assert 0 < of_all <= found.layers["utilization"].max() <= 1 + 1e-12
        assert found.roofline.peak == 256 * 4e8 * fastest


def test_nonsense_is_refused():
    with pytest.raises(ProblemError, match="hide that share"):
        Spatial(overlap=1.5)
    with pytest.raises(ProblemError, match="partial sums"):
        Spatial(accumulator_bits=0)
    with pytest.raises(PluginError, match="no technology"):
        Spatial(technology="aladin40")
    with pytest.raises(SpaceError, match=r"no dataflow 'K\|K'"):
        SpatialArray(dataflow=("K|K",))
    with pytest.raises(SpaceError, match="no processing elements"):
        SpatialArray(pe=("fixd",))
    with pytest.raises(SpaceError, match="at least 1"):
        SpatialArray(rows=(0,))
    with pytest.raises(SpaceError, match="uniform_mapping cannot have tiling"):
        UniformMapping(tiling=("weight",))
    joint = SkipNet().space() + SystolicArray().space()
    designs = Designs(joint, joint.sample(1, np.random.default_rng(0)))
    with pytest.raises(DesignError, match="which a spatial array needs"):
        Spatial().evaluate(designs)


def test_versions_tell_options_apart():
    versions = {
        Spatial().version,
        Spatial(mapping="energy").version,
        Spatial(sparsity="gated").version,
        Spatial(technology="horowitz45").version,
        Spatial(lines_kept=False).version,
        Spatial(accumulator_bits=24).version,
        Spatial(dram="hbm2").version,
    }
    assert len(versions) == 7
    model = Spatial()
    assert replace(model.model, double_buffered=False) != model.model
