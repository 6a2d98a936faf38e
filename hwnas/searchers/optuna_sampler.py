"""Any sampler of Optuna as a searcher.

Optuna: Akiba, Sano, Yanase, Ohta, Koyama, "Optuna: A Next-generation Hyperparameter Optimization
Framework", KDD 2019. Works with Optuna 4 and 5.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import (
    BaseGASampler,
    BaseSampler,
    CmaEsSampler,
    GridSampler,
    QMCSampler,
)
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hwnas.arrays import Floats, Ints
from hwnas.errors import SearcherError
from hwnas.metrics import Goal, Measurements
from hwnas.problem import Problem
from hwnas.searchers.bounds import relative_excesses
from hwnas.searchers.interface import Searcher, unseen
from hwnas.searchers.options import at_least
from hwnas.space import Space
from hwnas.space.conditions import Conditions

_MEASURED: Final = "measured"
"""The constraint that a design without values violates; no constraint of a problem's is one word.
"""

_OLD_CONSTRAINTS: Final = "constraints"
_NEW_CONSTRAINT: Final = "constraints:"


class OptunaSearcher(Searcher):
    """Any sampler of Optuna as a searcher.

    A sampler is built anew for every step, from a seed that follows from (seed, rows told), and
    finds a study in memory whose finished trials are the rows told: so it is a pure function of
    the history, whatever the sampler keeps for itself. Ordered genes are integers (the number of
    the choice), others are categories. What one step has proposed already are running trials.

    A design that was told or proposed already is tried again a few times, then drawn at random.

    Designs without values are trials that violate a constraint more than all others, with the
    worst values known; trials that fail would be ignored by Optuna's samplers.

    Under Optuna 4 the sampler must be given `constraint_options`, or it ignores constraints.

    The sampler is no option that a study stores: a subclass with a name of its own (see
    `hwnas.searchers.tpe.TPE`) is told apart from others when a study is resumed.

    Example:
        >>> from functools import partial
        >>> from optuna.samplers import NSGAIISampler
        >>> from hwnas import Study
        >>> from hwnas.testing import toys
        >>> theirs = partial(OptunaSearcher, sampler=lambda seed: NSGAIISampler(seed=seed))
        >>> study = Study(toys.maximised(), theirs, budget=20)
        >>> for progress in study.run():
        ...     pass
        >>> progress.designs
        20

    Args:
        problem: See `Searcher`.
        sampler: Builds the sampler from a seed.
        seed: See `Searcher`.
        budget: See `Searcher`.
        batch: How many designs are asked for at once; samplers that learn from each design like 1.
        flat: Whether genes that sleep are trials' parameters, too. Samplers of one fixed space
            (Gaussian processes, genetic algorithms) need that; else each trial has the genes that
            are awake, as in a study that is defined by run.

    Raises:
        SearcherError: The sampler keeps its state in attributes of its own trials or study
            (CMA-ES, quasi-Monte Carlo, grid), so that it cannot learn from a history.
    """

    name: ClassVar[str] = "optuna"
    tries: ClassVar[int] = 5
    """How often in a row the sampler may propose what is known, before designs are random."""

    def __init__(
        self,
        problem: Problem,
        sampler: Callable[[int], BaseSampler],
        *,
        seed: int = 0,
        budget: int | None = None,
        batch: int = 1,
        flat: bool = False,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        at_least(1, self.name, batch=batch)
        self._build = sampler
        self._batch = batch
        self.flat = flat
        self._encoding = Encoding(problem.space, flat)
        self._rows: list[_Row] = []
        self._parents: dict[int, Any] = {}
        with _quiet():
            _check_sampler(sampler(0))

    @property
    def batch(self) -> int:
        """How many designs it likes to be asked for at once."""
        return self._batch

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`. The sampler is not among them."""
        return {"batch": self._batch, "flat": self.flat}

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured; see `Searcher.tell`."""
        before = len(self.told)
        super().tell(genomes, measurements)
        values = self.problem.values(measurements)
        excesses = relative_excesses(self.problem, measurements)
        rows = self.told.genomes[before:]
        nothing = np.isinf(self.told.violation[before:])
        for parameters, *rest in zip(
            self._encoding.parameters(rows), values, excesses, nothing, strict=True
        ):
            self._rows.append(_Row(parameters, *rest))

    def ask(self, n: int) -> Ints:
        """Proposes ``n`` designs; see `Searcher.ask`."""
        rng = self.rng()
        rows = np.empty((0, len(self.problem.space)), dtype=np.int64)
        with _quiet():
            study = self._study(len(self.told))
            study.sampler = self._build(step_seed(rng))
            self._inherit(study)
            misses = 0
            while len(rows) < n and misses < self.tries:
                drawn = self._encoding.draw(study.ask())
                both = np.concatenate([rows, drawn[None, :]])
                if self.told.new(both)[-1]:
                    rows, misses = both, 0
                else:
                    misses += 1
        return unseen(self.told, self.problem.space, n - len(rows), rng, rows)

    def _study(self, stop: int) -> optuna.Study:
        """A study in memory with the first ``stop`` rows told as finished trials."""
        storage = InMemoryStorage()
        goals = [
            StudyDirection.MINIMIZE if o.goal is Goal.MINIMIZE else StudyDirection.MAXIMIZE
            for o in self.problem.objectives
        ]
        study = optuna.create_study(storage=storage, directions=goals)
        told = self._rows[:stop]
        names = [constraint.text for constraint in self.problem.constraints]
        values, constraints = _completed(told, self.problem.signs, names)
        generation = self._generation_key
        now = datetime.datetime.now()
        for i, row in enumerate(told):
            attributes = dict(constraints[i])
            if generation is not None:
                attributes[generation[0]] = i // generation[1]
            trial = _Told(
                number=-1,
                trial_id=-1,
                state=TrialState.COMPLETE,
                value=None,
                values=values[i],
                datetime_start=now,
                datetime_complete=now,
                params=row.parameters,
                distributions={name: self._encoding.named[name] for name in row.parameters},
                user_attrs={},
                system_attrs=attributes,
                intermediate_values={},
            )
            storage.create_new_trial(study._study_id, template_trial=trial)
        return study

    @cached_property
    def _generation_key(self) -> tuple[str, int] | None:
        """Where a genetic sampler looks for a trial's generation, and how large one is."""
        sampler = self._build(0)
        if not isinstance(sampler, BaseGASampler) or sampler.population_size is None:
            return None
        return type(sampler)._get_generation_key(), sampler.population_size

    def _inherit(self, study: optuna.Study) -> None:
        """Gives a genetic sampler the parents of the generation that has begun.

        They were chosen with the seed of the step in which it began, from what was known then.
        In that step itself the sampler chooses them, as it would in a study of its own.
        """
        if self._generation_key is None:
            return
        size = self._generation_key[1]
        begun = (len(self.told) - 1) // size
        for generation in range(1, begun + 1):
            if generation not in self._parents:
                start = generation * size
                then = self._study(start)
                self._hand_down(then, generation - 1)
                sampler = self._build(step_seed(np.random.default_rng((self.seed, start))))
                assert isinstance(sampler, BaseGASampler)
                sampler.get_parent_population(then, generation)
                attributes = then._storage.get_study_system_attrs(then._study_id)
                self._parents[generation] = dict(attributes)
        self._hand_down(study, begun)

    def _hand_down(self, study: optuna.Study, generation: int) -> None:
        for key, value in self._parents.get(generation, {}).items():
            study._storage.set_study_system_attr(study._study_id, key, value)


def step_seed(rng: np.random.Generator) -> int:
    """The sampler's seed of a step, the first number that is drawn from the step's stream.

    The stream is ``numpy.random.default_rng((seed, rows told))``.
    """
    return int(rng.integers(2**31 - 1))


def constraint_options() -> dict[str, Any]:
    """What a sampler must be given to heed constraints: nothing from Optuna 5 on.

    Optuna 4 heeds them only with an argument ``constraints_func``.
    """
    if named_constraints():
        return {}
    return {"constraints_func": lambda trial: trial.system_attrs.get(_OLD_CONSTRAINTS, ())}


def named_constraints() -> bool:
    """Whether this Optuna stores constraints by name (from 5.0 on) or as a list."""
    return int(optuna.__version__.partition(".")[0]) >= 5


class Encoding:
    """Genomes as parameters of trials.

    Args:
        space: The space.
        flat: Whether genes that sleep are parameters, too.
    """

    def __init__(self, space: Space, flat: bool) -> None:
        self._space = space
        self._flat = flat
        conditions = Conditions(space.genes)
        self._order = range(len(space)) if flat else conditions.order
        self._looks_at = conditions.found

    @cached_property
    def named(self) -> dict[str, BaseDistribution]:
        """Gene name to the distribution of its choices' numbers."""
        return {
            gene.name: IntDistribution(0, len(gene.choices) - 1)
            if gene.ordered
            else CategoricalDistribution(tuple(range(len(gene.choices))))
            for gene in self._space.genes
        }

    def parameters(self, genomes: Ints) -> Iterator[dict[str, int]]:
        """The parameters of each row, gene name to the number of a choice."""
        shown = np.ones(genomes.shape, bool) if self._flat else self._space.active(genomes)
        names = self._space.names
        for row, on in zip(genomes.tolist(), shown, strict=True):
            yield {names[j]: row[j] for j in self._order if on[j]}

    def draw(self, trial: optuna.Trial) -> Ints:
        """Has a trial suggest its parameters, each behind those it depends on, ``(d,)``."""
        row = np.zeros(len(self._space), dtype=np.int64)
        awake = np.zeros(len(self._space), dtype=np.bool_)
        for j in self._order:
            if not self._flat and not all(
                awake[parent] and meets[row[parent]] for parent, meets in self._looks_at[j]
            ):
                continue
            awake[j] = True
            gene = self._space.genes[j]
            last = len(gene.choices) - 1
            row[j] = (
                trial.suggest_int(gene.name, 0, last)
                if gene.ordered
                else trial.suggest_categorical(gene.name, tuple(range(last + 1)))
            )
        return row


@dataclass(frozen=True)
class _Row:
    """One row told.

    Attributes:
        parameters: Of the trial.
        values: The objectives, ``(m,)``; NaN or infinite where there is none.
        excesses: See `relative_excesses`, ``(c,)``.
        nothing: Whether it has no values and no known constraint rules it out.
    """

    parameters: dict[str, int]
    values: Floats
    excesses: Floats
    nothing: bool


def _completed(
    rows: list[_Row], signs: Floats, names: list[str]
) -> tuple[list[list[float]], list[dict[str, Any]]]:
    """Values and constraints of trials, with nothing missing.

    Args:
        rows: The rows told.
        signs: 1 where an objective is minimised, -1 where it is maximised, ``(m,)``.
        names: The constraints' names.
    """
    if not rows:
        return [], []
    values = np.array([row.values for row in rows])
    known = np.isfinite(values)
    worst = np.where(known, values * signs, -np.inf).max(axis=0) * signs
    values = np.where(known, values, np.where(known.any(axis=0), worst, 0.0))
    excesses = np.array([row.excesses for row in rows]).reshape(len(rows), len(names))
    # A constraint on something that was not measured says nothing: it is at its bound.
    excesses = np.where(np.isnan(excesses), 0.0, excesses)
    nothing = np.array([row.nothing for row in rows])
    if nothing.any() or not named_constraints():  # Optuna 4 wants at least one constraint
        most = 1.0 + np.maximum(excesses, 0.0).sum(axis=1).max()
        flag = np.where(nothing, most, -most)
        excesses, names = np.column_stack([excesses, flag]), [*names, _MEASURED]
    if not names:
        return values.tolist(), [{} for _ in rows]
    if named_constraints():
        keys = [_NEW_CONSTRAINT + name for name in names]
        return values.tolist(), [dict(zip(keys, e, strict=True)) for e in excesses.tolist()]
    return values.tolist(), [{_OLD_CONSTRAINTS: e} for e in excesses.tolist()]


class _Told(FrozenTrial):
    """A trial that is cheap to copy: the storage copies every trial that it is given."""

    def __deepcopy__(self, memo: Any) -> _Told:
        other = _Told.__new__(_Told)
        for key, value in self.__dict__.items():
            # Distributions never change; what may change is one level deep.
            other.__dict__[key] = value.copy() if isinstance(value, dict | list) else value
        return other


def _check_sampler(sampler: BaseSampler) -> None:
    if not isinstance(sampler, BaseSampler):
        raise SearcherError(
            "the function does not build a sampler of Optuna",
            where="argument sampler",
            rule="a function from a seed to an optuna.samplers.BaseSampler",
            given=type(sampler).__name__,
        )
    if isinstance(sampler, CmaEsSampler | GridSampler | QMCSampler):
        raise SearcherError(
            f"{type(sampler).__name__} cannot learn from a history",
            where="argument sampler",
            rule="a sampler whose state follows from the finished trials alone",
            given=f"{type(sampler).__name__} keeps it in attributes of the trials it proposed",
            cure="use TPESampler, GPSampler, NSGAIISampler, NSGAIIISampler or RandomSampler",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Optuna from announcing what goes on within a step."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
