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
from evaluators.quantization import QuantizedNetwork
from evaluators.torch_threads import one_thread
from evaluators.zero_cost.metrics import NEVER_NEGATIVE, PROXIES
from evaluators.zero_cost.probe import Probe
from hwnas.design.designs import Design, Designs
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation import Expense, Infeasible, PerDesign
from hwnas.evaluation.interface import Chunk
from hwnas.metrics import Goal, Metric

Name = Literal[
    "synflow",
    "snip",
    "grad_norm",
    "fisher",
    "grasp",
    "gradsign",
    "zico",
    "jacob_cov",
    "naswot",
    "zen",
]
_LEAST_IMAGES: Final = {"zico": 4}
_RANDOM: Final = "random"
_Shape = tuple[int, int, int]
"""Channels and size of the image, classes."""


class ZeroCost(PerDesign):
    """Training-free metrics on one minibatch, at randomly drawn first weights.

    They rank networks, some well and some hardly; none is an accuracy. Definitions and sources are
    in `evaluators.zero_cost.gradients` and `.activations`. Networks are measured at single
    precision, whatever their bit widths: families that build a graph, e.g. ``skipnet``, and
    ``nas_bench_201`` (with its option ``drop_dead_edges``, without the edges that lead nowhere).

    Metrics that are asked for together share what they can: ``snip``, ``grad_norm`` and ``fisher``
    the whole pass, ``grasp``, ``jacob_cov`` and ``naswot`` its forward half.

    The minibatch follows from the study's seed alone, so all networks are shown the same images;
    the first weights follow from the seed and the genes of the network. Equal networks get equal
    answers in any batch and any process on the same machine, computed with one thread.

    Metrics: those asked for, under their names, unit 1, larger is better. A network for which one
    is not defined, e.g. because no path leads from its input to its output, is infeasible.

    Args:
        metric: ``synflow``, ``snip``, ``grad_norm``, ``fisher``, ``grasp``, ``gradsign``,
            ``zico``, ``jacob_cov``, ``naswot`` or ``zen``, or several.
        batch: Images in the minibatch, at least 2, and 4 for ``zico``, which splits it in two.
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
        least = max(_LEAST_IMAGES.get(name, 2) for name in names)
        if batch < least:
            raise ProblemError(
                f"zero_cost cannot have batch = {batch}",
                where="option batch",
                rule=f"at least {least}: batch normalisation needs two images to normalise over"
                + (", and zico halves the batch" if least > 2 else ""),
                given=str(batch),
            )
        _check_word("expense", expense, [known.value for known in Expense])
        self.data = data if data == _RANDOM else datasets.known(data)
        self.batch = batch
        self.expense = Expense(expense)
        self.metrics = tuple(
            Metric(name, "1", Goal.MAXIMIZE, worst=0.0 if name in NEVER_NEGATIVE else None)
            for name in names
        )
        self.version = f"2 {' '.join(names)} batch={batch} data={data}"

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
        names = [metric.name for metric in self.metrics]
        seed = design.seed_for("net", stream="zero_cost")
        with one_thread():
            network, shape = _network(design, seed)
            images, labels = _minibatch(self.data, self.batch, shape, design.seed)
            probe = Probe(network, images, labels, names, seed=seed)
            answer = {name: PROXIES[name](probe) for name in names}
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
    # Without the quantization part the graph has the bits that its family gives it.
    graph = design.batch.part("net")[0][0].graph
    shape = (graph.channels, graph.image, graph.classes)
    network = QuantizedNetwork(graph, torch.Generator().manual_seed(seed))
    # With so few channels, processors are up to twice as fast when channels come last in memory.
    return network.to(memory_format=torch.channels_last), shape  # type: ignore[call-overload]


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
        return _last(torch.from_numpy(pixels)), torch.from_numpy(rng.integers(0, classes, batch))
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
    images, labels = (dataset.train_images[rows], dataset.train_labels[rows])
    return _last(torch.tensor(images)), torch.tensor(labels)


def _last(images: Tensor) -> Tensor:
    """The same images with their channels last in memory."""
    return images.contiguous(memory_format=torch.channels_last)
