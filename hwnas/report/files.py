"""The files of a report: `report.html` for reading, `front.csv` and `front.json` for machines."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hwnas.errors import StorageError
from hwnas.front import Front
from hwnas.report.anatomy import anatomy
from hwnas.report.contents import Record, record
from hwnas.report.quantity import Quantity

if TYPE_CHECKING:
    import pandas

    from hwnas.study import Study

_FORMAT: Final = 1


@dataclass(frozen=True)
class Written:
    """Where the files of a report are.

    Attributes:
        report: The page.
        csv: The front as a table.
        json: The front with units, goals and the study's facts.
    """

    report: Path
    csv: Path
    json: Path


def write_report(study: Study, folder: str | Path, *, name: str | None = None) -> Written:
    """Writes `report.html`, `front.csv` and `front.json` into a folder.

    Each file appears whole or not at all. What was there before is replaced.

    `front.csv` has one row per design of the front: ``number``, objectives, further metrics and
    genes under their own names, as numbers at rest, so that
    ``pandas.read_csv(path, engine="python")`` gives `Front.table` back to the last digit; units
    are in `front.json`. A field is empty where a gene is inactive. Of an empty front there are
    the headings.

    Args:
        study: A study, finished or not.
        folder: Is created if it is not there.
        name: What the report is called; the name of the study if left out.

    Raises:
        StorageError: The folder cannot be written to.
    """
    from hwnas.report.page import page

    contents = record(study, name)
    folder = Path(folder)
    written = Written(folder / "report.html", folder / "front.csv", folder / "front.json")
    text = json.dumps(to_json(contents), indent=1, ensure_ascii=False, allow_nan=False)
    with _writing(folder, "the report"):
        folder.mkdir(parents=True, exist_ok=True)
        _replace(written.csv, table(study).to_csv(index=False, lineterminator="\n"))
        _replace(written.json, text + "\n")
        _replace(written.report, page(contents))
    return written


def write_design(study: Study, number: int, file: str | Path) -> Path:
    """Writes a page about one design: genes, where its cost comes from, its layers.

    Args:
        study: A study, finished or not.
        number: The design's row in the history.
        file: Appears whole or not at all, and replaces what was there. Its folder is created.

    Raises:
        DesignError: There is no design of that number.
        StorageError: The file cannot be written.
    """
    from hwnas.report.design_page import design_page

    file = Path(file)
    write_text(file, design_page(anatomy(study, number), study.name))
    return file


def write_text(file: Path, text: str, what: str = "the page") -> None:
    """Writes a file that appears whole or not at all, and replaces what was there.

    Args:
        file: The file; its folder is created.
        text: What it says.
        what: What it is, for the message.

    Raises:
        StorageError: It cannot be written.
    """
    with _writing(file, what):
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, text)


@contextmanager
def _writing(place: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{what} cannot be written",
            where=str(place),
            given=f"{type(error).__name__}: {error}",
            cure="check that the folder can be written to and that the disk is not full",
        ) from error


def table(study: Study) -> pandas.DataFrame:
    """The front as `Front.table` gives it, its columns in the order of evaluators and genome.

    Of an empty front there are all columns and no rows.
    """
    import pandas

    objectives = [objective.name for objective in study.problem.objectives]
    others = [metric for metric in study.problem.metrics if metric not in objectives]
    columns = ["number", *objectives, *others, *study.problem.space.names]
    if not len(study.history.front):
        return pandas.DataFrame(columns=columns)
    front = Front.of(study.history).table()
    return front[[column for column in columns if column in front]]


def to_json(contents: Record) -> dict[str, Any]:
    """A record's front and facts as plain JSON values; numbers are at rest.

    ``objectives``, ``metrics`` and ``genes`` say the units, ``designs`` is `Front.to_json`, and
    ``why_empty`` says why there are none. ``remaining`` is the share of the hypervolume that the
    searcher certifies to be left to be gained at most, ``None`` where it does not. ``rungs`` are
    the fidelities, if lower ones were used.
    """
    facts = asdict(contents.facts)
    facts["evaluators"] = [
        {"name": e.name, "version": e.version, "expense": e.expense}
        for e in contents.facts.evaluators
    ]
    facts["options"] = dict(contents.facts.options)
    metrics = [q.name for e in contents.facts.evaluators for q in e.metrics]
    volume = contents.trace.hypervolume
    return {
        "format": _FORMAT,
        "title": contents.title,
        "study": facts,
        "hypervolume": volume[-1] if volume else None,
        "remaining": contents.facts.bound.remaining if contents.facts.bound else None,
        "objectives": [_quantity(q) for q in contents.objectives],
        "metrics": [_quantity(q) for q in contents.metrics],
        "genes": [{"name": q.name, "unit": q.unit} for q in contents.genes],
        "rungs": [rung.standing.to_json() for rung in contents.rungs],
        "why_empty": contents.why_empty,
        "designs": [
            asdict(design) | {"metrics": {name: design.metrics[name] for name in metrics}}
            for design in contents.designs
        ],
    }


def _quantity(quantity: Quantity) -> dict[str, Any]:
    return {
        "name": quantity.name,
        "unit": quantity.unit,
        "goal": quantity.goal.value if quantity.goal else None,
        "computed": quantity.text or None,
    }


def _replace(path: Path, text: str) -> None:
    """Writes a file beside and moves it over, so that no reader ever sees half of it."""
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(beside).chmod(0o666 & ~_umask())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
