"""What the person at the terminal sees while a study runs."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hwnas.cli.tables import best_of
from hwnas.progress import Progress as Standing
from hwnas.study import Study

_SECONDS_BETWEEN_LINES = 5.0


class Watch:
    """Shows a running study: a live display on a terminal, now and then a line elsewhere.

    Args:
        study: The study.
        title: What it does.
        console: Where to; standard error, so that standard output stays for results.
        quiet: Shows nothing.
    """

    def __init__(self, study: Study, title: str, console: Console, *, quiet: bool = False) -> None:
        self.study = study
        self.title = title
        self.console = console
        self.quiet = quiet
        self._last_line = -math.inf
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("evaluations"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        budget = study.budget.evaluations
        self._task = self._bar.add_task(title, total=budget, left="")
        live = console.is_terminal and not quiet
        self._live = Live(console=console, refresh_per_second=4) if live else None

    def __enter__(self) -> Watch:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, standing: Standing) -> None:
        """Shows where the study stands."""
        if self.quiet:
            return
        if self._live is not None:
            self._live.update(self._picture(standing))
            return
        done = standing.evaluations >= standing.budget.evaluations
        if done or time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.console.print(f"{self.title}: {line(standing)}", highlight=False, soft_wrap=True)

    def _picture(self, standing: Standing) -> RenderableType:
        left = f"{time_left(standing)} left"
        self._bar.update(self._task, completed=standing.evaluations, left=left)
        facts = Table.grid(padding=(0, 2))
        facts.add_row("hypervolume", f"{standing.hypervolume:.4f}")
        if str(standing.bound):
            facts.add_row("certified", str(standing.bound))
        facts.add_row("front", f"{standing.front} of {standing.designs} designs")
        if standing.failures:
            facts.add_row("failed", f"[red]{standing.failures}")
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
