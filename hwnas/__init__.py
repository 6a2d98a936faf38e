"""hwnas: which network, at which bit widths, on which accelerator? Answered with a Pareto front."""

from hwnas.api import search
from hwnas.budget import Budget
from hwnas.design import BitsPerCell, Design, Designs, SkipNet, SystolicArray
from hwnas.errors import HwnasError
from hwnas.evaluation import Evaluator, Expense, Infeasible, PerDesign, measures
from hwnas.front import Front
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.problem import Problem
from hwnas.search import Searcher
from hwnas.space import Gene, Space, When
from hwnas.study import Progress, Study

__version__ = "0.1.0"

__all__ = [
    "BitsPerCell",
    "Budget",
    "Design",
    "Designs",
    "Evaluator",
    "Expense",
    "Front",
    "Gene",
    "Goal",
    "HwnasError",
    "Infeasible",
    "Measurements",
    "Metric",
    "PerDesign",
    "Problem",
    "Progress",
    "Reason",
    "Searcher",
    "SkipNet",
    "Space",
    "Study",
    "SystolicArray",
    "When",
    "measures",
    "search",
]
