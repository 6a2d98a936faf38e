"""What a search believes about the costly side: a Gaussian process per uncertain quantity.

Symbols: ``n`` designs measured, ``p`` candidates, ``t`` quantities (objectives as losses, then
constraints as excesses, then whether a design can be measured at all).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from hwnas import plugins
from hwnas.arrays import Bools, Floats, Ints
from hwnas.prediction.gaussian import Posterior, Seen, most_likely, most_likely_alike

_SPREAD = 3.0
"""Values further above the upper quartile than this many interquartile ranges say only "bad"."""
_RATIO = 2.0
"""Values that differ by less than this factor are learnt as they are."""
_LEAST = 2
_LEAST_PAIRS = 4
_REFIT = 1.3
"""Parameters are estimated anew when there are this many times as many examples."""


@dataclass(frozen=True, eq=False)
class _Scale:
    """How a quantity is scaled for the processes: what is far too bad is cut off.

    A positive loss, or one with a known best value, is learnt by its logarithm: what makes a good
    design better matters in proportion.
    """

    center: float
    deviation: float
    worst: float
    floor: float | None

    @classmethod
    def of(cls, y: Floats, best: float) -> _Scale:
        """The scale of some values.

        Args:
            y: ``(n,)``.
            best: The best possible value; minus infinity if unknown, NaN where signs matter.
        """
        floor = best if np.isfinite(best) else 0.0
        logarithmic = not np.isnan(best) and bool((y > floor).all())
        logarithmic = logarithmic and bool((y - floor).max() > _RATIO * (y - floor).min())
        y = np.log(y - floor) if logarithmic else y
        low, high = np.quantile(y, [0.25, 0.75])
        worst = float(high + _SPREAD * max(high - low, 1e-12))
        cut = np.minimum(y, worst)
        deviation = float(cut.std())
        return cls(
            float(cut.mean()),
            deviation if deviation > 1e-12 * abs(float(cut.mean())) else 1.0,
            worst,
            floor if logarithmic else None,
        )

    def __call__(self, y: Floats) -> Floats:
        if self.floor is not None:
            y = np.log(np.maximum(y - self.floor, np.finfo(np.float64).tiny))
        scaled: Floats = (np.minimum(y, self.worst) - self.center) / self.deviation
        return scaled

    def back(self, z: Floats) -> Floats:
        """Values from scaled ones."""
        y = z * self.deviation + self.center
        return y if self.floor is None else np.exp(y) + self.floor

    def spread(self, z: Floats, deviation: Floats) -> Floats:
        """Deviations of values from those of scaled ones, to first order."""
        slope = self.deviation
        if self.floor is None:
            return deviation * slope
        return np.asarray(deviation * slope * (self.back(z) - self.floor))


MANY: Final = 600
"""From this many examples on, boosted trees take the place of Gaussian processes."""


class _Trees:
    """Boosted trees as a process that cannot be conditioned on what it has not seen."""

    def __init__(self, X: Floats, y: Floats) -> None:
        kind = plugins.load("hwnas.predictors", "boosted_trees")
        self._trees = kind(random_state=0).fit(X, y)

    def at(self, X: Floats) -> Fixed:
        if not len(X):
            return Fixed(np.empty(0), np.empty(0))
        mean, deviation = self._trees.predict(X, return_std=True)
        return Fixed(mean, deviation**2)


@dataclass(frozen=True, eq=False)
class Fixed:
    """A forecast that stays as it is, whatever else is measured.

    Attributes:
        mean: ``(p,)``.
        variance: ``(p,)``.
    """

    mean: Floats
    variance: Floats

    def take(self, rows: Ints) -> Fixed:
        """Some of the rows."""
        return Fixed(self.mean[rows], self.variance[rows])

    @classmethod
    def joined(cls, several: Sequence[Fixed]) -> Fixed:
        """The rows of several forecasts, in their order."""
        return cls(
            np.concatenate([one.mean for one in several]),
            np.concatenate([one.variance for one in several]),
        )

    def measured(self, row: int) -> Fixed:
        """As if one were measured and gave its mean: certain there, and unchanged elsewhere."""
        variance = self.variance.copy()
        variance[row] = 0.0
        return Fixed(self.mean, variance)


@dataclass(frozen=True, eq=False)
class Early:
    """What a lower fidelity says of some designs: its quantities, scaled as it scales them.

    Attributes:
        mean: ``(p, t)``.
        variance: ``(p, t)``; 0 where they were measured.
    """

    mean: Floats
    variance: Floats

    def take(self, rows: Ints | Bools) -> Early:
        """Some of the designs."""
        return Early(self.mean[rows], self.variance[rows])


@dataclass(frozen=True)
class _Trend:
    """What of a scaled quantity follows from a lower fidelity; the processes learn the rest."""

    slope: float
    center: float
    spread: float

    @classmethod
    def of(cls, scaled: Floats, early: Floats | None) -> _Trend:
        """Least squares, ``(n,)`` each; no trend where there is no lower fidelity."""
        if early is None or len(scaled) < _LEAST_PAIRS or not early.std() > 0:
            return cls(0.0, 0.0, 1.0)
        slope = max(0.0, float(np.polyfit(early, scaled, 1)[0]))
        rest = scaled - slope * early
        return cls(slope, float(rest.mean()), float(rest.std()) or 1.0)

    def rest(self, scaled: Floats, early: Floats | None) -> Floats:
        """What is left to learn, of mean 0 and variance 1."""
        if early is None:
            return scaled
        left: Floats = (scaled - self.slope * early - self.center) / self.spread
        return left


class _Quantity:
    """Two processes for one quantity: one that weighs features, and one that trusts all alike.

    The first learns faster, but is far too sure where few examples tell features apart; where the
    two disagree, nobody knows.
    """

    def __init__(
        self, X: Floats, y: Floats, best: float, thetas: Floats, early: Floats | None = None
    ) -> None:
        self.scale = _Scale.of(y, best)
        scaled = self.scale(y)
        self.trend = _Trend.of(scaled, early)
        rest = self.trend.rest(scaled, early)
        self.processes: list[Posterior | _Trees] = (
            [_Trees(X, rest)]
            if len(X) > MANY
            else [Posterior(t[:-1], X, rest, float(t[-1])) for t in thetas]
        )

    def at(self, X: Floats) -> list[Seen | Fixed]:
        return [process.at(X) for process in self.processes]


class Belief:
    """What is believed of each quantity, and of whether a design can be measured at all.

    Args:
        X: Features of the designs measured, in the order in which they were, ``(n, k)``.
        Y: Their quantities, ``(n, t)``.
        finite: ``bool (n,)``: designs that could be measured.
        floors: The best possible value of each quantity, ``(t,)``: see `_Scale.of`.
        kept: Parameters by the number of examples that they were estimated from; filled.
        early: What a lower fidelity says of the examples.
        earlier: What it said of the first so many when they had been measured, given how many:
            parameters that were estimated then stay.
    """

    def __init__(
        self,
        X: Floats,
        Y: Floats,
        finite: Bools,
        floors: Floats,
        kept: dict[int, Floats],
        early: Early | None = None,
        earlier: Callable[[int], Early | None] = lambda count: None,
    ) -> None:
        first = checkpoint(min(len(X), MANY))
        if first not in kept:
            count = max(_LEAST, int(finite[:first].sum()))
            rows = np.flatnonzero(finite)[:count]
            before = earlier(int(rows[-1]) + 1)
            kept[first] = np.stack(
                [
                    _estimate(X[rows], Y[rows, t], floor, _column(before, rows, t))
                    for t, floor in enumerate(floors)
                ]
            )
        rows = np.flatnonzero(finite)
        self.quantities = [
            _Quantity(X[rows], Y[rows, t], floor, kept[first][t], _column(early, rows, t))
            for t, floor in enumerate(floors)
        ]
        if not finite.all():
            # A half where a design cannot be measured, minus a half where it can.
            fails = np.where(finite, -0.5, 0.5)
            self.quantities.append(_Quantity(X, fails, np.nan, _unweighted(X.shape[1])))

    def at(self, X: Floats, early: Early | None = None) -> Forecast:
        """The forecast for candidates.

        Args:
            X: Their features, ``(p, k)``.
            early: What a lower fidelity says of them.
        """
        shift, extra = np.zeros((2, len(self.quantities), len(X)))
        for t, quantity in enumerate(self.quantities):
            trend = quantity.trend
            shift[t] = trend.center
            if early is not None and t < early.mean.shape[1]:
                shift[t] += trend.slope * early.mean[:, t]
                extra[t] = trend.slope**2 * early.variance[:, t]
        return Forecast(
            [q.at(X) for q in self.quantities], [q.scale for q in self.quantities],
            [q.trend.spread for q in self.quantities], shift, extra,
        )  # fmt: skip


def _unweighted(k: int) -> Floats:
    """Parameters that need no estimate, ``(1, k + 3)``."""
    return np.concatenate([[0.0], np.full(k, 0.5 * np.log(k)), [np.log(1e-2), 0.0]])[None, :]


def _column(early: Early | None, rows: Ints, t: int) -> Floats | None:
    return None if early is None else early.mean[rows, t]


def _estimate(X: Floats, y: Floats, best: float, early: Floats | None) -> Floats:
    """The parameters of both processes, the variance of a trend last, ``(2, k + 3)``."""
    scaled = _Scale.of(y, best)(y)
    scaled = _Trend.of(scaled, early).rest(scaled, early)
    return np.stack(
        [np.append(most_likely(X, scaled), 0.0), np.append(*most_likely_alike(X, scaled))]
    )


def checkpoint(n: int) -> int:
    """The largest number of examples up to ``n`` at which parameters are estimated.

    A function of ``n`` alone, so that a search that is told its history again estimates the same.
    """
    count = 4
    while max(count + 1, round(_REFIT * count)) <= n:
        count = max(count + 1, round(_REFIT * count))
    return min(count, n)


@dataclass(frozen=True, eq=False)
class Forecast:
    """Means and deviations of the quantities of ``p`` candidates, ``(p, t)`` each.

    What processes have seen is stretched by a factor each and shifted by a trend, ``(t, p)``,
    which adds a variance of its own.
    """

    seen: list[list[Seen | Fixed]]
    scales: list[_Scale]
    spreads: list[float]
    shift: Floats
    extra: Floats

    def scaled(self, t: int) -> tuple[Floats, Floats]:
        """Means and variances of the first ``t`` quantities as they are scaled, ``(p, t)``."""
        return np.stack([self._middle(j) for j in range(t)], axis=1), np.stack(
            [self._variance(j) for j in range(t)], axis=1
        )

    @cached_property
    def mean(self) -> Floats:
        """The mean of the two processes."""
        return np.stack([c.back(self._middle(t)) for t, c in enumerate(self.scales)], axis=1)

    @cached_property
    def deviation(self) -> Floats:
        """Of the quantity itself, without the noise of a measurement; disagreement counts."""
        return np.stack(
            [
                c.spread(self._middle(t), np.sqrt(self._variance(t)))
                for t, c in enumerate(self.scales)
            ],
            axis=1,
        )

    def take(self, rows: Ints) -> Forecast:
        """Some of the candidates."""
        seen = [[s.take(rows) for s in both] for both in self.seen]
        return Forecast(seen, self.scales, self.spreads, self.shift[:, rows], self.extra[:, rows])

    @classmethod
    def joined(cls, several: Sequence[Forecast]) -> Forecast:
        """The candidates of several forecasts of one belief, in their order."""
        seen = [
            [_joined(parts) for parts in zip(*both, strict=True)]
            for both in zip(*(one.seen for one in several), strict=True)
        ]
        return cls(
            seen,
            several[0].scales,
            several[0].spreads,
            np.concatenate([one.shift for one in several], axis=1),
            np.concatenate([one.extra for one in several], axis=1),
        )

    def measured(self, row: int) -> Forecast:
        """If a candidate were measured and gave its mean."""
        seen = [[s.measured(row) for s in both] for both in self.seen]
        extra = self.extra.copy()
        extra[:, row] = 0.0
        return Forecast(seen, self.scales, self.spreads, self.shift, extra)

    def _middle(self, t: int) -> Floats:
        mean = np.mean([s.mean for s in self.seen[t]], axis=0)
        return np.asarray(self.shift[t] + self.spreads[t] * mean)

    def _variance(self, t: int) -> Floats:
        within = np.mean([s.variance for s in self.seen[t]], axis=0)
        between = np.var([s.mean for s in self.seen[t]], axis=0)
        return np.asarray(self.extra[t] + self.spreads[t] ** 2 * (within + between))


def _joined(several: Sequence[Seen | Fixed]) -> Seen | Fixed:
    if isinstance(several[0], Fixed):
        return Fixed.joined([one for one in several if isinstance(one, Fixed)])
    return Seen.joined([one for one in several if isinstance(one, Seen)])
