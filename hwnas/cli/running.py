"""Running a session from the terminal: watch it, then show and write what it answered."""

from __future__ import annotations

import json
import math
from typing import Any

from rich.console import Console

from hwnas.cli.display import plain_console, stopped_with
from hwnas.cli.live import Watch, line
from hwnas.cli.tables import front_table, rung_table, verdict_table
from hwnas.errors import HwnasError
from hwnas.progress import Status
from hwnas.session import Session
from hwnas.study import Study
from hwnas.studyfile import GAIN, parse_share


def changes_of(
    *,
    budget: int | None = None,
    seed: int | None = None,
    searcher: str | None = None,
    workers: int | None = None,
    gain: str | None = None,
) -> dict[str, Any]:
    """The options of a command as values of a study file.

    Raises:
        HwnasError: The gain is no share.
    """
    changes: dict[str, Any] = {}
    spent: dict[str, Any] = {} if budget is None else {"evaluations": budget}
    if gain is not None:
        try:
            spent[GAIN] = parse_share(gain)
        except ValueError as error:
            raise HwnasError(
                f"{gain!r} is no gain",
                where="--stop-when-gain-below",
                rule=str(error),
                given=gain,
            ) from error
    if spent:
        changes["budget"] = spent
    if seed is not None:
        changes["seed"] = seed
    if searcher is not None:
        changes["searcher"] = {"use": searcher}
    if workers is not None:
        changes["workers"] = workers
    return changes


def finish(session: Session, *, as_json: bool, quiet: bool) -> None:
    """Runs what is left to do of a session, then prints its front and writes its files.

    Raises:
        NothingFeasibleError: No design is feasible.
        TooManyFailuresError: Nothing but failures.
    """
    console = plain_console(stderr=True)
    with stopped_with(f"stopped; go on with: hwnas resume {session.directory.path}", console):
        for phase in session.phases():
            for source in phase.known.sources if phase.known and not quiet else ():
                console.print(
                    f"known before: {source}", highlight=False, markup=False, soft_wrap=True
                )
            _run(phase.study, phase.title, console, quiet=quiet)
    study = session.study
    from hwnas.report import write_report

    written = write_report(study, session.directory.path)
    front = study.front()
    if as_json:
        print(json.dumps(_summary(session), indent=1))  # noqa: T201 - the command's answer
        return
    out = plain_console()
    out.print(front_table(front))
    if study.history.rungs:
        out.print(rung_table(study.history.rungs))
    if session.surrogate is not None:
        out.print(verdict_table(session.surrogate.verdict()))
    out.print(f"{study.status.value}: {line(study.progress)}", highlight=False)
    for path in (written.report, written.csv, written.json):
        out.print(f"  {path}", highlight=False, soft_wrap=True)


def _run(study: Study, title: str, console: Console, *, quiet: bool) -> None:
    if study.status is not Status.READY:
        return
    if not quiet:
        size = study.problem.space.size()
        learnt, evaluations = study.history.learnt, study.history.evaluations
        begun = f", begins with {learnt} known designs" if learnt else ""
        if len(study.history) > learnt:
            begun += f", goes on after {evaluations}"
        console.print(
            f"{title}: {size:.3g} designs, {study.searcher.name}, "
            f"{study.budget.evaluations} evaluations{begun}",
            highlight=False,
        )
    with Watch(study, title, console, quiet=quiet) as watch:
        for standing in study.run():
            watch.show(standing)


def _summary(session: Session) -> dict[str, Any]:
    study = session.study
    standing = study.progress
    summary: dict[str, Any] = {
        "study": study.name,
        "directory": str(session.directory.path),
        "status": study.status.value,
        "evaluations": standing.evaluations,
        "designs": standing.designs,
        "learnt": study.history.learnt,
        "failures": standing.failures,
        "hypervolume": standing.hypervolume,
        "remaining": None if math.isnan(standing.remaining) else standing.remaining,
        "seconds": standing.seconds,
        "rungs": [rung.to_json() for rung in study.history.rungs],
        "front": study.front().to_json(),
    }
    if session.surrogate is not None:
        summary["verified"] = session.surrogate.verdict().to_json()
    return summary
