"""A Gaussian process with one length scale per feature.

Scikit-learn's process predicts. The search for the parameters is our own: scikit-learn's gradient
takes O(n^2 k) memory and several times as long, and it has no prior.

Source: Rasmussen, Williams, "Gaussian Processes for Machine Learning", MIT Press 2006: equations
4.17 (Matérn 5/2), 5.8 and 5.9 (marginal likelihood and its gradient). Prior of the length scales:
Hvarfner, Hellsten, Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions", ICML
2024 (theirs is for features in [0, 1], here it stands for standardised ones).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.arrays import Floats
from hwnas.prediction import Predictor

_AMPLITUDES = (1e-2, 1e2)
_LENGTH_SCALES = (1e-2, 1e3)
_NOISES = (1e-6, 1.0)
"""Variances relative to that of the targets. The least noise keeps variances positive."""
_FIRST_NOISE = 1e-2
_ENOUGH = 1e-6
"""The search ends where a step gains less than this share of the likelihood."""
_PRIOR_MEAN = np.sqrt(2.0)
_PRIOR_VARIANCE = 3.0
"""Of the logarithm of a length scale, beside log(k) / 2."""
_BLOCK = 8192
"""Rows predicted at a time: their covariance with the examples has to be held in memory."""


class GaussianProcess(Predictor):
    """Gaussian process: smooth, good from few examples; cubic in their number, so up to a thousand.

    Features and targets are standardised. Amplitude, length scales and noise are those of the
    greatest posterior density. The standard deviation is that of a new measurement, noise included.

    Args:
        n_restarts: Further starting points of the search for the parameters.
        random_state: Seed of the starting points.

    Attributes:
        process_: The `sklearn.gaussian_process.GaussianProcessRegressor` of the standardised
            features; its ``kernel_`` has the parameters.
        scaler_: The fitted `sklearn.preprocessing.StandardScaler` of the features.
        n_features_in_: Number of features.
    """

    def __init__(self, n_restarts: int = 1, random_state: int = 0) -> None:
        self.n_restarts = n_restarts
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Finds the parameters; see `Predictor.fit`."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        self.scaler_ = StandardScaler().fit(X)
        Z = self.scaler_.transform(X)
        deviation = float(np.std(y)) or 1.0
        theta = _most_likely(Z, (y - y.mean()) / deviation, self.n_restarts, self.random_state)
        kernel = ConstantKernel() * Matern(np.ones(Z.shape[1]), nu=2.5) + WhiteKernel()
        self.process_ = GaussianProcessRegressor(
            kernel.clone_with_theta(theta), optimizer=None, normalize_y=True
        ).fit(Z, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The posterior mean and the deviation of a new measurement; see `Predictor.predict`."""
        check_is_fitted(self)
        Z = self.scaler_.transform(validate_data(self, X, reset=False, dtype=np.float64))
        blocks = [
            self.process_.predict(Z[i : i + _BLOCK], return_std=return_std)
            for i in range(0, len(Z), _BLOCK)
        ]
        if not return_std:
            return np.concatenate(blocks)
        return tuple(np.concatenate(part) for part in zip(*blocks, strict=True))


def _most_likely(X: Floats, y: Floats, restarts: int, seed: int) -> Floats:
    """The parameters of the greatest posterior density found, as `log_likelihood` takes them."""
    k = X.shape[1]
    bounds = np.log([_AMPLITUDES, *[_LENGTH_SCALES] * k, _NOISES])
    # Distances between examples grow with the root of k, and lengths of use with them.
    first = np.concatenate([[0.0], np.full(k, 0.5 * np.log(k)), [np.log(_FIRST_NOISE)]])

    def loss(theta: Floats) -> tuple[float, Floats]:
        likelihood, gradient = log_likelihood(theta, X, y)
        off = theta[1:-1] - 0.5 * np.log(k) - _PRIOR_MEAN
        gradient[1:-1] -= off / _PRIOR_VARIANCE
        return 0.5 * float(off @ off) / _PRIOR_VARIANCE - likelihood, -gradient

    rng = np.random.default_rng(seed)
    starts = [first, *(first + rng.standard_normal((restarts, k + 2)))]
    found = [
        minimize(
            loss,
            np.clip(start, *bounds.T),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": _ENOUGH},
        )
        for start in starts
    ]
    # One that ended early still is the best place that it saw.
    best: Floats = min(found, key=lambda result: float(result.fun)).x
    return best


def log_likelihood(theta: Floats, X: Floats, y: Floats) -> tuple[float, Floats]:
    """The log marginal likelihood of examples, and its gradient; O(n^3 + n^2 k).

    Args:
        theta: Logarithms of the amplitude (a variance), the ``k`` length scales and the noise (a
            variance), ``(k + 2,)``.
        X: Features, ``(n, k)``.
        y: Targets of mean 0, ``(n,)``.

    Returns:
        The likelihood and its gradient by ``theta``, ``(k + 2,)``.
    """
    amplitude, noise = np.exp(theta[0]), np.exp(theta[-1])
    Z = X / np.exp(theta[1:-1])
    r = np.sqrt(5.0) * cdist(Z, Z)
    decay = amplitude * np.exp(-r)
    smooth = (1.0 + r + r**2 / 3.0) * decay  # eq. 4.17
    K = smooth.copy()
    K[np.diag_indices_from(K)] += noise
    factor = cho_factor(K, lower=True)
    alpha = cho_solve(factor, y)
    half_log_det = np.log(np.diag(factor[0])).sum()
    likelihood = -0.5 * y @ alpha - half_log_det - 0.5 * len(y) * np.log(2.0 * np.pi)  # eq. 5.8

    # Eq. 5.9: half the trace of W dK, for each parameter.
    W = np.outer(alpha, alpha) - cho_solve(factor, np.eye(len(y)))
    # dK/dlog(length_d) = 5/3 (1 + r) decay (z_id - z_jd)^2; the square is multiplied out.
    V = W * (5.0 / 3.0) * (1.0 + r) * decay
    by_length = V.sum(axis=1) @ Z**2 - np.sum(Z * (V @ Z), axis=0)
    by_variances = 0.5 * np.sum(W * smooth), 0.5 * noise * np.trace(W)
    return float(likelihood), np.array([by_variances[0], *by_length, by_variances[1]])
