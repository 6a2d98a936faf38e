"""Journals to try things on, and what Optuna's own backend finds in them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial

from hwnas.storage import journal
from hwnas.storage.journal import DurableJournal

FLOAT = optuna.distributions.FloatDistribution(0.0, 1.0)
CHOICE = optuna.distributions.CategoricalDistribution(["a", "b", 3])


@contextmanager
def without_sync() -> Iterator[None]:
    """For tests of many small writes that are not about power loss: a loaded disk is slow."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal.os, "fsync", lambda file: None)
        yield


def template(mark: str | int = 0) -> FrozenTrial:
    return create_trial(
        values=[0.25, float("inf")],
        params={"x": 0.5, "c": 3},
        distributions={"x": FLOAT, "c": CHOICE},
        user_attrs={"mark": mark, "nested": {"list": [1, None, "é\n"]}},
        intermediate_values={3: float("nan")},
        system_attrs={"constraints:area": -1.0},
    )


def opened(path: Path, **options: float) -> tuple[DurableJournal, JournalStorage]:
    backend = DurableJournal(path, **options)
    return backend, JournalStorage(backend)


def new_study(path: Path, marks: int = 0) -> int:
    _, storage = opened(path)
    study = storage.create_new_study([StudyDirection.MINIMIZE] * 2, "s")
    add_all(storage, range(marks))
    return study


def add_all(storage: BaseStorage, new: Iterable[str | int]) -> None:
    for mark in new:
        storage.create_new_trial(0, template(mark))


def by_stock(path: Path) -> list[FrozenTrial]:
    """What Optuna's own backend finds in the file."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return storage.get_all_trials(storage.get_study_id_from_name("s"))


def marks(trials: list[FrozenTrial]) -> list[Any]:
    assert [t.number for t in trials] == list(range(len(trials)))
    return [t.user_attrs["mark"] for t in trials]


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments), str(Path(__file__).parents[2])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
