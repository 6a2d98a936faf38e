"""Against a slow loop nest that visits every MAC of tiny layers and remembers what it touched.

The closed forms must count what the loop nest counts. Of DRAM they may never claim less traffic
than the best possible replacement (Belady's MIN) achieves with the same half scratchpad.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.systolic_costs import LayerCosts, layer_costs
from evaluators.technology import load
from hwnas.design import LayerTable, Operator
from hwnas.errors import DesignError

BITS = {"weight_bits": 4, "activation_bits": 8}
Shape = dict[str, int]


@dataclass
class Nest:
    """One group's GEMM, executed fold by fold, row folds inside column folds."""

    ifmap: list[tuple[int, ...]] = field(default_factory=list)
    filters: list[tuple[int, ...]] = field(default_factory=list)
    sums: list[tuple[int, int]] = field(default_factory=list)
    macs: set[tuple[int, int, int]] = field(default_factory=set)
    cycles: int = 0

    def visit(self, layer: Shape, rows: int, columns: int, dataflow: str) -> Nest:
        pixels = list(product(*(range(layer[d]) for d in "NPQ")))
        K, C = layer["K"] // layer["groups"], layer["C"] // layer["groups"]
        window = list(product(range(layer["R"]), range(layer["S"]), range(C)))
        axes = {"m": len(pixels), "n": K, "w": len(window)}
        row_axis, column_axis, time_axis = {"os": "mnw", "ws": "wnm", "is": "wmn"}[dataflow]

        def pixel_of(m: int, w: int) -> tuple[int, ...]:
            (image, p, q), (r, s, c) = pixels[m], window[w]
            return image, p * layer["stride"] + r, q * layer["stride"] + s, c

        for left in range(0, axes[column_axis], columns):
            for top in range(0, axes[row_axis], rows):
                held_rows = range(top, min(top + rows, axes[row_axis]))
                held_columns = range(left, min(left + columns, axes[column_axis]))
                for t in range(axes[time_axis]):
                    read: dict[str, set[Any]] = defaultdict(set)
                    for i, j in product(held_rows, held_columns):
                        at = {row_axis: i, column_axis: j, time_axis: t}
                        m, n, w = at["m"], at["n"], at["w"]
                        self.macs.add((m, n, w))
                        # What a wire carries along a row or column is read once per step.
                        read["ifmap"].add((m, w))
                        read["filter"].add((n, w))
                        read["sum"].add((m, n))
                    self.step(read, t, dataflow, pixel_of)
                filling = 0 if dataflow == "os" else rows
                # Step t reaches row i and column j of the array after i + j more cycles.
                last = max(i + j for i, j in product(range(rows), range(columns)))
                self.cycles += filling + axes[time_axis] + last
        if dataflow == "os":
            self.sums = list(product(range(len(pixels)), range(K)))
        return self

    def step(self, read: dict[str, set[Any]], t: int, dataflow: str, pixel_of: Any) -> None:
        # A stationary operand is read in the first step of a fold only.
        if dataflow != "is" or t == 0:
            self.ifmap += [pixel_of(*pair) for pair in sorted(read["ifmap"])]
        if dataflow != "ws" or t == 0:
            self.filters += sorted(read["filter"])
        if dataflow != "os":
            self.sums += sorted(read["sum"])

    @property
    def most_sums_alive(self) -> int:
        """Partial sums between their first and their last visit at the same time, at most."""
        first = {s: i for i, s in reversed(list(enumerate(self.sums)))}
        last = {s: i for i, s in enumerate(self.sums)}
        change = [0] * (len(self.sums) + 1)
        for s in first:
            change[first[s]] += 1
            change[last[s] + 1] -= 1
        return int(np.cumsum(change).max())


def fewest_fetches(stream: list[tuple[int, ...]], capacity: int) -> int:
    """Belady's MIN: evict what is used again last, which may be the newcomer."""
    following: list[float] = [math.inf] * len(stream)
    seen: dict[tuple[int, ...], int] = {}
    for i in reversed(range(len(stream))):
        following[i] = seen.get(stream[i], math.inf)
        seen[stream[i]] = i
    held: dict[tuple[int, ...], float] = {}
    fetches = 0
    for i, address in enumerate(stream):
        if address not in held:
            fetches += 1
        held[address] = following[i]
        if len(held) > capacity:
            held.pop(max(held, key=lambda a: held[a]))
    return fetches


def cost(layer: Shape, array: dict[str, Any], **columns: Any) -> LayerCosts:
    table = LayerTable.of(1, np.zeros(1, np.int64), **layer, **{**BITS, **columns})
    usual = dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 1 << 20)
    usual |= {"dram_bandwidth": 1e9, "clock": 1e9}
    accelerators = {k: np.array([v]) for k, v in {**usual, **array}.items()}
    return layer_costs(table, accelerators, load("aladdin40"))


@st.composite
def layers(draw: st.DrawFn) -> Shape:
    small = st.integers(1, 4)
    layer = {d: draw(st.integers(1, 5)) for d in ("P", "Q")}
    layer |= {d: draw(st.integers(1, 3)) for d in ("R", "S", "stride")}
    layer |= {"N": draw(st.integers(1, 2)), "groups": draw(st.sampled_from((1, 1, 2, 3)))}
    layer["C"] = layer["groups"] * draw(small)
    layer["K"] = layer["groups"] * draw(st.integers(1, 6))
    return layer


arrays = st.fixed_dictionaries(
    {
        "rows": st.integers(1, 5),
        "columns": st.integers(1, 5),
        "dataflow": st.sampled_from(("os", "ws", "is")),
    }
)


@given(layers(), arrays)
def test_counts_are_the_loop_nests(layer: Shape, array: dict[str, Any]) -> None:
    nest = Nest().visit(layer, **array)
    groups = layer["groups"]
    found = cost(layer, array)
    assert found.macs[0] == groups * len(nest.macs)
    assert found.cycles[0] == groups * nest.cycles
    assert found.scalesim_cycles[0] == groups * (nest.cycles - 1)
    assert found.sram_ifmap[0] == groups * len(nest.ifmap)
    assert found.sram_filter[0] == groups * len(nest.filters)
    assert found.sram_ofmap[0] == groups * len(nest.sums)
    assert found.utilization[0] == pytest.approx(
        len(nest.macs) / (nest.cycles * array["rows"] * array["columns"])
    )


@given(layers(), arrays)
def test_large_scratchpads_fetch_everything_once(layer: Shape, array: dict[str, Any]) -> None:
    nest = Nest().visit(layer, **array)
    groups = layer["groups"]
    found = cost(layer, array)
    assert found.dram_ifmap[0] == groups * len(set(nest.ifmap))
    assert found.dram_filter[0] == groups * len(set(nest.filters)) * 4 / 8
    assert found.dram_ofmap[0] == groups * len(set(nest.sums))


@given(layers(), arrays)
def test_tiny_scratchpads_fetch_whatever_the_array_reads(
    layer: Shape, array: dict[str, Any]
) -> None:
    found = cost(layer, {**array, "ifmap_sram": 0.001, "filter_sram": 0.001, "ofmap_sram": 0.001})
    sum_bits = 12 + math.ceil(math.log2(layer["R"] * layer["S"] * layer["C"] / layer["groups"]))
    results = layer["N"] * layer["K"] * layer["P"] * layer["Q"]
    assert found.dram_ifmap[0] == found.sram_ifmap[0]
    assert found.dram_filter[0] == found.sram_filter[0] * 4 / 8
    spilled = found.sram_ofmap[0] - results
    assert found.dram_ofmap[0] == pytest.approx(results + 2 * spilled * sum_bits / 8)


@settings(max_examples=150)
@given(layers(), arrays, st.floats(0.02, 1.2), st.floats(0.02, 1.2))
def test_never_less_than_the_best_replacement(
    layer: Shape, array: dict[str, Any], inputs: float, weights: float
) -> None:
    nest = Nest().visit(layer, **array)
    ifmap = max(1, round(inputs * len(set(nest.ifmap))))
    filters = max(1, round(weights * len(set(nest.filters))))
    # Twice the elements that half a scratchpad holds, 8 and 4 bits each.
    found = cost(layer, {**array, "ifmap_sram": 2 * ifmap, "filter_sram": filters})
    groups = layer["groups"]
    fetched = found.dram_ifmap[0] / groups
    assert fewest_fetches(nest.ifmap, ifmap) <= fetched <= len(nest.ifmap)
    fetched = found.dram_filter[0] / groups * 2
    assert fewest_fetches(nest.filters, filters) <= fetched <= len(nest.filters)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_lines_of_the_input_are_enough_for_one_pass(dataflow: str) -> None:
    # A 3 x 3 kernel: holding the lines under it saves the repeats within a pass over the input,
    # holding the whole input saves the second pass. Every capacity up to the whole input.
    layer = {"P": 5, "Q": 5, "R": 3, "S": 3, "C": 2, "K": 2, "stride": 1, "groups": 1, "N": 1}
    rows = {"os": 5, "ws": 18, "is": 18}[dataflow]
    array: dict[str, Any] = {"rows": rows, "columns": 1, "dataflow": dataflow}
    stream = Nest().visit(layer, **array).ifmap
    whole = len(set(stream))
    levels = set()
    for capacity in range(1, whole + 1):
        fetched = int(cost(layer, {**array, "ifmap_sram": 2 * capacity}).dram_ifmap[0])
        assert fewest_fetches(stream, capacity) <= fetched
        levels.add(fetched)
    passes = {"os": 2, "ws": 2, "is": 1}[dataflow]
    assert levels == {len(stream), passes * whole, whole}


@given(layers(), arrays, st.floats(0.02, 1.2))
def test_sums_spill_exactly_when_they_do_not_fit(
    layer: Shape, array: dict[str, Any], share: float
) -> None:
    nest = Nest().visit(layer, **array)
    sum_bits = 12 + math.ceil(math.log2(layer["R"] * layer["S"] * layer["C"] / layer["groups"]))
    visits = len(nest.sums) - len(set(nest.sums))
    size = share * nest.most_sums_alive * sum_bits / 8
    found = cost(layer, {**array, "ofmap_sram": 2 * size})
    fits = nest.most_sums_alive * sum_bits <= 8 * size
    spilled = 0 if fits else visits
    results = len(set(nest.sums))
    expected = layer["groups"] * (results + 2 * spilled * sum_bits / 8)
    assert found.dram_ofmap[0] == pytest.approx(expected)


def test_by_hand() -> None:
    # 2 x 2 outputs of a 2 x 2 kernel on 3 x 3 inputs, 2 channels, 3 filters, on a 4 x 2 array:
    # M = 4, N = 3, W = 8. Weight stationary: 2 row folds x 2 column folds of 4 + 8 + 2 - 2 cycles.
    layer = {"P": 2, "Q": 2, "R": 2, "S": 2, "C": 2, "K": 3}
    found = cost(layer, {"rows": 4, "columns": 2, "dataflow": "ws"})
    assert found.cycles[0] == 4 * 12
    assert found.sram_ifmap[0] == 4 * 8 * 2
    assert found.sram_filter[0] == 8 * 3
    assert found.sram_ofmap[0] == 4 * 3 * 2
    assert found.dram_ifmap[0] == 3 * 3 * 2
    assert found.dram_filter[0] == 8 * 3 / 2
    assert found.dram_ofmap[0] == 4 * 3
    # Energy: 96 MACs of a 4 x 8 bit multiplier, a 15 bit adder (4 + 8 + log2 8), and registers
    # for the activation and the sum.
    tables = load("aladdin40")
    per_mac = 12.68e-12 * 32 / 1024 + 0.21e-12 * 15 / 32 + 0.009e-12 * (8 + 15)
    assert found.energy_mac[0] == pytest.approx(96 * per_mac)
    assert found.energy_dram[0] == pytest.approx(8e-12 * 8 * (18 + 12 + 12))
    read, write = (curve(np.array([1 << 20]))[0] for curve in (tables.sram_read, tables.sram_write))
    # Reads, then filling and draining; 12 sums of 15 bits are written and read back once.
    bits_read = 64 * 8 + 24 * 4 + 12 * 15 + 12 * 8
    bits_written = 18 * 8 + 24 * 4 + 12 * 15 + 12 * 8
    assert found.energy_sram[0] == pytest.approx(bits_read * read + bits_written * write)
    assert found.latency[0] == pytest.approx(max(48 / 1e9, 42 / 1e9))


def test_pooling_and_addition_pay_for_traffic_only() -> None:
    array = {"rows": 4, "columns": 3, "dataflow": "ws"}
    pool = cost(
        {"P": 2, "Q": 2, "R": 3, "S": 3, "stride": 2, "C": 5, "K": 5},
        array,
        operator=int(Operator.POOL),
    )
    assert pool.macs[0] == pool.energy_mac[0] == pool.dram_filter[0] == pool.gemms[0] == 0
    assert pool.cycles[0] == math.ceil(20 / 3) * 9
    assert (pool.sram_ifmap[0], pool.sram_ofmap[0]) == (20 * 9, 20)
    assert (pool.dram_ifmap[0], pool.dram_ofmap[0]) == (5 * 25, 20)
    add = cost({"P": 4, "Q": 4, "C": 2, "K": 2}, array, operator=int(Operator.ADD))
    assert add.cycles[0] == math.ceil(32 / 3)
    assert (add.dram_ifmap[0], add.dram_ofmap[0]) == (64, 32)
    assert add.utilization[0] == 0
    linear = cost({"C": 6, "K": 5}, array, operator=int(Operator.LINEAR))
    convolution = cost({"C": 6, "K": 5}, array)
    assert linear.energy[0] == convolution.energy[0] > 0


@given(layers(), arrays)
def test_a_product_of_activations_is_a_layer_per_image(layer: Shape, array: dict[str, Any]) -> None:
    """Its GEMMs are those of N convolutions of one image whose weights have activation bits."""
    layer = {**layer, "R": 1, "S": 1, "stride": 1}
    tiny = {**array, "ifmap_sram": 3.0, "filter_sram": 2.0, "ofmap_sram": 5.0}
    bits = {"activation_bits": 8, "weight_bits": 8}
    for scratchpads in (array, tiny):
        found = cost(layer, scratchpads, operator=int(Operator.MATMUL), weight_bits=2)
        single = cost({**layer, "N": 1}, scratchpads, **bits)
        for name in ("macs", "cycles", "sram_ifmap", "sram_filter", "sram_ofmap", "dram_ifmap",
                     "dram_filter", "dram_ofmap", "energy_mac", "energy_sram"):  # fmt: skip
            assert getattr(found, name)[0] == pytest.approx(layer["N"] * getattr(single, name)[0])
    nest = Nest().visit({**layer, "N": 1}, **array)
    many = layer["N"] * layer["groups"]
    assert found.macs[0] == many * len(nest.macs)
    assert found.cycles[0] == many * nest.cycles
    assert found.gemms[0] == many


def test_the_vector_unit_by_hand() -> None:
    array = {"rows": 4, "columns": 3, "dataflow": "os"}
    softmax = cost({"P": 5, "Q": 5, "C": 2, "K": 2}, array, operator=int(Operator.ELEMENTWISE))
    assert softmax.macs[0] == softmax.dram_filter[0] == 0
    assert softmax.cycles[0] == math.ceil(50 / 3)
    assert (softmax.dram_ifmap[0], softmax.dram_ofmap[0]) == (50, 50)
    # 6 rows of 10 weights of 4 bits out of a table of 1,000: only those are moved.
    words = cost({"P": 6, "C": 1000, "K": 10}, array, operator=int(Operator.EMBEDDING))
    assert words.macs[0] == words.energy_mac[0] == words.gemms[0] == 0
    assert words.cycles[0] == 60 / 3
    assert (words.dram_ifmap[0], words.dram_filter[0], words.dram_ofmap[0]) == (6, 60 / 2, 60)
    assert (words.sram_filter[0], words.sram_ofmap[0]) == (60, 60)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataflow": np.array(["sw"])}, "did you mean 'ws'"),
        ({"clock": None}, "have no 'clock'"),
    ],
)
def test_strange_accelerators_are_refused(change: dict[str, Any], message: str) -> None:
    names = ("rows", "columns", "ifmap_sram", "filter_sram", "ofmap_sram")
    columns = {name: np.array([4]) for name in (*names, "dram_bandwidth", "clock")}
    columns = {**columns, "dataflow": np.array(["ws"]), **change}
    columns = {name: column for name, column in columns.items() if column is not None}
    table = LayerTable.of(1, np.zeros(1, np.int64), K=1, C=1)
    with pytest.raises(DesignError, match=message):
        layer_costs(table, columns, load("aladdin40"))
