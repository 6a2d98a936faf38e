"""Running a comparison: every searcher with every seed, resumable, several at once."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.comparison.directory import ComparisonDirectory, Setting
from hwnas.comparison.entrants import Entrant
from hwnas.comparison.measuring import Measure, best_known, common_box, target_of
from hwnas.comparison.record import Comparison, Row
from hwnas.comparison.running import FAILED, Outcome, Standing, Task, execute, read_standing
from hwnas.comparison.significance import paired_tests
from hwnas.comparison.subject import Subject
from hwnas.errors import HwnasError
from hwnas.problem import Problem
from hwnas.report.quantity import Quantity, unit_of
from hwnas.report.trace import checkpoints as curve_points
from hwnas.yardstick import Yardstick

_LONGEST_NAME: Final = 40


class Exact(Protocol):
    """What a comparison wants of an exact front, e.g. ``hwnas.exact.ExactFront``."""

    @property
    def losses(self) -> Floats:
        """The losses of the front, ``(j, m)``."""

    @property
    def how(self) -> str:
        """Why it is exact."""


Solve = Callable[..., Exact]
"""Finds the exact front: ``solve(problem, measure_costly=...)``; refuses with a `HwnasError`."""


@dataclass(frozen=True)
class Plan:
    """What is to be run and told.

    Attributes:
        seeds: The seeds.
        budget: Evaluations of each run.
        checkpoints: Where hypervolumes are told, ascending; the last is the budget.
        fractions: The fractions of the target whose reaching is told.
        jobs: How many runs at once.
        exact: Whether the exact front is looked for; ``None``: where nothing is COSTLY.
    """

    seeds: tuple[int, ...]
    budget: int
    checkpoints: tuple[int, ...]
    fractions: tuple[float, ...]
    jobs: int
    exact: bool | None


class Contest:
    """A comparison that is ready to be run; see `hwnas.comparison.prepare`.

    Attributes:
        subject: What is compared on.
        entrants: Who takes part.
        plan: What is to be run and told.
        directory: Where it lives.
    """

    def __init__(
        self,
        subject: Subject,
        taking_part: tuple[Entrant, ...],
        plan: Plan,
        directory: ComparisonDirectory,
        solve: Solve | None = None,
    ) -> None:
        self.subject = subject
        self.entrants = taking_part
        self.plan = plan
        self.directory = directory
        self._solve = solve
        self._resolved = {entrant.label: entrant.resolved() for entrant in taking_part}
        self._outcomes: dict[tuple[str, int], Outcome] = {}
        directory.begin(subject.identity(), self._resolved)

    def __len__(self) -> int:
        """How many runs there are."""
        return len(self.entrants) * len(self.plan.seeds)

    def standing(self, entrant: Entrant, seed: int) -> Standing | None:
        """Where a run stands right now, also while another process is at it."""
        return read_standing(self.directory.run(entrant.folder, seed))

    def run(self) -> Iterator[Outcome]:
        """Does what is left of every run, and hands each over when it is over.

        Leaving the loop ends the processes; nothing that was measured is lost, and a new `run`
        goes on.

        Raises:
            RunDirectoryError: Another process runs this comparison.
            StorageError: A journal cannot be read or written.
            HwnasError: A process died.
        """
        import joblib
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        self._outcomes.clear()
        tasks = [self._task(entrant, seed) for seed in self.plan.seeds for entrant in self.entrants]
        with self.directory.alone():
            # A problem must arrive as it is, not with its large arrays made read-only.
            pool = joblib.Parallel(
                n_jobs=min(self.plan.jobs, len(tasks)),
                backend="loky",
                return_as="generator_unordered",
                max_nbytes=None,
                pre_dispatch="all",
            )
            try:
                with _ended(pool(joblib.delayed(execute)(task) for task in tasks)) as outcomes:
                    for outcome in outcomes:
                        self._outcomes[outcome.label, outcome.seed] = outcome
                        yield outcome
            except TerminatedWorkerError as error:
                raise HwnasError(
                    "a process of the comparison died",
                    where=str(self.directory.path),
                    given=str(error).splitlines()[0],
                    cure="the same command goes on; with fewer --jobs if memory ran out",
                ) from error

    def _task(self, entrant: Entrant, seed: int) -> Task:
        subject, resolved = self.subject, self._resolved[entrant.label]
        name = f"{subject.name[:_LONGEST_NAME]}-{entrant.folder}-{seed}"
        study: dict[str, Any] | None = None
        if subject.resolved is not None:
            study = {
                **subject.resolved,
                "name": name,
                "seed": seed,
                "searcher": resolved,
                "budget": {
                    "evaluations": self.plan.budget,
                    "time": None,
                    "stop_when_gain_below": None,
                },
                "workers": 1,
            }
        return Task(
            label=entrant.label,
            seed=seed,
            searcher=entrant.searcher,
            options=entrant.options,
            budget=self.plan.budget,
            name=name,
            folder=self.directory.run(entrant.folder, seed),
            problem=subject.problem,
            resolved=study,
            source=subject.source,
            reference=subject.reference,
            batch=subject.batch,
            timeout=subject.timeout,
            parent=os.getpid(),
        )

    def record(self) -> Comparison:
        """What the runs come to.

        Once all of them are over the box is fixed and stored, so that later numbers are in the
        same one.

        Raises:
            ProblemError: The study's reference is no worse than the best known value.
            HwnasError: The exact front was asked for and is refused.
        """
        problem, plan = self.subject.problem, self.plan
        by_entrant = {e.label: self._of(e) for e in self.entrants}
        outcomes = [o for found in by_entrant.values() for o in found]
        exact, how, notes = self._exact_front()
        front = best_known(problem, outcomes, exact)
        box, box_from = self._box(outcomes, front, how)
        target = None
        if box is not None:
            target = target_of(box, front, how, exact=exact is not None)
        measure = Measure(box, target, plan.checkpoints, plan.fractions, self._points())
        rows = tuple(
            measure.row(e.label, e.name, self._options(e), by_entrant[e.label])
            for e in self.entrants
        )
        finals = {r.label: {run.seed: run.final for run in r.runs} for r in rows if r.runs}
        return Comparison(
            name=self.subject.name,
            objectives=_quantities(problem),
            budget=plan.budget,
            seeds=plan.seeds,
            checkpoints=plan.checkpoints,
            fractions=plan.fractions,
            points=self._points(),
            box=box,
            box_from=box_from,
            target=target,
            rows=rows,
            tests=paired_tests(self.entrants[0].label, finals),
            notes=(*self.subject.notes, *notes, *_notes(rows, target)),
        )

    def _of(self, entrant: Entrant) -> list[Outcome]:
        found = (self._outcomes.get((entrant.label, seed)) for seed in self.plan.seeds)
        return [outcome for outcome in found if outcome is not None]

    def _options(self, entrant: Entrant) -> Mapping[str, Any]:
        return {k: v for k, v in self._resolved[entrant.label].items() if k != "use"}

    def _points(self) -> tuple[int, ...]:
        points: Ints = curve_points(self.plan.budget, len(self.subject.problem.objectives))
        return tuple(sorted({*map(int, points), *self.plan.checkpoints}))

    def _exact_front(self) -> tuple[Floats | None, str, tuple[str, ...]]:
        """The exact front where there is one, where the target is from, and what to say of it."""
        union = "the best known front: all runs of this table together"
        wanted = self.plan.exact
        setting = self.directory.read()
        known = setting.exact
        if wanted is False or (wanted is None and known is None and self.subject.problem.costly):
            return None, union, ()
        if known is None or (wanted and "refused" in known):
            known = self._solved()
            self.directory.write(replace(self.directory.read(), exact=known))
        if "refused" in known:
            return None, union, (f"No exact front: {known['refused']}",)
        losses = np.array(known["losses"]).reshape(-1, len(self.subject.problem.objectives))
        return losses, f"the exact front ({known['how']})", ()

    def _solved(self) -> dict[str, Any]:
        try:
            solve = self._solve or _solve()
            found = solve(self.subject.problem, measure_costly=bool(self.plan.exact))
        except HwnasError as error:
            if self.plan.exact:
                raise
            return {"refused": error.what}
        return {"losses": found.losses.tolist(), "how": found.how}

    def _box(
        self, outcomes: Sequence[Outcome], front: Floats, how: str
    ) -> tuple[Yardstick | None, str]:
        setting: Setting = self.directory.read()
        if setting.box is not None:
            return Yardstick.from_json(setting.box), setting.box_from
        box = common_box(self.subject.problem, outcomes, front, self.subject.reference)
        if box is None:
            return None, ""
        given = ", ".join(self.subject.reference)
        origin = how.partition(" (")[0].replace("of this table", "of the first table")
        origin += f"; reference given for {given}" if given else ""
        if len(outcomes) == len(self):
            self.directory.write(replace(setting, box=box.to_json(), box_from=origin))
        return box, origin


@contextmanager
def _ended(outcomes: Generator[Outcome, None, None]) -> Iterator[Generator[Outcome, None, None]]:
    """Ends the processes of a pool when nobody wants their outcomes any more."""
    try:
        yield outcomes
    finally:
        with warnings.catch_warnings():
            # That tasks are cancelled is what leaving early means; they go on another time.
            warnings.simplefilter("ignore", UserWarning)
            outcomes.close()


def _solve() -> Solve:
    from hwnas.exact import solve

    return solve


def _quantities(problem: Problem) -> tuple[Quantity, ...]:
    return tuple(Quantity(o.name, unit_of(o, problem), o.goal) for o in problem.objectives)


def _notes(rows: Sequence[Row], target: Any) -> Iterator[str]:
    for row in rows:
        if row.failed:
            errors = [run.error.splitlines()[0] for run in row.failed]
            most = max(set(errors), key=errors.count)
            yield (
                f"{row.label}: {len(errors)} of {len(row.runs)} runs {FAILED}, counted with what "
                f"they had found until then; mostly: {most}"
            )
    if target is not None and not target.volume > 0:
        yield "The target's front is outside the box: the study's reference is too strict."
