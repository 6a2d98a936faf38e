"""Isotonic regression: the contract, an oracle, its direction and its uncertainty."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import plugins
from hwnas.errors import ProblemError
from hwnas.testing import PredictorSubject, predictor_checks
from predictors.isotonic import Isotonic


# The other checks of the suite are run for every predictor in tests/test_conformance.py.
@pytest.mark.parametrize("check", predictor_checks()[:1], ids=str)
def test_conformance(check):
    check(PredictorSubject(Isotonic(column=0)))


def test_it_is_found_by_name():
    assert plugins.load("hwnas.predictors", "isotonic") is Isotonic


def minimax(y: np.ndarray) -> np.ndarray:
    """The isotonic fit by its definition: max over starts of min over ends of the mean between."""
    n = len(y)
    return np.array(
        [max(min(y[a : b + 1].mean() for b in range(i, n)) for a in range(i + 1)) for i in range(n)]
    )


@pytest.mark.parametrize("rising", [True, False])
def test_it_is_the_minimax_of_means(rising):
    rng = np.random.default_rng(0)
    g = np.sort(rng.random(15))
    sign = 1.0 if rising else -1.0
    y = sign * (g + 0.3 * rng.standard_normal(15))
    model = Isotonic().fit(g[:, None], y)
    assert model.rising_ is rising
    np.testing.assert_allclose(model.predict(g[:, None]), sign * minimax(sign * y))
    # Flat outside of the data.
    ends = model.predict([[-9.0], [9.0]])
    np.testing.assert_allclose(ends, model.predict(g[[0, -1], None]))


def test_the_direction_can_be_given():
    g = np.arange(6.0)[:, None]
    falling = Isotonic(rising=False).fit(g, np.arange(6.0))
    np.testing.assert_allclose(falling.predict(g), 2.5)
    with pytest.raises(ProblemError, match="true, false or auto"):
        Isotonic(rising="up").fit(g, np.arange(6.0))


def test_one_column_counts():
    X, y = np.random.default_rng(0).random((20, 3)), np.arange(20.0)
    X[:, 1] = y
    np.testing.assert_allclose(Isotonic(column=1).fit(X, y).predict(X), y)
    with pytest.raises(ProblemError, match="isotonic regression has one feature"):
        Isotonic().fit(X, y)
    with pytest.raises(ProblemError, match="0 to 2"):
        Isotonic(column=3).fit(X, y)


def test_the_deviation_is_that_of_new_measurements():
    rng = np.random.default_rng(3)
    g = rng.random(600)
    y = np.sqrt(g) + 0.1 * rng.standard_normal(600)
    model = Isotonic().fit(g[:300, None], y[:300])
    mean, std = model.predict(g[300:, None], return_std=True)
    assert std[0] == pytest.approx(np.sqrt(np.mean((mean - y[300:]) ** 2)), rel=0.15)
    # On what it was fitted on it errs less: that would be too sure.
    assert std[0] > np.sqrt(np.mean((model.predict(g[:300, None]) - y[:300]) ** 2))


def test_ranks_start_at_0_and_ties_share():
    model = Isotonic().fit(np.arange(6.0)[:, None], [0.0, 1.0, 2.0, 2.0, 3.0, 4.0])
    assert model.rank([[5.0], [2.0], [3.0], [0.0]]).tolist() == [3.0, 1.5, 1.5, 0.0]
