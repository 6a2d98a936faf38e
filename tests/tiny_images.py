"""A data set and a space so small that a training takes a tenth of a second."""

from __future__ import annotations

import numpy as np

from evaluators.datasets import Dataset
from hwnas import BitsPerCell, SkipNet
from hwnas.design.designs import Designs

SIZE = {"image": 6, "channels": 1, "classes": 3}
FAMILY = SkipNet(cells=(1,), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 2), **SIZE)
SPACE = FAMILY.space() + BitsPerCell(cells=1).space()


def blocks(n=60, **changes):
    """A square's place on a 6 x 6 image is its class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = 0.2 * rng.random((n, 1, 6, 6), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] += 0.7
    return Dataset.of("blocks", (images, labels), (images[:30], labels[:30]), **changes)


def drawn(n, seed=0, space=SPACE, study=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)), study)
