"""Metrics and measurements: what is refused, and how rows are put together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Goal, Measurements, Metric, Reason
from hwnas.errors import MeasurementError

A, B = Metric("a"), Metric("b", "s", Goal.MAXIMIZE)


def table(a=(1.0, 2.0, np.nan), reason=(0, 0, 1), notes=("", "", "why")):
    return Measurements.of([A], {"a": a}, reason=reason, notes=notes)


@pytest.mark.parametrize("name", ["", "my metric", "1st", "edp=e", "a-b", "a.b"])
def test_names_of_metrics_are_identifiers(name):
    with pytest.raises(MeasurementError, match="cannot name a metric"):
        Metric(name)


def test_feasible_follows_from_the_reason():
    measured = table()
    assert measured.feasible.tolist() == [True, True, False]
    assert len(measured) == 3
    assert measured["a"].dtype == np.float64


def test_all_rows_are_feasible_if_no_reason_is_given():
    assert Measurements.of([A], {"a": [1, 2]}).reason.tolist() == [0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feasible_row_is_finite_and_the_bad_rows_are_named(value):
    with pytest.raises(MeasurementError, match="'a' is not finite") as caught:
        Measurements.of([A], {"a": [1, value, 3, value]})
    assert caught.value.where == "rows 1, 3"


def test_many_bad_rows_are_cut_short():
    with pytest.raises(MeasurementError) as caught:
        Measurements.of([A], {"a": np.full(50, np.nan)})
    assert caught.value.where.endswith("9 ...")


def test_rows_that_are_not_feasible_may_have_values():
    assert table(a=(1.0, 2.0, 3.0))["a"][2] == 3.0


@pytest.mark.parametrize(
    ("feasible", "reason"),
    [([True, True], [0, 1]), ([True, False], [0, 0])],
    ids=["feasible with a reason", "infeasible without"],
)
def test_feasible_and_reason_agree(feasible, reason):
    with pytest.raises(MeasurementError, match="contradict"):
        Measurements((A,), {"a": np.ones(2)}, np.array(feasible), np.array(reason))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "not the metrics"),
        ({"a": np.ones(2), "b": np.ones(2)}, "not the metrics"),
        ({"a": np.ones(3)}, "shape"),
        ({"a": np.ones((2, 1))}, "shape"),
    ],
)
def test_columns_are_the_metrics_and_fit(columns, message):
    with pytest.raises(MeasurementError, match=message):
        Measurements((A,), columns, np.array([True, True]), np.array([0, 0]))


def test_lengths_agree():
    with pytest.raises(MeasurementError, match="differ in length"):
        Measurements(
            (A,), {"a": np.ones(2)}, np.array([True, True]), np.array([0, 0]), ("", "", "")
        )


def test_a_missing_column_is_named_with_the_nearest():
    with pytest.raises(MeasurementError, match="'latency' was not answered") as caught:
        Measurements.of([Metric("latency")], {"latancy": [1.0]})
    assert "latancy" in caught.value.cure


def test_the_same_metric_twice_is_refused():
    with pytest.raises(MeasurementError):
        Measurements.of([A, Metric("a", "s")], {"a": [1.0]})


def test_further_columns_are_left_out():
    assert list(Measurements.of([A], {"b": [1], "a": [2]}).columns) == ["a"]


def test_nothing():
    rows = Measurements.nothing([A, B], 2, Reason.TIMED_OUT, "too slow")
    assert np.isnan(rows["a"]).all()
    assert np.isnan(rows["b"]).all()
    assert rows.notes == ("too slow", "too slow")
    assert len(Measurements.nothing([A], 0, Reason.NONE)) == 0
    assert len(Measurements.nothing([], 3, Reason.NONE)) == 3


def test_failures_are_not_infeasible_designs():
    codes = np.array([int(reason) for reason in Reason])
    rows = Measurements.of([A], {"a": np.ones(len(codes))}, reason=codes)
    failed = {Reason(int(code)).name for code in codes[rows.failed]}
    assert failed == {"RAISED", "TIMED_OUT", "CRASHED", "NOT_FINITE", "BROKEN"}
    assert failed == {reason.name for reason in Reason if reason.is_failure}


def test_reasons_keep_their_numbers():
    # Stored with every study.
    assert [(r.name, int(r)) for r in Reason] == [
        ("NONE", 0), ("INFEASIBLE", 1), ("RULED_OUT", 2), ("DIVERGED", 3), ("RAISED", 4),
        ("TIMED_OUT", 5), ("CRASHED", 6), ("NOT_FINITE", 7), ("BROKEN", 8), ("LOW_FIDELITY", 9),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows", [slice(1, None), np.array([2, 0, 0]), np.array([True, False, True]), np.array([], int)]
)
def test_take(rows):
    taken = table().take(rows)
    index = np.arange(3)[rows]
    np.testing.assert_array_equal(taken["a"], np.array([1.0, 2.0, np.nan])[index])
    assert taken.notes == tuple(("", "", "why")[i] for i in index)
    assert taken.reason.tolist() == [(0, 0, 1)[i] for i in index]


def test_beside_keeps_the_first_reason_and_note():
    left = Measurements.of([A], {"a": [1, 2, np.nan]}, reason=[0, 0, 1], notes=["", "", "left"])
    right = Measurements.of(
        [B], {"b": [1, np.nan, np.nan]}, reason=[0, 4, 5], notes=["x", "r", "s"]
    )
    both = left.beside(right)
    assert both.metrics == (A, B)
    assert both.reason.tolist() == [0, 4, 1]
    assert both.notes == ("x", "r", "left")


def test_beside_refuses_other_batches_and_metrics_twice():
    with pytest.raises(MeasurementError, match="different batches"):
        table().beside(Measurements.of([B], {"b": [1.0]}))
    with pytest.raises(MeasurementError, match="measured twice"):
        table().beside(table())


@given(st.lists(st.integers(0, 3), max_size=4))
def test_stack_puts_blocks_below_each_other(counts):
    blocks = [
        Measurements.of([A], {"a": np.full(n, i)}, notes=[str(i)] * n) for i, n in enumerate(counts)
    ]
    if not blocks:
        with pytest.raises(MeasurementError, match="nothing to stack"):
            Measurements.stack(blocks)
        return
    whole = Measurements.stack(iter(blocks))
    expected = [i for i, n in enumerate(counts) for _ in range(n)]
    assert whole["a"].tolist() == expected
    assert whole.notes == tuple(map(str, expected))


def test_stack_refuses_other_metrics():
    with pytest.raises(MeasurementError, match="different metrics"):
        Measurements.stack([table(), Measurements.of([B], {"b": [1.0]})])


def test_measurements_pickle():
    again = pickle.loads(pickle.dumps(table()))
    np.testing.assert_array_equal(again["a"], table()["a"])
    assert again.notes == table().notes
