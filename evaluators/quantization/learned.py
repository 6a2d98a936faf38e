"""Learned step sizes: steps are trained with the weights.

The gradient of a rounded number v' with regard to its step s is (Esser et al., equation 3)

    round(v / s) - v / s    inside the range,    -Q_N or Q_P    outside,

scaled by g = 1 / sqrt(N Q_P) with N weights of a channel or activations of an image (section 2.2);
steps begin at 2 mean|v| / sqrt(Q_P). Two things are our own: weights have one step per channel, and
what is trained is the logarithm of a step, relative to its beginning. So steps stay above 0, and
the optimiser's learning rate, the same for all parameters and large for AdamW, moves them by so
many percent whatever their size.

Source: Esser, McKinstry, Bablani, Appuswamy, Modha, "Learned Step Size Quantization", ICLR 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evaluators.quantization.interface import TINY, ActivationRounding, WeightRounding


class LearnedWeights(WeightRounding):
    """Rounds weights with learned steps, one per output channel.

    Args:
        bits: See `WeightRounding`.
        shape: Shape of the weights, output channels first.
    """

    first: Tensor

    def __init__(self, bits: int, shape: tuple[int, ...]) -> None:
        super().__init__(bits)
        self.most = self.levels  # fewer levels, for a time, have wider steps
        self.along = (-1, *(1,) * (len(shape) - 1))
        self.log_factor = nn.Parameter(torch.zeros(shape[0]))
        self.register_buffer("first", torch.full((shape[0],), -1.0))  # until the first weights

    def steps(self, weight: Tensor) -> Tensor:
        """The present steps, with their gradients; see `WeightRounding`."""
        if self.first[0] < 0:
            self.first.copy_(_beginning(weight.detach().flatten(1).abs().mean(1), self.most))
        steps: Tensor = self.first * self.log_factor.exp() * (self.most / self.levels)
        return steps

    def forward(self, weight: Tensor) -> Tensor:
        """Rounds to the present steps."""
        steps = self.steps(weight).view(self.along)
        return _rounded(weight, steps, weight[0].numel(), -self.levels, self.levels)


class LearnedActivations(ActivationRounding):
    """Rounds activations with one learned step per tensor.

    Args:
        bits: See `ActivationRounding`.
        signed: See `ActivationRounding`.
    """

    first: Tensor

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__(bits, signed=signed)
        self.most = self.top
        self.log_factor = nn.Parameter(torch.zeros(()))
        self.register_buffer("first", torch.tensor(-1.0))  # until the first batch

    def present_step(self) -> float:
        """The present step; see `ActivationRounding`."""
        return float(self._step().detach())

    def forward(self, x: Tensor) -> Tensor:
        """Rounds to the present step; the first batch gives the first one."""
        if self.first < 0:
            self.first.copy_(_beginning(x.detach().abs().mean(), self.most))
        return _rounded(x, self._step(), x[0].numel(), self.bottom, self.top)

    def _step(self) -> Tensor:
        step: Tensor = self.first * self.log_factor.exp() * (self.most / self.top)
        return step


def _beginning(mean: Tensor, top: int) -> Tensor:
    step: Tensor = 2.0 * mean / top**0.5
    return step.clamp(min=TINY)


def _rounded(x: Tensor, step: Tensor, count: int, bottom: int, top: int) -> Tensor:
    """Rounds, with gradients for the numbers (straight through) and for the step (equation 3)."""
    share = (count * top) ** -0.5
    step = step * share + (step * (1.0 - share)).detach()
    inside = (x / step).clamp(bottom, top)
    return (inside + (inside.round() - inside).detach()) * step
