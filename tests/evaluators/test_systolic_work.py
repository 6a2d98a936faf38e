"""Systolic arrays: peak power, layers that shift or add, and zeros among the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.dataflows import Gemms
from evaluators.sparsity import SPARSITIES
from evaluators.systolic import Systolic
from evaluators.systolic_costs import LayerCosts, layer_costs, pe_of
from evaluators.technology import load
from hwnas import Designs
from hwnas.design import (
    BitsPerCell,
    FixedNetwork,
    LayerTable,
    Operator,
    SkipNet,
    SystolicArray,
    UniformBits,
)
from hwnas.design.one_network import OneNetwork
from hwnas.evaluation.pairing import against, paired

TABLE = load("aladdin40")
LAYER = {"K": 32, "C": 16, "P": 14, "Q": 14, "R": 3, "S": 3, "weight_bits": 8, "activation_bits": 6}
HW = SystolicArray(rows=(4, 8), columns=(4, 16)).space()
EVERYTHING = frozenset(metric.name for metric in Systolic.metrics)
flows = pytest.mark.parametrize("dataflow", ["os", "ws", "is"])


def cost(sparsity: str = "dense", dataflow: str = "os", **layer: Any) -> LayerCosts:
    table = LayerTable.of(1, np.zeros(1, np.int64), **{**LAYER, **layer})
    array = dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 1 << 20)
    array |= {"rows": 8, "columns": 16, "dram_bandwidth": 1e9, "clock": 1e9}
    columns = {name: np.array([value]) for name, value in array.items()}
    columns["dataflow"] = np.array([dataflow])
    return layer_costs(table, columns, TABLE, zeros=SPARSITIES[sparsity])


@dataclass(frozen=True, eq=False)
class Mine(OneNetwork):
    """A network of some layers, densities included."""

    rows: LayerTable
    label: str = "mine"
    name: ClassVar[str] = "mine"

    @property
    def table(self) -> LayerTable:
        return self.rows


def of_layers(**layers: Any) -> LayerTable:
    """A network of `LAYER` with some columns changed."""
    n = max(len(column) for column in layers.values())
    return LayerTable.of(1, np.zeros(n, np.int64), **{**LAYER, "cell": np.arange(n) + 1, **layers})


NETWORK = of_layers(
    operator=[int(Operator.CONVOLUTION), int(Operator.SHIFT), int(Operator.ADDER)] * 2,
    density=[0.4, 0.7, 1.0, 1.0, 0.7, 0.2],
)
MIXED = Mine(NETWORK).space() + UniformBits((4, 8), (4, 8)).space() + HW
SPACES = {
    "skipnet": SkipNet().space() + BitsPerCell().space() + HW,
    "bert_small": FixedNetwork("bert_small").space() + UniformBits().space() + HW,
    "mixed": MIXED,
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_peak_power_is_that_of_the_hottest_layer(name: str, sparsity: Any) -> None:
    space = SPACES[name]
    designs = Designs(space, space.sample(30, np.random.default_rng(0)))
    evaluator = Systolic(overlap=0.6, sparsity=sparsity)
    found, layers = evaluator.evaluate(designs), evaluator.layers(designs)
    hottest = np.zeros(len(designs))
    np.maximum.at(hottest, designs.layers.design, layers.energy / layers.latency)
    here = found.feasible
    assert here.any()
    np.testing.assert_allclose(found["peak_power"][here], hottest[here], rtol=1e-12)
    np.testing.assert_allclose(layers.power, layers.energy / layers.latency, rtol=1e-15)
    assert (found["peak_power"] >= found["energy"] / found["latency"])[here].all()
    assert np.isnan(found["peak_power"][~here]).all()


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_grids_are_what_evaluate_says(sparsity: Any) -> None:
    evaluator = Systolic(sparsity=sparsity)
    outer_space = MIXED.part("net", "quant")
    outer = Designs(outer_space, outer_space.rows())
    inner = Designs(HW, HW.sample(12, np.random.default_rng(0)))
    for names in (EVERYTHING, frozenset({"peak_power"}), frozenset({"peak_power", "area"})):
        grid = against(evaluator, MIXED, inner, names)(outer)
        cells = evaluator.evaluate(Designs(MIXED, paired(MIXED, outer, inner)))
        assert set(grid.columns) == names
        for metric, column in grid.columns.items():
            expected = cells[metric].reshape(column.shape)
            np.testing.assert_allclose(column, expected, rtol=1e-12, err_msg=metric)


def test_a_shift_layer_by_hand() -> None:
    """Sums of 144 products of 8 by 6 bits have 22 bits; os latches weight, activation and sum."""
    done, product = cost(operator=int(Operator.SHIFT)), cost()
    steps = 32 * 16 * 14 * 14 * 9
    each = TABLE.shifter.energy * 6 + TABLE.adder.energy * 22
    latched = TABLE.register.energy * (8 + 6 + 22)
    assert done.macs[0] == steps
    assert done.energy_mac[0] == pytest.approx(steps * (each + latched), rel=1e-12)
    assert product.energy_mac[0] > done.energy_mac[0]


def test_an_adder_layer_by_hand() -> None:
    done = cost(operator=int(Operator.ADDER))
    steps = 32 * 16 * 14 * 14 * 9
    each = TABLE.adder.energy * ((8 + 1) + 22) + TABLE.register.energy * (8 + 6 + 22)
    assert done.energy_mac[0] == pytest.approx(steps * each, rel=1e-12)


@flows
@pytest.mark.parametrize("operator", [Operator.SHIFT, Operator.ADDER])
def test_what_is_not_arithmetic_stays(dataflow: str, operator: Operator) -> None:
    product = cost(dataflow=dataflow)
    instead = cost(dataflow=dataflow, operator=int(operator))
    for name in ("cycles", "latency", "energy_sram", "energy_dram", "dram_bytes", "sram_filter"):
        np.testing.assert_array_equal(getattr(instead, name), getattr(product, name))


def test_arrays_have_what_their_layers_need() -> None:
    """Area of one element by hand: multiplier, shifter, adders, registers for the widest."""
    kinds = [Operator.CONVOLUTION, Operator.SHIFT, Operator.ADDER]
    area = {}
    for some in ([kinds[0]], [kinds[1]], [kinds[2]], kinds):
        network = of_layers(operator=[int(operator) for operator in some])
        name = "+".join(kind.name for kind in some)
        area[name] = pe_of(network, Gemms.of(network), TABLE).area[0]
    total, register = 8 + 6 + 8, TABLE.register.area * (8 + 6 + 22)
    base = TABLE.adder.area * total + register
    multiplier, shifter = TABLE.multiplier.area * 48, TABLE.shifter.area * 6
    difference = TABLE.adder.area * (8 + 1)
    assert area["CONVOLUTION"] == pytest.approx(base + multiplier, rel=1e-12)
    assert area["SHIFT"] == pytest.approx(base + shifter, rel=1e-12)
    assert area["ADDER"] == pytest.approx(base + difference, rel=1e-12)
    assert area["CONVOLUTION+SHIFT+ADDER"] == pytest.approx(
        base + multiplier + shifter + difference, rel=1e-12
    )


@flows
def test_zeros_save_energy_and_then_time_and_traffic(dataflow: str) -> None:
    dense, gated, skipped = (
        cost(kind, dataflow, density=0.25) for kind in ("dense", "gated", "skipped")
    )
    np.testing.assert_array_equal(dense.energy, cost(dataflow=dataflow).energy)
    assert gated.cycles[0] == dense.cycles[0]
    assert gated.dram_bytes[0] == dense.dram_bytes[0]
    product = TABLE.multiplier.energy * 48 + TABLE.adder.energy * 22
    assert dense.energy_mac[0] - gated.energy_mac[0] == pytest.approx(
        0.75 * product * dense.macs[0]
    )
    assert skipped.cycles[0] == 0.25 * dense.cycles[0]
    # A quarter of the weights, each with 4 bits of index: 3 bits in place of 8.
    assert skipped.dram_filter[0] == pytest.approx(dense.dram_filter[0] * 3 / 8)
    for name in ("dram_ifmap", "dram_ofmap", "sram_ifmap"):
        assert getattr(skipped, name)[0] == getattr(dense, name)[0]
    assert skipped.energy_mac[0] < gated.energy_mac[0]


@flows
@given(density=st.floats(0.01, 1.0), bits=st.integers(1, 16))
@settings(max_examples=20)
def test_zeros_never_cost_anything(dataflow: str, density: float, bits: int) -> None:
    dense, gated, skipped = (
        cost(kind, dataflow, density=density, weight_bits=bits) for kind in SPARSITIES
    )
    for name in ("energy", "latency", "dram_bytes"):
        one, two, three = (getattr(found, name)[0] for found in (dense, gated, skipped))
        assert three <= two * (1 + 1e-12)
        assert two <= one * (1 + 1e-12)


def test_an_explanation_of_skipped_zeros_stays_under_its_roof() -> None:
    designs = Designs(MIXED, MIXED.sample(20, np.random.default_rng(0)))
    evaluator = Systolic(sparsity="skipped")
    told = [evaluator.explain(design) for design in designs]
    seen = [one for one in told if one is not None]
    assert seen
    for one in seen:
        assert one.roofline is not None
        assert (one.roofline.attained <= one.roofline.bound * (1 + 1e-9)).all()
        assert (one.layers["power"] > 0).all()


def test_versions_change_with_answers_only() -> None:
    assert Systolic(sparsity="dense").version == Systolic().version
    assert Systolic().version == f"1+{TABLE.label}+overlap1"
    assert len({Systolic(sparsity=kind).version for kind in ("dense", "gated", "skipped")}) == 3
