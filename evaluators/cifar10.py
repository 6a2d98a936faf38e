"""CIFAR-10 from its archives, of which the one for Python holds pickles: none is trusted here.

A pickle may name any callable of Python. This reader knows the five names that an array of bytes
needs, and gives each a class of its own instead of NumPy's; any other name ends the reading. So
nothing of a file is ever called, and NumPy sees only the bytes of the images.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009 (the data set:
5 x 10,000 images for training and 10,000 for testing, 32 x 32 pixels, 3 channels, 10 classes).
"""

from __future__ import annotations

import io
import math
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hwnas.errors import ProblemError

Part = tuple[NDArray[Any], NDArray[Any]]
"""Images and labels."""

_FOLDERS: Final = ("cifar-10-batches-py", "cifar-10-batches-bin")
_ARCHIVES: Final = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_TRAIN: Final = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST: Final = "test_batch"
_SHAPE: Final = (3, 32, 32)
_PIXELS: Final = math.prod(_SHAPE)
_LARGEST: Final = 64 * 2**20
"""Bytes of a batch; the real ones have 31 million."""


class _Stopped(Exception):
    """What a file asks for is not done."""


class _Bytes:
    """In place of ``numpy.dtype``: knows unsigned bytes only."""

    __slots__ = ()

    def __init__(self, code: str | bytes, *_: Any) -> None:
        if code not in ("u1", b"u1"):
            raise _Stopped(f"an array of type {code!r} instead of bytes")

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like mean nothing for bytes."""


class _Array:
    """In place of ``numpy.ndarray`` and of the function that makes an empty one."""

    __slots__ = ("pixels",)

    def __init__(self, *_: Any) -> None:
        self.pixels: NDArray[np.uint8] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, raw = state
        if not (isinstance(kind, _Bytes) and isinstance(raw, bytes)):
            raise _Stopped("an array of something else than bytes")
        flat = np.frombuffer(raw, dtype=np.uint8)
        self.pixels = flat.reshape(shape, order="F" if by_columns else "C")


class _Encoded:
    """In place of ``_codecs.encode``, with which old protocols write bytes."""

    __slots__ = ()

    def __new__(cls, text: str, codec: str) -> Any:
        if codec not in ("latin1", "latin-1"):
            raise _Stopped(f"a text in the code {codec!r}")
        return str(text).encode("latin-1")

    def __setstate__(self, state: Any) -> None:
        raise _Stopped("a function with a state")


_KNOWN: Final[Mapping[tuple[str, str], Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Bytes,
    ("_codecs", "encode"): _Encoded,
}


class _Unpickler(pickle.Unpickler):
    """Reads numbers, texts, bytes, lists, tuples, dictionaries, arrays of bytes: nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise _Stopped(f"the file asks for {module}.{name}, which is refused")
        return _KNOWN[module, name]


def is_cifar10(path: Path) -> bool:
    """Whether a file or folder is an archive of CIFAR-10, unpacked or not, or holds one."""
    return _place(path) is not None


def read_cifar10(path: Path) -> tuple[Part, Part]:
    """Reads CIFAR-10: the archive for Python or the binary one, packed or unpacked.

    Args:
        path: ``cifar-10-python.tar.gz``, ``cifar-10-binary.tar.gz``, the folder that is in one of
            them, or a folder with one of these four.

    Returns:
        Images ``uint8 (n, 3, 32, 32)`` and labels ``int64 (n,)``: training, test.

    Raises:
        ProblemError: A batch is missing, damaged, or asks for something else than arrays of bytes.
    """
    place = _place(path)
    if place is None:
        raise _error(path, "is no archive of CIFAR-10", "one of " + ", ".join(_ARCHIVES + _FOLDERS))
    batches = _unpacked(place) if place.is_file() else _lying(place)
    read = {name: _read(place, name, *found) for name, found in batches.items()}
    for name in (*_TRAIN, _TEST):
        if name not in read:
            raise _error(place, f"lacks the batch {name}", "five training batches and a test batch")
    images, labels = (np.concatenate([read[name][i] for name in _TRAIN]) for i in (0, 1))
    return (images, labels), read[_TEST]


def _place(path: Path) -> Path | None:
    places = [path / name for name in (*_FOLDERS, *_ARCHIVES)]
    if path.name in _ARCHIVES or any((path / f"{_TEST}{end}").is_file() for end in ("", ".bin")):
        places.insert(0, path)
    return next((place for place in places if place.exists()), None)


def _lying(folder: Path) -> dict[str, tuple[bool, bytes]]:
    found = {}
    for file in sorted(folder.iterdir()):
        if file.stem in (*_TRAIN, _TEST) and file.suffix in ("", ".bin"):
            if file.stat().st_size > _LARGEST:
                raise _error(folder, f"has too large a batch {file.name}", f"{_LARGEST} bytes")
            found[file.stem] = (file.suffix == ".bin", file.read_bytes())
    return found


def _unpacked(archive: Path) -> dict[str, tuple[bool, bytes]]:
    """The batches of an archive; nothing is written to the disk."""
    found = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = Path(member.name)
                if name.stem not in (*_TRAIN, _TEST) or name.suffix not in ("", ".bin"):
                    continue
                file = tar.extractfile(member) if member.isfile() else None
                if file is None or member.size > _LARGEST:
                    raise _error(archive, f"has an odd batch {name}", f"a file to {_LARGEST} bytes")
                found[name.stem] = (name.suffix == ".bin", file.read())
    except (tarfile.TarError, OSError, EOFError) as error:
        raise _error(archive, "cannot be unpacked", "a whole .tar.gz", str(error)) from error
    return found


def _read(place: Path, name: str, binary: bool, raw: bytes) -> Part:
    try:
        reader: Callable[[bytes], Part] = _from_binary if binary else _from_pickle
        return reader(raw)
    except Exception as error:  # whatever a crafted or damaged file leads to
        raise _error(
            place,
            f"has a batch {name} that cannot be read",
            "a dictionary with data, an array of bytes, and labels, a list; nothing else"
            if not binary
            else f"records of 1 + {_PIXELS} bytes",
            f"{type(error).__name__.lstrip('_')}: {error}",
        ) from error


def _from_binary(raw: bytes) -> Part:
    records = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 1 + _PIXELS)
    return records[:, 1:].reshape(-1, *_SHAPE), records[:, 0].astype(np.int64)


def _from_pickle(raw: bytes) -> Part:
    found = _Unpickler(io.BytesIO(raw), encoding="bytes").load()
    plain = {k.decode() if isinstance(k, bytes) else k: value for k, value in found.items()}
    data, labels = plain["data"], plain["labels"]
    if not isinstance(data, _Array) or data.pixels is None:
        raise _Stopped("data is no array")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise _Stopped("labels are no list of whole numbers")
    return data.pixels.reshape(-1, *_SHAPE), np.array(labels, dtype=np.int64)


def _error(path: Path, what: str, rule: str, given: str = "") -> ProblemError:
    return ProblemError(
        f"{path.name!r} {what}",
        where=str(path.absolute()),
        rule=rule,
        given=given,
        cure="take CIFAR-10's archive from https://www.cs.toronto.edu/~kriz/cifar.html again",
    )
