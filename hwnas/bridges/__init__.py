"""Bridges to Optuna and pymoo, in both directions.

| direction | use |
|---|---|
| a sampler of Optuna in our study | `OptunaSearcher` |
| an algorithm of pymoo in our study | `PymooSearcher` |
| our searchers in an Optuna study | `HwnasSampler` |
| our problem in pymoo's ``minimize`` | `to_pymoo` |

Each is imported when it is first used, with the library that it leads to.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hwnas.bridges.optuna import HwnasSampler
    from hwnas.bridges.pymoo import to_pymoo
    from hwnas.searchers.optuna_sampler import OptunaSearcher
    from hwnas.searchers.pymoo_algorithm import PymooSearcher

__all__ = ["HwnasSampler", "OptunaSearcher", "PymooSearcher", "to_pymoo"]

_HOME: Final = {
    "HwnasSampler": "hwnas.bridges.optuna",
    "OptunaSearcher": "hwnas.searchers.optuna_sampler",
    "PymooSearcher": "hwnas.searchers.pymoo_algorithm",
    "to_pymoo": "hwnas.bridges.pymoo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
