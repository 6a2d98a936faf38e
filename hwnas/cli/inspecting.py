"""Looking at a design or at a plan from the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwnas import warm_start
from hwnas.cli.display import plain_console
from hwnas.cli.tables import breakdown_table, layer_table, shown, values_table
from hwnas.errors import DesignError, HwnasError
from hwnas.front import records
from hwnas.report import write_design
from hwnas.report.anatomy import Account, Anatomy, anatomy
from hwnas.report.design_page import value_of
from hwnas.study import Study
from hwnas.studyfile import Plan


def show_design(
    study: Study, number: str | None, *, as_json: bool, html: bool, file: Path | None, folder: Path
) -> None:
    """Prints one design of a study, or writes a page about it and prints where that is.

    Args:
        study: The study.
        number: The design's number; the first of the front if left out. With ``html`` and without
            ``file`` it may be the file.
        as_json: Prints JSON.
        html: Writes the page.
        file: Where to; ``design-NUMBER.html`` in the folder if left out.
        folder: The run directory.

    Raises:
        DesignError: There is no design of that number, or a file is given without ``html``.
        NothingFeasibleError: No number is given, and there is no front.
        StorageError: The page cannot be written.
    """
    if html and file is None and number is not None and not _is_number(number):
        file, number = Path(number), None
    if file is not None and not html:
        raise DesignError(
            f"nothing is written to {file} without --html",
            where="hwnas show",
            cure=f"hwnas show {folder} {number} --html {file}",
        )
    found = anatomy(study, _number(study, number))
    if html:
        file = write_design(study, found.number, file or folder / f"design-{found.number}.html")
    if as_json:
        page = {"html": str(file)} if html else {}
        print(json.dumps({**_as_json(study, found), **page}, indent=1))  # noqa: T201
    elif html:
        print(file)  # noqa: T201
    else:
        _print_design(found)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _number(study: Study, given: str | None) -> int:
    if given is None:
        return study.front().designs[0].number
    if not _is_number(given):
        raise DesignError(
            f"{given!r} is no number of a design",
            rule="a whole number",
            given=given,
            cure="hwnas front DIR shows the numbers of the front",
        )
    return int(given)


def _print_design(found: Anatomy) -> None:
    console = plain_console()
    genes = {gene.name: shown(value, gene.unit) for gene, value in found.genes}
    console.print(values_table(f"design {found.number}", genes))
    measured = {quantity.name: value_of(quantity, value) for quantity, value in found.measured}
    console.print(values_table("\nmeasurements", measured))
    if found.state:
        console.print(f"not feasible: {found.state}")
    if found.table is not None:
        console.print(layer_table(found.table))
    if found.silence:
        console.print(found.silence)
    for account in found.accounts:
        if account.note:
            console.print(f"what {account.evaluator} says cannot be shown: {account.note}")
        elif account.breakdowns:
            console.print(breakdown_table(account))


def _as_json(study: Study, found: Anatomy) -> dict[str, Any]:
    """Everything at rest; ``null`` is what was not measured."""
    record = records(study.history, np.array([found.number]))[0]
    design = study.problem.designs(study.history.rows.genomes[found.number][None, :], study.seed)[0]
    values = {
        **vars(record),
        "state": found.state,
        **_hardware(design),
        "layers": _columns(vars(found.table)) if found.table is not None else None,
        "explanations": [_account(account) for account in found.accounts],
    }
    return {name: _plain(value) for name, value in values.items()}


def _account(account: Account) -> dict[str, Any]:
    parts = {b.quantity.name: {c.name: c.value for c in b.components} for b in account.breakdowns}
    roofline = None if account.roofline is None else _columns(vars(account.roofline))
    return {
        "evaluator": account.evaluator,
        "note": account.note,
        "parts": parts,
        "layers": dict(account.layers),
        "roofline": roofline,
    }


def _columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in columns.items()
    }


def _plain(value: Any) -> Any:
    """The same with ``None`` in place of NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _hardware(design: Any) -> dict[str, Any]:
    try:
        return {"accelerator": design.accelerator}
    except HwnasError:
        return {}


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Prints what a study file says."""
    problem, gain = plan.problem, plan.budget.gain
    facts = {
        "name": plan.model.name,
        "space": f"{problem.space.size():.4g} designs, {len(problem.space)} genes",
        "evaluators": ", ".join(f"{e.name} ({e.expense.value})" for e in problem.evaluators),
        "objectives": ", ".join(f"{o.goal.value} {o.name}" for o in problem.objectives if o.goal),
        "constraints": ", ".join(c.text for c in problem.constraints) or "none",
        "searcher": plan.searcher,
        "budget": f"{plan.budget.evaluations} evaluations"
        + (f", {plan.budget.seconds:g} s" if plan.budget.seconds else "")
        + (f", until less than {100 * gain:g} % is left" if gain else ""),
    }
    if len(problem.fidelities) > 1:
        facts["fidelities"] = ", ".join(f"{fidelity:g}" for fidelity in problem.fidelities)
    if plan.model.warm_start:
        known = warm_start.read(plan.model.warm_start, problem)
        facts["known before"] = "\n".join(map(str, known.sources))
    if as_json:
        print(json.dumps({**facts, "resolved": plan.resolved}, indent=1))  # noqa: T201
        return
    plain_console().print(values_table("this study is in order", facts))
