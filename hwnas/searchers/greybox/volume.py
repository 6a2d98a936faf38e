"""The hypervolume that designs are expected to add, over all their inner designs at once.

Hypervolume is the integral, over all points of the box of the other objectives, of how far the
front reaches in one costly objective there. It is taken over quasi-random points, on which every
inner front is a mask that never changes; in the costly objective it is exact, and an expected
improvement in closed form. So thousands of designs, with all their accelerators, cost milliseconds.

Symbols: ``p`` candidates, ``q`` points, ``f`` free objectives, ``u`` uncertain ones.

Source: Emmerich, Deutz, Klinkenberg, "Hypervolume-based expected improvement", CEC 2011 (the
integral); Jones, Schonlau, Welch, "Efficient global optimization", J. Global Optimization 13, 1998,
equation 15 (the expected improvement in one objective).
"""

from __future__ import annotations

from copy import copy

import numpy as np
from scipy.special import ndtr
from scipy.stats.qmc import Sobol

from hwnas.arrays import Bools, Floats, Ints
from hwnas.inner import InnerFront

_CERTAIN = 1e-9
_ROOT = 1.0 / np.sqrt(2.0 * np.pi)


class Volume:
    """What a front reaches at each of the points.

    Everything is scaled such that the box is [0, 1] in each objective.

    Args:
        free: Number of free objectives.
        uncertain: Number of uncertain ones, at least 1; the first is integrated exactly.
        points: Number of points, a power of two.
        seed: Seed of the points.
    """

    def __init__(self, free: int, uncertain: int, *, points: int, seed: int) -> None:
        self.free = free
        others = free + uncertain - 1
        drawn = Sobol(others, rng=np.random.default_rng(seed)).random(points) if others else None
        self.points: Floats = np.zeros((1, 0)) if drawn is None else drawn
        self.reached: Floats = np.ones(len(self.points))

    def mask(self, front: Floats) -> Bools:
        """``bool (q,)``: points that some inner design reaches in all free objectives.

        Args:
            front: Scaled free losses of inner designs, ``(j, f)``.
        """
        under = np.ones((len(front), len(self.points)), dtype=np.bool_)
        for j in range(self.free):
            under &= front[:, j, None] <= self.points[:, j]
        return np.asarray(under.any(axis=0))

    def add(self, mask: Bools, uncertain: Floats) -> None:
        """Takes a design into the front.

        Args:
            mask: See `mask`.
            uncertain: Its scaled losses in the uncertain objectives, ``(u,)``.
        """
        under = mask & (uncertain[1:] <= self.points[:, self.free :]).all(axis=1)
        self.reached[under] = np.minimum(self.reached[under], uncertain[0])

    def empty(self) -> Volume:
        """The same points, with nothing reached."""
        other = copy(self)
        other.reached = np.ones(len(self.points))
        return other

    def copy(self) -> Volume:
        """One that can be changed without changing this."""
        other = copy(self)
        other.reached = self.reached.copy()
        return other

    def supports(self, masks: Bools, uncertain: Floats) -> Bools:
        """``bool (p,)``: designs that reach as far as the front somewhere."""
        under = masks & (uncertain[:, :1] <= self.reached) & (self.reached < 1.0)
        for j in range(1, uncertain.shape[1]):
            under &= uncertain[:, j, None] <= self.points[:, self.free + j - 1]
        return np.asarray(under.any(axis=1))

    def share(self) -> float:
        """The share of the box that the front dominates."""
        return float(np.mean(1.0 - np.minimum(self.reached, 1.0)))

    def expected(self, masks: Bools, mean: Floats, deviation: Floats) -> Floats:
        """The share of the box that each design alone is expected to add, ``(p,)``.

        Args:
            masks: ``bool (p, q)``.
            mean: Scaled losses in the uncertain objectives, ``(p, u)``.
            deviation: Their standard deviations, ``(p, u)``.
        """
        deviation = np.maximum(deviation, _CERTAIN)
        z = (self.reached - mean[:, :1]) / deviation[:, :1]
        gain = z * ndtr(z) + _ROOT * np.exp(-0.5 * z * z)
        gain *= masks
        for j in range(1, mean.shape[1]):
            limit = self.points[:, self.free + j - 1]
            gain *= ndtr((limit - mean[:, j, None]) / deviation[:, j, None])
        expected: Floats = gain.mean(axis=1) * deviation[:, 0]
        return expected

    def gained(self, masks: Bools, losses: Floats) -> Floats:
        """The share of the box that each design alone adds if its losses are certain, ``(p,)``."""
        gain = np.where(masks, np.maximum(self.reached - losses[:, :1], 0.0), 0.0)
        for j in range(1, losses.shape[1]):
            gain[losses[:, j, None] > self.points[:, self.free + j - 1]] = 0.0
        return np.asarray(gain.mean(axis=1))

    def bound(self, masks: Bools, losses: Floats) -> float:
        """The share of the box that designs together add at most, if none is below its losses."""
        best = self.reached.copy()
        for j in range(1, losses.shape[1]):
            masks = masks & (losses[:, j, None] <= self.points[:, self.free + j - 1])
        np.minimum(
            best, np.where(masks, losses[:, :1], np.inf).min(axis=0, initial=np.inf), out=best
        )
        return float(np.mean(np.minimum(self.reached, 1.0) - np.minimum(best, 1.0)))


class Masks:
    """The masks of inner fronts, made when asked for.

    Args:
        volume: Whose points count.
        low: Where the box begins in the free objectives, ``(f,)``.
        high: Where it ends.
    """

    def __init__(self, volume: Volume, low: Floats, high: Floats) -> None:
        self._volume, self._low, self._high = volume, low, high
        self._masks = np.zeros((0, len(volume.points)), dtype=np.bool_)

    def of(self, labels: Ints, fronts: list[InnerFront]) -> Bools:
        """``bool (p, q)``, for cost classes by their labels."""
        new = fronts[len(self._masks) :]
        if new:
            made = [
                self._volume.mask((f.losses - self._low) / (self._high - self._low)) for f in new
            ]
            self._masks = np.concatenate([self._masks, np.stack(made)])
        return self._masks[labels]
