"""SCALE-Sim's DRAM reads: its printed numbers, and an emulation access by access.

That our closed form ranks like these numbers is asserted in `test_systolic_scalesim`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.scalesim_dram import DramReads, dram_reads, misses
from hwnas.design import LayerTable
from hwnas.errors import DesignError
from tests.evaluators.test_systolic_scalesim import _SHAPE, golden, printed

_SIZE = 64 * 1024


def reads(rows: pd.DataFrame, size: int = _SIZE, **columns: int) -> DramReads:
    n = len(rows)
    shape = {name: rows[name].to_numpy() for name in _SHAPE}
    table = LayerTable.of(n, np.arange(n), **{**shape, **columns})
    sram = np.full(n, size)
    return dram_reads(
        table,
        {
            "rows": rows["AR"].to_numpy(),
            "columns": rows["AC"].to_numpy(),
            "dataflow": rows["df"].to_numpy().astype(str),
            **dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), sram),
            **dict.fromkeys(("dram_bandwidth", "clock"), np.ones(n)),
        },
    )


def assert_exact(rows: pd.DataFrame) -> None:
    found = reads(rows)
    np.testing.assert_array_equal(found.ifmap, rows["dram_if"])
    np.testing.assert_array_equal(found.filter, rows["dram_f"])


def test_golden_rows_exactly() -> None:
    assert_exact(golden())


def test_every_reference_row_exactly(shared: Path) -> None:
    rows = printed(shared / "reference")
    assert len(rows) == 39
    assert_exact(rows)


def naive(stream: list[int], capacity: int) -> int:
    kept: set[int] = set()
    total = 0
    for address in stream:
        if address not in kept:
            total += 1
            kept.add(address)
            if len(kept) == capacity:
                kept = set()
    return total


@given(
    stream=st.lists(st.integers(0, 30), max_size=200),
    capacity=st.integers(1, 40),
    cut=st.integers(1, 50),
)
def test_misses_are_those_of_the_rule_taken_literally(
    stream: list[int], capacity: int, cut: int
) -> None:
    parts = [np.array(stream[i : i + cut], np.int64) for i in range(0, len(stream), cut)]
    assert misses(iter(parts), capacity, 31) == naive(stream, capacity)


def test_a_stream_longer_than_a_window() -> None:
    stream = np.random.default_rng(0).integers(0, 3000, 20_000)
    assert misses(iter([stream]), 1000, 3000) == naive(stream.tolist(), 1000)


def literal(row: pd.Series, size: int) -> tuple[int, int]:
    """The demand of every cycle spelled out, for one small layer."""
    P, Q, K, C, R, S, stride = (int(row[name]) for name in _SHAPE)
    height, width = int(row["AR"]), int(row["AC"])
    line, W = (Q - 1) * stride + S, R * S * C

    def pixel(m: int, w: int) -> int:
        p, q = divmod(m, Q)
        r, rest = divmod(w, S * C)
        s, c = divmod(rest, C)
        return ((p * stride + r) * line + q * stride + s) * C + c

    down, across = {"os": (P * Q, K), "ws": (W, K), "is": (W, P * Q)}[row["df"]]
    inputs, weights = [], []

    def skewed(into: list[int], steps: range, lanes: range, address) -> None:
        for cycle in range(len(steps) + len(lanes)):
            for c, lane in enumerate(lanes):
                if 0 <= cycle - c < len(steps):
                    into.append(address(steps[cycle - c], lane))

    for j in range(0, across, width):
        columns = range(j, min(j + width, across))
        for i in range(0, down, height):
            rows = range(i, min(i + height, down))
            if row["df"] == "os":
                skewed(inputs, range(W), rows, lambda w, m: pixel(m, w))
                skewed(weights, range(W), columns, lambda w, k: k * W + w)
            elif row["df"] == "ws":
                skewed(inputs, range(P * Q), rows, pixel)
                weights += [k * W + w for w in reversed(rows) for k in columns]
            else:
                inputs += [pixel(m, w) for w in reversed(rows) for m in columns]
                skewed(weights, range(K), rows, lambda k, w: k * W + w)
    capacity = 50 * (size // 100)
    return naive(inputs, capacity), naive(weights, capacity)


@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
@pytest.mark.parametrize("size", [100, 1024, 4096])
def test_small_layers_cycle_by_cycle(dataflow: str, size: int) -> None:
    shapes = [(5, 4, 9, 3, 3, 2, 2), (6, 6, 20, 24, 1, 1, 2), (1, 1, 40, 33, 1, 1, 1)]
    rows = pd.DataFrame(shapes, columns=_SHAPE).assign(df=dataflow, AR=8, AC=4)
    found = reads(rows, size)
    expected = [literal(row, size) for _, row in rows.iterrows()]
    np.testing.assert_array_equal(np.column_stack([found.ifmap, found.filter]), expected)


def test_groups_are_layers_of_their_own_and_the_vector_unit_reads_nothing() -> None:
    rows = golden().iloc[[3]]
    once = reads(rows)
    four = reads(rows.assign(K=4 * rows["K"], C=4 * rows["C"]), groups=4)
    assert (four.ifmap[0], four.filter[0]) == (4 * once.ifmap[0], 4 * once.filter[0])
    pool = reads(rows, operator=2)
    assert (pool.ifmap[0], pool.filter[0]) == (0.0, 0.0)


def test_what_the_tool_cannot_do_is_refused() -> None:
    rows = golden().iloc[:1]
    with pytest.raises(DesignError, match="batch of 2"):
        reads(rows, N=2)
    with pytest.raises(DesignError, match="too small"):
        reads(rows, size=99)


def test_no_layers() -> None:
    assert len(reads(golden().iloc[:0]).ifmap) == 0
