"""Studies to show, and a browser that asks for them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hwnas.storage.journal import DurableJournal

MIN, MAX = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
WIDTH = optuna.distributions.IntDistribution(1, 64)


def finished(
    values: Sequence[float] | None, constraints: dict[str, float] | None = None, **options: Any
) -> FrozenTrial:
    """A complete trial, or a failed one where there are no values."""
    return create_trial(
        values=values,
        state=TrialState.COMPLETE if values is not None else TrialState.FAIL,
        params={"width": 8},
        distributions={"width": WIDTH},
        system_attrs={f"constraints:{k}": c for k, c in (constraints or {}).items()},
        **options,
    )


def journal_with(
    path: Path, directions: list[StudyDirection], trials: Sequence[FrozenTrial]
) -> Path:
    backend = DurableJournal(path)
    storage = JournalStorage(backend)
    with backend.batch():
        study = storage.create_new_study(directions, "s")
        for trial in trials:
            storage.create_new_trial(study, trial)
    return path


def ask(
    app: Any, path: str, query: str = "", method: str = "GET", **headers: str
) -> tuple[int, Any]:
    """Calls a WSGI application as a browser on this machine would."""
    environ: dict[str, Any] = {
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "HTTP_HOST": "localhost:8080",
        "wsgi.input": io.BytesIO(),
    }
    environ.update({f"HTTP_{name}": value for name, value in headers.items() if value is not None})
    setup_testing_defaults(environ)
    status: list[str] = []
    body = b"".join(app(environ, lambda line, headers, error=None: status.append(line)))
    code = int(status[0].split()[0])
    return code, json.loads(body, parse_constant=pytest.fail) if body[:1] in (b"{", b"[") else body


def best(answer: dict[str, Any]) -> list[int]:
    """The numbers of the trials that an answer calls best."""
    return [trial["number"] for trial in answer["best_trials"]]
