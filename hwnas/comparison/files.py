"""The files of a comparison: JSON with everything, CSV with one line per run, HTML to look at."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from hwnas.comparison.record import COLUMNS, Comparison
from hwnas.errors import StorageError
from hwnas.marked_directory import replace_text


@dataclass(frozen=True)
class Written:
    """Where the files of a comparison are.

    Attributes:
        page: For reading.
        json: Everything, for machines.
        csv: One line per run and checkpoint.
    """

    page: Path
    json: Path
    csv: Path


def write_comparison(comparison: Comparison, folder: str | Path) -> Written:
    """Writes ``comparison.html``, ``comparison.json`` and ``comparison.csv`` into a folder.

    Args:
        comparison: The record.
        folder: Is created if it is not there.

    Raises:
        StorageError: The folder cannot be written to.
    """
    from hwnas.comparison.page import page

    folder = Path(folder)
    written = Written(*(folder / f"comparison.{end}" for end in ("html", "json", "csv")))
    text = json.dumps(comparison.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_text(written.json, text + "\n")
        replace_text(written.csv, to_csv(comparison))
        replace_text(written.page, page(comparison))
    except OSError as error:
        raise StorageError(
            "the comparison cannot be written",
            where=str(folder),
            given=f"{type(error).__name__}: {error}",
            cure="check that the folder can be written to and that the disk is not full",
        ) from error
    return written


def to_csv(comparison: Comparison) -> str:
    """`Comparison.table` as CSV with headings."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(comparison.table())
    return stream.getvalue()
