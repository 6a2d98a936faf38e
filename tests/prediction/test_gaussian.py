"""Gaussian processes against scikit-learn's and against textbook formulas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from hwnas.prediction.gaussian import Posterior, most_likely, most_likely_alike


@pytest.fixture
def examples():
    rng = np.random.default_rng(0)
    X, new = rng.standard_normal((30, 4)), rng.standard_normal((7, 4))
    return X, np.sin(X[:, 0]) + 0.3 * X[:, 1], new


THETA = np.log([1.7, 0.8, 1.2, 3.0, 5.0, 0.05])


def test_the_posterior_is_scikit_learns(examples):
    X, y, new = examples
    kernel = ConstantKernel() * Matern(np.ones(4), nu=2.5) + WhiteKernel()
    theirs = GaussianProcessRegressor(kernel.clone_with_theta(THETA), optimizer=None).fit(X, y)
    mean, deviation = theirs.predict(new, return_std=True)
    ours = Posterior(THETA, X, y).at(new)
    np.testing.assert_allclose(ours.mean, mean, rtol=1e-8)
    np.testing.assert_allclose(ours.variance + 0.05, deviation**2, rtol=1e-7)


def test_a_trend_is_a_linear_kernel(examples):
    X, y, new = examples
    trend = 2.0
    process = Posterior(THETA, X, y, trend)
    Z, W = X / np.exp(THETA[1:-1]), new / np.exp(THETA[1:-1])
    plain = Posterior(THETA, X, y)

    def kernel(A, B, a, b):
        return plain.covariance(A, B) + trend * (a @ b.T) / 4

    K = kernel(Z, Z, X, X) + 0.05 * np.eye(30)
    k = kernel(Z, W, X, new)
    at = process.at(new)
    np.testing.assert_allclose(at.mean, k.T @ np.linalg.solve(K, y), rtol=1e-8)
    prior = np.diag(kernel(W, W, new, new))
    expected = prior - np.sum(k * np.linalg.solve(K, k), axis=0)
    np.testing.assert_allclose(at.variance, expected, rtol=1e-7)


@pytest.mark.parametrize("trend", [0.0, 1.5])
def test_measuring_the_mean_only_takes_doubt_away(examples, trend):
    X, y, new = examples
    seen = Posterior(THETA, X, y, trend).at(new)
    more = Posterior(
        THETA, np.vstack([X, new[2:3]]), np.append(y, seen.mean[2]), trend
    ).at(new)  # fmt: skip
    after = seen.measured(2)
    np.testing.assert_allclose(after.mean, more.mean, rtol=1e-7)
    np.testing.assert_allclose(after.variance, more.variance, rtol=1e-6)
    twice = after.take(np.array([0, 2, 4])).measured(0)
    assert (twice.variance <= after.variance[[0, 2, 4]] + 1e-12).all()


def test_a_linear_function_is_learnt_as_one():
    rng = np.random.default_rng(1)
    X, new = rng.standard_normal((25, 6)), 3.0 * rng.standard_normal((50, 6))
    w = rng.standard_normal(6)
    y = X @ w
    theta, trend = most_likely_alike(X, y / y.std())
    assert trend > 0
    found = Posterior(theta, X, y / y.std(), trend).at(new).mean * y.std()
    assert np.corrcoef(found, new @ w)[0, 1] > 0.99


def test_a_feature_that_says_nothing_gets_a_long_length():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((60, 3))
    y = np.sin(2 * X[:, 0])
    theta = most_likely(X, y / y.std())
    assert theta[1] < theta[2] - 1
    assert theta[1] < theta[3] - 1


def test_a_constant_target_does_not_break_it():
    X = np.random.default_rng(3).standard_normal((8, 2))
    theta, trend = most_likely_alike(X, np.zeros(8))
    assert np.isfinite(theta).all()
    assert np.isfinite(trend)
