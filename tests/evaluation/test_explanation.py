"""Explanations: what the records refuse, how they are joined, and which wrappers pass them on."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Designs
from hwnas.errors import MeasurementError
from hwnas.evaluation import Cached, Explanation, Joined, Noisy, Parallel, Roofline, Timeout
from tests.evaluation.test_pairing import SPACE
from tests.random_problems import Table


class Explains(Table):
    """Says a number."""

    def explain(self, design):
        return Explanation({self.metrics[0].name: {"part": float(self.seed)}})


DESIGN = Designs(SPACE, SPACE.rows()[:1])[0]


def test_bounds_of_a_roofline():
    roof = Roofline(8.0, 2.0, np.array([0.0, 1.0, 4.0, 100.0]), np.array([0.0, 2.0, 8.0, 1.0]))
    assert roof.ridge == 4.0
    np.testing.assert_array_equal(roof.bound, [0.0, 2.0, 8.0, 8.0])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: Explanation({"energy": {"mac": -1.0}}), "'mac' of 'energy'"),
        (lambda: Explanation({"energy": {"mac": np.nan}}), "'mac' of 'energy'"),
        (lambda: Explanation({}, {"latency": np.array([1.0, -1.0])}), "'latency' is not finite"),
        (lambda: Explanation({}, {"latency": np.array([np.inf])}), "'latency' is not finite"),
        (lambda: Explanation({}, {"a": np.ones(2), "b": np.ones(3)}), "differ in length"),
        (lambda: Explanation({}, {"a": np.ones((2, 1))}), "differ in length"),
        (lambda: Roofline(0.0, 1.0, np.ones(1), np.ones(1)), "peak"),
        (lambda: Roofline(1.0, np.inf, np.ones(1), np.ones(1)), "bandwidth"),
        (lambda: Roofline(1.0, 1.0, np.ones(1), np.ones(2)), "differ in length"),
        (
            lambda: Explanation({}, {"a": np.ones(2)}, Roofline(1.0, 1.0, np.ones(1), np.ones(1))),
            "differ in length",
        ),
    ],
)
def test_what_is_refused(broken, message):
    with pytest.raises(MeasurementError, match=message) as caught:
        broken()
    assert caught.value.rule


def test_of_how_many_layers_it_speaks():
    assert Explanation().rows is None
    assert Explanation({}, {"a": np.ones(0)}).rows == 0
    assert Explanation({}, {}, Roofline(1.0, 1.0, np.ones(2), np.ones(2))).rows == 2


def test_the_first_is_heard_where_both_speak():
    roof = Roofline(1.0, 1.0, np.ones(1), np.ones(1))
    first = Explanation({"energy": {"a": 1.0}}, {"latency": np.ones(1)})
    second = Explanation({"energy": {"b": 2.0}, "area": {"c": 3.0}}, {"macs": np.zeros(1)}, roof)
    both = first.beside(second)
    assert both.parts == {"energy": {"a": 1.0}, "area": {"c": 3.0}}
    assert set(both.layers) == {"latency", "macs"}
    assert both.roofline is roof
    with pytest.raises(MeasurementError, match="differ in length"):
        first.beside(Explanation({}, {"macs": np.zeros(2)}))


def test_nobody_has_to_explain():
    silent = Table(["m"], (), 1)
    assert silent.explain(DESIGN) is None
    assert Joined([silent, Table(["k"], (), 1)]).explain(DESIGN) is None


def test_joined_ones_speak_together():
    joined = Joined([Explains(["a"], (), 1), Table(["b"], (), 2), Explains(["c"], (), 3)])
    said = joined.explain(DESIGN)
    assert said is not None
    assert said.parts == {"a": {"part": 1.0}, "c": {"part": 3.0}}


@pytest.mark.parametrize(
    "wrap",
    [Cached, lambda e: Parallel(e, 2), lambda e: Timeout(e, 5.0), lambda e: Cached(Joined([e]))],
    ids=["cached", "parallel", "timeout", "cached and joined"],
)
def test_what_changes_no_answer_passes_it_on(wrap):
    said = wrap(Explains(["a"], (), 5)).explain(DESIGN)
    assert said.parts == {"a": {"part": 5.0}}


def test_noise_is_not_explained():
    assert Noisy(Explains(["a"], (), 5), 0.1).explain(DESIGN) is None
