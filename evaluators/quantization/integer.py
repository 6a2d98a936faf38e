"""A trained network in integers only: what a fixed-point accelerator would compute.

Weights, activations and accumulators are integers. What lies between the accumulators of one layer
and the input of the next (the steps of both, batch normalisation, rectification) is one integer
multiplication, one addition and one shift per number:

    q = clip((multiplier * accumulator + bias + 2^(shift-1)) >> shift)

with a multiplier of at most 31 bits and a shift per output channel. A layer's accumulators are
brought to the grid of every layer that draws on them, straight away, as fake quantisation rounds
them there; sources that are added meet at 2^-16 of a step, and are rounded once more after it.
Halves are rounded up. Images are rounded to the first grids when they come in.

Fake quantisation computes the same in single precision, so the two differ where rounding errors of
either decide between two neighbours. The accumulators themselves are exact.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2 (multiplier and shift); the multipliers
there are of one per layer, and batch normalisation is folded into the weights.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.quantization.frozen import FrozenLayer, Grid, frozen
from evaluators.quantization.network import QuantizedNetwork
from hwnas.design.graph import Join, Source
from hwnas.design.layers import Operator
from hwnas.errors import DesignError

_MULTIPLIER_BITS: Final = 31
_PRODUCT_BITS: Final = 61
"""What a multiplied accumulator and its bias stay below, with room for the rounding half."""
_EXACT: Final = 53
"""Bits of the significand of a double: sums of integers below 2^53 are exact in any order."""
_FRACTION: Final = 16
"""Bits after the point where sources are added, and in the scores."""
_OPERATORS: Final = (Operator.CONVOLUTION, Operator.LINEAR, Operator.POOL)
_JOINS: Final = (Join.CONCATENATE, Join.ADD)


class IntegerNetwork(nn.Module):
    """A trained network in integers only.

    Convolutions are computed in double precision on integers, which is exact: no accumulator can
    reach 2^53, or the network is refused.

    Args:
        network: After training.

    Raises:
        DesignError: A layer is not rounded (24 bits or more), its accumulators could outgrow 53
            bits, or it has an operator, a join or an activation function that has no integer
            form here.

    Attributes:
        accumulator_bits: Bits that the accumulators of each layer need, with sign, whatever the
            image.
    """

    def __init__(self, network: QuantizedNetwork) -> None:
        super().__init__()
        layers = frozen(network)
        for layer in layers:
            _check(layer)
        self.inputs = nn.ModuleList(_Input(layers, i) for i in range(len(layers)))
        self.layers = nn.ModuleList(_Accumulation(layer) for layer in layers)
        last = len(layers) - 1
        unit = float(_units(layers[last]).max())
        self.scores = _Rescaling(layers[last], unit, _FRACTION)
        self.accumulator_bits = tuple(_bound(layer).bit_length() + 1 for layer in layers)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, ``int64 (n, classes)``, in a unit that all of them share.

        Args:
            images: ``(n, channels, image, image)``, 0 to 1.
        """
        accumulators = [images.double()]
        for gather, layer in zip(self.inputs, self.layers, strict=True):
            accumulators.append(layer(gather(accumulators)))
        scores: Tensor = self.scores(accumulators[-1])
        return scores.flatten(1)


class _Accumulation(nn.Module):
    """The operator of one layer on integers: ``int64 (n, C, h, w)`` to ``(n, K, p, q)``."""

    weight: Tensor | None

    def __init__(self, frozen: FrozenLayer) -> None:
        super().__init__()
        self.layer = frozen.layer
        self.register_buffer("weight", frozen.weight, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        layer, x = self.layer, x.double()
        if self.weight is None:
            # The sum of each window; what it is divided by is in the multiplier.
            sums = functional.avg_pool2d(x, layer.kernel, layer.stride, divisor_override=1)
        elif layer.operator is Operator.LINEAR:
            sums = functional.linear(x.flatten(1), self.weight)[:, :, None, None]
        else:
            padding = (layer.kernel - 1) // 2
            sums = functional.conv2d(
                x, self.weight, None, layer.stride, padding, groups=layer.groups
            )
        return sums.long()


class _Rescaling(nn.Module):
    """Accumulators of a layer in another unit, clamped as its activation function does.

    Args:
        frozen: Whose accumulators.
        unit: The new unit, e.g. the step of who draws on them.
        fraction: Bits that are kept after the point.

    Raises:
        DesignError: The numbers could outgrow 64 bits.
    """

    multiplier: Tensor
    bias: Tensor
    shift: Tensor

    def __init__(self, frozen: FrozenLayer, unit: float, fraction: int) -> None:
        super().__init__()
        gain, offset = _units(frozen) * frozen.scale / unit, frozen.shift / unit
        reach = _bound(frozen) * gain.abs() + offset.abs() + 1.0
        # As fine as 31 bits of multiplier and 61 bits of product allow, channel by channel.
        widest = torch.clamp(torch.log2(gain.abs()), min=-_PRODUCT_BITS).floor()
        shift = torch.minimum(
            _MULTIPLIER_BITS - 1 - widest, _PRODUCT_BITS - 1 - torch.log2(reach).floor()
        )
        if bool((shift <= fraction).any()):
            raise DesignError(
                f"the numbers of layer {frozen.layer.name!r} are too wide for integers",
                rule=f"accumulators times multipliers below 2^{_PRODUCT_BITS}",
                given=f"up to 2^{float(torch.log2(reach).max()):.0f} steps",
                cure="fewer bits",
            )
        self.fraction = fraction
        self.low, self.high = _clamp(frozen.low, frozen.high, unit, fraction)
        for name, numbers in (
            ("multiplier", torch.round(gain * 2.0**shift)),
            ("bias", torch.round(offset * 2.0**shift)),
            ("shift", shift - fraction),
        ):
            self.register_buffer(name, numbers.long().view(-1, 1, 1), persistent=False)

    def forward(self, accumulators: Tensor) -> Tensor:
        """``int64 (n, K, p, q)`` in units of 2^-fraction."""
        half = torch.ones_like(self.shift) << (self.shift - 1)
        scaled = (accumulators * self.multiplier + self.bias + half) >> self.shift
        return scaled.clamp_(self.low, self.high)


class _Image(nn.Module):
    """Images, which are no integers yet, in units of 2^-fraction steps."""

    def __init__(self, unit: float, fraction: int) -> None:
        super().__init__()
        self.factor = 2.0**fraction / unit

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.factor).round().long()


class _Input(nn.Module):
    """Joins the sources of a layer on its grid: accumulators so far to ``int64 (n, C, h, w)``."""

    def __init__(self, layers: tuple[FrozenLayer, ...], index: int) -> None:
        super().__init__()
        layer, grid = layers[index].layer, _grid(layers[index])
        self.grid = grid
        self.adds = layer.join is Join.ADD and len(layer.sources) > 1
        self.fraction = _FRACTION if self.adds else 0
        self.sources = [source.layer + 1 for source in layer.sources]
        self.channels = [_channels(source) for source in layer.sources]
        self.rescaled = nn.ModuleList(
            _Image(grid.step, self.fraction)
            if source.layer < 0
            else _Rescaling(layers[source.layer], grid.step, self.fraction)
            for source in layer.sources
        )

    def forward(self, accumulators: list[Tensor]) -> Tensor:
        parts = [
            rescaled(accumulators[source])[:, channels]
            for rescaled, source, channels in zip(
                self.rescaled, self.sources, self.channels, strict=True
            )
        ]
        joined: Tensor
        if self.adds:
            added = torch.cat(parts[1:], dim=1)
            total = parts[0].clone()
            total[:, : added.shape[1]] += added
            joined = (total + (1 << (self.fraction - 1))) >> self.fraction
        else:
            joined = torch.cat(parts, dim=1)
        return joined.clamp_(self.grid.bottom, self.grid.top)


def _channels(source: Source) -> slice | list[int]:
    return slice(None) if source.channels is None else list(source.channels)


def _units(frozen: FrozenLayer) -> Tensor:
    """What one unit of the accumulators of each channel is worth, ``(K,)``."""
    step = _grid(frozen).step
    if frozen.weight_steps is None:
        window = frozen.layer.kernel**2
        return torch.full((frozen.layer.K,), step / window, dtype=torch.float64)
    units: Tensor = frozen.weight_steps * step
    return units


def _bound(frozen: FrozenLayer) -> int:
    """What the size of no accumulator of a layer exceeds, whatever the image."""
    grid = _grid(frozen)
    largest = max(grid.top, -grid.bottom)
    if frozen.weight is None:
        return largest * frozen.layer.kernel**2
    return largest * int(frozen.weight.abs().flatten(1).sum(1).max())


def _clamp(low: float, high: float, unit: float, fraction: int) -> tuple[int, int]:
    """The range of an activation function, in units of 2^-fraction."""
    widest = 2**62

    def integer(limit: float) -> int:
        scaled = limit / unit * 2.0**fraction
        return round(max(-widest, min(widest, scaled))) if math.isfinite(limit) else 0

    return (
        integer(low) if math.isfinite(low) else -widest,
        integer(high) if math.isfinite(high) else widest,
    )


def _grid(frozen: FrozenLayer) -> Grid:
    """How the input of a layer is rounded.

    Raises:
        DesignError: It, or its weights, are not.
    """
    if frozen.grid is None or (frozen.weight is not None and frozen.weight_steps is None):
        layer = frozen.layer
        raise DesignError(
            f"layer {layer.name!r} has no integers: it is trained in floating point",
            rule="weights and activations of less than 24 bits",
            given=f"{layer.weight_bits} weight bits, {layer.activation_bits} activation bits",
            cure="give every layer, also stem and head, bits of a quantization policy",
        )
    return frozen.grid


def _check(frozen: FrozenLayer) -> None:
    layer = frozen.layer
    if layer.operator not in _OPERATORS or layer.join not in _JOINS:
        raise DesignError(
            f"layer {layer.name!r} has no integer form: {layer.operator.name}, {layer.join.value}",
            rule="operators "
            + ", ".join(operator.name for operator in _OPERATORS)
            + "; joins "
            + ", ".join(join.value for join in _JOINS),
        )
    if _bound(frozen) >> _EXACT:
        raise DesignError(
            f"the accumulators of layer {layer.name!r} are too wide to be exact",
            rule=f"below 2^{_EXACT}",
            given=f"up to {_bound(frozen)}",
            cure="fewer bits",
        )
