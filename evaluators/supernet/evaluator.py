"""The evaluator that answers the errors of networks with the weights of a supernet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evaluators import datasets
from evaluators.datasets import Dataset
from evaluators.quantization import QuantizedNetwork
from evaluators.supernet.kept import Identity, bring_up, file_of
from evaluators.supernet.learning import Batches, error_of, fit, recalibrate
from evaluators.supernet.sandwich import Layout, Recipe, Sandwich
from evaluators.supernet.sharing import Subnet
from evaluators.torch_threads import one_thread
from evaluators.training.options import GivenData, checked, label
from hwnas.design.designs import Design, Designs
from hwnas.evaluation import Expense, Infeasible, PerDesign
from hwnas.evaluation.interface import Chunk
from hwnas.metrics import Goal, Metric, Reason
from hwnas.space import Space

_VERSION = 3
_checked = partial(checked, of="supernet")


class Supernet(PerDesign):
    """Answers the test error of a network that takes its weights from a trained supernet.

    The supernet holds the weights of the largest network of the family; every other is a part of
    it, at its own bit widths (`evaluators.supernet.sharing`). It is trained once, when the first
    design is measured, by the sandwich rule with distillation in place
    (`evaluators.supernet.sandwich`); then a network costs two passes over some images: one in which
    the statistics of its batch normalisation are computed anew, and the test. A short fine-tuning
    of its own makes the answer a better one.

    The supernet is kept in a file and used by every study that asks for the same family, policy,
    data set, recipe and seed. A training that was killed goes on from its last checkpoint.

    Errors are those of borrowed weights: higher than after a training of their own. How well they
    rank grows with the steps; ``benchmarks/supernet.py`` measures it.

    Args:
        path: The folder of supernets, or one file that ends in ``.pt``. A relative path starts
            from the study file. Left out, it is ``hwnas/supernets`` in the user's folder of
            caches.
        dataset: As of `Training`.
        steps: Steps of the supernet's training.
        batch_size: Images per step, also of fine-tuning.
        learning_rate: The peak of the supernet's one-cycle learning rate.
        weight_decay: Decoupled weight decay, relative to the learning rate.
        networks: Networks drawn at random per step, besides the largest and the smallest.
        seed: The supernet's: first weights, order of the images, networks.
        calibration_images: Training images over which batch normalisation is computed anew.
        fine_tune_steps: Steps that each measured network is trained further; 0 for none.
        fine_tune_rate: The peak of their one-cycle learning rate.
        metric: The name of what it answers, e.g. ``error_supernet`` beside a ``training``.

    Raises:
        ProblemError: An option is out of range or names no data set.

    Sources: Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV
    2019; Yu et al., "BigNAS", ECCV 2020; Cai et al., "Once-for-All", ICLR 2020.
    """

    reads = frozenset({"net", "quant"})
    expense = Expense.COSTLY

    def __init__(
        self,
        *,
        path: Path | None = None,
        dataset: GivenData = "digits",
        steps: int = 2000,
        batch_size: int = 64,
        learning_rate: float = 0.03,
        weight_decay: float = 1e-4,
        networks: int = 2,
        seed: int = 0,
        calibration_images: int = 1000,
        fine_tune_steps: int = 0,
        fine_tune_rate: float = 0.01,
        metric: str = "error",
    ) -> None:
        self.path = path
        self.dataset = datasets.known(dataset) if isinstance(dataset, str) else dataset
        self.recipe = Recipe(
            _checked("steps", steps, least=1),
            # Batch normalisation needs two images to normalise over.
            _checked("batch_size", batch_size, least=2),
            _checked("learning_rate", learning_rate, least=0, excluded=True),
            _checked("weight_decay", weight_decay, least=0),
            _checked("networks", networks, least=0),
            _checked("seed", seed, least=0),
        )
        self.calibration_images = _checked("calibration_images", calibration_images, least=2)
        self.fine_tune_steps = _checked("fine_tune_steps", fine_tune_steps, least=0)
        self.fine_tune_rate = _checked("fine_tune_rate", fine_tune_rate, least=0, excluded=True)
        self.metrics = (Metric(metric, "1", Goal.MINIMIZE, worst=1.0, best=0.0),)
        self.version = (
            f"{_VERSION} {label(self.dataset)} {self.recipe} "
            f"calibration_images={calibration_images} fine_tune_steps={fine_tune_steps} "
            f"fine_tune_rate={fine_tune_rate:g}"
        )

        self._ready: tuple[str, Sandwich] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None}  # another process reads the file itself

    def prepare(self, space: Space) -> Path:
        """Trains the supernet of a space, unless it is kept already.

        Args:
            space: Has a network family and, if there is one, a bit policy.

        Returns:
            Its file.

        Raises:
            ProblemError: It cannot be kept, its file is of another one, or it diverged.
            DesignError: The networks cannot share weights.
        """
        with one_thread():
            self._sandwich(space)
        return file_of(self.path, self._identity(space))

    def get_ready(self, space: Space, fidelity: float = 1.0) -> None:
        """Trains the supernet; see `prepare` and `Evaluator.get_ready`."""
        del fidelity
        self.prepare(space)

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Measures one by one; see `Evaluator.stream`.

        Raises:
            ProblemError: The networks do not fit the data set, or see `prepare`: mistakes of the
                study, so no row can answer them.
        """
        some = designs
        if not len(some):  # a study is being checked: any network shows whether they fit
            some = Designs(designs.space, np.zeros((1, len(designs.space)), dtype=np.int64))
        graph = self._own(some[0]).graph
        self._dataset().check(graph.channels, graph.image, graph.classes)
        if len(designs):
            self.prepare(designs.space)
        yield from super().stream(designs, fidelity)

    def network(self, design: Design) -> QuantizedNetwork | None:
        """A network of its own with the weights of the supernet, fine-tuned and calibrated.

        Returns:
            A module in evaluation mode, or ``None`` where the fine-tuning diverged.

        Raises:
            ProblemError: See `prepare`.
            DesignError: The network is none of the supernet's.
        """
        with one_thread():
            sandwich = self._sandwich(design.space)
            network = Subnet(self._own(design).graph, sandwich.shared).extracted()
            if self.fine_tune_steps:
                seed = design.seed_for("net", "quant", stream="supernet")
                own = Batches(self._dataset(), self.recipe.batch_size, seed)
                decay = self.recipe.weight_decay
                if not fit(network, own, self.fine_tune_steps, self.fine_tune_rate, decay):
                    return None
            recalibrate(network, sandwich.batches, self.calibration_images)
        return network

    def measure(self, design: Design, fidelity: float = 1.0) -> Mapping[str, float] | Infeasible:
        """Tests one design; see `PerDesign.measure`.

        Returns:
            The error, 0 to 1; `Infeasible` with `Reason.DIVERGED` where a loss of the fine-tuning
            is not finite.
        """
        network = self.network(design)
        if network is None:
            return Infeasible("diverged: a loss of the fine-tuning is not finite", Reason.DIVERGED)
        with one_thread():
            return {self.metrics[0].name: error_of(network, self._dataset())}

    def _own(self, design: Design) -> Design:
        """The parts of a design that count here: genes of the training change no supernet."""
        return design.batch.part(*design.space.read_by(self.reads))[0][0]

    def _dataset(self) -> Dataset:
        return datasets.load(self.dataset)

    def _identity(self, space: Space) -> Identity:
        parts = {
            title: {"name": space.parts[name].name, **space.parts[name].options()}
            for title, name in (("family", "net"), ("policy", "quant"))
            if name in space.parts
        }
        network = space.parts["net"].name if "net" in space.parts else ""
        data = label(self.dataset)
        recipe = asdict(self.recipe)
        return Identity({"network": network, **parts, "data": data, **recipe, "code": _VERSION})

    def _sandwich(self, space: Space) -> Sandwich:
        """The finished supernet: at hand, from its file, or trained now."""
        identity = self._identity(space)
        if self._ready is None or self._ready[0] != identity.digest:
            sandwich = Sandwich(Layout.of(space), self._dataset(), self.recipe)
            bring_up(sandwich, file_of(self.path, identity), identity)
            self._ready = identity.digest, sandwich
        return self._ready[1]
