"""Answers of tools, kept: one JSON file per different question."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from hwnas.errors import StorageError
from hwnas.marked_directory import replace_text

_FORMAT: Final = 1


@dataclass(frozen=True)
class Answers:
    """A folder of answers, named by a digest of all that they depend on.

    A file is written as a whole when its answer is there, so what is killed loses only the
    question in work; one that cannot be read counts as not there.

    Attributes:
        folder: Where they are; made when the first is kept.
        tool: The tool's name, e.g. ``zigzag``.
        version: Its version.
    """

    folder: Path
    tool: str
    version: str

    def file_of(self, request: Mapping[str, Any]) -> Path:
        """Where the answer to a question is, or would be."""
        asked = [_FORMAT, self.tool, self.version, request]
        text = json.dumps(asked, separators=(",", ":"), allow_nan=False)
        return (
            self.folder / f"{self.tool}-{blake2b(text.encode(), digest_size=16).hexdigest()}.json"
        )

    def known(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a question that was asked before, else ``None``."""
        try:
            kept = json.loads(self.file_of(request).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        answer = kept.get("answer") if isinstance(kept, dict) else None
        return answer if isinstance(answer, dict) else None

    def keep(self, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Keeps an answer.

        Raises:
            StorageError: It cannot be written.
        """
        file = self.file_of(request)
        contents = {
            "format": _FORMAT,
            "tool": self.tool,
            "version": self.version,
            "request": request,
            "answer": answer,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_text(file, json.dumps(contents, indent=1) + "\n")
        except OSError as error:
            raise StorageError(
                f"an answer of {self.tool} cannot be kept",
                where=str(file),
                given=str(error),
                cure="check that the folder can be written to",
            ) from error
