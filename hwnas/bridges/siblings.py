"""Trials for designs that share a costly evaluation with a trial that was measured."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

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
from hwnas.bridges.trials import GENOME, admits, measured
from hwnas.errors import ProblemError
from hwnas.history import costly_columns
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.searchers.optuna_sampler import named_constraints

SIBLING_OF: Final = "sibling_of"
"""The attribute of a trial that names the trial whose costly evaluation it shares."""


def sharing(problem: Problem, row: Ints, others: Ints) -> Ints:
    """Which designs need the same costly evaluation as another one.

    Args:
        problem: The problem.
        row: A design, ``(d,)``.
        others: Designs, ``int64 (n, d)``.

    Returns:
        The rows among the others, without the design itself, ``int64 (j,)``.
    """
    canonical = problem.space.canonical(np.concatenate([row[None, :], others]))
    equal = canonical == canonical[0]
    shared = equal[:, costly_columns(problem)].all(axis=1) & ~equal.all(axis=1)
    return np.flatnonzero(shared[1:])


def sibling_trials(
    problem: Problem,
    trial: FrozenTrial,
    values: Sequence[float],
    row: Ints,
    siblings: Ints,
    distributions: Mapping[str, BaseDistribution],
) -> Iterator[FrozenTrial]:
    """Finished trials for designs that share the costly evaluation of a trial.

    What is COSTLY is taken from the trial, what is FREE is measured with `Problem.free`.

    Args:
        problem: The problem.
        trial: The trial, measured but perhaps not yet marked as finished.
        values: Its objectives.
        row: Its design, ``(d,)``.
        siblings: The designs, ``int64 (n, d)``.
        distributions: Gene name to how it is suggested, where that is known; others as
            `hwnas.bridges.trials.suggest` does.

    Yields:
        A trial for each design that is feasible and whose values are finite; none where the trial
        does not say what its costly metrics are.
    """
    whole = _completed(problem, trial, values, row, siblings)
    if whole is None:
        return
    objectives, excesses = problem.values(whole), problem.excesses(whole)
    usable = whole.feasible & np.isfinite(objectives).all(axis=1)
    names = [constraint.text for constraint in problem.constraints]
    for i in np.flatnonzero(usable):
        config = problem.designs(siblings[i : i + 1])[0].config
        kept = {name: distributions.get(name) or _usual(problem, name) for name in config}
        if not all(admits(kept[name], choice) for name, choice in config.items()):
            continue
        known = {n: float(e) for n, e in zip(names, excesses[i], strict=True) if math.isfinite(e)}
        metrics = {name: float(column[i]) for name, column in whole.columns.items()}
        yield optuna.trial.create_trial(
            values=[float(value) for value in objectives[i]],
            params={name: _plain(kept[name], choice) for name, choice in config.items()},
            distributions=kept,
            user_attrs={**metrics, SIBLING_OF: trial.number},
            **_attributes(siblings[i], known),
        )


def _completed(
    problem: Problem, trial: FrozenTrial, values: Sequence[float], row: Ints, siblings: Ints
) -> Measurements | None:
    finished = copy.copy(trial)
    finished.state, finished.values = TrialState.COMPLETE, [float(value) for value in values]
    try:
        own = measured(problem, [finished], row[None, :])
    except ProblemError:  # it says nothing of a costly metric; who is told of it will complain
        return None
    costly = tuple(metric for e in problem.costly for metric in e.metrics)
    columns = {m.name: np.repeat(own[m.name], len(siblings)) for m in costly}
    if not own.feasible[0] or not all(np.isfinite(own[m.name][0]) for m in costly):
        return None
    free = problem.free(problem.designs(siblings))
    return free.beside(Measurements.of(costly, columns))


def _usual(problem: Problem, name: str) -> BaseDistribution:
    gene = problem.space.genes[problem.space.names.index(name)]
    return CategoricalDistribution(gene.choices)


def _plain(distribution: BaseDistribution, choice: Choice) -> Any:
    """The choice as a parameter of that distribution."""
    if isinstance(distribution, IntDistribution):
        return int(choice)
    return float(choice) if isinstance(distribution, FloatDistribution) else choice


def _attributes(row: Ints, known: Mapping[str, float]) -> dict[str, Any]:
    """Arguments of ``optuna.trial.create_trial``: the genome, and constraints as `report` has them.

    Args:
        row: The design, ``(d,)``.
        known: How far it is beyond its constraints, by their texts.
    """
    genome = {GENOME: row.tolist()}
    if not known:
        return {"system_attrs": genome}
    if named_constraints():
        return {"system_attrs": genome, "constraints": dict(known)}
    return {"system_attrs": {**genome, "constraints": list(known.values())}}
