"""Whether expressions rise or fall in their metrics, by computing with ranges in place of numbers.

An expression over metrics is evaluated once, each metric being the range of its values; every
operation answers the range of its results and in which metrics they rise or fall (interval
arithmetic: Moore, "Interval Analysis", Prentice-Hall 1966). What cannot be decided counts as
neither, so a yes is certain and a no is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from hwnas.arrays import Floats


@dataclass(frozen=True, eq=False)
class Range(NDArrayOperatorsMixin):
    """The values that an expression can take, and the way it goes.

    Attributes:
        low: No value is below.
        high: No value is above.
        slopes: Metric to 1 where the value never falls when the metric rises, -1 where it never
            rises, 0 where neither is sure; metrics that it does not depend on are left out.
    """

    low: float
    high: float
    slopes: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Self:
        """A range as it is; a number as the range of that number."""
        return value if isinstance(value, cls) else cls(float(value), float(value))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """What NumPy's functions do with a range; those that are not listed refuse it."""
        if method != "__call__" or kwargs or ufunc not in _RULES:
            return NotImplemented
        return _RULES[ufunc](*map(Range.of, inputs))

    def turned(self, sign: int) -> dict[str, int]:
        """The slopes of something that follows this one (1), opposes it (-1), or neither (0)."""
        return {name: sign * slope for name, slope in self.slopes.items()}

    @property
    def sign(self) -> int:
        """1 where no value is negative, -1 where none is positive, 0 where neither is sure."""
        return 1 if self.low >= 0 else -1 if self.high <= 0 else 0


def range_of(
    values: Callable[[Mapping[str, Floats]], Floats], metrics: Mapping[str, Range]
) -> Range:
    """The range of an expression.

    Args:
        values: Computes it from metric columns, e.g. `hwnas.expressions.Objective.values`.
        metrics: The ranges of the metrics; one that cannot vary has no slope in the answer.
    """
    columns: Any = {
        name: Range(found.low, found.high, {name: 1} if found.low < found.high else {})
        for name, found in metrics.items()
    }
    with np.errstate(all="ignore"):
        found: Any = values(columns)
    return Range.of(found)


def _merged(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The slopes of something that follows both."""
    clash = {name: 0 for name in set(one) & set(other) if one[name] != other[name]}
    return {**one, **other, **clash}


def _added(a: Range, b: Range) -> Range:
    return Range(a.low + b.low, a.high + b.high, _merged(a.slopes, b.slopes))


def _negative(a: Range) -> Range:
    return Range(-a.high, -a.low, a.turned(-1))


def _subtracted(a: Range, b: Range) -> Range:
    return _added(a, _negative(b))


def _multiplied(a: Range, b: Range) -> Range:
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    if any(math.isnan(corner) for corner in corners):
        return _unknown(a, b)
    return Range(min(corners), max(corners), _merged(a.turned(b.sign), b.turned(a.sign)))


def _divided(a: Range, b: Range) -> Range:
    if b.low <= 0 <= b.high:
        return _unknown(a, b)
    return _multiplied(a, Range(1 / b.high, 1 / b.low, b.turned(-1)))


def _raised(a: Range, power: Range) -> Range:
    p = power.low
    is_fine = a.low > 0 or (a.low == 0 and p > 0)
    if power.low != power.high or not is_fine:
        return _unknown(a, power)
    ends = sorted((float(np.power(a.low, p)), float(np.power(a.high, p))))
    return Range(ends[0], ends[1], a.turned(1 if p >= 0 else -1))


def _rising(function: Callable[[float], Any], *, from_zero: bool) -> Callable[[Range], Range]:
    """The rule of a function that rises, over positive numbers (and 0)."""

    def rule(a: Range) -> Range:
        if a.low > 0 or (from_zero and a.low == 0):
            return Range(float(function(a.low)), float(function(a.high)), a.turned(1))
        return _unknown(a)

    return rule


def _unknown(*ranges: Range) -> Range:
    return Range(-math.inf, math.inf, {name: 0 for found in ranges for name in found.slopes})


_RULES: Final[Mapping[np.ufunc, Callable[..., Range]]] = {
    np.add: _added,
    np.subtract: _subtracted,
    np.negative: _negative,
    np.multiply: _multiplied,
    np.divide: _divided,
    np.power: _raised,
    np.sqrt: _rising(np.sqrt, from_zero=True),
    np.log: _rising(np.log, from_zero=False),
    np.log2: _rising(np.log2, from_zero=False),
    np.log10: _rising(np.log10, from_zero=False),
}
