"""The shortest way in: `search` a space for objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas.budget import Budget
from hwnas.errors import ProblemError
from hwnas.evaluation.interface import Evaluator
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.space import Space
from hwnas.study import Study


def search(
    space: Space,
    objectives: Sequence[Evaluator | str],
    *,
    budget: Budget | int,
    seed: int = 0,
    evaluators: Sequence[Evaluator] = (),
    constraints: Sequence[str] = (),
    searcher: str | type[Searcher] | Callable[..., Searcher] | None = None,
    options: Mapping[str, Any] | None = None,
    storage: str | Path | None = None,
    name: str = "study",
    workers: int = 1,
    timeout: float | None = None,
) -> Study:
    """Searches a space until the budget is spent.

    Args:
        space: The space.
        objectives: Evaluators, each metric of which is an objective, or text over metrics
            (``"minimize: energy * latency"``).
        budget: See `Study`.
        seed: See `Study`.
        evaluators: Further evaluators, whose metrics objectives and constraints may name.
        constraints: Text over metrics (``"area <= 4 mm2"``).
        searcher: See `Study`.
        options: See `Study`.
        storage: See `Study`.
        name: See `Study`.
        workers: See `Study`.
        timeout: See `Study`.

    Returns:
        The study: ``.front().table()`` is its front, ``.optuna`` the underlying Optuna study.

    Raises:
        ProblemError: See `Problem`.
    """
    measured: list[Evaluator] = list(evaluators)
    wanted: list[str] = []
    for objective in objectives:
        if isinstance(objective, str):
            wanted.append(objective)
        elif isinstance(objective, Evaluator):
            measured.append(objective)
            wanted.extend(metric.name for metric in objective.metrics)
        else:
            raise ProblemError(
                f"{objective!r} is no objective",
                rule="an evaluator, or text over metrics",
                given=type(objective).__name__,
                cure="decorate the function: @hwnas.measures('error')",
            )
    problem = Problem(space, measured, wanted, constraints)
    study = Study(
        problem,
        searcher,
        budget=budget,
        seed=seed,
        options=options,
        storage=storage,
        name=name,
        workers=workers,
        timeout=timeout,
    )
    for _ in study.run():
        pass
    return study
