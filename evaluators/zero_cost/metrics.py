"""Every training-free metric by name.

Larger is better throughout. A network for which a metric is not defined gets minus infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from evaluators.zero_cost.activations import jacob_cov, naswot, zen
from evaluators.zero_cost.gradients import (
    fisher,
    grad_norm,
    gradsign,
    grasp,
    snip,
    synflow,
    zico,
)
from evaluators.zero_cost.probe import Probe

Proxy = Callable[[Probe], float]
"""A network under test to a number."""

PROXIES: Final[Mapping[str, Proxy]] = {
    "synflow": synflow,
    "snip": snip,
    "grad_norm": grad_norm,
    "fisher": fisher,
    "grasp": grasp,
    "gradsign": gradsign,
    "zico": zico,
    "jacob_cov": jacob_cov,
    "naswot": naswot,
    "zen": zen,
}

NEVER_NEGATIVE: Final = frozenset(("synflow", "snip", "grad_norm", "fisher", "gradsign"))
"""The metrics whose worst value is 0."""
