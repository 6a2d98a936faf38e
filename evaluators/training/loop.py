"""One training and one test, on any torch module, in steps that others can see and change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evaluators import datasets
from evaluators.datasets import Dataset, Images
from evaluators.training.snapshots import Snapshot, arrays_of, give_arrays, prefixed
from hwnas.arrays import Floats, Ints

_TEST_BATCH = 400
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step (at most all of them); an incomplete batch is left out.
        learning_rate: The peak of the cycle.
        weight_decay: Decoupled weight decay, relative to the learning rate.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float


class Course:
    """What a training shows in every epoch and does before every step; this one shows everything.

    A subclass must not change while it is used: what it needs to remember, the trainer keeps. So
    a training that goes on from a checkpoint takes the same course.
    """

    def count(self, images: int, epoch: int, epochs: int) -> int:
        """How many images an epoch shows; all are asked before the first step.

        Args:
            images: How many there are.
            epoch: From 0.
            epochs: In all.
        """
        del epoch, epochs
        return images

    def chosen(
        self, losses: NDArray[np.float32], epoch: int, epochs: int, rng: np.random.Generator
    ) -> tuple[Ints, Floats | None]:
        """The images of an epoch, in order, and their weights.

        Args:
            losses: The newest loss of every image, ``(n,)``; NaN where it was not shown yet, or
                shown in an epoch without weights.
            epoch: From 0.
            epochs: In all.
            rng: Draws; its state is part of the training's.

        Returns:
            Rows, ``int64 (k,)`` with k as `count` says, and their weights in the mean loss of a
            batch, ``(k,)``, or ``None``: all 1.
        """
        del epoch, epochs
        return rng.permutation(len(losses)), None

    def seen(self, images: Tensor, step: int) -> Tensor:
        """What of a batch the module sees, e.g. at another resolution.

        Args:
            images: Distorted images ``(n, channels, image, image)``, on the device.
            step: From 0.
        """
        del step
        return images

    def before_step(self, module: nn.Module, step: int, steps: int) -> None:
        """Is called before every step, e.g. to change bits.

        Args:
            module: What is trained.
            step: From 0.
            steps: In all epochs.
        """


class Trainer:
    """Trains a module in place, epoch by epoch.

    Args:
        module: Images ``(n, channels, image, image)`` to scores ``(n, classes)``.
        dataset: What it learns.
        recipe: How.
        seed: Of the order of the images and of their distortions.
        course: What every epoch shows.
        device: Where the module is and its batches go.

    Attributes:
        epoch: Finished epochs.
        step: Finished steps.
        steps: Steps of every epoch, ``(epochs,)``.
        losses: See `Course.chosen`.
    """

    def __init__(
        self,
        module: nn.Module,
        dataset: Dataset,
        recipe: Recipe,
        seed: int,
        *,
        course: Course | None = None,
        device: torch.device = _CPU,
    ) -> None:
        self.module = module
        self.dataset = dataset
        self.recipe = recipe
        self.course = course or Course()
        self.device = device
        self.rng = np.random.default_rng(seed)
        n = len(dataset.train_images)
        shown = [self.course.count(n, epoch, recipe.epochs) for epoch in range(recipe.epochs)]
        self.batch = min(recipe.batch_size, *shown, n)
        self.steps = [count // self.batch for count in shown]
        self.epoch = self.step = 0
        self.losses = np.full(n, np.nan, dtype=np.float32)
        self.optimiser = torch.optim.AdamW(
            module.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.cycle = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, recipe.learning_rate, total_steps=sum(self.steps), cycle_momentum=False
        )

    def __iter__(self) -> Iterator[float]:
        """Trains the epochs that are left, and yields the mean loss of each."""
        while self.epoch < self.recipe.epochs:
            yield self.train_epoch()

    def train_epoch(self) -> float:
        """Trains one more epoch; returns its mean loss, with its images' weights."""
        self.module.train()
        dataset, steps = self.dataset, self.steps[self.epoch]
        order, weights = self.course.chosen(self.losses, self.epoch, self.recipe.epochs, self.rng)
        order = order[: steps * self.batch]
        images = dataset.train_images[order]
        shown = datasets.distorted(images, dataset.shift, dataset.noise, self.rng)
        total = 0.0
        for start, (x, y) in zip(
            range(0, len(order), self.batch),
            batches(shown, dataset.train_labels[order], self.batch, self.device),
            strict=True,
        ):
            rows = slice(start, start + self.batch)
            self.course.before_step(self.module, self.step, sum(self.steps))
            self.optimiser.zero_grad()
            x = self.course.seen(x, self.step)
            loss = self._loss(x, y, order[rows], None if weights is None else weights[rows])
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.cycle.step()
            self.step += 1
            total += loss.item()
        self.epoch += 1
        return total / steps

    def snapshot(self) -> Snapshot:
        """Everything that `restore` needs to go on as if nothing had happened."""
        state = self.optimiser.state_dict()
        arrays = {
            f"{i}.{name}": tensor.cpu().numpy()
            for i, tensors in state["state"].items()
            for name, tensor in tensors.items()
        }
        facts = {
            "epoch": self.epoch,
            "step": self.step,
            "groups": state["param_groups"],
            "cycle": self.cycle.state_dict(),
            "rng": self.rng.bit_generator.state,
        }
        module = prefixed("module", arrays_of(self.module))
        return Snapshot(
            {**module, **prefixed("optimiser", arrays), "image_losses": self.losses}, facts
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on where a snapshot was taken.

        Raises:
            ValueError: It is of another network, data set or optimiser.
        """
        facts = snapshot.facts
        state: dict[int, dict[str, Tensor]] = {}
        for name, array in snapshot.part("optimiser").items():
            i, _, key = name.partition(".")
            state.setdefault(int(i), {})[key] = torch.from_numpy(np.array(array))
        if snapshot.arrays["image_losses"].shape != self.losses.shape:
            raise ValueError(f"it is of {len(snapshot.arrays['image_losses'])} training images")
        give_arrays(self.module, snapshot.part("module"))
        self.optimiser.load_state_dict({"state": state, "param_groups": facts["groups"]})
        self.cycle.load_state_dict(dict(facts["cycle"]))
        self.rng.bit_generator.state = facts["rng"]
        self.losses = np.array(snapshot.arrays["image_losses"])
        self.epoch, self.step = facts["epoch"], facts["step"]

    def _loss(self, x: Tensor, y: Tensor, rows: Ints, weights: Floats | None) -> Tensor:
        if weights is None:
            return functional.cross_entropy(self.module(x), y)
        each = functional.cross_entropy(self.module(x), y, reduction="none")
        self.losses[rows] = each.detach().cpu().numpy()
        return (each * torch.as_tensor(weights, dtype=each.dtype, device=each.device)).mean()


def train(module: nn.Module, dataset: Dataset, recipe: Recipe, seed: int) -> Iterator[float]:
    """Trains a module in place, on the usual course; see `Trainer`.

    Yields:
        The mean loss of every epoch.
    """
    yield from Trainer(module, dataset, recipe, seed)


def batches(
    images: Images, labels: Ints, size: int, device: torch.device = _CPU
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cuts images and labels into batches; the last may be smaller.

    Args:
        images: ``(n, channels, image, image)``.
        labels: ``(n,)``.
        size: Images per batch.
        device: Where they go.

    Yields:
        Copies as tensors.
    """
    for start in range(0, len(labels), size):
        rows = slice(start, start + size)
        yield (
            torch.tensor(images[rows], device=device),
            torch.tensor(labels[rows], device=device),
        )


def error_rate(module: nn.Module, dataset: Dataset, device: torch.device = _CPU) -> float:
    """The share of test images whose class does not get the highest score, 0 to 1."""
    module.eval()
    wrong = 0
    with torch.inference_mode():
        for x, y in batches(dataset.test_images, dataset.test_labels, _TEST_BATCH, device):
            wrong += int((module(x).argmax(1) != y).sum())
    return wrong / len(dataset.test_labels)
