"""The systolic array's closed forms as explicit loop nests: how a family is tested against them.

A product of M pixels (P), N filters (K) and a window of W channels (C) on rows x columns PEs that
divide them; registers, scratchpads, DRAM. Folds: column folds outside, row folds inside.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.loop_nest import Level, LoopNest
from evaluators.loop_nest_traffic import traffic
from evaluators.systolic_costs import LayerCosts, layer_costs
from evaluators.technology import load
from hwnas.arrays import Ints
from hwnas.design import LayerTable

WEIGHTS, INPUTS, OUTPUTS = range(3)
SCRATCHPADS = 1
AXES = {"os": "PKC", "ws": "CKP", "is": "CPK"}
"""What rows, columns and time hold."""

STATIONARY = {"os": "O", "ws": "W", "is": "I"}


def nest(dataflow: str, rows: int, columns: int, row_folds: Ints, column_folds: Ints, time: Ints):
    row, column, step = AXES[dataflow]
    registers = Level(STATIONARY[dataflow], {step: time})
    folds = {column: column_folds, row: row_folds}
    return LoopNest.of([registers, Level("WIO", folds, {row: rows, column: columns}), Level()])


def closed_form(
    dataflow: str, nests: LoopNest, rows: int, columns: int, **sizes: int
) -> LayerCosts:
    m = len(nests)
    _, _, K, C, P, *_ = nests.extents.T
    layers = LayerTable.of(m, np.arange(m), K=K, C=C, P=P, weight_bits=8, activation_bits=8)
    numbers = {"rows": rows, "columns": columns, "dram_bandwidth": 1e9, "clock": 1e9}
    numbers |= dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 1 << 30) | sizes
    accelerators = {name: np.full(m, value) for name, value in numbers.items()}
    accelerators["dataflow"] = np.full(m, dataflow)
    return layer_costs(layers, accelerators, load("aladdin40"))


factors = st.lists(st.tuples(*[st.integers(1, 9)] * 3), min_size=1, max_size=20)


@pytest.mark.parametrize("dataflow", sorted(AXES))
@settings(max_examples=15)
@given(factors, st.integers(1, 8), st.integers(1, 8))
def test_scratchpads_serve_what_the_closed_forms_say(
    dataflow: str, folds: list[tuple[int, int, int]], rows: int, columns: int
) -> None:
    row_folds, column_folds, time = np.array(folds).T
    nests = nest(dataflow, rows, columns, row_folds, column_folds, time)
    closed, moved = closed_form(dataflow, nests, rows, columns), traffic(nests)
    at = moved.reads[:, SCRATCHPADS].T
    np.testing.assert_array_equal(at[INPUTS], closed.sram_ifmap)
    np.testing.assert_array_equal(at[WEIGHTS], closed.sram_filter)
    np.testing.assert_array_equal(moved.updates[:, SCRATCHPADS, OUTPUTS], closed.sram_ofmap)
    np.testing.assert_array_equal(nests.steps * rows * columns, closed.macs)
    # All fits the scratchpads: everything crosses DRAM once.
    fills = moved.fills[:, SCRATCHPADS]
    np.testing.assert_array_equal(fills[:, INPUTS], closed.dram_ifmap)
    np.testing.assert_array_equal(fills[:, WEIGHTS], closed.dram_filter)
    np.testing.assert_array_equal(moved.drains[:, SCRATCHPADS, OUTPUTS], closed.dram_ofmap)
    # What is not computing is filling and skew.
    skew = {"os": rows + columns - 2, "ws": 2 * rows + columns - 2, "is": 2 * rows + columns - 2}
    waits = closed.cycles - nests.steps
    np.testing.assert_array_equal(waits, row_folds * column_folds * skew[dataflow])


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_sums_that_do_not_fit_come_back_from_dram(dataflow: str) -> None:
    """Sums that pass the scratchpad by: all but the first of every row fold come back."""
    row, column, step = AXES[dataflow]
    folds = {column: 3, row: 5}
    registers = Level(STATIONARY[dataflow], {step: 6})
    nests = LoopNest.of([registers, Level("WI", folds, {row: 4, column: 2}), Level()])
    closed = closed_form(dataflow, nests, 4, 2, ofmap_sram=2)
    moved = traffic(nests)
    results = 6 * 2 * 3
    sum_bytes = (8 + 8 + np.ceil(np.log2(4 * 5))) / 8
    spilled = (closed.dram_ofmap - results) / (2 * sum_bytes)
    np.testing.assert_array_equal(moved.reads[:, 2, OUTPUTS], spilled)
    np.testing.assert_array_equal(moved.updates[:, 2, OUTPUTS], spilled + results)
