"""Reads measured rows for a calibration: a CSV or parquet file with units in its header."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnas.arrays import Floats, Values
from hwnas.data_files import parquet_reader, reading
from hwnas.errors import ProblemError, UnitError, nearest
from hwnas.evaluation.calibration import Calibratable, Column
from hwnas.metrics import Metric
from hwnas.units import dimension, scale

_HEADER: Final = re.compile(r"^\s*(.*?)\s*\[([^\[\]]*)\]\s*$")
_PLAIN: Final = ("1", "", "cycle", "cycles")
"""Units of what is counted."""


@dataclass(frozen=True)
class Measured:
    """A file of measured rows.

    Attributes:
        path: The file.
        sha256: Of its bytes.
        rows: The template's columns and those that rows are grouped by, ``(n,)`` each, at rest.
        values: Measured metrics, ``(n,)`` each, positive, at rest.
    """

    path: Path
    sha256: str
    rows: dict[str, Values]
    values: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))


def read(
    path: Path,
    template: Calibratable,
    *,
    group_by: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
) -> Measured:
    """Reads the columns that a template needs.

    A header names a column and, in brackets, its unit: ``energy [pJ]``. Quantities need one, there
    or by ``units``; counts such as cycles need none.

    Args:
        path: The file.
        template: What is to be calibrated.
        group_by: Further columns, by which rows are held out together.
        columns: The file's names for columns, where they differ: ``{"cycles": "rtl_cycles"}``.
        units: Units of columns whose header names none.

    Raises:
        ProblemError: There is no such file, a column is missing, nothing was measured, or a value
            is missing, no number, or not greater than 0.
        UnitError: A unit is unknown, missing, or does not fit.
        MissingExtraError: A package that reads such files is not installed.
    """
    table = _table(path)
    found = _Headers(path, list(table.columns), columns or {}, units or {})
    rows: dict[str, Values] = {}
    for column in template.columns:
        header = found.of(column.name, column.aliases)
        if header is None and column.default is None:
            raise ProblemError(
                f"{path.name!r} has no column {column.name!r}: {column.meaning}",
                where=str(path),
                rule="the columns "
                + ", ".join(c.name for c in template.columns if c.default is None),
                given=", ".join(map(str, table.columns)),
                cure=f"add it, or name the file's own: --column {column.name}=COLUMN; "
                + nearest(column.name, map(str, table.columns)),
            )
        if header is None:
            rows[column.name] = np.full(len(table), column.default)
        elif column.text:
            rows[column.name] = _texts(path, column.name, table[header])
        else:
            factor = found.factor(column.name, column.unit)
            rows[column.name] = factor * _numbers(path, column, table[header])
    for name in group_by:
        if name not in rows:
            header = found.of(name)
            if header is None:
                raise ProblemError(
                    f"{path.name!r} has no column {name!r} to group by",
                    where="--group-by",
                    given=", ".join(map(str, table.columns)),
                    cure=nearest(name, map(str, table.columns)),
                )
            rows[name] = _texts(path, name, table[header])
    values = {
        metric.name: found.factor(metric.name, metric.unit)
        * _numbers(path, Column(metric.name, "measured"), table[header])
        for metric in template.metrics
        if (header := found.of(metric.name)) is not None
    }
    if not values:
        raise _nothing_measured(path, template.metrics, list(table.columns))
    return Measured(path, hashlib.sha256(path.read_bytes()).hexdigest(), rows, values)


class _Headers:
    """Which column of the file is which, and in what unit."""

    def __init__(
        self, path: Path, names: list[Any], columns: Mapping[str, str], units: Mapping[str, str]
    ) -> None:
        self.path, self.given, self.units = path, columns, units
        self.places: dict[str, Any] = {}
        self.inside: dict[str, str] = {}
        for name in names:
            match = _HEADER.match(str(name))
            bare = match[1] if match else str(name).strip()
            self.places.setdefault(str(name), name)
            self.places.setdefault(bare, name)
            if match:
                self.inside[str(name)] = match[2].strip()
        for own in columns.values():
            if own not in self.places:
                raise ProblemError(
                    f"{path.name!r} has no column {own!r}",
                    where="--column",
                    given=", ".join(map(str, names)),
                    cure=nearest(own, map(str, names)),
                )

    def of(self, name: str, aliases: Sequence[str] = ()) -> Any | None:
        """The file's header for a column, if there is one."""
        for known in (self.given.get(name, name), *aliases):
            if known in self.places:
                return self.places[known]
        return None

    def factor(self, name: str, unit: str) -> float:
        """What one of the file's units is at rest."""
        header = str(self.of(name) or "")
        written = self.inside.get(header, self.units.get(name))
        if unit == "1":
            if written is not None and written not in _PLAIN and dimension(written) != ():
                raise UnitError(
                    f"the unit of column {name!r} does not fit",
                    where=str(self.path),
                    rule="a count, no unit",
                    given=written,
                )
            return 1.0 if written is None or written in _PLAIN else scale(written)
        if written is None:
            raise UnitError(
                f"column {name!r} of {self.path.name!r} has no unit",
                where=str(self.path),
                rule=f"a unit that can be converted to {unit}, in brackets in the header",
                given=header or name,
                cure=f"call the column '{name} [{unit}]', or add --unit {name}={unit}",
            )
        if dimension(written) != dimension(unit):
            raise UnitError(
                f"the unit of column {name!r} does not fit",
                where=str(self.path),
                rule=f"a unit that can be converted to {unit}",
                given=written,
            )
        return scale(written) / scale(unit)


def _table(path: Path) -> Any:
    import pandas as pd

    with reading(path, (".csv", ".parquet")):
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path)
        return parquet_reader(path).read_table(path).to_pandas()


def _numbers(path: Path, column: Column, values: Any) -> Floats:
    """A column of numbers greater than 0, or also 0 where the column may be."""
    import pandas as pd

    numbers = np.asarray(pd.to_numeric(values, errors="coerce"), dtype=np.float64)
    high_enough = numbers >= 0 if column.zero else numbers > 0
    bad = np.flatnonzero(~(np.isfinite(numbers) & high_enough))
    if len(bad):
        shown = ", ".join(str(i) for i in bad[:5]) + (" ..." if len(bad) > 5 else "")
        raise ProblemError(
            f"column {column.name!r} of {path.name!r} has values that cannot be",
            where=f"{path}, rows {shown}, counted from 0",
            rule=f"numbers {'of at least' if column.zero else 'greater than'} 0 in every row",
            given=", ".join(repr(values.iloc[int(i)]) for i in bad[:3]),
            cure="mend the rows, or leave them out",
        )
    return numbers


def _texts(path: Path, name: str, values: Any) -> Values:
    missing = np.flatnonzero(np.asarray(values.isna()))
    if len(missing):
        raise ProblemError(
            f"column {name!r} of {path.name!r} has empty cells",
            where=f"{path}, row {int(missing[0])}, counted from 0",
            rule="a value in every row",
        )
    return np.asarray(values.astype(str).to_numpy(dtype=str))


def _nothing_measured(path: Path, metrics: Sequence[Metric], names: Sequence[Any]) -> ProblemError:
    wanted = [m.name if m.unit == "1" else f"{m.name} [{m.unit}]" for m in metrics]
    return ProblemError(
        f"{path.name!r} has nothing that was measured",
        where=str(path),
        rule="a column " + " or ".join(wanted),
        given=", ".join(map(str, names)),
        cure=f"name the file's own: --column {metrics[0].name}=COLUMN",
    )
