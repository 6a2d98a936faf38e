"""Ridge: the contract, the evidence as an oracle, features on other scales, uncertainty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from hwnas import plugins
from hwnas.errors import ProblemError
from hwnas.testing import PredictorSubject, predictor_checks
from predictors.gaussian_process import GaussianProcess
from predictors.ridge import Ridge

SUBJECTS = {"plain": Ridge(), "normal": Ridge(features="normal", target="normal")}


# The other checks of the suite are run for every predictor in tests/test_conformance.py.
@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("check", predictor_checks()[:1], ids=str)
def test_conformance(check, name):
    check(PredictorSubject(SUBJECTS[name]))


def test_it_is_found_by_name():
    assert plugins.load("hwnas.predictors", "ridge") is Ridge


def test_it_is_the_ridge_of_its_own_penalty():
    # MacKay 1992: for given noise and prior the mean is the ridge solution; written out here.
    rng = np.random.default_rng(0)
    X = rng.random((40, 4)) * [1, 10, 100, 1000]
    y = X @ [1.0, 0.2, 0.0, 0.003] + 0.1 * rng.standard_normal(40)
    model = Ridge().fit(X, y)
    found = model.pipeline_[-1]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    weights = np.linalg.solve(
        Z.T @ Z + found.lambda_ / found.alpha_ * np.eye(4), Z.T @ (y - y.mean())
    )
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y.mean() + Z @ weights, rtol=1e-6)
    posterior = np.linalg.inv(found.alpha_ * Z.T @ Z + found.lambda_ * np.eye(4))
    variance = 1 / found.alpha_ + np.einsum("ij,jk,ik->i", Z, posterior, Z)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=1e-6)
    assert std.mean() == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("scale", ["rank", "normal"])
def test_skew_features_are_put_on_an_even_scale(scale):
    rng = np.random.default_rng(1)
    u = rng.random((200, 2))
    X = 10.0 ** (8 * u)  # over eight decades
    y = u[:, 0] - 0.5 * u[:, 1]
    few, others = slice(0, 100), slice(100, None)
    rho = {
        s: spearmanr(Ridge(features=s).fit(X[few], y[few]).predict(X[others]), y[others]).statistic
        for s in ("plain", scale)
    }
    assert rho[scale] > 0.9 > rho["plain"] + 0.1


@pytest.mark.parametrize("kind", [Ridge, GaussianProcess])
def test_targets_that_lie_far_off_do_not_drown_the_rest(kind):
    rng = np.random.default_rng(2)
    X = rng.random((150, 3))
    y = X @ [1.0, 0.5, 0.0]
    y = np.where(y < np.quantile(y, 0.1), y - 50.0, y)  # a tenth of them fails
    few, others = slice(0, 60), slice(60, None)
    good = y[others] > -10
    plain, normal = (
        spearmanr(kind(target=t).fit(X[few], y[few]).predict(X[others])[good], y[others][good])
        for t in ("plain", "normal")
    )
    assert normal.statistic > 0.95
    assert normal.statistic >= plain.statistic
    mean, std = kind(target="normal").fit(X[few], y[few]).predict(X[others], return_std=True)
    assert 0.8 < np.mean(abs(mean - y[others]) < 1.96 * std) <= 1.0


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Ridge, {"features": "log"}),
        (Ridge, {"target": "log"}),
        (GaussianProcess, {"target": "nromal"}),
    ],
)
def test_unknown_options_are_refused(kind, options):
    with pytest.raises(ProblemError, match="one of: plain"):
        kind(**options).fit(np.arange(8.0)[:, None], np.arange(8.0))
