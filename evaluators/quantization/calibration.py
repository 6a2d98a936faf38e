"""Quantisation after training (PTQ): trained in floating point, rounded from then on.

Quantisers wait in their networks, as a wrapper, until `calibrate` shows them what activations there
are. Whether they still wait is part of a network's state, so that a checkpoint knows it.

Source: Jacob et al., CVPR 2018, section 3 (post-training quantisation with ranges of activations
from a calibration set).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from evaluators.quantization.interface import (
    ActivationRounding,
    ObservedActivations,
    WeightRounding,
)


class WaitingWeights(WeightRounding):
    """Leaves weights as they are until `calibrate`, then rounds them.

    Args:
        inner: How.
    """

    waits: Tensor

    def __init__(self, inner: WeightRounding) -> None:
        super().__init__(inner.bits)
        self.inner = inner
        self.register_buffer("waits", torch.tensor(True))

    def steps(self, weight: Tensor) -> Tensor:
        """See `WeightRounding`."""
        return self.inner.steps(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Rounds, once it no longer waits."""
        if self.waits:
            return weight
        rounded: Tensor = self.inner(weight)
        return rounded


class WaitingActivations(ActivationRounding):
    """Leaves activations as they are until `calibrate`, then rounds them.

    Args:
        inner: How, by what it observes.
    """

    waits: Tensor

    def __init__(self, inner: ObservedActivations) -> None:
        super().__init__(inner.bits, signed=inner.signed)
        self.inner = inner
        self.share: float | None = None  # of the next batch, while it is being calibrated
        self.register_buffer("waits", torch.tensor(True))

    def present_step(self) -> float:
        """See `ActivationRounding`."""
        return self.inner.present_step()

    def forward(self, x: Tensor) -> Tensor:
        """Rounds, once it no longer waits."""
        if self.share is not None:
            self.inner.observe(x, self.share)
        if self.waits:
            return x
        rounded: Tensor = self.inner(x)
        return rounded


def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Shows a network trained in floating point some images, and has it round from then on.

    All ranges are observed in floating point, every batch counting alike; statistics of batch
    normalisation stay those of the training.

    Args:
        network: With quantisers that wait; its weights do not change. It is set to testing.
        batches: Images ``(n, channels, image, image)``, at least one batch.
    """
    network.eval()
    activations = [m for m in network.modules() if isinstance(m, WaitingActivations)]
    with torch.no_grad():
        for i, images in enumerate(batches):
            for module in activations:
                module.share = 1.0 / (i + 1)
            network(images)
    for module in activations:
        module.share = None
    for waiting in network.modules():
        if isinstance(waiting, WaitingActivations | WaitingWeights):
            waiting.waits.fill_(False)
