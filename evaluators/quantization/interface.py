"""What a quantiser is: how `QuantizedNetwork` rounds, and what others read of it afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

NEWEST: Final = 0.1
"""Share of the newest batch in running statistics, as in torch's batch normalisation."""
TINY: Final = 1e-8
"""The smallest range: a channel of zeros must not divide by zero."""


class WeightRounding(nn.Module, ABC):
    """Rounds weights symmetrically, with one step per output channel.

    Args:
        bits: At least 2; the levels are -(2^(bits-1) - 1) to 2^(bits-1) - 1.

    Attributes:
        bits: Its own bits.
        levels: Levels above 0 at present; see `limit`.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.levels: int = 2 ** (bits - 1) - 1

    def limit(self, bits: int) -> None:
        """From now on rounds to so many bits, at least 2, or to its own if these are fewer."""
        self.levels = 2 ** (min(self.bits, bits) - 1) - 1

    @abstractmethod
    def steps(self, weight: Tensor) -> Tensor:
        """The steps with which weights ``(K, ...)`` are rounded, all above 0, ``(K,)``."""

    @abstractmethod
    def forward(self, weight: Tensor) -> Tensor:
        """Rounds weights ``(K, ...)`` to integers times `steps`."""


class ActivationRounding(nn.Module, ABC):
    """Rounds activations with one step per tensor.

    Args:
        bits: At least 2.
        signed: Whether there are negative activations: the levels are then those of weights,
            else 0 to 2^bits - 1.

    Attributes:
        bits: Its own bits.
        bottom: The lowest level at present; see `limit`.
        top: The highest level at present.
        follows: Whether statistics, if there are any, follow the batches of the training.
    """

    def __init__(self, bits: int, *, signed: bool) -> None:
        super().__init__()
        self.bits = bits
        self.signed = signed
        self.bottom, self.top = 0, 0
        self.follows = True
        self.limit(bits)

    def limit(self, bits: int) -> None:
        """From now on rounds to so many bits, at least 2, or to its own if these are fewer."""
        bits = min(self.bits, bits)
        self.top = 2 ** (bits - 1) - 1 if self.signed else 2**bits - 1
        self.bottom = -self.top if self.signed else 0

    @abstractmethod
    def present_step(self) -> float:
        """The step with which the next batch is rounded when testing, above 0."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Rounds a batch of any shape to levels times the step."""


class ObservedActivations(ActivationRounding):
    """Rounds activations with a step that follows from the batches seen; see the subclasses.

    In training, the newest batch counts a tenth, as in torch's batch normalisation.
    """

    @property
    @abstractmethod
    def has_seen(self) -> bool:
        """Whether it has observed a batch."""

    @abstractmethod
    def observe(self, x: Tensor, share: float) -> None:
        """Takes a batch into account.

        Args:
            x: Activations of any shape.
            share: What the batch counts, against all others before it; 1 forgets these.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Rounds a batch of any shape; see `ActivationRounding`."""
        if (self.training and self.follows) or not self.has_seen:
            self.observe(x, NEWEST if self.has_seen else 1.0)
        step = self.present_step()
        # Torch's fake_quantize_per_tensor_affine goes number by number: three times slower.
        clipped = functional.hardtanh(x, self.bottom * step, self.top * step)
        rounded: Tensor = _Nearest.apply(clipped, step)  # type: ignore[no-untyped-call]
        return rounded


class _Nearest(torch.autograd.Function):
    """Rounds to multiples of a step; the gradient passes as if nothing had happened."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: float) -> Tensor:
        return x.div(step).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
