"""The hypervolume's box: against values by hand, and fixed before anything is measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Gene, Metric, PerDesign, Problem, Space, measures
from hwnas.errors import ProblemError
from hwnas.testing import toys
from hwnas.yardstick import Yardstick, before_measuring, references


def test_a_hypervolume_by_hand():
    box = Yardstick((4.0, 4.0), (0.0, 0.0), (False, False))
    # (1, 3) covers 3 x 1, (2, 2) adds 2 x 1, (3, 1) adds 1 x 1: 6 of 16.
    losses = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [3.0, 3.0]])
    assert box.hypervolume(losses) == pytest.approx(6 / 16)


def test_three_objectives_by_hand():
    box = Yardstick((2.0, 2.0, 2.0), (0.0, 0.0, 0.0), (False,) * 3)
    # Two cuboids of 2 x 1 x 1 each that share 1 x 1 x 1: 3 of 8.
    assert box.hypervolume(np.array([[0.0, 1, 1], [1, 0.0, 1]])) == pytest.approx(3 / 8)


def test_a_logarithmic_objective_by_hand():
    box = Yardstick((1000.0, 1.0), (1.0, 0.0), (True, False))
    # 10 is a third of the way from 1 to 1000: 2/3 x 1/2.
    assert box.hypervolume(np.array([[10.0, 0.5]])) == pytest.approx(2 / 3 * 1 / 2)
    np.testing.assert_allclose(box.scaled(np.array([[100.0, 0.25]])), [[2 / 3, 0.25]])


def test_only_finite_losses_inside_the_box_count():
    box = Yardstick((1.0, 1.0), (0.0, 0.0), (False, False))
    assert box.hypervolume(np.empty((0, 2))) == 0.0
    assert box.hypervolume(np.array([[np.inf, np.inf], [np.nan, 0.0]])) == 0.0
    assert box.hypervolume(np.array([[1.0, 0.0], [0.0, 2.0]])) == 0.0
    assert box.hypervolume(np.array([[0.5, 0.5], [0.1, 2.0], [np.inf, 0]])) == pytest.approx(0.25)


def test_better_than_ideal_is_more_than_the_box():
    box = Yardstick((1.0, 1.0), (0.0, 0.0), (False, False))
    assert box.hypervolume(np.array([[-1.0, 0.0]])) == pytest.approx(2.0)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_more_designs_never_dominate_less(points):
    box = Yardstick((1.0, 1.0), (0.0, 0.0), (False, False))
    losses = np.array(points)
    volumes = [box.hypervolume(losses[: i + 1]) for i in range(len(losses))]
    assert (np.diff(volumes) >= -1e-12).all()
    assert volumes[0] == pytest.approx((1 - losses[0]).prod())


def test_an_empty_box_is_refused():
    with pytest.raises(ProblemError, match="box is empty"):
        Yardstick((1.0, 0.0), (0.0, 0.0), (False, False))


def test_the_box_around_losses():
    losses = np.array([[0.0, 1e-3], [1.0, 1.0], [np.inf, np.inf]])
    box = Yardstick.spanning(losses, {})
    assert box.ideal == (0.0, 1e-3)
    assert box.reference == pytest.approx((1.1, 1.0999))  # a tenth of the span further
    assert box.logarithmic == (False, True)  # three decades


@pytest.mark.parametrize(("worst", "logarithmic"), [(31.0, False), (32.0, True)])
def test_a_decade_and_a_half_is_logarithmic(worst, logarithmic):
    box = Yardstick.spanning(np.array([[1.0], [worst]]), {})
    assert box.logarithmic == (logarithmic,)


def test_a_constant_objective_has_a_box_all_the_same():
    box = Yardstick.spanning(np.array([[3.0, 1.0], [3.0, 2.0]]), {})
    assert box.reference[0] > 3.0
    assert 0 < box.hypervolume(np.array([[3.0, 1.0]])) <= 1.0


def test_what_a_person_chose_stays_and_is_linear():
    box = Yardstick.spanning(np.array([[1.0], [1000.0]]), {0: 500.0})
    assert (box.reference, box.logarithmic) == ((500.0,), (False,))


def test_a_reference_better_than_everything_is_refused():
    with pytest.raises(ProblemError, match="box is empty") as caught:
        Yardstick.spanning(np.array([[1.0], [2.0]]), {0: 0.5})
    assert "worse reference" in caught.value.cure


def test_json():
    box = Yardstick((1000.0, 1.0), (1.0, 0.0), (True, False))
    assert Yardstick.from_json(json.loads(json.dumps(box.to_json()))) == box


SPACE = Space((Gene("net.x", tuple(range(1, 101))), Gene("hw.y", (1, 10, 100))))


class Never(PerDesign):
    """Must not be called."""

    metrics = (Metric("error", worst=1.0, best=0.0), Metric("loss"))

    def __init__(self, *metrics):
        self.metrics = metrics or Never.metrics

    def measure(self, design, fidelity=1.0):
        raise AssertionError


@measures("latency", unit="s", expense="free", batch=True)
def latency(designs):
    return 1e-3 * designs["hw.y"]


@measures("speed", unit="Hz", goal="maximize", expense="free", batch=True)
def speed(designs):
    return 1.0 * designs["hw.y"]


class TestBeforeMeasuring:
    error = Never(Metric("error", worst=1.0, best=0.0))

    def test_costly_metrics_enter_with_their_bounds(self):
        problem = Problem(SPACE, [self.error, latency], ["error", "latency"])
        box = before_measuring(problem, 0, {})
        assert box.ideal == pytest.approx((0.0, 1e-3))
        assert box.reference == pytest.approx((1.0, 0.1 + 0.0099))  # a bound needs no margin
        assert box.logarithmic == (False, True)

    def test_it_waits_for_a_costly_metric_without_bounds(self):
        problem = Problem(SPACE, [Never(), latency], ["error", "loss"])
        assert before_measuring(problem, 0, {}) is None

    def test_it_waits_where_nothing_is_feasible(self):
        assert before_measuring(toys.infeasible(), 0, {}) is not None  # constraints do not count

        @measures("broken", expense="free", batch=True)
        def broken(designs):
            return np.full(len(designs), np.nan)

        assert before_measuring(Problem(SPACE, [broken], ["broken"]), 0, {}) is None

    def test_goals_that_are_maximised(self):
        box = before_measuring(Problem(SPACE, [speed], ["speed"]), 0, {})
        assert box.ideal == (-100.0,)
        assert box.reference == pytest.approx((-1.0 + 9.9,))

    def test_a_reference_is_given_as_a_value(self):
        problem = Problem(SPACE, [speed, latency], ["speed", "latency"])
        box = before_measuring(problem, 0, {"speed": 5.0})
        assert box.reference[0] == -5.0

    def test_it_follows_the_seed_alone(self):
        problem = toys.zdt1()
        assert before_measuring(problem, 1, {}) == before_measuring(problem, 1, {})


def test_references_name_objectives():
    problem = Problem(SPACE, [speed, latency], ["speed", "latency"])
    assert references(problem, {"latency": 2.0, "speed": 5.0}) == {1: 2.0, 0: -5.0}
    with pytest.raises(ProblemError, match="'sped', which is no objective") as caught:
        references(problem, {"sped": 1.0})
    assert "speed" in caught.value.rule
