"""Numbers of a comparison as a person reads them, on pages and terminals alike."""

from __future__ import annotations

from hwnas import units
from hwnas.comparison.record import Reached, Spread, Target


def percent(share: float) -> str:
    """A share with one decimal, e.g. ``97.3 %``."""
    return f"{100 * share:.1f} %"


def goal(fraction: float) -> str:
    """A fraction of the target without needless decimals, e.g. ``95 %``."""
    return f"{100 * fraction:.4g} %"


def reached(found: Reached, seeds: int) -> str:
    """How quickly a fraction was reached, e.g. ``140 (9/10)``."""
    median = "never" if found.evaluations is None else f"{found.evaluations:,.0f}"
    return f"{median} ({found.seeds}/{seeds})"


def overhead(found: Spread | None) -> str:
    """CPU time per evaluation, e.g. ``1.2 ms``."""
    return "–" if found is None else units.show(found.median, "s")


def difference(found: float | None) -> str:
    """A difference of shares in percentage points, e.g. ``+1.3 pp``."""
    return "–" if found is None else f"{100 * found:+.2f} pp"


def corrected(p: float | None) -> str:
    """A p-value."""
    return "–" if p is None else f"{p:.2g}"


def target(found: Target) -> str:
    """What volumes are relative to."""
    return f"{found.how}, {found.designs:,} points, hypervolume {found.volume:.4g} of the box"
