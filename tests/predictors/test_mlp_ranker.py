"""The ranker of small networks: the contract, its gradient, what it learns, its uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import kendalltau, rankdata

from hwnas import plugins
from hwnas.errors import ProblemError
from hwnas.testing import PredictorSubject, predictor_checks
from predictors.mlp_ranker import MLPRanker, _Layers

SMALL = {"members": 3, "hidden": (16,), "steps": 50, "learning_rate": 0.03}


# The other checks of the suite are run for every predictor in tests/test_conformance.py.
@pytest.mark.parametrize("check", predictor_checks()[:1], ids=str)
def test_conformance(check):
    check(PredictorSubject(MLPRanker(**SMALL)))


def test_it_is_found_by_name():
    assert plugins.load("hwnas.predictors", "mlp_ranker") is MLPRanker


def wavy(n: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, np.sin(3 * X[:, 0]) + X[:, 1] ** 2 + noise * rng.standard_normal(n)


def test_the_loss_is_that_of_ranknet_pair_by_pair():
    # Burges and others 2005, eq. 3: C = -P o + log(1 + exp(o)), P = 1 where the first is greater.
    rng = np.random.default_rng(0)
    layers = _Layers.drawn([2, 4, 1], 1, rng)
    X, z = rng.standard_normal((1, 6, 2)), np.array([[0.0, 1.0, 1.0, 2.0, -1.0, 0.5]])
    s = layers.scores(X)[0]
    pairs = [(i, j) for i in range(6) for j in range(6) if z[0, i] > z[0, j]]
    expected = np.mean([-(s[i] - s[j]) + np.log1p(np.exp(s[i] - s[j])) for i, j in pairs])
    assert layers.loss(X, z)[0] == pytest.approx(expected)


def test_the_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(1)
    layers = _Layers.drawn([3, 5, 4, 1], 2, rng)
    X, z = rng.standard_normal((2, 7, 3)), rng.integers(0, 4, (2, 7)).astype(float)
    analytic = np.concatenate([g.ravel() for g in layers.gradients(X, z)])

    def loss(theta: np.ndarray) -> float:
        start = 0
        for p in layers.parameters:
            p[...] = theta[start : start + p.size].reshape(p.shape)
            start += p.size
        return float(layers.loss(X, z).sum())

    here = np.concatenate([p.ravel() for p in layers.parameters])
    np.testing.assert_allclose(analytic, approx_fprime(here, loss, 1e-7), atol=2e-6)


def test_it_ranks_and_then_predicts():
    X, y = wavy(150)
    there, truth = wavy(300, seed=1)
    model = MLPRanker(members=3, steps=300, learning_rate=0.01).fit(X, y)
    mean, _ = model.predict(there, return_std=True)
    assert kendalltau(model.rank(there), truth).statistic > 0.85
    assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.25 * truth.std()
    assert sorted(model.rank(there)) == list(range(300))
    assert kendalltau(model.rank(there), rankdata(mean)).statistic > 0.95


def test_only_the_order_of_targets_counts_for_the_order_of_predictions():
    X, y = wavy(60)
    there = wavy(50, seed=1)[0]
    one, other = (MLPRanker(**SMALL).fit(X, t).rank(there) for t in (y, np.exp(3 * y)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("noise", [0.05, 0.4])
def test_it_covers_new_measurements(noise):
    X, y = wavy(150, noise)
    there, measured = wavy(400, noise, seed=1)
    model = MLPRanker(members=4, steps=150, learning_rate=0.01).fit(X, y)
    mean, std = model.predict(there, return_std=True)
    assert 0.85 < np.mean(abs(mean - measured) < 1.96 * std) <= 1.0
    error = np.sqrt(np.mean((mean - measured) ** 2))
    assert 0.5 * error < np.sqrt(np.mean(std**2)) < 2.0 * error


def test_of_noise_it_learns_nothing():
    rng = np.random.default_rng(0)
    model = MLPRanker(**SMALL).fit(rng.random((80, 3)), rng.standard_normal(80))
    mean, std = model.predict(rng.random((50, 3)), return_std=True)
    assert mean.std() < 0.4
    assert std.mean() == pytest.approx(1.0, abs=0.35)


def test_the_seed_decides_and_equal_targets_are_equal():
    X, y = wavy(30)
    one, same, other = (MLPRanker(**SMALL, random_state=s).fit(X, y).predict(X) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    mean, std = MLPRanker(**SMALL).fit(X, np.full(30, 7.0)).predict(X, return_std=True)
    np.testing.assert_allclose(mean, 7.0)
    np.testing.assert_allclose(std, 0.0, atol=1e-12)
    with pytest.raises(ValueError, match="minimum of 4"):
        MLPRanker().fit(X[:3], y[:3])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"members": 1}, "at least 2"),
        ({"hidden": ()}, "widths"),
        ({"steps": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"decay": -1.0}, "at least 0"),
    ],
)
def test_options_out_of_range_are_refused(options, rule):
    with pytest.raises(ProblemError, match=rule):
        MLPRanker(**options).fit(*wavy(10))
