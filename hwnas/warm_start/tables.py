"""Known rows in a table: a CSV or parquet file with a column per gene and per costly metric."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnas.arrays import Floats
from hwnas.data_files import parquet_reader, reading
from hwnas.errors import ProblemError, nearest
from hwnas.metrics import Reason
from hwnas.problem import Problem
from hwnas.warm_start.found import TRUTH, Found

_INFEASIBLE: Final = "infeasible"
_FIDELITY: Final = "fidelity"
_NOTHING: Final = frozenset({"", "nan", "na", "n/a", "none", "null"})
"""What stands for a number that is missing."""


def from_table(path: Path, problem: Problem) -> Found:
    """Reads a table.

    Columns are called like the genes (``net.depth``) and the costly metrics (at rest). Two more
    may be there: ``infeasible`` (true or false) and ``fidelity`` (1 is the whole thing). Others are
    passed over.

    Args:
        path: The file.
        problem: The problem.

    Raises:
        ProblemError: The file cannot be read, lacks a costly metric, or has text among numbers.
        MissingExtraError: A package that reads such files is not installed.
    """
    columns = _columns(path)
    wanted = [m.name for e in problem.costly for m in e.metrics]
    for name in wanted:
        if name not in columns:
            raise ProblemError(
                f"{path.name!r} has no column {name!r}",
                where=str(path),
                rule="a column for each costly metric: " + ", ".join(wanted),
                given=", ".join(columns) or "no columns",
                cure=nearest(name, columns),
            )
    n = len(next(iter(columns.values()), []))
    infeasible = np.zeros(n, dtype=np.bool_)
    if _INFEASIBLE in columns and _INFEASIBLE not in wanted:
        infeasible = _truths(path, columns[_INFEASIBLE])
    fidelity = np.ones(n)
    if _FIDELITY in columns and _FIDELITY not in wanted:
        given = numbers(path, _FIDELITY, columns[_FIDELITY])
        fidelity = np.where(np.isnan(given), 1.0, given)
    return Found(
        path,
        {name: column for name, column in columns.items() if _is_gene(name)},
        {name: numbers(path, name, columns[name]) for name in wanted},
        np.where(infeasible, int(Reason.INFEASIBLE), int(Reason.NONE)),
        tuple(f"infeasible in {path.name}" if i else "" for i in infeasible),
        fidelity,
    )


def numbers(path: Path, name: str, column: Any) -> Floats:
    """Text as numbers, NaN where there is none, ``(n,)``.

    Raises:
        ProblemError: One is no number; the file, the column and the row are named.
    """
    different, inverse = np.unique(column, return_inverse=True)
    read = [number(str(text)) for text in different]
    strange = np.flatnonzero(np.isin(inverse, [k for k, v in enumerate(read) if v is None]))
    if strange.size:
        raise ProblemError(
            f"column {name!r} has text where a number should be",
            where=f"{path}, row {strange[0] + 1}",
            rule="a number, or nothing where there is none",
            given=repr(str(column[strange[0]])),
        )
    return np.array(read, dtype=np.float64)[inverse.reshape(-1)]


def number(text: str) -> float | None:
    """Text as a number; NaN where it stands for none, and ``None`` where it is another text."""
    if text.lower() in _NOTHING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None


def _truths(path: Path, column: Any) -> Any:
    for i, text in enumerate(column):
        if text and text.lower() not in TRUTH:
            raise ProblemError(
                f"column {_INFEASIBLE!r} is neither true nor false",
                where=f"{path}, row {i + 1}",
                rule="true, false, 1, 0, or nothing for false",
                given=repr(str(text)),
            )
    return np.array([TRUTH.get(text.lower(), False) for text in column], dtype=np.bool_)


def _is_gene(name: str) -> bool:
    return "." in name and all(piece.isidentifier() for piece in name.split("."))


def _columns(path: Path) -> dict[str, Any]:
    """All columns as text."""
    readers = {".csv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise ProblemError(
            f"{path.name!r} is nothing that a study can begin with",
            where=str(path),
            rule="a run directory, or a table: " + ", ".join(readers),
            given=path.suffix or "no suffix",
        )
    with reading(path, readers):
        table = readers[path.suffix.lower()](path)
    return {str(name).strip(): _texts(table[name]) for name in table.columns}


def _csv(path: Path) -> Any:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(
                path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
        except pd.errors.ParserWarning as error:
            raise ValueError(str(error)) from error


def _parquet(path: Path) -> Any:
    return parquet_reader(path).read_table(path).to_pandas()


def _texts(column: Any) -> Any:
    missing = column.isna().to_numpy()
    texts = ["" if gone else str(v).strip() for v, gone in zip(column, missing, strict=True)]
    return np.array(texts, dtype=np.str_)
