"""One training and one test, on any torch module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators import datasets
from evaluators.datasets import Dataset, Images
from hwnas.arrays import Ints

_TEST_BATCH = 400


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


def train(module: nn.Module, dataset: Dataset, recipe: Recipe, seed: int) -> Iterator[float]:
    """Trains a module in place, epoch by epoch.

    Args:
        module: Images ``(n, channels, image, image)`` to scores ``(n, classes)``.
        dataset: What it learns.
        recipe: How.
        seed: Of the order of the images and of their distortions.

    Yields:
        The mean loss of every epoch.
    """
    rng = np.random.default_rng(seed)
    n = len(dataset.train_images)
    batch = min(recipe.batch_size, n)
    steps = n // batch
    optimiser = torch.optim.AdamW(
        module.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps, cycle_momentum=False
    )
    module.train()
    for _ in range(recipe.epochs):
        order = rng.permutation(n)[: steps * batch]
        shown = datasets.distorted(dataset.train_images[order], dataset.shift, dataset.noise, rng)
        total = 0.0
        for x, y in batches(shown, dataset.train_labels[order], batch):
            optimiser.zero_grad()
            loss = functional.cross_entropy(module(x), y)
            torch.autograd.backward(loss)
            optimiser.step()
            cycle.step()
            total += loss.item()
        yield total / steps


def batches(images: Images, labels: Ints, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Cuts images and labels into batches; the last may be smaller.

    Args:
        images: ``(n, channels, image, image)``.
        labels: ``(n,)``.
        size: Images per batch.

    Yields:
        Copies as tensors.
    """
    for start in range(0, len(labels), size):
        rows = slice(start, start + size)
        yield torch.tensor(images[rows]), torch.tensor(labels[rows])


def error_rate(module: nn.Module, dataset: Dataset) -> float:
    """The share of test images whose class does not get the highest score, 0 to 1."""
    module.eval()
    wrong = 0
    with torch.inference_mode():
        for x, y in batches(dataset.test_images, dataset.test_labels, _TEST_BATCH):
            wrong += int((module(x).argmax(1) != y).sum())
    return wrong / len(dataset.test_labels)
