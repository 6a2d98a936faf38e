"""The evaluator: physical laws it must keep, batches, infeasible designs, parts of the whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluators.counts import BitOps
from evaluators.systolic import Systolic
from evaluators.technology import load
from hwnas.arrays import Floats
from hwnas.design import (
    BitsPerCell,
    Designs,
    FixedNetwork,
    LayerTable,
    Operator,
    SkipNet,
    SystolicArray,
    UniformBits,
)
from hwnas.errors import DesignError, PluginError, ProblemError
from hwnas.evaluation.interface import Expense
from hwnas.metrics import Reason
from hwnas.space import Space

# Large enough for every scratchpad size to matter.
SPACE = (
    SkipNet(image=32, base_width=8, channels=3).space()
    + BitsPerCell(boundary_bits=2).space()
    + SystolicArray(rows=(3, 4, 8, 16), columns=(3, 4, 8, 16)).space()
)
SMALL = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
seeds = st.integers(0, 2**32 - 1)
technologies = st.sampled_from(("aladdin40", "horowitz45"))


def batch(space: Space, n: int, seed: int = 0) -> Designs:
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


def stepped(designs: Designs, gene: str) -> tuple[Designs, Designs]:
    """Designs that differ from others in one gene, which is one choice further."""
    column = designs.space.names.index(gene)
    low = np.array(designs.genomes)
    low[:, column] = np.minimum(low[:, column], len(designs.space.genes[column].choices) - 2)
    high = low.copy()
    high[:, column] += 1
    return Designs(designs.space, low), Designs(designs.space, high)


def measured(
    gene: str, seed: int, **options: Any
) -> tuple[dict[str, Floats], dict[str, Floats], Designs]:
    """Metrics before and after a step of one gene, where both are feasible."""
    evaluator = Systolic(**options)
    low, high = stepped(batch(SPACE, 8, seed), gene)
    before, after = evaluator.evaluate(low), evaluator.evaluate(high)
    both = before.feasible & after.feasible
    assume(both.any())
    names = before.columns
    return (
        {name: before[name][both] for name in names},
        {name: after[name][both] for name in names},
        low[both],
    )


def compulsory(table: LayerTable) -> Floats:
    """Bytes that any accelerator must move: inputs touched, weights, outputs; one by one."""
    rows = []
    for i in range(len(table)):
        P, Q, R, S, stride = (
            int(getattr(table, name)[i]) for name in ("P", "Q", "R", "S", "stride")
        )
        height = len({p * stride + r for p in range(P) for r in range(R)})
        width = len({q * stride + s for q in range(Q) for s in range(S)})
        inputs = int(table.N[i] * table.C[i]) * height * width
        inputs *= 2 if table.operator[i] == Operator.ADD else 1
        bits = (inputs + int(table.outputs[i])) * int(table.activation_bits[i])
        rows.append((bits + int(table.weights[i]) * int(table.weight_bits[i])) / 8)
    return table.total(np.array(rows))


@settings(max_examples=25)
@given(seeds, st.floats(0, 1))
def test_latency_never_rises_with_bandwidth_or_clock(seed: int, overlap: float) -> None:
    for gene in ("hw.dram_bandwidth", "hw.clock"):
        before, after, _ = measured(gene, seed, overlap=overlap)
        assert (after["latency"] <= before["latency"]).all()
        assert (after["energy"] <= before["energy"]).all()
        for name in ("area", "cycles", "dram_bytes", "utilization"):
            np.testing.assert_array_equal(after[name], before[name])


@settings(max_examples=25)
@given(seeds, st.floats(0, 1))
def test_latency_never_below_the_roofline(seed: int, overlap: float) -> None:
    designs = batch(SPACE, 6, seed)
    found = Systolic(overlap=overlap).evaluate(designs)
    here = found.feasible
    array, table = designs.accelerators, designs.layers
    peak = array["rows"] * array["columns"] * array["clock"]
    least = np.maximum(table.total(table.macs) / peak, compulsory(table) / array["dram_bandwidth"])
    assert (found["latency"][here] >= least[here] * (1 - 1e-12)).all()
    assert (found["dram_bytes"][here] >= compulsory(table)[here] * (1 - 1e-12)).all()
    assert (found["utilization"][here] <= 1).all()
    np.testing.assert_allclose(
        (found["utilization"] * found["cycles"] * array["rows"] * array["columns"])[here],
        table.total(table.macs)[here],
    )


@settings(max_examples=25)
@given(seeds)
def test_traffic_never_rises_with_a_scratchpad(seed: int) -> None:
    for operand in ("ifmap", "filter", "ofmap"):
        before, after, _ = measured(f"hw.{operand}_sram", seed)
        assert (after["dram_bytes"] <= before["dram_bytes"]).all()
        assert (after["latency"] <= before["latency"]).all()
        np.testing.assert_array_equal(after["cycles"], before["cycles"])


@settings(max_examples=25)
@given(seeds, technologies)
def test_energy_and_traffic_never_fall_with_bits(seed: int, technology: str) -> None:
    for gene in ("quant.cell1.weight_bits", "quant.cell2.activation_bits"):
        before, after, designs = measured(gene, seed, technology=technology)
        for name in ("energy", "dram_bytes", "latency", "area"):
            assert (after[name] >= before[name]).all()
        active = designs.active[:, designs.space.names.index(gene)]
        assert (after["energy"][active] > before["energy"][active]).all()
        np.testing.assert_array_equal(after["cycles"], before["cycles"])


@settings(max_examples=25)
@given(seeds, technologies)
def test_area_rises_with_everything_that_is_built(seed: int, technology: str) -> None:
    scratchpads = tuple(f"hw.{operand}_sram" for operand in ("ifmap", "filter", "ofmap"))
    for gene in ("hw.rows", "hw.columns", *scratchpads):
        before, after, _ = measured(gene, seed, technology=technology)
        assert (after["area"] > before["area"]).all()


@pytest.mark.parametrize("kind", ["weight_bits", "activation_bits"])
def test_area_rises_with_bits_wherever_the_widest_layer_is(kind: str) -> None:
    space = (
        SkipNet(cells=(1,)).space() + BitsPerCell(cells=1, boundary_bits=2).space()
        + SystolicArray(rows=(4,), columns=(4,)).space()
    )  # fmt: skip
    low, high = stepped(batch(space, 64), f"quant.cell1.{kind}")
    before, after = Systolic().evaluate(low), Systolic().evaluate(high)
    assert (after["area"] > before["area"]).all()


def test_multipliers_are_built_for_the_widest_weight_and_the_widest_activation() -> None:
    space = (
        SkipNet(cells=(2,), layers_per_cell=(2,), skip_channels=(0,)).space()
        + BitsPerCell(cells=2, boundary_bits=2).space() + SystolicArray().space()
    )  # fmt: skip
    bits = {"quant.cell1.weight_bits": 8, "quant.cell1.activation_bits": 3,
            "quant.cell2.weight_bits": 4, "quant.cell2.activation_bits": 6}  # fmt: skip
    net = {"net.cells": 2, "net.width": 1, "net.skip": "add", "net.cell1.layers": 2,
           "net.cell2.layers": 2}  # fmt: skip
    array = {"rows": 8, "columns": 16, "dataflow": "ws", "dram_bandwidth": 0.8e9, "clock": 1e8}
    array |= dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 64 * 1024)
    hw = {f"hw.{name}": value for name, value in array.items()}
    designs = Designs(space, space.encode([{**net, **bits, **hw}]))
    parts = Systolic().breakdown(designs)["area"]
    # Widest sum: cell 2's layers of 8 channels in and 3 x 3 kernels have 4 + 6 + 7 bits; cell 1's
    # of 4 channels 8 + 3 + 6.
    pe = 6350e-12 * 8 * 6 / 1024 + 278e-12 * 17 / 32 + 5.98e-12 * (8 + 6 + 17)
    np.testing.assert_allclose(parts["array"], 8 * 16 * pe)
    np.testing.assert_allclose(parts["ifmap_sram"], 165167.0e-12)


def test_networks_that_nobody_quantised_count_as_32_bit_integers() -> None:
    space = SkipNet().space() + SystolicArray().space()
    designs = batch(space, 20)
    assert set(designs.layers.weight_bits) == {32}
    table, array = designs.layers, designs.accelerators
    inputs = np.where(table.has_weights, table.R * table.S * table.C, 1)
    growth = [np.ceil(np.log2(inputs[table.design == i].max())) for i in range(len(designs))]
    total = 64 + np.array(growth)
    pe = 6350e-12 + 278e-12 * total / 32 + 5.98e-12 * (64 + total)
    parts = Systolic().breakdown(designs)["area"]
    np.testing.assert_allclose(parts["array"], array["rows"] * array["columns"] * pe)


@pytest.mark.parametrize("space", [SPACE, SMALL])
def test_a_batch_is_its_designs_one_by_one(space: Space) -> None:
    evaluator = Systolic()
    mixed = batch(space, 60).genomes
    one = batch(space, 300, seed=1).genomes.copy()
    network = space.columns_of("net", "quant")
    one[:, network] = one[0, network]  # one network on many accelerators takes another path
    rows = np.concatenate([mixed, one, mixed[:5]])
    designs = Designs(space, np.random.default_rng(2).permutation(rows))
    together = evaluator.evaluate(designs)
    for i in range(0, len(designs), 7):
        alone = evaluator.evaluate(designs[i : i + 1])
        for name, column in together.columns.items():
            np.testing.assert_array_equal(column[i : i + 1], alone[name])
        assert (alone.reason[0], alone.notes[0]) == (together.reason[i], together.notes[i])


def test_nothing_in_nothing_out() -> None:
    found = Systolic().evaluate(batch(SMALL, 0))
    assert len(found) == 0
    assert set(found.columns) == {m.name for m in Systolic.metrics}


def test_layers_and_parts_add_up() -> None:
    designs = batch(SPACE, 100)
    evaluator = Systolic(overlap=0.5)
    found, parts, layers = (
        evaluator.evaluate(designs),
        evaluator.breakdown(designs),
        evaluator.layers(designs),
    )
    here, table = found.feasible, designs.layers
    for metric in ("energy", "area"):
        whole = np.sum(list(parts[metric].values()), axis=0)
        np.testing.assert_allclose(whole[here], found[metric][here])
    for name in ("energy", "latency", "cycles", "dram_bytes"):
        total = table.total(getattr(layers, name))
        np.testing.assert_allclose(total[here], found[name][here])
    np.testing.assert_array_equal(layers.macs, table.macs)
    longer = np.maximum(layers.compute_time, layers.dram_time)
    both = layers.compute_time + layers.dram_time
    np.testing.assert_allclose(layers.latency, (longer + both) / 2)


def test_scratchpads_that_cannot_feed_the_array_are_infeasible() -> None:
    space = (
        SkipNet().space() + BitsPerCell().space()
        + SystolicArray(rows=(32,), columns=(32,), dataflow=("ws",), ifmap_sram=(32, 4096),
                        filter_sram=(512, 4096), ofmap_sram=(64, 4096)).space()
    )  # fmt: skip
    designs = batch(space, 300)
    found = Systolic().evaluate(designs)
    table, array = designs.layers, designs.accelerators
    growth = np.ceil(np.log2(np.maximum(table.R * table.S * table.C, 1)))
    window, filters = np.minimum(table.R * table.S * table.C, 32), np.minimum(table.K, 32)
    lacking = {
        "ifmap_sram": window * table.activation_bits,
        "filter_sram": window * filters * table.weight_bits,
        "ofmap_sram": filters * (table.weight_bits + table.activation_bits + growth),
    }
    notes = []
    for i in range(len(designs)):
        rows = (table.design == i) & table.has_weights
        need = {name: bits[rows].max() / 8 * 2 for name, bits in lacking.items()}
        small = {name: b - array[name][i] for name, b in need.items() if b > array[name][i]}
        missing = ", ".join(str(math.ceil(amount)) for amount in small.values())
        notes.append(f"{', '.join(small)} too small by {missing} B" if small else "")
    assert [note.partition(":")[0] for note in found.notes] == notes
    assert len(set(notes)) > 4
    np.testing.assert_array_equal(found.feasible, [not note for note in notes])
    np.testing.assert_array_equal(found.reason == Reason.INFEASIBLE, ~found.feasible)
    assert np.isnan(found["energy"][~found.feasible]).all()


def test_it_says_what_it_is() -> None:
    assert Systolic.expense is Expense.FREE
    assert Systolic.reads == {"net", "quant", "hw", "train"}
    versions = {
        Systolic().version,
        Systolic(overlap=0.5).version,
        Systolic(technology="horowitz45").version,
    }
    assert len(versions) == 3


def test_overlap_blends_the_longer_and_the_sum() -> None:
    designs = batch(SMALL, 50)
    hidden, half, exposed = (Systolic(overlap=o).layers(designs).latency for o in (1.0, 0.5, 0.0))
    layers = Systolic().layers(designs)
    np.testing.assert_array_equal(hidden, np.maximum(layers.compute_time, layers.dram_time))
    np.testing.assert_allclose(exposed, layers.compute_time + layers.dram_time)
    np.testing.assert_allclose(half, (hidden + exposed) / 2)


def test_wrong_options_and_designs_are_refused() -> None:
    with pytest.raises(PluginError, match="did you mean 'aladdin40'"):
        Systolic(technology="aladin40")
    for overlap in (-0.1, 1.5, float("nan")):
        with pytest.raises(ProblemError, match="share"):
            Systolic(overlap=overlap)
    with pytest.raises(DesignError, match="'hw'"):
        Systolic().evaluate(batch(SkipNet().space() + BitsPerCell().space(), 2))
    with pytest.raises(DesignError, match="'net'"):
        Systolic().evaluate(batch(SystolicArray().space(), 2))


def test_technologies_are_loaded_once() -> None:
    assert Systolic().technology is load("aladdin40")


def test_attention_needs_multipliers_for_activations() -> None:
    """A network whose only wide factors are activations has an array as large as theirs."""
    space = FixedNetwork("vit_tiny").space() + UniformBits((2,), (8,)).space()
    space = space + SystolicArray(rows=(8,), columns=(8,)).space()
    designs = batch(space, 1)
    logic = load("aladdin40")
    wide = logic.multiplier.area * 8 * 8
    breakdown = Systolic().breakdown(designs)
    assert breakdown["area"]["array"][0] > 64 * wide
    product = designs.layers.operator == int(Operator.MATMUL)
    assert BitOps().evaluate(designs)["bitops"][0] == (
        designs.layers.macs[~product].sum() * 2 * 8 + designs.layers.macs[product].sum() * 8 * 8
    )


@pytest.mark.parametrize("network", ["vit_tiny", "bert_small", "mobilenet_v3_small"])
def test_real_networks_cost_the_same_one_by_one_and_as_a_grid(network: str) -> None:
    space = FixedNetwork(network).space() + UniformBits((4, 8), (4, 8)).space()
    space = (
        space + SystolicArray(rows=(8, 16), columns=(8, 16), dataflow=("os", "ws", "is")).space()
    )
    evaluator = Systolic()
    outer = Designs(space.part("net", "quant"), space.part("net", "quant").rows())
    inner = batch(space.part("hw"), 6)
    grid = evaluator.against(space, inner, frozenset(("energy", "latency", "area")))
    assert grid is not None
    found = grid(outer)
    rows = np.concatenate(
        [np.repeat(outer.genomes, len(inner), 0), np.tile(inner.genomes, (len(outer), 1))], axis=1
    )
    single = evaluator.evaluate(Designs(space, rows))
    for name in ("energy", "latency", "area"):
        np.testing.assert_allclose(found.columns[name].reshape(-1), single[name], rtol=1e-9)
    here = single.feasible
    assert here.any()
    table, array = Designs(space, rows).layers, Designs(space, rows).accelerators
    peak = array["rows"] * array["columns"] * array["clock"]
    assert (single["latency"][here] >= (table.total(table.macs) / peak)[here]).all()
