"""The networks of NAS-Bench-201 as torch modules, written apart from their graphs: an oracle.

Source: Dong, Yang, "NAS-Bench-201: Extending the scope of reproducible neural architecture search",
ICLR 2020, section 2.1 and figure 1. Parameters and multiply-accumulates are those published.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from hwnas.arrays import Choice
from hwnas.design.nas_bench_201 import NASBench201
from hwnas.design.nas_bench_201_cell import (
    CONV1,
    CONV3,
    EDGES,
    INTO,
    NONE,
    OPERATORS,
    POOL,
    SKIP,
    living,
)

_STAGES = 3
_KERNELS = {CONV1: 1, CONV3: 3}


def _convolution(C: int, K: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias whose weights are not yet drawn (torch's draw is global)."""
    padding = (kernel - 1) // 2
    made: nn.Conv2d = skip_init(nn.Conv2d, C, K, kernel, stride, padding, bias=False)  # type: ignore[no-untyped-call]
    return made


class ActivatedConvolution(nn.Sequential):
    """ReLU, convolution, batch normalisation.

    Args:
        C: Input channels.
        K: Output channels.
        kernel: Height and width of the kernel, odd.
        stride: The stride.
    """

    def __init__(self, C: int, K: int, kernel: int, stride: int = 1) -> None:
        super().__init__(nn.ReLU(), _convolution(C, K, kernel, stride), nn.BatchNorm2d(K))


def _operator(code: int, width: int) -> nn.Module:
    if code in _KERNELS:
        return ActivatedConvolution(width, width, _KERNELS[code])
    if code == POOL:
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    assert code == SKIP
    return nn.Identity()


class Cell(nn.Module):
    """Four nodes; each is the sum of what the edges from earlier nodes bring.

    An edge that is ``none`` brings zeros. Edges that lead nowhere are computed, too, as in the
    published benchmark.

    Args:
        codes: The operators of the six edges.
        width: Channels.
    """

    def __init__(self, codes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.operators = nn.ModuleDict(
            {str(e): _operator(code, width) for e, code in enumerate(codes) if code != NONE}
        )

    def forward(self, x: Tensor) -> Tensor:
        """The last node, ``(n, width, h, w)``, from the first, of the same shape."""
        nodes = [x]
        for into in INTO.values():
            brought = [
                self.operators[str(e)](nodes[EDGES[e][0]]) for e in into if str(e) in self.operators
            ]
            nodes.append(reduce(torch.add, brought) if brought else torch.zeros_like(x))
        return nodes[-1]


class Reduction(nn.Module):
    """The residual block that halves the image and doubles the channels.

    Args:
        C: Input channels; twice as many come out.
    """

    def __init__(self, C: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ActivatedConvolution(C, 2 * C, 3, stride=2), ActivatedConvolution(2 * C, 2 * C, 3)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), _convolution(C, 2 * C, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 2 C, h / 2, w / 2)`` from ``(n, C, h, w)``."""
        reduced: Tensor = self.body(x) + self.shortcut(x)
        return reduced


class NASBench201Network(nn.Module):
    """A network of NAS-Bench-201: images ``(n, channels, h, w)`` to scores ``(n, classes)``.

    Dead edges are built unless the family drops them: they change neither scores nor gradients, but
    have first weights and rectifiers, so with and without them other weights are drawn.

    Args:
        family: Sizes of stem and stages.
        config: The genes ``net.e01`` to ``net.e23``.
        generator: Draws the first weights (normal, variance 2 / fan-in; biases are 0); the global
            random state is neither read nor changed.
    """

    def __init__(
        self, family: NASBench201, config: Mapping[str, Choice], generator: torch.Generator
    ) -> None:
        super().__init__()
        codes = tuple(OPERATORS.index(str(config[f"net.e{i}{j}"])) for i, j in EDGES)
        if family.drop_dead_edges:
            codes = tuple(living(np.array([codes]))[0].tolist())
        width = family.stem_channels
        self.stem = nn.Sequential(_convolution(family.channels, width, 3), nn.BatchNorm2d(width))
        self.cells = nn.Sequential()
        for stage in range(_STAGES):
            if stage:
                self.cells.append(Reduction(width))
                width *= 2
            for _ in range(family.cells_per_stage):
                self.cells.append(Cell(codes, width))
        self.head = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.classifier = skip_init(nn.Linear, width, family.classes)  # type: ignore[no-untyped-call]
        nn.init.zeros_(self.classifier.bias)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the classes, ``(n, classes)``, before any softmax."""
        x = self.head(self.cells(self.stem(images)))
        scores: Tensor = self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return scores
