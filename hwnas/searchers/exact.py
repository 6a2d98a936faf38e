"""The exact front of a problem that is free to measure, proposed as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hwnas.arrays import Ints
from hwnas.errors import ExactRefusedError, SearcherError
from hwnas.exact import ExactFront, solve
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher


class Exact(Searcher):
    """Proposes the designs of the exact front; refuses problems where it cannot be computed.

    See `hwnas.exact.solve` for the methods. Of designs with equal objectives one is proposed.

    Args:
        problem: See `Searcher`; what is COSTLY in it is not measured to find the front.
        seed: Not used: there is nothing random.
        budget: See `Searcher`.
        limit: The largest number of designs, or settings of some parts, that it enumerates.

    Raises:
        SearcherError: The front cannot be computed; the message says why, for every method. Or it
            is empty: no design meets the constraints.
    """

    name: ClassVar[str] = "exact"
    prunes: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        limit: int = 2_000_000,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        self.limit = limit
        self.front: ExactFront = _solved(problem, limit)

    @property
    def batch(self) -> int:
        """The whole front, up to a thousand designs."""
        return min(len(self.front), 1000)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"limit": self.limit}

    def ask(self, n: int) -> Ints:
        """Proposes the next ``n`` designs of the front; see `Searcher.ask`."""
        return self.front.genomes[self.told.new(self.front.genomes)][:n]


def _solved(problem: Problem, limit: int) -> ExactFront:
    try:
        front = solve(problem, limit=limit)
    except ExactRefusedError as refusal:
        raise SearcherError(
            refusal.what,
            where="searcher exact",
            rule=refusal.rule,
            given=refusal.given,
            cure=f"{refusal.cure}; or another searcher",
        ) from refusal
    if not len(front):
        raise SearcherError(
            f"none of {front.designs:,} designs meets the constraints, so there is no front",
            where="searcher exact",
            rule="at least one feasible design",
            given="; ".join(c.text for c in problem.constraints) or "no constraints",
            cure="relax a constraint, or widen the space",
        )
    return front
