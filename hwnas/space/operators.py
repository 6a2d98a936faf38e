"""Genetic operators that respect the genome: choices, order, and genes that sleep."""

from __future__ import annotations

from typing import Final

import numpy as np

from hwnas.arrays import Ints
from hwnas.space.space import Space

_DRAWN: Final = 0.9
"""Genes of a row that `perturb` draws in the mean."""


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


def recombine(
    a: Ints, b: Ints, space: Space, rng: np.random.Generator, probability: float, index: float = 3.0
) -> Ints:
    """Crossover that knows order: simulated binary for ordered genes, uniform for the others.

    A pair has two children, and what one of them takes from a parent the other one takes from the
    other parent. Half of the genes are crossed; an ordered one falls near a parent's choice, the
    nearer the closer the parents are. Sleeping genes take part (see `crossover`). Source: Deb,
    Agrawal, "Simulated binary crossover for continuous search space", Complex Systems 9, 1995;
    rounded to choices.

    Args:
        a: First parents, ``int64 (n, d)``.
        b: Second parents, ``int64 (n, d)``.
        space: Their space.
        rng: The random stream.
        probability: Of a pair being crossed at all; else the children are copies of the parents.
        index: The distribution index; small ones go far.

    Returns:
        The first children of all pairs, then the second ones, ``int64 (2 n, d)``.
    """
    crossed = (rng.random((len(a), 1)) < probability) & (rng.random(a.shape) < 0.5)
    swapped = rng.random(a.shape) < 0.5
    near, far = np.where(swapped, b, a), np.where(swapped, a, b)
    u = rng.random(a.shape)
    spread = np.where(u <= 0.5, 2 * u, 1 / (2 * (1 - u))) ** (1 / (index + 1))
    middle, half = 0.5 * (near + far), 0.5 * spread * (near - far)
    children = []
    for parent, taken, placed in ((a, near, middle + half), (b, far, middle - half)):
        stepped = np.clip(np.rint(placed), 0, space.cardinalities - 1).astype(np.int64)
        children.append(np.where(crossed, np.where(space.ordered, stepped, taken), parent))
    return np.concatenate(children)


def perturb(rows: Ints, space: Space, rng: np.random.Generator, index: float = 3.0) -> Ints:
    """Mutation that knows order: ordered genes polynomially, others to any other choice.

    Of the active genes of a row 0.9 are drawn in the mean; a small polynomial step may round to
    none. Sleeping genes are left alone. Source: Deb, Goyal, "A combined genetic adaptive search
    (GeneAS) for engineering design", Computer Science and Informatics 26, 1996; in the form that
    keeps to the bounds; rounded to choices.

    Args:
        rows: ``int64 (n, d)``.
        space: Their space.
        rng: The random stream.
        index: The distribution index; small ones go far.

    Returns:
        ``int64 (n, d)``.
    """
    choices = space.cardinalities
    free = space.active(rows) & (choices > 1)
    rate = _DRAWN / np.maximum(free.sum(axis=1, keepdims=True), 1)
    i, j = np.nonzero(free & (rng.random(rows.shape) < rate))
    here, last = rows[i, j], choices[j] - 1
    u = rng.random(len(i))
    down = u <= 0.5
    room = np.where(down, here, last - here) / last
    tail = 2 * np.where(down, u, 1 - u)
    length = 1 - (tail + (1 - tail) * (1 - room) ** (index + 1)) ** (1 / (index + 1))
    stepped = np.clip(np.rint(here + np.where(down, -length, length) * last), 0, last)
    anywhere = (here + rng.integers(1, choices[j])) % choices[j]
    changed = rows.copy()
    changed[i, j] = np.where(space.ordered[j], stepped, anywhere)
    return changed
