"""Bayesian ridge regression, linear in features or in their ranks.

Source: MacKay, "Bayesian Interpolation", Neural Computation 4(3), 1992: the strength of the penalty
and the noise are those of the greatest evidence; the fit is scikit-learn's `BayesianRidge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, Self

import numpy as np
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.errors import ProblemError, nearest
from hwnas.prediction import Predictor
from hwnas.prediction.normal_scores import NormalScores

_MOST_QUANTILES: Final = 1000


def _quantiles(n: int, distribution: str) -> Any:
    return QuantileTransformer(
        n_quantiles=min(n, _MOST_QUANTILES), output_distribution=distribution, subsample=None
    )


_SCALES: Final[Mapping[str, Callable[[int], Any]]] = {
    "plain": lambda n: FunctionTransformer(),
    "rank": lambda n: _quantiles(n, "uniform"),
    "normal": lambda n: _quantiles(n, "normal"),
}


class Ridge(Predictor):
    """Bayesian ridge regression: a straight line for each feature; fast, and hard to beat from few.

    Features are standardised. The standard deviation is that of a new measurement, noise included.

    Args:
        features: ``plain``, or ``rank`` (each feature becomes its share of smaller examples) or
            ``normal`` (its normal score) where features are skew or reach over decades.
        target: ``plain``, or ``normal``: the normal scores of the targets are learnt; see
            `hwnas.prediction.normal_scores.NormalScores`.
        random_state: Has no influence, since fitting draws nothing; here because every predictor
            can be seeded.

    Attributes:
        pipeline_: The fitted `sklearn.pipeline.Pipeline`; its last step is the regression.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        features: Literal["plain", "rank", "normal"] = "plain",
        target: Literal["plain", "normal"] = "plain",
        random_state: int = 0,
    ) -> None:
        self.features = features
        self.target = target
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Finds the weights; see `Predictor.fit`.

        Raises:
            ProblemError: ``features`` or ``target`` is none of those named.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        for option, known in (("features", _SCALES), ("target", ("plain", "normal"))):
            given = getattr(self, option)
            if given not in known:
                raise ProblemError(
                    f"ridge cannot have {option} = {given!r}",
                    rule="one of: " + ", ".join(known),
                    cure=nearest(str(given), known),
                )
        self._scores = NormalScores(y) if self.target == "normal" else None
        scale = _SCALES[self.features](len(X))
        self.pipeline_ = make_pipeline(scale, StandardScaler(), BayesianRidge())
        self.pipeline_.fit(X, y if self._scores is None else self._scores.scores)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The line, and the deviation of a new measurement; see `Predictor.predict`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        if self._scores is None:
            return self.pipeline_.predict(X, return_std=return_std)
        mean, std = self._scores.moments(*self.pipeline_.predict(X, return_std=True))
        return (mean, std) if return_std else mean
