"""The training of a supernet: sandwich rule and distillation in place.

In every step the largest network learns the labels; the smallest one and some drawn at random
learn the largest one's scores; and one step of the optimiser follows from all their gradients.

Source: Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from evaluators.datasets import Dataset
from evaluators.supernet.learning import Batches, one_cycle
from evaluators.supernet.sharing import Shapes, SharedWeights, Subnet
from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.design.parts import NetworkFamily
from hwnas.errors import DesignError, ProblemError
from hwnas.space import Gene, Space

_ENUMERABLE: Final = 128
"""Up to so many networks are all looked at when shapes are laid out ..."""
_DRAWN: Final = 128
"""... and else so many at random, besides those that differ from an extreme in one gene."""
_NETWORKS: Final = 1
"""A stream of random numbers."""


@dataclass(frozen=True)
class Recipe:
    """How a supernet is trained.

    Attributes:
        steps: Steps of the optimiser.
        batch_size: Images per step.
        learning_rate: The peak of the cycle.
        weight_decay: Decoupled weight decay, relative to the learning rate.
        networks: Networks drawn at random per step, besides the largest and the smallest.
        seed: Of first weights, images, distortions and networks.
    """

    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    networks: int
    seed: int


@dataclass(frozen=True)
class Layout:
    """What a supernet holds.

    Attributes:
        space: Networks and their bits, with all choices that the parts offer.
        shapes: The shapes of the shared arrays.
        extremes: The genomes of the largest and the smallest network, ``int64 (2, d)``.
    """

    space: Space
    shapes: Shapes
    extremes: Ints

    @classmethod
    def of(cls, space: Space) -> Layout:
        """Lays out a supernet for the network family and the bit policy of a space.

        All networks are looked at if there are at most 128. Else those are that differ from the
        largest or the smallest in one gene, and 128 drawn at random: every dimension of an array
        is as large as the largest that was seen. Largest and smallest are by multiply-accumulates,
        and have the most and the fewest bits.

        Raises:
            DesignError: The space has no network family, or the family has no graphs.
        """
        parts = [space.parts[name] for name in ("net", "quant") if name in space.parts]
        if not parts or not isinstance(parts[0], NetworkFamily):
            raise DesignError(
                "there are no networks that could share weights",
                rule="the space has a network family whose networks can be built as graphs",
                cure="add one, e.g. mbconv or skipnet",
            )
        networks = parts[0].space()
        designs = Designs(networks, _probes(networks))
        shapes = Shapes.of(design.graph for design in designs)
        macs = designs.layers.total(designs.layers.macs)
        extremes = []
        whole = reduce(lambda one, other: one + other, (part.space() for part in parts))
        for place, largest in ((np.argmax(macs), True), (np.argmin(macs), False)):
            genes = dict(zip(networks.names, designs.genomes[place].tolist(), strict=True))
            extremes.append(
                [genes.get(gene.name, _extreme(gene, largest=largest)) for gene in whole.genes]
            )
        return cls(whole, shapes, whole.canonical(np.array(extremes, dtype=np.int64)))


def _extreme(gene: Gene, *, largest: bool) -> int:
    """The place of the largest or smallest choice; the last or first where they are texts."""
    numbers = [i if isinstance(c, str) else float(c) for i, c in enumerate(gene.choices)]
    return int(np.argmax(numbers) if largest else np.argmin(numbers))


def _probes(space: Space) -> Ints:
    """The networks that are looked at when shapes are laid out; see `Layout.of`."""
    if space.size() <= _ENUMERABLE:
        return space.rows()
    rows = [space.sample(_DRAWN, np.random.default_rng(0))]
    for largest in (True, False):
        base = np.array([_extreme(gene, largest=largest) for gene in space.genes])
        for j, gene in enumerate(space.genes):
            changed = np.repeat(base[None], len(gene.choices), axis=0)
            changed[:, j] = np.arange(len(gene.choices))
            rows.append(changed)
    return np.unique(space.canonical(np.vstack(rows)), axis=0)


class Sandwich:
    """A supernet in training.

    Args:
        layout: What it holds.
        dataset: What it learns.
        recipe: How.
    """

    def __init__(self, layout: Layout, dataset: Dataset, recipe: Recipe) -> None:
        self.layout = layout
        self.recipe = recipe
        self.batches = Batches(dataset, recipe.batch_size, recipe.seed)
        self.shared = SharedWeights(layout.shapes, torch.Generator().manual_seed(recipe.seed))
        self.step = 0
        self._optimiser, self._cycle = one_cycle(
            self.shared.parameters(), recipe.learning_rate, recipe.weight_decay, recipe.steps
        )
        extremes = Designs(layout.space, layout.extremes)
        self._largest, self._smallest = (Subnet(d.graph, self.shared) for d in extremes)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.recipe.steps

    def advance(self) -> None:
        """Takes one step.

        Raises:
            ProblemError: A loss is not finite; the weights are as they were before the step.
        """
        images, labels = self.batches[self.step]
        self._optimiser.zero_grad()
        self._largest.refresh()
        self._smallest.refresh()
        self._largest.network.train()
        scores = self._largest.network(images)
        self._learn(functional.cross_entropy(scores, labels), self._largest)
        taught = functional.softmax(scores.detach(), dim=1)
        for subnet in (self._smallest, *self._drawn()):
            subnet.network.train()
            self._learn(functional.cross_entropy(subnet.network(images), taught), subnet)
        self._optimiser.step()
        self._cycle.step()
        self.step += 1

    def _drawn(self) -> list[Subnet]:
        rng = np.random.default_rng((self.recipe.seed, _NETWORKS, self.step))
        rows = self.layout.space.sample(self.recipe.networks, rng)
        return [Subnet(d.graph, self.shared) for d in Designs(self.layout.space, rows)]

    def _learn(self, loss: torch.Tensor, subnet: Subnet) -> None:
        if not math.isfinite(loss.item()):
            raise ProblemError(
                f"the supernet diverged: a loss of {loss.item()} in step {self.step + 1}",
                rule="every loss is finite",
                cure="a lower learning_rate; the last checkpoint is kept",
            )
        torch.autograd.backward(loss)
        subnet.give_gradients()

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on: tensors and plain values."""
        return {
            "step": self.step,
            "weights": self.shared.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "cycle": self._cycle.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from a `state`, with the very steps that would have followed."""
        self.shared.load_state_dict(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._cycle.load_state_dict(state["cycle"])
        self.step = int(state["step"])
