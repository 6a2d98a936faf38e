"""Boosted trees: the contract, both engines, uncertainty, real networks."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from hwnas import plugins
from hwnas.errors import MissingExtraError, ProblemError
from hwnas.testing import PredictorSubject, predictor_checks
from predictors.boosted_trees import BoostedTrees

HAS_XGBOOST = importlib.util.find_spec("xgboost") is not None
ENGINES = [
    pytest.param(
        "xgboost", marks=pytest.mark.skipif(not HAS_XGBOOST, reason="xgboost is not installed")
    ),
    "sklearn",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("check", predictor_checks(), ids=str)
def test_conformance(check, engine):
    check(PredictorSubject(BoostedTrees(members=3, rounds=15, engine=engine)))


def test_it_is_found_by_name():
    assert plugins.load("hwnas.predictors", "boosted_trees") is BoostedTrees


def wavy(n: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of two of three features in [0, 1]; its deviation is about 0.75."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, np.sin(6 * X[:, 0]) + X[:, 1] ** 2 + noise * rng.standard_normal(n)


@pytest.mark.parametrize("engine", ENGINES)
def test_it_generalises(engine):
    X, y = wavy(200)
    there, truth = wavy(500, seed=1)
    rest = BoostedTrees(engine=engine).fit(X, y).predict(there) - truth
    assert np.sqrt(np.mean(rest**2)) < 0.25 * truth.std()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("n", [40, 200])
def test_it_covers_new_measurements(engine, noise, n):
    # Of 400 measurements, about 95 % should lie within 1.96 deviations.
    X, y = wavy(n, noise)
    there, measured = wavy(400, noise, seed=1)
    mean, std = BoostedTrees(engine=engine, rounds=60).fit(X, y).predict(there, return_std=True)
    assert 0.85 < np.mean(abs(mean - measured) < 1.96 * std) <= 1.0
    error = np.sqrt(np.mean((mean - measured) ** 2))
    assert 0.5 * error < np.sqrt(np.mean(std**2)) < 2.0 * error


def test_the_deviation_is_the_jackknife_and_what_it_leaves_unexplained():
    X, y = wavy(60, 0.3)
    there = wavy(30, seed=1)[0]
    model = BoostedTrees(members=4, engine="sklearn", rounds=20).fit(X, y)
    each = np.stack([e.predict(there) for e in model.ensembles_]) * y.std() + y.mean()
    mean, std = model.predict(there, return_std=True)
    np.testing.assert_allclose(mean, each.mean(axis=0), rtol=1e-9)
    # Jackknife by deleted groups: (g - 1) / g times the sum of squared differences.
    jackknife = 3 / 4 * ((each - mean) ** 2).sum(axis=0)
    np.testing.assert_allclose(std**2, jackknife + model.noise_**2, rtol=1e-6)
    assert 0.05 < model.noise_ < 0.6


def test_noise_that_features_do_not_explain_is_found():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 2, (400, 2)).astype(float), rng.standard_normal(400)
    model = BoostedTrees(engine="sklearn", rounds=30).fit(X, y)
    assert model.noise_ == pytest.approx(1.0, abs=0.12)
    exact = BoostedTrees(engine="sklearn", rounds=200).fit(X, X[:, 0])
    assert exact.noise_ < 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_it_keeps_to_the_directions_given(engine):
    rng = np.random.default_rng(0)
    X = rng.random((80, 2))
    y = X[:, 0] - X[:, 1] + 0.5 * rng.standard_normal(80)  # by chance it goes the other way, too
    line = np.linspace(0, 1, 200)
    for monotonic, rises in (([1, -1], (True, False)), ([1, 0], (True, None))):
        model = BoostedTrees(monotonic=monotonic, engine=engine).fit(X, y)
        for j, way in enumerate(rises):
            for other in (0.1, 0.5, 0.9):
                grid = np.full((200, 2), other)
                grid[:, j] = line
                steps = np.diff(model.predict(grid))
                if way is None:
                    continue
                assert (steps >= -1e-6).all() if way else (steps <= 1e-6).all()
    free = BoostedTrees(engine=engine).fit(X, y)
    grid = np.stack([line, np.full(200, 0.5)], axis=1)
    assert (np.diff(free.predict(grid)) < -1e-3).any()


def test_outliers_do_not_drown_the_rest():
    X, y = wavy(150)
    failed = np.random.default_rng(2).random(150) < 0.1
    spoilt = np.where(failed, -100.0, y)
    there, truth = wavy(400, seed=1)
    plain = kendalltau(BoostedTrees().fit(X, spoilt).predict(there), truth)[0]
    robust = kendalltau(BoostedTrees(outliers=1.5).fit(X, spoilt).predict(there), truth)[0]
    assert robust > plain + 0.1
    # Where there are none, nothing changes.
    np.testing.assert_array_equal(
        BoostedTrees(outliers=10.0).fit(X, y).predict(there),
        BoostedTrees().fit(X, y).predict(there),
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_the_seed_decides(engine):
    X, y = wavy(40)
    one, same, other = (
        BoostedTrees(rounds=20, engine=engine, random_state=s).fit(X, y).predict(X)
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_few_and_equal_targets():
    X = np.array([[0.0], [1.0]])
    mean, std = BoostedTrees(rounds=5).fit(X, [1.0, 3.0]).predict(X, return_std=True)
    assert np.isfinite([mean, std]).all()
    mean, std = BoostedTrees(rounds=5).fit(X, [7.0, 7.0]).predict(X, return_std=True)
    np.testing.assert_allclose(mean, 7.0)
    np.testing.assert_allclose(std, 0.0, atol=1e-12)
    with pytest.raises(ValueError, match="minimum of 2"):
        BoostedTrees().fit(X[:1], [1.0])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"members": 1}, "at least 2"),
        ({"rounds": 0}, "at least 1"),
        ({"depth": 0}, "at least 1"),
        ({"learning_rate": 1.5}, "at most 1"),
        ({"max_features": 0.0}, "above 0"),
        ({"outliers": -1.0}, "at least 0"),
        ({"monotonic": [1]}, "each of 3 features"),
        ({"monotonic": [1, 2, 0]}, "one of -1, 0, 1"),
        ({"engine": "xgbost"}, "xgboost"),
    ],
)
def test_options_out_of_range_are_refused(options, rule):
    with pytest.raises(ProblemError, match=rule):
        BoostedTrees(**options).fit(*wavy(10))


def test_without_xgboost_scikit_learn_stands_in(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    X, y = wavy(30)
    auto = BoostedTrees(rounds=10).fit(X, y)
    here = BoostedTrees(rounds=10, engine="sklearn").fit(X, y)
    np.testing.assert_array_equal(auto.predict(X), here.predict(X))
    with pytest.raises(MissingExtraError, match="not installed"):
        BoostedTrees(engine="xgboost").fit(X, y)


@pytest.mark.skipif(not HAS_XGBOOST, reason="xgboost is not installed")
def test_both_engines_agree_about_what_matters():
    X, y = wavy(300)
    there = wavy(300, seed=1)[0]
    one, other = (BoostedTrees(engine=e).fit(X, y).predict(there) for e in ("xgboost", "sklearn"))
    assert np.corrcoef(one, other)[0, 1] > 0.99


# --- real networks --------------------------------------------------------------------------------

EDGES = ("01", "02", "12", "03", "13", "23")


def ranked(features: np.ndarray, accuracy: np.ndarray, **options) -> tuple[float, float]:
    """Kendall's tau on 3,000 networks after 100, and the share within 1.96 deviations."""
    taus, covered = [], []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(accuracy))
        few, others = order[:100], order[-3000:]
        model = BoostedTrees(**options).fit(features[few], accuracy[few])
        mean, std = model.predict(features[others], return_std=True)
        taus.append(kendalltau(mean, accuracy[others])[0])
        covered.append(np.mean(abs(mean - accuracy[others]) < 1.96 * std))
    return float(np.mean(taus)), float(np.mean(covered))


def test_100_real_networks_rank_the_others(shared):
    # NAS-Bench-201, CIFAR-10. Another XGBoost was measured elsewhere to reach 0.60 on one-hot
    # operators (with all targets as they are, ours has 0.49: networks that fail drown the rest).
    table = pd.read_parquet(shared / "data" / "nb201.parquet")
    operators = table[[f"op_e{edge}" for edge in EDGES]].to_numpy()
    one_hot = (operators[:, :, None] == np.arange(5)).reshape(len(table), -1).astype(float)
    accuracy = table["acc200_c10_test"].to_numpy()
    plain, covered = ranked(one_hot, accuracy)
    robust, _ = ranked(one_hot, accuracy, outliers=1.5)
    assert plain > 0.45
    assert robust > 0.55
    assert 0.9 < covered <= 1.0


def test_100_real_networks_rank_the_others_better_by_canonical_features(shared):
    # 0.75 was measured elsewhere with canonical features of another make.
    from hwnas.design.nas_bench_201 import NASBench201

    table = pd.read_parquet(shared / "data" / "nb201.parquet")
    cells = table["arch_str"].str.findall(r"[a-z_]+(?:_\dx\d)?(?=~)")
    operators = np.array(cells.tolist())
    columns = {f"net.e{edge}": operators[:, j] for j, edge in enumerate(EDGES)}
    features = NASBench201().encoding(columns, len(table))
    tau, covered = ranked(features, table["acc200_c10_test"].to_numpy())
    assert tau > 0.75
    assert 0.9 < covered <= 1.0
