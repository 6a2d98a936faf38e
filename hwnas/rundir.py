"""A run directory: one study, its history, and what it answered.

run.json      what this directory is
study.yaml    the study with every default filled in
study.journal the history, an Optuna storage (unless the study names another one)
front.csv, front.json, report.html
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hwnas.differences import difference_of_lines
from hwnas.errors import RunDirectoryError
from hwnas.studyfile.document import write

_MARK: Final = "run.json"
_STUDY: Final = "study.yaml"
_JOURNAL: Final = "study.journal"
_FORMAT: Final = 1
STORAGE_VARIABLE: Final = "HWNAS_STORAGE"
"""The environment variable that names a storage, e.g. one with a password."""


@dataclass(frozen=True)
class Mark:
    """What ``run.json`` says.

    Attributes:
        name: The study's name.
        storage: The storage's URL, empty for the journal beside it; never with a password.
        python: The Python file that makes the study, or empty where study.yaml does.
        format: The version of this layout.
    """

    name: str
    storage: str = ""
    python: str = ""
    format: int = _FORMAT


@dataclass(frozen=True)
class RunDirectory:
    """A directory that holds one run.

    Attributes:
        path: The directory.
    """

    path: Path

    @property
    def study_file(self) -> Path:
        """The study with every default filled in."""
        return self.path / _STUDY

    @property
    def exists(self) -> bool:
        """Whether a run is there."""
        return (self.path / _MARK).is_file()

    def mark(self) -> Mark:
        """What ``run.json`` says.

        Raises:
            RunDirectoryError: There is no run, or its mark is damaged.
        """
        file = self.path / _MARK
        if not self.exists:
            raise RunDirectoryError(
                f"{self.path} holds no run",
                rule=f"a run directory has a {_MARK}",
                given=_listing(self.path),
                cure="hwnas run FILE starts one",
            )
        try:
            return Mark(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunDirectoryError(
                f"{file} is damaged", given=str(error), cure="start anew with --fresh"
            ) from error

    def begin(self, mark: Mark, resolved: dict[str, Any] | None) -> None:
        """Lays the directory out for a new run.

        Args:
            mark: What it is.
            resolved: The study with every default filled in; ``None`` for a Python study.

        Raises:
            RunDirectoryError: The directory holds something else, or cannot be written.
        """
        try:
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise RunDirectoryError(
                    f"{self.path} holds something else",
                    rule="a run needs a new, empty, or its own directory",
                    given=_listing(self.path),
                    cure="choose another one with --dir",
                )
            self.path.mkdir(parents=True, exist_ok=True)
            if resolved is not None:
                replace_text(self.study_file, write(resolved))
            replace_text(self.path / _MARK, json.dumps(asdict(mark), indent=1) + "\n")
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be written", given=str(error), cure="choose another --dir"
            ) from error

    def check_same(self, file: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Refuses a study file that is not the one of this run.

        Raises:
            RunDirectoryError: With the lines that differ.
        """
        changed = difference_of_lines(write(before).splitlines(), write(now).splitlines())
        if changed:
            raise RunDirectoryError(
                f"{file} is not the study that {self.path} holds",
                rule="a run goes on as it began; only budget, workers and timeout may change",
                given="(- this run, + the file)\n" + changed,
                cure="undo the change, use another --dir, or start anew with --fresh",
            )

    def remove(self) -> None:
        """Removes the run: only directories that hold one.

        Raises:
            RunDirectoryError: The directory holds something else.
        """
        if not self.path.exists():
            return
        if not self.exists and any(self.path.iterdir()):
            raise RunDirectoryError(
                f"{self.path} holds something else, so --fresh leaves it alone",
                given=_listing(self.path),
                cure="choose another one with --dir",
            )
        shutil.rmtree(self.path)

    def storage(self, given: str | None) -> str:
        """Where the history is.

        Args:
            given: What the command line says; else the environment, else the run decides.

        Raises:
            RunDirectoryError: The run keeps its history elsewhere, in a place that needs a
                password, and nobody says where.
        """
        kept = self.mark().storage
        chosen = given or (os.environ.get(STORAGE_VARIABLE) if kept else None) or kept
        if "***" in chosen:
            raise RunDirectoryError(
                "the storage of this run needs its password again",
                where=str(self.path),
                given=chosen,
                cure=f"set {STORAGE_VARIABLE} or give --storage",
            )
        return chosen or str(self.path / _JOURNAL)


def replace_text(file: Path, text: str) -> None:
    """Writes a file as a whole: a reader sees the old text or the new one, never half of it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def _listing(path: Path) -> str:
    if not path.exists():
        return "no such directory"
    if not path.is_dir():
        return "a file"
    names = sorted(entry.name for entry in path.iterdir())
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") or "an empty directory"
