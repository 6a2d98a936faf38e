"""Random forest, Gaussian process and saturating curve: contracts, oracles, uncertainty."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime, curve_fit
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hwnas import plugins
from hwnas.errors import ProblemError
from hwnas.prediction import Predictor
from hwnas.prediction.gaussian import log_likelihood
from hwnas.testing import PredictorSubject, predictor_checks
from predictors.gaussian_process import GaussianProcess
from predictors.random_forest import RandomForest
from predictors.saturating_curve import SaturatingCurve

SUBJECTS = {
    "forest": RandomForest(n_estimators=10),
    "process": GaussianProcess(n_restarts=0),
    # Scikit-learn's checks have several features, and targets of any size.
    "curve": SaturatingCurve(column=0, ceiling=1e3),
}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())
@pytest.mark.parametrize("check", predictor_checks(), ids=str)
def test_conformance(check, subject):
    check(PredictorSubject(subject))


@pytest.mark.parametrize("name", ["random_forest", "gaussian_process", "saturating_curve"])
def test_plugins_are_found_by_name(name):
    predictor = plugins.load("hwnas.predictors", name)()
    assert isinstance(predictor, Predictor)
    assert "random_state" in predictor.get_params()


@pytest.mark.parametrize("kind", [RandomForest, GaussianProcess])
def test_the_seed_decides(kind):
    X, y = wavy(40)
    one, same, other = (kind(random_state=s).fit(X, y).predict(X) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    if kind is RandomForest:
        assert not np.array_equal(one, other)


def wavy(n: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of two of three features in [0, 1]; its deviation is about 0.75."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, np.sin(6 * X[:, 0]) + X[:, 1] ** 2 + noise * rng.standard_normal(n)


# --- random forest --------------------------------------------------------------------------------


def test_the_forest_is_scikit_learns():
    X, y = wavy(60, noise=0.1)
    options = {"n_estimators": 30, "max_features": 0.5, "min_samples_leaf": 2, "random_state": 3}
    ours, theirs = RandomForest(**options).fit(X, y), RandomForestRegressor(**options).fit(X, y)
    there = wavy(50, seed=1)[0]
    mean, std = ours.predict(there, return_std=True)
    np.testing.assert_array_equal(mean, theirs.predict(there))
    np.testing.assert_array_equal(mean, ours.predict(there))
    trees = np.stack([tree.predict(there) for tree in theirs.estimators_])
    np.testing.assert_allclose(std, trees.std(axis=0), rtol=1e-9, atol=1e-12)


def test_the_forest_is_less_sure_where_trees_disagree():
    rng = np.random.default_rng(0)
    X = rng.random((200, 1))
    y = np.where(X[:, 0] < 0.5, 0.0, rng.standard_normal(200))
    _, std = RandomForest(random_state=0).fit(X, y).predict([[0.2], [0.8]], return_std=True)
    assert std[0] == 0.0
    assert std[1] > 0.1


# --- Gaussian process -----------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "k"), [(2, 1), (12, 3), (30, 7)])
def test_the_likelihood_and_its_gradient_are_scikit_learns(n, k):
    rng = np.random.default_rng(n)
    X, y = rng.standard_normal((n, k)), rng.standard_normal(n)
    theta = np.concatenate([[0.3], rng.uniform(-1, 2, k), [-2.0]])
    kernel = ConstantKernel() * Matern(np.ones(k), nu=2.5) + WhiteKernel()
    process = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(X, y)
    expected, slope = process.log_marginal_likelihood(theta, eval_gradient=True)
    likelihood, gradient = log_likelihood(theta, X, y)
    assert likelihood == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-10)
    by_steps = approx_fprime(theta, lambda t: log_likelihood(t, X, y)[0], 1e-6)
    np.testing.assert_allclose(gradient, by_steps, rtol=1e-3, atol=1e-4)


def test_equal_rows_do_not_break_the_process():
    X = np.repeat([[0.0, 1.0], [1.0, 1.0]], 5, axis=0)
    y = np.repeat([1.0, 3.0], 5)
    mean, std = GaussianProcess().fit(X, y).predict(X, return_std=True)
    np.testing.assert_allclose(mean, y, atol=0.01)
    assert np.all(std > 0)
    same = GaussianProcess().fit(X, np.full(10, 7.0)).predict(X)
    np.testing.assert_allclose(same, 7.0)


def test_the_process_interpolates_and_generalises():
    X, y = wavy(60)
    there, truth = wavy(300, seed=1)
    process = GaussianProcess().fit(X, y)
    mean, std = process.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y, atol=0.01)
    assert std.max() < 0.05
    rest = process.predict(there) - truth
    assert np.sqrt(np.mean(rest**2)) < 0.1 * truth.std()


def test_the_process_finds_out_which_features_matter():
    X, y = wavy(80, noise=0.05)
    lengths = np.exp(GaussianProcess().fit(X, y).process_.kernel_.theta[1:4])
    assert lengths[2] > 3 * lengths[:2].max()


def test_the_process_is_less_sure_away_from_data():
    X, y = wavy(60)
    process = GaussianProcess().fit(X, y)
    _, near = process.predict(X + 0.01, return_std=True)
    _, far = process.predict(X + 3.0, return_std=True)
    assert far.min() > 5 * near.max()


def test_the_process_covers_noisy_measurements():
    # Of 400 measurements, 95 % should lie within 1.96 deviations.
    X, y = wavy(80, noise=0.2)
    there, measured = wavy(400, noise=0.2, seed=1)
    mean, std = GaussianProcess().fit(X, y).predict(there, return_std=True)
    assert 0.88 < np.mean(abs(mean - measured) < 1.96 * std) < 0.99
    assert 0.15 < np.median(std) < 0.35


def test_the_process_predicts_in_blocks(monkeypatch):
    X, y = wavy(20)
    there = wavy(50, seed=1)[0]
    process = GaussianProcess(n_restarts=0).fit(X, y)
    whole = process.predict(there, return_std=True)
    monkeypatch.setattr("predictors.gaussian_process._BLOCK", 7)
    for one, other in zip(whole, process.predict(there, return_std=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(whole[0], process.predict(there), rtol=1e-9)


def test_pipelines_hand_the_question_for_deviations_on():
    X, y = wavy(30)
    logs = make_pipeline(FunctionTransformer(np.log1p), GaussianProcess(n_restarts=0)).fit(X, y)
    _, std = logs.predict(X, return_std=True)
    assert std.shape == (30,)


# --- saturating curve -----------------------------------------------------------------------------

CURVES = [(0.4, 30.0, 0.65), (1.2, 100.0, -0.1), (0.05, 150.0, 1.0), (3e-3, 5.0, 0.011)]


def curve(g: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    return 1 / (a * np.exp(b / g) + c)


@pytest.mark.parametrize("parameters", CURVES)
def test_the_curve_recovers_what_made_the_data(parameters):
    g = np.geomspace(15, 600, 25)
    fitted = SaturatingCurve().fit(g[:, None], curve(g, *parameters))
    np.testing.assert_allclose((fitted.a_, fitted.b_, fitted.c_), parameters, rtol=1e-4)
    assert fitted.rising_
    assert fitted.std_ < 1e-6 * curve(g, *parameters).max()
    there = np.array([5.0, 40.0, 1e6])
    np.testing.assert_allclose(
        fitted.predict(there[:, None]), curve(there, *parameters), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize(("unit", "per_feature"), [(100.0, 1.0), (1.0, 1e6), (1e-3, 1e-3)])
def test_units_do_not_matter(unit, per_feature):
    a, b, c = CURVES[0]
    g = np.geomspace(15, 600, 25)
    fitted = SaturatingCurve().fit(per_feature * g[:, None], unit * curve(g, a, b, c))
    np.testing.assert_allclose(
        (fitted.a_ * unit, fitted.b_ / per_feature, fitted.c_ * unit), (a, b, c), rtol=1e-4
    )


@pytest.mark.parametrize("ceiling", [1.0, 100.0])
def test_errors_are_the_complement_of_accuracies(ceiling):
    g = np.geomspace(15, 600, 25)
    accuracy = ceiling * curve(g, *CURVES[0])
    rising = SaturatingCurve().fit(g[:, None], accuracy)
    for given in ("auto", False):
        falling = SaturatingCurve(rising=given, ceiling=ceiling).fit(g[:, None], ceiling - accuracy)
        assert not falling.rising_
        np.testing.assert_allclose(falling.predict(g[:, None]), ceiling - accuracy, rtol=1e-6)
        assert falling.b_ == pytest.approx(rising.b_, rel=1e-4)


def test_25_noisy_examples_suffice():
    # Half a point of noise, as between training runs: the curve must be known better than that.
    parameters, noise = CURVES[0], 0.005
    there = np.linspace(30, 500, 200)
    wrong, deviations = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        g = rng.uniform(20, 500, 25)
        y = curve(g, *parameters) + noise * rng.standard_normal(25)
        fitted = SaturatingCurve().fit(g[:, None], y)
        mean, std = fitted.predict(there[:, None], return_std=True)
        wrong.append(np.sqrt(np.mean((mean - curve(there, *parameters)) ** 2)))
        deviations.append(std[0])
        assert np.all(np.diff(mean) >= 0)
        assert np.all(std == std[0])
        # Another library's fit, started at the truth, leaves no smaller residuals.
        other, _ = curve_fit(curve, g, y, p0=parameters)
        rest = np.sum((fitted.predict(g[:, None]) - y) ** 2)
        assert rest <= np.sum((curve(g, *other) - y) ** 2) * (1 + 1e-6)
    assert np.median(wrong) < 0.6 * noise
    assert np.mean(deviations) == pytest.approx(noise, rel=0.15)


def test_the_deviation_is_that_of_the_residuals():
    rng = np.random.default_rng(0)
    g = rng.uniform(20, 500, 30)
    y = curve(g, *CURVES[0]) + 0.05 * rng.standard_normal(30)
    fitted = SaturatingCurve().fit(g[:, None], y)
    rest = y - curve(g, fitted.a_, fitted.b_, fitted.c_)
    assert fitted.std_ == pytest.approx(np.sqrt(np.sum(rest**2) / 27))


def test_nothing_to_see_gives_a_flat_curve():
    g = np.linspace(1, 9, 9)[:, None]
    fitted = SaturatingCurve().fit(g, np.full(9, 0.7))
    np.testing.assert_allclose(fitted.predict(g), 0.7)
    same = SaturatingCurve().fit(np.full((9, 1), 3.0), np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(same.predict([[3.0]]), 0.5)


def test_a_feature_of_0_has_accuracy_0():
    g = np.array([0.0, 20, 50, 100, 200, 400])
    y = np.append(0.0, curve(g[1:], *CURVES[0]))
    fitted = SaturatingCurve().fit(g[:, None], y)
    np.testing.assert_allclose(fitted.predict(g[:, None]), y, atol=1e-6)


def test_what_the_curve_cannot_be_fitted_to():
    X, y = wavy(10)
    with pytest.raises(ProblemError, match="column=0"):
        SaturatingCurve().fit(X, y)
    with pytest.raises(ProblemError, match="0 to 2"):
        SaturatingCurve(column=3).fit(X, y)
    falling = np.linspace(1, 2, 10)[:, None], np.linspace(40.0, 20.0, 10)
    with pytest.raises(ProblemError, match="ceiling"):
        SaturatingCurve().fit(*falling)
    SaturatingCurve(ceiling=100.0).fit(*falling)
    with pytest.raises(ProblemError, match="above 0"):
        SaturatingCurve(rising=True).fit(X[:, :1], -1 - X[:, 0])
    with pytest.raises(ProblemError, match="auto"):
        SaturatingCurve(rising="up").fit(X[:, :1], y)
    with pytest.raises(ValueError, match="minimum of 4"):
        SaturatingCurve().fit(X[:3, :1], y[:3])
    with pytest.raises(ValueError, match="Negative values"):
        SaturatingCurve().fit(-X[:, :1], y)


# --- real networks --------------------------------------------------------------------------------


def test_25_networks_with_training_free_metrics_suffice_for_a_forest(shared):
    # NAS-Bench-Suite-Zero, CIFAR-10; a forest on 12 metrics of 25 networks was measured elsewhere
    # to reach a rank correlation of 0.87 with all others (mean of 30 draws).
    table = pd.read_parquet(shared / "data" / "nb201_proxies.parquet")
    table = table[table["dataset"] == "c10"].dropna()
    X = table.drop(columns=["dataset", "arch_idx", "val_accuracy"]).to_numpy()
    finite = np.isfinite(X).all(axis=1)
    X, y = X[finite], table["val_accuracy"].to_numpy()[finite]
    assert X.shape[1] == 12
    ranks, covered = [], []
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(len(y))
        few, others = order[:25], order[25:]
        forest = RandomForest(n_estimators=100).fit(X[few], y[few])
        mean, std = forest.predict(X[others], return_std=True)
        ranks.append(spearmanr(mean, y[others])[0])
        covered.append(np.mean(abs(mean - y[others]) < 1.96 * std))
    assert np.mean(ranks) > 0.84
    assert 0.85 < np.mean(covered) < 0.99


def test_the_curve_on_parameters_beats_the_mean_on_real_networks(shared):
    table = pd.read_parquet(shared / "data" / "nb201.parquet")
    table = table[table["acc200_c10_test"] > 10.5]
    X, y = table[["params_c10"]].to_numpy(), table["acc200_c10_test"].to_numpy()
    ratios = []
    for seed in range(5):
        few = np.random.default_rng(seed).choice(len(y), 25, replace=False)
        predicted = SaturatingCurve().fit(X[few], y[few]).predict(X)
        ratios.append(np.mean(abs(predicted - y)) / np.mean(abs(y[few].mean() - y)))
    assert np.mean(ratios) < 0.8
