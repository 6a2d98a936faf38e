"""Writing a design for another tool from the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from hwnas import plugins
from hwnas.cli.display import plain_console
from hwnas.design import Design
from hwnas.design.export import GROUP, export
from hwnas.errors import DesignError, PluginError
from hwnas.evaluation.wrappers import unwrapped
from hwnas.study import Study


def export_design(
    study: Study,
    number: int | None,
    tool: str,
    directory: Path,
    folder: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Writes one design of a study in the format of a tool, and prints files and notes.

    Args:
        study: The study.
        number: The design's number; the first of the front if None.
        tool: The name of an export.
        directory: The study's run directory.
        folder: Where the files go; ``export-NUMBER-TOOL`` in the run directory if None.
        force: Whether an export that is there already is replaced.
        as_json: Whether to print JSON.

    Raises:
        PluginError: There is no export of that name, or none was named.
        DesignError: There is no design of that number, or the tool cannot have it.
        StorageError: The folder holds something, or cannot be written.
    """
    if not tool:
        raise PluginError(
            "which tool is the design for?",
            where="--to",
            rule=", ".join(plugins.available(GROUP)),
            cure="e.g. --to scalesim",
        )
    number, design = _chosen(study, number)
    exported = export(design, tool, list(unwrapped(study.problem.evaluators)))
    target = folder if folder is not None else directory / f"export-{number}-{tool}"
    about = {"tool": tool, "design": number, "study": study.name}
    written = exported.write(target, force=force, about=about)
    if as_json:
        answer = {
            **about,
            "folder": str(target),
            "files": [path.relative_to(target).as_posix() for path in written],
            "notes": list(exported.notes),
            "layers": [layer._asdict() for layer in exported.layers],
        }
        print(json.dumps(answer, indent=1))  # noqa: T201 - the command's answer
        return
    console = plain_console()
    console.print(f"design {number} for {tool}, {len(exported.layers)} layers:", highlight=False)
    for path in written:
        console.print(f"  {path}", highlight=False, soft_wrap=True)
    console.print("notes:", highlight=False)
    for note in exported.notes:
        console.print(f"  - {note}", highlight=False, markup=False)


def _chosen(study: Study, number: int | None) -> tuple[int, Design]:
    number = study.front().designs[0].number if number is None else number
    if not 0 <= number < len(study.history):
        raise DesignError(
            f"there is no design {number}",
            rule=f"0 to {len(study.history) - 1}",
            given=str(number),
            cure="hwnas front DIR shows the numbers of the front",
        )
    genome = study.history.rows.genomes[number]
    return number, study.problem.designs(genome[None, :], study.seed)[0]
