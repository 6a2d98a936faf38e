"""What a search believes about the costly side: a Gaussian process per uncertain quantity.

Symbols: ``n`` designs measured, ``p`` candidates, ``t`` quantities (objectives as losses, then
constraints as excesses, then whether a design can be measured at all).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from hwnas import plugins
from hwnas.arrays import Bools, Floats, Ints
from hwnas.design.designs import Designs
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.wrappers import safely
from hwnas.prediction.canonical import CanonicalFeatures
from hwnas.prediction.gaussian import Posterior, Seen, most_likely, most_likely_alike
from hwnas.space import Space

_SAMPLE = 512
_SPREAD = 3.0
"""Values further above the upper quartile than this many interquartile ranges say only "bad"."""
_RATIO = 2.0
"""Values that differ by less than this factor are learnt as they are."""
_LEAST = 2
_REFIT = 1.3
"""Parameters are estimated anew when there are this many times as many examples."""


class Describer:
    """Turns outer designs into standardised features.

    Their scale is that of a fixed sample of designs, so it does not move as designs are measured.

    Args:
        space: The outer space.
        evaluators: FREE evaluators that read outer parts alone: their metrics are features, too.
        seed: Seed of the sample.
    """

    def __init__(self, space: Space, evaluators: Sequence[Evaluator], seed: int) -> None:
        self._space = space
        self._evaluators = tuple(evaluators)
        self._genes = CanonicalFeatures(*space.part_names)
        sample = self._raw(space.sample(_SAMPLE, np.random.default_rng((seed, 7))))
        sample = np.where(np.isfinite(sample), sample, 0.0)
        self._center, deviation = sample.mean(axis=0), sample.std(axis=0)
        self._varies = np.flatnonzero(deviation > 1e-9)
        self._deviation = deviation[self._varies]

    def __call__(self, outer: Ints) -> Floats:
        """The features of ``p`` designs, ``(p, k)``."""
        raw = self._raw(outer)[:, self._varies]
        center = self._center[self._varies]
        raw = np.where(np.isfinite(raw), raw, center)
        scaled: Floats = np.clip((raw - center) / self._deviation, -8.0, 8.0)
        return scaled

    def _onehot(self, outer: Ints) -> Floats:
        parts = [
            outer[:, j, None] == np.arange(len(gene.choices))
            for j, gene in enumerate(self._space.genes)
            if not gene.ordered
        ]
        return np.concatenate([np.zeros((len(outer), 0)), *parts], axis=1)

    def _raw(self, outer: Ints) -> Floats:
        designs = Designs(self._space, outer)
        columns = [self._genes.matrix(designs), self._onehot(outer)]
        for evaluator in self._evaluators:
            measured = safely(evaluator, designs)
            columns += [_tamed(measured[m.name])[:, None] for m in evaluator.metrics]
        return np.concatenate(columns, axis=1)


def _tamed(values: Floats) -> Floats:
    """Signed logarithm: training-free metrics span decades."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


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


class _Quantity:
    """Two processes for one quantity: one that weighs features, and one that trusts all alike.

    The first learns faster, but is far too sure where few examples tell features apart; where the
    two disagree, nobody knows.
    """

    def __init__(self, X: Floats, y: Floats, best: float, thetas: Floats) -> None:
        self.scale = _Scale.of(y, best)
        scaled = self.scale(y)
        self.processes: list[Posterior | _Trees] = (
            [_Trees(X, scaled)]
            if len(X) > MANY
            else [Posterior(t[:-1], X, scaled, float(t[-1])) for t in thetas]
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
    """

    def __init__(
        self, X: Floats, Y: Floats, finite: Bools, floors: Floats, kept: dict[int, Floats]
    ) -> None:
        first = checkpoint(min(len(X), MANY))
        if first not in kept:
            count = max(_LEAST, int(finite[:first].sum()))
            x, y = X[finite][:count], Y[finite][:count]
            kept[first] = np.stack([_estimate(x, y[:, t], floor) for t, floor in enumerate(floors)])
        self.quantities = [
            _Quantity(X[finite], Y[finite, t], floor, kept[first][t])
            for t, floor in enumerate(floors)
        ]
        if not finite.all():
            # A half where a design cannot be measured, minus a half where it can.
            fails = np.where(finite, -0.5, 0.5)
            self.quantities.append(_Quantity(X, fails, np.nan, _unweighted(X.shape[1])))

    def at(self, X: Floats) -> Forecast:
        """The forecast for candidates, ``(p, k)``."""
        return Forecast([q.at(X) for q in self.quantities], [q.scale for q in self.quantities])


def _unweighted(k: int) -> Floats:
    """Parameters that need no estimate, ``(1, k + 3)``."""
    return np.concatenate([[0.0], np.full(k, 0.5 * np.log(k)), [np.log(1e-2), 0.0]])[None, :]


def _estimate(X: Floats, y: Floats, best: float) -> Floats:
    """The parameters of both processes, the variance of a trend last, ``(2, k + 3)``."""
    scaled = _Scale.of(y, best)(y)
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
    """Means and deviations of the quantities of ``p`` candidates, ``(p, t)`` each."""

    seen: list[list[Seen | Fixed]]
    scales: list[_Scale]

    @cached_property
    def mean(self) -> Floats:
        """The mean of the two processes."""
        return np.stack(
            [c.back(_middle(both)) for both, c in zip(self.seen, self.scales, strict=True)], axis=1
        )

    @cached_property
    def deviation(self) -> Floats:
        """Of the quantity itself, without the noise of a measurement; disagreement counts."""
        return np.stack(
            [c.spread(_middle(b), _apart(b)) for b, c in zip(self.seen, self.scales, strict=True)],
            axis=1,
        )

    def take(self, rows: Ints) -> Forecast:
        """Some of the candidates."""
        return Forecast([[s.take(rows) for s in both] for both in self.seen], self.scales)

    @classmethod
    def joined(cls, several: Sequence[Forecast]) -> Forecast:
        """The candidates of several forecasts of one belief, in their order."""
        seen = [
            [_joined(parts) for parts in zip(*both, strict=True)]
            for both in zip(*(one.seen for one in several), strict=True)
        ]
        return cls(seen, several[0].scales)

    def measured(self, row: int) -> Forecast:
        """If a candidate were measured and gave its mean."""
        return Forecast([[s.measured(row) for s in both] for both in self.seen], self.scales)


def _joined(several: Sequence[Seen | Fixed]) -> Seen | Fixed:
    if isinstance(several[0], Fixed):
        return Fixed.joined([one for one in several if isinstance(one, Fixed)])
    return Seen.joined([one for one in several if isinstance(one, Seen)])


def _middle(both: list[Seen | Fixed]) -> Floats:
    return np.asarray(np.mean([s.mean for s in both], axis=0))


def _apart(both: list[Seen | Fixed]) -> Floats:
    within = np.mean([s.variance for s in both], axis=0)
    between = np.var([s.mean for s in both], axis=0)
    return np.asarray(np.sqrt(within + between))
