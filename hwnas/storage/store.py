"""The history of a study in an Optuna storage, so that Optuna and its dashboard can read it.

One trial per design. Its parameters are the active genes, its values the objectives, its user
attributes the metrics; constraints are stored as Optuna stores them. A design without values is a
FAIL trial with the reason, and one that was measured at a lower fidelity a PRUNED trial. What only
hwnas needs (step, position, sleeping genes) is in one system attribute.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hwnas.arrays import Bools
from hwnas.errors import StorageError
from hwnas.history import Block
from hwnas.metrics import Goal, Measurements, Reason
from hwnas.problem import Problem
from hwnas.progress import Bound
from hwnas.storage.journal import DurableJournal

_PLACE: Final = ("step", "position", "asked", "size")

RECORD: Final = "hwnas"
"""The user attribute of a study, and the system attribute of a trial, that carry our data."""

_BOUND: Final = f"{RECORD}:bound:"
_REMAINING: Final = "remaining"
_CHECKED: Final = f"{RECORD}:checked"

_CONSTRAINT: Final = "constraints:"
_OLD_CONSTRAINTS: Final = "constraints"
_NAMES: Final = "study:metric_names"
_NOTE: Final = "dashboard:note_str"


class StudyStore:
    """One study in an Optuna storage.

    Args:
        target: The path of a journal file, any storage URL of Optuna's (``sqlite:///...``,
            ``postgresql://...``), or ``None`` for one in memory.
        name: The name of the study.

    Raises:
        StorageError: The storage cannot be opened.
    """

    def __init__(self, target: str | Path | None, name: str) -> None:
        self.name = name
        self.target = str(target or "memory")
        self._journal: DurableJournal | None = None
        with _readable(self.target):
            self._storage = self._open(target)

    def _open(self, target: str | Path | None) -> BaseStorage:
        if target is None:
            return InMemoryStorage()
        if "://" in str(target):
            return optuna.storages.get_storage(str(target))
        self._journal = DurableJournal(str(target))
        return JournalStorage(self._journal)

    @property
    def study(self) -> optuna.Study:
        """The study as Optuna sees it."""
        with _readable(self.target):
            return optuna.load_study(study_name=self.name, storage=self._storage)

    def record(self) -> dict[str, Any] | None:
        """What was stored when the study was created, or ``None`` where there is no such study.

        Raises:
            StorageError: There is a study of this name that hwnas did not write.
        """
        with _readable(self.target):
            names = {s.study_name: s._study_id for s in self._storage.get_all_studies()}
            if self.name not in names:
                return None
            attributes = self._storage.get_study_user_attrs(names[self.name])
        if RECORD not in attributes:
            raise StorageError(
                f"study {self.name!r} was not written by hwnas",
                where=self.target,
                rule="a study of that name is ours or is not there",
                cure="choose another study name or another storage",
            )
        record: dict[str, Any] = json.loads(attributes[RECORD])
        return record

    def create(self, problem: Problem, record: Mapping[str, Any], note: str) -> None:
        """Creates the study.

        Args:
            problem: The problem.
            record: What must not change later, as JSON values.
            note: What the dashboard says about the study, Markdown.
        """
        directions = [
            StudyDirection.MINIMIZE if o.goal is Goal.MINIMIZE else StudyDirection.MAXIMIZE
            for o in problem.objectives
        ]
        with _readable(self.target), _quiet(), self._batch():
            study_id = self._storage.create_new_study(directions, self.name)
            names = [objective.name for objective in problem.objectives]
            self._storage.set_study_system_attr(study_id, _NAMES, names)
            self._storage.set_study_system_attr(study_id, _NOTE, note)
            self._describe(study_id, record)

    def update(self, record: Mapping[str, Any]) -> None:
        """Stores the record anew."""
        with _readable(self.target), self._batch():
            self._describe(self._storage.get_study_id_from_name(self.name), record)

    def _describe(self, study_id: int, record: Mapping[str, Any]) -> None:
        self._storage.set_study_user_attr(study_id, RECORD, json.dumps(record))
        for key in ("seed", "searcher", "size", "evaluators", "objectives", "constraints"):
            if key in record:
                value = record[key]
                shown = value if isinstance(value, int | float | str) else json.dumps(value)
                self._storage.set_study_user_attr(study_id, key, shown)

    def append(self, problem: Problem, block: Block) -> None:
        """Writes rows; when this returns they are on the disk."""
        trials = _trials(problem, block)
        with _readable(self.target), self._batch():
            study_id = self._storage.get_study_id_from_name(self.name)
            for trial in trials:
                self._storage.create_new_trial(study_id, template_trial=trial)

    def certify(self, bounds: Sequence[Bound]) -> None:
        """Keeps what was certified after some steps; the dashboard shows the last."""
        with _readable(self.target), self._batch():
            study_id = self._storage.get_study_id_from_name(self.name)
            for bound in bounds:
                value = [bound.evaluations, bound.remaining, bound.confidence]
                self._storage.set_study_system_attr(study_id, f"{_BOUND}{bound.step}", value)
            for bound in bounds[-1:]:
                text = f"{bound}, after {bound.evaluations} evaluations"
                self._storage.set_study_user_attr(study_id, _REMAINING, text)

    def bounds(self) -> list[Bound]:
        """What was certified, by step."""
        found = []
        for key, value in self._attributes().items():
            if key.startswith(_BOUND):
                evaluations, remaining, confidence = value
                step = int(key.removeprefix(_BOUND))
                found.append(Bound(step, evaluations, float(remaining), float(confidence)))
        return sorted(found, key=lambda bound: bound.step)

    def note_checks(self, at: Sequence[float]) -> None:
        """Keeps after how many evaluations each a measurement was checked."""
        with _readable(self.target), self._batch():
            study_id = self._storage.get_study_id_from_name(self.name)
            self._storage.set_study_system_attr(study_id, _CHECKED, list(at))

    def checks(self) -> list[float]:
        """After how many evaluations each a measurement was checked."""
        return list(self._attributes().get(_CHECKED, ()))

    def _attributes(self) -> dict[str, Any]:
        with _readable(self.target):
            study_id = self._storage.get_study_id_from_name(self.name)
            return self._storage.get_study_system_attrs(study_id)

    def _batch(self) -> AbstractContextManager[Any]:
        return self._journal.batch() if self._journal is not None else nullcontext()

    def read(self, problem: Problem) -> Block:
        """Reads all rows, in the order in which they were finished.

        Trials that somebody else added, or that never finished, are left out.

        Raises:
            StorageError: A trial does not fit the problem.
        """
        with _readable(self.target):
            study_id = self._storage.get_study_id_from_name(self.name)
            trials = self._storage.get_all_trials(study_id, deepcopy=False)
        ours = [t for t in trials if RECORD in t.system_attrs and t.state.is_finished()]
        return _block(problem, ours, self.target)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from announcing what we do."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


class _readable(AbstractContextManager[None]):  # noqa: N801 - reads like a statement
    """Turns what storages raise into one clear message, without the password of a URL."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        if isinstance(error, StorageError) or error is None:
            return
        expected = (
            OSError, SQLAlchemyError, ImportError, json.JSONDecodeError,
            optuna.exceptions.OptunaError,
        )  # fmt: skip
        if isinstance(error, expected):
            raise StorageError(
                "the study's storage cannot be used",
                where=without_password(self.target),
                given=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                cure="check that it exists, can be written to, and is a storage of Optuna's",
            ) from error


def without_password(target: str) -> str:
    """A storage URL (or path) as it may be stored and shown."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    if "://" not in target:
        return target
    try:
        return make_url(target).render_as_string(hide_password=True)
    except ArgumentError:
        return target.partition("://")[0] + "://..."


def _trials(problem: Problem, block: Block) -> list[FrozenTrial]:
    space = problem.space
    distributions = {g.name: CategoricalDistribution(g.choices) for g in space.genes}
    active: Bools = space.active(block.genomes)
    canonical = space.canonical(block.genomes)
    values = problem.values(block.measurements)
    complete = np.atleast_1d(np.isfinite(problem.losses(block.measurements)).all(axis=1))
    excesses = problem.excesses(block.measurements)
    now = datetime.datetime.now()
    trials = []
    for i in range(len(block)):
        on = np.flatnonzero(active[i])
        names = [space.names[j] for j in on]
        trial = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=_state(complete[i], block.measurements.partial[i]),
            value=None,
            values=[float(v) for v in values[i]] if complete[i] else None,
            datetime_start=now,
            datetime_complete=now,
            params={space.names[j]: space.genes[j].choices[block.genomes[i, j]] for j in on},
            distributions={name: distributions[name] for name in names},
            user_attrs=_user_attributes(block.measurements, i),
            system_attrs=_system_attributes(problem, block, i, excesses[i], canonical[i]),
            intermediate_values={},
        )
        trials.append(trial)
    return trials


def _state(complete: bool, partial: bool) -> TrialState:
    """Optuna's word for a trial that was not measured to the end is pruned."""
    if complete:
        return TrialState.COMPLETE
    return TrialState.PRUNED if partial else TrialState.FAIL


def _user_attributes(measurements: Measurements, i: int) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        name: float(column[i])
        for name, column in measurements.columns.items()
        if math.isfinite(column[i])
    }
    if measurements.fidelity[i] < 1:
        attributes["fidelity"] = float(measurements.fidelity[i])
    if measurements.reason[i]:
        attributes["reason"] = Reason(int(measurements.reason[i])).name.lower()
    if measurements.notes[i]:
        attributes["note"] = measurements.notes[i]
    return attributes


def _system_attributes(
    problem: Problem, block: Block, i: int, excesses: Any, canonical: Any
) -> dict[str, Any]:
    own: dict[str, Any] = {
        "step": int(block.step[i]),
        "position": int(block.position[i]),
        "asked": int(block.asked[i]),
        "size": int(block.size[i]),
        "at": float(block.at[i]),
        "reason": int(block.measurements.reason[i]),
    }
    if block.measurements.fidelity[i] < 1:
        own["fidelity"] = float(block.measurements.fidelity[i])
    if not np.array_equal(block.genomes[i], canonical):
        own["genome"] = [int(index) for index in block.genomes[i]]
    attributes: dict[str, Any] = {RECORD: own}
    known = {
        c.text: float(e)
        for c, e in zip(problem.constraints, excesses, strict=True)
        if math.isfinite(e)
    }
    if _named_constraints():
        attributes.update({_CONSTRAINT + text: excess for text, excess in known.items()})
    elif known:
        attributes[_OLD_CONSTRAINTS] = list(known.values())
    return attributes


def _named_constraints() -> bool:
    """Whether this Optuna stores constraints by name (from 5.0 on) or as a list."""
    return int(optuna.__version__.partition(".")[0]) >= 5


def _block(problem: Problem, trials: Sequence[FrozenTrial], where: str) -> Block:
    if not trials:
        return Block.empty(problem)
    space = problem.space
    index = {g.name: {choice: i for i, choice in enumerate(g.choices)} for g in space.genes}
    column = {name: j for j, name in enumerate(space.names)}
    genomes = np.zeros((len(trials), len(space)), dtype=np.int64)
    own = [trial.system_attrs[RECORD] for trial in trials]
    try:
        for i, trial in enumerate(trials):
            if "genome" in own[i]:
                genomes[i] = own[i]["genome"]
            else:
                for name, value in trial.params.items():
                    genomes[i, column[name]] = index[name][value]
    except (KeyError, ValueError) as error:
        raise StorageError(
            "a stored trial does not fit the space", where=where, given=str(error)
        ) from error
    reason = np.array([entry["reason"] for entry in own], dtype=np.int64)
    columns = {
        name: np.array([trial.user_attrs.get(name, math.nan) for trial in trials])
        for name in problem.metrics
    }
    measurements = Measurements.of(
        tuple(problem.metrics.values()),
        columns,
        reason=reason,
        notes=[str(trial.user_attrs.get("note", "")) for trial in trials],
    )
    measurements = replace(
        measurements, fidelity=np.array([e.get("fidelity", 1.0) for e in own], dtype=np.float64)
    )
    step, position, asked, size = np.array([[e[key] for key in _PLACE] for e in own]).T
    at = np.array([e["at"] for e in own], dtype=np.float64)
    return Block(genomes, measurements, step, position, asked, size, at)
