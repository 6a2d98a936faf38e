"""Every error that hwnas raises on purpose.

HwnasError                     exit code 2: something the person can mend in what they wrote
├── SpaceError                 a gene, a condition, a genome or a space
├── UnitError                  a unit that is unknown or does not fit
├── ExpressionError            an objective or a constraint that cannot be read
├── DesignError                a design that lacks the part somebody asks for
├── MeasurementError           what an evaluator answered breaks its contract
├── ProblemError               space, evaluators, objectives and constraints do not fit together
├── SearcherError              a searcher that cannot search this problem
├── ExactRefusedError          a problem whose exact front cannot be computed
├── PluginError                no plug-in of that name
│   ├── MissingExtraError      the plug-in is there, an optional package is not
│   └── ToolError              a tool outside, in a process of its own, gives no answer
├── StudyFileError             a study file that cannot be run; carries every problem found
├── RunDirectoryError          a run directory that holds something else, or another study
├── StorageError               exit code 3: the history cannot be read or written
├── TooManyFailuresError       exit code 4: everything that is evaluated fails
└── NothingFeasibleError       exit code 5: the study ended without one feasible design
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class HwnasError(Exception):
    """An error with the five things a person needs to mend it.

    Args:
        what: What went wrong, one sentence.
        where: The file and key, the argument, or the object concerned.
        rule: The rule that was broken.
        given: What was given instead.
        cure: What to do about it.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self, what: str, *, where: str = "", rule: str = "", given: str = "", cure: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.rule = rule
        self.given = given
        self.cure = cure

    def __str__(self) -> str:
        lines = [self.what]
        for label in ("where", "rule", "given", "cure"):
            text = getattr(self, label)
            if text:
                lines.append(f"  {label + ':':<7}{text}")
        return "\n".join(lines)


class SpaceError(HwnasError):
    """A gene, a condition, a genome or a space breaks a rule."""


class UnitError(HwnasError):
    """A unit is unknown or does not fit."""


class ExpressionError(HwnasError):
    """An objective or a constraint cannot be read."""


class DesignError(HwnasError):
    """A design lacks the part that somebody asks for."""


class MeasurementError(HwnasError):
    """What an evaluator answered breaks its contract."""


class ProblemError(HwnasError):
    """Space, evaluators, objectives and constraints do not fit together."""


class SearcherError(HwnasError):
    """A searcher cannot search this problem."""


class ExactRefusedError(HwnasError):
    """The exact front of a problem cannot be computed by any method that is known here."""


class PluginError(HwnasError):
    """There is no plug-in of that name."""


class MissingExtraError(PluginError):
    """An optional package that a plug-in needs is not installed."""


class ToolError(PluginError):
    """A tool outside, in a process of its own, gives no answer."""


class StudyFileError(HwnasError):
    """A study file cannot be run.

    Args:
        what: One sentence for the whole file.
        problems: Every problem found, one line each, with file and line.
        where: The file.
    """

    def __init__(self, what: str, problems: Iterable[str] = (), *, where: str = "") -> None:
        super().__init__(what, where=where)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class RunDirectoryError(HwnasError):
    """A run directory holds something else, or another study."""


class StorageError(HwnasError):
    """The history of a study cannot be read or written."""

    exit_code = 3


class TooManyFailuresError(HwnasError):
    """Everything that is evaluated fails, so going on would be a waste."""

    exit_code = 4


class NothingFeasibleError(HwnasError):
    """The study ended without one feasible design."""

    exit_code = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """Says which known names are near a misspelt one.

    Args:
        name: What was given.
        known: The names that exist.

    Returns:
        ``did you mean 'a' or 'b'?``, or the list of known names when none is near.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "use one of: " + ", ".join(names) if names else "there are none"
