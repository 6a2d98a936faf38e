"""A network as a torch module with fake quantisation: what `training` trains.

One module per `Graph`. Every layer joins its sources, rounds what it joined to its activation
bits, rounds its weights to its weight bits, computes, and, where the graph says so, normalises
over the batch and rectifies. How numbers are rounded is in `evaluators.quantization.rounding`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.quantization.rounding import EXACT_BITS, NEWEST, RoundedActivations, RoundedWeights
from hwnas.design.graph import Graph, Join, Layer, Source
from hwnas.design.layers import Operator
from hwnas.errors import DesignError

_TRAINED = (Operator.CONVOLUTION, Operator.LINEAR, Operator.POOL)


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
        self.adds = layer.join is Join.ADD
        self.layers = [source.layer + 1 for source in layer.sources]
        counts = []
        for i, source in enumerate(layer.sources):
            index, count = _gathered(source, channels[source.layer + 1])
            counts.append(count)
            self.register_buffer(f"channels{i}", index, persistent=False)
        self.borrowed = sum(counts[1:])
        given = counts[0] if self.adds else sum(counts)
        if given != layer.C or self.borrowed > counts[0] * (1 if self.adds else layer.C):
            raise DesignError(
                f"layer {layer.name!r} cannot join its sources",
                rule=f"{layer.C} input channels; no more are added than the first source has",
                given=f"{layer.join.value} of " + " and ".join(map(str, counts)),
                cure="correct the network family that made the graph",
            )

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Joins.

        Args:
            outputs: The network's input, then the output of every layer so far, ``(n, c, h, w)``.
        """
        parts = []
        for i, layer in enumerate(self.layers):
            index = getattr(self, f"channels{i}")
            x = outputs[layer]
            parts.append(x if index is None else x.index_select(1, index))
        if len(parts) == 1:
            return parts[0]
        if not self.adds:
            return torch.cat(parts, dim=1)
        added = parts[1] if len(parts) == 2 else torch.cat(parts[1:], dim=1)
        return parts[0] + functional.pad(added, (0, 0, 0, 0, 0, parts[0].shape[1] - self.borrowed))


def _gathered(source: Source, channels: int) -> tuple[Tensor | None, int]:
    if source.channels is None or source.channels == tuple(range(channels)):
        return None, channels
    return torch.tensor(source.channels, dtype=torch.int64), len(source.channels)


class Computation(nn.Module):
    """One layer: join, round, compute, normalise and rectify.

    Trainable numbers: the weights of the layer's row in the layer table; besides, twice K where
    batch normalisation follows, and K (a bias, not rounded) where it does not.

    Args:
        layer: The layer.
        channels: See `JoinedSources`.
        signed: Whether its input may be negative.

    Raises:
        DesignError: A bit width is below 2, or the sources do not fit.
    """

    def __init__(self, layer: Layer, channels: list[int], *, signed: bool) -> None:
        super().__init__()
        if min(layer.weight_bits, layer.activation_bits) < 2:
            raise DesignError(
                f"layer {layer.name!r} cannot be rounded to so few bits",
                rule="at least 2 bits: a symmetric grid with 1 bit has no level but 0",
                given=f"{layer.weight_bits} weight bits, {layer.activation_bits} activation bits",
            )
        self.layer = layer
        self.joined = JoinedSources(layer, channels)
        self.rounded: nn.Module | None = None
        self.rounded_weights: nn.Module | None = None
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        self.normalised = nn.BatchNorm2d(layer.K, momentum=NEWEST) if layer.activated else None
        if layer.activation_bits < EXACT_BITS:
            self.rounded = RoundedActivations(layer.activation_bits, signed=signed)
        if layer.operator is Operator.POOL:
            return
        shape: tuple[int, ...] = (layer.K, layer.C // layer.groups)
        if layer.operator is Operator.CONVOLUTION:
            shape = (*shape, layer.kernel, layer.kernel)
        self.weight = nn.Parameter(torch.empty(shape))
        if not layer.activated:
            self.bias = nn.Parameter(torch.zeros(layer.K))
        if layer.weight_bits < EXACT_BITS:
            self.rounded_weights = RoundedWeights(layer.weight_bits, shape)

    def forward(self, outputs: list[Tensor]) -> Tensor:
        """Computes ``(n, K, image, image)`` from the outputs so far; see `JoinedSources`."""
        x = self.joined(outputs)
        if self.rounded is not None:
            x = self.rounded(x)
        x = self._compute(x)
        if self.normalised is not None:
            x = functional.relu_(self.normalised(x))
        return x

    def _compute(self, x: Tensor) -> Tensor:
        layer = self.layer
        if self.weight is None:
            return functional.avg_pool2d(x, layer.kernel, layer.stride)
        weight = self.weight if self.rounded_weights is None else self.rounded_weights(self.weight)
        if layer.operator is Operator.LINEAR:
            return functional.linear(x.flatten(1), weight, self.bias)[:, :, None, None]
        padding = (layer.kernel - 1) // 2
        return functional.conv2d(x, weight, self.bias, layer.stride, padding, groups=layer.groups)


class QuantizedNetwork(nn.Module):
    """A graph as a module: images ``(n, channels, image, image)`` to scores ``(n, classes)``.

    Args:
        graph: The network. Its images must not be negative.
        generator: Draws the first weights; the global random state is neither read nor changed.

    Raises:
        DesignError: The graph contradicts itself, or has an operator that cannot be trained.
    """

    def __init__(self, graph: Graph, generator: torch.Generator) -> None:
        super().__init__()
        channels, signed = [graph.channels], [False]
        self.computations = nn.ModuleList()
        for layer in graph.layers:
            if layer.operator is Operator.ADD:
                raise DesignError(
                    f"layer {layer.name!r} of the graph is an addition",
                    rule="in a graph, an addition is the join of the layer that uses it",
                )
            if layer.operator not in _TRAINED:
                raise DesignError(
                    f"layer {layer.name!r} of the graph is of the kind {layer.operator.name}",
                    rule="one of " + ", ".join(operator.name for operator in _TRAINED),
                    cure="take the accuracy of such networks from a table or an own evaluator",
                )
            below = any(signed[source.layer + 1] for source in layer.sources)
            self.computations.append(Computation(layer, channels, signed=below))
            channels.append(layer.K)
            signed.append(not layer.activated and (below or layer.operator is not Operator.POOL))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, ``(n, classes)``, before any softmax."""
        outputs = [images]
        for computation in self.computations:
            outputs.append(computation(outputs))
        return outputs[-1].flatten(1)
