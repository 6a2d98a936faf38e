"""CPT's precision range test: how few bits a training can begin with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from evaluators.datasets import Dataset
from evaluators.precision_schedules import Progressive
from evaluators.quantization import QuantizedNetwork
from evaluators.torch_threads import one_thread
from evaluators.training.genes import PlannedCourse
from evaluators.training.loop import Recipe, Trainer
from evaluators.training_plan import Plan
from hwnas.design import Graph
from hwnas.errors import ProblemError


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        lowest: The fewest bits at which the loss falls, or ``None``: at none of those tried.
        losses: Bits that were tried, ascending, to the mean loss of the last epoch.
    """

    lowest: int | None
    losses: Mapping[int, float]


def range_test(
    graph: Graph,
    dataset: Dataset,
    recipe: Recipe,
    *,
    bits: Iterable[int] = range(2, 9),
    share: float = 0.2,
    seed: int = 0,
) -> RangeTest:
    """Finds the fewest bits at which a training gets anywhere: the lower bound of a cycle.

    Short trainings at constant bits, the fewest first, each from the same first weights, until the
    mean loss of the last epoch is below that of guessing by a share of it. CPT raises the bits of
    one training on the way instead, and watches its accuracy.

    Args:
        graph: The network, at the bits in which cycles are to end.
        dataset: What it learns.
        recipe: How, for an epoch or a few.
        bits: The bits that are tried, at least 2 each.
        share: By which share of ln(classes), the loss of guessing, the loss must fall.
        seed: Of first weights, order of the images and their distortions.

    Raises:
        ProblemError: Bits or share are out of range.

    Source: Fu et al., "CPT: Efficient Deep Neural Network Training via Cyclic Precision", ICLR
    2021, section on the precision range test.
    """
    tried = sorted(set(bits))
    if not tried or tried[0] < 2 or not 0 < share < 1:
        raise ProblemError(
            "this is no range test",
            rule="bits of at least 2, and a share above 0 and below 1",
            given=f"bits {tried}, share {share:g}",
        )
    n = len(dataset.train_images)
    losses: dict[int, float] = {}
    for few in tried:
        plan = Plan(n, recipe.epochs, recipe.batch_size, schedule=Progressive((few,)))
        course = PlannedCourse(plan, np.arange(n), graph.image, 1.0)
        network = QuantizedNetwork(graph, torch.Generator().manual_seed(seed))
        with one_thread():
            trainer = Trainer(
                network, dataset, replace(recipe, batch_size=plan.batch), seed, course=course
            )
            *_, losses[few] = trainer
        if losses[few] < (1 - share) * math.log(dataset.classes):
            return RangeTest(few, losses)
    return RangeTest(None, losses)
