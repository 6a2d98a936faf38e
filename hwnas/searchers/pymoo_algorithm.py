"""Any algorithm of pymoo as a searcher.

pymoo: Blank, Deb, "pymoo: Multi-objective Optimization in Python", IEEE Access 8, 2020. Needs
pymoo 0.6.2 or later: before, its operators draw from numpy's global random state.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

import numpy as np
from pymoo.core.algorithm import LoopwiseAlgorithm
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.sampling import Sampling
from pymoo.core.termination import NoTermination

from hwnas.arrays import Floats, Ints
from hwnas.errors import SearcherError
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.searchers.bounds import relative_excesses
from hwnas.searchers.interface import Searcher, unseen
from hwnas.space import Space, differing, keys
from hwnas.space.operators import crossover, mutate

_ROUNDS: Final = 10
_HUGE: Final = 1e30
"""In place of a loss that has no value; finite, so that nothing turns into NaN."""

_FORBIDDEN: Final = 1e12
"""In place of the violation of a design that has no values and that no known constraint rules out.
"""


class PymooSearcher(Searcher):
    """Any algorithm of pymoo as a searcher.

    A generation is complete when as many rows were told as the algorithm's population has
    individuals, however they came: foreign rows (a warm start) are individuals like others. The
    algorithm advances generation by generation, each with a random stream of its own, and what it
    proposes does not change it: so it is a pure function of the history.

    Genomes are vectors of integers, constraints are inequality constraints, and losses are scaled
    by powers of two as the first generation suggests, because algorithms of pymoo take 1e-6 for
    nothing, and quantities at rest are often smaller.

    The algorithm is no option that a study stores: a subclass with a name of its own (see
    `hwnas.searchers.nsga3.NSGA3`) is told apart from others when a study is resumed.

    Example:
        >>> from functools import partial
        >>> from pymoo.algorithms.moo.sms import SMSEMOA
        >>> from hwnas import Study
        >>> from hwnas.testing import toys
        >>> problem = toys.maximised()
        >>> def sms_emoa():
        ...     return SMSEMOA(10, **operators(problem.space))
        >>> study = Study(problem, partial(PymooSearcher, algorithm=sms_emoa), budget=20)
        >>> for progress in study.run():
        ...     pass
        >>> progress.designs
        20

    Args:
        problem: See `Searcher`.
        algorithm: Builds the algorithm, e.g. with the operators of `operators`.
        seed: See `Searcher`.
        budget: See `Searcher`.

    Raises:
        SearcherError: The algorithm has no population, or does not accept the problem.
    """

    name: ClassVar[str] = "pymoo"

    def __init__(
        self,
        problem: Problem,
        algorithm: Callable[[], Any],
        *,
        seed: int = 0,
        budget: int | None = None,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        self._shape = Shape(problem)
        self._algorithm = self._set_up(algorithm)
        self._losses = np.empty((0, len(problem.objectives)))
        self._violations = np.empty((0, self._shape.n_ieq_constr))
        self._scale: Floats | None = None
        self._generations_read = 0

    def _set_up(self, build: Callable[[], Any]) -> Any:
        algorithm = build()
        size = getattr(algorithm, "pop_size", None)
        if not isinstance(size, int) or size < 2 or isinstance(algorithm, LoopwiseAlgorithm):
            raise SearcherError(
                "the algorithm does not work by generations",
                where="argument algorithm",
                rule="an algorithm of pymoo with a pop_size of at least 2 that learns a whole "
                "generation at once",
                given=f"{type(algorithm).__name__} with pop_size {size}",
            )
        try:
            # What it draws is set in each step; the seed only keeps it from asking the system.
            algorithm.setup(self._shape, termination=NoTermination(), seed=self.seed)
        except Exception as error:  # pymoo raises bare exceptions and assertions
            raise SearcherError(
                f"{type(algorithm).__name__} does not accept this problem",
                given=str(error),
                rule="an algorithm for constraints (evaluators may find designs infeasible) and "
                f"{len(self.problem.objectives)} objectives",
            ) from error
        if getattr(algorithm, "random_state", None) is None:
            raise SearcherError(
                "this pymoo draws from a global random state",
                rule="pymoo 0.6.2 or later",
                cure="pip install 'pymoo>=0.6.2'",
            )
        return algorithm

    @property
    def population(self) -> int:
        """The size of the population and of a generation."""
        return int(self._algorithm.pop_size)

    @property
    def batch(self) -> int:
        """One generation."""
        return self.population

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`. The algorithm is not among them."""
        return {}

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured; see `Searcher.tell`."""
        super().tell(genomes, measurements)
        losses, violations = outcome(self.problem, measurements)
        self._losses = np.concatenate([self._losses, losses])
        self._violations = np.concatenate([self._violations, violations])

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` individuals of the next generation; see `Searcher.ask`."""
        self._advance()
        rng = self.rng()
        rows = np.empty((0, len(self.problem.space)), dtype=np.int64)
        with _quiet():
            # What never changes is shared by the copy.
            shared = {id(kept): kept for kept in (self._shape, self.problem.space)}
            algorithm = copy.deepcopy(self._algorithm, shared)
            algorithm.random_state = rng
            for _ in range(_ROUNDS):
                infills = algorithm.ask()
                if infills is None or len(infills) == 0:
                    break
                bred = np.concatenate([rows, _genomes(infills)])
                fresh = self.told.new(bred)
                fresh[: len(rows)] = True
                if fresh.sum() == len(rows):
                    break
                rows = bred[fresh][:n]
                if len(rows) == n:
                    break
        return unseen(self.told, self.problem.space, n - len(rows), rng, rows)

    def _advance(self) -> None:
        """Tells the algorithm every generation that is complete by now."""
        size = self.population
        while len(self.told) >= (self._generations_read + 1) * size:
            start = self._generations_read * size
            rows = slice(start, start + size)
            if self._scale is None:
                self._scale = powers_of_two(self._losses[rows])
            individuals = Population.new(
                X=self.told.genomes[rows].copy(),
                F=self._losses[rows] * self._scale,
                G=self._violations[rows],
            )
            with _quiet():
                self._algorithm.random_state = survival_stream(self.seed, start + size)
                self._algorithm.tell(infills=individuals)
            self._generations_read += 1


def survival_stream(seed: int, told: int) -> np.random.Generator:
    """The random stream in which an algorithm learns a generation.

    Args:
        seed: The searcher's seed.
        told: How many rows were told when the generation was complete.
    """
    return np.random.default_rng((seed, told, 1))


def powers_of_two(losses: Floats) -> Floats:
    """Factors that bring each column to a range near one, without any rounding, ``(m,)``.

    Args:
        losses: ``(n, m)``.
    """
    known = np.where(np.abs(losses) < _HUGE, losses, np.nan)
    spread = np.array([np.ptp(c[~np.isnan(c)]) if not np.isnan(c).all() else 0.0 for c in known.T])
    usable = (spread > 0) & np.isfinite(spread)
    return np.exp2(-np.round(np.log2(np.where(usable, spread, 1.0))))


def outcome(problem: Problem, measurements: Measurements) -> tuple[Floats, Floats]:
    """Measurements as pymoo wants them: finite.

    Args:
        problem: The problem, ``m`` objectives and ``c`` constraints.
        measurements: ``n`` rows.

    Returns:
        Losses ``(n, m)``, exact where they are finite, and ``(n, c + 1)`` amounts that are met
        where at most 0: each constraint in units of its bound (`Problem.relative_violations`, but
        negative where there is room), at its bound where it is not known, and at last a huge one
        for designs that have no values though no known constraint rules them out.
    """
    values = problem.values(measurements) * problem.signs
    losses = np.where(np.isfinite(values), values, _HUGE)
    excesses = relative_excesses(problem, measurements)
    known = np.where(np.isnan(excesses), 0.0, excesses)
    usable = np.isfinite(problem.losses(measurements)).all(axis=1)
    nothing = ~usable & ~(known > 0).any(axis=1)
    return losses, np.column_stack([known, np.where(nothing, _FORBIDDEN, 0.0)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Undoes what pymoo does to the filters of warnings, and divisions by ranges of nothing."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _genomes(individuals: Any) -> Ints:
    rows: Ints = np.asarray(individuals.get("X")).astype(np.int64)
    return rows


class Shape(PymooProblem):  # type: ignore[misc]
    """A problem as pymoo's algorithms see it: vectors of integers, losses, and constraints.

    It does not evaluate (`hwnas.bridges.pymoo` does).

    Args:
        problem: The problem, ``d`` genes, ``m`` objectives, ``c`` constraints; there is one
            constraint more, see `outcome`.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            n_var=len(problem.space),
            n_obj=len(problem.objectives),
            n_ieq_constr=len(problem.constraints) + 1,
            xl=np.zeros(len(problem.space), dtype=np.int64),
            xu=problem.space.cardinalities - 1,
            vtype=int,
        )


class GeneSampling(Sampling):  # type: ignore[misc]
    """Draws each gene uniformly.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def _do(
        self,
        problem: Any,
        n_samples: int,
        *_: Any,
        random_state: Any = None,
        **__: Any,
    ) -> Ints:
        return self.space.sample(n_samples, random_state)


class GeneCrossover(Crossover):  # type: ignore[misc]
    """Uniform crossover of two parents to one child, `hwnas.space.operators.crossover`.

    Args:
        probability: Of two parents being crossed at all.
    """

    def __init__(self, probability: float = 0.9) -> None:
        super().__init__(n_parents=2, n_offsprings=1, prob=1.0)
        self.probability = probability

    def _do(
        self,
        problem: Any,
        X: Ints,
        *_: Any,
        random_state: Any = None,
        **__: Any,
    ) -> Ints:
        return crossover(X[0], X[1], random_state, self.probability)[None]


class GeneMutation(Mutation):  # type: ignore[misc]
    """Changes about one active gene, `hwnas.space.operators.mutate`.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(prob=1.0)
        self.space = space

    def _do(
        self,
        problem: Any,
        X: Any,
        *_: Any,
        random_state: Any = None,
        **__: Any,
    ) -> Ints:
        return mutate(np.asarray(X, dtype=np.int64), self.space, random_state)


class SameDesign(DuplicateElimination):  # type: ignore[misc]
    """Individuals are equal where their canonical genomes are.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
        rows = self.space.canonical(_genomes(pop))
        if other is None:
            is_duplicate[:] = True
            is_duplicate[differing(rows)] = False
        else:
            known = set(keys(self.space.canonical(_genomes(other))))
            is_duplicate[:] = [key in known for key in keys(rows)]
        return is_duplicate


def operators(space: Space, crossover: float = 0.9) -> dict[str, Any]:
    """This project's operators as arguments of pymoo's genetic algorithms.

    Args:
        space: The space.
        crossover: Probability that two parents are crossed.

    Returns:
        ``sampling``, ``crossover``, ``mutation`` and ``eliminate_duplicates``.
    """
    return {
        "sampling": GeneSampling(space),
        "crossover": GeneCrossover(crossover),
        "mutation": GeneMutation(space),
        "eliminate_duplicates": SameDesign(space),
    }
