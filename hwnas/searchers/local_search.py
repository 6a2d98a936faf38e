"""Pareto local search, restarted at random.

Sources: White, Nolen, Savani, "Exploring the loss landscape in neural architecture search", UAI
2021 (local search is hard to beat on networks); Den Ottelander, Dushatskiy, Virgolin, Bosman,
"Local search is a remarkably strong baseline for neural architecture search", EMO 2021 (with
several objectives); Paquete, Chiarandini, Stuetzle, "Pareto local optimum sets in the biobjective
traveling salesman problem", 2004 (an archive of designs whose neighbours are visited).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher, unseen
from hwnas.searchers.options import at_least
from hwnas.space import keys


@dataclass
class _Member:
    """A design that nothing found since the last restart dominates.

    Attributes:
        losses: ``(m,)``.
        violation: 0 where all constraints are met.
        untold: Its neighbours that were not told, by key.
    """

    losses: Floats
    violation: float
    untold: dict[bytes, Ints]


class LocalSearch(Searcher):
    """Measures the neighbours of nondominated designs, and theirs, until there are none left.

    Then it starts anew from a random design and forgets the front for this purpose, as almost
    nothing random would be a member of it. A feasible design dominates infeasible ones, and of two
    of these the one with the smaller violation does. Members are visited in random order.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        batch: How many designs are asked for at once.

    Raises:
        SearcherError: ``batch`` is less than 1.
    """

    name: ClassVar[str] = "local_search"

    def __init__(
        self, problem: Problem, *, seed: int = 0, budget: int | None = None, batch: int = 8
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        at_least(1, self.name, batch=batch)
        self._batch = batch
        self._read = 0
        self._told: set[bytes] = set()
        self._members: list[_Member] = []

    @property
    def batch(self) -> int:
        """How many designs it likes to be asked for at once."""
        return self._batch

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"batch": self._batch}

    def ask(self, n: int) -> Ints:
        """Proposes neighbours of members, random designs where they are few; see `Searcher.ask`."""
        self._catch_up()
        rng = self.rng()
        space = self.problem.space
        shuffled = [list(member.untold.items()) for member in self._members if member.untold]
        shuffled = [[pairs[j] for j in rng.permutation(len(pairs))] for pairs in shuffled]
        rng.shuffle(shuffled)
        # One neighbour of each member in turn: a batch should not lean on one member alone.
        turns = itertools.zip_longest(*shuffled)
        chosen = dict(pair for turn in turns for pair in turn if pair is not None)
        rows = np.array(list(chosen.values())[:n], dtype=np.int64).reshape(-1, len(space))
        return unseen(self.told, space, n - len(rows), rng, rows)

    def _catch_up(self) -> None:
        """Reads what was told, row by row, so that its chunks make no difference."""
        space = self.problem.space
        genomes = space.canonical(self.told.genomes[self._read :])
        for row, key in zip(genomes, keys(genomes), strict=True):
            place = self._read
            self._read += 1
            if key in self._told:
                continue
            self._told.add(key)
            for member in self._members:
                member.untold.pop(key, None)
            self._join(row, self.told.losses[place], float(self.told.violation[place]))
            if not any(member.untold for member in self._members):
                self._members = []

    def _join(self, row: Ints, losses: Floats, violation: float) -> None:
        """Lets a design in unless a member dominates it, and members that it dominates out."""
        new = _Member(losses, violation, {})
        if any(_dominates(member, new) for member in self._members):
            return
        self._members = [member for member in self._members if not _dominates(new, member)]
        neighbours = self.problem.space.neighbours(row)
        pairs = zip(keys(neighbours), neighbours, strict=True)
        new.untold = {key: neighbour for key, neighbour in pairs if key not in self._told}
        self._members.append(new)


def _dominates(one: _Member, other: _Member) -> bool:
    feasible = one.violation <= 0 and bool(np.isfinite(one.losses).all())
    other_feasible = other.violation <= 0 and bool(np.isfinite(other.losses).all())
    if feasible and other_feasible:
        return bool((one.losses <= other.losses).all() and (one.losses < other.losses).any())
    if feasible or other_feasible:
        return feasible
    return one.violation < other.violation
