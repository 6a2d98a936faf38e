"""Children of designs told before: bred until enough of them are new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.searchers.interface import Known, unseen
from hwnas.space import Space

_ROUNDS: Final = 10
"""Where nearly all children are known, random designs are the better way on."""


def offspring(
    told: Known,
    space: Space,
    n: int,
    rng: np.random.Generator,
    breed: Callable[[int], Ints] | None,
) -> Ints:
    """Breeds designs that were not told; where children run out, random ones fill up.

    Args:
        told: What was told.
        space: The space, ``d`` genes.
        n: How many.
        rng: The random stream.
        breed: Makes so many children, ``int64 (k, d)``, known ones among them, from the same
            stream; ``None`` where there are no parents yet.

    Returns:
        Distinct designs, ``int64 (j, d)``; fewer than ``n`` only where the space runs out.
    """
    rows = np.empty((0, len(space)), dtype=np.int64)
    for _ in range(0 if breed is None else _ROUNDS):
        missing = n - len(rows)
        if not missing:
            break
        assert breed is not None
        bred = np.concatenate([rows, breed(missing)])
        fresh = told.new(bred)
        fresh[: len(rows)] = True
        rows = bred[fresh]
    return unseen(told, space, n - len(rows), rng, rows)
