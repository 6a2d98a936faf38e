"""Fake quantisation of weights and activations: how `QuantizedNetwork` rounds.

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
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evaluators.precision_schedules import EXACT_BITS
from evaluators.quantization.interface import ActivationRounding, WeightRounding

__all__ = ["EXACT_BITS", "NEWEST", "RoundedActivations", "RoundedWeights", "normal_step"]

NEWEST: Final = 0.1
"""Share of the newest batch in running statistics, as in torch's batch normalisation."""
_TINY = 1e-8
"""The smallest root mean square: a channel of zeros must not divide by zero."""


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
        return norm.mul_(normal_step(self.levels) / self.root).clamp_(min=_TINY)

    def forward(self, weight: Tensor) -> Tensor:
        """Rounds; the step follows the present weights."""
        return torch.fake_quantize_per_channel_affine(
            weight, self.steps(weight), self.zeros, 0, -self.levels, self.levels
        )


class _Nearest(torch.autograd.Function):
    """Rounds to multiples of a step; the gradient passes as if nothing had happened."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float) -> Tensor:
        return x.div(step).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class RoundedActivations(ActivationRounding):
    """Rounds activations with the step that suits their mean square.

    It follows the batches seen in training, newest weighted most.

    Args:
        bits: See `ActivationRounding`.
        signed: See `ActivationRounding`.
    """

    mean_square: Tensor

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__(bits, signed=signed)
        self.register_buffer("mean_square", torch.tensor(-1.0))

    def present_step(self) -> float:
        """The step that suits the batches seen so far; see `ActivationRounding`."""
        return float(max(self.mean_square.sqrt().item(), _TINY) * normal_step(self.top))

    def forward(self, x: Tensor) -> Tensor:
        """Rounds a batch of any shape."""
        if (self.training and self.follows) or self.mean_square < 0:
            newest = torch.linalg.vector_norm(x.detach()).square_().div_(x.numel())
            # Negative until the first batch, whose statistics then count alone.
            share = NEWEST if self.mean_square >= 0 else 1.0
            self.mean_square.lerp_(newest, share)
        step = self.present_step()
        # Torch's fake_quantize_per_tensor_affine goes number by number: three times slower.
        clipped = functional.hardtanh(x, self.bottom * step, self.top * step)
        rounded: Tensor = _Nearest.apply(clipped, step)  # type: ignore[no-untyped-call]
        return rounded
