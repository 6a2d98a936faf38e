"""Comparing searchers from the terminal: watch the runs, then show and write what they come to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from hwnas.cli.display import Display, plain_console, stopped_with
from hwnas.comparison import Contest, Entrant, prepare, write_comparison
from hwnas.comparison.record import Comparison, Row
from hwnas.comparison.running import Outcome
from hwnas.comparison.words import (
    corrected,
    difference,
    goal,
    overhead,
    reached,
    target,
)
from hwnas.errors import ProblemError
from hwnas.session import python_study


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        file: The study.
        searchers: Comma-separated.
        seeds: How many.
        budget: Evaluations of each run.
        directory: Where everything is kept.
        jobs: How many runs at once.
        checkpoints: Comma-separated evaluations.
        exact: Whether to relate to the exact front.
        fresh: Whether to start anew.
    """

    file: Path
    searchers: str
    seeds: int
    budget: int | None
    directory: Path | None
    jobs: int | None
    checkpoints: str | None
    exact: bool | None
    fresh: bool


def run_comparison(wanted: Wanted, *, as_json: bool, quiet: bool) -> bool:
    """Runs what is left of a comparison, then prints it and writes its files.

    Returns:
        Whether at least one searcher ran.

    Raises:
        HwnasError: See `hwnas.comparison.compare`.
    """
    is_python = wanted.file.suffix == ".py"
    contest = prepare(
        python_study(wanted.file) if is_python else wanted.file,
        [Entrant.parse(text) for text in wanted.searchers.split(",")],
        seeds=wanted.seeds,
        budget=wanted.budget,
        directory=wanted.directory,
        jobs=wanted.jobs,
        checkpoints=_numbers(wanted.checkpoints),
        exact=wanted.exact,
        fresh=wanted.fresh,
        source=str(wanted.file),
    )
    console = plain_console(stderr=True)
    with stopped_with("stopped; the same command goes on", console):
        _run(contest, console, quiet=quiet)
        comparison = contest.record()
    written = write_comparison(comparison, contest.directory.path)
    if as_json:
        print(json.dumps(comparison.to_json(), indent=1))  # noqa: T201 - the command's answer
        return comparison.ran
    out = plain_console()
    for table in tables(comparison):
        out.print(table)
    for text in _footnotes(comparison):
        out.print(text, highlight=False)
    for path in (written.page, written.json, written.csv):
        out.print(f"  {path}", highlight=False, soft_wrap=True)
    return comparison.ran


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ProblemError(
            "checkpoints are numbers of evaluations",
            where="--checkpoints",
            given=text,
            cure="e.g. --checkpoints 50,100,200",
        ) from error


def _run(contest: Contest, console: Console, *, quiet: bool) -> None:
    if not quiet:
        console.print(
            f"{contest.subject.name}: {len(contest.entrants)} searchers, "
            f"{len(contest.plan.seeds)} seeds, {contest.plan.budget} evaluations each, "
            f"{contest.plan.jobs} runs at once",
            highlight=False,
        )
    with Watch(contest, console, quiet=quiet) as watch:
        for outcome in contest.run():
            watch.show(outcome)


class Watch(Display):
    """Shows a running comparison; see `Display`.

    Args:
        contest: The comparison.
        console: See `Display`.
        quiet: See `Display`.
    """

    def __init__(self, contest: Contest, console: Console, *, quiet: bool = False) -> None:
        # The table is made from what the runs take down, so it moves while none of them ends.
        super().__init__(console, quiet=quiet, moving=self._picture, per_second=2)
        self.contest = contest
        self._over: set[tuple[str, int]] = set()

    def show(self, outcome: Outcome) -> None:
        """Shows that a run is over."""
        self._over.add((outcome.label, outcome.seed))
        self.draw(
            lambda: (
                f"{len(self._over)}/{len(self.contest)} runs; the last one: {outcome.label}, "
                f"seed {outcome.seed}, {outcome.standing.status} after "
                f"{outcome.standing.evaluations} evaluations"
            ),
            None,
            last=len(self._over) == len(self.contest),
        )

    def _picture(self) -> RenderableType:
        plan = self.contest.plan
        grid = Table.grid(padding=(0, 2))
        for entrant in self.contest.entrants:
            over = sum((entrant.label, seed) in self._over for seed in plan.seeds)
            standings = [self.contest.standing(entrant, seed) for seed in plan.seeds]
            spent = sum(
                plan.budget
                if (entrant.label, seed) in self._over
                else min(standing.evaluations, plan.budget)
                for seed, standing in zip(plan.seeds, standings, strict=True)
                if standing is not None
            )
            whole = plan.budget * len(plan.seeds)
            bar = ProgressBar(total=whole, completed=spent, width=30)
            grid.add_row(entrant.label, bar, f"{over}/{len(plan.seeds)} runs over")
        return Group(grid)


def tables(comparison: Comparison) -> list[Table]:
    """The tables of a comparison: hypervolumes, speed and cost, and tests."""
    shown = [_volumes(comparison), _speeds(comparison)]
    return [*shown, _tests(comparison)] if comparison.tests else shown


def _volumes(comparison: Comparison) -> Table:
    kind = "exact" if comparison.target and comparison.target.exact else "best known"
    table = Table(
        title=f"Hypervolume after so many evaluations, in % of that of the {kind} front\n"
        f"median, and quartiles below, of {len(comparison.seeds)} seeds",
        title_justify="left",
    )
    table.add_column("searcher", overflow="fold")
    for mark in comparison.checkpoints:
        table.add_column(f"{mark:,}", justify="right", no_wrap=True)
    for row in comparison.rows:
        if row.runs:
            cells = [
                f"{100 * s.median:.1f}\n{100 * s.lower:.1f}-{100 * s.upper:.1f}"
                for s in row.relative
            ]
            table.add_row(row.label, *cells)
        else:
            table.add_row(row.label, *["refused"] * len(comparison.checkpoints))
    return table


def _speeds(comparison: Comparison) -> Table:
    table = Table(
        title="Evaluations to a fraction of it: median (seeds that reached it)\n"
        "CPU of the searcher itself, for each evaluation",
        title_justify="left",
    )
    table.add_column("searcher", no_wrap=True)
    for fraction in comparison.fractions:
        table.add_column(goal(fraction), justify="right")
    table.add_column("CPU each", justify="right")
    table.add_column("runs", justify="right")
    for row in comparison.rows:
        if row.runs:
            late = [reached(found, len(row.runs)) for found in row.reached]
            table.add_row(row.label, *late, overhead(row.overhead), _runs(row))
    return table


def _runs(row: Row) -> str:
    statuses = [run.status for run in row.runs]
    return ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(sorted(statuses)))


def _tests(comparison: Comparison) -> Table:
    table = Table(
        title=f"Against {comparison.rows[0].label}, final hypervolume, seed by seed",
        title_justify="left",
        caption="Wilcoxon's signed-rank test, two-sided, p with Holm's correction",
        caption_justify="left",
    )
    table.add_column("searcher", no_wrap=True)
    table.add_column("verdict")
    for name in ("median difference", "won/lost/equal", "p"):
        table.add_column(name, justify="right")
    for test in comparison.tests:
        table.add_row(
            test.label,
            test.verdict,
            difference(test.difference),
            f"{test.wins}/{test.losses}/{test.ties}",
            corrected(test.p_corrected),
        )
    return table


def _footnotes(comparison: Comparison) -> Sequence[str]:
    texts = [f"{row.label} refused: {row.refused}" for row in comparison.rows if row.refused]
    if comparison.target is not None:
        texts.append(f"relative to {target(comparison.target)}")
        texts.append(f"one box for all, fixed by the first complete result: {comparison.box_from}")
    else:
        texts.append("no run found a feasible design; hwnas run says why")
    return [*texts, *comparison.notes]
