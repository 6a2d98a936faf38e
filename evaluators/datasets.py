"""Small image classification tasks as arrays: no download, no torch.

To add one, write a function that returns a `Dataset` and name it in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hwnas.arrays import Ints
from hwnas.errors import ProblemError, nearest

Images = NDArray[np.float32]
"""Images ``(n, channels, height, width)``, each number 0 to 1."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Square images with labels, and how much they are distorted.

    Training draws distortions afresh in every epoch; the test images are distorted once and for
    all, so every network meets the same ones.

    Attributes:
        name: Its name in `DATASETS`.
        train_images: As they are, ``float32 (n, channels, image, image)``, 0 to 1.
        train_labels: Classes from 0, ``int64 (n,)``.
        test_images: Distorted, ``float32 (t, channels, image, image)``, 0 to 1.
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


DATASETS: Final[Mapping[str, Callable[[], Dataset]]] = {"digits": digits}
"""Every task by name."""


def known(name: str) -> str:
    """Returns the name of a data set unchanged; nothing is loaded.

    Raises:
        ProblemError: There is none of that name; the message names the nearest.
    """
    if name not in DATASETS:
        raise ProblemError(
            f"there is no data set named {name!r}",
            rule="a name in evaluators.datasets.DATASETS",
            given=repr(name),
            cure=nearest(name, DATASETS),
        )
    return name


@cache
def load(name: str) -> Dataset:
    """Loads a data set, once per process.

    Raises:
        ProblemError: There is none of that name; the message names the nearest.
    """
    dataset = DATASETS[known(name)]()
    for images, labels in (
        (dataset.train_images, dataset.train_labels),
        (dataset.test_images, dataset.test_labels),
    ):
        images.setflags(write=False)
        labels.setflags(write=False)
    return dataset
