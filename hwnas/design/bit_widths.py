"""Bit widths, as quantization policies take them and look them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from hwnas.arrays import Columns, Ints
from hwnas.design.parts import QuantizationPolicy
from hwnas.errors import SpaceError

LEAST_BITS: Final = 2
MOST_BITS: Final = 32


def settle_bits(policy: QuantizationPolicy, *options: str) -> None:
    """Checks options of a (frozen) policy that are lists of bit widths, and makes tuples of them.

    Args:
        policy: The policy.
        *options: The names of the options.

    Raises:
        SpaceError: A list is empty, or a width is not 2 to 32.
    """
    for option in options:
        values = tuple(getattr(policy, option))
        if not values or min(values) < LEAST_BITS or max(values) > MOST_BITS:
            raise SpaceError(
                f"{policy.name} cannot have {option} = {list(values)}",
                rule=f"at least one choice, each {LEAST_BITS} to {MOST_BITS}",
            )
        object.__setattr__(policy, option, values)


def check_boundary(policy: QuantizationPolicy, bits: int) -> None:
    """Checks the bit width of what belongs to no cell.

    Raises:
        SpaceError: It is not 2 to 32.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise SpaceError(
            f"{policy.name} cannot have boundary_bits = {bits}",
            rule=f"{LEAST_BITS} to {MOST_BITS}",
            given=str(bits),
        )


def check_reach(policy: QuantizationPolicy, option: str, count: int, cell: Ints) -> None:
    """Refuses a network with more cells than a policy has bits for.

    Args:
        policy: The policy.
        option: The option that says how many it has bits for, e.g. ``layers``.
        count: How many.
        cell: The cells of layer rows, ``(L,)``, counted from 1.

    Raises:
        SpaceError: A cell is beyond.
    """
    if cell.size and cell.max() > count:
        one = option.removesuffix("s")
        raise SpaceError(
            f"the network has a {one} {cell.max()}, the policy bits for {count}",
            rule=f"one pair of bit widths per {one}",
            cure=f"{policy.name}({option}={cell.max()})",
        )


def bits_of_cells(
    columns: Columns, genes: Sequence[str], boundary: int, design: Ints, cell: Ints
) -> Ints:
    """The bits of layer rows, each from the gene of its cell.

    Args:
        columns: Gene name to values ``(n,)``.
        genes: The genes of the cells 1, 2, and so on; at least one.
        boundary: The bits of rows that belong to no cell.
        design: The rows' designs, ``(L,)``.
        cell: The rows' cells, ``(L,)``; 0 for none.

    Returns:
        ``int64 (L,)``.
    """
    fixed = np.full(len(columns[genes[0]]), boundary, dtype=np.int64)
    table = np.stack([fixed, *(columns[gene] for gene in genes)], axis=1).astype(np.int64)
    return table[design, cell]
