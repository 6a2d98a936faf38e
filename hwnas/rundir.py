"""A run directory: one study, its history, and what it answered.

run.json      what this directory is
study.yaml    the study with every default filled in
study.journal the history, an Optuna storage (unless the study names another one)
front.csv, front.json, report.html
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from hwnas.differences import difference_of_lines
from hwnas.errors import RunDirectoryError
from hwnas.marked_directory import MarkedDirectory, replace_text
from hwnas.studyfile.document import write

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
class RunDirectory(MarkedDirectory):
    """A directory that holds one run.

    Attributes:
        path: The directory.
    """

    holds: ClassVar[str] = "run"
    mark_name: ClassVar[str] = "run.json"

    @property
    def study_file(self) -> Path:
        """The study with every default filled in."""
        return self.path / _STUDY

    def mark(self) -> Mark:
        """What ``run.json`` says.

        Raises:
            RunDirectoryError: There is no run, or its mark is damaged.
        """
        if not self.exists:
            raise RunDirectoryError(
                f"{self.path} holds no run",
                rule=f"a run directory has a {self.mark_name}",
                given=self.listing(),
                cure="hwnas run FILE starts one",
            )
        return self.read_mark(Mark)

    def begin(self, mark: Mark, resolved: dict[str, Any] | None) -> None:
        """Lays the directory out for a new run.

        Args:
            mark: What it is.
            resolved: The study with every default filled in; ``None`` for a Python study.

        Raises:
            RunDirectoryError: The directory holds something else, or cannot be written.
        """
        self.lay_out()
        if resolved is not None:
            with self.writing():
                replace_text(self.study_file, write(resolved))
        self.write_mark(asdict(mark))

    def check_same(self, file: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Refuses a study file that is not the one of this run.

        Raises:
            RunDirectoryError: With the lines that differ.
        """
        self.refuse_if(
            difference_of_lines(write(before).splitlines(), write(now).splitlines()),
            f"{file} is not the study that {self.path} holds",
            rule="a run goes on as it began; only budget, workers and timeout may change",
            now="the file",
        )

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
