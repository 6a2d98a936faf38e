"""The evaluator that trains every design and answers its test error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from evaluators import datasets
from evaluators.datasets import Dataset
from evaluators.quantization import Quantization, QuantizedNetwork
from evaluators.quantization.calibration import calibrate
from evaluators.training.checkpoints import Checkpoints, Unkept
from evaluators.training.devices import Device, chosen, repeatable
from evaluators.training.genes import planned, resized, resized_for_tests
from evaluators.training.loop import Recipe, Trainer, batches, error_rate
from evaluators.training.options import GivenData, checked, label
from evaluators.training.run import Curve, Run, curve_of, split
from evaluators.training.snapshots import Snapshot, arrays_of, give_arrays, prefixed
from hwnas.design.designs import Design, Designs
from hwnas.errors import DesignError, ProblemError
from hwnas.evaluation import Expense, Infeasible, PerDesign
from hwnas.evaluation.interface import Chunk, describe
from hwnas.metrics import Goal, Metric, Reason

_QUANTIZATION = Quantization()


class Training(PerDesign):
    """Trains every design from scratch and answers its error on the test images.

    The optimiser is AdamW with a one-cycle learning rate (rising for 30 % of the steps, then
    falling along a cosine), the loss cross-entropy. First weights, order of the images and
    distortions follow from the study's seed and the genes of network, bits and training: equal
    designs get equal errors in any process and any batch on the same machine.

    Genes of the training (`hwnas.design.SearchedTraining`) change its batch size, its images and
    their resolution, and its bits on the way. What is tested has the bits of the quantization
    policy and the resolution of the training; no test image is left out.

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
        lower: What a lower fidelity is. ``shorter``: the whole cycle in fewer epochs, at least
            one, and its error. ``beginning``: the first epochs of the full training, whose loss L
            then stands for the error as 1 - exp(-L), what guessing by the classes' mean (in the
            logarithm) likelihood would err: a number that ranks, and overestimates. With
            ``checkpoints``, a promoted design goes on where its lower fidelity ended.
        checkpoints: A folder where every training is kept after every epoch, and the weights of
            the finished ones. A training that was killed goes on from its last whole epoch, and
            ends with the error it would have had. A relative path starts from the study file.
            Left out, nothing is kept. It changes no answer.
        patience: A training ends after so many epochs without a lower error on held-out training
            images, and in any case has the weights of the best epoch. Left out, every training
            takes all epochs and keeps its last weights. As the learning rate falls only towards
            the end of the cycle, few epochs of patience end trainings that would have improved.
        validation: The share of the training images that is held out where there is patience.
        device: ``cpu``; ``cuda``, a graphics processor of NVIDIA's; or ``auto``, the latter where
            there is one. Small networks gain nothing from it. Answers on another device are
            another version.
        quantization: How numbers are rounded, e.g. ``{activations: percentile, mode: ptq}``; see
            `Quantization`.

    Raises:
        ProblemError: An option is out of range or names no data set, or the data set is not on
            the machine or not in order: all but ``digits`` are read at once.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; Smith and
    Topin, "Super-Convergence", arXiv 1708.07120 (one cycle); Ru et al., "Speedy Performance
    Estimation for Neural Architecture Search", NeurIPS 2021 (training losses rank).

    The defaults were tuned on random designs of `SkipNet` and `BitsPerCell`: on 30 of them, errors
    of 0.03 to 0.71 with a standard deviation of 0.20 between designs and 0.05 between study seeds,
    Kendall's tau 0.88 between two study seeds, 2.3 s of one core each.
    """

    metrics = (Metric("error", "1", Goal.MINIMIZE, worst=1.0, best=0.0),)
    reads = frozenset({"net", "quant", "train"})
    expense = Expense.COSTLY

    def __init__(
        self,
        *,
        dataset: GivenData = "digits",
        epochs: int = 8,
        batch_size: int = 100,
        learning_rate: float = 0.04,
        weight_decay: float = 1e-4,
        fidelities: tuple[float, ...] = (0.5,),
        lower: Literal["shorter", "beginning"] = "shorter",
        checkpoints: Path | None = None,
        patience: int | None = None,
        validation: float = 0.1,
        device: Device = "cpu",
        quantization: Quantization = _QUANTIZATION,
    ) -> None:
        self.dataset = datasets.known(dataset) if isinstance(dataset, str) else dataset
        self.recipe = Recipe(
            checked("epochs", epochs, least=1),
            # Batch normalisation needs two images to normalise over.
            checked("batch_size", batch_size, least=2),
            checked("learning_rate", learning_rate, least=0, excluded=True),
            checked("weight_decay", weight_decay, least=0),
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
        self.lower = lower
        self.patience = patience if patience is None else checked("patience", patience, least=1)
        self.validation = checked("validation", validation, least=0, most=1, excluded=True)
        self.device = chosen(device)
        self.version = (
            f"1 {label(self.dataset)} epochs={epochs} batch_size={batch_size} "
            f"learning_rate={learning_rate:g} weight_decay={weight_decay:g}"
        )
        if patience is not None:
            self.version += f" patience={patience} validation={validation:g}"
        if self.device != "cpu":
            self.version += f" device={self.device}"
        self.quantization = quantization
        if quantization.label:
            self.version += f" quantization: {quantization.label}"
        self._recorded = self.version  # what a full training follows from
        if lower != "shorter":
            self.version += f" lower={lower}"
        self.checkpoints = checkpoints

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Measures one by one; see `Evaluator.stream`.

        Raises:
            ProblemError: The networks do not fit the data set, have bits that cannot be rounded
                to, the fidelity is not offered, or the folder of checkpoints is of other
                trainings: mistakes of the study, so no row can answer them.
            DesignError: There are no designs, as a study is being checked, and its first network
                cannot be trained, e.g. at so few bits.
        """
        some = designs
        if not len(some):  # a study is being checked: any network shows whether they fit
            some = Designs(designs.space, np.zeros((1, len(designs.space)), dtype=np.int64))
            self.quantization.check_space(designs.space)
        dataset = self._check(some[0], fidelity)
        if not len(designs):
            self._network(some[0])  # whether its layers and bits can be trained
        if self.patience is not None:
            split(dataset, self.validation)
        if self._folder is not None:
            self._folder.open(designs.space)
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
        return self._train(design, fidelity)[0]

    def trained(self, design: Design) -> QuantizedNetwork:
        """The network of a design, trained: from its checkpoint, else it is trained now.

        Returns:
            A module on the CPU, in evaluation mode.

        Raises:
            ProblemError: See `stream`.
            DesignError: Its training diverges.
        """
        answer, network = self._train(design, 1.0)
        if isinstance(answer, Infeasible):
            raise DesignError("the network of this design cannot be trained", given=answer.note)
        return network.cpu().eval()

    def tested_on(self, design: Design) -> Dataset:
        """The data set of a design, its test images at the resolution of its genes.

        Raises:
            ProblemError: See `stream`.
        """
        return self._check(design, 1.0)

    def curve(self, design: Design, fidelity: float = 1.0) -> Curve | None:
        """The learning curve of a design, as far as it was trained: from its checkpoint.

        Returns:
            ``None`` where there is none.

        Raises:
            ProblemError: There is no folder of checkpoints, or it is of other trainings.
        """
        if self._folder is None:
            raise ProblemError(
                "no learning curve is kept",
                where="option checkpoints",
                rule="trainings are kept in a folder",
                cure="give training a folder, e.g. checkpoints: trainings",
            )
        files = self._files(design, self._whole(fidelity))
        found = files.finished() or files.going()
        return None if found is None else curve_of(found)

    @property
    def _folder(self) -> Checkpoints | None:
        if self.checkpoints is None:
            return None
        return Checkpoints(self.checkpoints, self._recorded, self.reads)

    def _files(self, design: Design, fidelity: float) -> Unkept:
        if self._folder is None:
            return Unkept()
        self._folder.open(design.space)
        return self._folder.of(design, fidelity)

    def _whole(self, fidelity: float) -> float:
        """The fidelity of the training that one of a fidelity is, or is the beginning of."""
        return 1.0 if self.lower == "beginning" else fidelity

    def _train(
        self, design: Design, fidelity: float
    ) -> tuple[Mapping[str, float] | Infeasible, QuantizedNetwork]:
        """The answer for a design and its trained network, from what is kept or by training."""
        dataset = self._check(design, fidelity)
        whole = self._whole(fidelity)
        files = self._files(design, whole)
        with repeatable(self.device):
            try:
                answer, run = self._resumed(files, design, whole, dataset)
            except (ValueError, LookupError) as error:  # a checkpoint of another network
                files.set_aside(describe(error))
                answer, run = self._resumed(files, design, whole, dataset)
            epochs = run.trainer.recipe.epochs
            until = epochs if whole == fidelity else max(1, round(epochs * fidelity))
            if answer is None:
                answer = self._go_on(run, files, dataset, until)
            if answer is None or until < epochs:
                answer = run.curve.beginning(until, answer)
            network = run.trainer.module
            assert isinstance(network, QuantizedNetwork)
            return answer, network

    def _resumed(
        self, files: Unkept, design: Design, fidelity: float, dataset: Dataset
    ) -> tuple[Mapping[str, float] | Infeasible | None, Run]:
        """A training as far as it is kept, and its answer if it is finished."""
        held_out = None
        if self.patience is not None:
            dataset, held_out = split(dataset, self.validation)
            held_out = resized_for_tests(held_out, dataset.test_images.shape[-1])
        network = self._network(design).to(self.device)
        recipe, course = planned(design, self._recipe(fidelity), dataset)
        device = torch.device(self.device)
        trainer = Trainer(
            network, dataset, recipe, self._seed(design), course=course, device=device
        )
        run = Run(trainer, held_out)
        if (finished := files.finished()) is not None:
            give_arrays(network, finished.part("module"))
            run.curve = curve_of(finished)
            return _answer_of(finished), run
        if (going := files.going()) is not None:
            run.restore(going)
        return None, run

    def _go_on(
        self, run: Run, files: Unkept, dataset: Dataset, until: int
    ) -> Mapping[str, float] | Infeasible | None:
        """Trains up to an epoch; the answer, or ``None`` where the training is not over then."""
        trainer = run.trainer
        answer: Mapping[str, float] | Infeasible | None = None
        has_stalled = False
        while answer is None and not has_stalled and trainer.epoch < until:
            run.advance()
            answer = run.curve.diverged(trainer.recipe.epochs, math.log(dataset.classes))
            has_stalled = self.patience is not None and run.has_stalled(self.patience)
            if files.is_kept and answer is None and not has_stalled and not run.is_over:
                files.keep(run.snapshot())
        if answer is None and (has_stalled or run.is_over):
            run.settle()
            if self.quantization.waits:
                calibrate(trainer.module, self._calibration(dataset, trainer))
            answer = {"error": error_rate(trainer.module, dataset, trainer.device)}
        if files.is_kept and answer is not None:
            files.finish(_finished(run, answer))
        return answer

    def _calibration(self, dataset: Dataset, trainer: Trainer) -> Iterator[Tensor]:
        """Training images from all over the data set, distorted, in batches."""
        n = len(dataset.train_labels)
        rows = np.linspace(0, n - 1, min(self.quantization.calibration_images, n)).astype(np.int64)
        rng = np.random.default_rng(0)
        images = datasets.distorted(dataset.train_images[rows], dataset.shift, dataset.noise, rng)
        for x, _ in batches(images, dataset.train_labels[rows], trainer.batch, trainer.device):
            yield resized(x, dataset.test_images.shape[-1])

    def _recipe(self, fidelity: float) -> Recipe:
        """How designs are trained, unless genes of theirs say otherwise."""
        return replace(self.recipe, epochs=max(1, round(self.recipe.epochs * fidelity)))

    def _network(self, design: Design) -> QuantizedNetwork:
        """A design's network at its first weights."""
        generator = torch.Generator().manual_seed(self._seed(design))
        return QuantizedNetwork(design.graph, generator, self.quantization)

    def _seed(self, design: Design) -> int:
        return design.seed_for("net", "quant", "train", stream="training")

    def _check(self, design: Design, fidelity: float) -> Dataset:
        """The data set, its test images at the resolution that the genes of a design ask for."""
        if fidelity not in self.fidelities:
            raise ProblemError(
                f"training is not offered at fidelity {fidelity:g}",
                rule="one of " + ", ".join(f"{f:g}" for f in self.fidelities),
                given=f"{fidelity:g}",
            )
        dataset = datasets.load(self.dataset)
        graph = design.graph
        if design.batch.asked_images is None:
            dataset.check(graph.channels, graph.image, graph.classes)
            return dataset
        dataset.check(graph.channels, dataset.image, graph.classes)
        return resized_for_tests(dataset, graph.image)


def _finished(run: Run, answer: Mapping[str, float] | Infeasible) -> Snapshot:
    """What is kept of a finished training: its answer, its curve and its network."""
    given: dict[str, Any] = {"values": answer}
    if isinstance(answer, Infeasible):
        given = {"note": answer.note, "reason": answer.reason.name}
    facts = {"losses": run.curve.losses, "errors": run.curve.errors, "answer": given}
    return Snapshot(prefixed("module", arrays_of(run.trainer.module)), facts)


def _answer_of(finished: Snapshot) -> Mapping[str, float] | Infeasible:
    given = finished.facts["answer"]
    if "values" in given:
        return dict(given["values"])
    return Infeasible(given["note"], Reason[given["reason"]])
