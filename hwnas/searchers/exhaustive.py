"""Exhaustive search: every design of a small space, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Bools, Ints
from hwnas.errors import SearcherError
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.space import keys


class Exhaustive(Searcher):
    """Measures all designs, in the order of the space; refuses spaces that are too large.

    Args:
        problem: See `Searcher`.
        seed: Not used: there is nothing random.
        budget: See `Searcher`.
        limit: The largest number of designs it accepts.

    Raises:
        SearcherError: The space has more designs than ``limit``.
    """

    name: ClassVar[str] = "exhaustive"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        limit: int = 1_000_000,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        size = problem.space.size()
        if size > limit:
            raise SearcherError(
                f"the space has {size:.4g} designs, too many to measure all",
                where="searcher exhaustive",
                rule=f"at most {limit:,} designs (option limit)",
                given=f"{size:,}",
                cure="pin genes (restrict), give genes fewer choices, or use another searcher",
            )
        self.limit = limit
        self.size = size
        self._seen = 0

    @property
    def batch(self) -> int:
        """How many designs it likes to be asked for at once."""
        return min(self.size, 1000)

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"limit": self.limit}

    @cached_property
    def _rows(self) -> Ints:
        return self.problem.space.rows()

    @cached_property
    def _place(self) -> dict[bytes, int]:
        return {key: i for i, key in enumerate(keys(self._rows))}

    @cached_property
    def _left(self) -> Bools:
        return np.ones(len(self._rows), dtype=np.bool_)

    def ask(self, n: int) -> Ints:
        """Proposes the next ``n`` designs in order; see `Searcher.ask`."""
        if self._seen < len(self.told):
            canonical = self.problem.space.canonical(self.told.genomes[self._seen :])
            self._left[[self._place[key] for key in keys(canonical)]] = False
            self._seen = len(self.told)
        return self._rows[np.flatnonzero(self._left)[:n]]
