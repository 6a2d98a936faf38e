"""The training that ``train`` genes ask for: batch size, slimmed data, resolution, precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluators.datasets import Dataset
from evaluators.image_complexity import by_complexity
from evaluators.quantization import QuantizedNetwork
from evaluators.training.loop import Course, Recipe
from evaluators.training_plan import Plan
from hwnas.arrays import Floats, Ints
from hwnas.design import Design

_AT_ONCE = 4096
"""Images resized at a time."""


def resized(images: Tensor, size: int) -> Tensor:
    """Images at another resolution, ``(n, channels, size, size)``: bilinear, anti-aliased."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(
        images, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


@lru_cache(maxsize=4)
def resized_for_tests(dataset: Dataset, size: int) -> Dataset:
    """The data set with its test images at another resolution; its training images stay."""
    if dataset.test_images.shape[-1] == size:
        return dataset
    images = dataset.test_images
    blocks = [images[i : i + _AT_ONCE] for i in range(0, len(images), _AT_ONCE)]
    small = [resized(torch.tensor(block), size).numpy() for block in blocks]
    return replace(dataset, test_images=np.concatenate(small))


@dataclass(frozen=True, eq=False)
class PlannedCourse(Course):
    """Shows what a plan says, at the resolution and precision that it says.

    Images are distorted first and resized then, as a camera of lower resolution would see them.

    Attributes:
        plan: Which batches there are, and their bits.
        order: Rows of the training images, from the hardest to the easiest.
        size: Height and width of images as they are shown.
        easy_weight: Weight of easy images in the loss; that of the others is 1.
    """

    plan: Plan
    order: Ints
    size: int
    easy_weight: float

    def count(self, images: int, epoch: int, epochs: int) -> int:
        """See `Course.count`."""
        del images, epoch, epochs
        return len(self.plan.is_easy) * self.plan.batch

    def chosen(
        self, losses: NDArray[np.float32], epoch: int, epochs: int, rng: np.random.Generator
    ) -> tuple[Ints, Floats | None]:
        """Hard and easy images, each in a random order, batch by batch; see `Course.chosen`."""
        del losses, epoch, epochs
        plan = self.plan
        rows = np.empty((len(plan.is_easy), plan.batch), dtype=np.int64)
        for easy in (False, True):
            kind = self.order[plan.hard :] if easy else self.order[: plan.hard]
            places = plan.is_easy == easy
            drawn = rng.permutation(kind)[: places.sum() * plan.batch]
            rows[places] = drawn.reshape(-1, plan.batch)
        if self.easy_weight == 1.0 or not plan.is_easy.any():
            return rows.reshape(-1), None
        weights = np.where(plan.is_easy, self.easy_weight, 1.0)
        return rows.reshape(-1), np.repeat(weights, plan.batch)

    def seen(self, images: Tensor, step: int) -> Tensor:
        """Easy images at half the resolution; see `Course.seen`."""
        return resized(images, -(-self.size // 2) if self._is_easy(step) else self.size)

    def before_step(self, module: nn.Module, step: int, steps: int) -> None:
        """Sets the most bits of the step; see `Course.before_step`.

        Running statistics are those of hard images, as test images have their size, too.
        """
        del steps
        if isinstance(module, QuantizedNetwork):
            module.limit(int(self.plan.caps[step]))
            module.follow(not self._is_easy(step))

    def _is_easy(self, step: int) -> bool:
        return bool(self.plan.is_easy[step % len(self.plan.is_easy)])


def planned(design: Design, recipe: Recipe, dataset: Dataset) -> tuple[Recipe, Course]:
    """The recipe and the course of a design; without ``train`` genes, they are the usual ones.

    Args:
        design: The design.
        recipe: The recipe of designs without such genes.
        dataset: What is trained on.
    """
    if "train" not in design.space.part_names:
        return recipe, Course()
    said = design.recipe
    plan = Plan.of(said, len(dataset.train_images), recipe.epochs, recipe.batch_size)
    order = by_complexity(dataset) if plan.keep < 1 else np.arange(plan.images)
    weight = float(said.get("easy_weight", 1.0))
    course = PlannedCourse(plan, order, design.graph.image, weight)
    return replace(recipe, batch_size=plan.batch), course
