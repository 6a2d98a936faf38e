"""Looking at a design or at a plan from the terminal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from hwnas import warm_start
from hwnas.cli.display import plain_console
from hwnas.cli.tables import layer_table, shown, unit_of, values_table
from hwnas.errors import DesignError, HwnasError
from hwnas.front import records
from hwnas.metrics import Reason
from hwnas.study import Study
from hwnas.studyfile import Plan
from hwnas.units import show


def show_design(study: Study, number: int | None, *, as_json: bool) -> None:
    """Prints one design of a study.

    Raises:
        DesignError: There is no design of that number.
    """
    number = study.front().designs[0].number if number is None else number
    if not 0 <= number < len(study.history):
        raise DesignError(
            f"there is no design {number}",
            rule=f"0 to {len(study.history) - 1}",
            given=str(number),
            cure="hwnas front DIR shows the numbers of the front",
        )
    record = records(study.history, np.array([number]))[0]
    rows = study.history.rows.measurements
    design = study.problem.designs(study.history.rows.genomes[number][None, :], study.seed)[0]
    if as_json:
        print(json.dumps({**vars(record), **_hardware(design)}, indent=1))  # noqa: T201
        return
    console = plain_console()
    units = {gene.name: gene.unit for gene in study.problem.space.genes}
    genes = {name: shown(value, units[name]) for name, value in record.genes.items()}
    console.print(values_table(f"design {number}", genes))
    measured = {
        name: show(value, unit_of(study.problem, name)) for name, value in record.metrics.items()
    }
    console.print(values_table("\nmeasurements", measured))
    reason = Reason(int(rows.reason[number]))
    if reason is not Reason.NONE:
        console.print(f"not feasible: {reason.name.lower()} {rows.notes[number]}")
    if "net" in study.problem.space.parts:
        console.print(layer_table(design))


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
    if plan.model.warm_start:
        known = warm_start.read(plan.model.warm_start, problem)
        facts["known before"] = "\n".join(map(str, known.sources))
    if as_json:
        print(json.dumps({**facts, "resolved": plan.resolved}, indent=1))  # noqa: T201
        return
    plain_console().print(values_table("this study is in order", facts))
