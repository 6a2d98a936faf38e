"""FLASH's accuracy model: a saturating curve on one training-free number.

With g the NN-Degree (any non-negative number that more of is better) and theta the accuracy,

    theta(g) = 1 / (a exp(b/g) + c),    a >= 0, b > 0, a + c > 0,

rises from 0 at g = 0 and saturates at 1 / (a + c). It is fitted by least squares in theta.

Source: Li, Mandal, Ogras, Marculescu, "FLASH: Fast Neural Architecture Search with Hardware
Optimization", ACM TECS 20(5s), 2021, says that 25 trained networks suffice for an accuracy
predictor on NN-Degree. The form of the curve is a reconstruction, as NN-Degree itself is (see
`evaluators.nn_degree`). The bounds and the way of fitting are ours.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from scipy.optimize import least_squares, nnls
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from hwnas.arrays import Floats
from hwnas.errors import ProblemError
from hwnas.prediction import Predictor
from hwnas.prediction.one_feature import rises, the_feature

_PARAMETERS = 3
_BENDS = (1e-3, 30.0)
"""Least and greatest b, relative to the median g. Below, the curve no longer depends on b alone."""
_STARTS = 25
_REFINED = 3
_STEEPEST = 60.0
"""Exponents end here: 1 / exp(60) is nothing."""
_LEAST_VALUE = 0.01
"""Values that count as this share of the largest when 1/theta stands in for theta."""


class SaturatingCurve(Predictor):
    """Saturating curve on one feature, as FLASH fits it on NN-Degree; good from few examples.

    What grows with the feature is fitted directly (an accuracy, in any unit). What shrinks with it
    is taken for an error, and its complement ``ceiling - y`` is fitted.

    The standard deviation is that of the residuals (n - 3 degrees of freedom), the same everywhere.

    Args:
        column: The feature that counts; ``None`` if there is only one.
        rising: Whether targets grow with the feature; ``auto`` asks their rank correlation.
        ceiling: What accuracy and error add up to: 1 for rates, 100 for percentages.
        random_state: Has no influence, since fitting draws nothing; here because every predictor
            can be seeded.

    Attributes:
        a_: The parameter a of the curve, per unit of the target.
        b_: The parameter b, in units of the feature.
        c_: The parameter c, per unit of the target.
        std_: Standard deviation of the residuals, in the unit of the target.
        rising_: Whether the targets grow with the feature.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        column: int | None = None,
        rising: bool | Literal["auto"] = "auto",
        ceiling: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.column = column
        self.rising = rising
        self.ceiling = ceiling
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's checks have to know: no negative features, one of them counts."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.positive_only = True
        tags.regressor_tags.poor_score = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Finds a, b and c; see `Predictor.fit`.

        Raises:
            ProblemError: Several features and no ``column``, an unknown ``rising``, or no target
                that a curve above 0 could go through.
            ValueError: Fewer than four examples, or a feature is negative or not finite.
        """
        X, y = validate_data(
            self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=_PARAMETERS + 1
        )
        g = self._feature(X)
        self.rising_ = rises(g, y, self.rising)
        theta = y if self.rising_ else self.ceiling - y
        largest = float(theta.max())
        if not largest > 0.0:
            raise ProblemError(
                "there is no curve through these targets",
                where="argument y",
                rule="accuracies above 0" if self.rising_ else "errors below ceiling",
                given=f"{y.min():.4g} to {y.max():.4g}"
                + ("" if self.rising_ else f", ceiling {self.ceiling:g}, falling with the feature"),
                cure="rising=False and a ceiling that errors stay below: 1, or 100 for percentages",
            )
        positive = g[g > 0]
        scale = float(np.median(positive)) if positive.size else 1.0
        d, A, b = _fitted(_inverse(g, scale), theta / largest)
        self.a_ = A / np.expm1(b) / largest
        self.b_ = b * scale
        self.c_ = d / largest - self.a_
        residuals = self._curve(g) - theta
        self.std_ = float(np.sqrt(residuals @ residuals / (len(y) - _PARAMETERS)))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The curve, and the deviation of the residuals; see `Predictor.predict`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        theta = self._curve(self._feature(X))
        mean = theta if self.rising_ else self.ceiling - theta
        return (mean, np.full(len(mean), self.std_)) if return_std else mean

    def _curve(self, g: Floats) -> Floats:
        growth = np.expm1(np.minimum(_inverse(g, self.b_), _STEEPEST))
        theta: Floats = 1.0 / (self.a_ * growth + (self.a_ + self.c_))
        return theta

    def _feature(self, X: Floats) -> Floats:
        check_non_negative(X, type(self).__name__)
        return the_feature(X, self.column, "the saturating curve")


def _inverse(g: Floats, scale: float) -> Floats:
    """Computes scale / g, infinite where g is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse: Floats = scale / np.abs(g)
    return inverse


def _growth(z: Floats, b: float) -> Floats:
    """(exp(b z) - 1) / (exp(b) - 1), so that 1 belongs to the median feature."""
    growth: Floats = np.expm1(np.minimum(b * z, _STEEPEST)) / np.expm1(b)
    return growth


def _fitted(z: Floats, t: Floats) -> tuple[float, float, float]:
    """Fits t = 1 / (d + A growth(z; b)) with d = a + c, which is positive where A is not negative.

    For a given b, 1/t is linear in d and A, which gives good starting points.

    Args:
        z: Inverse features, ``(n,)``.
        t: Values of at most 1, at least one of them 1, ``(n,)``.

    Returns:
        d, A and b.
    """

    def misfit(p: Floats) -> Floats:
        missed: Floats = 1.0 / (p[0] + p[1] * _growth(z, p[2])) - t
        return missed

    floored = np.maximum(t, _LEAST_VALUE)
    starts: list[tuple[float, Floats]] = []
    for b in np.geomspace(*_BENDS, _STARTS):
        # An error e of t is one of e / t^2 of 1/t.
        basis = np.stack([np.ones_like(z), _growth(z, b)], axis=1) * floored[:, None] ** 2
        (d, A), _ = nnls(basis, floored)
        p = np.array([max(d, 1e-6), A, b])
        starts.append((float(np.sum(misfit(p) ** 2)), p))
    starts.sort(key=lambda start: start[0])
    bounds = ([1e-9, 0.0, _BENDS[0]], [np.inf, np.inf, _BENDS[1]])
    tight = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}
    for _, p in starts[:_REFINED]:
        found = least_squares(misfit, p, jac="3-point", bounds=bounds, x_scale="jac", **tight)
        starts.append((2.0 * float(found.cost), found.x))
    d, A, b = min(starts, key=lambda start: start[0])[1]
    return float(d), float(A), float(b)
