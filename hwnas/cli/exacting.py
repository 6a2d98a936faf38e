"""The exact front of a study from the terminal: how it was obtained, a table, and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.cli.display import plain_console
from hwnas.cli.tables import front_table
from hwnas.errors import NothingFeasibleError, StorageError
from hwnas.exact import ExactFront, solve
from hwnas.front import Front, FrontDesign
from hwnas.marked_directory import replace_text
from hwnas.problem import Problem
from hwnas.session import python_study
from hwnas.studyfile import load

_FORMAT = 1


def show_exact(file: Path, directory: Path | None, *, measure_costly: bool, as_json: bool) -> None:
    """Computes, prints and writes the exact front of a study.

    Args:
        file: The study: YAML, or Python with ``def study()``.
        directory: Where ``front.csv`` and ``front.json`` go; ``runs/exact/NAME`` if left out.
        measure_costly: See `hwnas.exact.solve`.
        as_json: Whether to print JSON in place of the table.

    Raises:
        ExactRefusedError: It cannot be computed; the message says why.
        NothingFeasibleError: It is empty: no design meets the constraints.
        StorageError: The files cannot be written.
    """
    if file.suffix == ".py":
        study = python_study(file)
        name, problem = study.name, study.problem
    else:
        plan = load(file)
        name, problem = plan.model.name, plan.problem
    exact = solve(problem, measure_costly=measure_costly)
    if not len(exact):
        raise NothingFeasibleError(
            f"none of {exact.designs:,} designs is feasible",
            rule="a design counts that meets every constraint",
            given="; ".join(c.text for c in problem.constraints) or "no constraints",
            cure="relax a constraint, or widen the space",
        )
    front = front_of(problem, exact, measure_costly=measure_costly)
    contents = {
        "format": _FORMAT,
        "title": name,
        "how": exact.how,
        "space": exact.designs,
        "measured": exact.measured,
        "designs": [_finite(design) for design in front.to_json()],
    }
    folder = directory if directory is not None else Path("runs") / "exact" / name
    written = folder / "front.csv", folder / "front.json"
    text = json.dumps(contents, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(written[0], front.table().to_csv(index=False, lineterminator="\n"))
        replace_text(written[1], text + "\n")
    except OSError as error:
        raise StorageError(
            "the front cannot be written",
            where=str(folder),
            given=f"{type(error).__name__}: {error}",
            cure="check that the folder can be written to, or name another one (--dir)",
        ) from error
    if as_json:
        print(text)  # noqa: T201 - the command's answer
        return
    console = plain_console()
    console.print(f"exact: {exact.how}", highlight=False)
    console.print(
        f"{len(exact):,} points, the best of {exact.designs:,} designs; "
        f"{exact.measured:,} designs or cells of grids were measured",
        highlight=False,
    )
    console.print(front_table(front))
    for path in written:
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def front_of(problem: Problem, exact: ExactFront, *, measure_costly: bool = False) -> Front:
    """An exact front as records, sorted by the first objective, numbered from 0.

    Args:
        problem: The problem.
        exact: Its front.
        measure_costly: Whether COSTLY metrics are measured; else they are NaN.
    """
    genomes = exact.genomes[np.lexsort(exact.losses.T[::-1])]
    values = exact.losses[np.lexsort(exact.losses.T[::-1])] * problem.signs
    designs = problem.designs(genomes)
    measured = problem.evaluate(designs) if measure_costly else problem.free(designs)
    unknown = np.full(len(genomes), np.nan)
    columns = {name: measured.columns.get(name, unknown) for name in problem.metrics}
    names = [objective.name for objective in problem.objectives]
    return Front(
        problem,
        tuple(
            FrontDesign(
                i,
                dict(zip(names, map(float, values[i]), strict=True)),
                {name: float(column[i]) for name, column in columns.items()},
                designs[i].config,
            )
            for i in range(len(genomes))
        ),
    )


def _finite(design: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: what was not measured is left out."""
    metrics = {name: value for name, value in design["metrics"].items() if np.isfinite(value)}
    return {**design, "metrics": metrics}
