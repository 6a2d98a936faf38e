"""Evaluators that read more than they say are found while a study runs."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Gene, Problem, Space, Study, measures
from hwnas.errors import ProblemError
from hwnas.evaluation.interface import Infeasible
from hwnas.searchers.random import RandomSearch
from hwnas.spotcheck import EVERY
from hwnas.storage import StudyStore

SPACE = Space(
    (
        Gene("net.x", tuple(range(20))),
        Gene("net.z", tuple(range(20))),
        Gene("hw.y", tuple(range(20))),
        Gene("hw.style", ("a", "b"), ordered=False),
    )
)


@measures("cost", expense="free", batch=True)
def cost(designs):
    return designs["net.x"] + designs["hw.y"] + (designs["hw.style"] == "a")


def costly(answer, deterministic=True):
    """An evaluator that says it reads the network alone, and counts its calls."""
    calls = []

    @measures("error", reads=("net",), deterministic=deterministic)
    def error(design):
        calls.append(design.config)
        return answer(design)

    error.calls = calls
    return error


def honest(design):
    return 1 / (1 + design["net.x"] + design["net.z"])


class Pairs(RandomSearch):
    """Proposes each network with two accelerators."""

    name = "pairs"

    def ask(self, n):
        rows = super().ask(n)
        other = rows.copy()
        other[:, 2] = (other[:, 2] + 1) % 20
        both = np.concatenate([rows, other])
        return both[self.told.new(both)]


def study(evaluator, budget=120, **options):
    problem = Problem(SPACE, [evaluator, cost], ["error", "cost"])
    return Study(problem, Pairs, budget=budget, seed=1, batch=10, **options)


def finish(one):
    for _ in one.run():
        pass
    return one


def test_an_honest_evaluator_is_measured_two_times_in_a_hundred_more():
    evaluator = costly(honest)
    one = finish(study(evaluator))
    assert one.history.evaluations == 120
    assert len(evaluator.calls) == 120 + one.checks
    assert one.checks == 3
    assert one._spot.at[0] <= 10  # the first step has pairs
    assert (np.diff(one._spot.at) >= EVERY).all()
    assert one.checks <= 1 + 120 // EVERY


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda d: honest(d) + 0.01 * d["hw.y"], "error ="),
        (lambda d: Infeasible("odd") if d["hw.y"] % 2 else honest(d), "infeasible with"),
    ],
)
def test_a_lie_is_found_and_explained(lie, said):
    evaluator = costly(lie)
    with pytest.raises(ProblemError, match="evaluator error reads more") as caught:
        finish(study(evaluator))
    error = caught.value
    assert said in error.given
    assert error.given.count("hw.y = ") == 2
    assert "net.x" not in error.given
    assert "reads=('net', 'hw')" in error.cure
    assert "net" in error.rule


def test_small_rounding_is_no_lie():
    calls = []

    def rounding(design):
        calls.append(1)
        return honest(design) * (1 + 1e-12 * len(calls))

    assert finish(study(costly(rounding))).checks == 3


def test_what_answers_differently_every_time_and_says_so_is_left_alone():
    calls = []

    def noisy(design):
        calls.append(1)
        return float(len(calls))

    one = finish(study(costly(noisy, deterministic=False)))
    assert one.checks == 0
    assert len(calls) == one.history.evaluations == len(one.history)


def test_small_budgets_and_last_evaluations_are_not_checked():
    evaluator = costly(honest)
    assert finish(study(evaluator, budget=EVERY - 1)).checks == 0
    assert len(evaluator.calls) == EVERY - 1
    assert finish(study(costly(honest), budget=EVERY)).checks == 1


def test_a_check_that_fails_proves_nothing():
    seen = set()

    def breaks(design):
        network = design["net.x"], design["net.z"]
        if network in seen:
            raise OSError("the second time it breaks")
        seen.add(network)
        return honest(design)

    assert finish(study(costly(breaks))).checks == 3


def test_checks_change_nothing_and_are_counted_over_resumed_runs(tmp_path):
    file = tmp_path / "s.journal"
    whole, before, after = (costly(honest) for _ in range(3))
    expected = finish(study(whole))
    cut = study(before, storage=file)
    for progress in cut.run():
        if progress.evaluations > 70:
            break
    assert cut.checks == 2
    again = study(after, storage=file)
    assert again._spot.at == cut._spot.at
    finish(again)
    assert StudyStore(file, "study").checks() == expected._spot.at == again._spot.at
    assert len(before.calls) + len(after.calls) == len(whole.calls) == 120 + 3
    one, other = (
        s.history.rows.genomes[np.lexsort((s.history.rows.position, s.history.rows.step))]
        for s in (again, expected)
    )
    np.testing.assert_array_equal(one, other)
