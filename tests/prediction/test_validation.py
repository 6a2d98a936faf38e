"""Cross-validation, coverage and learning curves against plain oracles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, norm, spearmanr
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import ShuffleSplit
from sklearn.model_selection import learning_curve as sklearn_curve

from hwnas.errors import ProblemError
from hwnas.prediction.validation import coverage, cross_validate, kendall, learning_curve, spearman
from predictors.boosted_trees import BoostedTrees
from predictors.ridge import Ridge


class Lookup(RegressorMixin, BaseEstimator):
    """Answers the target of an example with equal features, else 0; its deviation is a constant."""

    def fit(self, X, y):
        self.known_ = {tuple(row): value for row, value in zip(X, y, strict=True)}
        return self

    def predict(self, X, return_std=False):
        mean = np.array([self.known_.get(tuple(row), 0.0) for row in X])
        return (mean, np.full(len(X), 2.0)) if return_std else mean


def linear(n: int, noise: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, X @ [1.0, 2.0, 3.0] + noise * rng.standard_normal(n)


def test_nothing_is_predicted_from_itself_or_its_equal():
    X = np.repeat(np.arange(12.0), 3)[:, None]
    y = 1.0 + np.random.default_rng(0).random(36)
    found = cross_validate(Lookup(), X, y, folds=4, seeds=(0, 1))
    np.testing.assert_array_equal(found.predicted, 0.0)
    np.testing.assert_array_equal(found.deviation, 2.0)
    for fold in found.fold:
        assert set(fold) == {0, 1, 2, 3}
        assert all(len(set(fold[i : i + 3])) == 1 for i in range(0, 36, 3))
    assert not np.array_equal(*found.fold)


def test_each_fold_is_predicted_by_the_others():
    X, y = linear(40)
    found = cross_validate(Ridge(), X, y, folds=4, seeds=(5,))
    for fold in range(4):
        held = found.fold[0] == fold
        mean, std = Ridge().fit(X[~held], y[~held]).predict(X[held], return_std=True)
        np.testing.assert_allclose(found.predicted[0, held], mean)
        np.testing.assert_allclose(found.deviation[0, held], std)
    predicted = found.predicted[0]
    assert found.kendall()[0] == kendalltau(predicted, y).statistic
    assert found.spearman()[0] == spearmanr(predicted, y).statistic
    assert found.rmse()[0] == pytest.approx(np.sqrt(np.mean((predicted - y) ** 2)))
    assert found.seconds.shape == (1, 4)
    assert (found.seconds > 0).all()


def test_a_model_that_knows_its_error_is_calibrated():
    X, y = linear(400)
    found = cross_validate(Ridge(), X, y)
    for level in (0.5, 0.68, 0.95):
        assert found.coverage(level)[0] == pytest.approx(level, abs=0.06)


def test_coverage_is_what_draws_say():
    rng = np.random.default_rng(0)
    mean, std = rng.standard_normal(20_000), rng.random(20_000) + 0.1
    measured = rng.normal(mean, std)
    for level in (0.2, 0.68, 0.95):
        low, high = norm(mean, std).interval(level)
        inside = np.mean((low <= measured) & (measured <= high))
        assert coverage(mean, std, measured, level) == inside == pytest.approx(level, abs=0.01)


def test_without_an_order_there_is_no_rank_correlation():
    flat, some = np.zeros(4), np.arange(4.0)
    assert np.isnan([kendall(flat, some), spearman(some, flat)]).all()


def test_the_seed_of_a_predictor_is_set_and_names_are_told():
    X, y = linear(30)
    model = BoostedTrees(members=2, rounds=5, monotonic={"b*": "falling"})
    one, same = (
        cross_validate(model, X, y, folds=3, seeds=(1,), names=("a", "bits", "c")) for _ in range(2)
    )
    np.testing.assert_array_equal(one.predicted, same.predicted)
    with pytest.raises(ProblemError, match="monotonic"):
        cross_validate(model, X, y, folds=3, names=("a", "c", "d"))


def test_the_learning_curve_is_that_of_scikit_learn():
    X, y = linear(400, noise=0.5)
    wanted = (20, 60, 300)
    ours = learning_curve(Ridge(), X, y, sizes=wanted, seeds=range(20))
    sizes, _, theirs = sklearn_curve(
        Ridge(),
        X,
        y,
        train_sizes=list(wanted),
        cv=ShuffleSplit(20, test_size=0.2, random_state=0),
        scoring="neg_root_mean_squared_error",
        shuffle=True,
        random_state=0,
    )
    assert ours.sizes.tolist() == sizes.tolist()
    np.testing.assert_allclose(ours.rmse.mean(axis=0), -theirs.mean(axis=1), rtol=0.1)
    means = ours.kendall.mean(axis=0)
    assert means[0] < means[1] < means[2]
    assert ours.spearman.shape == (20, 3)


def test_sizes_go_up_to_what_is_not_held_out():
    X, y = linear(50)
    curve = learning_curve(Ridge(), X, y)
    assert curve.sizes[-1] == 40
    assert (np.diff(curve.sizes) > 0).all()
    assert learning_curve(Ridge(), X, y, sizes=(5, 20, 41)).sizes.tolist() == [5, 20]
    with pytest.raises(ProblemError, match="at most 40"):
        learning_curve(Ridge(), X, y, sizes=(41,))


@pytest.mark.parametrize("folds", [1, 7])
def test_folds_that_cannot_be_made(folds):
    X = np.repeat(np.arange(6.0), 2)[:, None]
    with pytest.raises(ProblemError, match=r"6 different examples, 12 in all"):
        cross_validate(Ridge(), X, np.arange(12.0), folds=folds)
