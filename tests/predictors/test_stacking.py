"""Stacking: the contract, its weights, its uncertainty, names of columns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.model_selection import KFold, cross_val_predict

from hwnas import plugins
from hwnas.errors import PluginError, ProblemError
from hwnas.testing import PredictorSubject, predictor_checks
from predictors.boosted_trees import BoostedTrees
from predictors.gaussian_process import GaussianProcess
from predictors.ridge import Ridge
from predictors.stacking import Stacking, _most_likely

TWO = Stacking(predictors=("ridge", "gaussian_process"), folds=3)

QUICK = Stacking(
    predictors=("ridge", "boosted_trees"),
    options={"boosted_trees": {"members": 2, "rounds": 3}},
    folds=2,
)


# The other checks of the suite are run for every predictor in tests/test_conformance.py.
@pytest.mark.parametrize("check", predictor_checks()[:1], ids=str)
def test_conformance(check):
    check(PredictorSubject(QUICK))


def test_it_is_found_by_name():
    assert plugins.load("hwnas.predictors", "stacking") is Stacking


def wavy(n: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, np.sin(6 * X[:, 0]) + X[:, 1] ** 2 + noise * rng.standard_normal(n)


def test_weights_are_the_non_negative_least_squares_of_unseen_predictions():
    X, y = wavy(60, 0.1)
    model = Stacking(predictors=("ridge", "gaussian_process"), folds=4, random_state=3).fit(X, y)
    splits = KFold(4, shuffle=True, random_state=3)
    members = (Ridge(), GaussianProcess())
    unseen = np.column_stack([cross_val_predict(m, X, y, cv=splits) for m in members])
    weights, _ = nnls(unseen - unseen.mean(axis=0), y - y.mean())
    np.testing.assert_allclose(model.weights_, weights, atol=1e-8)
    expected = (unseen.mean(axis=0), y.mean())
    there = wavy(20, seed=1)[0]
    each = np.column_stack([m.fit(X, y).predict(there) for m in members])
    np.testing.assert_allclose(
        model.predict(there), expected[1] + (each - expected[0]) @ weights, rtol=1e-6
    )


def test_the_one_that_does_well_gets_the_weight():
    X, y = wavy(100)
    model = TWO.fit(X, y)
    assert model.weights_[1] > 0.8 > 0.3 > model.weights_[0] >= 0
    # Steps cannot follow a line.
    other = Stacking(("ridge", "random_forest"), {"random_forest": {"n_estimators": 20}})
    X = np.random.default_rng(0).random((100, 3))
    assert other.fit(X, X @ [1.0, 2.0, 3.0]).weights_ == pytest.approx([1.0, 0.0], abs=1e-3)


@pytest.mark.parametrize("noise", [0.05, 0.3])
def test_it_covers_new_measurements(noise):
    X, y = wavy(100, noise)
    there, measured = wavy(400, noise, seed=1)
    mean, std = TWO.fit(X, y).predict(there, return_std=True)
    assert 0.85 < np.mean(abs(mean - measured) < 1.96 * std) <= 1.0
    assert np.mean(std) == pytest.approx(np.sqrt(np.mean((mean - measured) ** 2)), rel=0.4)


def test_the_variance_is_the_most_likely_one():
    # Errors drawn with a variance of 0.04 + 3 times the disagreement.
    rng = np.random.default_rng(0)
    disagreement = rng.exponential(0.1, 4000)
    errors = rng.normal(0.0, np.sqrt(0.04 + 3.0 * disagreement))
    noise, spread = _most_likely(errors**2, disagreement)
    assert noise == pytest.approx(0.2, rel=0.1)
    assert spread == pytest.approx(3.0, rel=0.1)
    assert _most_likely(np.zeros(5), np.ones(5)) == (0.0, 1.0)


def test_a_few_that_fail_do_not_make_it_too_sure_of_the_rest():
    rng = np.random.default_rng(1)
    X = rng.random((400, 3))
    y = X[:, 0] + 0.1 * rng.standard_normal(400) - 30.0 * (X[:, 1] * X[:, 2] < 0.02)
    mean, std = TWO.fit(X[:150], y[:150]).predict(X[150:], return_std=True)
    assert np.mean(abs(mean - y[150:]) < 1.96 * std) > 0.85


def test_members_have_options_of_their_own_and_know_names():
    X, y = wavy(60)
    y = -y
    stack = Stacking(
        predictors=("boosted_trees", "ridge"),
        options={"boosted_trees": {"rounds": 10, "monotonic": {"quant.*": "falling"}}},
    )
    fitted = stack.named(["net.a", "quant.w", "quant.a"]).fit(X, y)
    assert fitted.members_[0].monotonic == [0, -1, -1]
    assert fitted.members_[0].rounds == 10
    with pytest.raises(ProblemError, match="name the columns"):
        stack.fit(X, y)
    with pytest.raises(ProblemError, match=r"did you mean 'quant\.w'"):
        BoostedTrees(monotonic={"qant.w": "falling"}).named(["net.a", "quant.w"])
    with pytest.raises(ProblemError, match="rising or falling"):
        BoostedTrees(monotonic={"quant.*": "down"}).named(["net.a", "quant.w"])


def test_what_cannot_be_stacked_is_refused():
    X, y = wavy(20)
    with pytest.raises(PluginError, match="did you mean 'ridge'"):
        Stacking(predictors=("rigde",)).fit(X, y)
    with pytest.raises(ProblemError, match="nothing to stack"):
        Stacking(predictors=()).fit(X, y)
    with pytest.raises(ProblemError, match="'ridge' has options and is not stacked"):
        Stacking(predictors=("isotonic",), options={"ridge": {}}).fit(X, y)
