"""Networks with fake quantisation for tests: small, of any bits, as if they had been trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from evaluators import datasets
from evaluators.quantization import QuantizedNetwork
from hwnas.arrays import Choice
from hwnas.design import BitsPerCell, Design, Designs, SkipNet
from hwnas.design.graph import Activation, Graph, Join, Layer, Pooling, Source
from hwnas.design.layers import Operator

GENES: Mapping[str, Choice] = {
    "net.cells": 2, "net.width": 2, "net.skip": "concat",
    "net.cell1.layers": 4, "net.cell1.skip_channels": 8,
    "net.cell2.layers": 3, "net.cell2.skip_channels": 4,
}  # fmt: skip

_RANDOM = ("bias", "normalised.weight", "prepared.weight")


def design_of(genes: Mapping[str, Choice], *, weights: int, activations: int) -> Design:
    """A skip-connected network with the same bits in all cells, and 8 in stem and head."""
    policy = BitsPerCell(cells=2, weight_bits=(weights,), activation_bits=(activations,))
    space = SkipNet(cells=(1, 2)).space() + policy.space()
    row = [
        gene.choices.index(genes[gene.name]) if gene.name in genes else 0 for gene in space.genes
    ]
    return Designs(space, np.array([row]))[0]


def network_of(
    genes: Mapping[str, Choice], *, weights: int, activations: int, **options: object
) -> QuantizedNetwork:
    """Its module; see `as_if_trained`."""
    design = design_of(genes, weights=weights, activations=activations)
    return as_if_trained(design.graph, **options)


def as_if_trained(graph: Graph, **options: object) -> QuantizedNetwork:
    """A network with random scales and shifts and the statistics of a few digits."""
    generator = torch.Generator().manual_seed(7)
    network = QuantizedNetwork(graph, generator, **options)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1 and name.endswith(
                ("bias", "normalised.weight", "prepared.weight")
            ):
                parameter.copy_(torch.rand(len(parameter), generator=generator) + 0.2)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the statistics of all batches alike
        network.train()
        for start in range(0, 200, 100):
            network(torch.tensor(datasets.load("digits").train_images[start : start + 100]))
    return network.eval()


def all_kinds(bits: int) -> Graph:
    """Every kind of layer that computes in integers: sums, pre-activation, pools, groups."""

    def layer(name: str, *sources: Source | int, **changes: object) -> Layer:
        drawn = tuple(s if isinstance(s, Source) else Source(s) for s in sources)
        usual: dict[str, object] = {
            "operator": Operator.CONVOLUTION, "join": Join.CONCATENATE, "C": 6, "K": 6,
            "kernel": 3, "stride": 1, "groups": 1, "image": 8, "weight_bits": bits,
            "activation_bits": bits, "cell": 1, "normalised": True, "activation": Activation.RELU,
        }  # fmt: skip
        return Layer(name, sources=drawn, **{**usual, **changes})  # type: ignore[arg-type]

    plain = {"normalised": False, "activation": Activation.NONE}
    pool = {"operator": Operator.POOL, "padding": 1, **plain}
    added = {"operator": Operator.ADD, "join": Join.ADD, "kernel": 1, **plain}
    layers = (
        layer("stem", -1, C=1, activation=Activation.RELU6),
        layer("bottleneck", 0, kernel=1, activation=Activation.NONE),
        layer("sum", 0, 1, **added),
        layer("before", 2, normalised_before=True, activation_before=Activation.RELU, **plain),
        layer("depthwise", 3, groups=6, activation_before=Activation.RELU6),
        layer("twice before", 2, 4, join=Join.ADD, normalised_before=True, biased=False, **plain),
        layer("largest", 5, **pool, pooling=Pooling.MAXIMUM),
        layer("mean", 4, **pool),
        layer("skips", 6, Source(7, (0, 2)), Source(3, zero=True), -1, C=15, stride=2, image=4),
        layer("all", 8, operator=Operator.POOL, kernel=4, image=1, **plain),
        layer("head", 9, operator=Operator.LINEAR, kernel=1, image=1, K=10, **plain),
    )
    return Graph(layers, 8, 1, 10)
