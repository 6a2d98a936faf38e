"""Runs in directories: starting one from a study file, and opening one again."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hwnas import studyfile, warm_start
from hwnas.errors import RunDirectoryError, StudyFileError
from hwnas.marked_directory import replace_text
from hwnas.rundir import Mark, RunDirectory
from hwnas.study import Study
from hwnas.studyfile import GAIN, GROWABLE, Plan
from hwnas.studyfile.document import read, write
from hwnas.surrogate import SurrogateSearch
from hwnas.warm_start import WarmStart

_ROOT: Final = Path("runs")


@dataclass(frozen=True)
class Phase:
    """One study of a session.

    Attributes:
        title: What it does, for the person who watches.
        study: The study.
        known: What it begins with, if it learnt that just now.
    """

    title: str
    study: Study
    known: WarmStart | None = None


@dataclass(frozen=True)
class Session:
    """A run that was started or opened.

    Attributes:
        directory: Where it lives.
        plain: The study, if it is the only one.
        surrogate: The search with a predictor, if it is one.
        warm_start: Where the rows are that the study begins with.
    """

    directory: RunDirectory
    plain: Study | None = None
    surrogate: SurrogateSearch | None = None
    warm_start: tuple[Path, ...] = ()

    @property
    def study(self) -> Study:
        """The study whose front is the answer.

        Raises:
            NothingFeasibleError: It cannot be built yet: the predictor has no samples.
        """
        if self.surrogate is not None:
            return self.surrogate.study
        assert self.plain is not None
        return self.plain

    def phases(self) -> Iterator[Phase]:
        """The studies in the order in which they are run; run each before asking for the next.

        Raises:
            HwnasError: What the study begins with cannot be read (any more).
        """
        if self.surrogate is None:
            yield Phase(self.study.name, self.study, self._learn())
            return
        for title, study in self.surrogate.phases():
            yield Phase(title, study)

    def _learn(self) -> WarmStart | None:
        """Learns what the study begins with, once: it goes on without the files."""
        study = self.study
        if not self.warm_start or study.has_learnt:
            return None
        known = warm_start.read(self.warm_start, study.problem)
        study.learn(known.genomes, known.measurements)
        return known


def start(
    file: Path,
    *,
    directory: Path | None = None,
    changes: dict[str, Any] | None = None,
    storage: str | None = None,
    fresh: bool = False,
) -> Session:
    """Starts the run of a study file, or goes on with it where it was started before.

    Args:
        file: A YAML study, or a Python file with ``def study() -> Study``.
        directory: The run directory; ``runs/NAME`` if left out.
        changes: Top-level values that replace the file's.
        storage: An Optuna storage URL in place of the journal in the directory.
        fresh: Removes what an earlier run left there.

    Raises:
        StudyFileError: The file is not in order.
        RunDirectoryError: The directory holds something else or another study.
        StorageError: The storage cannot be used.
        ProblemError: What a new study begins with cannot be read.
    """
    changes = changes or {}
    if file.suffix == ".py":
        return _start_python(file, directory, changes, storage, fresh)
    plan = studyfile.load(file, changes)
    run = RunDirectory(directory or _ROOT / plan.model.name)
    if fresh:
        run.remove()
    if run.exists:
        before = read(run.study_file).values
        kept = {key: value for key, value in before.items() if key not in GROWABLE}
        run.check_same(file, kept, plan.fixed)
        replace_text(run.study_file, write(plan.resolved))
    else:
        # Before anything is written: a run that began cannot begin with something else.
        warm_start.read(plan.model.warm_start, plan.problem)
        run.begin(Mark(plan.model.name, _shown(storage)), plan.resolved)
    return _session(run, plan, run.storage(storage))


def reopen(
    directory: Path, *, changes: dict[str, Any] | None = None, storage: str | None = None
) -> Session:
    """Opens a run again.

    Args:
        directory: The run directory.
        changes: Values of `GROWABLE` keys that replace the run's.
        storage: The storage's URL, where it needs a password.

    Raises:
        RunDirectoryError: There is no run, or it was made by a Python file.
        StudyFileError: Its study.yaml is damaged.
        StorageError: Its history cannot be read.
    """
    run = RunDirectory(directory)
    mark = run.mark()
    if mark.python:
        raise RunDirectoryError(
            f"{directory} was made by {mark.python}",
            rule="code is never run from a run directory",
            cure=f"hwnas run {mark.python} --dir {directory}",
        )
    plan = studyfile.load(run.study_file, changes)
    if changes:
        replace_text(run.study_file, write(plan.resolved))
    return _session(run, plan, run.storage(storage))


def _shown(storage: str | None) -> str:
    if not storage:
        return ""
    from hwnas.storage import without_password

    return without_password(storage)


def _session(run: RunDirectory, plan: Plan, storage: str) -> Session:
    model = plan.model
    if model.surrogate is not None:
        return Session(run, surrogate=SurrogateSearch(plan, storage))
    study = Study(
        plan.problem,
        plan.searcher,
        budget=plan.budget,
        seed=model.seed,
        options=plan.searcher_options,
        name=model.name,
        storage=storage,
        reference=plan.reference,
        batch=model.batch,
        workers=model.workers,
        timeout=model.timeout,
        note=f"{model.description}\n\n" if model.description else "",
    )
    return Session(run, study, warm_start=tuple(model.warm_start))


def _start_python(
    file: Path,
    directory: Path | None,
    changes: dict[str, Any],
    storage: str | None,
    fresh: bool,
) -> Session:
    study = python_study(file)
    refused = sorted(set(changes) - {"budget"})
    if refused:
        raise StudyFileError(
            f"--{refused[0]} cannot change a Python study",
            [f"{file}: set it where the study is made"],
            where=str(file),
        )
    run = RunDirectory(directory or _ROOT / study.name)
    if fresh:
        run.remove()
    if not run.exists:
        run.begin(Mark(study.name, _shown(storage), python=str(file)), None)
    if "budget" in changes:
        wanted = changes["budget"]
        study.extend(wanted.get("evaluations"), gain=wanted.get(GAIN))
    study.attach(run.storage(storage))
    return Session(run, study)


def python_study(file: Path) -> Study:
    """The study that a Python file makes; the file's code is run.

    Raises:
        StudyFileError: It cannot be read, or makes no study.
    """
    if not file.is_file():
        raise StudyFileError(f"cannot read {file}", [f"{file}: no such file"], where=str(file))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make = getattr(module, "study", None)
    study = make() if callable(make) else None
    if not isinstance(study, Study):
        raise StudyFileError(
            f"{file.name} makes no study",
            [f"{file}: define `def study() -> hwnas.Study`, without a storage"],
            where=str(file),
        )
    return study
