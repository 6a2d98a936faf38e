"""Columns of parquet, CSV and npz files as arrays.

To read another kind of file, write a function as `Reader` says and name it in `READERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnas.arrays import Floats
from hwnas.data_files import parquet_reader, reading
from hwnas.errors import ProblemError, nearest

Raw = Mapping[str, Any]
"""Column name to an array of one axis, of any type."""


@dataclass(frozen=True)
class Wanted:
    """The columns that are read.

    Attributes:
        keys: Columns that tell rows apart: text, numbers or truth values.
        numbers: Columns of numbers.
        texts: Which of the keys are text, also where they look like numbers (``00012``).
    """

    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    texts: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys((*self.keys, *self.numbers)))


Reader = Callable[[Path, Wanted], Raw]
"""Reads columns of a file, and raises `ProblemError` where one is not there."""

_EMPTY: Final = ("", "NA", "N/A", "NaN", "nan", "null", "None")
"""What stands for a missing number in a CSV file; in a key it is a value like any other."""


def read(path: Path, wanted: Wanted) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Reads columns of a table.

    Args:
        path: The file; its suffix says what it is.
        wanted: The columns.

    Returns:
        The keys, each ``float64 (rows,)`` or text ``(rows,)``, and the numbers, each
        ``float64 (rows,)`` with NaN where there is none.

    Raises:
        ProblemError: There is no such file or column, the file is of an unknown kind or cannot be
            read, a number is text, or a key is missing somewhere.
        MissingExtraError: A package that reads such files is not installed.
    """
    with reading(path, READERS):
        raw = READERS[path.suffix.lower()](path, wanted)
    _check_lengths(path, raw)
    return (
        {
            name: _key(path, name, np.asarray(raw[name]), name in wanted.texts)
            for name in wanted.keys
        },
        {name: _numbers(path, name, np.asarray(raw[name])) for name in wanted.numbers},
    )


def _parquet(path: Path, wanted: Wanted) -> Raw:
    parquet = parquet_reader(path)
    _check_columns(path, wanted.columns, parquet.read_schema(path).names)
    table = parquet.read_table(path, columns=wanted.columns)
    return {name: table.column(name).to_pandas().to_numpy() for name in wanted.columns}


def _csv(path: Path, wanted: Wanted) -> Raw:
    import pandas as pd

    _check_columns(path, wanted.columns, list(pd.read_csv(path, nrows=0).columns))
    empty = {name: list(_EMPTY) if name in wanted.numbers else [""] for name in wanted.columns}
    table = pd.read_csv(
        path,
        usecols=wanted.columns,
        dtype=dict.fromkeys(wanted.texts, str),
        keep_default_na=False,
        na_values=empty,
    )
    return {name: table[name].to_numpy() for name in wanted.columns}


def _npz(path: Path, wanted: Wanted) -> Raw:
    with np.load(path, allow_pickle=False) as arrays:
        _check_columns(path, wanted.columns, list(arrays))
        return {name: arrays[name] for name in wanted.columns}


READERS: Final[Mapping[str, Reader]] = {".parquet": _parquet, ".csv": _csv, ".npz": _npz}
"""How each kind of file is read, by suffix."""


def _check_columns(path: Path, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ProblemError(
                f"{path.name!r} has no column {name!r}",
                where=str(path),
                rule="a column of the table",
                given=repr(name),
                cure=nearest(name, known),
            )


def _check_lengths(path: Path, raw: Raw) -> None:
    shapes = {name: np.shape(column) for name, column in raw.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise ProblemError(
            f"the columns of {path.name!r} do not fit together",
            where=str(path),
            rule="arrays of one axis and of one length, a row per design",
            given=", ".join(f"{name} {shape}" for name, shape in shapes.items()),
        )


def _key(path: Path, name: str, column: Any, is_text: bool) -> Any:
    """A key column as numbers or as text."""
    if column.dtype.kind in "biuf" and not is_text:
        values = column.astype(np.float64)
        missing = ~np.isfinite(values)
    else:
        missing = np.array([v is None or v != v for v in column.tolist()], dtype=np.bool_)
        values = column.astype(str)
    if missing.any():
        raise ProblemError(
            f"column {name!r} of {path.name!r} has empty cells",
            where=f"{path}, rows {_some(np.flatnonzero(missing))}",
            rule="every row says which design it is",
        )
    return values


def _numbers(path: Path, name: str, column: Any) -> Floats:
    if column.dtype.kind in "iuf":
        return np.asarray(column, dtype=np.float64)
    values = column.tolist()
    strange = [i for i, value in enumerate(values) if not _is_number(value)]
    if strange:
        # One word turns a whole CSV column into text: it is the one to name.
        bad = [i for i in strange if not _reads_as_number(values[i])] or strange
        raise ProblemError(
            f"column {name!r} of {path.name!r} has values that are no numbers",
            where=f"{path}, rows {_some(bad)}",
            rule="numbers, or nothing where there is none",
            given=", ".join(repr(values[i]) for i in bad[:3]),
        )
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _reads_as_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _some(rows: Sequence[int] | Any) -> str:
    """The first rows, counted from 0."""
    return ", ".join(str(int(i)) for i in rows[:5]) + (" ..." if len(rows) > 5 else "")
