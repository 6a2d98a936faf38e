"""Running a conformance suite from the terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from hwnas import plugins
from hwnas.cli.display import plain_console
from hwnas.cli.plugin_options import options_of
from hwnas.design import BitsPerCell, SkipNet, SystolicArray
from hwnas.errors import PluginError, nearest
from hwnas.evaluation.interface import Expense
from hwnas.testing import (
    EvaluatorSubject,
    Outcome,
    PredictorSubject,
    SearcherSubject,
    SpaceSubject,
    evaluator_checks,
    predictor_checks,
    run,
    searcher_checks,
    space_checks,
)

_FEW_ROWS: Final = 2


def check_plugin(kind: str, name: str, given: Sequence[str], *, as_json: bool) -> bool:
    """Runs the suite of a kind on a plug-in and prints what came of it.

    Returns:
        Whether every rule holds.

    Raises:
        PluginError: No such kind or plug-in, or options that it does not take.
    """
    suites: dict[str, Callable[[str, dict[str, Any]], list[Outcome]]] = {
        "space": _space,
        "evaluator": _evaluator,
        "predictor": _predictor,
        "searcher": _searcher,
    }
    if kind not in suites:
        raise PluginError(
            f"there is no kind of plug-in {kind!r}",
            rule=", ".join(suites),
            given=kind,
            cure=nearest(kind, suites),
        )
    outcomes = suites[kind](name, options_of(f"hwnas.{kind}s", name, given))
    if as_json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))  # noqa: T201
    else:
        plain_console().print(_table(kind, name, outcomes))
    return all(outcome.passed for outcome in outcomes)


def _space(name: str, options: dict[str, Any]) -> list[Outcome]:
    part = plugins.load("hwnas.spaces", name)(**options)
    return run(space_checks(), SpaceSubject.of(part))


def _evaluator(name: str, options: dict[str, Any]) -> list[Outcome]:
    evaluator = plugins.load("hwnas.evaluators", name)(**options)
    space = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
    rows = EvaluatorSubject.rows if evaluator.expense is Expense.FREE else _FEW_ROWS
    return run(evaluator_checks(), EvaluatorSubject(evaluator, space, rows=rows))


def _predictor(name: str, options: dict[str, Any]) -> list[Outcome]:
    predictor = plugins.load("hwnas.predictors", name)(**options)
    return run(predictor_checks(), PredictorSubject(predictor))


def _searcher(name: str, options: dict[str, Any]) -> list[Outcome]:
    return run(searcher_checks(), SearcherSubject(plugins.load("hwnas.searchers", name), options))


def _table(kind: str, name: str, outcomes: list[Outcome]) -> Table:
    skipped = sum(outcome.skipped for outcome in outcomes)
    held = sum(outcome.passed for outcome in outcomes) - skipped
    counts = f"{held} rules hold, {len(outcomes) - held - skipped} are broken"
    nothing = f", {skipped} had nothing to check" if skipped else ""
    table = Table(title=f"{kind} {name}: {counts}{nothing}", title_justify="left")
    table.add_column("")
    table.add_column("rule")
    table.add_column("what is wrong", style="red")
    for outcome in outcomes:
        answer = Text("yes", "green") if outcome.passed else Text("NO", "red")
        sign = Text("-", "yellow") if outcome.skipped else answer
        table.add_row(sign, outcome.rule, outcome.message)
    return table
