"""Known rows in a run directory of ours."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import StorageError
from hwnas.metrics import Reason
from hwnas.problem import Problem
from hwnas.rundir import RunDirectory
from hwnas.studyfile.document import read
from hwnas.warm_start.found import Found


def from_run(path: Path, problem: Problem) -> Found:
    """Reads what a run measured. The run is left as it is.

    Args:
        path: The run directory.
        problem: The problem that the rows are wanted for.

    Raises:
        RunDirectoryError: There is no run.
        StorageError: Its history cannot be read, or is not there.
    """
    run = RunDirectory(path)
    name = run.mark().name
    target = run.storage(None)
    if "://" not in target and not Path(target).is_file():
        raise StorageError(
            f"the run in {path} has no history",
            where=target,
            rule="what a study begins with was measured",
        )
    measured = [name]
    if not run.mark().python and (read(run.study_file).values or {}).get("surrogate"):
        # The middle one of its three studies holds predictions.
        measured = [f"{name}-samples", f"{name}-verified"]
    trials: list[Any] = []
    versions: dict[str, str] = {}
    for study in measured:
        trials += _trials(target, study, versions)
    own = [_own(trial) for trial in trials]
    genes = dict.fromkeys(name for trial in trials for name in trial.params)
    return Found(
        path,
        {gene: _texts([t.params.get(gene, "") for t in trials]) for gene in genes},
        {
            m.name: np.array([float(t.user_attrs.get(m.name, math.nan)) for t in trials])
            for e in problem.costly
            for m in e.metrics
        },
        np.array([entry["reason"] for entry in own], dtype=np.int64).reshape(-1),
        tuple(str(trial.user_attrs.get("note", "")) for trial in trials),
        np.array([entry.get("fidelity", 1.0) for entry in own], dtype=np.float64),
        only_awake=True,
        remark=_remark(problem, versions),
    )


def _trials(target: str, name: str, versions: dict[str, str]) -> list[Any]:
    from hwnas.storage import RECORD, StudyStore

    store = StudyStore(target, name)
    record = store.record()
    if record is None:
        return []
    versions |= record["evaluators"]
    trials = store.study.get_trials(deepcopy=False)
    return [t for t in trials if RECORD in t.system_attrs and t.state.is_finished()]


def _own(trial: Any) -> dict[str, Any]:
    from hwnas.storage import RECORD

    entry: dict[str, Any] = trial.system_attrs[RECORD]
    if entry["reason"] not in set(Reason):
        raise StorageError("a stored trial has no known reason", given=str(entry["reason"]))
    return entry


def _texts(values: list[Any]) -> Any:
    return np.array([str(value) for value in values], dtype=np.str_)


def _remark(problem: Problem, versions: dict[str, str]) -> str:
    changed = [
        f"{e.name} was version {versions[e.name]}, is {e.version}"
        for e in problem.costly
        if versions.get(e.name, e.version) != e.version
    ]
    return "; ".join(changed)
