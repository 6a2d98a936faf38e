"""Networks with fake quantisation for tests: small, of any bits, as if they had been trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from evaluators import datasets
from evaluators.quantization import QuantizedNetwork
from hwnas.arrays import Choice
from hwnas.design import BitsPerCell, Design, Designs, SkipNet

GENES: Mapping[str, Choice] = {
    "net.cells": 2, "net.width": 2, "net.skip": "concat",
    "net.cell1.layers": 4, "net.cell1.skip_channels": 8,
    "net.cell2.layers": 3, "net.cell2.skip_channels": 4,
}  # fmt: skip


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
    """Its module, with random scales and shifts and the statistics of a few digits."""
    design = design_of(genes, weights=weights, activations=activations)
    generator = torch.Generator().manual_seed(7)
    network = QuantizedNetwork(design.graph, generator, **options)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1 and name.endswith(("bias", "normalised.weight")):
                parameter.copy_(torch.rand(len(parameter), generator=generator) + 0.2)
        for computation in network.computations:
            if computation.normalised is not None:
                computation.normalised.momentum = None  # the statistics of all batches alike
        network.train()
        for start in range(0, 200, 100):
            network(torch.tensor(datasets.load("digits").train_images[start : start + 100]))
    return network.eval()
