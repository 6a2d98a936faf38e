"""The searcher contract: ask for designs, tell what they measured."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import SearcherError
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.space import Space, keys


class Searcher(ABC):
    """Proposes designs.

    A searcher is a pure function of its problem, options, seed and the history told to it: the
    random stream of a step follows from (seed, rows told so far), so telling the history again
    rebuilds the state exactly, and there is nothing to save.

    Args:
        problem: What is searched. Plain searchers use its space and its losses; grey-box
            searchers also measure with `Problem.free`.
        seed: The seed.
        budget: How many evaluations are planned, if known; a searcher may scale itself by it.
    """

    name: ClassVar[str]
    """The plug-in's name under the entry points ``hwnas.searchers``."""
    prunes: ClassVar[bool] = False
    """Whether it leaves out designs that certainly cannot reach the front."""
    certifies: ClassVar[bool] = False
    """Whether it can bound what is still to be gained; see `remaining`."""
    confidence: ClassVar[float] = 0.95
    """The confidence of that bound."""

    def __init__(self, problem: Problem, *, seed: int = 0, budget: int | None = None) -> None:
        if seed < 0:
            raise SearcherError("a seed cannot be negative", rule="0 or more", given=str(seed))
        self.problem = problem
        self.seed = seed
        self.budget = budget
        self.told = Told(problem)

    @property
    @abstractmethod
    def batch(self) -> int:
        """How many designs it likes to be asked for at once."""

    @abstractmethod
    def options(self) -> Mapping[str, Any]:
        """Its options with every default filled in, as plain JSON values.

        Stored with the study, so that a resumed run is the same searcher whatever its budget.
        """

    @abstractmethod
    def ask(self, n: int) -> Ints:
        """Proposes designs that were not told yet.

        Asking again without telling proposes the same again.

        Args:
            n: How many; at least 1. Where something is COSTLY and does not read the whole genome,
                how many settings of what it reads: designs that share one may come along. One
                that is to be measured at a lower fidelity counts for that share of one.

        Returns:
            Genomes, ``int64 (j, d)``; fewer than ``n`` (settings) only where the space runs out,
            none where it has. Inactive genes may have any value: tell the rows as they are.
        """

    def fidelity_of(self, proposed: Ints) -> Floats:
        """At which fidelity designs that it proposes are to be measured.

        Args:
            proposed: Rows of what `ask` gives at this moment, ``int64 (j, d)``.

        Returns:
            One of `Problem.fidelities` each, ``(j,)``; 1 unless the searcher knows better.
        """
        return np.ones(len(proposed))

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured.

        Any number, in any order, also designs that were never asked for.

        Args:
            genomes: ``int64 (n, d)``.
            measurements: ``n`` rows with the problem's metrics; rows of a lower fidelity count
                neither as designs that were met nor for the front.

        Raises:
            SearcherError: The numbers of rows differ.
            SpaceError: The genomes do not fit the space.
        """
        if len(genomes) != len(measurements):
            raise SearcherError(
                "genomes and measurements differ in length",
                rule="one row of measurements per genome",
                given=f"{len(genomes)} and {len(measurements)}",
            )
        checked = self.problem.space.check(genomes)
        whole = measurements.fidelity >= 1
        if not whole.all():
            checked, measurements = checked[whole], measurements.take(whole)
        self.told.add(checked, measurements)

    def remaining(self) -> float | None:
        """An upper bound on the hypervolume still to be gained, as a share of what is reached.

        Returns:
            The bound at `confidence`; ``None`` where it has none, or none yet.
        """
        return None

    def rng(self) -> np.random.Generator:
        """The random stream of the current step."""
        return np.random.default_rng((self.seed, len(self.told)))


class Known(Protocol):
    """Somebody who knows which designs are new."""

    def new(self, genomes: Ints) -> Bools:
        """``bool (n,)``: rows that are not known, the first of each design only."""
        ...


class Told:
    """What a searcher was told, in order, as columns.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._count = 0
        self._genomes = np.empty((0, len(problem.space)), dtype=np.int64)
        self._losses = np.empty((0, len(problem.objectives)))
        self._violation = np.empty(0)
        self._keys: set[bytes] = set()

    def __len__(self) -> int:
        return self._count

    @property
    def genomes(self) -> Ints:
        """As they were told, ``int64 (n, d)``."""
        return self._genomes[: self._count]

    @property
    def losses(self) -> Floats:
        """``(n, m)``; infinite where infeasible."""
        return self._losses[: self._count]

    @property
    def violation(self) -> Floats:
        """The sum of relative violations, ``(n,)``; 0 where all constraints are met.

        Infinite for designs without values that no known constraint rules out.
        """
        return self._violation[: self._count]

    def add(self, genomes: Ints, measurements: Measurements) -> None:
        """Appends rows; see `Searcher.tell`."""
        stop = self._count + len(genomes)
        if stop > len(self._genomes):
            room = max(stop, 2 * len(self._genomes))
            self._genomes = _grown(self._genomes, room)
            self._losses = _grown(self._losses, room)
            self._violation = _grown(self._violation, room)
        rows = slice(self._count, stop)
        self._genomes[rows] = genomes
        losses = self._problem.losses(measurements)
        amounts = self._problem.relative_violations(measurements)
        # A constraint on something that was not measured says nothing beside one that is known.
        known = np.where(np.isfinite(amounts), amounts, 0.0).sum(axis=1)
        nothing = (known == 0) & ~np.isfinite(losses).all(axis=1)
        self._losses[rows] = losses
        self._violation[rows] = np.where(nothing, np.inf, known)
        self._keys.update(keys(self._problem.space.canonical(genomes)))
        self._count = stop

    def new(self, genomes: Ints) -> Bools:
        """``bool (n,)``: rows that were not told, the first of each design only."""
        # One pass over the keys: a set is quicker than sorting long rows.
        met: set[bytes] = set()
        fresh = np.zeros(len(genomes), dtype=np.bool_)
        for i, key in enumerate(keys(self._problem.space.canonical(genomes))):
            fresh[i] = key not in self._keys and key not in met
            met.add(key)
        return fresh


def _grown(array: Any, room: int) -> Any:
    bigger = np.empty((room, *array.shape[1:]), dtype=array.dtype)
    bigger[: len(array)] = array
    return bigger


_ROUNDS = 20
_ENUMERABLE = 100_000


def unseen(told: Known, space: Space, n: int, rng: np.random.Generator, before: Ints) -> Ints:
    """Draws random designs that were neither told nor proposed in this step.

    Args:
        told: What was told.
        space: The space.
        n: How many.
        rng: The random stream.
        before: What this step proposes already, ``int64 (j, d)``.

    Returns:
        ``before`` and up to ``n`` further rows; fewer only where the space runs out (or, in a
        space too large to enumerate, is all but exhausted).
    """
    rows = before
    for _ in range(_ROUNDS):
        missing = len(before) + n - len(rows)
        if not missing:
            return rows
        drawn = np.concatenate([rows, space.sample(2 * missing, rng)])
        fresh = told.new(drawn)
        fresh[: len(rows)] = True
        rows = drawn[fresh][: len(before) + n]
    if space.size() <= _ENUMERABLE:
        everything = np.concatenate([rows, rng.permutation(space.rows(), axis=0)])
        fresh = told.new(everything)
        fresh[: len(rows)] = True
        rows = everything[fresh][: len(before) + n]
    return rows
