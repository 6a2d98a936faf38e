"""A network as a torch module with fake quantisation: what `training` trains.

One module per `Graph`. Every layer joins its sources and, where the graph says so, normalises and
activates them; rounds the result to its activation bits; rounds its weights to its weight bits;
computes; and, where the graph says so, normalises over the batch and activates. A sum or product
that is a layer of its own has nothing left to compute: it is rounded to the bits of that layer, and
again by every layer that draws on it. How numbers are rounded is said by
`evaluators.quantization.options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.quantization.interface import NEWEST, ActivationRounding, WeightRounding
from evaluators.quantization.options import Quantization
from evaluators.quantization.rounding import EXACT_BITS
from hwnas.design.graph import Activation, Graph, Join, Layer, Pooling, Source
from hwnas.design.layers import Operator
from hwnas.errors import DesignError

QUANTIZATION: Final = Quantization()
"""How networks are quantised if nothing is said."""

_WEIGHTED: Final = (Operator.CONVOLUTION, Operator.LINEAR)
_JOINING: Final = {Operator.ADD: Join.ADD, Operator.ELEMENTWISE: Join.MULTIPLY}
"""Operators that are nothing but the join of two sources."""
_TRAINED: Final = (*_WEIGHTED, Operator.POOL, *_JOINING)

_ACTIVATIONS: Final[Mapping[Activation, Callable[[Tensor], Tensor]]] = {
    Activation.RELU: functional.relu,
    Activation.RELU6: functional.relu6,
    Activation.SIGMOID: torch.sigmoid,
    Activation.HARD_SIGMOID: functional.hardsigmoid,
    Activation.SILU: functional.silu,
    Activation.HARD_SWISH: functional.hardswish,
}
_AFTER: Final = {**_ACTIVATIONS, Activation.RELU: functional.relu_}
"""What was just computed belongs to nobody else and can be rectified in place."""


class JoinedSources(nn.Module):
    """Gathers the input of a layer from the outputs of earlier ones.

    Args:
        layer: The layer.
        channels: Output channels of the network's input and of every layer before this one.

    Raises:
        DesignError: The sources do not give the channels that the layer expects.
    """

    def __init__(self, layer: Layer, channels: list[int]) -> None:
        super().__init__()
        self.join = layer.join
        self.layers = [source.layer + 1 for source in layer.sources]
        self.zeros = [source.zero for source in layer.sources]
        counts = []
        for i, source in enumerate(layer.sources):
            index, count = _gathered(source, channels[source.layer + 1])
            counts.append(count)
            self.register_buffer(f"channels{i}", index, persistent=False)
        self.borrowed = sum(counts[1:])
        if not _fits(layer, counts):
            raise DesignError(
                f"layer {layer.name!r} cannot join its sources",
                rule=f"{layer.C} input channels; no more are added than the first source has",
                given=f"{layer.join.value} of " + " and ".join(map(str, counts)),
                cure="correct the network family that made the graph",
            )

    @property
    def adds(self) -> bool:
        """Whether further sources are added onto the first."""
        return self.join is Join.ADD

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Joins.

        Args:
            outputs: The network's input, then the output of every layer so far, ``(n, c, h, w)``.
        """
        parts = []
        for i, layer in enumerate(self.layers):
            index = getattr(self, f"channels{i}")
            x = torch.zeros_like(outputs[layer]) if self.zeros[i] else outputs[layer]
            parts.append(x if index is None else x.index_select(1, index))
        if len(parts) == 1:
            return parts[0]
        if self.join is Join.CONCATENATE:
            return torch.cat(parts, dim=1)
        if self.join is Join.MULTIPLY:
            return parts[0] * parts[1]
        added = parts[1] if len(parts) == 2 else torch.cat(parts[1:], dim=1)
        return parts[0] + functional.pad(added, (0, 0, 0, 0, 0, parts[0].shape[1] - self.borrowed))


def _fits(layer: Layer, counts: list[int]) -> bool:
    """Whether sources of so many channels give a layer what it expects."""
    if layer.operator in _JOINING or layer.join is Join.MULTIPLY:
        return counts == [layer.C, layer.C]
    if layer.join is Join.CONCATENATE:
        return sum(counts) == layer.C
    return counts[0] == layer.C >= sum(counts[1:])


def _gathered(source: Source, channels: int) -> tuple[Tensor | None, int]:
    if source.channels is None or source.channels == tuple(range(channels)):
        return None, channels
    return torch.tensor(source.channels, dtype=torch.int64), len(source.channels)


class Computation(nn.Module):
    """One layer: join, prepare, round, compute, normalise and activate; see `Layer`.

    Trainable numbers: the weights of the layer's row in the layer table; besides, twice K where
    batch normalisation follows and else K for a bias, which is not rounded; and twice C where batch
    normalisation comes before.

    Args:
        layer: The layer.
        channels: See `JoinedSources`.
        quantization: How its numbers are rounded.
        signed: Whether its input may be negative.

    Raises:
        DesignError: A bit width is below 2, or the sources do not fit.
    """

    def __init__(
        self,
        layer: Layer,
        channels: list[int],
        quantization: Quantization = QUANTIZATION,
        *,
        signed: bool,
    ) -> None:
        super().__init__()
        quantization.check_bits(layer.name, layer.weight_bits, layer.activation_bits)
        self.layer = layer
        self.joined = JoinedSources(layer, channels)
        self.rounded: ActivationRounding | None = None
        self.rounded_weights: WeightRounding | None = None
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        self.prepared = _normalisation(layer.C) if layer.normalised_before else None
        self.prepare = _ACTIVATIONS.get(layer.activation_before)
        self.normalised = _normalisation(layer.K) if layer.normalised else None
        self.activate = _AFTER.get(layer.activation)
        if layer.activation_bits < EXACT_BITS:
            self.rounded = quantization.rounded_activations(layer.activation_bits, signed=signed)
        if layer.operator not in _WEIGHTED:
            return
        shape: tuple[int, ...] = (layer.K, layer.C // layer.groups)
        if layer.operator is Operator.CONVOLUTION:
            shape = (*shape, layer.kernel, layer.kernel)
        self.weight = nn.Parameter(torch.empty(shape))
        if layer.biased and not layer.normalised:
            self.bias = nn.Parameter(torch.zeros(layer.K))
        if layer.weight_bits < EXACT_BITS:
            self.rounded_weights = quantization.rounded_weights(layer.weight_bits, shape)

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Computes ``(n, K, image, image)`` from the outputs so far; see `JoinedSources`."""
        x: Tensor = self.joined(outputs)
        if self.prepared is not None:
            x = self.prepared(x)
        if self.prepare is not None:
            x = self.prepare(x)
        if self.rounded is not None:
            x = self.rounded(x)
        x = self._compute(x)
        if self.normalised is not None:
            x = self.normalised(x)
        return x if self.activate is None else self.activate(x)

    def _compute(self, x: Tensor) -> Tensor:
        layer = self.layer
        if self.weight is None:
            return _pooled(x, layer) if layer.operator is Operator.POOL else x
        weight = self.weight if self.rounded_weights is None else self.rounded_weights(self.weight)
        if layer.operator is Operator.LINEAR:
            return functional.linear(x.flatten(1), weight, self.bias)[:, :, None, None]
        return functional.conv2d(x, weight, self.bias, layer.stride, layer.pad, groups=layer.groups)


def _normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=NEWEST)


def _pooled(x: Tensor, layer: Layer) -> Tensor:
    window = min(layer.kernel, x.shape[-1]) if layer.pad == 0 else layer.kernel
    if layer.pooling is Pooling.MAXIMUM:
        return functional.max_pool2d(x, window, layer.stride, layer.pad)
    return functional.avg_pool2d(x, window, layer.stride, layer.pad, count_include_pad=False)


class QuantizedNetwork(nn.Module):
    """A graph as a module: images ``(n, channels, image, image)`` to scores ``(n, classes)``.

    Smaller images do too, where the family has a network for them: global pooling, whose window is
    the whole image, has then a smaller window.

    Attributes:
        graph: The network.

    Args:
        graph: The network. Its images must not be negative.
        generator: Draws the first weights; the global random state is neither read nor changed.
        quantization: How its numbers are rounded.

    Raises:
        DesignError: The graph contradicts itself, or has an operator that cannot be trained.
    """

    def __init__(
        self,
        graph: Graph,
        generator: torch.Generator,
        quantization: Quantization = QUANTIZATION,
    ) -> None:
        super().__init__()
        self.graph = graph
        channels, signed = [graph.channels], [False]
        self.computations = nn.ModuleList()
        for layer in graph.layers:
            _check_operator(layer)
            below = any(signed[source.layer + 1] for source in layer.sources if not source.zero)
            below = layer.activation_before.signed(below or layer.normalised_before)
            self.computations.append(Computation(layer, channels, quantization, signed=below))
            channels.append(layer.K)
            after = below or layer.normalised or layer.operator in _WEIGHTED
            signed.append(layer.activation.signed(after))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)

    def limit(self, bits: int) -> None:
        """Rounds weights and activations to at most so many bits, until it is evaluated.

        Layers in single precision stay as they are. Ranges go on following the same statistics, so
        the network has its own bits again as soon as it is in evaluation mode.

        Args:
            bits: At least 2.
        """
        for module in self.modules():
            if isinstance(module, WeightRounding | ActivationRounding):
                module.limit(bits)

    def follow(self, follows: bool) -> None:
        """Says whether running statistics follow the next batches of the training.

        They had better not where the batches are unlike those of the test, e.g. of other sizes.
        """
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = NEWEST if follows else 0.0
            if isinstance(module, ActivationRounding):
                module.follows = follows

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of `nn.Module`; evaluation lifts a `limit`."""
        if not mode:
            self.limit(EXACT_BITS)
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, ``(n, classes)``, before any softmax."""
        outputs = [images]
        for computation in self.computations:
            outputs.append(computation(outputs))
        return outputs[-1].flatten(1)


def _check_operator(layer: Layer) -> None:
    if layer.operator not in _TRAINED:
        raise DesignError(
            f"layer {layer.name!r} of the graph is of the kind {layer.operator.name}",
            rule="one of " + ", ".join(operator.name for operator in _TRAINED),
            cure="take the accuracy of such networks from a table or an own evaluator",
        )
    wanted = _JOINING.get(layer.operator, layer.join)
    if layer.join is not wanted:
        raise DesignError(
            f"layer {layer.name!r} of the graph is {layer.operator.name} of nothing",
            rule=f"its join is {wanted.value}: two sources of equal channels",
            given=layer.join.value,
            cure="correct the network family that made the graph",
        )
