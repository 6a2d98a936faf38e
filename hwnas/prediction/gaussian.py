"""Gaussian processes: likelihood, its maximum, and the posterior.

Symbols: ``n`` examples, ``k`` features.

Source: Rasmussen, Williams, "Gaussian Processes for Machine Learning", MIT Press 2006: equations
2.23, 2.24 (posterior), 4.17 (Matérn 5/2), 5.8 and 5.9 (marginal likelihood and its gradient). Prior
of the length scales: Hvarfner, Hellsten, Nardi, "Vanilla Bayesian Optimization Performs Great in
High Dimensions", ICML 2024; theirs is wider, and for features in [0, 1] where here it stands for
standardised ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.optimize import minimize

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
    distances = np.sqrt(_squares(X, X) * (5.0 / k))
    linear = X @ X.T / k
    best, found, slope = -np.inf, np.zeros(k + 2), 0.0
    for length in _LENGTHS:
        smooth = _matern(distances / length)[0]
        for trend in _TRENDS:
            shape = smooth + trend * linear
            for noise in _NOISE_LEVELS:
                factor = _factor(shape, noise * (1.0 + trend))
                whitened = dtrtrs(factor, y, lower=1)[0]
                # The amplitude that is most likely for a given shape of the covariance.
                amplitude = max(float(whitened @ whitened) / len(y), _AMPLITUDES[0])
                likelihood = -0.5 * len(y) * np.log(amplitude) - np.log(np.diag(factor)).sum()
                if likelihood > best:
                    lengths = np.full(k, np.log(length * np.sqrt(k)))
                    last = np.log(noise * (1.0 + trend) * amplitude)
                    best, slope = likelihood, trend * amplitude
                    found = np.concatenate([[np.log(amplitude)], lengths, [last]])
    return found, slope


def _squares(A: Floats, B: Floats) -> Floats:
    """Squared distances between rows, ``(a, b)``; multiplied out, so small ones are inexact."""
    squares: Floats = A @ B.T
    squares *= -2.0
    squares += (A**2).sum(axis=1)[:, None]
    squares += (B**2).sum(axis=1)
    return np.maximum(squares, 0.0, out=squares)


def _matern(r: Floats) -> tuple[Floats, Floats]:
    """The correlation at distances times the root of 5, and its factor exp(-r); eq. 4.17."""
    decay: Floats = np.exp(-r)
    smooth = r * (1.0 / 3.0)
    smooth += 1.0
    smooth *= r
    smooth += 1.0
    smooth *= decay
    return smooth, decay


def _factor(K: Floats, noise: float) -> Floats:
    """The lower Cholesky factor of a covariance with noise, column by column."""
    whole = K.copy()
    whole.ravel()[:: len(whole) + 1] += noise
    # Symmetric: its transpose is the same, and is laid out as LAPACK wants it.
    factor: Floats
    factor, failed = dpotrf(whole.T, lower=1, clean=1, overwrite_a=1)
    if failed:
        raise LinAlgError("a covariance is not positive definite")
    return factor


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
    r = _squares(Z, Z)
    r *= 5.0
    np.sqrt(r, out=r)
    smooth, decay = _matern(r)
    smooth *= amplitude  # eq. 4.17
    factor = _factor(smooth, noise)
    alpha = dpotrs(factor, y, lower=1)[0]
    half_log_det = np.log(np.diag(factor)).sum()
    likelihood = -0.5 * y @ alpha - half_log_det - 0.5 * len(y) * np.log(2.0 * np.pi)  # eq. 5.8

    # Eq. 5.9: half the trace of W dK, for each parameter. Of the inverse one triangle is computed.
    below = dpotri(factor, lower=1, overwrite_c=1)[0]
    W = np.outer(alpha, alpha)
    W -= below
    W -= below.T
    W.ravel()[:: len(W) + 1] += np.diag(below)
    # dK/dlog(length_d) = 5/3 (1 + r) decay (z_id - z_jd)^2; the square is multiplied out.
    decay *= 5.0 / 3.0 * amplitude
    r += 1.0
    r *= decay
    r *= W
    by_length = r.sum(axis=1) @ Z**2 - np.sum(Z * (r @ Z), axis=0)
    by_variances = 0.5 * np.vdot(W, smooth), 0.5 * noise * np.trace(W)
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
        self._factor = _factor(self.covariance(self._Z, self._Z), self.noise)
        self._alpha: Floats = dpotrs(self._factor, y, lower=1)[0]

    def covariance(self, A: Floats, B: Floats) -> Floats:
        """The prior covariance of rows divided by their lengths, ``(a, b)``; eq. 4.17."""
        r = _squares(A, B)
        r *= 5.0
        smooth = _matern(np.sqrt(r, out=r))[0]
        smooth *= self.amplitude
        if self._trend.any():
            smooth += (A * self._trend) @ B.T
        return smooth

    def at(self, X: Floats) -> Seen:
        """The posterior at some rows, ``(j, k)``."""
        Z = X / self._lengths
        K = self.covariance(Z, self._Z)
        mean = K @ self._alpha
        V: Floats = dtrtrs(self._factor, K.T, lower=1, overwrite_b=1)[0].T if len(X) else K
        prior = self.amplitude + (Z**2) @ self._trend
        variance = np.maximum(prior - np.einsum("jn,jn->j", V, V), 1e-12 * self.amplitude)
        return Seen(self, Z, V, mean, variance)


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
            self._process, self._Z[rows], self._V[rows], self.mean[rows], self.variance[rows]
        )

    @classmethod
    def joined(cls, several: Sequence[Seen]) -> Seen:
        """The rows of several posteriors of one process, at least one, in their order."""
        return cls(
            several[0]._process,
            np.concatenate([one._Z for one in several]),
            np.concatenate([one._V for one in several]),
            np.concatenate([one.mean for one in several]),
            np.concatenate([one.variance for one in several]),
        )

    def measured(self, row: int) -> Seen:
        """The posterior if a row were measured and gave its mean: less uncertain around it."""
        covariance = (
            self._process.covariance(self._Z[row : row + 1], self._Z)[0] - self._V @ self._V[row]
        )
        new = covariance / np.sqrt(self.variance[row] + self._process.noise)
        V = np.concatenate([self._V, new[:, None]], axis=1)
        variance = np.maximum(self.variance - new**2, 1e-12 * self._process.amplitude)
        return Seen(self._process, self._Z, V, self.mean, variance)
