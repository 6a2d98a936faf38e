"""The evaluator that trains every design and answers its test error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, TypeVar

import numpy as np
import torch
from pydantic import Discriminator, InstanceOf, Tag
from pydantic.json_schema import SkipJsonSchema

from evaluators import datasets
from evaluators.dataset_files import DataFiles
from evaluators.datasets import Dataset
from evaluators.quantization import QuantizedNetwork
from evaluators.torch_threads import one_thread
from evaluators.training.loop import Course, Recipe, Trainer, error_rate
from hwnas.design.designs import Design, Designs
from hwnas.design.graph import Graph
from hwnas.errors import ProblemError
from hwnas.evaluation import Expense, Infeasible, PerDesign
from hwnas.evaluation.interface import Chunk
from hwnas.metrics import Goal, Metric, Reason

_PATIENCE = 0.5
"""Share of the epochs after which a loss that is not below chance is given up ..."""
_WARM_UP = 2
"""... but never in the first epochs, in which small networks of 2 bits do not leave chance."""
_BUILT_IN = "digits"
"""The data set that never changes: it need not be read before it is trained on."""


def _kind(given: object) -> str:
    return {str: "name", Dataset: "arrays"}.get(type(given), "files")


_Data = Annotated[
    Annotated[str, Tag("name")]
    | Annotated[DataFiles, Tag("files")]
    | Annotated[SkipJsonSchema[InstanceOf[Dataset]], Tag("arrays")],
    Discriminator(_kind),
]


class Training(PerDesign):
    """Trains every design from scratch and answers its error on the test images.

    The optimiser is AdamW with a one-cycle learning rate (rising for 30 % of the steps, then
    falling along a cosine), the loss cross-entropy. First weights, order of the images and
    distortions follow from the study's seed and the genes of network and bits: equal designs get
    equal errors in any process and any batch on the same machine.

    At fidelity 0.5 the whole cycle takes half the epochs, and at least one.

    Args:
        dataset: ``digits``, ``fashion_mnist``, ``cifar10`` or another name under the entry points
            ``hwnas.datasets``; the person's own files (``{path: FOLDER}``, see `DataFiles`); in
            Python also a `Dataset`. The networks must fit its images and classes.
        epochs: Passes over the training images.
        batch_size: Images per step (at most all of them); an incomplete batch is left out.
        learning_rate: The peak of the cycle.
        weight_decay: Decoupled weight decay, relative to the learning rate.
        fidelities: The lower fidelities that are offered: shares of the epochs, above 0 and below
            1, e.g. ``[0.125]`` for one epoch of eight. Grey-box search uses cheap ones.

    Raises:
        ProblemError: An option is out of range or names no data set, or the data set is not on
            the machine or not in order: all but ``digits`` are read at once.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; Smith and
    Topin, "Super-Convergence", arXiv 1708.07120 (one cycle). The defaults were tuned on random
    designs of `SkipNet` and `BitsPerCell`: on 30 of them, errors of 0.03 to 0.71 with a standard
    deviation of 0.20 between designs and 0.05 between study seeds, Kendall's tau 0.88 between two
    study seeds, 2.3 s of one core each.
    """

    metrics = (Metric("error", "1", Goal.MINIMIZE, worst=1.0, best=0.0),)
    reads = frozenset({"net", "quant"})
    expense = Expense.COSTLY

    def __init__(
        self,
        *,
        dataset: _Data = "digits",
        epochs: int = 8,
        batch_size: int = 100,
        learning_rate: float = 0.04,
        weight_decay: float = 1e-4,
        fidelities: tuple[float, ...] = (0.5,),
    ) -> None:
        self.dataset = datasets.known(dataset) if isinstance(dataset, str) else dataset
        self.recipe = Recipe(
            _checked("epochs", epochs, least=1),
            # Batch normalisation needs two images to normalise over.
            _checked("batch_size", batch_size, least=2),
            _checked("learning_rate", learning_rate, least=0, excluded=True),
            _checked("weight_decay", weight_decay, least=0),
        )
        for share in fidelities:
            if not 0 < share < 1:
                raise ProblemError(
                    f"training cannot have a lower fidelity of {share:g}",
                    where="option fidelities",
                    rule="a share of the epochs, above 0 and below 1",
                    given=str(list(fidelities)),
                )
        self.fidelities = (*sorted(set(fidelities)), 1.0)
        self.version = (
            f"1 {_label(self.dataset)} epochs={epochs} batch_size={batch_size} "
            f"learning_rate={learning_rate:g} weight_decay={weight_decay:g}"
        )

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Measures one by one; see `Evaluator.stream`.

        Raises:
            ProblemError: The networks do not fit the data set, or the fidelity is not offered:
                mistakes of the study, so no row can answer them.
        """
        some = designs
        if not len(some):  # a study is being checked: any network shows whether they fit
            some = Designs(designs.space, np.zeros((1, len(designs.space)), dtype=np.int64))
        self._check(some[0].graph, fidelity)
        yield from super().stream(designs, fidelity)

    def measure(self, design: Design, fidelity: float = 1.0) -> Mapping[str, float] | Infeasible:
        """Trains and tests one design; see `PerDesign.measure`.

        Returns:
            The error, 0 to 1; `Infeasible` with `Reason.DIVERGED` as soon as an epoch's mean loss
            is not finite or, in the second half of the epochs but after the second, not below
            chance.

        Raises:
            ProblemError: See `stream`.
        """
        dataset = self._check(design.graph, fidelity)
        recipe = self._recipe(design, fidelity)
        with one_thread():
            network = self._network(design)
            trainer = Trainer(
                network, dataset, recipe, self._seed(design), course=self._course(design)
            )
            chance = math.log(dataset.classes)
            patience = max(_WARM_UP, _PATIENCE * recipe.epochs)
            for epoch, loss in enumerate(trainer, start=1):
                if not math.isfinite(loss) or (epoch > patience and loss >= chance):
                    return Infeasible(
                        f"diverged: mean loss {loss:.4g} in epoch {epoch} of {recipe.epochs}, "
                        f"chance is {chance:.4g}",
                        Reason.DIVERGED,
                    )
            return {"error": error_rate(network, dataset)}

    def _recipe(self, design: Design, fidelity: float) -> Recipe:
        """How a design is trained: the options, and the genes that overrule them."""
        del design
        return replace(self.recipe, epochs=max(1, round(self.recipe.epochs * fidelity)))

    def _course(self, design: Design) -> Course:
        """What the training of a design shows in every epoch, and does before every step."""
        del design
        return Course()

    def _network(self, design: Design) -> QuantizedNetwork:
        """A design's network at its first weights."""
        generator = torch.Generator().manual_seed(self._seed(design))
        return QuantizedNetwork(design.graph, generator)

    def _seed(self, design: Design) -> int:
        return design.seed_for("net", "quant", stream="training")

    def _check(self, graph: Graph, fidelity: float) -> Dataset:
        if fidelity not in self.fidelities:
            raise ProblemError(
                f"training is not offered at fidelity {fidelity:g}",
                rule="one of " + ", ".join(f"{f:g}" for f in self.fidelities),
                given=f"{fidelity:g}",
            )
        dataset = datasets.load(self.dataset)
        dataset.check(graph.channels, graph.image, graph.classes)
        return dataset


def _label(source: str | DataFiles | Dataset) -> str:
    """What a version says of a data set: its name, and a digest of all that may change."""
    if source == _BUILT_IN:
        return _BUILT_IN
    dataset = datasets.load(source)
    return f"{dataset.name}-{dataset.digest}"


_Number = TypeVar("_Number", int, float)


def _checked(option: str, given: _Number, *, least: float, excluded: bool = False) -> _Number:
    if not math.isfinite(given) or given < least or (excluded and given == least):
        raise ProblemError(
            f"training cannot have {option} = {given}",
            rule=f"a finite number {'above' if excluded else 'of at least'} {least:g}",
            given=repr(given),
        )
    return given
