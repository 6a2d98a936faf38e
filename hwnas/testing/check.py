"""What a conformance suite is made of: checks of one rule each, and what came of them.

A check is a plain function of a subject. It raises `AssertionError` where the rule is broken and
`unittest.SkipTest` where the subject has nothing that the rule is about; pytest understands both:

    from hwnas.testing import EvaluatorSubject, evaluator_checks

    @pytest.mark.parametrize("check", evaluator_checks(), ids=str)
    def test_conformance(check):
        check(EvaluatorSubject(MyEvaluator(), space))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar
from unittest import SkipTest

Subject = TypeVar("Subject")
Other = TypeVar("Other")


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One rule of a contract, and how to check it.

    Attributes:
        name: Short and unique within its suite.
        rule: The rule, one sentence.
        run: Raises `AssertionError` where the rule is broken.
    """

    name: str
    rule: str
    run: Callable[[Subject], None]

    @classmethod
    def of(cls, function: Callable[..., None], *fixed: Any, label: str = "") -> Check[Subject]:
        """A check from a function whose docstring begins with the rule.

        Args:
            function: Takes the subject, then what is fixed here.
            *fixed: Further arguments.
            label: Added to the name, to tell checks of one function apart.
        """
        rule = (inspect.getdoc(function) or "").partition("\n")[0]
        name = function.__name__.replace("_", " ") + (f" [{label}]" if label else "")
        return cls(name, rule, lambda subject: function(subject, *fixed))

    def on(self, view: Callable[[Other], Subject]) -> Check[Other]:
        """The same check of something that another subject has."""
        return Check(self.name, self.rule, lambda subject: self.run(view(subject)))

    def __str__(self) -> str:
        return self.name

    def __call__(self, subject: Subject) -> None:
        """Checks a subject.

        Raises:
            AssertionError: The rule is broken; the message says how.
            unittest.SkipTest: The rule is about something that the subject does not have.
        """
        self.run(subject)


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        check: Its name.
        rule: Its rule.
        passed: Whether the rule holds, also where there was nothing to check.
        message: What is wrong, or why there was nothing to check; else empty.
        skipped: Whether there was nothing to check.
    """

    check: str
    rule: str
    passed: bool
    message: str = ""
    skipped: bool = False


def run(checks: Iterable[Check[Subject]], subject: Subject) -> list[Outcome]:
    """Runs checks one by one; what one of them raises does not stop the others.

    Args:
        checks: A suite.
        subject: What is checked.

    Returns:
        One outcome per check, in order.
    """
    return [_outcome(check, subject) for check in checks]


def _outcome(check: Check[Subject], subject: Subject) -> Outcome:
    try:
        check(subject)
    except SkipTest as reason:
        return Outcome(check.name, check.rule, True, str(reason), skipped=True)
    except AssertionError as error:
        return Outcome(check.name, check.rule, False, str(error))
    except Exception as error:  # whatever a foreign plug-in raises breaks the rule
        return Outcome(check.name, check.rule, False, f"{type(error).__name__}: {error}")
    return Outcome(check.name, check.rule, True)


def require(holds: object, message: str) -> None:
    """Raises `AssertionError` with the message unless something holds, also under ``-O``."""
    if not holds:
        raise AssertionError(message)


def nothing_to_check(reason: str) -> NoReturn:
    """Says that the rule is about something that the subject does not have."""
    raise SkipTest(reason)
