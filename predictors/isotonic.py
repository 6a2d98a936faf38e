"""Isotonic regression: any curve on one feature that never turns.

Source: Barlow, Bartholomew, Bremner, Brunk, "Statistical Inference under Order Restrictions", Wiley
1972; the fit is scikit-learn's.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.arrays import Floats
from hwnas.prediction import Predictor
from hwnas.prediction.one_feature import rises, the_feature


class Isotonic(Predictor):
    """Isotonic regression on one feature, rising or falling: no form, flat outside the data.

    The standard deviation is that of the errors in cross-validation, the same everywhere.

    Args:
        column: The feature that counts; ``None`` if there is only one.
        rising: Whether targets grow with the feature; ``auto`` asks their rank correlation.
        folds: Of the cross-validation, at most one per example.
        random_state: Seed of the folds.

    Attributes:
        curve_: The fitted `sklearn.isotonic.IsotonicRegression`.
        std_: Standard deviation of the errors, in the unit of the target.
        rising_: Whether the targets grow with the feature.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        column: int | None = None,
        rising: bool | Literal["auto"] = "auto",
        folds: int = 5,
        random_state: int = 0,
    ) -> None:
        self.column = column
        self.rising = rising
        self.folds = folds
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's checks have to know: only one of their features counts."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Finds the curve; see `Predictor.fit`.

        Raises:
            ProblemError: Several features and no ``column``, or an unknown ``rising``.
            ValueError: Fewer than two examples, or folds.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
        g = the_feature(X, self.column, "isotonic regression")
        self.rising_ = rises(g, y, self.rising)
        curve = IsotonicRegression(increasing=self.rising_, out_of_bounds="clip")
        folds = KFold(min(self.folds, len(y)), shuffle=True, random_state=self.random_state)
        unseen: Floats = cross_val_predict(curve, g, y, cv=folds)
        self.std_ = float(np.sqrt(np.mean((unseen - y) ** 2)))
        self.curve_ = curve.fit(g, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The curve, and the deviation of the errors; see `Predictor.predict`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        mean = self.curve_.predict(the_feature(X, self.column, "isotonic regression"))
        return (mean, np.full(len(mean), self.std_)) if return_std else mean
