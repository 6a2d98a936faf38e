"""A weighted sum of other predictors, weighted by how well each does on examples not seen.

Source: Breiman, "Stacked Regressions", Machine Learning 24, 1996: weights that are not negative,
found on predictions of a cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Self

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas import plugins
from hwnas.arrays import Floats
from hwnas.errors import ProblemError
from hwnas.prediction import Predictor
from hwnas.prediction.interface import named


class Stacking(Predictor):
    """Other predictors together, each with the weight that cross-validation gives it.

    The standard deviation is that of a new measurement. Its square is a constant plus a multiple of
    the disagreement of those that have a weight; both are those under which the errors in
    cross-validation are most likely, as normally distributed.

    Args:
        predictors: Their names (entry points of ``hwnas.predictors``).
        options: The options of each, by its name; what is left out has its usual value.
        folds: Of the cross-validation; at most one per two examples.
        random_state: Seed of the folds.

    Attributes:
        members_: The predictors, fitted on all examples, in order.
        weights_: Of the members, none of them negative, ``(members,)``; they add up to about 1.
        intercept_: What is added to their weighted sum.
        noise_: Standard deviation of a measurement that the members do not disagree about.
        spread_: What the variance of the members is multiplied by.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        predictors: Sequence[str] = ("gaussian_process", "boosted_trees", "ridge"),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.predictors = predictors
        self.options = options
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fits all predictors ``folds`` times and once more; see `Predictor.fit`.

        Raises:
            ProblemError: There is none to stack, or options are for one that is not stacked.
            PluginError: There is no predictor of a name.
            ValueError: Fewer than four examples.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=4)
        members = self._members(getattr(self, "feature_names_in_", None))
        folds = min(self.folds, len(y) // 2)
        splits = KFold(folds, shuffle=True, random_state=self.random_state)
        unseen = np.column_stack([cross_val_predict(m, X, y, cv=splits) for m in members])
        weighing = LinearRegression(positive=True).fit(unseen, y)
        self.weights_: Floats = weighing.coef_
        self.intercept_ = float(weighing.intercept_)
        wrong = unseen @ self.weights_ + self.intercept_ - y
        self.noise_, self.spread_ = _most_likely(wrong**2, self._disagreement(unseen))
        self.members_ = [member.fit(X, y) for member in members]
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The weighted sum, and the deviation of a measurement; see `Predictor.predict`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        each = np.column_stack([member.predict(X) for member in self.members_])
        mean = each @ self.weights_ + self.intercept_
        if not return_std:
            return mean
        return mean, np.sqrt(self.spread_ * self._disagreement(each) + self.noise_**2)

    def named(self, names: Sequence[str]) -> Self:
        """A copy whose members know the names of the columns; see `Predictor.named`.

        Raises:
            ProblemError: An option names a column that is not there.
        """
        copy = super().named(names)
        options = {name: member.get_params() for name, member in self._by_name(names).items()}
        return copy.set_params(options=options)  # type: ignore[no-any-return]

    def _disagreement(self, each: Floats) -> Floats:
        """The variance of the members' answers ``(n, members)`` by their weights, ``(n,)``."""
        total = self.weights_.sum()
        if not total > 0.0:
            return np.zeros(len(each))
        shares = self.weights_ / total
        variance: Floats = (each - (each @ shares)[:, None]) ** 2 @ shares
        return variance

    def _members(self, names: Sequence[str] | None) -> list[Any]:
        return list(self._by_name(names).values())

    def _by_name(self, names: Sequence[str] | None) -> dict[str, Any]:
        options = self.options or {}
        stranger = next((name for name in options if name not in self.predictors), None)
        if not len(self.predictors) or stranger is not None:
            raise ProblemError(
                "there is nothing to stack"
                if stranger is None
                else f"{stranger!r} has options and is not stacked",
                where="options predictors and options of stacking",
                rule="at least one predictor; options for those named",
                given=", ".join(self.predictors),
            )
        members = {name: _kind(name)(**options.get(name, {})) for name in self.predictors}
        if names is None:
            return members
        return {name: named(member, list(names)) for name, member in members.items()}


_RANGES: Final = ((1e-8, 10.0), (1e-3, 30.0))
"""Of the constant, as a share of the mean squared error, and of the multiple."""


def _most_likely(squares: Floats, disagreement: Floats) -> tuple[float, float]:
    """The parameters of the variance of errors that are normally distributed around 0.

    Args:
        squares: Squared errors, ``(n,)``.
        disagreement: Variances of the members there, ``(n,)``.

    Returns:
        The root of the constant, and the multiple of the disagreement.
    """
    mean = float(squares.mean())
    if not mean > 0.0:
        return 0.0, 1.0
    scaled, apart = squares / mean, disagreement / mean

    def loss(theta: Floats) -> tuple[float, Floats]:
        parts = np.exp(theta)[:, None] * np.stack([np.ones_like(apart), apart])
        variance = parts.sum(axis=0)
        slope = (1.0 - scaled / variance) / variance
        return float(np.sum(np.log(variance) + scaled / variance)), parts @ slope

    bounds = np.log(_RANGES)
    starts = (np.log([share, 1.0]) for share in (0.01, 1.0))
    found = min(
        (minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts),
        key=lambda result: float(result.fun),
    )
    constant, multiple = np.exp(found.x)
    return float(np.sqrt(constant * mean)), float(multiple)


@cache
def _kind(name: str) -> Any:
    """Entry points are looked up on disk, and a stack is fitted often."""
    return plugins.load("hwnas.predictors", name)
