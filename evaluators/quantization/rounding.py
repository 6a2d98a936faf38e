"""Steps that follow from mean squares: how `QuantizedNetwork` rounds, if nothing else is asked for.

Rounding is simulated in single precision, and its gradient is that of the identity inside the
range and 0 outside (straight-through estimator).

Ranges follow from statistics instead of extremes, without which 2 bits would round almost every
weight to 0: the step is the one of least squared error for normally distributed numbers of the
same mean square.

Sources: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018 (fake quantisation); Choi et al., "Bridging the
Accuracy Gap for 2-bit Quantized Neural Networks", arXiv 1807.06964 (weight ranges from
statistics); Max, "Quantizing for Minimum Distortion", IRE Trans. Information Theory 6, 1960 (the
step).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from evaluators.precision_schedules import EXACT_BITS
from evaluators.quantization.interface import (
    NEWEST,
    TINY,
    ObservedActivations,
    WeightRounding,
)

__all__ = ["EXACT_BITS", "NEWEST", "RoundedActivations", "RoundedWeights", "normal_step"]


@cache
def normal_step(levels: int) -> float:
    """The rounding step of least mean squared error for normally distributed numbers.

    Example:
        >>> round(normal_step(1), 2), round(normal_step(3), 2)  # 3 and 7 levels: Max, table II
        (1.22, 0.65)

    Args:
        levels: Levels above 0. A signed grid has as many below it; an unsigned one is for
            half-normal numbers, for which the answer is the same by symmetry.

    Returns:
        The step in units of the root mean square of the numbers.
    """
    numbers = np.linspace(0.0, 8.0, 4001)
    density = np.exp(-0.5 * numbers**2)

    def error(step: float) -> float:
        rounded = step * np.minimum(np.rint(numbers / step), levels)
        return float(density @ (numbers - rounded) ** 2)

    lowest, highest = 2.0 / (levels + 1), 8.0 / levels
    for _ in range(2):  # a coarse grid, then a fine one around its best
        steps = np.geomspace(lowest, highest, 101)
        best = int(np.argmin([error(step) for step in steps]))
        lowest, highest = steps[max(best - 1, 0)], steps[min(best + 1, 100)]
    return float(steps[best])


class RoundedWeights(WeightRounding):
    """Rounds weights with the step that suits their mean square, channel by channel.

    Args:
        bits: See `WeightRounding`.
        shape: Shape of the weights, output channels first.
    """

    zeros: Tensor

    def __init__(self, bits: int, shape: tuple[int, ...]) -> None:
        super().__init__(bits)
        self.per_channel = tuple(range(1, len(shape)))
        self.root = int(np.prod(shape[1:])) ** 0.5  # norm / root: root mean square
        self.register_buffer("zeros", torch.zeros(shape[0], dtype=torch.int32), persistent=False)

    def steps(self, weight: Tensor) -> Tensor:
        """The steps that suit the weights; see `WeightRounding`."""
        norm: Tensor = torch.linalg.vector_norm(weight.detach(), dim=self.per_channel)
        return norm.mul_(normal_step(self.levels) / self.root).clamp_(min=TINY)

    def forward(self, weight: Tensor) -> Tensor:
        """Rounds; the step follows the present weights."""
        return torch.fake_quantize_per_channel_affine(
            weight, self.steps(weight), self.zeros, 0, -self.levels, self.levels
        )


class RoundedActivations(ObservedActivations):
    """Rounds activations with the step that suits their mean square.

    Args:
        bits: See `ActivationRounding`.
        signed: See `ActivationRounding`.
    """

    mean_square: Tensor

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__(bits, signed=signed)
        self.register_buffer("mean_square", torch.tensor(-1.0))  # negative until the first batch

    @property
    def has_seen(self) -> bool:
        """Whether there is a mean square; see `ObservedActivations`."""
        return bool(self.mean_square >= 0)

    def observe(self, x: Tensor, share: float) -> None:
        """Follows the mean square; see `ObservedActivations`."""
        newest = torch.linalg.vector_norm(x.detach()).square_().div_(x.numel())
        self.mean_square.lerp_(newest, share)

    def present_step(self) -> float:
        """The step that suits the batches seen so far; see `ActivationRounding`."""
        return float(max(self.mean_square.sqrt().item(), TINY) * normal_step(self.top))
