"""Several losses as one: weighted Tchebycheff distances, and weights that spread."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Floats
from hwnas.problem import nondominated

_AUGMENTATION: Final = 0.05
_DECADES: Final = 1.5


@dataclass(frozen=True)
class Scalarisation:
    """The augmented weighted Tchebycheff distance from the ideal, as it stood at some moment.

    Losses are measured in spans of the front of that moment, on a logarithmic scale where it spans
    decades. Source: Steuer, Choo, "An interactive weighted Tchebycheff procedure for multiple
    objective programming", Mathematical Programming 26, 1983.

    Attributes:
        weight: Not negative, ``(m,)``.
        ideal: The best of each loss, ``(m,)``.
        span: How far the front reaches from there, ``(m,)``.
        logarithmic: Which losses count by their logarithm, ``bool (m,)``.
    """

    weight: Floats
    ideal: Floats
    span: Floats
    logarithmic: Bools

    @classmethod
    def of(cls, losses: Floats, weight: Floats) -> Scalarisation:
        """The scalarisation for what was measured so far.

        Args:
            losses: ``(n, m)``; rows that are not finite do not count.
            weight: Not negative, ``(m,)``.
        """
        front = losses[nondominated(losses)]
        m = len(weight)
        if not len(front):
            return cls(weight, np.zeros(m), np.ones(m), np.zeros(m, dtype=np.bool_))
        best, worst = front.min(axis=0), front.max(axis=0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            logarithmic = (best > 0) & (np.log10(worst / best) > _DECADES)
        ends = _scaled(np.stack([best, worst]), logarithmic)
        span = ends[1] - ends[0]
        return cls(weight, ends[0], np.where(span > 0, span, 1.0), logarithmic)

    def values(self, losses: Floats, violation: Floats) -> Floats:
        """What is minimised: in (0, 1) for feasible designs, from 1 to 2 for others.

        Args:
            losses: ``(n, m)``.
            violation: ``(n,)``; 0 where all constraints are met.

        Returns:
            ``(n,)``; a bounded, increasing function of the distance or of the violation.
        """
        feasible = np.isfinite(losses).all(axis=1) & (violation <= 0)
        amount = np.where(feasible, 0.0, violation)
        with np.errstate(invalid="ignore"):
            beyond = np.where(np.isfinite(amount), amount / (1.0 + amount), 1.0)
        within = np.where(feasible[:, None], losses, 1.0)
        shares = (_scaled(within, self.logarithmic) - self.ideal) / self.span
        distance = (self.weight * shares).max(axis=1) + _AUGMENTATION * shares.sum(axis=1)
        return np.where(feasible, 0.5 + np.arctan(distance) / np.pi, 1.0 + beyond)


def _scaled(losses: Floats, logarithmic: Bools) -> Floats:
    tiny = np.finfo(np.float64).tiny
    return np.where(logarithmic, np.log10(np.maximum(losses, tiny)), losses)


def spread(m: int, n: int) -> Floats:
    """Weights that spread over the simplex, the coarse ones first.

    From the smallest simplex lattice that has ``n`` points, each weight is the one farthest from
    those before it; the first is an end.

    Args:
        m: The number of objectives.
        n: The number of weights.

    Returns:
        Not negative, with sum 1, ``(n, m)``; one row where ``m`` is 1.
    """
    if m == 1:
        return np.ones((1, 1))
    divisions = 1
    while math.comb(divisions + m - 1, m - 1) < n:
        divisions += 1
    bars = itertools.combinations(range(divisions + m - 1), m - 1)
    edges = np.array([(-1, *bar, divisions + m - 1) for bar in bars])
    points = (np.diff(edges, axis=1) - 1) / divisions
    chosen = [0]
    distance = np.full(len(points), np.inf)
    while len(chosen) < n:
        squares = ((points - points[chosen[-1]]) ** 2).sum(axis=1)
        distance = np.minimum(distance, squares)
        chosen.append(int(distance.argmax()))
    return np.asarray(points[chosen])
