"""Costing designs of a run again with another tool, from the terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.table import Table

from hwnas import plugins
from hwnas.cli.display import plain_console, stopped_with
from hwnas.cli.plugin_options import options_of
from hwnas.design.designs import Design
from hwnas.errors import DesignError, ToolError
from hwnas.evaluation.second_opinion import Comparison, SecondOpinion
from hwnas.session import Session
from hwnas.study import Study
from hwnas.units import show
from hwnas.verification import (
    Answers,
    DesignVerdict,
    ToolProcess,
    Verification,
    Verifier,
    coster_of,
    interpreter,
    spread,
)
from hwnas.verification.verifying import Numbers, ratio_of

_GROUP: Final = "hwnas.second_opinions"
_ANSWERS: Final = "second_opinions"
"""The folder of the run directory that keeps answers."""


@dataclass(frozen=True)
class Asked:
    """What a person wants to know.

    Attributes:
        tool: The name of a second opinion.
        options: Its options, ``KEY=VALUE`` each.
        top: How many designs of the front.
        numbers: Or these designs.
        python: The interpreter that has the tool.
        install: Whether to make one.
        seconds: How long one layer may take, s; else the plug-in says.
    """

    tool: str
    options: tuple[str, ...] = ()
    top: int = 5
    numbers: tuple[int, ...] = ()
    python: Path | None = None
    install: bool = False
    seconds: float | None = None


def verify_run(session: Session, asked: Asked, *, layers: bool, as_json: bool, quiet: bool) -> bool:
    """Asks a tool about designs of a run and prints both answers.

    Args:
        session: The run.
        asked: What to ask.
        layers: Whether to print every layer, too.
        as_json: Whether to print JSON in place of tables.
        quiet: Whether to leave out how far it is.

    Returns:
        Whether the tool answered everything, and what has to be equal is.

    Raises:
        HwnasError: See `hwnas.verification.Verifier.verify`.
    """
    console = plain_console(stderr=True)
    if asked.seconds is not None and not asked.seconds > 0:
        raise ToolError(
            "a tool needs time to answer",
            where="--timeout",
            rule="seconds, greater than 0",
            given=f"{asked.seconds:g}",
        )

    def say(text: str) -> None:
        if not quiet:
            console.print(text, highlight=False, soft_wrap=True)

    opinion: SecondOpinion = plugins.load(_GROUP, asked.tool)(
        **options_of(_GROUP, asked.tool, asked.options)
    )
    study = session.study
    evaluator = coster_of(study.problem)
    designs = _designs(study, asked)
    python = interpreter(opinion.tool, python=asked.python, install=asked.install, say=say)
    again = "stopped; what was answered is kept: the same command again goes on"
    with (
        stopped_with(again, console),
        TemporaryDirectory(prefix="hwnas-") as work,
        ToolProcess(opinion.tool, python, Path(work)) as process,
    ):
        folder = session.directory.path / _ANSWERS
        answers = Answers(folder, opinion.name, process.version())
        verifier = Verifier(
            opinion,
            process,
            answers,
            seconds=opinion.seconds if asked.seconds is None else asked.seconds,
            say=lambda done, n: say(f"{opinion.name} {answers.version}: layer {done + 1} of {n}"),
        )
        found = verifier.verify(designs, evaluator)
    if as_json:
        print(json.dumps(found.to_json(), indent=1))  # noqa: T201 - the command's answer
    else:
        _print(plain_console(), found, designs, layers=layers)
    return not found.failures and not found.faults


def _designs(study: Study, asked: Asked) -> dict[int, Design]:
    if asked.numbers:
        for number in asked.numbers:
            if not 0 <= number < len(study.history):
                raise DesignError(
                    f"there is no design {number}",
                    where="--design",
                    rule=f"0 to {len(study.history) - 1}",
                    cure="hwnas front DIR shows the numbers of the front",
                )
        numbers = list(asked.numbers)
    else:
        if asked.top < 1:
            raise DesignError("--top counts designs", rule="at least 1", given=str(asked.top))
        front = study.front().designs
        numbers = [front[place].number for place in spread(len(front), asked.top)]
    genomes = study.history.rows.genomes
    return {n: study.problem.designs(genomes[n][None, :], study.seed)[0] for n in numbers}


def _print(
    console: Console, found: Verification, designs: dict[int, Design], *, layers: bool
) -> None:
    console.print(_summary(found))
    if layers:
        for verdict in found.designs:
            console.print(_layers(found, verdict, designs[verdict.number]))
    lines = [_compared(found, comparison) for comparison in found.comparisons]
    lines += [f"- {text}" for text in found.conventions]
    rows = [layer for verdict in found.designs for layer in verdict.layers]
    missing = [layer.missing for layer in rows if layer.missing]
    lines += [f"left out: {missing.count(why)} rows: {why}" for why in dict.fromkeys(missing)]
    lines += [f"note: {note}" for note in dict.fromkeys(n for layer in rows for n in layer.notes)]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _compared(found: Verification, comparison: Comparison) -> str:
    ranks = (
        ("designs", found.rank(comparison.name)),
        ("different layers", found.layer_rank(comparison.name)),
    )
    said = [f"rank correlation of {of} {rank:.3f}" for of, rank in ranks if rank is not None]
    if comparison.equal:
        wrong = sum(verdict.unequal(comparison.name) for verdict in found.designs)
        said.append(f"{wrong} layer rows differ, which must be equal" if wrong else "all equal")
    return f"{comparison.name}: {comparison.ours} | {found.tool}: {comparison.theirs}" + (
        f" ({', '.join(said)})" if said else ""
    )


def _summary(found: Verification) -> Table:
    failed = f", {found.failures} without an answer" if found.failures else ""
    table = Table(
        title=f"{found.evaluator} and {found.tool} {found.version}: {found.questions} different "
        f"layers, {found.asked} asked now{failed}",
        title_justify="left",
        show_lines=True,
    )
    for name in ("design", "layers", "", "hwnas", found.tool, "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for verdict in found.designs:
        layers = f"{verdict.compared} of {len(verdict.layers)}"
        table.add_row(str(verdict.number), layers, *_beside(found, verdict.ours, verdict.theirs))
    return table


def _layers(found: Verification, verdict: DesignVerdict, design: Design) -> Table:
    table = Table(title=f"layers of design {verdict.number}", title_justify="left", show_lines=True)
    for name in ("#", "K x C x R x S\nP x Q, bits w/a", "", "hwnas", found.tool, "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = design.layers
    for layer in verdict.layers:
        i = layer.row
        shape = (
            f"{rows.K[i]} x {rows.C[i] // rows.groups[i]} x {rows.R[i]} x {rows.S[i]}\n"
            f"{rows.P[i]} x {rows.Q[i]}, {rows.weight_bits[i]}/{rows.activation_bits[i]}"
        )
        table.add_row(str(i), shape, *_beside(found, layer.ours, layer.theirs))
    return table


def _beside(found: Verification, ours: Numbers, theirs: Numbers) -> tuple[str, str, str, str]:
    """Name, our number, the other one and their ratio: a line per comparison in each cell."""
    lines = []
    for c in found.comparisons:
        mine, other = ours.get(c.name), theirs.get(c.name)
        ratio = ratio_of(mine, other)
        said = "-" if ratio is None else f"{ratio:.3f}"
        lines.append((c.name, _shown(mine, c.unit), _shown(other, c.unit), said))
    names, mines, others, ratios = ("\n".join(column) for column in zip(*lines, strict=True))
    return names, mines, others, ratios


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "1" and value >= 1:
        return f"{value:,.0f}"
    return show(value, unit)
