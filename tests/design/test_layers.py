"""The layer table: counts by hand, sums and selections against loops."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.design import LayerTable, Operator


@st.composite
def tables(draw):
    """Random tables in which some designs have no row."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    design = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    columns = {name: rng.integers(1, 9, len(design)) for name in ("K", "C", "P", "Q", "R", "S")}
    columns["operator"] = rng.integers(0, len(Operator), len(design))
    return LayerTable.of(len(counts), design, **columns)


def test_counts_by_hand():
    table = LayerTable.of(
        2,
        np.array([0, 0, 1, 1, 1]),
        operator=np.array(
            [Operator.CONVOLUTION, Operator.LINEAR, Operator.CONVOLUTION, Operator.POOL,
             Operator.ADD]
        ),
        K=np.array([16, 10, 32, 32, 8]),
        C=np.array([3, 16, 32, 32, 8]),
        P=np.array([8, 1, 4, 1, 4]),
        Q=np.array([6, 1, 4, 1, 4]),
        R=np.array([3, 1, 5, 4, 1]),
        S=np.array([3, 1, 5, 4, 1]),
        stride=np.array([2, 1, 1, 1, 1]),
        groups=np.array([1, 1, 32, 1, 1]),
    )  # fmt: skip
    assert table.macs.tolist() == [16 * 3 * 8 * 6 * 9, 160, 32 * 1 * 16 * 25, 0, 0]
    assert table.weights.tolist() == [432, 160, 800, 0, 0]
    assert table.outputs.tolist() == [16 * 48, 10, 32 * 16, 32, 8 * 16]
    # 3 x (7*2+3) x (5*2+3);  16;  32 x 8 x 8;  32 x 4 x 4;  two inputs of 8 x 4 x 4.
    assert table.inputs.tolist() == [3 * 17 * 13, 16, 32 * 64, 32 * 16, 2 * 8 * 16]
    assert table.has_weights.tolist() == [True, True, True, False, False]
    assert table.total(table.weights).tolist() == [592, 800]


@given(tables())
def test_totals_are_sums_over_each_design(table):
    expected = [
        sum(int(m) for m, d in zip(table.macs, table.design, strict=True) if d == i)
        for i in range(table.n)
    ]
    assert table.total(table.macs).tolist() == expected


@given(tables(), st.data())
def test_take_gives_the_rows_of_the_designs_asked_for(table, data):
    wanted = data.draw(st.lists(st.integers(0, table.n - 1), max_size=8))
    taken = table.take(wanted)
    rows = [(new, i) for new, old in enumerate(wanted) for i in np.flatnonzero(table.design == old)]
    assert taken.n == len(wanted)
    assert taken.design.tolist() == [new for new, _ in rows]
    for field in fields(table):
        if field.name not in ("n", "design"):
            expected = getattr(table, field.name)[[i for _, i in rows]]
            np.testing.assert_array_equal(getattr(taken, field.name), expected)


def test_usual_values_are_filled_in():
    table = LayerTable.of(1, np.array([0]), K=4, C=2)
    usual = {f.name: getattr(table, f.name).tolist() for f in fields(table) if f.name != "n"}
    assert usual == {
        "design": [0], "operator": [0], "N": [1], "K": [4], "C": [2], "P": [1], "Q": [1],
        "R": [1], "S": [1], "stride": [1], "groups": [1], "weight_bits": [32],
        "activation_bits": [32], "density": [1.0], "cell": [0], "tiling": [0], "stay": [0],
    }  # fmt: skip


def test_no_rows_at_all():
    table = LayerTable.of(3, np.empty(0, dtype=np.int64), K=1, C=1)
    assert len(table) == 0
    assert table.total(table.macs).tolist() == [0, 0, 0]
    assert len(table.take([0, 2])) == 0


def test_other_bits_leave_the_rest_alone():
    table = LayerTable.of(1, np.array([0, 0]), K=4, C=2)
    changed = table.with_bits(np.array([2, 4]), np.array([6, 8]))
    assert (changed.weight_bits.tolist(), changed.activation_bits.tolist()) == ([2, 4], [6, 8])
    assert table.weight_bits.tolist() == [32, 32]
    np.testing.assert_array_equal(changed.macs, table.macs)


# macs, weights, shifts, additions of a layer with C = 2, K = 4 and P = 3.
COUNTS = {
    Operator.CONVOLUTION: (24, 8, 0, 0),
    Operator.LINEAR: (24, 8, 0, 0),
    Operator.POOL: (0, 0, 0, 0),
    Operator.ADD: (0, 0, 0, 0),
    Operator.MATMUL: (24, 0, 0, 0),
    Operator.ELEMENTWISE: (0, 0, 0, 0),
    Operator.EMBEDDING: (0, 8, 0, 0),
    Operator.SHIFT: (0, 8, 24, 24),
    Operator.ADDER: (0, 8, 0, 48),
}


@pytest.mark.parametrize("operator", list(Operator))
def test_what_each_operator_counts(operator):
    table = LayerTable.of(1, np.array([0]), K=4, C=2, P=3, operator=int(operator))
    found = (table.macs, table.weights, table.shifts, table.additions)
    assert tuple(int(column[0]) for column in found) == COUNTS[operator]
    assert bool(table.has_weights[0]) == (COUNTS[operator][1] > 0)


def test_attention_by_hand():
    """Two images, 3 heads of width 4, 5 tokens: scores, then values, in loops."""
    N, heads, width, tokens = 2, 3, 4, 5
    table = LayerTable.of(
        1, np.array([0, 0]), operator=int(Operator.MATMUL), N=N, P=tokens, groups=heads,
        C=np.array([heads * width, heads * tokens]), K=np.array([heads * tokens, heads * width]),
        weight_bits=3, activation_bits=6,
    )  # fmt: skip
    macs = sum(1 for _ in np.ndindex(N, heads, tokens, tokens, width))
    assert table.macs.tolist() == [macs, macs]
    queries = keys = N * heads * tokens * width
    scores = N * heads * tokens * tokens
    assert table.inputs.tolist() == [queries + keys, scores + keys]
    assert table.outputs.tolist() == [scores, queries]
    assert table.operand_bits.tolist() == [6, 6]
    assert LayerTable.of(1, np.array([0]), K=1, C=1, weight_bits=3).operand_bits.tolist() == [3]


def test_an_embedding_reads_the_numbers_of_its_rows():
    table = LayerTable.of(1, np.array([0]), C=100, K=8, P=5, operator=int(Operator.EMBEDDING))
    assert (table.inputs[0], table.outputs[0], table.weights[0]) == (5, 40, 800)
