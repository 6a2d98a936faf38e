"""A study: problem, searcher, budget and storage, run by an explicit loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hwnas import plugins, yardstick
from hwnas.arrays import Ints
from hwnas.budget import Budget
from hwnas.errors import ProblemError, RunDirectoryError
from hwnas.evaluation.interface import collect
from hwnas.execution import at_least_one, executed
from hwnas.failures import FailureGuard
from hwnas.front import Front
from hwnas.history import Block, History
from hwnas.identity import check_same, identity, introduction
from hwnas.lessons import ASKED, Lesson
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.progress import UNKNOWN, Bound, Progress, Status
from hwnas.proposal import Proposal
from hwnas.searchers.choice import check_certifies, usual
from hwnas.searchers.interface import Searcher
from hwnas.spotcheck import SpotCheck
from hwnas.threads import OneBlasThread
from hwnas.yardstick import Yardstick

if TYPE_CHECKING:
    import optuna

    from hwnas.storage import StudyStore

_IDLE_STEPS: Final = 50


class Study:
    """One search, resumable at any moment.

    The state of a study is its history alone: reading it back and telling it to a new searcher
    gives the run that was interrupted. A step that was cut off is asked for again, and only the
    designs that are missing in it are measured.

    Args:
        problem: What is searched.
        searcher: A searcher's name (an entry point of ``hwnas.searchers``), its class, or a
            function that builds one; left out: see `hwnas.searchers.choice.usual`.
        budget: How much may be spent; a number means evaluations.
        seed: The seed of everything.
        options: Options of the searcher.
        name: The name of the study in the storage.
        storage: A journal file's path or an Optuna storage URL; ``None`` keeps it in memory.
        reference: Objective to a reference value for the hypervolume, at rest; the others are
            chosen (see `hwnas.yardstick`).
        batch: How many designs are asked for at once; ``None``: as the searcher likes, rounded up
            to a multiple of the workers.
        workers: How many costly evaluations run at once, each in a process.
        timeout: How long one costly evaluation may take, s; ``None``: for ever.
        note: What the dashboard says about the study, Markdown.

    Attributes:
        options: The options that were given to the searcher.
        reference: The reference values that were given.
        asked_batch: The batch that was asked for, if any.
        bounds: What the searcher certified, step by step.

    Raises:
        ProblemError: ``workers``, ``batch`` or ``timeout`` leave nothing to do.
        SearcherError: The budget ends by a bound, and the searcher has none.
        RunDirectoryError: The storage holds another study of that name; the difference is shown.
        StorageError: The storage cannot be read or written.
    """

    def __init__(
        self,
        problem: Problem,
        searcher: str | type[Searcher] | Callable[..., Searcher] | None = None,
        *,
        budget: Budget | int,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        name: str = "study",
        storage: str | Path | None = None,
        reference: Mapping[str, float] | None = None,
        batch: int | None = None,
        workers: int = 1,
        timeout: float | None = None,
        note: str = "",
    ) -> None:
        self.problem = problem
        self.budget = budget if isinstance(budget, Budget) else Budget(budget)
        self.seed = seed
        self.name = name
        self.reference = dict(reference or {})
        at_least_one("batch", batch)
        self._costly = executed(problem, workers, timeout)
        self._store: StudyStore | None = None
        self.asked_batch = batch
        self._note_text = note
        self.options = dict(options or {})
        if searcher is None:
            searcher = usual(problem.space, problem.evaluators)
        self._kind: Callable[..., Searcher] = (
            plugins.load("hwnas.searchers", searcher) if isinstance(searcher, str) else searcher
        )
        self._calm = OneBlasThread()
        self._spot: SpotCheck | None = None
        if self._costly is not None:
            self._spot = SpotCheck(problem, seed, self._costly.inner)
        self._idle_steps = 0
        self._seconds_before = 0.0
        self._unfinished: Block | None = None
        self._begin()
        check_certifies(self.searcher, self.budget)
        # No worker waits while the others measure the last designs of a step.
        self.batch = batch or math.ceil(self.searcher.batch / workers) * workers
        self._record = self._describe()
        if storage is not None:
            self.attach(storage)

    def _begin(self) -> None:
        """With an empty history."""
        self.history = History(self.problem)
        self._guard = FailureGuard(self.history, self.name)
        self._exhausted = False
        self._steps_told = 0
        self.bounds: list[Bound] = []
        self._bound = UNKNOWN
        self.searcher = self._searcher(self.options)
        self.yardstick = yardstick.before_measuring(self.problem, self.seed, self.reference)

    def _searcher(self, options: Mapping[str, Any]) -> Searcher:
        budget = self.budget.evaluations
        return self._kind(self.problem, seed=self.seed, budget=budget, **options)

    @property
    def storage(self) -> str | None:
        """Where the history is kept; ``None``: in memory."""
        return self._store.target if self._store else None

    def attach(self, storage: str | Path) -> None:
        """Keeps the history in a storage from now on, and goes on with what is there.

        What was learnt before is learnt again, if it is not there.

        Args:
            storage: A journal file's path or an Optuna storage URL.

        Raises:
            RunDirectoryError: The study has a storage, or was run without one, or the storage
                holds another study of that name.
            StorageError: The storage cannot be read or written.
        """
        from hwnas.storage import StudyStore

        learnt = self.history.rows
        if self._store is not None or len(learnt) > self.history.learnt:
            raise RunDirectoryError(
                f"study {self.name!r} cannot be moved to another storage",
                where=str(storage),
                rule="a storage is attached once, before anything is measured",
            )
        self._store = StudyStore(storage, self.name)
        if len(learnt):
            self._begin()
            self._record = self._describe()
        stored = self._store.record()
        if stored is None:
            note = self._note_text or introduction(self.name, self._record)
            self._store.create(self.problem, self._record, note)
        else:
            self._resume(stored)
        if len(learnt):
            self.learn(learnt.genomes, learnt.measurements)

    def extend(self, evaluations: int | None = None, *, gain: float | None = None) -> None:
        """Changes how many evaluations may be spent, before or between runs.

        Args:
            evaluations: How many in all; as before if left out.
            gain: See `Budget`; as before if left out.

        Raises:
            SearcherError: A gain, and the searcher has no bound.
        """
        budget = Budget(
            self.budget.evaluations if evaluations is None else evaluations,
            self.budget.seconds,
            self.budget.gain if gain is None else gain,
        )
        check_certifies(self.searcher, budget)
        self.budget = budget

    def _describe(self) -> dict[str, Any]:
        return identity(
            self.problem,
            self.searcher,
            seed=self.seed,
            reference=self.reference,
            batch=self.batch,
            yardstick=self.yardstick,
        )

    def _resume(self, stored: dict[str, Any]) -> None:
        assert self._store is not None
        # What the searcher scaled by its first budget stays, whatever the budget is now.
        if stored.get("searcher") == self.searcher.name and not self.options:
            self.searcher = self._searcher(stored["searcher_options"])
        self.batch = self.asked_batch or int(stored["batch"])
        self._record = self._describe()
        if stored["yardstick"] is not None:
            self.yardstick = Yardstick.from_json(stored["yardstick"])
        self._record["yardstick"] = stored["yardstick"]
        check_same(self.name, stored, self._record, self._store.target)
        block = self._store.read(self.problem)
        self.history.add(block)
        if self._spot is not None:
            self._spot.at = self._store.checks()
        if not len(block):
            return
        self._seconds_before = float(block.at.max())
        if self._costly is not None:
            self._costly.recall(self.problem, block, self.seed)
        order = np.lexsort((block.position, block.step))
        last = block.step == block.step.max()
        complete = ~last | (last.sum() == block.size[last][0])
        told = order[complete[order]]
        self.searcher.tell(block.genomes[told], block.measurements.take(told))
        self._steps_told = len(np.unique(block.step[told]))
        if not complete.all():
            self._unfinished = block.take(np.flatnonzero(last))
        self._fix_yardstick()
        self.bounds = [b for b in self._store.bounds() if b.step < self._steps_told]
        self._bound = next((b for b in self.bounds if b.step == self._steps_told - 1), UNKNOWN)
        if self._bound is UNKNOWN and complete.all():
            self._certify()

    def learn(self, genomes: Any, measurements: Measurements) -> int:
        """Takes rows that were measured before, elsewhere, into the history: a warm start.

        They cost nothing, neither now nor later, and are a step of their own. Learning the same
        rows again changes nothing, also where storing them was cut off. See `Lesson.of` for what
        becomes of duplicates and of infeasible, failed and early rows.

        Args:
            genomes: ``int64 (n, d)``; sleeping genes may have any value.
            measurements: ``n`` rows with (at least) the COSTLY metrics, at rest; what is FREE is
                measured anew.

        Returns:
            How many rows were new.

        Raises:
            SpaceError: A genome is not of the space.
            MeasurementError: A COSTLY metric is missing, or see `Lesson.of`.
            ProblemError: There is something new, and a step was cut off.
            StorageError: The storage fails.
        """
        lesson = Lesson.of(self.problem, genomes, measurements, self.seed)
        cut_off = self._cut_off_lesson
        new = lesson.new_to(self.history, cut_off)
        if cut_off is not None and not new.begins_with(cut_off):
            self._finish_lesson(cut_off)
            cut_off, new = None, lesson.new_to(self.history, None)
        if not len(new):
            return 0
        if cut_off is None and (self.history.rows.step >= self._steps_told).any():
            raise ProblemError(
                "nothing can be learnt in the middle of a step",
                rule="rows are learnt before, between or after whole steps",
                cure="run on until progress.step_complete, then learn",
            )
        stored = Block.empty(self.problem) if cut_off is None else cut_off
        missing = np.setdiff1d(np.arange(len(new)), stored.position)
        self._keep(block := new.block(missing, self._steps_told, self.seconds))
        self._finish_lesson(Block.stack([stored, block]))
        return len(block)

    @property
    def has_learnt(self) -> bool:
        """Whether something was learnt, and all of it stored."""
        return self.history.learnt > 0 and self._cut_off_lesson is None

    @property
    def _cut_off_lesson(self) -> Block | None:
        rows = self._unfinished
        return rows if rows is not None and rows.asked[0] == ASKED else None

    def _finish_lesson(self, block: Block) -> None:
        rows = block.take(np.argsort(block.position))
        if self._costly is not None:
            self._costly.recall(self.problem, rows, self.seed)
        self.searcher.tell(rows.genomes, rows.measurements)
        self._steps_told += 1
        self._unfinished = None
        self._exhausted = False
        self._fix_yardstick()
        self._certify()

    @property
    def seconds(self) -> float:
        """How long the study had run when the last row was finished, over all resumed runs."""
        return self.history.seconds

    @property
    def status(self) -> Status:
        """Whether there is something left to do."""
        # Less than one evaluation left, after some of a lower fidelity, is none.
        left = self.budget.evaluations - self.history.evaluations
        if left < 1 and self._unfinished is None:
            return Status.COMPLETE
        if self.budget.seconds is not None and self.seconds >= self.budget.seconds:
            return Status.OUT_OF_TIME
        if self._exhausted:
            return Status.EXHAUSTED
        asked, gain = self.budget.gain, self._bound.remaining
        if asked is not None and gain < asked and self._unfinished is None:
            return Status.CONVERGED
        return Status.IDLE if self._idle_steps >= _IDLE_STEPS else Status.READY

    def run(self) -> Iterator[Progress]:
        """Searches until the budget is spent: ``for progress in study.run(): ...``.

        Each round hands over what was just measured and stored. Leaving the loop loses nothing;
        a new `run` goes on.

        Raises:
            TooManyFailuresError: Nothing but failures for a while, or from the beginning.
            StorageError: The storage fails.
        """
        if self._cut_off_lesson is not None:
            self._finish_lesson(self._cut_off_lesson)  # nobody learns its rest again
        started = time.monotonic() - self._seconds_before
        try:
            while self.status is Status.READY:
                yield from self._step(started)
        finally:
            if self._costly is not None:
                self._costly.close()
        self._seconds_before = self.seconds
        self._guard.conclude()

    def _step(self, started: float) -> Iterator[Progress]:
        left = int(self.budget.evaluations - self.history.evaluations)
        asked = min(self.batch, max(left, 1))
        if self._unfinished is not None:
            asked = int(self._unfinished.asked[0])
        with self._calm():
            proposal = Proposal.of(self.searcher, asked, self._steps_told)
        if not len(proposal):
            self._exhausted = True
            return
        proposal.check_again(self._unfinished, self._store.target if self._store else "")
        before, rows_before = self.history.evaluations, len(self.history)
        parts = [proposal.known(self.history, self._unfinished)]
        missing = np.setdiff1d(np.arange(len(proposal)), parts[0][0])
        for positions, measured in proposal.measured(missing, self._costly, self.seed):
            self._keep(proposal.block(positions, measured, time.monotonic() - started))
            parts.append((positions, measured))
            self._guard.watch(measured)
            if self.status is Status.OUT_OF_TIME:
                # The step stays unfinished: a longer run proposes it again and goes on with it.
                yield self._progress(complete=False)
                return
            if sum(len(done) for done, _ in parts) < len(proposal):
                yield self._progress(complete=False)
        self._check_reads(np.arange(rows_before, len(self.history)))
        metrics = tuple(self.problem.metrics.values())
        with self._calm():
            self.searcher.tell(proposal.genomes, collect(metrics, len(proposal), parts))
        self._steps_told += 1
        self._unfinished = None
        self._idle_steps = 0 if self.history.evaluations > before else self._idle_steps + 1
        self._fix_yardstick()
        self._certify()
        yield self._progress(complete=True)

    def _check_reads(self, rows: Ints) -> None:
        spot = self._spot
        if spot is None or not spot.is_due(self.history.evaluations, self.budget.evaluations):
            return
        if spot.check(self.history, rows) and self._store is not None:
            self._store.note_checks(spot.at)

    def _certify(self) -> None:
        """Asks the searcher what is left to be gained, and keeps its answer."""
        with self._calm():
            share = self.searcher.remaining()
        self._bound = UNKNOWN
        if share is None or not math.isfinite(share):
            return
        step, evaluations = self._steps_told - 1, self.history.evaluations
        self._bound = Bound(step, evaluations, max(0.0, float(share)), self.searcher.confidence)
        self.bounds.append(self._bound)
        if self._store is not None:
            self._store.certify([self._bound])

    def _keep(self, block: Block) -> None:
        if self._store is not None:
            self._store.append(self.problem, block)
        self.history.add(block)

    def _fix_yardstick(self) -> None:
        """Fixes the hypervolume's box on the first designs, if it could not be fixed before.

        Only whole steps count, so that a run that was cut off fixes the same box.
        """
        if self.yardstick is not None:
            return
        rows = self.history.rows
        losses = self.problem.losses(rows.measurements)
        usable = np.isfinite(losses).all(axis=1) & (rows.step < self._steps_told)
        if not usable.any():
            return
        first = rows.step <= rows.step[usable].min()
        given = yardstick.references(self.problem, self.reference)
        self.yardstick = Yardstick.spanning(losses[first], given)
        self._record["yardstick"] = self.yardstick.to_json()
        if self._store is not None:
            self._store.update(self._record)

    def _progress(self, *, complete: bool) -> Progress:
        box = self.yardstick
        return Progress(
            step=self._steps_told - 1 if complete else self._steps_told,
            designs=len(self.history),
            evaluations=self.history.evaluations,
            budget=self.budget,
            hypervolume=box.hypervolume(self.history.front_losses) if box else float("nan"),
            front=len(self.history.front),
            failures=self.history.failures,
            seconds=self.seconds,
            step_complete=complete,
            bound=self._bound,
        )

    @property
    def checks(self) -> int:
        """How often it was checked that COSTLY evaluators read no more than they say.

        Each check measured one design again, which the budget does not count.
        """
        return len(self._spot.at) if self._spot is not None else 0

    @property
    def progress(self) -> Progress:
        """Where the study stands."""
        return self._progress(complete=self._unfinished is None)

    def front(self) -> Front:
        """The Pareto front so far.

        Raises:
            NothingFeasibleError: No design is feasible; the message says why.
        """
        return Front.of(self.history)

    @property
    def optuna(self) -> optuna.Study:
        """The study as Optuna sees it; a study in memory is written to a storage in memory."""
        from hwnas.storage import StudyStore

        if self._store is not None:
            return self._store.study
        store = StudyStore(None, self.name)
        store.create(self.problem, self._record, introduction(self.name, self._record))
        store.append(self.problem, self.history.rows)
        store.certify(self.bounds)
        return store.study
