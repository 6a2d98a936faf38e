"""Commands about hardware models: exports, second opinions, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from hwnas.cli.arguments import AsJson, Directory, Quiet, Storage


def export_(
    directory: Directory,
    number: Annotated[
        Optional[int], typer.Argument(help="A design's number; the first of the front if left out.")
    ] = None,
    tool: Annotated[
        str,
        typer.Option("--to", metavar="TOOL", help="scalesim, zigzag, timeloop, maestro or onnx."),
    ] = "",
    folder: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FOLDER", help="Default: DIR/export-NUMBER-TOOL."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an export that is there already.")
    ] = False,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Write one design as input files of another tool, with notes on what differs there."""
    from hwnas.cli.exporting import export_design
    from hwnas.session import reopen

    study = reopen(directory, storage=storage).study
    export_design(study, number, tool, directory, folder, force=force, as_json=as_json)


def verify(
    directory: Directory,
    tool: Annotated[
        str, typer.Option("--with", metavar="TOOL", help="hwnas list second_opinions shows them.")
    ],
    top: Annotated[
        int, typer.Option("--top", metavar="K", help="So many designs, spread over the front.")
    ] = 5,
    design: Annotated[
        Optional[list[int]], typer.Option("--design", metavar="N", help="This design instead.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Print every layer, too.")] = False,
    python: Annotated[
        Optional[Path], typer.Option("--python", metavar="PATH", help="Who has the tool.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Make an environment for it, once.")
    ] = False,
    timeout: Annotated[
        Optional[float], typer.Option("--timeout", metavar="S", help="Seconds for one layer.")
    ] = None,
    option: Annotated[
        Optional[list[str]],
        typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the tool."),
    ] = None,
    storage: Storage = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cost designs of the front again with another tool, and show both answers side by side.

    The tool runs in a process and an environment of its own and is asked about each different
    layer once; its answers are kept in the run directory. Exit code 1 where it did not answer
    something, or where numbers differ that have to be equal.
    """
    from hwnas.cli.verifying import Asked, verify_run
    from hwnas.session import reopen

    options, numbers = tuple(option or ()), tuple(design or ())
    asked = Asked(tool, options, top, numbers, python, install, timeout)
    session = reopen(directory, storage=storage)
    if not verify_run(session, asked, layers=layers, as_json=as_json, quiet=quiet):
        raise typer.Exit(1)


def calibrate(
    file: Annotated[Path, typer.Argument(help="Measured rows: CSV or parquet.", metavar="FILE")],
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="hwnas list calibrations shows them.")
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="NAME|PATH", help="The table; NAME writes NAME.json.")
    ],
    group_by: Annotated[
        Optional[str],
        typer.Option(
            "--group-by",
            metavar="COLUMN,...",
            help="Rows are held out by these, e.g. network; by the layer's shape if left out.",
        ),
    ] = None,
    held_out: Annotated[
        float, typer.Option("--held-out", metavar="SHARE", help="Of the groups.")
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Which groups.")] = 0,
    column: Annotated[
        Optional[list[str]],
        typer.Option("--column", metavar="NAME=COLUMN", help="The file's name for a column."),
    ] = None,
    unit: Annotated[
        Optional[list[str]],
        typer.Option("--unit", metavar="NAME=UNIT", help="Of a column whose header has none."),
    ] = None,
    option: Annotated[
        Optional[list[str]],
        typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the template."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the table.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fit the free constants of a hardware template to what silicon measured.

    Prints errors and rank correlation on rows that were held out, before and after, and writes a
    table that evaluators take: calibration: NAME.json.
    """
    from hwnas.cli.calibrating import Wanted, run_calibration

    by = tuple(name.strip() for name in group_by.split(",")) if group_by else ()
    wanted = Wanted(
        file, template, to, by, held_out, seed, column or [], unit or [], option or [], force
    )
    run_calibration(wanted, as_json=as_json)
