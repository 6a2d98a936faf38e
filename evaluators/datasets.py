"""Image classification tasks as arrays: no download, no torch.

To add one, write a function that returns a `Dataset` and name it under the entry points
``hwnas.datasets``; or, in Python, give `Training` the `Dataset`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hwnas import plugins
from hwnas.arrays import Ints
from hwnas.errors import ProblemError, nearest

GROUP: Final = "hwnas.datasets"
"""The entry points that name functions without arguments that return a `Dataset`."""

Images = NDArray[np.float32]
"""Images ``(n, channels, height, width)``, each number 0 to 1."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Square images with labels, and how much they are distorted.

    Training draws distortions afresh in every epoch; the test images are distorted once and for
    all, so every network meets the same ones.

    Attributes:
        name: What messages call it.
        train_images: As they are, ``float32 (n, channels, image, image)``, 0 to 1.
        train_labels: Classes from 0, ``int64 (n,)``.
        test_images: Distorted or as they are, ``float32 (t, channels, image, image)``, 0 to 1.
        test_labels: Classes from 0, ``int64 (t,)``.
        classes: Number of classes.
        shift: Largest shift in either direction, pixels.
        noise: Standard deviation of the noise on every pixel, 1 for the full range.
    """

    name: str
    train_images: Images
    train_labels: Ints
    test_images: Images
    test_labels: Ints
    classes: int
    shift: int = 0
    noise: float = 0.0

    @classmethod
    def of(
        cls,
        name: str,
        train: tuple[NDArray[Any], NDArray[Any]],
        test: tuple[NDArray[Any], NDArray[Any]],
        *,
        classes: int | None = None,
        shift: int = 0,
        noise: float = 0.0,
        where: str = "",
    ) -> Self:
        """Makes a data set of any arrays, and checks them.

        Args:
            name: What messages call it.
            train: Images and labels. Images are ``(n, height, width)``, ``(n, channels, height,
                width)`` or ``(n, height, width, channels)`` and square; whole numbers are 0 to
                255, others 0 to 1. Labels are whole numbers from 0, ``(n,)`` or ``(n, 1)``.
            test: The same for testing.
            classes: Number of classes; left out, the highest training label plus one.
            shift: See `Dataset`; only training images are distorted.
            noise: Likewise.
            where: The file or folder, for messages.

        Raises:
            ProblemError: An array has another shape or type, numbers are out of range or not
                finite, labels are out of range, a class has no training image, there is one class
                only, or nothing at all.
        """
        check = _Check(name, where)
        images, labels = check.images("training", train[0]), check.labels("training", train[1])
        test_images, test_labels = check.images("test", test[0]), check.labels("test", test[1])
        check.fit("training", images, labels)
        check.fit("test", test_images, test_labels)
        if images.shape[1:] != test_images.shape[1:]:
            raise check.error(
                "has test images of another size than its training images",
                rule="one size and number of channels for all",
                given=f"training {images.shape[1:]}, test {test_images.shape[1:]}",
            )
        count = int(labels.max()) + 1 if classes is None else classes
        check.classes(count, labels, test_labels)
        return cls(name, images, labels, test_images, test_labels, count, shift, noise)

    def read(self) -> Self:
        """Itself: a data set is its own `Source`."""
        return self

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that change with any image, label or distortion."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.train_images.shape} {self.test_images.shape}".encode())
        digest.update(f"{self.classes} {self.shift} {self.noise!r}".encode())
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(np.ascontiguousarray(array).data.cast("B"))
        return digest.hexdigest()

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.train_images.shape[1])

    @property
    def image(self) -> int:
        """Height and width of an image, pixels."""
        return int(self.train_images.shape[2])

    def check(self, channels: int, image: int, classes: int) -> None:
        """Refuses networks of other images or classes.

        Args:
            channels: Channels of the networks' images.
            image: Their height and width, pixels.
            classes: Number of classes that the networks tell apart.

        Raises:
            ProblemError: They do not fit.
        """
        wanted, given = (self.channels, self.image, self.classes), (channels, image, classes)
        if wanted != given:
            raise ProblemError(
                f"the networks do not fit the data set {self.name!r}",
                rule=f"{self.name}: " + _shape(*wanted),
                given="networks: " + _shape(*given),
                cure="give the network family channels={}, image={}, classes={}".format(*wanted),
            )


def _shape(channels: int, image: int, classes: int) -> str:
    return f"{channels} channel(s) of {image} x {image} pixels, {classes} classes"


class Source(Protocol):
    """Where a data set comes from: equal sources are read once per process."""

    def read(self) -> Dataset:
        """Reads it.

        Raises:
            ProblemError: It is not there, or not in order.
        """
        ...

    def __hash__(self) -> int:
        """Equal sources hash equally."""
        ...


@dataclass(frozen=True)
class _Check:
    """Refuses arrays that are no data set."""

    name: str
    where: str

    def error(self, what: str, *, rule: str, given: str, cure: str = "") -> ProblemError:
        what = f"the data set {self.name!r} {what}"
        return ProblemError(what, where=self.where, rule=rule, given=given, cure=cure)

    def images(self, part: str, given: NDArray[Any]) -> Images:
        images = np.asarray(given)
        if images.ndim == 3:
            images = images[:, None]
        elif images.ndim == 4 and images.shape[2] != images.shape[3]:
            images = np.moveaxis(images, 3, 1)
        if images.ndim != 4 or images.shape[2] != images.shape[3] or 0 in images.shape[1:]:
            raise self.error(
                f"has {part} images of a shape that cannot be used",
                rule="(n, size, size), (n, channels, size, size) or (n, size, size, channels)",
                given=str(np.shape(given)),
                cure="crop or pad the images to squares",
            )
        if images.dtype.kind not in "uif":
            raise self.error(
                f"has {part} images that are no numbers",
                rule="whole numbers 0 to 255, or others 0 to 1",
                given=str(images.dtype),
            )
        if not len(images):
            raise self.error(f"has no {part} image", rule="at least one", given="none")
        top = 1.0 if images.dtype.kind == "f" else 255.0
        least, most = images.min(), images.max()  # NaN if there is one
        if not (least >= 0 and most <= top):
            raise self.error(
                f"has {part} images with numbers out of range",
                rule=f"{images.dtype}: finite, 0 to {top:g}",
                given=f"{least:g} to {most:g}",
                cure="scale the images; whole numbers 0 to 255 are scaled here",
            )
        return np.ascontiguousarray(images, dtype=np.float32) / np.float32(top)

    def labels(self, part: str, given: NDArray[Any]) -> Ints:
        labels = np.asarray(given)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or labels.dtype.kind not in "ui":
            raise self.error(
                f"has {part} labels that are no classes",
                rule="one whole number for each image",
                given=f"{labels.dtype} {labels.shape}",
            )
        return labels.astype(np.int64)

    def fit(self, part: str, images: Images, labels: Ints) -> None:
        if len(images) != len(labels):
            raise self.error(
                f"has not one label for each {part} image",
                rule=f"{len(images)} labels for {len(images)} images",
                given=f"{len(labels)} labels",
            )

    def classes(self, count: int, train: Ints, test: Ints) -> None:
        if count < 2:
            raise self.error("has one class only", rule="at least two", given=str(count))
        for part, labels in (("training", train), ("test", test)):
            if labels.min() < 0 or labels.max() >= count:
                raise self.error(
                    f"has {part} labels out of range",
                    rule=f"0 to {count - 1}, as there are {count} classes",
                    given=f"{labels.min()} to {labels.max()}",
                )
        missing = np.setdiff1d(np.arange(count), train)
        if len(missing):
            raise self.error(
                f"has no training image of class {missing[0]}",
                rule=f"every class from 0 to {count - 1} is trained",
                given=f"{len(missing)} of {count} classes without an image",
                cure="number the classes from 0 without gaps; take a larger subset",
            )


def distorted(images: Images, shift: int, noise: float, rng: np.random.Generator) -> Images:
    """Shifts every image by whole pixels, fills up with 0, adds Gaussian noise, clips to 0 and 1.

    Args:
        images: ``float32 (n, channels, height, width)``.
        shift: Largest shift in either direction, pixels; each image draws its own.
        noise: Standard deviation of the noise.
        rng: Draws both.

    Returns:
        New images of the same shape.
    """
    n, _, height, width = images.shape
    edge = (shift, shift)
    padded = np.pad(images, ((0, 0), (0, 0), edge, edge))
    down, right = rng.integers(0, 2 * shift + 1, size=(2, n, 1))
    rows = (down + np.arange(height))[:, :, None]
    columns = (right + np.arange(width))[:, None, :]
    moved = np.moveaxis(padded[np.arange(n)[:, None, None], :, rows, columns], 3, 1)
    if noise:
        moved = moved + noise * rng.standard_normal(moved.shape, dtype=np.float32)
    return np.ascontiguousarray(np.clip(moved, 0.0, 1.0), dtype=np.float32)


_DIGITS_TRAIN = 1000
_DIGITS_COPIES = 3
"""Distorted copies of each test image."""
_DIGITS_SHIFT = 1
_DIGITS_NOISE = 0.1


def digits() -> Dataset:
    """Handwritten digits, 8 x 8 pixels, shifted by up to one pixel and noisy.

    Undistorted they are too easy: almost every network would reach 98 %, and a search would
    compare seeds. 1,000 of the 1,797 images are for training, three distorted copies of the other
    797 for testing; split and distortion never change.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998; the copy that scikit-learn carries.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 16.0).astype(np.float32)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(images))
    train, test = order[:_DIGITS_TRAIN], np.tile(order[_DIGITS_TRAIN:], _DIGITS_COPIES)
    return Dataset(
        "digits",
        images[train],
        labels[train].astype(np.int64),
        distorted(images[test], _DIGITS_SHIFT, _DIGITS_NOISE, rng),
        labels[test].astype(np.int64),
        classes=10,
        shift=_DIGITS_SHIFT,
        noise=_DIGITS_NOISE,
    )


def known(name: str) -> str:
    """Returns the name of a data set unchanged; nothing is loaded.

    Raises:
        ProblemError: There is none of that name; the message names the nearest.
    """
    names = plugins.available(GROUP)
    if name not in names:
        raise ProblemError(
            f"there is no data set named {name!r}",
            rule=f"a name registered under the entry points {GROUP}",
            given=repr(name),
            cure=nearest(name, names),
        )
    return name


def load(source: str | Source) -> Dataset:
    """Loads a data set, once per process; its arrays cannot be written.

    Args:
        source: A name under the entry points ``hwnas.datasets``, or what else can be read, e.g. a
            `Dataset` or `DataFiles`.

    Raises:
        ProblemError: There is none of that name; the message names the nearest. Or it is not
            where it was looked for, or not in order.
    """
    return source if isinstance(source, Dataset) else _loaded(source)


@cache
def _loaded(source: str | Source) -> Dataset:
    if isinstance(source, str):
        dataset: Dataset = plugins.load(GROUP, known(source))()
    else:
        dataset = source.read()
    for images, labels in (
        (dataset.train_images, dataset.train_labels),
        (dataset.test_images, dataset.test_labels),
    ):
        images.setflags(write=False)
        labels.setflags(write=False)
    return dataset
