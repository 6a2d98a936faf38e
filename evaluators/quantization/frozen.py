"""A trained network as plain numbers: integer weights, steps, scales and shifts.

What integer-only arithmetic and exports read. Batch normalisation is folded into one scale and one
shift per channel; the rounding is that of the network as it is tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from evaluators.quantization.network import Computation, QuantizedNetwork
from hwnas.design.graph import Layer

_INFINITY = float("inf")


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
class FrozenLayer:
    """One layer: ``clamp(scale * operator(input, weight) + shift)`` per output channel.

    Attributes:
        layer: What it computes on what.
        grid: How its input is rounded; ``None`` if it is not.
        weight: Integers if there are `weight_steps`, else the weights themselves, ``float64 (K,
            C/groups, ...)``; ``None`` without weights.
        weight_steps: One step per output channel, ``float64 (K,)``.
        scale: What batch normalisation multiplies with, ``float64 (K,)``; 1 without.
        shift: What it or a bias adds, ``float64 (K,)``.
        low: The least output: 0 after a rectifier, else minus infinity.
        high: The largest output; infinity if there is none.
    """

    layer: Layer
    grid: Grid | None
    weight: Tensor | None
    weight_steps: Tensor | None
    scale: Tensor
    shift: Tensor
    low: float
    high: float


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
    layer = computation.layer
    rounded = computation.rounded
    grid = None
    if rounded is not None:
        grid = Grid(rounded.present_step(), rounded.bottom, rounded.top)
    weight, steps = _weights(computation)
    scale, shift = torch.ones(layer.K, dtype=torch.float64), _doubles(computation.bias, layer.K)
    normalised = computation.normalised
    if normalised is not None:
        deviation = (_doubles(normalised.running_var, layer.K) + normalised.eps).sqrt()
        scale = _doubles(normalised.weight, layer.K) / deviation
        shift = _doubles(normalised.bias, layer.K) - scale * _doubles(
            normalised.running_mean, layer.K
        )
    low = 0.0 if layer.activated else -_INFINITY
    return FrozenLayer(layer, grid, weight, steps, scale, shift, low, _INFINITY)


def _weights(computation: Computation) -> tuple[Tensor | None, Tensor | None]:
    weight, rounding = computation.weight, computation.rounded_weights
    if weight is None:
        return None, None
    if rounding is None:
        return weight.detach().double().cpu(), None
    steps = rounding.steps(weight).double().cpu()
    rounded = rounding(weight).double().cpu()
    codes = (rounded / steps.view(-1, *(1,) * (weight.dim() - 1))).round()
    return codes, steps


def _doubles(numbers: Tensor | None, count: int) -> Tensor:
    if numbers is None:
        return torch.zeros(count, dtype=torch.float64)
    return numbers.detach().double().cpu()
