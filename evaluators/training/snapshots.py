"""A training as arrays and plain facts, in one file: NumPy's ``.npz``, without pickles.

The format is a zip archive, whose checksums tell a damaged file; `numpy.load` is told to refuse
pickled objects.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_FACTS: Final = "facts"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What is known of a training.

    Attributes:
        arrays: Name to array of numbers.
        facts: The rest, as plain JSON values.
    """

    arrays: Arrays = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def part(self, prefix: str) -> Arrays:
        """The arrays whose names start with a prefix and a dot, without both."""
        start = f"{prefix}."
        return {k.removeprefix(start): v for k, v in self.arrays.items() if k.startswith(start)}

    def write(self, file: Path) -> None:
        """Writes a file as a whole: a reader sees the old one or the new one, never half of it.

        Raises:
            OSError: It cannot be written.
        """
        buffer = io.BytesIO()
        named: dict[str, Any] = {**self.arrays, _FACTS: np.array(json.dumps(self.facts))}
        np.savez(buffer, **named)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{uuid4().hex}")
        try:
            temporary.write_bytes(buffer.getbuffer())
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def read(cls, file: Path) -> Snapshot:
        """Reads a file.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It is damaged, or something else.
        """
        try:
            raw = io.BytesIO(file.read_bytes())
            with np.load(raw, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return cls(arrays, json.loads(arrays.pop(_FACTS).item()))
        except FileNotFoundError:
            raise
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, LookupError) as error:
            raise ValueError(str(error)) from error
        except (TypeError, AttributeError, NotImplementedError, RuntimeError) as error:
            raise ValueError(str(error)) from error


def prefixed(prefix: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
    """The arrays under names with a prefix and a dot; see `Snapshot.part`."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Copies of all a module has learnt: parameters and running statistics."""
    state = module.state_dict()
    return {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in state.items()}


def give_arrays(module: nn.Module, arrays: Arrays) -> None:
    """Gives a module what `arrays_of` took of one of the same kind.

    Raises:
        ValueError: The module has other arrays.
    """
    try:
        module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()})
    except RuntimeError as error:
        raise ValueError(str(error).strip().splitlines()[0]) from error
