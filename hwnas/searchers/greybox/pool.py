"""Where candidates come from: anywhere, the neighbourhood of the front, and of good candidates."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Ints
from hwnas.space import Space, differing
from hwnas.space.operators import crossover, mutate

ENUMERABLE = 2_000
"""Outer designs that are all candidates, always."""


def bred(parents: Ints, n: int, space: Space, rng: np.random.Generator) -> Ints:
    """Relatives of some designs, canonical and different, up to ``n``.

    Half are crossed with another parent; all change about one gene.
    """
    one, other = parents[rng.integers(0, len(parents), size=(2, n))]
    rows = space.canonical(mutate(crossover(one, other, rng, 0.5), space, rng))
    return rows[differing(rows)]


def spread(features: np.ndarray, n: int) -> Ints:
    """Rows far from each other, greedily, the first one first."""
    chosen = [0]
    distance = ((features - features[0]) ** 2).sum(axis=1)
    while len(chosen) < min(n, len(features)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, ((features - features[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen, dtype=np.int64)
