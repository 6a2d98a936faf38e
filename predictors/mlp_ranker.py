"""Small neural networks that learn which of two examples is better, and only then by how much.

Source: Burges and others, "Learning to Rank using Gradient Descent", ICML 2005 (RankNet: eq. 3 is
the loss of a pair); Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019
(AdamW, algorithm 2). Each network is trained without one group of examples, so that scores of
examples which it has not seen tell how far to trust it; the jackknife is that of `boosted_trees`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.arrays import Floats, Ints
from hwnas.errors import ProblemError
from hwnas.prediction import Predictor
from hwnas.prediction.normal_scores import NormalScores

_BATCH: Final = 64
"""Examples of a step: all pairs among them are compared."""
_BETAS: Final = (0.9, 0.999)
_TINY: Final = 1e-8


class MLPRanker(Predictor):
    """An ensemble of small networks trained to rank, then put on the scale of the targets.

    Their mean score becomes a normal score of the targets by a straight line through scores of
    unseen examples, and that a value (see `hwnas.prediction.normal_scores.NormalScores`). The
    standard deviation is that of a new measurement: disagreement plus what it leaves unexplained.

    Args:
        members: Number of networks, each fitted without one group of examples; at least 2.
        hidden: Widths of the hidden layers, at least one.
        steps: Steps of training.
        learning_rate: The first; it falls to nothing along half a cosine.
        decay: Weight decay.
        random_state: Seed.

    Attributes:
        scaler_: The fitted `sklearn.preprocessing.StandardScaler` of the features.
        slope_: Normal score of the targets per score.
        noise_: Standard deviation of normal scores that the members do not disagree about.
        n_features_in_: Number of features.
    """

    def __init__(
        self,
        members: int = 5,
        hidden: Sequence[int] = (128,),
        steps: int = 500,
        learning_rate: float = 3e-3,
        decay: float = 0.1,
        random_state: int = 0,
    ) -> None:
        self.members = members
        self.hidden = hidden
        self.steps = steps
        self.learning_rate = learning_rate
        self.decay = decay
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Trains the networks; see `Predictor.fit`.

        Raises:
            ProblemError: An option is out of its range.
            ValueError: Fewer than four examples.
        """
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=4)
        self._check()
        self._scores = NormalScores(y)
        z = self._scores.scores
        self.scaler_ = StandardScaler().fit(X)
        Z = self.scaler_.transform(X)
        rng = np.random.default_rng(self.random_state)
        members = min(self.members, len(z) // 2)
        group = rng.permutation(len(z)) % members
        seen = [np.flatnonzero(group != i) for i in range(members)]
        layers = _Layers.drawn([Z.shape[1], *self.hidden, 1], members, rng)
        self._networks = self._trained(layers, Z, z, seen, rng)
        each = self._networks.scores(np.broadcast_to(Z, (members, *Z.shape)))
        learnt = [each[i, rows] for i, rows in enumerate(seen)]
        self._centre = np.array([scores.mean() for scores in learnt])
        self._unit = np.array([scores.std() or 1.0 for scores in learnt])
        self._calibrate(self._members(Z), z, group)
        return self

    def _trained(
        self, layers: _Layers, Z: Floats, z: Floats, seen: list[Ints], rng: np.random.Generator
    ) -> _Layers:
        """All members at once; AdamW."""
        first = [np.zeros_like(p) for p in layers.parameters]
        second = [np.zeros_like(p) for p in layers.parameters]
        size = min(_BATCH, *map(len, seen))
        for step in range(self.steps):
            rows = np.stack([rng.choice(known, size, replace=False) for known in seen])
            gradients = layers.gradients(Z[rows], z[rows])
            rate = 0.5 * self.learning_rate * (1.0 + np.cos(np.pi * step / self.steps))
            corrections = [1.0 - beta ** (step + 1) for beta in _BETAS]
            for p, g, m, v in zip(layers.parameters, gradients, first, second, strict=True):
                m += (1.0 - _BETAS[0]) * (g - m)
                v += (1.0 - _BETAS[1]) * (g**2 - v)
                p *= 1.0 - rate * self.decay
                p -= rate * (m / corrections[0]) / (np.sqrt(v / corrections[1]) + _TINY)
        return layers

    def _calibrate(self, each: Floats, z: Floats, group: Ints) -> None:
        """The line from scores to normal scores, and what is left of the error."""
        unseen = each[group, np.arange(len(z))]
        spread = float(unseen.var())
        covariance = float(np.mean((unseen - unseen.mean()) * (z - z.mean())))
        # What was trained to rise with the target and falls with it elsewhere has learnt nothing.
        self.slope_ = max(0.0, covariance / spread) if spread > 0.0 else 0.0
        self._intercept = float(z.mean() - self.slope_ * unseen.mean())
        wrong = np.mean((self._intercept + self.slope_ * unseen - z) ** 2)
        explained = self.slope_**2 * (len(each) - 1) * float(np.mean(each.var(axis=0)))
        self.noise_ = float(np.sqrt(max(0.0, float(wrong) - explained)))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The values that the scores stand for; see `Predictor.predict`."""
        check_is_fitted(self)
        each = self._members(self._scaled(X))
        mean = self._intercept + self.slope_ * each.mean(axis=0)
        variance = self.slope_**2 * (len(each) - 1) * each.var(axis=0) + self.noise_**2
        expected, std = self._scores.moments(mean, np.sqrt(variance))
        return (expected, std) if return_std else expected

    def rank(self, X: Any) -> Floats:
        """Ranks rows by their mean score; see `Predictor.rank`."""
        check_is_fitted(self)
        ranks: Floats = rankdata(self._members(self._scaled(X)).mean(axis=0)) - 1.0
        return ranks

    def _scaled(self, X: Any) -> Floats:
        scaled: Floats = self.scaler_.transform(
            validate_data(self, X, reset=False, dtype=np.float64)
        )
        return scaled

    def _members(self, Z: Floats) -> Floats:
        """The scores of each member, standardised, ``(members, n)``."""
        scores = self._networks.scores(np.broadcast_to(Z, (len(self._unit), *Z.shape)))
        standard: Floats = (scores - self._centre[:, None]) / self._unit[:, None]
        return standard

    def _check(self) -> None:
        rules = {
            "members": (self.members >= 2, "at least 2"),
            "hidden": (len(self.hidden) > 0 and min(self.hidden) > 0, "widths of at least 1"),
            "steps": (self.steps >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "decay": (self.decay >= 0, "at least 0"),
        }
        for option, (is_met, rule) in rules.items():
            if not is_met:
                raise ProblemError(
                    f"mlp_ranker cannot have {option} = {getattr(self, option)}", rule=rule
                )


@dataclass(frozen=True, eq=False)
class _Layers:
    """Several networks of the same shape: weights ``(m, in, out)`` and biases ``(m, 1, out)``."""

    weights: list[Floats]
    biases: list[Floats]

    @classmethod
    def drawn(cls, sizes: Sequence[int], members: int, rng: np.random.Generator) -> _Layers:
        weights = [
            rng.standard_normal((members, a, b)) * np.sqrt(2.0 / a) for a, b in pairwise(sizes)
        ]
        return cls(weights, [np.zeros((members, 1, size)) for size in sizes[1:]])

    @property
    def parameters(self) -> list[Floats]:
        return [*self.weights, *self.biases]

    def _forward(self, X: Floats) -> list[Floats]:
        """The input of each layer, and the output of the last; rectified in between."""
        values = [X]
        last = len(self.weights) - 1
        for i, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            values.append(values[-1] @ W + b)
            if i < last:
                np.maximum(values[-1], 0.0, out=values[-1])
        return values

    def scores(self, X: Floats) -> Floats:
        """Of rows ``(m, n, k)``, ``(m, n)``."""
        return self._forward(X)[-1][:, :, 0]

    def loss(self, X: Floats, z: Floats) -> Floats:
        """The mean over pairs of rows that differ, eq. 3, ``(m,)``."""
        s = self.scores(X)
        sign = np.sign(z[:, :, None] - z[:, None, :])
        each = np.logaddexp(0.0, -sign * (s[:, :, None] - s[:, None, :])) * abs(sign)
        total: Floats = each.sum(axis=(1, 2)) / _pairs(sign)
        return total

    def gradients(self, X: Floats, z: Floats) -> list[Floats]:
        """Of the loss by the parameters, in their order."""
        values = self._forward(X)
        s = values[-1][:, :, 0]
        sign = np.sign(z[:, :, None] - z[:, None, :])
        pull = sign * expit(-sign * (s[:, :, None] - s[:, None, :]))
        # A row is in two ordered pairs with any other, and they pull alike.
        back = (-2.0 * pull.sum(axis=2) / _pairs(sign)[:, None])[:, :, None]
        by_weights: list[Floats] = []
        by_biases: list[Floats] = []
        for i in reversed(range(len(self.weights))):
            by_weights.append(values[i].transpose(0, 2, 1) @ back)
            by_biases.append(back.sum(axis=1, keepdims=True))
            if i:
                back = (back @ self.weights[i].transpose(0, 2, 1)) * (values[i] > 0.0)
        return [*reversed(by_weights), *reversed(by_biases)]


def _pairs(sign: Floats) -> Floats:
    """How many ordered pairs differ, at least 1, ``(m,)``."""
    differ: Floats = np.maximum(abs(sign).sum(axis=(1, 2)), 1.0)
    return differ
