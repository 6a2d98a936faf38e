"""Steps that follow from extremes: the largest weight, and a percentile of activations.

With many bits extremes lose nothing; with few, almost everything is rounded to 0. A percentile
leaves out the rarest activations, which are clipped.

Source: Jacob et al., CVPR 2018, section 3 (largest values); McKinstry et al., "Discovering
Low-precision Networks Close to Full-precision Networks for Efficient Inference", arXiv 1809.04191
(percentiles of activations, e.g. 99.9).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from evaluators.quantization.interface import TINY, ObservedActivations, WeightRounding


class LargestWeights(WeightRounding):
    """Rounds weights so that the largest of each channel is its highest level.

    Args:
        bits: See `WeightRounding`.
        shape: Shape of the weights, output channels first.
    """

    zeros: Tensor

    def __init__(self, bits: int, shape: tuple[int, ...]) -> None:
        super().__init__(bits)
        self.per_channel = tuple(range(1, len(shape)))
        self.register_buffer("zeros", torch.zeros(shape[0], dtype=torch.int32), persistent=False)

    def steps(self, weight: Tensor) -> Tensor:
        """The largest weights over the number of levels; see `WeightRounding`."""
        largest = weight.detach().abs().amax(dim=self.per_channel)
        return largest.clamp_(min=TINY).div_(self.levels)

    def forward(self, weight: Tensor) -> Tensor:
        """Rounds; the step follows the present weights."""
        return torch.fake_quantize_per_channel_affine(
            weight, self.steps(weight), self.zeros, 0, -self.levels, self.levels
        )


class PercentileActivations(ObservedActivations):
    """Rounds activations so that a percentile of their sizes is the highest level.

    Args:
        bits: See `ActivationRounding`.
        signed: See `ActivationRounding`.
        percentile: Above 0, at most 100, which is the largest activation.
    """

    highest: Tensor

    def __init__(self, bits: int, *, signed: bool, percentile: float) -> None:
        super().__init__(bits, signed=signed)
        self.percentile = percentile
        self.register_buffer("highest", torch.tensor(-1.0))  # negative until the first batch

    @property
    def has_seen(self) -> bool:
        """Whether there is a percentile; see `ObservedActivations`."""
        return bool(self.highest >= 0)

    def observe(self, x: Tensor, share: float) -> None:
        """Follows the percentile of the batches; see `ObservedActivations`."""
        sizes = x.detach().abs().flatten()
        # The k-th smallest, as torch.quantile refuses more than 2^24 numbers.
        place = max(1, math.ceil(self.percentile / 100 * len(sizes)))
        self.highest.lerp_(sizes.kthvalue(place).values, share)

    def present_step(self) -> float:
        """The percentile over the highest level; see `ActivationRounding`."""
        return max(float(self.highest), TINY) / self.top
