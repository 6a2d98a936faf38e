"""What is compared on: one problem, and what its study says besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hwnas import studyfile
from hwnas.budget import Budget
from hwnas.errors import ProblemError
from hwnas.problem import Problem
from hwnas.study import Study
from hwnas.studyfile import GROWABLE, Plan

_OURS: Final = (*GROWABLE, "searcher", "seed")
"""Keys of a study file that a comparison decides itself."""


@dataclass(frozen=True)
class Subject:
    """What is compared on.

    Attributes:
        name: The study's name.
        problem: The problem.
        searcher: The searcher that the study names, or empty.
        options: The options that the study gives to it.
        budget: Evaluations that the study plans, if it says.
        reference: Objective to a reference value, at rest.
        batch: How many designs are asked for at once; ``None``: as each searcher likes.
        timeout: How long one costly evaluation may take, s.
        resolved: The study file with every default filled in; ``None`` without a file.
        source: Where it is from, where that is no study file.
        notes: What of the study does not apply.
    """

    name: str
    problem: Problem
    searcher: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: int | None = None
    reference: Mapping[str, float] = field(default_factory=dict)
    batch: int | None = None
    timeout: float | None = None
    resolved: Mapping[str, Any] | None = None
    source: str = "Python"
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Problem | Study | str | Path, source: str = "Python") -> Subject:
        """Takes a problem, a study (its problem, not its history) or a study file.

        Raises:
            StudyFileError: The file is not in order.
            ProblemError: It is a study with a predictor.
        """
        if isinstance(given, Problem):
            return cls("study", given, source=source)
        if isinstance(given, Study):
            return cls._of_study(given, source)
        return cls._of_plan(studyfile.load(Path(given)))

    @classmethod
    def _of_study(cls, study: Study, source: str) -> Subject:
        return cls(
            name=study.name,
            problem=study.problem,
            searcher=study.searcher.name,
            options=dict(study.options),
            budget=study.budget.evaluations,
            reference=dict(study.reference),
            batch=study.asked_batch,
            source=source,
            notes=_notes(study.budget),
        )

    @classmethod
    def _of_plan(cls, plan: Plan) -> Subject:
        model = plan.model
        if model.surrogate is not None:
            raise ProblemError(
                f"study {model.name!r} searches with a predictor, which cannot be compared",
                where="surrogate",
                rule="searchers are compared on what is measured; a study with a predictor is "
                "three studies, of which one searches on predictions",
                cure="leave out the section surrogate",
            )
        return cls(
            name=model.name,
            problem=plan.problem,
            searcher=plan.searcher,
            options=plan.searcher_options,
            budget=plan.budget.evaluations,
            reference=plan.reference,
            batch=model.batch,
            timeout=model.timeout,
            resolved=plan.resolved,
            notes=_notes(plan.budget) + ((_COLD,) if plan.model.warm_start else ()),
        )

    def identity(self) -> dict[str, Any]:
        """What must stay the same while a comparison goes on, as plain JSON values."""
        problem = self.problem
        evaluators = {e.name: e.version for e in problem.evaluators}
        if self.resolved is not None:
            kept = {k: v for k, v in self.resolved.items() if k not in _OURS}
            return {**kept, "versions": evaluators}
        return {
            "name": self.name,
            "space": problem.space.to_json(),
            "versions": evaluators,
            "objectives": [f"{o.goal.value}: {o.text}" for o in problem.objectives if o.goal],
            "constraints": [c.text for c in problem.constraints],
            "reference": dict(self.reference),
            "batch": self.batch,
        }


_COLD: Final = "The study's warm_start does not apply: every run begins with nothing known."


def _notes(budget: Budget) -> tuple[str, ...]:
    limits = []
    if budget.seconds is not None:
        limits.append(f"time budget of {budget.seconds:g} s")
    if budget.gain is not None:
        limits.append(f"wish to stop when the gain is below {100 * budget.gain:g} %")
    return tuple(
        f"The study's {limit} does not apply: runs end by evaluations, so that all of them are "
        "comparable."
        for limit in limits
    )
