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
    columns["operator"] = rng.integers(0, 4, len(design))
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
        "activation_bits": [32], "density": [1.0], "cell": [0],
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


@pytest.mark.parametrize("operator", list(Operator))
def test_only_layers_with_weights_multiply(operator):
    table = LayerTable.of(1, np.array([0]), K=4, C=2, operator=int(operator))
    expected = 8 if operator in (Operator.CONVOLUTION, Operator.LINEAR) else 0
    assert (table.macs.tolist(), table.weights.tolist()) == ([expected], [expected])
