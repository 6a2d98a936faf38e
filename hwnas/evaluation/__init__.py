"""The evaluator interface and its wrappers."""

from hwnas.evaluation.explanation import Explanation, Roofline
from hwnas.evaluation.interface import (
    ALL_PARTS,
    Evaluator,
    Expense,
    FunctionEvaluator,
    Infeasible,
    PerDesign,
    measures,
)
from hwnas.evaluation.processes import Parallel, Timeout
from hwnas.evaluation.wrappers import Cached, Joined, Noisy

__all__ = [
    "ALL_PARTS",
    "Cached",
    "Evaluator",
    "Expense",
    "Explanation",
    "FunctionEvaluator",
    "Infeasible",
    "Joined",
    "Noisy",
    "Parallel",
    "PerDesign",
    "Roofline",
    "Timeout",
    "measures",
]
