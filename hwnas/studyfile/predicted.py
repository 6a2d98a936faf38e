"""Whether a section `surrogate` fits its study: what is predicted, and from what."""

from __future__ import annotations

from hwnas.errors import ProblemError, nearest
from hwnas.evaluation.interface import Evaluator
from hwnas.problem import Problem
from hwnas.studyfile.model import SurrogateModel


def predicted_evaluator(section: SurrogateModel, problem: Problem) -> Evaluator:
    """The costly evaluator whose metric is predicted.

    Raises:
        ProblemError: No costly evaluator measures it.
    """
    name = section.predicts
    for evaluator in problem.costly:
        if any(metric.name == name for metric in evaluator.metrics):
            return evaluator
    costly = [m.name for e in problem.costly for m in e.metrics]
    raise ProblemError(
        f"{name!r} cannot be predicted",
        where="surrogate.predicts",
        rule="a metric of a costly evaluator",
        given=repr(name),
        cure=nearest(name, costly),
    )


def check_features(section: SurrogateModel, problem: Problem) -> None:
    """Checks that every feature is a free metric or a part of the genome.

    Raises:
        ProblemError: One is neither.
    """
    free = problem.free_metrics
    parts = [f"{part}.*" for part in problem.space.part_names]
    for feature in section.features:
        if feature not in free and feature not in parts:
            raise ProblemError(
                f"there is no feature {feature!r}",
                where="surrogate.features",
                rule="free metrics or parts: " + ", ".join([*sorted(free), *parts]),
                given=repr(feature),
                cure=nearest(feature, [*free, *parts]),
            )
