"""Evaluators that break their contract cost rows, not the study; mistakes of the person do not."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Evaluator, Expense, Gene, Measurements, Metric, Problem, Reason, Space, Study
from hwnas.errors import DesignError, TooManyFailuresError
from hwnas.evaluation import measures

SPACE = Space((Gene("net.x", tuple(range(40))),))


class Odd(Evaluator):
    """Answers as it is told."""

    metrics = (Metric("odd"),)

    def __init__(self, answer, expense=Expense.FREE):
        self.answer = answer
        self.expense = expense

    def evaluate(self, designs, fidelity=1.0):
        return self.answer(designs)


def _good(designs):
    return Measurements.of(Odd.metrics, {"odd": designs["net.x"] * 1.0})


def _raises(designs):
    raise RuntimeError("no")


BROKEN = {
    "raises": (_raises, Reason.RAISED, "RuntimeError: no"),
    "too few rows": (lambda d: _good(d).take(slice(1, None)), Reason.BROKEN, "rows"),
    "too many rows": (
        lambda d: Measurements.stack([_good(d), _good(d)]), Reason.BROKEN, "rows",
    ),
    "NaN": (lambda d: Measurements.of(Odd.metrics, {"odd": np.full(len(d), np.nan)}),
            Reason.BROKEN, "not finite"),
    "another metric": (
        lambda d: Measurements.of((Metric("even"),), {"even": d["net.x"] * 1.0}),
        Reason.BROKEN, "even",
    ),
    "a list": (lambda d: [0.0] * len(d), Reason.BROKEN, "list"),
}  # fmt: skip


@measures("x", expense="free", batch=True)
def x(designs):
    return designs["net.x"] * 1.0


@pytest.mark.parametrize("expense", list(Expense), ids=lambda e: e.value)
@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_a_failed_row_with_its_reason(kind, expense):
    answer, reason, note = BROKEN[kind]
    problem = Problem(SPACE, [x, Odd(answer, expense)], ["x", "odd"])
    measured = problem.evaluate(problem.designs([[1], [2], [3]]))
    assert measured.failed.all()
    assert measured.reason.tolist() == [reason] * 3
    assert all(note in text for text in measured.notes)


def test_the_study_goes_on_and_gives_up_when_everything_fails():
    study = Study(Problem(SPACE, [Odd(_raises)], ["odd"]), "random", budget=30)
    with pytest.raises(TooManyFailuresError, match="in a row failed"):
        list(study.run())
    assert len(study.history) >= 10


def test_some_failures_do_not_stop_it():
    @measures("odd")
    def sometimes(design):
        if design["net.x"] % 3 == 0:
            raise ValueError("a multiple of three")
        return design["net.x"]

    study = Study(Problem(SPACE, [sometimes], ["odd"]), "exhaustive", budget=100)
    list(study.run())
    assert study.history.failures == 14
    assert study.front().designs[0].objectives == {"odd": 1.0}


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_mistake_of_the_person_is_said_at_once(timeout):
    def needs_layers(designs):
        return Measurements.of(Odd.metrics, {"odd": designs.layers.total(designs.layers.macs)})

    evaluator = Odd(needs_layers, Expense.COSTLY)
    study = Study(Problem(SPACE, [evaluator], ["odd"]), "random", budget=5, timeout=timeout)
    with pytest.raises(DesignError, match="no 'net' part"):
        list(study.run())
