"""Normal scores: what they are, the way back, and moments of values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from hwnas.prediction.normal_scores import NormalScores

VALUES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=30).map(np.array)


@given(VALUES)
def test_scores_keep_the_order_and_lead_back(y):
    scores = NormalScores(y)
    assert np.array_equal(np.argsort(y, kind="stable"), np.argsort(scores.scores, kind="stable"))
    np.testing.assert_allclose(scores.back(scores.scores), y)
    grid = np.linspace(-6, 6, 50)
    assert (np.diff(scores.back(grid)) >= 0).all()


def test_they_are_quantiles_of_the_normal_distribution():
    scores = NormalScores(np.array([3.0, 1.0, 2.0, 2.0])).scores
    # Ranks 4, 1, 2.5, 2.5 of four.
    np.testing.assert_allclose(norm.cdf(scores), [3.5 / 4, 0.5 / 4, 0.5, 0.5])


def test_moments_are_those_of_draws():
    rng = np.random.default_rng(0)
    scores = NormalScores(rng.exponential(size=40) ** 2)
    mean, deviation = np.array([-1.0, 0.0, 1.2]), np.array([0.3, 1.0, 0.5])
    expected, std = scores.moments(mean, deviation)
    draws = scores.back(mean[:, None] + deviation[:, None] * rng.standard_normal((3, 400_000)))
    np.testing.assert_allclose(expected, draws.mean(axis=1), rtol=0.01, atol=0.01)
    np.testing.assert_allclose(std, draws.std(axis=1), rtol=0.04)


def test_normal_values_come_back_as_they_went():
    # The quantile function of a normal sample is nearly a line, and moments then are nearly exact.
    y = 5.0 + 2.0 * np.random.default_rng(1).standard_normal(4000)
    expected, std = NormalScores(y).moments(np.array([0.5]), np.array([0.25]))
    assert expected[0] == pytest.approx(6.0, abs=0.1)
    assert std[0] == pytest.approx(0.5, abs=0.05)


def test_equal_values_have_no_spread():
    expected, std = NormalScores(np.full(5, 7.0)).moments(np.array([-3.0, 0.0]), np.ones(2))
    assert expected.tolist() == [7.0, 7.0]
    assert std.tolist() == [0.0, 0.0]
