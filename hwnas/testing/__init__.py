"""Conformance suites for plug-ins, and toy problems with known fronts.

The suites need no test framework: `run` gives one `Outcome` per rule. Under pytest:

    import pytest
    from hwnas.testing import EvaluatorSubject, evaluator_checks

    @pytest.mark.parametrize("check", evaluator_checks(), ids=str)
    def test_conformance(check):
        check(EvaluatorSubject(MyEvaluator(), space))
"""

from hwnas.testing.check import Check, Outcome, run
from hwnas.testing.evaluators import EvaluatorSubject
from hwnas.testing.evaluators import checks as evaluator_checks
from hwnas.testing.predictors import PredictorSubject
from hwnas.testing.predictors import checks as predictor_checks
from hwnas.testing.searchers import SearcherSubject
from hwnas.testing.searchers import checks as searcher_checks
from hwnas.testing.spaces import SpaceSubject
from hwnas.testing.spaces import checks as space_checks

__all__ = [
    "Check",
    "EvaluatorSubject",
    "Outcome",
    "PredictorSubject",
    "SearcherSubject",
    "SpaceSubject",
    "evaluator_checks",
    "predictor_checks",
    "run",
    "searcher_checks",
    "space_checks",
]
