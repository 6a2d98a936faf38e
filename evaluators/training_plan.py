"""Which batches a training takes, in which order and at how many bits: known before it begins.

The loop that trains and the metric that says what a training costs both follow it, so the cost is
that of the training. Without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from evaluators.precision_schedules import Constant, Schedule, schedule_of
from hwnas.arrays import Bools, Ints
from hwnas.design import FLOAT_BITS
from hwnas.design.searched_training import DOWNSAMPLE

_LEAST: Final = 2
"""Batch normalisation needs two images to normalise over."""


@dataclass(frozen=True)
class Plan:
    """The steps of a training.

    In every epoch each image is shown once, but for incomplete batches, which are left out (also of
    fewer easy images than a batch has). Hard and easy images never share a batch, as they differ in
    size; batches of easy ones are spread evenly among the others.

    Attributes:
        images: Training images there are.
        epochs: Passes over them.
        batch_size: Images per step (at most all hard ones).
        keep: Share of the images that are hard: shown as they are.
        downsampled: Whether the easy ones are shown, at half the resolution; else they are left
            out.
        schedule: The most bits at every step.
    """

    images: int
    epochs: int
    batch_size: int
    keep: float = 1.0
    downsampled: bool = False
    schedule: Schedule = field(default_factory=Constant)

    @classmethod
    def of(cls, recipe: Mapping[str, Any], images: int, epochs: int, batch_size: int) -> Plan:
        """The plan of a design.

        Args:
            recipe: What its genes say, see `hwnas.design.Design.recipe`.
            images: Training images there are.
            epochs: Passes over them.
            batch_size: Images per step where no gene says it.
        """
        return cls(
            images,
            epochs,
            int(recipe.get("batch_size", batch_size)),
            float(recipe.get("keep", 1.0)),
            recipe.get("easy") == DOWNSAMPLE,
            schedule_of(recipe),
        )

    @property
    def hard(self) -> int:
        """Images that are shown as they are: the rounded share, at least two."""
        return min(self.images, max(_LEAST, round(self.keep * self.images)))

    @property
    def batch(self) -> int:
        """Images per step."""
        return min(self.batch_size, self.hard)

    @property
    def hard_steps(self) -> int:
        """Batches of hard images in an epoch."""
        return self.hard // self.batch

    @property
    def easy_steps(self) -> int:
        """Batches of easy images in an epoch."""
        return (self.images - self.hard) // self.batch if self.downsampled else 0

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * (self.hard_steps + self.easy_steps)

    @cached_property
    def is_easy(self) -> Bools:
        """Which steps of an epoch take easy images, ``bool (steps of an epoch,)``."""
        steps = self.hard_steps + self.easy_steps
        before = np.arange(steps + 1) * self.easy_steps // steps
        return np.diff(before) > 0

    @cached_property
    def caps(self) -> Ints:
        """The most bits at every step of the training, ``int64 (steps,)``."""
        return self.schedule.caps(np.arange(self.steps), self.steps)

    @cached_property
    def shown(self) -> Ints:
        """Images that are shown at each number of bits at most.

        Returns:
            ``int64 (2, 33)``: hard ones and easy ones, times the most bits 0 to 32.
        """
        easy = np.tile(self.is_easy, self.epochs)
        counts = [np.bincount(self.caps[easy == kind], minlength=FLOAT_BITS + 1) for kind in (0, 1)]
        return np.stack(counts) * self.batch
