"""Directories that hold one thing of ours, e.g. a run or a comparison, told by a mark in them.

What has no mark is somebody else's: it is neither written into nor removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from hwnas.errors import RunDirectoryError

_SHOWN: Final = 6

Record = TypeVar("Record")


@dataclass(frozen=True)
class MarkedDirectory:
    """A directory that holds one thing; subclasses say what, and what its mark looks like.

    Attributes:
        path: The directory.
    """

    path: Path

    holds: ClassVar[str]
    """What it holds, e.g. ``run``."""
    mark_name: ClassVar[str]
    """The file that says so."""
    renewed_by: ClassVar[str] = "start anew with --fresh"
    """What replaces a damaged one, for messages."""

    @property
    def mark_file(self) -> Path:
        """Where the mark is."""
        return self.path / self.mark_name

    @property
    def exists(self) -> bool:
        """Whether such a thing is there."""
        return self.mark_file.is_file()

    def read_mark(self, record: Callable[..., Record]) -> Record:
        """What the mark says.

        Args:
            record: Is called with the mark's fields.

        Raises:
            RunDirectoryError: The mark is damaged.
        """
        try:
            return record(**json.loads(self.mark_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunDirectoryError(
                f"{self.mark_file} is damaged", given=str(error), cure=self.renewed_by
            ) from error

    def write_mark(self, fields: Mapping[str, Any]) -> None:
        """Writes the mark in place of the one before.

        Raises:
            RunDirectoryError: The directory cannot be written.
        """
        with self.writing():
            replace_text(self.mark_file, json.dumps(fields, indent=1) + "\n")

    def lay_out(self) -> None:
        """Makes the directory, still without a mark.

        Raises:
            RunDirectoryError: It holds something else, or cannot be written.
        """
        with self.writing():
            if self._strange():
                raise RunDirectoryError(
                    f"{self.path} holds something else",
                    rule=f"a {self.holds} needs a new or empty directory, or its own, which has a "
                    f"{self.mark_name}",
                    given=self.listing(),
                    cure="choose another one with --dir",
                )
            self.path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Says which directory it is that cannot be written.

        Raises:
            RunDirectoryError: What is done meets an `OSError`.
        """
        try:
            yield
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be written", given=str(error), cure="choose another --dir"
            ) from error

    def refuse_if(self, changed: str, what: str, *, where: str = "", rule: str, now: str) -> None:
        """Refuses to go on with what is not the same any more.

        Args:
            changed: The lines that differ, ``-`` there and ``+`` now; empty where none does.
            what: What went wrong.
            where: What differs.
            rule: What may change.
            now: What the lines with ``+`` are from.

        Raises:
            RunDirectoryError: Something differs.
        """
        if changed:
            raise RunDirectoryError(
                what,
                where=where,
                rule=rule,
                given=f"(- {self.path}, + {now})\n{changed}",
                cure="undo the change, use another --dir, or start anew with --fresh",
            )

    def remove(self) -> None:
        """Removes the directory with all that is in it: only one that bears the mark, or is empty.

        Raises:
            RunDirectoryError: It holds something else, or cannot be removed.
        """
        if not self.path.exists():
            return
        with self.writing():
            if not self.exists and self._strange():
                raise RunDirectoryError(
                    f"{self.path} holds something else, so --fresh leaves it alone",
                    rule=f"a {self.holds} has a {self.mark_name}",
                    given=self.listing(),
                    cure="choose another one with --dir",
                )
            shutil.rmtree(self.path)

    def _strange(self) -> bool:
        """Whether there is anything, be it a file of that name."""
        return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))

    def listing(self) -> str:
        """What is there, for an error."""
        if not self.path.exists():
            return "no such directory"
        if not self.path.is_dir():
            return "a file"
        names = sorted(entry.name for entry in self.path.iterdir())
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        return shown or "an empty directory"


def replace_text(file: Path, text: str) -> None:
    """Writes a file as a whole: a reader sees the old text or the new one, never half of it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
