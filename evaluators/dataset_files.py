"""Data sets from files of the person's own, and the well-known ones that are found on the disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from evaluators import datasets
from evaluators.cifar10 import is_cifar10, read_cifar10
from evaluators.datasets import Dataset
from evaluators.image_files import (
    Part,
    is_class_folder,
    is_idx_folder,
    read_class_folder,
    read_idx_folder,
    read_npz,
)
from hwnas.errors import ProblemError

_VARIABLE: Final = "HWNAS_DATA"
"""The environment variable that names the folder with data sets."""
_SHIPPED: Final = Path("/usr/share/datasets")
"""Where Debian's packages of data sets put their files."""


def fashion_mnist() -> Dataset:
    """Fashion-MNIST: 70,000 grey images of clothes, 28 x 28 pixels, 10 classes.

    Looked for as IDX files in ``$HWNAS_DATA/fashion-mnist``, then where Debian's package
    ``dataset-fashion-mnist`` puts them. The images are not distorted.

    Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST", arXiv 1708.07747.

    Raises:
        ProblemError: It is not there, or not in order.
    """
    cure = "apt install dataset-fashion-mnist, or set HWNAS_DATA, or give dataset: {path: FOLDER}"
    folder = _found("fashion_mnist", "fashion-mnist", cure)
    return Dataset.of("fashion_mnist", *read_idx_folder(folder), classes=10, where=str(folder))


def cifar10() -> Dataset:
    """CIFAR-10: 60,000 coloured photographs, 32 x 32 pixels, 10 classes.

    Looked for in ``$HWNAS_DATA/cifar-10`` and ``/usr/share/datasets/cifar-10``: a folder with the
    archive for Python or the binary one, packed or unpacked; see `read_cifar10`. The images are
    not distorted.

    Raises:
        ProblemError: It is not there, or not in order.
    """
    cure = (
        "take cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html into one of "
        "these folders, or give dataset: {path: FILE}"
    )
    folder = _found("cifar10", "cifar-10", cure)
    return Dataset.of("cifar10", *read_cifar10(folder), classes=10, where=str(folder))


def _found(name: str, folder: str, cure: str) -> Path:
    named = os.environ.get(_VARIABLE)
    places = [Path(named) / folder] if named else []
    places.append(_SHIPPED / folder)
    for place in places:
        if place.is_dir():
            return place
    raise ProblemError(
        f"the data set {name!r} is not on this machine",
        where="looked in " + ", ".join(map(str, places)),
        rule=f"a folder {folder} in ${_VARIABLE} or {_SHIPPED}",
        given=f"{_VARIABLE}={named}" if named else f"{_VARIABLE} is not set",
        cure=cure,
    )


@dataclass(frozen=True)
class DataFiles:
    """A data set from files, or part of a named one.

    Attributes:
        path: A ``.npz`` file, a folder of IDX files, a folder of images in folders of classes, or
            CIFAR-10's archive. A relative path starts from the folder of the study file that
            names it; in Python, from the folder that the program runs in.
        name: A named data set instead of a path.
        subset: So many training images, drawn once and for all; left out, all.
        test_subset: So many test images likewise.
        classes: Number of classes; left out, as many as are found.
        shift: Largest shift of training images, pixels; left out, that of a named data set, or 0.
        noise: Standard deviation of the noise on them; likewise.
        test_share: Share of the images for testing, where the files do not say which these are.
    """

    path: Path | None = None
    name: str | None = None
    subset: int | None = None
    test_subset: int | None = None
    classes: int | None = None
    shift: int | None = None
    noise: float | None = None
    test_share: float = 0.2

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if (self.path is None) == (self.name is None):
            raise ProblemError(
                "a data set needs a path or a name",
                where="option dataset",
                rule="one of both",
                given=f"path {self.path}, name {self.name}",
            )
        least = {"subset": 1, "test_subset": 1, "classes": 2, "shift": 0, "noise": 0}
        for option, number in least.items():
            given = getattr(self, option)
            if given is not None and not number <= given < float("inf"):
                raise _option(option, f"at least {number}", given)
        if not 0 < self.test_share < 1:
            raise _option("test_share", "above 0 and below 1", self.test_share)

    def read(self) -> Dataset:
        """Reads the files, or takes part of the named data set.

        Raises:
            ProblemError: There is no such file or folder, or it is not in order.
            MissingExtraError: Pillow is needed and not installed.
        """
        if self.name is not None:
            whole = datasets.load(self.name)
            shift, noise, classes = whole.shift, whole.noise, whole.classes
            train: Part = (whole.train_images, whole.train_labels)
            test: Part = (whole.test_images, whole.test_labels)
            name, where = self.name, ""
        else:
            assert self.path is not None
            path = Path(self.path)
            shift, noise, classes = 0, 0.0, None
            name, where = path.stem if path.is_file() else path.name, str(path.absolute())
            train, test = self._parts(path)
        return Dataset.of(
            name,
            _drawn("subset", train, self.subset),
            _drawn("test_subset", test, self.test_subset),
            classes=self.classes or classes or _classes(train),
            shift=shift if self.shift is None else self.shift,
            noise=noise if self.noise is None else self.noise,
            where=where,
        )

    def _parts(self, path: Path) -> tuple[Part, Part]:
        if not path.exists():
            raise ProblemError(
                f"there is no data set {path.name!r}",
                where=str(path.absolute()),
                rule="a relative path starts from the study file, elsewhere from the working "
                "directory",
                given=str(path),
                cure="mend the path",
            )
        if path.suffix.lower() == ".npz":
            return read_npz(path, self.test_share)
        if is_cifar10(path):
            return read_cifar10(path)
        if is_idx_folder(path):
            return read_idx_folder(path)
        if is_class_folder(path):
            return read_class_folder(path, self.test_share)
        raise ProblemError(
            f"{path.name!r} holds no data set that is known",
            where=str(path.absolute()),
            rule="an .npz file; a folder with train-images-idx3-ubyte; a folder train/CLASS/*.png; "
            "or CIFAR-10's archive",
            cure="write the arrays with numpy.savez, or give Training a Dataset from Python",
        )


def _classes(train: Part) -> int | None:
    """Of the whole training labels, so that a subset cannot lose the last class unnoticed."""
    labels = np.asarray(train[1])
    return int(labels.max()) + 1 if labels.size and labels.dtype.kind in "ui" else None


def _drawn(option: str, part: Part, count: int | None) -> Part:
    images, labels = part
    if count is None or np.ndim(images) == 0 or np.shape(images)[:1] != np.shape(labels)[:1]:
        return part
    if count > len(labels):
        raise _option(option, f"at most {len(labels)}, as many as there are", count)
    rows = np.random.default_rng(0).permutation(len(labels))[:count]
    return images[rows], labels[rows]


def _option(option: str, rule: str, given: Any) -> ProblemError:
    return ProblemError(
        f"a data set cannot have {option} = {given}",
        where=f"option dataset.{option}",
        rule=rule,
        given=repr(given),
    )
