"""Weights that all networks of a family share, and the part of them that one network takes.

There is one array per layer name and parameter, as large as any network of the family needs it. A
network takes the leading channels, the centre of a kernel, and the layers that it has. Where a
layer concatenates several sources, the leading channels are those of its first source, and every
further source has channels of its own: a connection keeps its weights whatever comes and goes
beside it. This serves every family whose layers have stable names.

Source: Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019
(leading channels); Yu et al., "BigNAS", ECCV 2020 (depth, and centres of kernels).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from evaluators.quantization import QuantizedNetwork
from hwnas.design.graph import Graph, Join, Layer, Source
from hwnas.errors import DesignError

Key = tuple[str, str]
"""The name of a layer, and of a parameter of it."""
_SHARE: Final = 0.25
"""First weights in front of batch normalisation, as a share of what networks have that train alone.

Their size changes no network, only how far a step of the optimiser turns them. After 500 steps at a
peak of 0.03, random networks of ``benchmarks/supernet.py`` erred .47 instead of .67.
"""
_INPUT = "input"
_Size = tuple[int, int, int, int]


@dataclass(frozen=True)
class Shapes:
    """How large the shared arrays are.

    Attributes:
        arrays: Layer and parameter to the largest shape, and what a vector is filled with at first.
        sources: Layer to the names of its further sources, where it concatenates.
        trunk: Layer to the most channels of its first source.
        width: Layer to its most channels.
    """

    arrays: dict[Key, tuple[tuple[int, ...], float]] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)
    trunk: dict[str, int] = field(default_factory=dict)
    width: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, graphs: Iterable[Graph]) -> Shapes:
        """The shapes that serve some networks, and all that mix their layers.

        Raises:
            DesignError: A name stands for layers of different kinds, or a network cannot be built.
        """
        shapes = cls()
        seen: set[tuple[str, _Size]] = set()
        for graph in graphs:
            shapes._count(graph)
            sizes = {(layer.name, _size(layer)) for layer in graph.layers}
            if not sizes <= seen:
                seen |= sizes
                shapes._measure(graph)
        shapes._widen()
        return shapes

    def _count(self, graph: Graph) -> None:
        self.width[_INPUT] = graph.channels
        for place, layer in enumerate(graph.layers):
            self.width[layer.name] = max(self.width.get(layer.name, 0), layer.K)
            if layer.join is not Join.CONCATENATE or layer.groups > 1:
                continue
            first = _taken(graph, layer.sources[0])
            self.trunk[layer.name] = max(self.trunk.get(layer.name, 0), len(first))
            known = self.sources.setdefault(layer.name, [])
            if len(layer.sources) > 1:
                # What it borrows from differs from network to network: room for the whole cell.
                cell = [other.name for other in graph.layers[:place] if other.cell == layer.cell]
                names = [*(_name(graph, source) for source in layer.sources[1:]), *cell]
                known.extend(name for name in dict.fromkeys(names) if name not in known)

    def _measure(self, graph: Graph) -> None:
        network = QuantizedNetwork(graph, torch.Generator().manual_seed(0))
        for key, parameter in named(network, graph):
            shape, filled = tuple(parameter.shape), float(parameter.detach().flatten()[0])
            known, _ = self.arrays.get(key, (shape, filled))
            if len(known) != len(shape):
                raise DesignError(
                    f"the layers called {key[0]!r} cannot share their weights",
                    rule="one name, one kind of layer",
                    given=f"{key[1]} of shapes {known} and {shape}",
                    cure="mend the names of layers in the graphs of the network family",
                )
            self.arrays[key] = (tuple(map(max, known, shape)), filled)

    def _widen(self) -> None:
        """Makes room for every further source beside the first."""
        for key, (shape, filled) in self.arrays.items():
            further = self.sources.get(key[0])
            if further and len(shape) > 1:
                inputs = self.trunk[key[0]] + sum(self.width[name] for name in further)
                self.arrays[key] = ((shape[0], inputs, *shape[2:]), filled)

    def inputs(self, graph: Graph, layer: Layer) -> list[int] | None:
        """Which of its shared input channels a layer takes; ``None`` for the leading ones.

        Raises:
            DesignError: It draws on a layer that it draws on in no network seen before.
        """
        further = self.sources.get(layer.name)
        if not further or layer.join is not Join.CONCATENATE or len(layer.sources) == 1:
            return None
        taken = list(range(len(_taken(graph, layer.sources[0]))))
        for source in layer.sources[1:]:
            name = _name(graph, source)
            if name not in further:
                raise _unknown(layer, f"it draws on {name!r}")
            before = further[: further.index(name)]
            offset = self.trunk[layer.name] + sum(self.width[other] for other in before)
            taken.extend(offset + channel for channel in _taken(graph, source))
        return taken


class SharedWeights(nn.Module):
    """The shared arrays.

    Args:
        shapes: Their shapes.
        generator: Draws the first weights.
    """

    def __init__(self, shapes: Shapes, generator: torch.Generator) -> None:
        super().__init__()
        self.shapes = shapes
        self.arrays = nn.ParameterDict()
        for key, (shape, filled) in sorted(shapes.arrays.items()):
            array = torch.full(shape, filled)
            if len(shape) > 1:
                nn.init.kaiming_normal_(array, nonlinearity="relu", generator=generator)
                if (key[0], "normalised.weight") in shapes.arrays:
                    array *= _SHARE
            self.arrays[_path(key)] = nn.Parameter(array)


_Place = tuple[slice | Tensor, ...]


class Subnet:
    """One network of the family, whose weights are the shared ones as they are now.

    Args:
        graph: The network.
        shared: The arrays.

    Raises:
        DesignError: A layer is not among the shared ones, or larger than they are.
    """

    def __init__(self, graph: Graph, shared: SharedWeights) -> None:
        self.network = QuantizedNetwork(graph, torch.Generator().manual_seed(0))
        self._taken: list[tuple[nn.Parameter, nn.Parameter, _Place]] = []
        layers = {layer.name: layer for layer in graph.layers}
        inputs = {name: shared.shapes.inputs(graph, layer) for name, layer in layers.items()}
        for key, parameter in named(self.network, graph):
            layer = layers[key[0]]
            if key not in shared.shapes.arrays:
                raise _unknown(layer, f"no network had its {key[1]!r}")
            array = shared.arrays[_path(key)]
            place = _place(layer, tuple(parameter.shape), tuple(array.shape), inputs[key[0]])
            self._taken.append((parameter, array, place))
        self._first = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        self.refresh()

    def refresh(self) -> None:
        """Takes the shared weights anew and forgets all statistics, as if it were just made."""
        for parameter, array, place in self._taken:
            parameter.data = array.data[place]
        for buffer, first in self._first:
            buffer.copy_(first)

    def give_gradients(self) -> None:
        """Adds the gradients of its weights to those of the shared ones, and forgets them."""
        for parameter, array, place in self._taken:
            if parameter.grad is None:
                continue
            if array.grad is None:
                array.grad = torch.zeros_like(array)
            array.grad[place] += parameter.grad
            parameter.grad = None

    def extracted(self) -> QuantizedNetwork:
        """The network with weights of its own; the subnet must not be used any more."""
        for parameter, _, _ in self._taken:
            parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
        return self.network


def named(network: QuantizedNetwork, graph: Graph) -> Iterable[tuple[Key, nn.Parameter]]:
    """All parameters of a network with their keys."""
    for layer, computation in zip(graph.layers, network.computations, strict=True):
        for name, parameter in computation.named_parameters():
            yield (layer.name, name), parameter


def _place(
    layer: Layer, shape: tuple[int, ...], shared: tuple[int, ...], inputs: list[int] | None
) -> _Place:
    if len(shape) != len(shared) or any(a > b for a, b in zip(shape, shared, strict=True)):
        raise _unknown(layer, f"it needs {shape}, the shared weights are {shared}")
    place: list[slice | Tensor] = [slice(0, size) for size in shape[:2]]
    for size, room in zip(shape[2:], shared[2:], strict=True):
        start = (room - size) // 2
        place.append(slice(start, start + size))
    if inputs is not None and len(shape) > 1 and layer.groups == 1:
        place[1] = torch.tensor(inputs)
    return tuple(place)


def _unknown(layer: Layer, why: str) -> DesignError:
    return DesignError(
        f"layer {layer.name!r} has no place in the shared weights",
        rule="the supernet holds every layer of the networks that it was laid out for",
        given=why,
        cure="train a supernet for this space: another path, or a new checkpoint",
    )


def _size(layer: Layer) -> _Size:
    return layer.K, layer.C, layer.kernel, layer.groups


def _path(key: Key) -> str:
    return "/".join(key).replace(".", "_")


def _name(graph: Graph, source: Source) -> str:
    return _INPUT if source.layer < 0 else graph.layers[source.layer].name


def _taken(graph: Graph, source: Source) -> tuple[int, ...]:
    if source.channels is not None:
        return source.channels
    K = graph.channels if source.layer < 0 else graph.layers[source.layer].K
    return tuple(range(K))
