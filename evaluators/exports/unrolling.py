"""How much of each loop lies along each axis of an array."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod

from evaluators.exports.arrays import Array
from evaluators.exports.nests import LOOPS, Nest

Factors = tuple[tuple[str, int], ...]


def unroll(nest: Nest, array: Array) -> tuple[dict[str, int], ...]:
    """Whole factors per axis, such that the steps that are left are fewest.

    An im2col array unrolls a product of loops (C R S, N P Q) and cuts it anywhere; tools that know
    loops alone cut them one by one. So the product of the factors may stay below the axis.

    Args:
        nest: The layer.
        array: The accelerator.

    Returns:
        Per axis, loop to factor, of the loops that the axis unrolls; 1 where it does not.
    """
    left = dict(nest.sizes)
    axes = []
    for axis in array.axes:
        room, factors = axis.size, {}
        for loops in axis.loops:
            found = _best(tuple((loop, left[loop]) for loop in loops), room)
            for loop, factor in found:
                factors[loop] = factor
                left[loop] = -(-left[loop] // factor)
            room //= prod(factor for _, factor in found)
        axes.append(factors)
    return tuple(axes)


def spatial(axes: tuple[Mapping[str, int], ...]) -> dict[str, int]:
    """All axes together: loop to factor."""
    return {loop: prod(axis.get(loop, 1) for axis in axes) for loop in LOOPS}


def steps(nest: Nest, axes: tuple[Mapping[str, int], ...]) -> dict[str, int]:
    """What is left to do one after the other: loop to size, rounded up axis by axis."""
    left = dict(nest.sizes)
    for axis in axes:
        for loop, factor in axis.items():
            left[loop] = -(-left[loop] // factor)
    return left


@lru_cache(maxsize=4096)
def _best(sizes: Factors, room: int) -> Factors:
    """The factors with a product of at most ``room`` that leave fewest steps.

    Among those with as few steps, the one that occupies fewest elements.
    """
    best: tuple[tuple[int, int], Factors] | None = None

    def visit(place: int, chosen: Factors, left: int, free: int) -> None:
        nonlocal best
        if place == len(sizes):
            key = (left, prod(factor for _, factor in chosen))
            if best is None or key < best[0]:
                best = (key, chosen)
            return
        loop, size = sizes[place]
        fewest = size + 1
        for factor in range(1, min(size, free) + 1):
            if -(-size // factor) >= fewest:
                continue  # a smaller factor leaves as few steps
            fewest = -(-size // factor)
            visit(place + 1, (*chosen, (loop, factor)), left * fewest, free // factor)

    visit(0, (), 1, room)
    assert best is not None  # 1 is always among the factors
    return best[1]
