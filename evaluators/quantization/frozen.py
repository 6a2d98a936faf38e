"""A trained network as plain numbers: integer weights, steps, scales and shifts.

What integer-only arithmetic and exports read. Batch normalisation is folded into one scale and one
shift per channel; the rounding is that of the network as it is tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from evaluators.quantization.network import Computation, QuantizedNetwork
from hwnas.design.graph import Activation, Layer


@dataclass(frozen=True)
class Grid:
    """The numbers that a rounded activation can take: ``step`` times an integer.

    Attributes:
        step: In units of the activation.
        bottom: The lowest integer.
        top: The highest.
    """

    step: float
    bottom: int
    top: int


@dataclass(frozen=True, eq=False)
class Affine:
    """``activation(scale * x + shift)``, channel by channel.

    Attributes:
        scale: What batch normalisation multiplies with, ``float64 (channels,)``; 1 without.
        shift: What it or a bias adds, ``float64 (channels,)``; 0 without.
        activation: What follows.
    """

    scale: Tensor
    shift: Tensor
    activation: Activation

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        plain = bool((self.scale == 1).all() and (self.shift == 0).all())
        return plain and self.activation is Activation.NONE


@dataclass(frozen=True, eq=False)
class FrozenLayer:
    """One layer: ``after(operator(rounded(before(joined sources)), weight))``.

    Attributes:
        layer: What it computes on what.
        before: What is done to the joined sources.
        grid: How they are rounded then; ``None`` if they are not.
        weight: Integers if there are `weight_steps`, else the weights themselves, ``float64 (K,
            C/groups, ...)``; ``None`` without weights.
        weight_steps: One step per output channel, ``float64 (K,)``.
        after: What is done to what the operator computed.
    """

    layer: Layer
    before: Affine
    grid: Grid | None
    weight: Tensor | None
    weight_steps: Tensor | None
    after: Affine


def frozen(network: QuantizedNetwork) -> tuple[FrozenLayer, ...]:
    """Reads a trained network, layer by layer, in the order of execution.

    Args:
        network: After training; it is set to testing.
    """
    network.eval()
    with torch.no_grad():
        computations = cast("Iterable[Computation]", network.computations)
        return tuple(_frozen(computation) for computation in computations)


def _frozen(computation: Computation) -> FrozenLayer:
    layer, rounded = computation.layer, computation.rounded
    grid = None
    if rounded is not None:
        grid = Grid(rounded.present_step(), rounded.bottom, rounded.top)
    return FrozenLayer(
        layer,
        _affine(computation.prepared, None, layer.C, layer.activation_before),
        grid,
        *_weights(computation),
        _affine(computation.normalised, computation.bias, layer.K, layer.activation),
    )


def _affine(
    normalised: nn.BatchNorm2d | None, bias: Tensor | None, channels: int, activation: Activation
) -> Affine:
    if normalised is None:
        shift = torch.zeros(channels) if bias is None else bias
        return Affine(torch.ones(channels, dtype=torch.float64), _doubles(shift), activation)
    assert normalised.running_mean is not None
    assert normalised.running_var is not None
    scale = _doubles(normalised.weight) / (_doubles(normalised.running_var) + normalised.eps).sqrt()
    shift = _doubles(normalised.bias) - scale * _doubles(normalised.running_mean)
    return Affine(scale, shift, activation)


def _weights(computation: Computation) -> tuple[Tensor | None, Tensor | None]:
    weight, rounding = computation.weight, computation.rounded_weights
    if weight is None:
        return None, None
    if rounding is None:
        return _doubles(weight), None
    steps = _doubles(rounding.steps(weight))
    along = steps.view(-1, *(1,) * (weight.dim() - 1))
    return (_doubles(rounding(weight)) / along).round(), steps


def _doubles(numbers: Tensor) -> Tensor:
    return numbers.detach().double().cpu()
