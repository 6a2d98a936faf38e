"""One run of a comparison: an ordinary study in an ordinary run directory, and what came of it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from hwnas.comparison.curves import Trajectory, evaluations_by_row
from hwnas.comparison.directory import held
from hwnas.comparison.timing import Timed
from hwnas.errors import HwnasError, RunDirectoryError, StorageError
from hwnas.evaluation.interface import describe
from hwnas.evaluation.processes import one_thread
from hwnas.marked_directory import replace_text
from hwnas.problem import Problem
from hwnas.progress import Status
from hwnas.rundir import Mark, RunDirectory
from hwnas.searchers.interface import Searcher
from hwnas.study import Study
from hwnas.studyfile.document import write

_STANDING: Final = "standing.json"
_SECONDS_BETWEEN_NOTES: Final = 0.25
_PATIENCE: Final = 60.0

READY: Final = Status.READY.value
FAILED: Final = "failed"
REFUSED: Final = "refused"
_ENDED: Final = (Status.EXHAUSTED.value, Status.IDLE.value)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Standing:
    """Where a run stands, stored beside its journal.

    Attributes:
        begun_with: The budget that it began with: what searchers scale themselves by.
        status: A `Status`, ``failed`` or ``refused``.
        error: Why it failed or was refused.
        evaluations: What the budget counts so far.
        cpu_seconds: CPU seconds of the searcher in ask and tell, as far as they were taken down.
        timed: For how many evaluations they were.
    """

    begun_with: int
    status: str = READY
    error: str = ""
    evaluations: float = 0
    cpu_seconds: float = 0.0
    timed: float = 0

    def is_over(self, budget: int) -> bool:
        """Whether a budget leaves nothing to do. What failed is tried again."""
        complete = self.status == Status.COMPLETE.value and self.evaluations > budget - 1
        return complete or self.status in _ENDED

    @property
    def overhead(self) -> float | None:
        """CPU seconds of the searcher per evaluation; ``None`` where none was timed."""
        return self.cpu_seconds / self.timed if self.timed else None


@dataclass(frozen=True)
class Task:
    """One run that is to be done.

    Attributes:
        label: The entrant's label.
        seed: The seed.
        searcher: A searcher's name or class.
        options: Its options.
        budget: Evaluations.
        name: The name of the study.
        folder: The run directory.
        problem: The problem.
        resolved: The study file of this run with every default; ``None`` without a file.
        source: Where the study is from, without a file.
        reference: Objective to a reference value, at rest.
        batch: How many designs are asked for at once.
        timeout: How long one costly evaluation may take, s.
        parent: The process that waits for it.
    """

    label: str
    seed: int
    searcher: str | type[Searcher]
    options: Mapping[str, Any]
    budget: int
    name: str
    folder: Path
    problem: Problem
    resolved: dict[str, Any] | None
    source: str
    reference: Mapping[str, float]
    batch: int | None
    timeout: float | None
    parent: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a run.

    Attributes:
        label: The entrant's label.
        seed: The seed.
        standing: Where it stands.
        trajectory: What it measured, within the budget; ``None`` if the searcher refused.
    """

    label: str
    seed: int
    standing: Standing
    trajectory: Trajectory | None


def read_standing(folder: Path) -> Standing | None:
    """Where the run in a folder stands; ``None`` where there is none yet or it is damaged."""
    try:
        return Standing(**json.loads((folder / _STANDING).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def execute(task: Task) -> Outcome:
    """Does what is left of a run, and answers with all of it.

    A run that is over is only read. What a searcher or an evaluator raises becomes the run's
    outcome; the other runs go on.

    Raises:
        RunDirectoryError: The directory holds another study, or is at work.
        StorageError: The journal cannot be read or written.
    """
    if os.getpid() == task.parent:
        return _execute(task)
    one_thread()
    # Evaluations with a timeout start processes of their own, which know nothing of loky.
    multiprocessing.set_start_method("spawn", force=True)
    try:
        with _deaf_to_interrupts():
            return _execute(task)
    except _LeftAlone:
        # An exception would only reach the pool, which would wait for tasks some minutes more.
        os._exit(1)


def _execute(task: Task) -> Outcome:
    from threadpoolctl import threadpool_limits

    _check_parent(task)
    with threadpool_limits(1), _alone(task.folder):
        run = RunDirectory(task.folder)
        before = read_standing(task.folder) if run.exists else None
        if before is not None and before.is_over(task.budget):
            return _answer(task, before, _stored(task, run))
        return _go_on(task, run, before or Standing(task.budget))


def _go_on(task: Task, run: RunDirectory, before: Standing) -> Outcome:
    refusal, study = _attempt(lambda: _study(task, before.begun_with))
    if study is None:
        # Nothing is left behind of a searcher that refuses the problem.
        return Outcome(task.label, task.seed, replace(before, status=REFUSED, error=refusal), None)
    _lay_out(task, run, before)
    failure, _ = _attempt(lambda: study.attach(run.storage(None)))
    study.extend(task.budget)
    clock = _Clock(task, study, before)
    standing = clock.ended(FAILED, failure) if failure else clock.run()
    return _answer(task, standing, Trajectory.of(task.problem, study.history.rows))


def _answer(task: Task, standing: Standing, trajectory: Trajectory) -> Outcome:
    return Outcome(task.label, task.seed, standing, trajectory.within(task.budget))


def _attempt(action: Callable[[], Result]) -> tuple[str, Result | None]:
    """What an action gives, or what it raised as text: one searcher must not end the others' runs.

    Raises:
        RunDirectoryError: The directory holds another study.
        StorageError: The journal cannot be read or written.
    """
    try:
        return "", action()
    except (RunDirectoryError, StorageError):
        raise
    except HwnasError as error:
        return str(error), None
    except Exception as error:  # whatever a plug-in raises
        return describe(error), None


def _lay_out(task: Task, run: RunDirectory, before: Standing) -> None:
    if not run.exists:
        # A kill while a run was laid out leaves a folder without a mark and without a history.
        if not run.path.joinpath("study.journal").exists():
            shutil.rmtree(run.path, ignore_errors=True)
        python = "" if task.resolved is not None else task.source
        run.begin(Mark(task.name, python=python), task.resolved)
        _write(run.path, before)
    elif task.resolved is not None:
        replace_text(run.study_file, write(task.resolved))


def _write(folder: Path, standing: Standing) -> None:
    replace_text(folder / _STANDING, json.dumps(asdict(standing), indent=1) + "\n")


def _alone(folder: Path) -> AbstractContextManager[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Of a comparison that was killed, a process may be at its last measurement still.
    lock = folder.with_name(f".{folder.name}.lock")
    return held(lock, f"another process runs {folder}", _PATIENCE)


def _study(task: Task, begun_with: int) -> Study:
    # Begun with its first budget, so that whatever a searcher scales by it stays.
    return Study(
        task.problem,
        task.searcher,
        budget=begun_with,
        seed=task.seed,
        options=task.options,
        name=task.name,
        reference=task.reference,
        batch=task.batch,
        timeout=task.timeout,
    )


def _stored(task: Task, run: RunDirectory) -> Trajectory:
    from hwnas.storage import StudyStore

    store = StudyStore(run.storage(None), task.name)
    return Trajectory.of(task.problem, store.read(task.problem))


class _Clock:
    """Runs a study, and takes down where it stands and what its searcher costs."""

    def __init__(self, task: Task, study: Study, before: Standing) -> None:
        self.task = task
        self.study = study
        self.timed = Timed(study.searcher)
        study.searcher = self.timed
        self.standing = replace(before, status=READY, error="")
        self._before = before
        # Of a step that was cut off, the asking is timed now: all its evaluations count as new.
        self._from = self._evaluations_of_whole_steps()
        self._written = -float("inf")

    def _evaluations_of_whole_steps(self) -> float:
        rows = self.study.history.rows
        if not self.study.progress.step_complete:
            rows = rows.take(np.flatnonzero(rows.step < rows.step.max()))
        return float(evaluations_by_row(self.study.problem, rows)[-1]) if len(rows) else 0

    def run(self) -> Standing:
        failure, _ = _attempt(self._run)
        return self.ended(FAILED if failure else self.study.status.value, failure)

    def _run(self) -> None:
        steps = self.study.run()
        try:
            for progress in steps:
                if progress.step_complete:
                    self._take_down(progress.evaluations)
                self._note(progress.evaluations, at_once=progress.step_complete)
                _check_parent(self.task)
        finally:
            # Now, not when somebody collects it: it ends the processes of evaluations.
            close = getattr(steps, "close", None)
            if close is not None:
                close()

    def ended(self, status: str, error: str) -> Standing:
        self.standing = replace(self.standing, status=status, error=error)
        self._note(self.study.history.evaluations, at_once=True)
        return self.standing

    def _take_down(self, evaluations: float) -> None:
        self.standing = replace(
            self.standing,
            cpu_seconds=self._before.cpu_seconds + self.timed.seconds,
            timed=self._before.timed + evaluations - self._from,
        )

    def _note(self, evaluations: float, *, at_once: bool = False) -> None:
        self.standing = replace(self.standing, evaluations=evaluations)
        now = time.monotonic()
        if at_once or now - self._written >= _SECONDS_BETWEEN_NOTES:
            self._written = now
            _write(self.task.folder, self.standing)


class _LeftAlone(BaseException):
    """The process that waits for this one was killed: another may go on with its runs."""


def _check_parent(task: Task) -> None:
    try:
        os.kill(task.parent, 0)
    except ProcessLookupError:
        raise _LeftAlone from None


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Leaves Ctrl-C, which a terminal sends to all processes, to the one that waits for us."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
