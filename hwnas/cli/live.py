"""What the person at the terminal sees while a study runs."""

from __future__ import annotations

import math
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from hwnas.cli.display import Display
from hwnas.cli.tables import best_of, rungs_in_short
from hwnas.progress import Progress as Standing
from hwnas.study import Study


class Watch(Display):
    """Shows a running study; see `Display`.

    Args:
        study: The study.
        title: What it does.
        console: See `Display`.
        quiet: See `Display`.
    """

    def __init__(self, study: Study, title: str, console: Console, *, quiet: bool = False) -> None:
        super().__init__(console, quiet=quiet)
        self.study = study
        self.title = title
        self._bar = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("evaluations"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        budget = study.budget.evaluations
        self._task = self._bar.add_task(title, total=budget, left="")

    def show(self, standing: Standing) -> None:
        """Shows where the study stands."""
        self.draw(
            lambda: f"{self.title}: {line(standing)}{self._skipped()}",
            partial(self._picture, standing),
            last=standing.evaluations >= standing.budget.evaluations,
        )

    def _skipped(self) -> str:
        skipped = [rung for rung in self.study.history.rungs if rung.ranks is False]
        return f", rungs: {rungs_in_short(skipped)}" if skipped else ""

    def _picture(self, standing: Standing) -> RenderableType:
        left = f"{time_left(standing)} left"
        self._bar.update(self._task, completed=standing.evaluations, left=left)
        facts = Table.grid(padding=(0, 2))
        facts.add_row("hypervolume", f"{standing.hypervolume:.4f}")
        if str(standing.bound):
            facts.add_row("certified", str(standing.bound))
        facts.add_row("front", f"{standing.front} of {standing.designs} designs")
        if rungs := rungs_in_short(self.study.history.rungs):
            facts.add_row("rungs", rungs)
        if standing.failures:
            facts.add_row("failed", Text(str(standing.failures), "red"))
        for name, value in best_of(self.study):
            facts.add_row(f"best {name}", value)
        return Group(self._bar, facts)


def line(standing: Standing) -> str:
    """Where a study stands, in one line."""
    volume = f"hypervolume {standing.hypervolume:.4f}"
    if str(standing.bound):
        volume += f" ({standing.bound})"
    text = (
        f"{standing.evaluations}/{standing.budget.evaluations} evaluations, "
        f"{standing.designs} designs, {volume}, front {standing.front}, "
        f"{standing.seconds:.0f} s, {time_left(standing)} left"
    )
    return f"{text}, {standing.failures} failed" if standing.failures else text


def time_left(standing: Standing) -> str:
    """The estimated time left, as m:ss."""
    seconds = standing.seconds_left
    if not math.isfinite(seconds):
        return "?"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
