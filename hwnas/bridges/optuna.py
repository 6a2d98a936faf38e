"""Our searchers in studies of Optuna's: `HwnasSampler`; see `hwnas.bridges.trials` for the rest."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from hwnas import plugins
from hwnas.arrays import Ints
from hwnas.bridges.siblings import sharing, sibling_trials
from hwnas.bridges.trials import (
    GENOME,
    admits,
    choice_number,
    directions,
    measured,
    report,
    suggest,
)
from hwnas.errors import ProblemError, SearcherError, SpaceError, nearest
from hwnas.history import costly_columns
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.space import Gene, differing, keys

__all__ = ["HwnasSampler", "directions", "measured", "report", "suggest"]

_STEP: Final = "hwnas:step:"


class HwnasSampler(optuna.samplers.BaseSampler):
    """Any of our searchers in a study of Optuna's.

    The objective suggests the problem's genes under their names (see `suggest`; other
    ``trial.suggest_...`` do as well, as long as they admit the genes' choices) and returns the
    objectives' values in the problem's order. What searchers learn from are metrics:

    - each objective that is a bare metric gives that metric;
    - metrics stored with the trial by name (see `report`) are taken;
    - what is FREE and missing is measured with `Problem.free`.

    Trials that fail are failed designs, trials that are pruned are ruled out. Trials that others
    added (enqueued, or of another sampler) are learnt from as far as they are whole designs.

    Designs are asked for in batches as the searcher likes. Which trials it was told before each
    batch is stored with the study, so that another process, or the same after a restart, goes on
    with the same batch. Where a batch is handed out and some of it is still running, the next one
    is asked for without these. Processes that begin a batch in the same moment may both measure
    one design.

    Of several designs that a searcher proposes for one COSTLY evaluation (more rows than asked
    for), one becomes a trial that is run. When it is complete, the others need nothing that is
    costly any more: they are added to the study as finished trials, their costly metrics those of
    the trial (whose number they bear as ``sibling_of``), the free ones by `Problem.free`. So a
    study has more trials than were run, its best ones are the whole front, and the searcher
    learns what it would in a study of ours. Not so where a costly evaluator is not deterministic,
    where the trial did not become complete, or where another process tells than proposed: then
    the one trial is all there is.

    Example:
        >>> import optuna
        >>> from hwnas.bridges.optuna import HwnasSampler, directions, report, suggest
        >>> from hwnas.testing import toys
        >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
        >>> problem = toys.joint()
        >>> def objective(trial):
        ...     genomes = problem.space.encode([suggest(trial, problem.space)])
        ...     return report(trial, problem, problem.evaluate(problem.designs(genomes)))
        >>> sampler = HwnasSampler(problem, "nsga2", seed=1, budget=30)
        >>> study = optuna.create_study(sampler=sampler, directions=directions(problem))
        >>> study.optimize(objective, n_trials=30)
        >>> len(study.trials)
        30

    Args:
        problem: The problem. Its COSTLY evaluators are not called.
        searcher: A searcher's name (an entry point of ``hwnas.searchers``) or class.
        seed: The seed.
        options: Options of the searcher.
        budget: How many trials are planned, if known.
        batch: How many designs are asked for at once; ``None``: as the searcher likes.
        siblings: Whether designs that share a costly evaluation are added; without, the first one
            of them is all that is known, e.g. one accelerator for a network.
    """

    def __init__(
        self,
        problem: Problem,
        searcher: str | type[Searcher] = "nsga2",
        *,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        budget: int | None = None,
        batch: int | None = None,
        siblings: bool = True,
    ) -> None:
        self.problem = problem
        self._rebuild = partial(
            HwnasSampler,
            problem,
            searcher,
            seed=seed,
            options=options,
            budget=budget,
            batch=batch,
            siblings=siblings,
        )
        kind = plugins.load("hwnas.searchers", searcher) if isinstance(searcher, str) else searcher
        self._new_searcher = partial(kind, problem, seed=seed, budget=budget, **(options or {}))
        self._lock = threading.RLock()
        self._study_id: int | None = None
        self._batch = batch
        self._adds = siblings and all(e.deterministic for e in problem.costly)
        self._index = {name: j for j, name in enumerate(problem.space.names)}
        self._start()

    def _start(self) -> None:
        """Forgets everything; the study remembers."""
        self.searcher: Searcher = self._new_searcher()
        self.batch = self._batch or self.searcher.batch
        self._record: dict[str, Any] | None = None
        self._steps = 0
        self._queue: Ints = np.empty((0, len(self.problem.space)), dtype=np.int64)
        self._place: dict[bytes, int] = {}
        self._first: list[bytes] = []
        self._siblings: dict[int, Ints] = {}
        self._told: set[int] = set()
        self._claimed: dict[int, Ints] = {}
        self._finished: dict[int, Ints] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        # All that it knows is in the study.
        return self._rebuild, ()

    def infer_relative_search_space(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
    ) -> dict[str, BaseDistribution]:
        """Nothing: how a gene is suggested is seen when it is."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Nothing; see `sample_independent`."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value of a gene in the trial's design.

        Raises:
            SpaceError: There is no such gene, or its choice is not admitted.
            ProblemError: The study does not fit the problem.
            SearcherError: The searcher has nothing left to propose (`optimize` stops instead).
        """
        gene = self._gene(param_name)
        with self._lock:
            self._check(study)
            row = self._claimed.get(trial.number)
            if row is None:
                row = self._claim(study, trial)
        choice = gene.choices[row[self._index[param_name]]]
        if not admits(param_distribution, choice):
            raise SpaceError(
                f"the objective does not admit a choice of gene {gene.name!r}",
                where=f"trial {trial.number}: {param_distribution}",
                rule="one of " + ", ".join(map(repr, gene.choices)),
                given=repr(choice),
                cure="suggest all genes with hwnas.bridges.optuna.suggest(trial, problem.space)",
            )
        return choice

    def _gene(self, name: str) -> Gene:
        if name not in self._index:
            raise SpaceError(
                f"the objective suggests {name!r}, which is no gene",
                rule="a gene of the problem's space",
                given=repr(name),
                cure=nearest(name, self._index),
            )
        return self.problem.space.genes[self._index[name]]

    def _claim(self, study: optuna.Study, trial: FrozenTrial) -> Ints:
        """Takes the next design of the queue for a trial."""
        trials = study.get_trials(deepcopy=False)
        self._follow(study, trials)
        others = [t for t in trials if t.number != trial.number and t.number not in self._told]
        taken = self._designs(others)
        row = self._next(taken)
        if row is None:
            # What is still running may be proposed again, so that much more is asked for.
            running = self._designs([t for t in others if not t.state.is_finished()])
            self._ask(study, trials, len(running))
            row = self._next(running)
            if row is None:
                row = self._other(running)
        if row is None:
            raise self._exhausted(study)
        study._storage.set_trial_system_attr(trial._trial_id, GENOME, row.tolist())
        self._claimed[trial.number] = row
        if self._adds and len(self._first) < len(self._place):
            alike = sharing(self.problem, row, self._queue)
            if len(alike):
                self._siblings[trial.number] = self._queue[alike]
        return row

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Adds designs that share the costly evaluation of a complete trial; see the class."""
        with self._lock:
            siblings = self._siblings.pop(trial.number, None)
            if siblings is None or state is not TrialState.COMPLETE or values is None:
                return
            trials = study.get_trials(deepcopy=False)
            taken = self._designs(trials)
            known = keys(self.problem.space.canonical(siblings))
            fresh = [i for i, key in enumerate(known) if key not in taken]
            suggested = {name: d for t in (*trials, trial) for name, d in t.distributions.items()}
            row = self._claimed[trial.number]
            for sibling in sibling_trials(
                self.problem, trial, values, row, siblings[fresh], suggested
            ):
                study.add_trial(sibling)

    def _next(self, taken: set[bytes]) -> Ints | None:
        """The first design of the queue that no trial has."""
        key = next((key for key in self._first if key not in taken), None)
        return None if key is None else np.array(self._queue[self._place[key]])

    def _other(self, taken: set[bytes]) -> Ints | None:
        """Any design of the batch that no trial has, where all that are worth it are taken."""
        known = keys(self.problem.space.canonical(self._queue))
        fresh = (i for i, key in enumerate(known) if key not in taken)
        i = next(fresh, None)
        return None if i is None else np.array(self._queue[i])

    def _designs(self, trials: Sequence[FrozenTrial]) -> set[bytes]:
        """The designs that trials have, as far as they are known."""
        rows = [row for t in trials for row in [self._row(t)] if row is not None]
        if not rows:
            return set()
        return set(keys(self.problem.space.canonical(np.stack(rows))))

    def _follow(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        """Repeats the steps that the study remembers and this sampler does not know."""
        steps = study._storage.get_study_system_attrs(study._study_id)
        if self._steps and steps.get(f"{_STEP}{self._steps - 1}") != self._record:
            self._start()  # another process was faster
        while (record := steps.get(f"{_STEP}{self._steps}")) is not None:
            self._repeat(record, trials)

    def _ask(self, study: optuna.Study, trials: Sequence[FrozenTrial], pending: int) -> None:
        """Begins a new step: tells what is finished, asks for a batch."""
        fresh = [
            t
            for t in trials
            if t.state.is_finished() and t.number not in self._told and self._row(t) is not None
        ]
        # In the order in which they were proposed, as a study of ours tells them.
        last = len(self._place)
        fresh.sort(key=lambda t: (self._place.get(self._key(t), last), t.number))
        record = {"asked": self.batch + pending, "told": [t.number for t in fresh]}
        step = self._steps
        self._repeat(record, trials)
        study._storage.set_study_system_attr(study._study_id, f"{_STEP}{step}", record)

    def _repeat(self, record: dict[str, Any], trials: Sequence[FrozenTrial]) -> None:
        told = [trials[number] for number in record["told"]]
        if told:
            rows = np.stack([row for t in told if (row := self._row(t)) is not None])
            self.searcher.tell(rows, measured(self.problem, told, rows))
            self._told.update(record["told"])
        self._queue = self.searcher.ask(record["asked"])
        known = keys(self.problem.space.canonical(self._queue))
        # Searchers answer more than asked for where several designs share one costly evaluation.
        several = len(self._queue) > record["asked"]
        rows = self._worth(self._queue) if several else np.arange(len(self._queue))
        self._place = {key: i for i, key in reversed([*enumerate(known)])}
        self._first = [known[i] for i in rows]
        self._record = record
        self._steps += 1

    def _worth(self, rows: Ints) -> Ints:
        """The rows to measure, the first of each costly evaluation, ``(j,)``."""
        columns = costly_columns(self.problem)
        if not self.problem.costly or not len(columns):
            return np.arange(len(rows))
        return differing(self.problem.space.canonical(rows)[:, columns])

    def _key(self, trial: FrozenTrial) -> bytes:
        row = self._row(trial)
        assert row is not None
        return keys(self.problem.space.canonical(row[None, :]))[0]

    def _row(self, trial: FrozenTrial) -> Ints | None:
        """The genome of a trial, ``(d,)``; ``None`` where it is not whole (yet).

        Raises:
            SpaceError: A complete trial is no design.
        """
        if not trial.state.is_finished():
            claimed = self._claimed.get(trial.number)
            return claimed if claimed is not None else self._read(trial)
        row = self._finished.get(trial.number)
        if row is None:
            row = self._read(trial)
            if row is not None:
                self._finished[trial.number] = row
        return row

    def _read(self, trial: FrozenTrial) -> Ints | None:
        space = self.problem.space
        proposed = trial.system_attrs.get(GENOME)
        row = np.array(proposed or [0] * len(space), dtype=np.int64)
        for name, value in trial.params.items():
            row[self._index_of(name)] = choice_number(self._gene(name), value, trial.number)
        missing = [
            space.names[j]
            for j in np.flatnonzero(space.active(row[None, :])[0])
            if space.names[j] not in trial.params
        ]
        if proposed or not missing:
            return row
        if trial.state is TrialState.COMPLETE:
            raise SpaceError(
                f"trial {trial.number} is complete but has no gene {missing[0]!r}",
                rule="the objective suggests every active gene",
                given=", ".join(trial.params) or "no parameter",
                cure="suggest all genes with hwnas.bridges.optuna.suggest(trial, problem.space)",
            )
        return None

    def _index_of(self, name: str) -> int:
        self._gene(name)
        return self._index[name]

    def _check(self, study: optuna.Study) -> None:
        if self._study_id is None:
            goals = [direction.name.lower() for direction in study.directions]
            if goals != directions(self.problem):
                raise ProblemError(
                    "the study's directions are not the objectives' goals",
                    rule=", ".join(
                        f"{goal} {o.name}"
                        for goal, o in zip(
                            directions(self.problem), self.problem.objectives, strict=True
                        )
                    ),
                    given=", ".join(goals),
                    cure="optuna.create_study(directions="
                    "hwnas.bridges.optuna.directions(problem), ...)",
                )
            self._study_id = study._study_id
        elif self._study_id != study._study_id:
            raise ProblemError("a sampler serves one study", cure="build one sampler per study")

    def _exhausted(self, study: optuna.Study) -> Exception:
        try:
            study.stop()
        except RuntimeError:  # not within `optimize`
            return SearcherError(
                "the searcher has nothing left to propose",
                given=f"{len(self._told)} trials told",
                cure="stop asking",
            )
        return optuna.TrialPruned("the searcher has nothing left to propose")
