"""The options that searchers have in common: their ranges, and sizes that follow from a budget."""

from __future__ import annotations

import math

from hwnas.errors import SearcherError


def at_least(least: int, searcher: str, **given: int) -> None:
    """Refuses numbers that are too small.

    Args:
        least: The smallest number that will do.
        searcher: The searcher's name, for the error.
        **given: Option to number.

    Raises:
        SearcherError: A number is smaller; the first one is named.
    """
    for option, value in given.items():
        if value < least:
            raise SearcherError(
                f"{option} is too small",
                where=f"searcher {searcher}, option {option}",
                rule=f"at least {least}",
                given=str(value),
            )


def probability(searcher: str, **given: float) -> None:
    """Refuses numbers that are no probabilities.

    Args:
        searcher: The searcher's name, for the error.
        **given: Option to number.

    Raises:
        SearcherError: A number is not between 0 and 1; the first one is named.
    """
    for option, value in given.items():
        if not 0.0 <= value <= 1.0:  # NaN is not, either
            raise SearcherError(
                f"{option} is no probability",
                where=f"searcher {searcher}, option {option}",
                rule="between 0 and 1",
                given=str(value),
            )


def population_for(budget: int | None) -> int:
    """An even size between 12 and 200: about the square root of the budget, 50 without one.

    Small populations win at small budgets.
    """
    return min(200, max(12, 2 * round(math.sqrt(budget or 2500) / 2)))
