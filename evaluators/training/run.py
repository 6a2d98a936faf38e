"""One training that is watched: its learning curve, its best epoch, and how it goes on later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np

from evaluators import datasets
from evaluators.datasets import Dataset
from evaluators.training.loop import Trainer, error_rate
from evaluators.training.snapshots import Arrays, Snapshot, arrays_of, give_arrays, prefixed
from hwnas.errors import ProblemError
from hwnas.evaluation import Infeasible
from hwnas.metrics import Reason

_GRACE: Final = 0.5
"""Share of the epochs after which a loss that is not below chance is given up ..."""
_WARM_UP: Final = 2
"""... but never in the first epochs, in which small networks of 2 bits do not leave chance."""


@dataclass(frozen=True)
class Curve:
    """A learning curve, one number per finished epoch.

    Attributes:
        losses: Mean training losses.
        errors: Shares of held-out training images that are classified wrongly, 0 to 1; empty
            where none are held out.
    """

    losses: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()

    @property
    def best(self) -> int:
        """The first epoch, from 1, of least error; 0 where none is known."""
        return 1 + int(np.argmin(self.errors)) if self.errors else 0

    def diverged(self, epochs: int, chance: float) -> Infeasible | None:
        """Whether the newest epoch shows that nothing will come of the training.

        Args:
            epochs: That the training takes in all.
            chance: The loss of guessing, ln(classes).

        Returns:
            The answer, where the loss is not finite, or, in the second half of the epochs but
            after the second, not below chance.
        """
        epoch, loss = len(self.losses), self.losses[-1]
        is_late = epoch > max(_WARM_UP, _GRACE * epochs)
        if math.isfinite(loss) and not (is_late and loss >= chance):
            return None
        return Infeasible(
            f"diverged: mean loss {loss:.4g} in epoch {epoch} of {epochs}, chance is {chance:.4g}",
            Reason.DIVERGED,
        )

    def beginning(
        self, epochs: int, answer: Mapping[str, float] | Infeasible | None
    ) -> Mapping[str, float] | Infeasible:
        """The answer after the first epochs of a training.

        Args:
            epochs: How many.
            answer: That of the whole training, where it is over.

        Returns:
            ``1 - exp(-L)`` as the error, L being the loss of the last of these epochs; or that the
            training diverged by then.
        """
        if isinstance(answer, Infeasible) and len(self.losses) <= epochs:
            return answer
        return {"error": -math.expm1(-self.losses[:epochs][-1])}


class Run:
    """A training with its curve; its best epoch's weights are kept where images are held out.

    Args:
        trainer: Trains.
        held_out: The data set whose test images are watched after every epoch, or ``None``.
    """

    def __init__(self, trainer: Trainer, held_out: Dataset | None = None) -> None:
        self.trainer = trainer
        self.held_out = held_out
        self.curve = Curve()
        self.best: Arrays = {}

    @property
    def is_over(self) -> bool:
        """Whether all epochs are trained."""
        return self.trainer.epoch >= self.trainer.recipe.epochs

    def advance(self) -> None:
        """Trains one more epoch."""
        losses = (*self.curve.losses, self.trainer.train_epoch())
        errors = self.curve.errors
        module = self.trainer.module
        if self.held_out is not None:
            errors = (*errors, error_rate(module, self.held_out, self.trainer.device))
        self.curve = Curve(losses, errors)
        if self.curve.best == len(losses):
            self.best = arrays_of(module)

    def has_stalled(self, patience: int) -> bool:
        """Whether the newest epochs, so many, brought no lower error than the best before them."""
        return len(self.curve.errors) - self.curve.best >= patience

    def settle(self) -> None:
        """Gives the module the weights of the best epoch, where one is known."""
        if self.best:
            give_arrays(self.trainer.module, self.best)

    def snapshot(self) -> Snapshot:
        """All that `restore` needs to go on as if nothing had happened."""
        state = self.trainer.snapshot()
        facts = {**state.facts, "losses": self.curve.losses, "errors": self.curve.errors}
        return Snapshot({**state.arrays, **prefixed("best", self.best)}, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on where a snapshot was taken.

        Raises:
            ValueError: It is of another network or data set.
        """
        self.trainer.restore(snapshot)
        self.curve = curve_of(snapshot)
        self.best = snapshot.part("best")


def curve_of(snapshot: Snapshot) -> Curve:
    """The learning curve that a snapshot holds."""
    facts: Any = snapshot.facts
    return Curve(tuple(facts["losses"]), tuple(facts["errors"]))


_COPIES: Final = 3
"""Distorted copies of every held-out image, where the data set is distorted."""


@lru_cache(maxsize=1)
def split(dataset: Dataset, share: float) -> tuple[Dataset, Dataset]:
    """Holds out training images, always the same ones, distorted once and for all.

    Args:
        dataset: The data set.
        share: Of the training images, above 0 and below 1.

    Returns:
        The data set without them, and one that tests on them.

    Raises:
        ProblemError: It leaves nothing to train on, or holds out nothing.
    """
    n = len(dataset.train_labels)
    count = round(share * n)
    if not 0 < count < n - 1:
        raise ProblemError(
            f"{count} of the {n} training images cannot be held out",
            where="option validation",
            rule="at least one is held out, and at least two are trained on",
            given=f"{share:g}",
        )
    rng = np.random.default_rng(0)
    order = rng.permutation(n)
    out, rest = np.sort(order[:count]), np.sort(order[count:])
    is_distorted = bool(dataset.shift or dataset.noise)
    shown = np.tile(out, _COPIES) if is_distorted else out
    images = dataset.train_images[shown]
    if is_distorted:
        images = datasets.distorted(images, dataset.shift, dataset.noise, rng)
    train_images, train_labels = dataset.train_images[rest], dataset.train_labels[rest]
    kept = replace(dataset, train_images=train_images, train_labels=train_labels)
    watched = replace(kept, test_images=images, test_labels=dataset.train_labels[shown])
    return kept, watched
