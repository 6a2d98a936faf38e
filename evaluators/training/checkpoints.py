"""A folder of trainings: those that go on after a kill, and those that are finished.

trainings.json        whose trainings these are: evaluator, data, network family, bit policy
KEY-FIDELITY.going    a training after its last whole epoch; removed when it is finished
KEY-FIDELITY.npz      a finished training: answer, curve, and what the network has learnt
KEY-FIDELITY.*.bad    a file that was damaged

The key follows from the genes that count and the study's seed, so processes that train different
designs write different files. Two that train the same design write the same numbers.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evaluators.training.snapshots import Snapshot
from hwnas.design.designs import Design
from hwnas.errors import ProblemError
from hwnas.marked_directory import replace_text
from hwnas.space import Space

_FORMAT: Final = 1
_MARK: Final = "trainings.json"


class Unkept:
    """The files of a training of which nothing is kept."""

    is_kept = False

    def finished(self) -> Snapshot | None:
        """The finished training, or ``None``."""
        return None

    def going(self) -> Snapshot | None:
        """The training after its last whole epoch, or ``None``."""
        return None

    def keep(self, snapshot: Snapshot) -> None:
        """Keeps a training after an epoch."""

    def finish(self, snapshot: Snapshot) -> None:
        """Keeps a finished training."""

    def set_aside(self, why: str) -> None:
        """Puts files that cannot be used where they are not in the way."""


@dataclass(frozen=True)
class Kept(Unkept):
    """The files of one design's training at one fidelity.

    Attributes:
        folder: Where they are.
        name: What their names start with.
        owner: Whose they are, as plain JSON values.
    """

    folder: Path
    name: str
    owner: Mapping[str, Any]

    is_kept = True

    def finished(self) -> Snapshot | None:
        """See `Unkept.finished`."""
        return self._read(self._finished)

    def going(self) -> Snapshot | None:
        """See `Unkept.going`."""
        return self._read(self._going)

    def keep(self, snapshot: Snapshot) -> None:
        """See `Unkept.keep`; a full disk is a warning, as the training itself is well."""
        self._write(self._going, snapshot)

    def finish(self, snapshot: Snapshot) -> None:
        """See `Unkept.finish`."""
        self._write(self._finished, snapshot)
        self._going.unlink(missing_ok=True)

    def set_aside(self, why: str) -> None:
        """See `Unkept.set_aside`; the person is warned."""
        for file in (self._finished, self._going):
            self._put_away(file, why)

    @property
    def _finished(self) -> Path:
        return self.folder / f"{self.name}.npz"

    @property
    def _going(self) -> Path:
        return self.folder / f"{self.name}.going"

    def _read(self, file: Path) -> Snapshot | None:
        try:
            found = Snapshot.read(file)
            if found.facts.get("owner") != self.owner:
                raise ValueError(f"it is of {json.dumps(found.facts.get('owner'))}")
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._put_away(file, str(error))
            return None
        return found

    def _put_away(self, file: Path, why: str) -> None:
        if file.exists():
            aside = file.replace(file.with_name(f"{file.name}.bad"))
            warnings.warn(
                f"the checkpoint {file} cannot be used, is now {aside.name}, and the design is "
                f"trained anew: {why}",
                RuntimeWarning,
                stacklevel=2,
            )

    def _write(self, file: Path, snapshot: Snapshot) -> None:
        owned = Snapshot(snapshot.arrays, {**snapshot.facts, "owner": self.owner})
        try:
            owned.write(file)
        except OSError as error:
            warnings.warn(f"no checkpoint {file}: {error}", RuntimeWarning, stacklevel=2)


@dataclass(frozen=True)
class Checkpoints:
    """A folder that keeps the trainings of one evaluator and of networks of one kind.

    Spaces that differ only in the choices of their genes, or in accelerators, share a folder.

    Attributes:
        folder: It is made where it is not there.
        version: What trainings follow from: the evaluator's options and a digest of its data.
        reads: Parts of the genome that count; see `hwnas.evaluation.Evaluator`.
    """

    folder: Path
    version: str
    reads: frozenset[str]

    def open(self, space: Space) -> None:
        """Makes the folder, or checks that it is for such trainings.

        Raises:
            ProblemError: It is for others, holds something else, or cannot be written. Nothing in
                it is changed.
        """
        mark = self.folder / _MARK
        mine = self._mark(space)
        try:
            text = mark.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            self._lay_out(mark, mine)
            return
        except OSError as error:
            raise self._error("cannot be read", given=str(error)) from error
        try:
            theirs = json.loads(text)
            differing = [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]
        except (ValueError, TypeError) as error:
            raise self._error(f"has a damaged {_MARK}", given=str(error)) from error
        if differing:
            raise self._error(
                "keeps other trainings than these: " + " and ".join(differing) + " differ",
                rule="; ".join(f"{key} there: {_shown(theirs.get(key))}" for key in differing),
                given="; ".join(f"{key} here: {_shown(mine.get(key))}" for key in differing),
            )

    def of(self, design: Design, fidelity: float) -> Kept:
        """The files of a design's training."""
        parts = design.space.read_by(self.reads)
        key = design.seed_for(*parts, stream="checkpoint")
        starts = tuple(f"{part}." for part in parts)
        config = {k: v for k, v in sorted(design.config.items()) if k.startswith(starts)}
        owner = {"config": config, "seed": design.seed, "fidelity": fidelity}
        return Kept(self.folder, f"{key:016x}-{fidelity:g}", owner)

    def _mark(self, space: Space) -> dict[str, Any]:
        parts = space.part(*space.read_by(self.reads)).to_json()["parts"]
        mark: Any = json.loads(json.dumps({"version": self.version, **parts, "format": _FORMAT}))
        return dict(mark)

    def _lay_out(self, mark: Path, mine: Mapping[str, Any]) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            there = sorted(entry.name for entry in self.folder.iterdir())
            if there and not mark.exists() and not all(name.startswith(".") for name in there):
                raise self._error(
                    "holds something else", rule=f"a new folder, or one with a {_MARK}",
                    given=", ".join(there[:5]),
                )  # fmt: skip
            replace_text(mark, json.dumps(mine, indent=1) + "\n")
        except OSError as error:
            raise self._error("cannot be written", given=str(error)) from error

    def _error(self, what: str, *, rule: str = "", given: str) -> ProblemError:
        return ProblemError(
            f"the folder of checkpoints {what}",
            where=str(self.folder.absolute()),
            rule=rule,
            given=given,
            cure="name another folder under checkpoints; nothing in this one was changed",
        )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
