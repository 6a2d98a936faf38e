"""Which training images are easy: a score per image, from its pixels alone.

DANCE slims the data of a segmentation task by the spatial complexity of images. Our reading of it
is the mean magnitude of the Sobel gradient, which tells much from little detail (SI_mean of Yu and
Winkler); whether DANCE takes the same indicator was not checked, as only its abstract was at hand.

Sources: Li et al., "DANCE: DAta-Network Co-optimization for Efficient Segmentation Model Training
and Inference", arXiv 2107.07706; Yu and Winkler, "Image complexity and spatial information", QoMEX
2013.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evaluators.datasets import Dataset, Images
from hwnas.arrays import Floats, Ints

_AT_ONCE = 4096
"""Images scored at a time, so that large data sets need no memory of their size again."""


def spatial_information(images: Images) -> Floats:
    """The mean magnitude of the Sobel gradient of each image's mean over channels.

    Borders are continued by their own pixels. An image of one colour has 0; the steepest possible
    edge has 4 in the pixels beside it.

    Args:
        images: ``float32 (n, channels, height, width)``.

    Returns:
        ``float64 (n,)``.
    """
    scores = [_scores(images[i : i + _AT_ONCE]) for i in range(0, len(images), _AT_ONCE)]
    return np.concatenate(scores) if scores else np.empty(0)


def _scores(images: Images) -> Floats:
    grey = np.pad(images.mean(axis=1, dtype=np.float64), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]  # smoothed along the height
    right = grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]
    across = down[:, :, 2:] - down[:, :, :-2]
    along = right[:, 2:] - right[:, :-2]
    magnitude: Floats = np.hypot(across, along).mean(axis=(1, 2))
    return magnitude


@lru_cache(maxsize=2)
def by_complexity(dataset: Dataset) -> Ints:
    """The training images from the hardest to the easiest, rows ``int64 (n,)``.

    Images are compared with those of their class, so the first ones, however many, have every class
    in its proportion: else classes of plain pictures would be slimmed most (of the digits, the
    eights). Among images at the same place of their class the more complex is first, then the
    earlier.
    """
    labels = dataset.train_labels
    scores = spatial_information(dataset.train_images)
    n = len(labels)
    grouped = np.lexsort((np.arange(n), -scores, labels))
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    place = np.empty(n)
    place[grouped] = (np.arange(n) - starts[labels[grouped]] + 0.5) / counts[labels[grouped]]
    order = np.lexsort((np.arange(n), -scores, place))
    order.setflags(write=False)
    return order
