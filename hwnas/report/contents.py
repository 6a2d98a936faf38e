"""What a report says, as plain records: computed and tested here, drawn and printed elsewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnas.front import Front, FrontDesign, nothing_feasible
from hwnas.metrics import Goal, Reason
from hwnas.progress import Bound
from hwnas.report import quantity
from hwnas.report.anatomy import Anatomy, anatomies
from hwnas.report.importance import Importance, importances, ranked
from hwnas.report.parallel import Parallel, parallel
from hwnas.report.points import Points, points
from hwnas.report.quantity import Quantity
from hwnas.report.rungs import RungRecord, rungs
from hwnas.report.trace import Trace, trace

if TYPE_CHECKING:
    from hwnas.arrays import Bools
    from hwnas.study import Study

_OUTCOMES: Final = {
    Reason.INFEASIBLE: "infeasible design",
    Reason.RULED_OUT: "ruled out by free metrics, nothing costly measured",
    Reason.DIVERGED: "training diverged",
    Reason.RAISED: "evaluator raised an error",
    Reason.TIMED_OUT: "evaluator took too long",
    Reason.CRASHED: "evaluator's process died",
    Reason.NOT_FINITE: "evaluator answered NaN or infinity",
    Reason.BROKEN: "evaluator's answer broke its contract",
    Reason.LOW_FIDELITY: "measured at a lower fidelity",
}


@dataclass(frozen=True)
class Outcome:
    """What became of some designs. The outcomes of a study add up to its designs.

    Attributes:
        text: What became of them.
        designs: Of how many.
        example: What was noted most often, if anything.
    """

    text: str
    designs: int
    example: str = ""


@dataclass(frozen=True)
class Limit:
    """One constraint.

    Attributes:
        text: As it was written.
        violated: How many designs violate it.
        known: For how many designs that is known.
    """

    text: str
    violated: int
    known: int


@dataclass(frozen=True)
class Measurer:
    """One evaluator.

    Attributes:
        name: Its name.
        version: Its version.
        expense: ``free`` or ``costly``.
        metrics: What it answers.
    """

    name: str
    version: str
    expense: str
    metrics: tuple[Quantity, ...]


@dataclass(frozen=True)
class Box:
    """What the hypervolume of a study is measured in, in natural direction and at rest.

    Attributes:
        ideal: The best corner.
        reference: The worst corner.
    """

    ideal: tuple[float, ...]
    reference: tuple[float, ...]


@dataclass(frozen=True)
class Facts:
    """How a study was made and what it cost.

    Attributes:
        name: The name of the study.
        seed: Its seed.
        space_size: How many different designs there are.
        searcher: Who proposed the designs.
        options: The searcher's options, as text.
        evaluators: Who measured them.
        status: Why the study is not running.
        designs: How many designs were proposed and looked at.
        evaluations: What the budget counts.
        budget: How many it allows.
        failures: Designs on which an evaluator failed.
        infeasible: Designs that are infeasible, violate a constraint, or have no finite
            objectives, without the failures.
        seconds: How long the study ran, s.
        outcomes: What became of the designs.
        limits: The constraints.
        box: What the hypervolume is measured in; ``None`` while no design has values.
        bounds: What the searcher certified, step by step.
        bound: What it certified last; ``None`` where nobody knows how much is left.
        checks: How often it was checked that costly evaluators read no more than they say; not
            counted by the budget.
    """

    name: str
    seed: int
    space_size: int
    searcher: str
    options: tuple[tuple[str, str], ...]
    evaluators: tuple[Measurer, ...]
    status: str
    designs: int
    evaluations: float
    budget: int
    failures: int
    infeasible: int
    seconds: float
    outcomes: tuple[Outcome, ...]
    limits: tuple[Limit, ...]
    box: Box | None
    bounds: tuple[Bound, ...] = ()
    bound: Bound | None = None
    checks: int = 0


@dataclass(frozen=True)
class Record:
    """Everything a report says.

    Attributes:
        title: What the report is called.
        facts: How the study was made.
        objectives: The objectives.
        metrics: The metrics that are no objectives.
        genes: The genes.
        designs: The Pareto front, sorted by the first objective.
        why_empty: Why the front is empty; empty text where it is not.
        best: Per objective the number of the front's best design; empty where there is no front.
        trace: How the study came on.
        points: The designs in objective space.
        importances: Which genes matter to each objective.
        parallel: Genes and objectives side by side; ``None`` where no design is feasible.
        anatomies: Some designs of the front, and where their metrics come from.
        rungs: The fidelities, ascending; empty where none below 1 was used.
    """

    title: str
    facts: Facts
    objectives: tuple[Quantity, ...]
    metrics: tuple[Quantity, ...]
    genes: tuple[Quantity, ...]
    designs: tuple[FrontDesign, ...]
    why_empty: str
    best: tuple[int, ...]
    trace: Trace
    points: Points
    importances: tuple[Importance, ...]
    parallel: Parallel | None
    anatomies: tuple[Anatomy, ...] = ()
    rungs: tuple[RungRecord, ...] = ()


def record(study: Study, title: str | None = None) -> Record:
    """Computes what a report on a study says.

    The same study gives the same record.

    Args:
        study: A study, finished or not.
        title: What the report is called; the name of the study if left out.
    """
    history = study.history
    front = Front.of(history).designs if len(history.front) else ()
    objectives = quantity.objectives(study)
    genes_that_matter = importances(study)
    return Record(
        title=study.name if title is None else title,
        facts=facts(study),
        objectives=objectives,
        metrics=quantity.metrics(study),
        genes=quantity.genes(study),
        designs=front,
        why_empty="" if front else str(nothing_feasible(history)),
        best=tuple(_best(front, objective) for objective in objectives) if front else (),
        trace=trace(study),
        points=points(study),
        importances=genes_that_matter,
        parallel=parallel(study, ranked(genes_that_matter)) if front else None,
        anatomies=anatomies(study),
        rungs=rungs(study),
    )


def facts(study: Study) -> Facts:
    """How a study was made and what it cost."""
    history, problem = study.history, study.problem
    measured = history.rows.measurements
    satisfied = problem.satisfied(measured)
    return Facts(
        name=study.name,
        seed=study.seed,
        space_size=problem.space.size(),
        searcher=study.searcher.name,
        options=tuple((name, str(value)) for name, value in study.searcher.options().items()),
        evaluators=tuple(
            Measurer(
                e.name,
                e.version,
                e.expense.value,
                tuple(Quantity(m.name, m.unit, m.goal) for m in e.metrics),
            )
            for e in problem.evaluators
        ),
        status=study.status.value,
        designs=len(history),
        evaluations=history.evaluations,
        budget=study.budget.evaluations,
        failures=history.failures,
        infeasible=int((~satisfied & ~measured.failed & ~measured.partial).sum()),
        seconds=study.seconds,
        outcomes=_outcomes(study, satisfied),
        limits=_limits(study),
        box=_box(study),
        bounds=tuple(study.bounds),
        bound=study.progress.bound if str(study.progress.bound) else None,
        checks=study.checks,
    )


def _outcomes(study: Study, satisfied: Bools) -> tuple[Outcome, ...]:
    history, problem = study.history, study.problem
    measured = history.rows.measurements
    violating = measured.feasible & (problem.violations(measured) > 0).any(axis=1)
    found = [
        Outcome("on the Pareto front", len(history.front)),
        Outcome("feasible, but not on the front", int(satisfied.sum()) - len(history.front)),
        Outcome("violates a constraint", int(violating.sum())),
        Outcome(
            "an objective has no finite value",
            int((measured.feasible & ~satisfied & ~violating).sum()),
        ),
    ]
    for reason, text in _OUTCOMES.items():
        rows = np.flatnonzero(measured.reason == reason)
        notes = Counter(measured.notes[i] for i in rows if measured.notes[i])
        found.append(Outcome(text, len(rows), next(iter(notes.most_common(1)), ("",))[0]))
    return tuple(outcome for outcome in found if outcome.designs)


def _limits(study: Study) -> tuple[Limit, ...]:
    violations = study.problem.violations(study.history.rows.measurements)
    known = np.isfinite(violations)
    return tuple(
        Limit(constraint.text, int((violations[known[:, j], j] > 0).sum()), int(known[:, j].sum()))
        for j, constraint in enumerate(study.problem.constraints)
    )


def _box(study: Study) -> Box | None:
    if study.yardstick is None:
        return None
    signs = study.problem.signs
    ideal, reference = study.yardstick.ideal * signs, study.yardstick.reference * signs
    return Box(tuple(map(float, ideal)), tuple(map(float, reference)))


def _best(front: tuple[FrontDesign, ...], objective: Quantity) -> int:
    sign = 1.0 if objective.goal is Goal.MINIMIZE else -1.0
    return min(front, key=lambda design: sign * design.objectives[objective.name]).number
