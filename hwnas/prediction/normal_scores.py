"""Targets as normal scores, and predictions of them back in the unit of the targets.

Where a few values lie far off (networks that failed to train), differences between all others are
small, and a model of the values spends itself on the few. Normal scores are spread evenly.

Source: van der Waerden, "Order tests for the two-sample problem and their power", Indagationes
Mathematicae 14, 1952 (normal scores); the score of rank r of n is the normal quantile of
(r - 1/2) / n here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from hwnas.arrays import Floats

_NODES: Final = 32
_TAIL: Final = 0.1
"""Beyond the extremes values go on with the slope of this share of the examples."""


class NormalScores:
    """What normal scores stand for, learnt from examples.

    Args:
        y: Values, ``(n,)``, at least one.

    Attributes:
        scores: Theirs, ``(n,)``; those of equal values are equal.
    """

    def __init__(self, y: Floats) -> None:
        self.scores: Floats = ndtri((rankdata(y) - 0.5) / len(y))
        values, first = np.unique(y, return_index=True)
        self._values, self._knots = values.astype(np.float64), self.scores[first]
        reach = max(1, round(_TAIL * len(values)))
        self._slopes = self._slope(0, reach), self._slope(-1 - reach, -1)

    def _slope(self, start: int, end: int) -> float:
        if len(self._values) < 2:
            return 0.0
        run = self._knots[end] - self._knots[start]
        return float((self._values[end] - self._values[start]) / run)

    def back(self, scores: Floats) -> Floats:
        """The values that scores stand for: linear between the examples, and beyond them.

        Args:
            scores: Of any shape.
        """
        below = np.minimum(scores - self._knots[0], 0.0)
        above = np.maximum(scores - self._knots[-1], 0.0)
        values: Floats = np.interp(scores, self._knots, self._values)
        values += self._slopes[0] * below + self._slopes[1] * above
        return values

    def moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the values, where scores are normally distributed.

        By Gauss-Hermite quadrature with 32 nodes.

        Args:
            mean: Of the scores, ``(n,)``.
            deviation: Of the scores, ``(n,)``.

        Returns:
            Both in the unit of the values, ``(n,)``.
        """
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        weights = weights / weights.sum()
        values = self.back(mean[:, None] + deviation[:, None] * nodes)
        expected = values @ weights
        return expected, np.sqrt((values - expected[:, None]) ** 2 @ weights)
