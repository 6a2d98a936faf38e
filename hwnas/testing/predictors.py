"""The conformance suite of predictors: scikit-learn's own, and what hwnas asks beyond it.

Under pytest:

    @pytest.mark.parametrize("check", predictor_checks(), ids=str)
    def test_conformance(check):
        check(PredictorSubject(MyPredictor()))
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cloudpickle
import numpy as np

from hwnas.arrays import Floats
from hwnas.testing.check import Check, require
from hwnas.testing.elsewhere import elsewhere, global_random_state_untouched


@dataclass(frozen=True, eq=False)
class PredictorSubject:
    """A predictor.

    Attributes:
        predictor: A scikit-learn regressor whose ``predict`` knows ``return_std``; not fitted.
        features: What it is fitted on, ``(n, k)``; a smooth sample if left out.
        target: The values there, ``(n,)``.
        expected_failures: Checks of scikit-learn's that need not hold, and why.
        tolerance: How far predictions that must be equal may differ, relative to their size.
    """

    predictor: Any
    features: Floats | None = None
    target: Floats | None = None
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 1e-6

    @property
    def sample(self) -> tuple[Floats, Floats]:
        """What it is fitted on, a fresh copy."""
        if self.features is not None and self.target is not None:
            return self.features.copy(), self.target.copy()
        features = np.random.default_rng(0).random((60, 3))
        return features, 1 - np.exp(-features.sum(axis=1))

    @cached_property
    def fitted(self) -> Any:
        """A copy, fitted on the sample."""
        return self.fit()

    def fit(self) -> Any:
        """Another copy, fitted on the sample."""
        from sklearn.base import clone

        features, target = self.sample
        return clone(self.predictor).fit(features, target)


def checks() -> tuple[Check[PredictorSubject], ...]:
    """The suite: one check per rule of the contract."""
    return tuple(
        Check[PredictorSubject].of(function)
        for function in (
            is_a_scikit_learn_regressor,
            says_how_sure_it_is,
            predicts_rows_one_by_one,
            learns_a_smooth_function,
            repeats_itself,
            repeats_itself_elsewhere,
            leaves_arguments_alone,
            leaves_global_random_state_alone,
        )
    )


def is_a_scikit_learn_regressor(subject: PredictorSubject) -> None:
    """It passes scikit-learn's check_estimator."""
    from sklearn.base import is_regressor
    from sklearn.utils.estimator_checks import check_estimator

    require(is_regressor(subject.predictor), "scikit-learn does not see a regressor in it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its checks provoke on purpose
        results = check_estimator(
            subject.predictor,
            expected_failed_checks=dict(subject.expected_failures),
            on_skip=None,
            on_fail=None,
        )
    failed = [
        f"{result['check_name']}: {result['exception']}"
        for result in results
        if result["status"] == "failed"
    ]
    require(not failed, f"{len(failed)} of {len(results)} checks failed\n" + "\n".join(failed))


def says_how_sure_it_is(subject: PredictorSubject) -> None:
    """With return_std it also gives standard deviations, finite and not negative."""
    features, _ = subject.sample
    predictor = subject.fitted
    alone = predictor.predict(features)
    mean, deviation = predictor.predict(features, return_std=True)
    n = len(features)
    for name, column in (("mean", mean), ("deviation", deviation)):
        require(np.shape(column) == (n,), f"the {name} has shape {np.shape(column)}, not ({n},)")
        require(np.isfinite(column).all(), f"the {name} is not finite: {column}")
    require((deviation >= 0).all(), f"a standard deviation is negative: {deviation.min()}")
    require(
        np.allclose(mean, alone, rtol=subject.tolerance),
        "the mean with return_std is not what it predicts without",
    )
    far = features + 3 * (features.max(axis=0) - features.min(axis=0) + 1.0)
    _, there = predictor.predict(far, return_std=True)
    require(np.isfinite(there).all() and (there >= 0).all(), "far from the data it is not finite")


def predicts_rows_one_by_one(subject: PredictorSubject) -> None:
    """A row has the same prediction alone as in a batch."""
    features, _ = subject.sample
    predictor = subject.fitted
    rows = features[:7]
    for whole, alone in zip(
        predictor.predict(rows, return_std=True),
        zip(*(predictor.predict(row[None, :], return_std=True) for row in rows), strict=True),
        strict=True,
    ):
        require(
            np.allclose(whole, np.concatenate(alone), rtol=subject.tolerance, atol=1e-9),
            f"in a batch {whole}, alone {np.concatenate(alone)}",
        )


def learns_a_smooth_function(subject: PredictorSubject) -> None:
    """Fitted on a smooth function it predicts its sample better than the mean does."""
    features, target = subject.sample
    rest = target - subject.fitted.predict(features)
    share = 1 - (rest**2).sum() / ((target - target.mean()) ** 2).sum()
    require(share > 0.1, f"on its own sample it explains {share:.3f} of the variance")


def repeats_itself(subject: PredictorSubject) -> None:
    """Fitted again on the same data it predicts the same."""
    features, _ = subject.sample
    _check_same(subject, subject.fit().predict(features, return_std=True), "fitted again")


def repeats_itself_elsewhere(subject: PredictorSubject) -> None:
    """A fitted copy predicts the same in another process."""
    features, _ = subject.sample
    predictor = subject.fitted
    cloudpickle.loads(cloudpickle.dumps(predictor))
    _check_same(subject, elsewhere(_predict, predictor, features), "in another process")


def _predict(predictor: Any, features: Floats) -> Any:
    return predictor.predict(features, return_std=True)


def _check_same(subject: PredictorSubject, answer: Any, where: str) -> None:
    expected = subject.fitted.predict(subject.sample[0], return_std=True)
    for one, other in zip(answer, expected, strict=True):
        require(
            np.allclose(one, other, rtol=subject.tolerance, atol=1e-9),
            f"{where} it predicts {one}, at first {other}",
        )


def leaves_arguments_alone(subject: PredictorSubject) -> None:
    """It does not write into features or targets."""
    features, target = subject.sample
    subject.fit().fit(features, target).predict(features, return_std=True)
    require(
        np.array_equal(features, subject.sample[0]) and np.array_equal(target, subject.sample[1]),
        "it changed its arguments",
    )


def leaves_global_random_state_alone(subject: PredictorSubject) -> None:
    """It draws from streams of its own, and leaves the global random states as they were."""
    features, _ = subject.sample
    subject.fitted.predict(features, return_std=True)  # what it imports may draw
    with global_random_state_untouched():
        subject.fit().predict(features, return_std=True)
