"""What a search knows of a design before it is measured: the features of the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.design.designs import Designs
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.safety import safely
from hwnas.prediction.canonical import CanonicalFeatures
from hwnas.space import Space

_SAMPLE = 512


class Describer:
    """Turns outer designs into standardised features.

    Their scale is that of a fixed sample of designs, so it does not move as designs are measured.

    Args:
        space: The outer space.
        evaluators: FREE evaluators that read outer parts alone: their metrics are features, too.
        seed: Seed of the sample.
    """

    def __init__(self, space: Space, evaluators: Sequence[Evaluator], seed: int) -> None:
        self._space = space
        self._evaluators = tuple(evaluators)
        self._genes = CanonicalFeatures(*space.part_names)
        sample = self._raw(space.sample(_SAMPLE, np.random.default_rng((seed, 7))))
        sample = np.where(np.isfinite(sample), sample, 0.0)
        self._center, deviation = sample.mean(axis=0), sample.std(axis=0)
        self._varies = np.flatnonzero(deviation > 1e-9)
        self._deviation = deviation[self._varies]

    def __call__(self, outer: Ints) -> Floats:
        """The features of ``p`` designs, ``(p, k)``."""
        raw = self._raw(outer)[:, self._varies]
        center = self._center[self._varies]
        raw = np.where(np.isfinite(raw), raw, center)
        scaled: Floats = np.clip((raw - center) / self._deviation, -8.0, 8.0)
        return scaled

    def _onehot(self, outer: Ints) -> Floats:
        parts = [
            outer[:, j, None] == np.arange(len(gene.choices))
            for j, gene in enumerate(self._space.genes)
            if not gene.ordered
        ]
        return np.concatenate([np.zeros((len(outer), 0)), *parts], axis=1)

    def _raw(self, outer: Ints) -> Floats:
        designs = Designs(self._space, outer)
        columns = [self._genes.matrix(designs), self._onehot(outer)]
        for evaluator in self._evaluators:
            measured = safely(evaluator, designs)
            columns += [_tamed(measured[m.name])[:, None] for m in evaluator.metrics]
        return np.concatenate(columns, axis=1)


def _tamed(values: Floats) -> Floats:
    """Signed logarithm: training-free metrics span decades."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
