"""A network under test: one minibatch, and the passes that several metrics have in common."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.zero_cost.recording import Layers, Rectifiers

_WITHOUT_GRADIENTS: Final = frozenset(("naswot",))
"""Metrics that look at the forward pass of training, and at no gradient of it."""


class Probe:
    """A network at its first weights, shown one minibatch.

    Passes are run when they are first needed, and once. Each metric is the same whether it is
    asked for alone or among others: that only decides how much is kept of a pass.

    Args:
        module: The network. It is put into training mode, and its running statistics change.
        images: ``(n, channels, h, w)``.
        labels: ``int64 (n,)``.
        metrics: The names of the metrics that will be asked for.
        seed: Draws the weights and images of metrics that take others than those given.
    """

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        labels: Tensor,
        metrics: Collection[str],
        *,
        seed: int = 0,
    ) -> None:
        self.module = module.train()
        self.images = images
        self.labels = labels
        self.metrics = frozenset(metrics)
        self.seed = seed
        self.weights = weights_of(module)
        self.pixels = images.clone().requires_grad_("jacob_cov" in self.metrics)
        self._layers, self._rectifiers = Layers(), Rectifiers()

    @cached_property
    def scores(self) -> Tensor:
        """The scores in training, ``(n, classes)``."""
        with ExitStack() as modes:
            if self.metrics <= _WITHOUT_GRADIENTS:
                modes.enter_context(torch.no_grad())
            if "fisher" in self.metrics:
                modes.enter_context(self._layers)
            if "naswot" in self.metrics:
                modes.enter_context(self._rectifiers)
            scores: Tensor = self.module(self.pixels)
        return scores

    @property
    def codes(self) -> list[Tensor]:
        """Which rectifiers are on, ``bool (n, rectifiers)`` for each call of one."""
        _ = self.scores
        return self._rectifiers.codes

    @cached_property
    def _of_loss(self) -> tuple[Tensor, ...]:
        """The gradients of the loss by weights, then by the outputs of layers."""
        loss = functional.cross_entropy(self.scores, self.labels)
        by = [*self.weights, *(layer.output for layer in self._layers.seen)]
        return gradients(loss, by, again="jacob_cov" in self.metrics, twice="grasp" in self.metrics)

    @property
    def weight_gradients(self) -> tuple[Tensor, ...]:
        """The gradient of the loss by each of `weights`; zeros where there is no influence."""
        return self._of_loss[: len(self.weights)]

    @property
    def outputs(self) -> list[tuple[Tensor, Tensor]]:
        """The output of each layer, and the gradient of the loss by it."""
        found = self._of_loss[len(self.weights) :]
        outputs = [layer.output for layer in self._layers.seen]
        return list(zip(outputs, found, strict=True))

    @cached_property
    def pixel_gradients(self) -> Tensor:
        """The gradient of the sum of all scores by the pixels, shaped as the images."""
        (found,) = gradients(self.scores.sum(), [self.pixels], again=True)
        return found


def weights_of(module: nn.Module) -> list[Tensor]:
    """Every parameter of two or more dimensions, so neither biases nor batch normalisation."""
    return [parameter for parameter in module.parameters() if parameter.dim() > 1]


def gradients(
    of: Tensor, by: list[Tensor], *, again: bool = False, twice: bool = False
) -> tuple[Tensor, ...]:
    """Gradients of a number; zeros where there is no influence, even on nothing at all.

    Args:
        of: The number.
        by: What it may depend on.
        again: Whether gradients of the same pass will be asked for again.
        twice: Whether gradients of these gradients will be asked for.
    """
    if not of.requires_grad:
        return tuple(torch.zeros_like(b) for b in by)
    return torch.autograd.grad(
        of,
        by,
        retain_graph=again or twice,
        create_graph=twice,
        allow_unused=True,
        materialize_grads=True,
    )
