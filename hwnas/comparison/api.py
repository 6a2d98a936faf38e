"""The way in: compare searchers, or prepare a comparison to watch it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from hwnas.budget import Budget
from hwnas.comparison.contest import Contest, Plan, Solve
from hwnas.comparison.curves import checkpoints as usual_checkpoints
from hwnas.comparison.directory import ComparisonDirectory
from hwnas.comparison.entrants import Entrant, entrants
from hwnas.comparison.record import Comparison
from hwnas.comparison.subject import Subject
from hwnas.errors import ProblemError
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.study import Study
from hwnas.yardstick import references

_ROOT: Final = Path("runs") / "compare"
FRACTIONS: Final = (0.9, 0.95)
"""The fractions of the target whose reaching is told, unless somebody asks for others."""


def prepare(
    study: Problem | Study | str | Path,
    searchers: Sequence[str | type[Searcher] | Entrant],
    *,
    seeds: int | Sequence[int] = 10,
    budget: int | None = None,
    directory: str | Path | None = None,
    jobs: int | None = None,
    checkpoints: Sequence[int] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    exact: bool | None = None,
    fresh: bool = False,
    source: str = "Python",
    solve: Solve | None = None,
) -> Contest:
    """Checks everything and lays the directory out; nothing is run yet. See `compare`.

    Args:
        study: See `compare`.
        searchers: See `compare`.
        seeds: See `compare`.
        budget: See `compare`.
        directory: See `compare`.
        jobs: See `compare`.
        checkpoints: See `compare`.
        fractions: See `compare`.
        exact: See `compare`.
        fresh: See `compare`.
        source: Where a study that is no file is from, for its run directories.
        solve: Finds the exact front; ``hwnas.exact.solve`` if left out.

    Raises:
        HwnasError: See `compare`.
    """
    subject = Subject.of(study, source)
    references(subject.problem, subject.reference)
    taking_part = tuple(
        entrant.with_defaults(subject.searcher, subject.options) for entrant in entrants(searchers)
    )
    for entrant in taking_part:
        entrant.resolved()
    plan = _plan(subject, seeds, budget, jobs, checkpoints, fractions, exact)
    place = ComparisonDirectory(Path(directory) if directory else _ROOT / subject.name)
    if fresh:
        place.remove()
    return Contest(subject, taking_part, plan, place, solve)


def compare(
    study: Problem | Study | str | Path,
    searchers: Sequence[str | type[Searcher] | Entrant],
    *,
    seeds: int | Sequence[int] = 10,
    budget: int | None = None,
    directory: str | Path | None = None,
    jobs: int | None = None,
    checkpoints: Sequence[int] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    exact: bool | None = None,
    fresh: bool = False,
    solve: Solve | None = None,
) -> Comparison:
    """Compares searchers on one problem, several seeds each, and tells how sure that is.

    Every run is an ordinary study in a run directory of its own. Called again, what is finished
    is not run again; a larger budget, further seeds and further searchers add to what is there.
    Runs end by evaluations alone; a study's time budget does not apply.

    The hypervolumes of all runs are measured in one box, fixed when the first comparison in the
    directory is complete and stored with it: around the exact front where it is known, else
    around the best front of all runs, with the study's ``reference`` where it gives one. They are
    told relative to that of the exact front, else of the best front of all runs of the table. So a
    searcher or a budget that is added later does not move the box, but where it finds better
    designs it moves the best known front, and the relative numbers of all others fall.

    A run whose budget is extended is not exactly the run that would have begun with the larger
    one: a last step that was cut short stays so, and a searcher keeps what it scaled by its first
    budget.

    Args:
        study: A problem, a study (its problem is taken, not its history), or a YAML study file.
        searchers: Names, ``"nsga2:population=50"``, classes, or `Entrant`; the others are tested
            against the first. The options of the study's searcher hold for the entrant of that
            name.
        seeds: How many, from 0, or which.
        budget: Evaluations of each run; the study's if left out.
        directory: Where everything is kept; ``runs/compare/NAME`` if left out.
        jobs: How many runs at once, each in a process; as many as there are cores if left out.
        checkpoints: Where hypervolumes are told, in evaluations; the budget is added.
        fractions: The fractions of the target whose reaching is told.
        exact: Whether to relate to the exact front, for which every costly projection is
            measured; ``None``: where nothing is COSTLY, and a refusal is noted only.
        fresh: Removes what an earlier comparison left in the directory.
        solve: Finds the exact front; ``hwnas.exact.solve`` if left out.

    Returns:
        The record. A searcher that refuses the problem has a row that says why.

    Raises:
        PluginError: A searcher that is not there, or options that it does not take.
        SearcherError: Nobody takes part, or somebody twice.
        ProblemError: Seeds, budget, checkpoints or fractions make no sense, or the study has a
            predictor.
        StudyFileError: The study file is not in order.
        RunDirectoryError: The directory holds something else, or another comparison.
        StorageError: A journal cannot be read or written.
    """
    contest = prepare(
        study,
        searchers,
        seeds=seeds,
        budget=budget,
        directory=directory,
        jobs=jobs,
        checkpoints=checkpoints,
        fractions=fractions,
        exact=exact,
        fresh=fresh,
        solve=solve,
    )
    for _ in contest.run():
        pass
    return contest.record()


def _plan(
    subject: Subject,
    seeds: int | Sequence[int],
    budget: int | None,
    jobs: int | None,
    checkpoints: Sequence[int] | None,
    fractions: Sequence[float],
    exact: bool | None,
) -> Plan:
    import joblib

    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise ProblemError(
            "these seeds leave nothing to compare",
            where="seeds",
            rule="at least 1 seed, each once, none negative",
            given=str(seeds),
            cure="e.g. --seeds 10",
        )
    planned = budget if budget is not None else subject.budget
    if planned is None:
        raise ProblemError(
            "nobody says how long a run is",
            where="budget",
            rule="evaluations of each run",
            cure="give a budget, e.g. budget=200",
        )
    end = Budget(planned).evaluations
    marks = usual_checkpoints(end) if checkpoints is None else tuple(checkpoints)
    _check("checkpoints", marks, [0 < c <= end for c in marks], f"from 1 to the budget, {end}")
    _check("fractions", fractions, [0 < f <= 1 for f in fractions], "above 0, at most 1")
    count = joblib.cpu_count() if jobs is None else jobs
    if count < 1:
        raise ProblemError("jobs leave nothing to do", rule="at least 1", given=str(count))
    return Plan(
        chosen, end, tuple(sorted({*marks, end})), tuple(sorted(set(fractions))), count, exact
    )


def _check(name: str, given: Sequence[float], fits: Sequence[bool], rule: str) -> None:
    if not all(fits):
        bad = [f"{value:g}" for value, fit in zip(given, fits, strict=True) if not fit]
        raise ProblemError(f"{name} out of range", where=name, rule=rule, given=", ".join(bad))
