"""Images and labels from files: IDX, npz, and images in folders that bear their classes' names.

Source of the IDX format: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits
(two zero bytes, the type of a number, the number of axes, each axis as four bytes, highest first).
"""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hwnas.arrays import Ints
from hwnas.errors import ProblemError
from hwnas.plugins import missing_extra

Part = tuple[NDArray[Any], NDArray[Any]]
"""Images and labels."""

_UNSIGNED_BYTE: Final = 8
_IDX: Final = (("train-images", "train-labels"), ("t10k-images", "t10k-labels"))
_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
_NPZ: Final = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
_ALL: Final = ("images", "labels")


def read_idx(file: Path, axes: int) -> NDArray[np.uint8]:
    """Reads one IDX file of unsigned bytes, packed by gzip or plain.

    Args:
        file: The file; ``.gz`` is unpacked.
        axes: How many axes it must have.

    Raises:
        ProblemError: It is no such file, is too short or too long, or has other axes.
    """
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            magic = stream.read(4)
            if magic != bytes([0, 0, _UNSIGNED_BYTE, axes]):
                given = f"it begins with {magic.hex(' ') or 'nothing'}"
                raise _broken(file, f"00 00 08 {axes:02x}: bytes with {axes} axes", given)
            head = stream.read(4 * axes)
            if len(head) != 4 * axes:
                raise _broken(file, f"{axes} axes of 4 bytes", f"{len(head)} bytes of them")
            shape = tuple(int(axis) for axis in np.frombuffer(head, dtype=">u4"))
            size = math.prod(shape)
            raw = stream.read(size + 1)
    except (OSError, EOFError, OverflowError, MemoryError, zlib.error) as error:
        raise _broken(file, "a whole file", f"{type(error).__name__}: {error}") from error
    if len(raw) != size:
        given = f"{len(raw)} bytes" if len(raw) < size else "more"
        raise _broken(file, f"{size} bytes for the shape {shape}", given)
    return np.frombuffer(raw, dtype=np.uint8).reshape(shape)


def is_idx_folder(path: Path) -> bool:
    """Whether a folder has IDX files with the names of MNIST."""
    return path.is_dir() and any(path.glob("train-images*"))


def read_idx_folder(path: Path) -> tuple[Part, Part]:
    """Reads four IDX files with the names of MNIST, e.g. ``train-images-idx3-ubyte.gz``.

    Returns:
        Images ``uint8 (n, height, width)`` and labels ``uint8 (n,)``: training, test.

    Raises:
        ProblemError: A file is missing or not in order.
    """
    train, test = ((_idx(path, images, 3), _idx(path, labels, 1)) for images, labels in _IDX)
    return train, test


def _idx(folder: Path, start: str, axes: int) -> NDArray[np.uint8]:
    names = [f"{start}{dot}idx{axes}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return read_idx(folder / name, axes)
    raise ProblemError(
        f"the folder {folder.name!r} lacks a file of the data set",
        where=str(folder.absolute()),
        rule="one of " + ", ".join(names),
    )


def read_npz(path: Path, test_share: float) -> tuple[Part, Part]:
    """Reads arrays from a ``.npz`` file; objects in it are refused.

    Args:
        path: A file with ``x_train, y_train, x_test, y_test``, with ``train_images, train_labels,
            test_images, test_labels``, or with ``images, labels``, which are split.
        test_share: See `split`.

    Raises:
        ProblemError: It cannot be read, or has other arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            for names in (*_NPZ, _ALL):
                if all(name in file for name in names):
                    found = [file[name] for name in names]
                    break
            else:
                raise ProblemError(
                    f"{path.name!r} has no images and labels",
                    where=str(path.absolute()),
                    rule="; or ".join(", ".join(names) for names in (*_NPZ, _ALL)),
                    given=", ".join(file) or "no array",
                )
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise _broken(path, "an .npz of plain arrays", str(error)) from error
    if len(found) == 4:
        return (found[0], found[1]), (found[2], found[3])
    return split(found[0], found[1], test_share, path)


def split(
    images: NDArray[Any], labels: NDArray[Any], test_share: float, where: Path
) -> tuple[Part, Part]:
    """Splits one set at random, always the same way.

    Args:
        images: ``(n, ...)``.
        labels: ``(n,)``.
        test_share: The share of the images that are for testing, rounded up.
        where: The file or folder, for messages.

    Raises:
        ProblemError: There is not one label for each image.
    """
    if np.ndim(images) == 0 or np.shape(images)[:1] != np.shape(labels)[:1]:
        given = f"images {np.shape(images)}, labels {np.shape(labels)}"
        raise _broken(where, "one label for each image", given)
    order = np.random.default_rng(0).permutation(len(labels))
    count = math.ceil(test_share * len(labels))
    test, train = order[:count], order[count:]
    return (images[train], labels[train]), (images[test], labels[test])


def is_class_folder(path: Path) -> bool:
    """Whether a folder has folders in it."""
    return path.is_dir() and bool(_folders(path))


def read_class_folder(path: Path, test_share: float) -> tuple[Part, Part]:
    """Reads images from ``train/CLASS/*.png`` and ``test/CLASS/*.png`` (or ``val``).

    Without a folder ``train``, the folders are the classes and are split. Classes are numbered in
    the order of their names. Images are grey if all are, else of three channels; other files than
    images, and hidden ones, are passed over.

    Args:
        path: The folder.
        test_share: See `split`.

    Returns:
        Images ``uint8 (n, height, width)`` or ``(n, 3, height, width)`` and labels: training, test.

    Raises:
        ProblemError: An image has another size than the first or cannot be read, a class has no
            image, or the test images have a class that is not trained.
        MissingExtraError: Pillow is not installed.
    """
    train = path / "train"
    if not train.is_dir():
        files, labels = _listed(path, _folders(path))
        (images,) = _read_images([files])
        return split(images, labels, test_share, path)
    test = next((path / name for name in ("test", "val") if (path / name).is_dir()), None)
    if test is None:
        raise ProblemError(
            f"the folder {path.name!r} has training images but none for testing",
            where=str(path.absolute()),
            rule="train/CLASS/ and test/CLASS/ (or val/CLASS/); or CLASS/ alone, to be split",
        )
    classes = _folders(train)
    strange = sorted(set(_folders(test)) - set(classes))
    if strange:
        raise ProblemError(
            f"the class {strange[0]!r} has test images but no training images",
            where=str(test.absolute()),
            rule="classes of training: " + ", ".join(classes),
        )
    files, labels = _listed(train, classes)
    test_files, test_labels = _listed(test, _folders(test), classes)
    images, test_images = _read_images([files, test_files])
    return (images, labels), (test_images, test_labels)


def _folders(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listed(
    path: Path, here: Sequence[str], classes: Sequence[str] | None = None
) -> tuple[list[Path], Ints]:
    """The files below the folders, with the places of their folders among the classes."""
    places = {name: i for i, name in enumerate(here if classes is None else classes)}
    files: list[Path] = []
    labels: list[int] = []
    for name in here:
        found = sorted(
            file
            for file in (path / name).iterdir()
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        )
        if not found:
            raise ProblemError(
                f"the class {name!r} has no image",
                where=str((path / name).absolute()),
                rule="files with a suffix of " + ", ".join(_SUFFIXES),
                cure="remove the folder if it is no class",
            )
        files += found
        labels += [places[name]] * len(found)
    return files, np.array(labels, dtype=np.int64)


def _read_images(parts: Sequence[Sequence[Path]]) -> list[NDArray[np.uint8]]:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("reading images from folders", "PIL") from error
    first = next((file for files in parts for file in files), None)
    size: tuple[int, int] | None = None
    grey = True
    for file in (file for files in parts for file in files):
        try:
            with Image.open(file) as image:
                size = size or image.size
                grey = grey and image.mode in ("1", "L")
                given = image.size
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise _broken(file, "an image that Pillow can read", str(error)) from error
        if given != size:
            raise ProblemError(
                f"the image {file.name!r} has another size than the first",
                where=str(file.absolute()),
                rule=f"all are of {size[0]} x {size[1]} pixels, as {first}",
                given=f"{given[0]} x {given[1]} pixels",
                cure="bring all images to one size beforehand",
            )
    mode = "L" if grey else "RGB"
    read = []
    for files in parts:
        pixels = [_pixels(Image, file, mode) for file in files]
        shape = (0, *(size or (1, 1))[::-1], *(() if grey else (3,)))
        stacked = np.stack(pixels) if pixels else np.empty(shape, dtype=np.uint8)
        read.append(stacked if grey else np.moveaxis(stacked, 3, 1))
    return read


def _pixels(pillow: Any, file: Path, mode: str) -> NDArray[np.uint8]:
    try:
        with pillow.open(file) as image:
            return np.array(image.convert(mode), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise _broken(file, "an image that Pillow can read", str(error)) from error


def _broken(file: Path, rule: str, given: str) -> ProblemError:
    return ProblemError(
        f"{file.name!r} cannot be read",
        where=str(file.absolute()),
        rule=rule,
        given=given,
        cure="check that the file is whole, and of the kind that its name says",
    )
