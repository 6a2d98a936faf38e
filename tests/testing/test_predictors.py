"""The suite of predictors lets good ones pass, and finds every kind of bad one."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.testing import PredictorSubject, predictor_checks, run

CHECKS = {check.name: check for check in predictor_checks()}


class Linear(RegressorMixin, BaseEstimator):
    """Ridge regression in closed form; as sure everywhere as its residuals say."""

    def fit(self, X, y):
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        self.center_, self.level_ = X.mean(axis=0), y.mean()
        design = X - self.center_
        self.weights_ = np.linalg.solve(
            design.T @ design + 1e-6 * np.eye(X.shape[1]), design.T @ (y - self.level_)
        )
        self.spread_ = float((y - self._mean(X)).std())
        return self

    def _mean(self, X):
        return (X - self.center_) @ self.weights_ + self.level_

    def predict(self, X, return_std=False):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        mean = self._mean(X)
        return (mean, np.full(len(X), self.spread_)) if return_std else mean


@pytest.mark.parametrize("check", predictor_checks(), ids=str)
def test_a_good_one_passes(check):
    check(PredictorSubject(Linear()))


def test_a_sample_of_ones_own():
    X = np.linspace(0, 1, 30)[:, None]
    subject = PredictorSubject(Linear(), X, 3 * X[:, 0])
    assert all(outcome.passed for outcome in run(predictor_checks()[1:], subject))


def predicting(change):
    """A predictor whose mean and deviation are changed by a function."""

    class Predicting(Linear):
        def predict(self, X, return_std=False):
            mean, std = change(self, *super().predict(X, return_std=True))
            return (mean, std) if return_std else mean

    return Predicting


class Without(Linear):
    def predict(self, X):
        return super().predict(X)


class Undecided(Linear):
    def predict(self, X, return_std=False):
        found = super().predict(X, return_std)
        return found if return_std else found + 0.1


class Rolling(Linear):
    def fit(self, X, y):
        super().fit(X, y)
        self.level_ += np.random.default_rng().normal()
        return self


class Scaling(Linear):
    def fit(self, X, y):
        y -= y.mean()
        return super().fit(X, y)


class SeedsTheWorld(Linear):
    def fit(self, X, y):
        random.seed(1)
        return super().fit(X, y)


class NoRegressor(BaseEstimator):
    fit, predict, _mean = Linear.fit, Linear.predict, Linear._mean


class Forgets(Linear):
    """Changes its argument, which scikit-learn's rules forbid."""

    def __init__(self, power=2):
        self.power = power + 1


class Unchecked(Linear):
    """Does not say that it is not fitted."""

    def predict(self, X, return_std=False):
        return super().predict(X, return_std) if hasattr(self, "level_") else np.zeros(len(X))


BAD = [
    ("is a scikit learn regressor", NoRegressor),
    ("is a scikit learn regressor", Forgets),
    ("says how sure it is", Without),
    ("says how sure it is", Undecided),
    ("says how sure it is", predicting(lambda p, mean, std: (mean, -std))),
    ("says how sure it is", predicting(lambda p, mean, std: (mean, std * np.nan))),
    ("says how sure it is", predicting(lambda p, mean, std: (mean, std[:, None]))),
    ("says how sure it is", predicting(lambda p, mean, std: (mean, 0.1))),
    ("predicts rows one by one", predicting(lambda p, mean, std: (mean - mean.mean(), std))),
    ("predicts rows one by one", predicting(lambda p, mean, std: (mean, std * len(std)))),
    ("learns a smooth function", predicting(lambda p, mean, std: (mean * 0 + p.level_, std))),
    ("learns a smooth function", predicting(lambda p, mean, std: (-mean, std))),
    ("repeats itself", Rolling),
    ("repeats itself elsewhere",
     predicting(lambda p, mean, std: (mean + (os.getpid() % 1000) * 1e-3, std))),
    ("leaves arguments alone", Scaling),
    ("leaves global random state alone", SeedsTheWorld),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), BAD, ids=[f"{i} {n}" for i, (n, _) in enumerate(BAD)])
def test_bad_ones_are_found(name, kind):
    (outcome,) = run([CHECKS[name]], PredictorSubject(kind()))
    assert not outcome.passed
    assert outcome.message


def test_every_rule_is_broken_by_somebody():
    assert {name for name, _ in BAD} == set(CHECKS)


def test_failures_that_are_expected_are_let_pass():
    name = "is a scikit learn regressor"
    (strict,) = run([CHECKS[name]], PredictorSubject(Unchecked()))
    assert not strict.passed
    excuse = {"check_estimators_unfitted": "zero before anything is known"}
    (lenient,) = run([CHECKS[name]], PredictorSubject(Unchecked(), expected_failures=excuse))
    assert lenient.passed
