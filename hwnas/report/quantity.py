"""What a report shows of a number: name, unit, a fitting prefix, and which way is better."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hwnas import units
from hwnas.errors import UnitError
from hwnas.metrics import Goal

if TYPE_CHECKING:
    from hwnas.expressions import Objective
    from hwnas.problem import Problem
    from hwnas.study import Study

_KNOWN: Final = ("1", "s", "J", "m^2", "W", "B", "Hz", "B/s")
_EXACT: Final = 1e15
_AREA: Final = ("m^2", "m2")
_PREFIXABLE: Final = re.compile(r"[A-Za-z]+([/·].+)?")
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ARROWS: Final = {Goal.MINIMIZE: " ↓", Goal.MAXIMIZE: " ↑", None: ""}


@dataclass(frozen=True)
class Quantity:
    """An objective, a metric or a gene, as a person sees it.

    Attributes:
        name: Its name.
        unit: Its unit at rest; ``1`` for a ratio.
        goal: Which way it is better; ``None`` where nobody asks.
        logarithmic: Whether its axis is logarithmic.
        text: How it is computed, as it was written; empty where there is nothing to add.
    """

    name: str
    unit: str = "1"
    goal: Goal | None = None
    logarithmic: bool = False
    text: str = ""

    def show(self, value: object) -> str:
        """A value with its unit; whatever is no number is written as it is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return str(value)
        if self.unit in ("1", "") and float(value).is_integer() and abs(value) < _EXACT:
            return f"{value:.0f}"
        if self.unit in ("1", "", *_AREA) or _takes_prefix(self.unit):
            return units.show(value, self.unit)
        return f"{value:.4g} {pretty(self.unit)}"

    @property
    def arrow(self) -> str:
        """``" ↓"`` where lower is better, ``" ↑"`` where higher is."""
        return _ARROWS[self.goal]


@dataclass(frozen=True)
class Scale:
    """A unit with a prefix: what an axis is drawn in.

    Attributes:
        size: How much at rest one such unit is, e.g. 1e-6 for ``µJ``.
        unit: The unit with its prefix; empty for ratios.
    """

    size: float
    unit: str

    @classmethod
    def fitting(cls, values: Iterable[float], quantity: Quantity) -> Scale:
        """The prefix that fits some values: the largest, or the middle one on a logarithmic axis.

        Args:
            values: At rest; zeros and what is not finite do not count.
            quantity: What they are values of.
        """
        unit = quantity.unit
        if unit in _AREA:
            return cls(1e-6, "mm²")
        if not _takes_prefix(unit):
            return cls(1.0, "" if unit in ("1", "") else pretty(unit))
        sizes = sorted(abs(v) for v in values if v and math.isfinite(v))
        if not sizes:
            return cls(1.0, unit)
        typical = sizes[len(sizes) // 2] if quantity.logarithmic else sizes[-1]
        power = 3 * math.floor(math.log10(typical) / 3)
        power = min(12, max(-15, power))
        number, _, shown = units.show(10.0**power, unit).partition(" ")
        # Some powers of ten are whole multiples of 1 KiB and shown as such.
        return cls(10.0**power, shown) if number == "1" else cls(1.0, unit)

    def title(self, quantity: Quantity) -> str:
        """What the axis of a quantity is called, e.g. ``energy [µJ] ↓``."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{quantity.name}{unit}{quantity.arrow}"


def _takes_prefix(unit: str) -> bool:
    """Whether a prefix in front of the unit means a power of ten of it."""
    if unit in ("1", "") or not _PREFIXABLE.fullmatch(unit):
        return False
    try:
        return units.scale(unit.replace("·", "*")) == 1.0
    except UnitError:
        return False


def pretty(unit: str) -> str:
    """A unit as it is printed: ``m²·s`` for ``m^2*s``."""
    text = unit.replace("**", "^").replace("*", "·")
    return re.sub(r"\^(-?\d+)(?![\d.])", lambda found: found[1].translate(_RAISED), text)


def written(dimension: units.Dimension) -> str:
    """A unit at rest of some dimension, in joules, metres, seconds and bytes.

    Example:
        >>> written(units.multiply(units.dimension("J"), units.dimension("s")))
        'J·s'
    """
    for unit in _KNOWN:
        if units.dimension(unit) == dimension:
            return unit
    left = dict(dimension)
    joules = left.pop("kilogram", 0.0)
    powers = {
        "J": joules,
        "m": left.pop("meter", 0.0) - 2 * joules,
        "s": left.pop("second", 0.0) + 2 * joules,
        "B": left.pop("bit", 0.0),
        **left,
    }
    factors = [
        name if power == 1 else f"{name}^{power:g}" for name, power in powers.items() if power
    ]
    return "·".join(factors)


def objectives(study: Study) -> tuple[Quantity, ...]:
    """The objectives of a study; an axis is logarithmic where the study's yardstick is."""
    problem = study.problem
    logarithmic = (
        study.yardstick.logarithmic if study.yardstick else (False,) * len(problem.objectives)
    )
    return tuple(
        Quantity(o.name, unit_of(o, problem), o.goal, log, "" if o.is_metric else o.text)
        for o, log in zip(problem.objectives, logarithmic, strict=True)
    )


def unit_of(objective: Objective, problem: Problem) -> str:
    """The unit at rest of an objective; one that is computed gets it from its dimension."""
    if objective.is_metric:
        return problem.metrics[objective.name].unit
    return written(objective.node.dimension(problem.metrics))


def metrics(study: Study) -> tuple[Quantity, ...]:
    """The metrics of a study that are no objectives."""
    names = {objective.name for objective in study.problem.objectives}
    return tuple(
        Quantity(m.name, m.unit, m.goal)
        for m in study.problem.metrics.values()
        if m.name not in names
    )


def genes(study: Study) -> tuple[Quantity, ...]:
    """The genes of a study."""
    return tuple(Quantity(gene.name, gene.unit) for gene in study.problem.space.genes)
