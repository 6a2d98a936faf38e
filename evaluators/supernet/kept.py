"""The file of a supernet: trained once, used by every study that asks for the same one.

It is written every hundred steps, so that a training that was killed goes on, and once more at the
end. One process trains it; others that want it wait for the first to finish or to die.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock

from evaluators.supernet.sandwich import Sandwich
from hwnas.errors import ProblemError

_EVERY: Final = 100
"""Steps between two checkpoints."""
_SUFFIX: Final = ".pt"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """What a supernet follows from: equal ones are one supernet.

    Attributes:
        facts: Plain JSON values.
    """

    facts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """12 hexadecimal digits."""
        text = json.dumps(self.facts, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()

    def differences(self, other: Mapping[str, Any]) -> str:
        """The facts that another supernet has otherwise, as ``there X, wanted Y``."""
        mine = json.loads(json.dumps(self.facts))
        differing = [key for key in {**other, **mine} if other.get(key) != mine.get(key)]
        return "; ".join(
            f"{key}: there {json.dumps(other.get(key))}, wanted {json.dumps(mine.get(key))}"
            for key in differing
        )


def default_folder() -> Path:
    """Where supernets are kept unless a folder is named: the user's folder of caches."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hwnas" / "supernets"


def file_of(path: Path | None, identity: Identity) -> Path:
    """The file of a supernet.

    Args:
        path: A folder, in which the digest names the file, or a file that ends in ``.pt``.
        identity: The supernet.
    """
    path = default_folder() if path is None else path
    if path.suffix == _SUFFIX:
        return path
    return path / f"{identity.facts['network']}-{identity.digest}{_SUFFIX}"


def bring_up(sandwich: Sandwich, file: Path, identity: Identity) -> None:
    """Trains a supernet to its end, from its file as far as that goes.

    Args:
        sandwich: The supernet as it begins; afterwards it is finished.
        file: Its file; written where steps are missing.
        identity: What it must be.

    Raises:
        ProblemError: The file is of another supernet or damaged, cannot be written, or the
            training diverged; the file is left as it is.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            if file.exists():
                _restore(sandwich, file, identity)
            while not sandwich.is_finished:
                sandwich.advance()
                if sandwich.step % _EVERY == 0 or sandwich.is_finished:
                    _write(file, identity, sandwich.state())
                    _log.info("supernet: %d of %d steps", sandwich.step, sandwich.recipe.steps)
    except OSError as error:
        raise ProblemError(
            "the supernet cannot be kept",
            where=str(file.absolute()),
            given=str(error),
            cure="name a folder that can be written under path",
        ) from error


def _write(file: Path, identity: Identity, state: Mapping[str, Any]) -> None:
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        torch.save({"identity": json.dumps(identity.facts), "state": dict(state)}, fresh)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)


def _restore(sandwich: Sandwich, file: Path, identity: Identity) -> None:
    state = _read(file, identity)
    try:
        sandwich.restore(state)
    except (RuntimeError, ValueError, LookupError) as error:
        raise ProblemError(
            "the checkpoint of the supernet has other layers than the family has now",
            where=str(file.absolute()),
            given=str(error).splitlines()[0],
            cure="move it away: the supernet is then trained anew",
        ) from error


def _read(file: Path, identity: Identity) -> Mapping[str, Any]:
    try:
        found = torch.load(file, weights_only=True)
        theirs, state = json.loads(found["identity"]), found["state"]
    except (
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        pickle.UnpicklingError,
    ) as e:
        raise ProblemError(
            "this is not the file of a supernet, or it is damaged",
            where=str(file.absolute()),
            given=f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}",
            cure="move it away: the supernet is then trained anew",
        ) from e
    if differences := identity.differences(theirs):
        raise ProblemError(
            "the checkpoint is of another supernet",
            where=str(file.absolute()),
            rule="its network family, bit policy, data set, recipe and seed are those of the study",
            given=differences,
            cure="name a folder under path, where every supernet has a file of its own",
        )
    checked: Mapping[str, Any] = state
    return checked
