"""One step of a grey-box search: what is believed, what is worth measuring, what may be left.

Symbols: ``p`` candidates, ``q`` points of the volume, ``u`` open objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from hwnas.arrays import Bools, Floats, Ints
from hwnas.searchers.greybox.anatomy import Anatomy
from hwnas.searchers.greybox.belief import Belief, Early, Forecast
from hwnas.searchers.greybox.volume import DECADES, Volume

_SPREAD = 3.0
_BELOW = 0.4
_ABOVE = 0.75
_AT_ONCE = 12
"""Candidates that are looked at together."""
_ROUNDING = 1.0 + 1e-9


@dataclass(frozen=True, eq=False)
class Frame:
    """The box of the open objectives; one that spans decades is seen by its logarithm.

    Attributes:
        low: ``(u,)``, where the box begins.
        high: Where it ends.
        logarithmic: Which objectives are logarithms.
    """

    low: Floats
    high: Floats
    logarithmic: Bools

    @classmethod
    def around(cls, losses: Floats, worst: Floats) -> Frame:
        """The box around measured losses.

        Args:
            losses: ``(n, u)``; far outliers are left outside.
            worst: The worst possible losses, ``(u,)``, where the box ends; infinite if unknown.
        """
        low, high = losses.min(axis=0), losses.max(axis=0)
        with np.errstate(all="ignore"):
            logarithmic = (low > 0) & (np.log10(high / low) > DECADES)
        seen = np.where(logarithmic, np.log10(np.where(logarithmic, losses, 1.0)), losses)
        quarter, three = np.quantile(seen, [0.25, 0.75], axis=0)
        low = seen.min(axis=0)
        high = np.minimum(seen.max(axis=0), three + _SPREAD * (three - quarter))
        span = np.where(high > low, high - low, 1.0)
        # Below the best so far is where better designs would count, above the worst so far is
        # what the ends of the front may cost.
        high = np.where(np.isfinite(worst) & ~logarithmic, worst, high + _ABOVE * span)
        return cls(low - _BELOW * span, high, logarithmic)

    def scaled(self, losses: Floats) -> Floats:
        """Losses with the box at [0, 1], ``(n, u)``."""
        with np.errstate(divide="ignore"):
            seen = np.where(self.logarithmic, np.log10(np.maximum(losses, 0.0)), losses)
        scaled: Floats = (seen - self.low) / (self.high - self.low)
        return scaled

    def stretched(self, mean: Floats, deviation: Floats) -> Floats:
        """Deviations on the scale of the box, ``(n, u)``."""
        slope = np.where(self.logarithmic, np.maximum(np.abs(mean), 1e-300) * np.log(10.0), 1.0)
        scaled: Floats = deviation / slope / (self.high - self.low)
        return scaled


class Candidates:
    """Designs that might be measured next, and what is believed of them.

    Args:
        rows: Outer designs, ``int64 (p, d_o)``.
        masks: ``bool (p, q)``.
        forecast: What is believed.
        least: No loss is below this, ``(p, u)``: certain.
        most: Nor above this.
        frame: The box.
    """

    def __init__(
        self,
        rows: Ints,
        masks: Bools,
        forecast: Forecast,
        least: Floats,
        most: Floats,
        frame: Frame,
    ) -> None:
        self.rows, self.masks, self.forecast = rows, masks, forecast
        self.least, self.most, self.frame = least, most, frame

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: Ints) -> Candidates:
        """Some of them."""
        return Candidates(
            self.rows[which],
            self.masks[which],
            self.forecast.take(which),
            self.least[which],
            self.most[which],
            self.frame,
        )

    @classmethod
    def joined(cls, several: Sequence[Candidates]) -> Candidates:
        """Those of several batches, at least one, in their order."""
        return cls(
            np.concatenate([some.rows for some in several]),
            np.concatenate([some.masks for some in several]),
            Forecast.joined([some.forecast for some in several]),
            np.concatenate([some.least for some in several]),
            np.concatenate([some.most for some in several]),
            several[0].frame,
        )

    def measured(self, row: int) -> Candidates:
        """If one of them were measured and gave its mean."""
        after = self.forecast.measured(row)
        return Candidates(self.rows, self.masks, after, self.least, self.most, self.frame)

    @property
    def _u(self) -> int:
        return int(self.least.shape[1])

    @cached_property
    def losses(self) -> Floats:
        """The expected losses, within what is certain, ``(p, u)``."""
        mean = self.forecast.mean[:, : self._u]
        return np.asarray(np.maximum(np.minimum(mean, self.most), self.least))

    @cached_property
    def mean(self) -> Floats:
        """The same on the scale of the box."""
        return self.frame.scaled(self.losses)

    @cached_property
    def deviation(self) -> Floats:
        """Their deviations on the scale of the box."""
        return self.frame.stretched(self.losses, self.forecast.deviation[:, : self._u])

    @property
    def chance(self) -> Floats:
        """The probability that all open constraints are met, ``(p,)``."""
        return self.chances[0]

    @cached_property
    def chances(self) -> tuple[Floats, Floats]:
        """The same, and what it becomes at most as deviations fall, ``(p,)`` each."""
        mean, deviation = self.forecast.mean[:, self._u :], self.forecast.deviation[:, self._u :]
        met = ndtr(-mean / np.maximum(deviation, 1e-300))
        return np.prod(met, axis=1), np.prod(np.where(mean < 0, 1.0, met), axis=1)

    def optimistic(self, deviations: float) -> Floats:
        """Losses on the scale of the box that are better than expected, ``(p, u)``."""
        return np.asarray(np.maximum(self.mean - deviations * self.deviation, self.certain))

    @cached_property
    def certain(self) -> Floats:
        """What losses are at least, on the scale of the box, ``(p, u)``."""
        known = np.isfinite(self.least)
        scaled = self.frame.scaled(np.where(known, self.least, 1.0))
        return np.asarray(np.where(known, scaled, -np.inf))


class Choice:
    """Chooses a batch, greedily, as if each choice had given what is expected.

    Args:
        volume: What the front reaches; changed.
        candidates: What can be chosen.
    """

    def __init__(self, volume: Volume, candidates: Candidates) -> None:
        self._volume, self._candidates = volume, candidates
        self.chosen: list[int] = []

    def best(self, n: int, among: Bools | None = None) -> Ints:
        """The next outer designs that are expected to add most together, ``(j, d_o)``.

        Args:
            n: How many at most.
            among: ``bool (p,)``: the candidates that may be chosen; all if left out.
        """
        free = np.ones(len(self._candidates), dtype=np.bool_) if among is None else among.copy()
        free[self.chosen] = False
        most = np.full(len(free), np.inf)
        picked: list[int] = []
        for _ in range(min(n, int(free.sum()))):
            some = self._candidates
            value = np.full(len(some), -np.inf)
            left = free.copy()
            at_once = len(some) if np.isinf(most).all() else _AT_ONCE
            # Most were worth less before than the best is now, and that only falls.
            while (hopeful := np.flatnonzero(left & (most >= value.max()))).size:
                batch = hopeful[np.argsort(-most[hopeful], kind="stable")[:at_once]]
                value[batch], most[batch] = self._worth(some, batch)
                left[batch] = False
            pick = int(np.argmax(value))
            picked.append(pick)
            free[pick] = False
            self._volume.add(some.masks[pick], some.mean[pick])
            self._candidates = some.measured(pick)
        self.chosen += picked
        return self._candidates.rows[picked]

    def _worth(self, some: Candidates, rows: Ints) -> tuple[Floats, Floats]:
        """What candidates are expected to add, and at most once others are measured, ``(j,)``."""
        value, most = self._volume.expected_at_most(
            some.masks[rows], some.mean[rows], some.deviation[rows]
        )
        chance, likely = some.chances
        return value * chance[rows], most * likely[rows] * _ROUNDING


def archived(volume: Volume, masks: Bools, frame: Frame, losses: Floats) -> None:
    """Takes measured designs, whose losses are certain, into the front."""
    volume.add_all(masks, frame.scaled(losses))


def settled(anatomy: Anatomy, targets: Floats) -> Bools:
    """``bool (n,)``: measured designs that have values and meet the open constraints."""
    u = len(anatomy.open)
    finite: Bools = np.asarray(np.isfinite(targets).all(axis=1))
    return np.asarray(finite & (targets[:, u:] <= 0).all(axis=1))


def learnt(
    X: Floats,
    targets: Floats,
    anatomy: Anatomy,
    kept: dict[int, Floats],
    early: Early | None = None,
    earlier: Callable[[int], Early | None] = lambda count: None,
) -> Belief:
    """What is believed after some designs were measured.

    Args:
        X: Their features, ``(n, k)``.
        targets: See `Anatomy.targets`; rows that are not finite failed, which is learnt, too.
        anatomy: The problem.
        kept: See `Belief`.
        early: See `Belief`.
        earlier: See `Belief`.
    """
    u = len(anatomy.open)
    finite: Bools = np.asarray(np.isfinite(targets).all(axis=1))
    floors = np.concatenate([anatomy.best, np.full(targets.shape[1] - u, np.nan)])
    return Belief(X, targets, finite, floors, kept, early, earlier)
