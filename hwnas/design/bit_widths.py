"""Lists of bit widths, as quantization policies take them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hwnas.errors import SpaceError

LEAST_BITS: Final = 2
MOST_BITS: Final = 32


def checked_bits(policy: str, option: str, given: Iterable[int]) -> tuple[int, ...]:
    """A list of bit widths as a tuple.

    Args:
        policy: The policy's name, for the error.
        option: The option's name, for the error.
        given: The bit widths.

    Raises:
        SpaceError: It is empty, or a width is not 2 to 32.
    """
    values = tuple(given)
    if not values or min(values) < LEAST_BITS or max(values) > MOST_BITS:
        raise SpaceError(
            f"{policy} cannot have {option} = {list(values)}",
            rule=f"at least one choice, each {LEAST_BITS} to {MOST_BITS}",
        )
    return values
