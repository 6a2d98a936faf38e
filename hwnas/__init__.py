"""hwnas: which network, at which bit widths, on which accelerator? Answered with a Pareto front.

The names below are imported when they are first used, so that the command line starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwnas.api import search as search
    from hwnas.budget import Budget as Budget
    from hwnas.comparison import Comparison as Comparison
    from hwnas.comparison import compare as compare
    from hwnas.design import BitsPerCell as BitsPerCell
    from hwnas.design import Design as Design
    from hwnas.design import Designs as Designs
    from hwnas.design import SkipNet as SkipNet
    from hwnas.design import SystolicArray as SystolicArray
    from hwnas.errors import HwnasError as HwnasError
    from hwnas.evaluation import Evaluator as Evaluator
    from hwnas.evaluation import Expense as Expense
    from hwnas.evaluation import Infeasible as Infeasible
    from hwnas.evaluation import PerDesign as PerDesign
    from hwnas.evaluation import measures as measures
    from hwnas.exact import exact_front as exact_front
    from hwnas.front import Front as Front
    from hwnas.metrics import Goal as Goal
    from hwnas.metrics import Measurements as Measurements
    from hwnas.metrics import Metric as Metric
    from hwnas.metrics import Reason as Reason
    from hwnas.problem import Problem as Problem
    from hwnas.progress import Progress as Progress
    from hwnas.searchers import Searcher as Searcher
    from hwnas.space import Gene as Gene
    from hwnas.space import Space as Space
    from hwnas.space import When as When
    from hwnas.study import Study as Study

__version__ = "0.1.0"

_HOME = {
    "hwnas.api": ("search",),
    "hwnas.budget": ("Budget",),
    "hwnas.comparison": ("Comparison", "compare"),
    "hwnas.design": ("BitsPerCell", "Design", "Designs", "SkipNet", "SystolicArray"),
    "hwnas.errors": ("HwnasError",),
    "hwnas.evaluation": ("Evaluator", "Expense", "Infeasible", "PerDesign", "measures"),
    "hwnas.exact": ("exact_front",),
    "hwnas.front": ("Front",),
    "hwnas.metrics": ("Goal", "Measurements", "Metric", "Reason"),
    "hwnas.problem": ("Problem",),
    "hwnas.searchers": ("Searcher",),
    "hwnas.space": ("Gene", "Space", "When"),
    "hwnas.progress": ("Progress",),
    "hwnas.study": ("Study",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - a list of strings, made from the table above


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hwnas' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
