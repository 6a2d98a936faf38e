"""What trials of Optuna's say about designs, and what designs say to trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from hwnas.arrays import Choice, Ints
from hwnas.errors import ProblemError, SpaceError
from hwnas.metrics import Goal, Measurements, Reason
from hwnas.problem import Problem
from hwnas.searchers.optuna_sampler import named_constraints
from hwnas.space import Gene, Space
from hwnas.space.conditions import Conditions

GENOME: Final = "hwnas:genome"
"""The attribute of a trial that holds its genome, sleeping genes as the searcher proposed them."""


def directions(problem: Problem) -> list[Literal["minimize", "maximize"]]:
    """The directions of a study of a problem, for ``optuna.create_study``."""
    return ["minimize" if o.goal is Goal.MINIMIZE else "maximize" for o in problem.objectives]


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Choice]:
    """Has a trial suggest the genes of a design, each behind those that it depends on.

    Args:
        trial: The trial.
        space: The space.

    Returns:
        Gene name to value, active genes only: what `Space.encode` takes.
    """
    conditions = Conditions(space.genes)
    row = np.zeros((1, len(space)), dtype=np.int64)
    config: dict[str, Choice] = {}
    for j in conditions.order:
        gene = space.genes[j]
        met = (
            space.names[parent] in config and meets[row[0, parent]]
            for parent, meets in conditions.found[j]
        )
        if all(met):
            choice: Any = trial.suggest_categorical(gene.name, gene.choices)
            config[gene.name] = choice
            row[0, j] = gene.choices.index(choice)
    return config


def report(trial: optuna.Trial, problem: Problem, measurements: Measurements) -> list[float]:
    """Stores what a design measured with its trial, and gives the values to return.

    Needed where objectives are computed from several costly metrics; always possible.

    Args:
        trial: The trial.
        problem: The problem.
        measurements: One row with the problem's metrics.

    Returns:
        The objectives' values, at rest, in the problem's order.

    Raises:
        optuna.TrialPruned: The design is not feasible; the reason is stored.
        ProblemError: There is not exactly one row.
    """
    if len(measurements) != 1:
        raise ProblemError(
            "a trial is one design", rule="one row", given=f"{len(measurements)} rows"
        )
    for name, column in measurements.columns.items():
        if math.isfinite(column[0]):
            trial.set_user_attr(name, float(column[0]))
    known = {
        c.text: float(excess)
        for c, excess in zip(problem.constraints, problem.excesses(measurements)[0], strict=True)
        if math.isfinite(excess)
    }
    if named_constraints():
        for text, excess in known.items():
            trial.set_constraint(text, excess)
    elif known:
        trial.storage.set_trial_system_attr(trial._trial_id, "constraints", [*known.values()])
    reason = Reason(int(measurements.reason[0]))
    values = problem.values(measurements)[0]
    if reason is Reason.NONE and not np.isfinite(values).all():
        reason = Reason.NOT_FINITE
    if reason is not Reason.NONE:
        trial.set_user_attr("reason", reason.name.lower())
        trial.set_user_attr("note", measurements.notes[0])
        raise optuna.TrialPruned(measurements.notes[0] or reason.name.lower())
    return [float(value) for value in values]


def measured(problem: Problem, trials: Sequence[FrozenTrial], genomes: Ints) -> Measurements:
    """What finished trials measured.

    Args:
        problem: The problem.
        trials: ``n`` finished trials.
        genomes: Their designs, ``int64 (n, d)``.

    Returns:
        ``n`` rows; see `HwnasSampler` for where the metrics come from.

    Raises:
        ProblemError: A complete trial lacks a metric that is not FREE.
    """
    n = len(trials)
    columns = {name: np.full(n, np.nan) for name in problem.metrics}
    reason = np.array([_reason(trial) for trial in trials], dtype=np.int64)
    notes = [str(trial.user_attrs.get("note", "")) for trial in trials]
    for i, trial in enumerate(trials):
        for objective, value in zip(problem.objectives, trial.values or (), strict=False):
            if objective.is_metric and reason[i] == Reason.NONE:
                columns[objective.name][i] = value
        for name in problem.metrics:
            stored = trial.user_attrs.get(name)
            if isinstance(stored, int | float):
                columns[name][i] = stored
    unknown = np.zeros(n, dtype=np.bool_)
    for name in problem.free_metrics:
        unknown |= np.isnan(columns[name])
    rows = np.flatnonzero(unknown)
    free = problem.free(problem.designs(genomes[rows]))
    for name in problem.free_metrics:
        columns[name][rows] = np.where(
            np.isnan(columns[name][rows]), free[name], columns[name][rows]
        )
    reason[rows] = np.where(reason[rows] == Reason.NONE, free.reason, reason[rows])
    _check_whole(problem, trials, columns, reason)
    return Measurements.of(tuple(problem.metrics.values()), columns, reason=reason, notes=notes)


def _reason(trial: FrozenTrial) -> Reason:
    stored = str(trial.user_attrs.get("reason", "")).upper()
    if stored in Reason.__members__:
        return Reason[stored]
    if not np.isfinite(trial.values or ()).all():
        return Reason.NOT_FINITE
    usual = {TrialState.COMPLETE: Reason.NONE, TrialState.PRUNED: Reason.RULED_OUT}
    return usual.get(trial.state, Reason.RAISED)


def _check_whole(
    problem: Problem, trials: Sequence[FrozenTrial], columns: Mapping[str, Any], reason: Ints
) -> None:
    for name, column in columns.items():
        missing = np.flatnonzero((reason == Reason.NONE) & ~np.isfinite(column))
        if missing.size:
            computed = [o.text for o in problem.objectives if not o.is_metric]
            raise ProblemError(
                f"nobody knows metric {name!r} of trial {trials[missing[0]].number}",
                rule="an objective that is a bare metric, a metric stored with the trial, or one "
                "that is FREE",
                given="objectives that are computed: " + (", ".join(computed) or "none"),
                cure="return report(trial, problem, measurements) from the objective, or "
                f"trial.set_user_attr({name!r}, value)",
            )


def admits(distribution: BaseDistribution, choice: Choice) -> bool:
    """Whether a distribution has a choice among its values."""
    if isinstance(distribution, CategoricalDistribution):
        return choice in distribution.choices
    if isinstance(choice, str) or not isinstance(distribution, IntDistribution | FloatDistribution):
        return False
    if isinstance(distribution, IntDistribution) and choice != int(choice):
        return False
    steps = (choice - distribution.low) / (distribution.step or 1)
    on_grid = distribution.step is None or math.isclose(steps, round(steps), abs_tol=1e-8)
    return bool(distribution.low <= choice <= distribution.high and on_grid)


def choice_number(gene: Gene, value: Any, trial: int) -> int:
    """The number of the choice that a parameter's value is, rounding aside.

    Args:
        gene: The gene.
        value: The value of the parameter.
        trial: The number of the trial, for the message.

    Raises:
        SpaceError: It is no choice of the gene.
    """
    for i, choice in enumerate(gene.choices):
        if choice == value:
            return i
    for i, choice in enumerate(gene.choices):
        both = not isinstance(choice, str) and isinstance(value, int | float)
        if both and math.isclose(float(choice), value, rel_tol=1e-9):
            return i
    raise SpaceError(
        f"gene {gene.name!r} has no choice {value!r}",
        where=f"trial {trial}",
        rule="one of " + ", ".join(map(repr, gene.choices)),
        given=repr(value),
    )
