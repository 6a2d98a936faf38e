"""What a run measured, as a table to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import ProblemError, nearest
from hwnas.evaluation.interface import Evaluator
from hwnas.prediction import CanonicalFeatures, MetricFeatures
from hwnas.prediction.examples import Table
from hwnas.problem import Problem
from hwnas.session import reopen
from hwnas.space import unique


def run_table(directory: Path, predicts: str, storage: str | None = None) -> Table:
    """Reads a run directory as a table with one row per design that its evaluator can tell apart.

    Columns are what `CanonicalFeatures` says of the parts of the genome (the word ``parts``), the
    free metrics (``metrics``), and what is predicted, empty where it was not measured in full. The
    usual features are those parts and free metrics that the evaluator's answer can depend on. Of a
    search with a predictor the samples are read.

    Args:
        directory: The run directory.
        predicts: The metric that is predicted.
        storage: The storage's URL, where it needs a password.

    Raises:
        RunDirectoryError: There is no run, or it was made by a Python file.
        StorageError: Its history cannot be read.
        ProblemError: Nothing measures that metric, or nothing was measured.
    """
    session = reopen(directory, storage=storage)
    study = session.study if session.surrogate is None else session.surrogate.samples
    problem, rows = study.problem, study.history.rows
    measures = _measuring(problem, predicts)
    if not len(rows):
        raise ProblemError("the run has measured nothing yet", where=str(directory))
    # The same network is measured once and met with many accelerators.
    read = problem.space.read_by(measures.reads)
    genomes = problem.space.canonical(rows.genomes)
    measured = rows.measurements
    best_first = np.argsort(~measured.feasible, kind="stable")
    places = best_first[unique(genomes[best_first][:, problem.space.columns_of(*read)])[0]]
    places = np.sort(places)
    designs = problem.designs(genomes[places], study.seed)
    columns: dict[str, Any] = {}
    groups: dict[str, tuple[str, ...]] = {"metrics": (), "parts": ()}
    usual: list[str] = []
    for part in problem.space.part_names:
        source = CanonicalFeatures(part)
        names = source.names(problem.space)
        columns |= dict(zip(names, source.matrix(designs).T, strict=True))
        groups["parts"] += names
        usual += names if part in read else ()
    for evaluator in problem.free_evaluators:
        if evaluator is measures:
            continue
        metrics = MetricFeatures([evaluator])
        columns |= dict(zip(metrics.metrics, metrics.matrix(designs).T, strict=True))
        groups["metrics"] += metrics.metrics
        if set(problem.space.read_by(evaluator.reads)) <= set(read):
            usual += metrics.metrics
    taken = measured.take(places)
    columns[predicts] = np.where(taken.feasible, taken[predicts], np.nan)
    return Table(f"run {directory}", columns, groups, tuple(usual), places, "design")


def _measuring(problem: Problem, metric: str) -> Evaluator:
    for evaluator in problem.evaluators:
        if any(m.name == metric for m in evaluator.metrics):
            return evaluator
    known = [m.name for e in problem.evaluators for m in e.metrics]
    raise ProblemError(
        f"nothing measures {metric!r}",
        where="--predicts",
        rule="a metric of the run",
        given=repr(metric),
        cure=nearest(metric, known),
    )
