"""A trained network in integers only: what a fixed-point accelerator would compute.

Weights, activations and accumulators are integers. What lies between the accumulators of one layer
and the input of the next (the steps of both, batch normalisation, rectification) is one integer
multiplication, one addition and one shift per number:

    q = clip((multiplier * accumulator + bias + 2^(shift-1)) >> shift)

with a multiplier of at most 31 bits and a shift per output channel. A layer's accumulators are
brought to the grid of every layer that draws on them, straight away, as fake quantisation rounds
them there; sources that are added, or normalised before the next layer, meet at 2^-16 of a step,
and are rounded once more after it. Halves are rounded up. Images are rounded to the first grids
when they come in.

Fake quantisation computes the same in single precision, so the two differ where rounding errors of
either decide between two neighbours. The accumulators themselves are exact.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, section 2.2 (multiplier and shift); the multipliers
there are of one per layer, and batch normalisation is folded into the weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.quantization.frozen import Affine, FrozenLayer, Grid, frozen
from evaluators.quantization.network import QuantizedNetwork
from hwnas.design.graph import Activation, Join, Pooling, Source
from hwnas.design.layers import Operator
from hwnas.errors import DesignError

_MULTIPLIER_BITS: Final = 31
_PRODUCT_BITS: Final = 61
"""What a multiplied accumulator and its bias stay below, with room for the rounding half."""
_EXACT: Final = 53
"""Bits of the significand of a double: sums of integers below 2^53 are exact in any order."""
_FRACTION: Final = 16
"""Bits after the point where more is done to sources than joining them, and in the scores."""

_LIMITS: Final[Mapping[Activation, tuple[float, float]]] = {
    Activation.NONE: (-math.inf, math.inf),
    Activation.RELU: (0.0, math.inf),
    Activation.RELU6: (0.0, 6.0),
}
"""Activation functions that do nothing but clamp."""
_OPERATORS: Final = (Operator.CONVOLUTION, Operator.LINEAR, Operator.POOL, Operator.ADD)
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
            form here: products of activations, sigmoids and what is made of them.

    Attributes:
        accumulator_bits: Bits that the accumulators of each layer need, with sign, whatever the
            image.
    """

    def __init__(self, network: QuantizedNetwork) -> None:
        super().__init__()
        layers = frozen(network)
        for layer in layers:
            _check(layer)
        sizes = [network.graph.image, *(layer.layer.image for layer in layers)]
        sums = [_Sums(layer, sizes[layer.layer.sources[0].layer + 1]) for layer in layers]
        self.inputs = nn.ModuleList(_Input(layer, sums) for layer in layers)
        self.sums = nn.ModuleList(sums)
        self.scores = sums[-1].rescaled(float(sums[-1].units.max()), _FRACTION)
        self.accumulator_bits = tuple(s.bound.bit_length() + 1 for s in sums)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, ``int64 (n, classes)``, in a unit that all of them share.

        Args:
            images: ``(n, channels, image, image)``, 0 to 1.
        """
        accumulators = [images.double()]
        for gather, sums in zip(self.inputs, self.sums, strict=True):
            accumulators.append(sums(gather(accumulators)))
        scores: Tensor = self.scores(accumulators[-1])
        return scores.flatten(1)


class _Rescaling(nn.Module):
    """``clamp(gain * x + offset)`` of integers, in units of 2^-fraction.

    Args:
        bound: What no x exceeds in size.
        gain: ``float64``, broadcast to ``(channels, h, w)``.
        offset: Likewise.
        limits: Of the result.
        fraction: Bits after the point.

    Raises:
        DesignError: The numbers could outgrow 64 bits.
    """

    multiplier: Tensor
    bias: Tensor
    shift: Tensor

    def __init__(
        self,
        bound: int,
        gain: Tensor,
        offset: Tensor,
        limits: tuple[float, float],
        fraction: int,
    ) -> None:
        super().__init__()
        reach = bound * gain.abs() + offset.abs() + 1.0
        # As fine as 31 bits of multiplier and 61 bits of product allow, number by number.
        widest = torch.clamp(torch.log2(gain.abs()), min=-_PRODUCT_BITS).floor()
        shift = torch.minimum(
            _MULTIPLIER_BITS - 1 - widest, _PRODUCT_BITS - 1 - torch.log2(reach).floor()
        )
        if bool((shift <= fraction).any()):
            raise DesignError(
                "the numbers of a layer are too wide for integers of 64 bits",
                rule=f"accumulators times multipliers below 2^{_PRODUCT_BITS}",
                given=f"up to 2^{float(torch.log2(reach).max()):.0f} steps",
                cure="fewer bits",
            )
        unit = 2.0**fraction
        self.low, self.high = (
            round(limit * unit) if math.isfinite(limit) else round(math.copysign(2**62, limit))
            for limit in limits
        )
        self.bound = math.ceil(min(float(reach.max()), max(map(abs, limits))) * unit)
        for name, numbers in (
            ("multiplier", torch.round(gain * 2.0**shift)),
            ("bias", torch.round(offset * 2.0**shift)),
            ("shift", shift - fraction),
        ):
            self.register_buffer(name, numbers.long(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        half = torch.ones_like(self.shift) << (self.shift - 1)
        return ((x * self.multiplier + self.bias + half) >> self.shift).clamp_(self.low, self.high)


class _Sums(nn.Module):
    """The operator of a layer on integers: ``int64 (n, C, h, w)`` to accumulators.

    Args:
        frozen: The layer.
        image: Height and width of its input.

    Attributes:
        units: What 1 in an accumulator is worth, ``float64``, broadcast to ``(K, p, q)``.
        bound: What no accumulator exceeds, whatever the image.
    """

    weight: Tensor | None

    def __init__(self, frozen: FrozenLayer, image: int) -> None:
        super().__init__()
        self.layer, self.after = frozen.layer, frozen.after
        self.register_buffer("weight", frozen.weight, persistent=False)
        self.bound = _bound(frozen)
        step = _grid(frozen).step
        self.units = torch.full((frozen.layer.K, 1, 1), step, dtype=torch.float64)
        if frozen.weight_steps is not None:
            self.units = step * frozen.weight_steps.view(-1, 1, 1)
        elif self._averages:
            # Padding is not counted: windows at the edge have fewer numbers.
            self.units = self.units / self._windows(torch.ones(1, 1, image, image).double())[0]

    @property
    def _averages(self) -> bool:
        layer = self.layer
        return layer.operator is Operator.POOL and layer.pooling is Pooling.AVERAGE

    def _windows(self, x: Tensor) -> Tensor:
        layer = self.layer
        return functional.avg_pool2d(
            x, layer.kernel, layer.stride, layer.pad, divisor_override=1
        ).round_()

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.operator is Operator.ADD:
            return x  # what there is to add was added where it was joined
        x = x.double()
        if self._averages:
            return self._windows(x).long()
        if layer.operator is Operator.POOL:
            return functional.max_pool2d(x, layer.kernel, layer.stride, layer.pad).long()
        assert self.weight is not None
        if layer.operator is Operator.LINEAR:
            return functional.linear(x.flatten(1), self.weight)[:, :, None, None].long()
        return functional.conv2d(
            x, self.weight, None, layer.stride, layer.pad, groups=layer.groups
        ).long()

    def rescaled(self, unit: float, fraction: int) -> _Rescaling:
        """What makes outputs of the layer of its accumulators, in a unit such as a step."""
        gain = self.units * _along(self.after.scale) / unit
        offset = _along(self.after.shift) / unit
        return _Rescaling(self.bound, gain, offset, _limits(self.after, unit), fraction)


class _Image(nn.Module):
    """Images, which are no integers yet, in units of 2^-fraction."""

    def __init__(self, unit: float, fraction: int) -> None:
        super().__init__()
        self.factor = 2.0**fraction / unit
        self.bound = math.ceil(self.factor)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.factor).round().long()


class _Input(nn.Module):
    """Joins the sources of a layer on its grid: accumulators so far to ``int64 (n, C, h, w)``."""

    def __init__(self, frozen: FrozenLayer, sums: list[_Sums]) -> None:
        super().__init__()
        layer, before = frozen.layer, frozen.before
        self.grid = _grid(frozen)
        self.sources = layer.sources
        self.adds = layer.join is Join.ADD and len(layer.sources) > 1
        plain = before.is_identity
        self.fraction = _FRACTION if self.adds or not plain else 0
        unit = self.grid.step
        if not plain and bool((before.scale != 0).any()):
            unit /= float(before.scale.abs().max())
        self.rescaled = nn.ModuleList(
            _Image(unit, self.fraction)
            if source.layer < 0
            else sums[source.layer].rescaled(unit, self.fraction)
            for source in layer.sources
        )
        self.prepare: _Rescaling | None = None
        if not plain:
            bounds = [int(rescaled.bound) for rescaled in self.rescaled]  # type: ignore[arg-type]
            self.prepare = _Rescaling(
                sum(bounds) if self.adds else max(bounds),
                _along(before.scale) * unit / self.grid.step / 2.0**self.fraction,
                _along(before.shift) / self.grid.step,
                _limits(before, self.grid.step),
                0,
            )

    def forward(self, accumulators: list[Tensor]) -> Tensor:
        parts = [
            _taken(rescaled(accumulators[source.layer + 1]), source)
            for rescaled, source in zip(self.rescaled, self.sources, strict=True)
        ]
        joined: Tensor = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        if self.adds:
            added = torch.cat(parts[1:], dim=1)
            joined = parts[0].clone()
            joined[:, : added.shape[1]] += added
        if self.prepare is not None:
            joined = self.prepare(joined)
        elif self.fraction:
            joined = (joined + (1 << (self.fraction - 1))) >> self.fraction
        return joined.clamp(self.grid.bottom, self.grid.top)


def _taken(output: Tensor, source: Source) -> Tensor:
    if source.zero:
        output = torch.zeros_like(output)
    return output if source.channels is None else output[:, list(source.channels)]


def _along(numbers: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1)


def _limits(affine: Affine, unit: float) -> tuple[float, float]:
    low, high = _LIMITS[affine.activation]
    return low / unit, high / unit


def _bound(frozen: FrozenLayer) -> int:
    """What the size of no accumulator of a layer exceeds, whatever the image."""
    grid, layer = _grid(frozen), frozen.layer
    largest = max(grid.top, -grid.bottom)
    if frozen.weight is not None:
        return largest * int(frozen.weight.abs().flatten(1).sum(1).max())
    averages = layer.operator is Operator.POOL and layer.pooling is Pooling.AVERAGE
    return largest * layer.kernel**2 if averages else largest


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
    named = {
        layer.operator.name: layer.operator in _OPERATORS,
        layer.join.value: layer.join in _JOINS,
        layer.activation_before.value: layer.activation_before in _LIMITS,
        layer.activation.value: layer.activation in _LIMITS,
    }
    if not all(named.values()):
        raise DesignError(
            f"layer {layer.name!r} has no integer form",
            rule=", ".join(operator.name for operator in _OPERATORS)
            + "; joins "
            + ", ".join(join.value for join in _JOINS)
            + "; activation functions "
            + ", ".join(activation.value for activation in _LIMITS),
            given=", ".join(name for name, known in named.items() if not known),
        )
    if _bound(frozen) >> _EXACT:
        raise DesignError(
            f"the accumulators of layer {layer.name!r} are too wide to be exact",
            rule=f"below 2^{_EXACT}",
            given=f"up to {_bound(frozen)}",
            cure="fewer bits",
        )
