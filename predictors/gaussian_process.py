"""A Gaussian process with one length scale per feature.

Scikit-learn's process predicts. The search for the parameters is our own: scikit-learn's gradient
takes O(n^2 k) memory and several times as long, and it has no prior.

Source: Rasmussen, Williams, "Gaussian Processes for Machine Learning", MIT Press 2006: equations
4.17 (Matérn 5/2), 5.8 and 5.9 (marginal likelihood and its gradient). Prior of the length scales:
Hvarfner, Hellsten, Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML
2024 (theirs is for features in [0, 1], here it stands for standardised ones).
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.errors import ProblemError, nearest
from hwnas.prediction import Predictor
from hwnas.prediction.gaussian import most_likely
from hwnas.prediction.normal_scores import NormalScores

_BLOCK = 8192
"""Rows predicted at a time: their covariance with the examples has to be held in memory."""

_TARGETS: Final = ("plain", "normal")


class GaussianProcess(Predictor):
    """Gaussian process: smooth, good from few examples; cubic in their number, so up to a thousand.

    Features and targets are standardised. Amplitude, length scales and noise are those of the
    greatest posterior density. The standard deviation is that of a new measurement, noise included.

    Args:
        n_restarts: Further starting points of the search for the parameters.
        target: ``plain``, or ``normal`` where a few targets lie far off: the normal scores of the
            targets are learnt; see `hwnas.prediction.normal_scores.NormalScores`.
        random_state: Seed of the starting points.

    Attributes:
        process_: The `sklearn.gaussian_process.GaussianProcessRegressor` of the standardised
            features; its ``kernel_`` has the parameters.
        scaler_: The fitted `sklearn.preprocessing.StandardScaler` of the features.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        n_restarts: int = 0,
        target: Literal["plain", "normal"] = "plain",
        random_state: int = 0,
    ) -> None:
        self.n_restarts = n_restarts
        self.target = target
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Finds the parameters; see `Predictor.fit`.

        Raises:
            ProblemError: ``target`` is none of those named.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        if self.target not in _TARGETS:
            raise ProblemError(
                f"a Gaussian process cannot have target = {self.target!r}",
                rule="one of: " + ", ".join(_TARGETS),
                cure=nearest(str(self.target), _TARGETS),
            )
        self._scores = NormalScores(y) if self.target == "normal" else None
        y = y if self._scores is None else self._scores.scores
        self.scaler_ = StandardScaler().fit(X)
        Z = self.scaler_.transform(X)
        deviation = float(np.std(y)) or 1.0
        theta = most_likely(
            Z, (y - y.mean()) / deviation, restarts=self.n_restarts, seed=self.random_state
        )
        kernel = ConstantKernel() * Matern(np.ones(Z.shape[1]), nu=2.5) + WhiteKernel()
        self.process_ = GaussianProcessRegressor(
            kernel.clone_with_theta(theta), optimizer=None, normalize_y=True
        ).fit(Z, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The posterior mean and the deviation of a new measurement; see `Predictor.predict`."""
        check_is_fitted(self)
        Z = self.scaler_.transform(validate_data(self, X, reset=False, dtype=np.float64))
        with_std = return_std or self._scores is not None
        blocks = [
            self.process_.predict(Z[i : i + _BLOCK], return_std=with_std)
            for i in range(0, len(Z), _BLOCK)
        ]
        if not with_std:
            return np.concatenate(blocks)
        mean, std = (np.concatenate(part) for part in zip(*blocks, strict=True))
        if self._scores is not None:
            mean, std = self._scores.moments(mean, std)
        return (mean, std) if return_std else mean
