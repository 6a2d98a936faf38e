"""The directory of a comparison, and what must not change in it.

setting.json         what is compared on, who takes part, the box, the exact front
SEARCHER/seed-N/     one ordinary run directory per searcher and seed, with standing.json
comparison.json, comparison.csv, comparison.html
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from hwnas.differences import difference
from hwnas.errors import RunDirectoryError
from hwnas.marked_directory import MarkedDirectory

_LOCK: Final = ".lock"
_PAUSE: Final = 0.05
_FORMAT: Final = 1


@dataclass(frozen=True)
class Setting:
    """What is stored with a comparison, so that going on does not move it.

    Attributes:
        study: What is compared on.
        entrants: Label to searcher and options.
        box: The yardstick, once it is fixed.
        box_from: Where the box is from.
        exact: The exact front: its ``losses`` and ``how`` it was found, or why it was ``refused``.
        format: The version of this layout.
    """

    study: Mapping[str, Any]
    entrants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    box: Mapping[str, Any] | None = None
    box_from: str = ""
    exact: Mapping[str, Any] | None = None
    format: int = _FORMAT


@dataclass(frozen=True)
class ComparisonDirectory(MarkedDirectory):
    """A directory that holds one comparison.

    Attributes:
        path: The directory.
    """

    holds: ClassVar[str] = "comparison"
    mark_name: ClassVar[str] = "setting.json"

    def run(self, folder: str, seed: int) -> Path:
        """The run directory of a searcher and a seed."""
        return self.path / folder / f"seed-{seed}"

    def read(self) -> Setting:
        """What is stored.

        Raises:
            RunDirectoryError: It is damaged.
        """
        return self.read_mark(Setting)

    def write(self, setting: Setting) -> None:
        """Stores a setting in place of the one before."""
        self.write_mark(asdict(setting))

    def begin(self, study: Mapping[str, Any], entrants: Mapping[str, Mapping[str, Any]]) -> Setting:
        """Lays the directory out, or checks that it holds this comparison; adds who is new.

        Raises:
            RunDirectoryError: The directory holds something else, or another comparison; the
                difference is shown.
        """
        if not self.exists:
            self.lay_out()
            setting = Setting(study, entrants)
        else:
            setting = self.read()
            self._check("study", setting.study, study)
            for label in sorted(set(entrants) & set(setting.entrants)):
                self._check(f"searcher {label}", setting.entrants[label], entrants[label])
            setting = replace(setting, entrants={**setting.entrants, **entrants})
        self.write(setting)
        return setting

    def _check(self, what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        self.refuse_if(
            difference(before, now),
            f"{self.path} holds another comparison",
            where=what,
            rule="a comparison goes on as it began; only searchers, seeds and budget may be added",
            now="the command",
        )

    def alone(self) -> Any:
        """Keeps others from running this comparison at the same time: a context.

        Raises:
            RunDirectoryError: Somebody runs it already.
        """
        return held(self.path / _LOCK, f"another process runs the comparison in {self.path}")


@contextmanager
def held(file: Path, otherwise: str, patience: float = 0.0) -> Iterator[None]:
    """Holds a lock file as long as the context lasts; the kernel takes it from who dies.

    Args:
        file: The lock file.
        otherwise: What to say where somebody else holds it.
        patience: How long to wait for it, s.

    Raises:
        RunDirectoryError: Somebody else holds it.
    """
    start = time.monotonic()
    with file.open("w") as handle:
        while not _taken(handle.fileno()):
            if time.monotonic() - start >= patience:
                raise RunDirectoryError(
                    otherwise,
                    where=str(file),
                    rule="one process at a time",
                    cure="wait until it has ended, or end it",
                )
            time.sleep(_PAUSE)
        yield


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True
