"""Gaussian processes: likelihood, its maximum, and the posterior.

Symbols: ``n`` examples, ``k`` features.

Source: Rasmussen, Williams, "Gaussian Processes for Machine Learning", MIT Press 2006: equations
2.23, 2.24 (posterior), 4.17 (Matérn 5/2), 5.8 and 5.9 (marginal likelihood and its gradient). Prior
of the length scales: Hvarfner, Hellsten, Nardi, "Vanilla Bayesian Optimization Performs Great in
High Dimensions", ICML 2024; theirs is wider, and for features in [0, 1] where here it stands for
standardised ones.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from hwnas.arrays import Floats, Ints

_AMPLITUDES = (1e-2, 1e2)
_LENGTH_SCALES = (1e-2, 1e3)
_NOISES = (1e-6, 1.0)
"""Variances relative to that of the targets. The least noise keeps variances positive."""
_FIRST_NOISE = 1e-2
_ENOUGH = 1e-6
"""The search ends where a step gains less than this share of the likelihood."""
_PRIOR_MEAN = np.sqrt(2.0)
_PRIOR_VARIANCE = 1.0
"""Of the logarithm of a length scale, beside log(k) / 2."""


def most_likely(X: Floats, y: Floats, *, restarts: int = 0, seed: int = 0) -> Floats:
    """The parameters of the greatest posterior density found.

    Args:
        X: Features of unit variance, ``(n, k)``.
        y: Targets of mean 0 and variance 1, ``(n,)``.
        restarts: Further starting points of the search.
        seed: Seed of the starting points.

    Returns:
        Parameters as `log_likelihood` takes them, ``(k + 2,)``.
    """
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


_LENGTHS = (0.3, 0.6, 1.2, 2.4)
"""Of the process with one length for all features, relative to the root of their number."""
_NOISE_LEVELS = (1e-4, 1e-3, 1e-2, 1e-1)
_TRENDS = (0.0, 1.0, 8.0)
"""Variances of the linear trend, relative to that of the rest."""


def most_likely_alike(X: Floats, y: Floats) -> tuple[Floats, float]:
    """The most likely parameters with one length scale for all features, and a linear trend.

    From a coarse grid, so that there is little to be misled by.

    Args:
        X: Features of unit variance, ``(n, k)``.
        y: Targets of mean 0 and variance 1, ``(n,)``.

    Returns:
        Parameters as `log_likelihood` takes them, ``(k + 2,)``, and the variance of the trend.
    """
    k = X.shape[1]
    distances = cdist(X, X) * np.sqrt(5.0 / k)
    linear = X @ X.T / k
    best, found, slope = -np.inf, np.zeros(k + 2), 0.0
    for length in _LENGTHS:
        r = distances / length
        smooth = (1.0 + r + r**2 / 3.0) * np.exp(-r)
        for trend in _TRENDS:
            values, vectors = np.linalg.eigh(smooth + trend * linear)
            squares = (vectors.T @ y) ** 2
            for noise in _NOISE_LEVELS:
                spectrum = np.maximum(values, 0.0) + noise * (1.0 + trend)
                # The amplitude that is most likely for a given shape of the covariance.
                amplitude = max(float(np.mean(squares / spectrum)), _AMPLITUDES[0])
                likelihood = -0.5 * (len(y) * np.log(amplitude) + np.log(spectrum).sum())
                if likelihood > best:
                    lengths = np.full(k, np.log(length * np.sqrt(k)))
                    last = np.log(noise * (1.0 + trend) * amplitude)
                    best, slope = likelihood, trend * amplitude
                    found = np.concatenate([[np.log(amplitude)], lengths, [last]])
    return found, slope


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


class Posterior:
    """A Gaussian process that has seen examples; its variances are those without noise.

    Args:
        theta: Parameters, as `log_likelihood` takes them.
        X: Features, ``(n, k)``.
        y: Targets of mean 0, ``(n,)``.
        trend: Variance of a linear trend.
    """

    def __init__(self, theta: Floats, X: Floats, y: Floats, trend: float = 0.0) -> None:
        self.amplitude, self.noise = float(np.exp(theta[0])), float(np.exp(theta[-1]))
        self._trend = trend * np.exp(2.0 * theta[1:-1]) / X.shape[1]
        self._lengths = np.exp(theta[1:-1])
        self._Z = X / self._lengths
        K = self.covariance(self._Z, self._Z)
        K[np.diag_indices_from(K)] += self.noise
        self._factor = cho_factor(K, lower=True)
        self._alpha = cho_solve(self._factor, y)

    def covariance(self, A: Floats, B: Floats) -> Floats:
        """The prior covariance of rows divided by their lengths, ``(a, b)``; eq. 4.17."""
        squares = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2.0 * (A @ B.T)
        r = np.sqrt(np.maximum(5.0 * squares, 0.0))
        smooth: Floats = self.amplitude * (1.0 + r + r * r / 3.0) * np.exp(-r)
        if self._trend.any():
            smooth += (A * self._trend) @ B.T
        return smooth

    def at(self, X: Floats) -> Seen:
        """The posterior at some rows, ``(j, k)``."""
        Z = X / self._lengths
        K = self.covariance(self._Z, Z)
        V = solve_triangular(self._factor[0], K, lower=True, check_finite=False)
        prior = self.amplitude + (Z**2) @ self._trend
        variance = np.maximum(prior - (V**2).sum(axis=0), 1e-12 * self.amplitude)
        return Seen(self, Z, V, self._alpha @ K, variance)


class Seen:
    """The posterior at ``j`` rows, which can still learn that one of them was measured.

    Attributes:
        mean: ``(j,)``.
        variance: Without noise, ``(j,)``.
    """

    def __init__(
        self, process: Posterior, Z: Floats, V: Floats, mean: Floats, variance: Floats
    ) -> None:
        self._process, self._Z, self._V = process, Z, V
        self.mean, self.variance = mean, variance

    def take(self, rows: Ints) -> Seen:
        """Some of the rows."""
        return Seen(
            self._process, self._Z[rows], self._V[:, rows], self.mean[rows], self.variance[rows]
        )

    def measured(self, row: int) -> Seen:
        """The posterior if a row were measured and gave its mean: less uncertain around it."""
        covariance = (
            self._process.covariance(self._Z[row : row + 1], self._Z)[0] - self._V[:, row] @ self._V
        )
        new = covariance / np.sqrt(self.variance[row] + self._process.noise)
        V = np.concatenate([self._V, new[None, :]])
        variance = np.maximum(self.variance - new**2, 1e-12 * self._process.amplitude)
        return Seen(self._process, self._Z, V, self.mean, variance)
