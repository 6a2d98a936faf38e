"""Genetic operators that respect the genome: choices, order, and genes that sleep."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Ints
from hwnas.space.space import Space


def crossover(a: Ints, b: Ints, rng: np.random.Generator, probability: float) -> Ints:
    """Uniform crossover: each gene from either parent.

    All genes take part, the sleeping ones too: a block that is absent in one parent is inherited
    as a sleeping copy and is there again when a child wakes it up.

    Args:
        a: First parents, ``int64 (n, d)``.
        b: Second parents, ``int64 (n, d)``.
        rng: The random stream.
        probability: Of a pair being crossed at all; else the child is its first parent.

    Returns:
        Children, ``int64 (n, d)``.
    """
    crossed = rng.random((len(a), 1)) < probability
    from_b = rng.random(a.shape) < 0.5
    return np.where(crossed & from_b, b, a)


def mutate(rows: Ints, space: Space, rng: np.random.Generator, step_share: float = 0.5) -> Ints:
    """Changes about one active gene per row.

    An ordered gene moves one step or, as often, to any other choice; others move to any other
    choice. Sleeping genes are left alone, so that a design changes when its genome does.

    Args:
        rows: ``int64 (n, d)``.
        space: Their space.
        rng: The random stream.
        step_share: How often an ordered gene moves one step only.

    Returns:
        ``int64 (n, d)``.
    """
    choices = space.cardinalities
    free = space.active(rows) & (choices > 1)
    rate = 1.0 / np.maximum(free.sum(axis=1, keepdims=True), 1)
    changed = free & (rng.random(rows.shape) < rate)
    # A jump of 1 ... choices - 1, taken round the end, is any other choice with equal chance.
    jump = rng.integers(1, np.maximum(choices, 2), size=rows.shape)
    anywhere = (rows + jump) % choices
    up = rng.random(rows.shape) < 0.5
    up = np.where(rows == 0, True, np.where(rows == choices - 1, False, up))
    step = np.where(up, rows + 1, rows - 1)
    stepping = space.ordered & (rng.random(rows.shape) < step_share)
    return np.where(changed, np.where(stepping, step, anywhere), rows)
