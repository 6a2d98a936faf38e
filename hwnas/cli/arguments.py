"""Arguments that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Directory = Annotated[Path, typer.Argument(help="A run directory.", metavar="DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")]
Budget = Annotated[
    Optional[int], typer.Option("--budget", metavar="N", help="Evaluations to spend in all.")
]
Gain = Annotated[
    Optional[str],
    typer.Option(
        "--stop-when-gain-below",
        metavar="SHARE",
        help="e.g. 1 %: end when the searcher certifies that less hypervolume is left.",
    ),
]
Workers = Annotated[
    Optional[int], typer.Option("--workers", metavar="N", help="Costly evaluations at once.")
]
Storage = Annotated[
    Optional[str],
    typer.Option(
        "--storage",
        metavar="URL",
        help="An Optuna storage in place of the journal in the directory, e.g. "
        "postgresql://host/db; one with a password is better given as HWNAS_STORAGE.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
