"""Evaluators one by one and in batches: what they may answer, and what is made of it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hwnas import Designs, Gene, Goal, Infeasible, Metric, PerDesign, Reason, Space, measures
from hwnas.errors import MeasurementError
from hwnas.evaluation import Expense, FunctionEvaluator
from hwnas.evaluation.interface import collect, describe
from hwnas.metrics import Measurements

SPACE = Space((Gene("net.x", tuple(range(10))), Gene("hw.y", (1, 2))))
DESIGNS = Designs(SPACE, [[i, 0] for i in range(4)])


class Answers(PerDesign):
    """Answers what it was given, design by design."""

    metrics = (Metric("a"), Metric("b", "s"))

    def __init__(self, *answers):
        self.answers = answers

    def measure(self, design, fidelity=1.0):
        answer = self.answers[design["net.x"]]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer


def one(answer):
    """Reason and note of one design that answers so, between two that are well."""
    good = {"a": 1.0, "b": 2.0}
    measured = Answers(good, answer, good).evaluate(DESIGNS[:3])
    assert measured.feasible.tolist()[::2] == [True, True]
    assert measured["b"].tolist()[::2] == [2.0, 2.0]
    assert np.isnan(measured["a"][1]) == (not measured.feasible[1])
    return Reason(int(measured.reason[1])), measured.notes[1]


class TestPerDesign:
    @pytest.mark.parametrize(
        "value",
        [3, 3.0, np.float32(3), np.float64(3), np.int8(3), np.array(3.0), np.array([3.0]),
         np.array([[3]])],
        ids=repr,
    )  # fmt: skip
    def test_numbers(self, value):
        measured = Answers({"a": value, "b": 0}).evaluate(DESIGNS[:1])
        assert measured.feasible.all()
        assert measured["a"].tolist() == [3.0]
        assert measured["a"].dtype == np.float64

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, np.float32("nan")])
    def test_not_finite(self, value):
        reason, note = one({"a": value, "b": 0})
        assert reason is Reason.NOT_FINITE
        assert "'a'" in note

    @pytest.mark.parametrize(
        "value",
        [True, False, np.True_, None, "0.5", b"1", 1 + 0j, [1.0], (), {}, np.array([1.0, 2.0]),
         np.array(True), Fraction(1, 2)],
        ids=repr,
    )  # fmt: skip
    def test_no_numbers(self, value):
        reason, note = one({"a": value, "b": 0})
        assert reason is Reason.BROKEN
        assert "'a'" in note
        assert "not a number" in note

    def test_a_number_beyond_every_float(self):
        assert one({"a": 10**400, "b": 0})[0] in (Reason.NOT_FINITE, Reason.BROKEN)

    @pytest.mark.parametrize("answer", [{"a": 1.0}, {"a": 1.0, "B": 2.0}, {}])
    def test_wrong_keys(self, answer):
        assert one(answer)[0] is Reason.BROKEN

    @pytest.mark.parametrize("answer", [1.0, None, [("a", 1.0)], "a", np.array([1.0, 2.0])])
    def test_no_mapping(self, answer):
        reason, note = one(answer)
        assert reason is Reason.BROKEN
        assert type(answer).__name__ in note

    def test_further_keys_are_left_out(self):
        assert set(Answers({"a": 1, "b": 2, "c": 3}).evaluate(DESIGNS[:1]).columns) == {"a", "b"}

    def test_exceptions(self):
        reason, note = one(ZeroDivisionError("first line\nsecond line"))
        assert reason is Reason.RAISED
        assert note == "ZeroDivisionError: first line"

    @pytest.mark.parametrize("reason", [Reason.INFEASIBLE, Reason.DIVERGED])
    def test_infeasible(self, reason):
        assert one(Infeasible("too large", reason)) == (reason, "too large")

    def test_infeasible_without_a_reason_costs_no_other_row(self):
        assert one(lambda: Infeasible("why", Reason.NONE))[0] is Reason.RAISED

    def test_no_designs(self):
        measured = Answers().evaluate(DESIGNS[:0])
        assert len(measured) == 0
        assert measured.metrics == Answers.metrics

    def test_streams_row_by_row(self):
        good = {"a": 1.0, "b": 2.0}
        chunks = list(Answers(good, ValueError(), good).stream(DESIGNS[:3]))
        assert [rows.tolist() for rows, _ in chunks] == [[0], [1], [2]]
        assert [len(part) for _, part in chunks] == [1, 1, 1]

    def test_keyboard_interrupts_are_not_swallowed(self):
        class Stopped(PerDesign):
            metrics = (Metric("a"),)

            def measure(self, design, fidelity=1.0):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Stopped().evaluate(DESIGNS)


def batch(answer, *metrics):
    @measures(*(metrics or ("a",)), batch=True)
    def function(designs):
        return answer(designs) if callable(answer) else answer

    return function.evaluate(DESIGNS)


class TestBatches:
    def test_one_metric_is_an_array(self):
        assert batch(lambda d: d["net.x"] * 2)["a"].tolist() == [0, 2, 4, 6]

    def test_several_metrics_are_a_mapping(self):
        measured = batch(lambda d: {"b": d["net.x"], "a": [1, 2, 3, 4], "c": 0}, "a", "b")
        assert list(measured.columns) == ["a", "b"]
        assert measured["a"].tolist() == [1, 2, 3, 4]

    def test_rows_that_are_not_finite_fail_alone(self):
        measured = batch(lambda d: {"a": [1, np.nan, np.inf, 4], "b": [1, 2, 3, None]}, "a", "b")
        bad = Reason.NOT_FINITE
        assert measured.reason.tolist() == [Reason.NONE, bad, bad, bad]
        assert measured.feasible.tolist() == [True, False, False, False]

    @pytest.mark.parametrize(
        "answer",
        [1.0, [1.0], np.ones(3), np.ones((4, 1)), np.ones((4, 2)), ["a"] * 4, None, object()],
        ids=["scalar", "one", "three", "column", "matrix", "text", "none", "object"],
    )
    def test_wrong_shapes_and_kinds_fail_as_a_batch(self, answer):
        measured = batch(answer)
        assert measured.reason.tolist() == [Reason.BROKEN] * 4
        assert all(measured.notes)

    @pytest.mark.parametrize("answer", [[True, False, True, True], ["1", "2", "3", "4"]])
    def test_truth_values_and_texts_are_no_numbers_in_batches_either(self, answer):
        assert batch(np.array(answer)).reason.tolist() == [Reason.BROKEN] * 4

    def test_a_missing_metric_fails_as_a_batch(self):
        assert batch({"a": np.ones(4)}, "a", "b").reason.tolist() == [Reason.BROKEN] * 4

    def test_exceptions_fail_as_a_batch(self):
        def answer(designs):
            raise RuntimeError("no")

        measured = batch(answer)
        assert measured.reason.tolist() == [Reason.RAISED] * 4
        assert measured.notes[0] == "RuntimeError: no"

    def test_no_designs_call_nothing(self):
        @measures("a", batch=True)
        def function(designs):
            raise AssertionError

        assert len(function.evaluate(DESIGNS[:0])) == 0


class TestMeasures:
    def test_a_function_is_an_evaluator_and_still_a_function(self):
        @measures("size", unit="B", goal="maximize", reads=["net"], expense="free", version="7")
        def size(design):
            """How large."""
            return design["net.x"]

        assert isinstance(size, FunctionEvaluator)
        assert size.metrics == (Metric("size", "B", Goal.MAXIMIZE),)
        assert (size.name, size.version, size.expense) == ("size", "7", Expense.FREE)
        assert size.reads == {"net"}
        assert size.__doc__ == "How large."
        assert size({"net.x": 5}) == 5
        assert size.evaluate(DESIGNS)["size"].tolist() == [0, 1, 2, 3]

    def test_what_a_function_raises_or_answers_wrongly_fails_its_row(self):
        @measures("a")
        def function(design):
            return 1 / design["net.x"] if design["net.x"] < 2 else "two"

        measured = function.evaluate(DESIGNS)
        broken = Reason.BROKEN
        assert measured.reason.tolist() == [Reason.RAISED, Reason.NONE, broken, broken]

    def test_a_function_may_say_that_a_design_is_infeasible(self):
        @measures("a", "b")
        def function(design):
            return Infeasible("too small") if design["net.x"] == 0 else {"a": 1, "b": 2}

        measured = function.evaluate(DESIGNS[:2])
        assert measured.reason.tolist() == [Reason.INFEASIBLE, Reason.NONE]
        assert measured.notes[0] == "too small"

    def test_metrics_are_needed(self):
        with pytest.raises(MeasurementError, match="measures something"):
            measures()

    def test_names_are_checked(self):
        with pytest.raises(MeasurementError, match="cannot name a metric"):
            measures("my metric")

    def test_units_and_goals_of_bare_names_only(self):
        @measures("a", Metric("b", "J"), unit="s")
        def function(design):
            return {}

        assert [m.unit for m in function.metrics] == ["s", "J"]


def rows(*values):
    return Measurements.of((Metric("a"),), {"a": values})


class TestCollect:
    def test_chunks_come_in_any_order(self):
        chunks = [
            (np.array([3, 0]), rows(3, 0)),
            (np.array([2]), rows(2)),
            (np.array([1]), rows(1)),
        ]
        assert collect((Metric("a"),), 4, chunks)["a"].tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize("index", [[0], [0, 0], [0, 2], [0, 1, 1]])
    def test_every_row_comes_once(self, index):
        chunks = [(np.array(index), rows(*index))]
        with pytest.raises(MeasurementError, match="every row once"):
            collect((Metric("a"),), 2, chunks)


def test_exceptions_in_one_line():
    assert describe(ValueError()) == "ValueError"
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(OSError("\n\n a\n b")) == "OSError: a"
