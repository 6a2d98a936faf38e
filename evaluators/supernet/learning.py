"""Steps of training, each a function of the seed and its number alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators import datasets
from evaluators.datasets import Dataset
from evaluators.training.loop import error_rate
from hwnas.arrays import Ints

_ORDER, _DISTORTION, _CALIBRATION = range(3)
"""Streams of random numbers."""
_CALIBRATION_BATCH = 250


@dataclass(frozen=True)
class Batches:
    """An endless sequence of batches of distorted training images.

    Attributes:
        dataset: Where they come from.
        size: Images per batch (at most all of them).
        seed: Of their order and distortions.
    """

    dataset: Dataset
    size: int
    seed: int

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Images and labels of a step; all images come once before any comes again."""
        n = len(self.dataset.train_labels)
        size = min(self.size, n)
        epoch, place = divmod(step, n // size)
        rows = _order(self.seed, epoch, n)[place * size : (place + 1) * size]
        return _shown(self.dataset, rows, (self.seed, _DISTORTION, step))

    def calibration(self, images: int) -> Iterator[Tensor]:
        """Distorted training images in batches, always the same."""
        n = len(self.dataset.train_labels)
        rows = np.random.default_rng((self.seed, _CALIBRATION)).permutation(n)[:images]
        for start in range(0, len(rows), _CALIBRATION_BATCH):
            some = rows[start : start + _CALIBRATION_BATCH]
            yield _shown(self.dataset, some, (self.seed, _CALIBRATION, start))[0]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, n: int) -> Ints:
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(n)


def _shown(dataset: Dataset, rows: Ints, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    images, rng = dataset.train_images[rows], np.random.default_rng(seed)
    shown = datasets.distorted(images, dataset.shift, dataset.noise, rng)
    return channels_last(torch.from_numpy(shown)), torch.from_numpy(dataset.train_labels[rows])


def channels_last(images: Tensor) -> Tensor:
    """The same images, laid out so that small convolutions compute in two thirds of the time."""
    # Not `contiguous`: it leaves images of one channel, to which all layouts are one, as they are.
    return images.to(memory_format=torch.channels_last)


class ChannelsLast(nn.Module):
    """A network whose images are laid out by `channels_last`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """What the network answers."""
        scores: Tensor = self.network(channels_last(images))
        return scores


def one_cycle(
    parameters: Iterator[nn.Parameter], rate: float, decay: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW whose learning rate rises for 30 % of the steps and falls along a cosine.

    Args:
        parameters: What is trained.
        rate: The peak.
        decay: Decoupled weight decay, relative to the learning rate.
        steps: How many there are.
    """
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=max(steps, 2), cycle_momentum=False
    )
    return optimiser, cycle


def fit(network: nn.Module, batches: Batches, steps: int, rate: float, decay: float) -> bool:
    """Trains a network in place for some steps.

    Returns:
        Whether every loss was finite; the training ends where one is not.
    """
    optimiser, cycle = one_cycle(network.parameters(), rate, decay, steps)
    network.train()
    for step in range(steps):
        images, labels = batches[step]
        optimiser.zero_grad()
        loss = functional.cross_entropy(network(images), labels)
        if not math.isfinite(loss.item()):
            return False
        torch.autograd.backward(loss)
        optimiser.step()
        cycle.step()
    return True


def recalibrate(network: nn.Module, batches: Batches, images: int) -> None:
    """Computes the statistics of batch normalisation, and the ranges of activations, anew.

    Shared weights have none of their own: those of one network are wrong for all others.

    Args:
        network: Its statistics become the means over all batches.
        batches: Where the images come from.
        images: How many.

    Source: Yu and Huang, ICCV 2019 (post-statistics of batch normalisation).
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        for shown in batches.calibration(images):
            network(shown)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


def error_of(network: nn.Module, dataset: Dataset) -> float:
    """The share of test images that it gets wrong."""
    return error_rate(ChannelsLast(network), dataset)
