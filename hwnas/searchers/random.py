"""Random search: the baseline that every result must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Ints
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher, unseen
from hwnas.searchers.options import at_least


class RandomSearch(Searcher):
    """Draws each gene uniformly, and no design twice.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        batch: How many designs are asked for at once.
    """

    name: ClassVar[str] = "random"

    def __init__(
        self, problem: Problem, *, seed: int = 0, budget: int | None = None, batch: int = 16
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        at_least(1, self.name, batch=batch)
        self._batch = batch

    @property
    def batch(self) -> int:
        """How many designs it likes to be asked for at once."""
        return self._batch

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"batch": self._batch}

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` random designs; see `Searcher.ask`."""
        nothing = np.empty((0, len(self.problem.space)), dtype=np.int64)
        return unseen(self.told, self.problem.space, n, self.rng(), nothing)
