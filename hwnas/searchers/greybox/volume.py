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

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import numpy as np
from scipy.special import ndtr
from scipy.stats.qmc import Sobol

from hwnas.arrays import Bools, Floats, Ints
from hwnas.inner import InnerFront

_CERTAIN = 1e-9
DECADES = 1.5
"""Objectives that span more are seen by their logarithm."""
_FAR_BELOW = -1e100
_ROWS = 128
"""Candidates at a time, so that what is at work stays in the cache."""
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
        """``bool (q,)``: the mask of one front; see `masks`."""
        mask: Bools = self.masks([front])[0]
        return mask

    @cached_property
    def _columns(self) -> tuple[Ints, Floats, Floats]:
        """Points sorted by the first free objective: which, its values, the second one's."""
        order = np.argsort(self.points[:, 0], kind="stable")
        return order, self.points[order, 0], self.points[order, min(self.free, 2) - 1]

    def masks(self, fronts: Sequence[Floats]) -> Bools:
        """``bool (p, q)``: points that some inner design reaches in all free objectives.

        Args:
            fronts: Scaled free losses of inner designs, ``(j, f)`` each.
        """
        made = np.zeros((len(fronts), len(self.points)), dtype=np.bool_)
        if self.free not in (1, 2):
            for mask, front in zip(made, fronts, strict=True):
                under = np.ones((len(front), len(self.points)), dtype=np.bool_)
                for j in range(self.free):
                    under &= front[:, j, None] <= self.points[:, j]
                mask[:] = under.any(axis=0)
            return made
        # A front is a staircase: what the second objective reaches at least, from left to right.
        order, first, second = self._columns
        cells = np.concatenate([np.empty((0, self.free)), *fronts])
        row = np.repeat(np.arange(len(fronts)), [len(front) for front in fronts])
        width = len(first) + 1
        stairs = np.full((len(fronts), width), np.inf)
        place = row * width + np.searchsorted(first, cells[:, 0])
        np.minimum.at(stairs.reshape(-1), place, cells[:, -1])
        lowest = np.minimum.accumulate(stairs, axis=1)
        made[:, order] = lowest[:, :-1] <= second
        return made

    def add(self, mask: Bools, uncertain: Floats) -> None:
        """Takes a design into the front.

        Args:
            mask: See `mask`.
            uncertain: Its scaled losses in the uncertain objectives, ``(u,)``.
        """
        under = mask & (uncertain[1:] <= self.points[:, self.free :]).all(axis=1)
        self.reached[under] = np.minimum(self.reached[under], uncertain[0])

    def add_all(self, masks: Bools, uncertain: Floats) -> None:
        """Takes designs into the front; see `add`.

        Args:
            masks: ``bool (p, q)``.
            uncertain: ``(p, u)``.
        """
        under = self.reaching(masks, uncertain)
        best = np.where(under, uncertain[:, :1], np.inf).min(axis=0, initial=np.inf)
        self.reached = np.minimum(self.reached, best)

    def reaching(self, masks: Bools, losses: Floats) -> Bools:
        """``bool (p, q)``: points that designs reach in all objectives but the first uncertain."""
        for j in range(1, losses.shape[1]):
            masks = masks & (losses[:, j, None] <= self.points[:, self.free + j - 1])
        return masks

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
        under = self.reaching(masks, uncertain)
        under = under & (uncertain[:, :1] <= self.reached) & (self.reached < 1.0)
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
        return self.expected_at_most(masks, mean, deviation)[0]

    def expected_at_most(
        self, masks: Bools, mean: Floats, deviation: Floats
    ) -> tuple[Floats, Floats]:
        """See `expected`; and what it can become at most, ``(p,)``.

        It grows where a limit is above a mean and the deviation falls, but to no more than if the
        limit were certainly met; all else falls as more is reached and deviations fall.
        """
        deviation = np.maximum(deviation, _CERTAIN)
        z = (self.reached - mean[:, :1]) / deviation[:, :1]
        gain = z * ndtr(z)
        z *= z
        z *= -0.5
        gain += _ROOT * np.exp(z, out=z)
        gain *= masks
        most = gain
        for j in range(1, mean.shape[1]):
            over = self.points[:, self.free + j - 1] - mean[:, j, None]
            met = ndtr(over / deviation[:, j, None])
            gain = gain * met
            most = most * np.where(over > 0, 1.0, met)
        expected: Floats = gain.mean(axis=1) * deviation[:, 0]
        return expected, expected if most is gain else most.mean(axis=1) * deviation[:, 0]

    def gained(self, masks: Bools, losses: Floats) -> Floats:
        """The share of the box that each design alone adds if its losses are certain, ``(p,)``."""
        under, first = self.reaching(masks, losses), losses[:, 0]
        gained = np.empty(len(masks))
        for start in range(0, len(masks), _ROWS):
            some = slice(start, start + _ROWS)
            gained[some] = self.gains(under[some], first[some]).mean(axis=1)
        return gained

    def gains(self, under: Bools, first: Floats, points: Ints | slice = slice(None)) -> Floats:
        """What each design alone adds at some points, ``(p, j)``; its mean is what it gains.

        Args:
            under: See `reaching`.
            first: Losses in the first uncertain objective, ``(p,)``.
            points: Which points; all if left out.
        """
        # Minus infinity would leave 0 times infinity where a point is not reached.
        gain: Floats = self.reached[points] - np.maximum(first, _FAR_BELOW)[:, None]
        np.maximum(gain, 0.0, out=gain)
        gain *= under[:, points]
        return gain

    def adds(self, masks: Bools, losses: Floats) -> Bools:
        """``bool (p,)``: designs that add something at some point; see `gained`."""
        under = self.reaching(masks, losses)
        return np.asarray((under & (losses[:, :1] < self.reached)).any(axis=1))

    def bound(self, masks: Bools, losses: Floats) -> float:
        """The share of the box that designs together add at most, if none is below its losses."""
        best = self.copy()
        best.add_all(masks, losses)
        return float(np.mean(np.minimum(self.reached, 1.0) - np.minimum(best.reached, 1.0)))


class Masks:
    """The masks of inner fronts, made when asked for.

    Free objectives that span decades are seen by their logarithm, as by a study's yardstick.

    Args:
        volume: Whose points count.
        low: Where the box begins in the free objectives, ``(f,)``.
        high: Where it ends.
    """

    def __init__(self, volume: Volume, low: Floats, high: Floats) -> None:
        self._volume, self.low, self.high = volume, low, high
        with np.errstate(divide="ignore", invalid="ignore"):
            self._logarithmic = (low > 0) & (np.log10(high / low) > DECADES)
        self._best = self._seen(low)
        self._span = self._seen(high) - self._best
        self._masks = np.zeros((0, len(volume.points)), dtype=np.bool_)
        self._made = 0

    def of(self, labels: Ints, fronts: list[InnerFront]) -> Bools:
        """``bool (p, q)``, for cost classes by their labels."""
        new = fronts[self._made :]
        if new:
            if len(fronts) > len(self._masks):
                room = np.zeros((2 * len(fronts), self._masks.shape[1]), dtype=np.bool_)
                room[: self._made] = self._masks[: self._made]
                self._masks = room
            made = self._volume.masks(
                [(self._seen(f.losses) - self._best) / self._span for f in new]
            )
            self._masks[self._made : len(fronts)] = made
            self._made = len(fronts)
        chosen: Bools = self._masks[labels]
        return chosen

    def _seen(self, losses: Floats) -> Floats:
        if not self._logarithmic.any():
            return losses
        positive = np.maximum(losses, np.finfo(np.float64).tiny)
        return np.where(self._logarithmic, np.log10(positive), losses)
