"""Measures given designs, in the order given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Ints
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher


class Listed(Searcher):
    """Proposes the designs of a list.

    Args:
        problem: See `Searcher`.
        seed: Not used: there is nothing random.
        budget: See `Searcher`.
        genomes: The designs, one row of choice indices each.
    """

    name: ClassVar[str] = "listed"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        genomes: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        rows = np.array(genomes, dtype=np.int64).reshape(len(genomes), len(problem.space))
        self.genomes = problem.space.canonical(problem.space.check(rows))

    @property
    def batch(self) -> int:
        """The whole list."""
        return max(1, len(self.genomes))

    def options(self) -> Mapping[str, Any]:
        """The list; see `Searcher.options`."""
        return {"genomes": self.genomes.tolist()}

    def ask(self, n: int) -> Ints:
        """Proposes the next ``n`` of the list; see `Searcher.ask`."""
        return self.genomes[self.told.new(self.genomes)][:n]
