"""Training-free metrics of networks as an evaluator: one minibatch, first weights, no training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from evaluators import datasets
from evaluators.nas_bench_201_module import NASBench201Network
from evaluators.quantization import QuantizedNetwork
from evaluators.torch_threads import one_thread
from evaluators.zero_cost_metrics import PROXIES
from hwnas.design.designs import Design, Designs
from hwnas.design.nas_bench_201 import NASBench201
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation import Expense, Infeasible, PerDesign
from hwnas.evaluation.interface import Chunk
from hwnas.metrics import Goal, Metric

Name = Literal["synflow", "snip", "grad_norm", "jacob_cov", "naswot"]
_NEVER_NEGATIVE: Final = frozenset(("synflow", "snip", "grad_norm"))
_RANDOM: Final = "random"
_Shape = tuple[int, int, int]
"""Channels and size of the image, classes."""


class ZeroCost(PerDesign):
    """Training-free metrics on one minibatch, at randomly drawn first weights.

    They rank networks, some well and some hardly; none is an accuracy. Definitions and sources are
    in `evaluators.zero_cost_metrics`. Networks are measured at single precision, whatever their bit
    widths: families that build a graph, e.g. ``skipnet``, and ``nas_bench_201``.

    The minibatch follows from the study's seed alone, so all networks are shown the same images;
    the first weights follow from the seed and the genes of the network. Equal networks get equal
    answers in any batch and any process on the same machine, computed with one thread.

    Metrics: those asked for, under their names, unit 1, larger is better. A network for which one
    is not defined, e.g. because no path leads from its input to its output, is infeasible.

    Args:
        metric: ``synflow``, ``snip``, ``grad_norm``, ``jacob_cov`` or ``naswot``, or several.
        batch: Images in the minibatch, at least 2.
        data: ``random`` (normally distributed pixels, labels drawn alike) or a name of the entry
            points ``hwnas.datasets``, whose training images are drawn from without repetition.
        expense: ``costly`` counts every network against the budget, ``free`` does not: these
            metrics take a good part of a second.

    Raises:
        ProblemError: An option is out of range or names nothing.
    """

    reads = frozenset({"net"})

    def __init__(
        self,
        *,
        metric: Name | tuple[Name, ...] = "synflow",
        batch: int = 32,
        data: str = _RANDOM,
        expense: Literal["costly", "free"] = "costly",
    ) -> None:
        names = (metric,) if isinstance(metric, str) else tuple(metric)
        for name in names:
            _check_word("metric", name, get_args(Name))
        if not names or len(set(names)) < len(names):
            raise ProblemError(
                "zero_cost is asked for nothing, or for a metric twice",
                where="option metric",
                rule="one or several of " + ", ".join(PROXIES),
                given=str(list(names)),
            )
        if batch < 2:
            raise ProblemError(
                f"zero_cost cannot have batch = {batch}",
                where="option batch",
                rule="at least 2: batch normalisation needs two images to normalise over",
                given=str(batch),
            )
        _check_word("expense", expense, [known.value for known in Expense])
        self.data = data if data == _RANDOM else datasets.known(data)
        self.batch = batch
        self.expense = Expense(expense)
        self.metrics = tuple(
            Metric(name, "1", Goal.MAXIMIZE, worst=0.0 if name in _NEVER_NEGATIVE else None)
            for name in names
        )
        self.version = f"1 {' '.join(names)} batch={batch} data={data}"

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Measures one by one; see `Evaluator.stream`.

        Raises:
            ProblemError: The networks do not fit the data set.
            DesignError: The family has no torch module. Both are mistakes of the study, so no row
                can answer them.
        """
        if len(designs):
            with one_thread():
                _, shape = _network(designs[0], 0)
            _minibatch(self.data, self.batch, shape, designs.seed)
        yield from super().stream(designs, fidelity)

    def measure(self, design: Design, fidelity: float = 1.0) -> Mapping[str, float] | Infeasible:
        """Measures one design; see `PerDesign.measure`."""
        del fidelity
        seed = design.seed_for("net", stream="zero_cost")
        with one_thread():
            network, shape = _network(design, seed)
            images, labels = _minibatch(self.data, self.batch, shape, design.seed)
            answer = {m.name: PROXIES[m.name](network, images, labels) for m in self.metrics}
        lacking = [name for name, value in answer.items() if not math.isfinite(value)]
        if lacking:
            return Infeasible(f"{', '.join(lacking)} is not defined for this network")
        return answer


def _check_word(option: str, given: str, words: tuple[str, ...] | list[str]) -> None:
    if given not in words:
        raise ProblemError(
            f"zero_cost cannot have {option} = {given!r}",
            where=f"option {option}",
            rule="one of " + ", ".join(words),
            given=repr(given),
            cure=nearest(str(given), words),
        )


def _network(design: Design, seed: int) -> tuple[nn.Module, _Shape]:
    """The network at single precision with first weights, and what it is made for."""
    generator = torch.Generator().manual_seed(seed)
    family = design.space.parts.get("net")
    if isinstance(family, NASBench201):
        shape = (family.channels, family.image, family.classes)
        return NASBench201Network(family, design.config, generator), shape
    # Without the quantization part the graph has the bits that its family gives it.
    graph = design.batch.part("net")[0][0].graph
    return QuantizedNetwork(graph, generator), (graph.channels, graph.image, graph.classes)


@lru_cache(maxsize=4)
def _minibatch(data: str, batch: int, shape: _Shape, seed: int) -> tuple[Tensor, Tensor]:
    """Images ``(batch, channels, image, image)`` and labels ``(batch,)``.

    Raises:
        ProblemError: The data set has other images or classes, or too few.
    """
    channels, image, classes = shape
    rng = np.random.default_rng(seed)
    if data == _RANDOM:
        pixels = rng.standard_normal((batch, channels, image, image), dtype=np.float32)
        return torch.from_numpy(pixels), torch.from_numpy(rng.integers(0, classes, batch))
    dataset = datasets.load(data)
    dataset.check(channels, image, classes)
    if batch > len(dataset.train_images):
        raise ProblemError(
            f"the data set {data!r} has too few images for a batch of {batch}",
            where="option batch",
            rule=f"at most {len(dataset.train_images)}",
            given=str(batch),
        )
    rows = rng.choice(len(dataset.train_images), batch, replace=False)
    return torch.tensor(dataset.train_images[rows]), torch.tensor(dataset.train_labels[rows])
