"""What the training of a network costs: MACs and bit operations, known before it begins."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from evaluators.precision_schedules import limited
from evaluators.training_plan import Plan
from hwnas.arrays import Floats, Ints
from hwnas.design import Designs, LayerTable
from hwnas.design.searched_training import halved
from hwnas.errors import ProblemError
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Measurements, Metric

_PRODUCTS = 3
"""Per layer: outputs, gradient of the inputs, gradient of the weights."""


class TrainingCost(Evaluator):
    """The cost of training a network from scratch, summed over all steps.

    Every layer computes three products for an image: its outputs (weights times activations), the
    gradient of its inputs (weights times gradients) and that of its weights (activations times
    gradients), each of as many MACs as one inference. A product of numbers of p and q bits counts p
    q bit operations per MAC, as in `bitops`; weights and activations have the bits of the step (see
    `evaluators.precision_schedules`). The optimiser's own work is left out.

    Images shown at lower resolution cost what their own, smaller layers cost; images that are left
    out cost nothing. A training that stops early costs less than is said here. `training` itself
    computes gradients in single precision: ``gradient_bits`` are those of the machine that would
    train so.

    Metrics: ``training_macs`` and ``training_bitops``, unit 1, smaller is better.

    Args:
        epochs: Passes over the training images, as in `training`.
        images: Number of training images; 1,000 is that of ``digits``.
        batch_size: Images per step where no gene says it; incomplete batches are left out.
        gradient_bits: Bits of gradients, 1 to 32. CPT keeps them at 8 while those of weights and
            activations change. Left out, both backward products count like the forward one.

    Raises:
        ProblemError: An option is out of range.

    Source: training counted as three products per layer of the operands' bits, over the schedule,
    after Fu et al., FracTrain (NeurIPS 2020) and CPT (ICLR 2021); the convention without
    ``gradient_bits`` is ours.
    """

    metrics = (Metric("training_macs", "1", best=0.0), Metric("training_bitops", "1", best=0.0))
    reads = frozenset({"net", "quant", "train"})
    expense = Expense.FREE

    def __init__(
        self,
        *,
        epochs: int = 8,
        images: int = 1000,
        batch_size: int = 100,
        gradient_bits: int | None = None,
    ) -> None:
        self.epochs = _checked("epochs", epochs, 1)
        self.images = _checked("images", images, 2)
        self.batch_size = _checked("batch_size", batch_size, 2)
        self.gradient_bits = gradient_bits
        if gradient_bits is not None:
            _checked("gradient_bits", gradient_bits, 1, 32)
        self.version = f"1 {epochs} {images} {batch_size} {gradient_bits}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`.

        Raises:
            SpaceError: The family has no networks for images of a size that genes ask for.
        """
        shown = self._shown(designs)
        macs, bitops = self._cost(designs.layers, shown[:, 0])
        easy = np.flatnonzero(shown[:, 1].any(axis=1))
        if len(easy):
            smaller = designs[easy].layers_at(halved(designs.images[easy]))
            more_macs, more_bitops = self._cost(smaller, shown[easy, 1])
            macs[easy] += more_macs
            bitops[easy] += more_bitops
        return Measurements.of(self.metrics, {"training_macs": macs, "training_bitops": bitops})

    def _shown(self, designs: Designs) -> Ints:
        """Images shown per design, kind and most bits, ``int64 (n, 2, 33)``."""
        alike = np.zeros(len(designs), dtype=np.int64)
        recipes: list[dict[str, object]] = [{}]
        if designs.recipes and len(designs):
            settings, alike = designs.part("train")
            recipes = [design.recipe for design in settings]
        plans = [Plan.of(each, self.images, self.epochs, self.batch_size) for each in recipes]
        return np.stack([_shown_by(plan) for plan in plans])[alike]

    def _cost(self, table: LayerTable, shown: Ints) -> tuple[Floats, Floats]:
        """MACs and bit operations, ``(n,)`` each, of images shown ``(n, 33)``."""
        macs = table.macs.astype(np.float64)
        bitops = np.zeros(table.n)
        for cap in np.flatnonzero(shown.any(axis=0)):
            weight = limited(table.operand_bits, int(cap))
            activation = limited(table.activation_bits, int(cap))
            bits = weight * activation * _PRODUCTS
            if self.gradient_bits is not None:
                bits = weight * activation + self.gradient_bits * (weight + activation)
            bitops += table.total(macs * bits) * shown[:, cap]
        return _PRODUCTS * table.total(macs) * shown.sum(axis=1), bitops


@lru_cache(maxsize=4096)
def _shown_by(plan: Plan) -> Ints:
    """`Plan.shown`, counted once: a training on a large data set has many steps."""
    return plan.shown


def _checked(option: str, given: int, least: int, most: float = math.inf) -> int:
    if not least <= given <= most:
        raise ProblemError(
            f"training_cost cannot have {option} = {given}",
            rule=f"at least {least}" + (f", at most {most:g}" if math.isfinite(most) else ""),
            given=repr(given),
        )
    return given
