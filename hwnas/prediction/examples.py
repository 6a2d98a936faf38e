"""Examples from tables: which columns are features, text as numbers, rows that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.data_files import parquet_reader, reading
from hwnas.errors import ProblemError, nearest

_MOST_TEXTS: Final = 50
"""A column with more different texts names its rows rather than describing them."""
_LEAST_ROWS: Final = 2
_TRUTH: Final = {"true": 1.0, "false": 0.0, "": np.nan}


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by name.

    Attributes:
        name: Where it is from, for messages.
        columns: Name to ``float64 (n,)``, NaN where there is nothing, or to texts ``(n,)``, empty
            where there is nothing.
        groups: What a word among the features stands for, e.g. ``metrics``.
        usual: The features where none are named; every column if left out.
        rows: What its rows are called, ``int64 (n,)``; numbers from 1 if left out.
        row: What a row is: ``row``, or ``design`` of a run.
    """

    name: str
    columns: Mapping[str, Any]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    usual: tuple[str, ...] | None = None
    rows: Ints | None = None
    row: str = "row"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def labels(self) -> Ints:
        """What its rows are called, ``(n,)``."""
        return np.arange(1, len(self) + 1) if self.rows is None else self.rows

    def column(self, name: str) -> Any:
        """A column.

        Raises:
            ProblemError: There is none of that name.
        """
        if name not in self.columns:
            raise ProblemError(
                f"there is no column {name!r}",
                where=self.name,
                rule=f"one of its {len(self.columns)} columns",
                given=repr(name),
                cure=nearest(name, self.columns),
            )
        return self.columns[name]

    def numbers(self, name: str) -> Floats:
        """A column of numbers.

        Raises:
            ProblemError: There is none of that name, or it has texts.
        """
        column = self.column(name)
        if column.dtype.kind == "f":
            return np.asarray(column, dtype=np.float64)
        row = next(i for i, text in enumerate(column.tolist()) if text and not _is_number(text))
        raise ProblemError(
            f"column {name!r} has text where a number should be",
            where=f"{self.name}, row {row + 1}",
            rule="what is predicted is a number",
            given=repr(str(column[row])),
        )


def read_table(path: Path) -> Table:
    """Reads a CSV or parquet file.

    Args:
        path: The file; a CSV file has a head line.

    Raises:
        ProblemError: It is not there, is of another kind, or cannot be read.
        MissingExtraError: A package that reads such files is not installed.
    """
    readers = {".csv": _csv, ".parquet": _parquet}
    with reading(path, readers):
        frame = readers[path.suffix.lower()](path)
    columns = {str(name).strip(): _plain(frame[name]) for name in frame.columns}
    return Table(path.name, columns)


def _csv(path: Path) -> Any:
    import pandas as pd

    # As text: not every version of pandas reads floats to the last digit.
    return pd.read_csv(path, encoding="utf-8-sig", dtype=str)


def _parquet(path: Path) -> Any:
    return parquet_reader(path).read_table(path).to_pandas()


def _plain(column: Any) -> Any:
    """Numbers and truth values as floats, the rest as text."""
    if column.dtype.kind in "biuf":
        return column.to_numpy(dtype=np.float64)
    missing = column.isna().to_numpy()
    texts = ["" if gone else str(v).strip() for v, gone in zip(column, missing, strict=True)]
    if not any(texts):
        return np.full(len(texts), np.nan)
    if all(text.lower() in _TRUTH for text in texts):
        return np.array([_TRUTH[text.lower()] for text in texts])
    try:
        return np.array([float(text or "nan") for text in texts])
    except ValueError:
        return np.array(texts, dtype=np.str_)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Feature:
    """A column that is a feature, or several.

    Attributes:
        name: The column.
        texts: What a text can be, one feature each (1 where it is that); empty for a number.
    """

    name: str
    texts: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its features."""
        return tuple(f"{self.name}={text}" for text in self.texts) or (self.name,)

    def values(self, table: Table) -> Floats:
        """``float64 (n, features)``; NaN where nothing is known, or a text was never seen.

        Raises:
            ProblemError: The table has no such column, or one of texts in place of numbers.
        """
        if not self.texts:
            return table.numbers(self.name)[:, None]
        column = np.asarray(table.column(self.name), dtype=np.str_)
        is_it = column[:, None] == np.array(self.texts)
        return np.where(is_it.any(axis=1)[:, None], is_it, np.nan)


@dataclass(frozen=True)
class Encoding:
    """How columns of a table become features.

    Attributes:
        features: The columns, in order.
        passed_over: Columns that could have been features, and why they are not.
    """

    features: tuple[Feature, ...]
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features, ``k`` of them."""
        return tuple(name for feature in self.features for name in feature.names)

    def matrix(self, table: Table) -> Floats:
        """The features of ``n`` rows, ``float64 (n, k)``; NaN where nothing is known.

        Raises:
            ProblemError: The table lacks a column, or has texts where numbers should be.
        """
        return np.hstack([feature.values(table) for feature in self.features])

    @classmethod
    def of(cls, table: Table, predicts: str, wanted: Sequence[str] = ()) -> Encoding:
        """Chooses the columns.

        Args:
            table: The table.
            predicts: The column that is predicted: never a feature.
            wanted: Names of columns, with ``*`` for any letters, or words that the table knows;
                the table's usual ones if left out. Where it has none, all columns, but those that
                name rows: with more than 50 different texts.

        Raises:
            ProblemError: There is no such column, one names rows, or nothing is left.
        """
        names = dict.fromkeys(_chosen(table, wanted))
        names.pop(predicts, None)
        features: list[Feature] = []
        passed_over: dict[str, str] = {}
        for name in names:
            column = table.columns[name]
            if column.dtype.kind == "f":
                features.append(Feature(name))
                continue
            texts = tuple(sorted(set(column.tolist()) - {""}))
            if len(texts) <= _MOST_TEXTS:
                features.append(Feature(name, texts))
            elif name in wanted:
                raise ProblemError(
                    f"column {name!r} cannot be a feature",
                    where=table.name,
                    rule=f"text of at most {_MOST_TEXTS} kinds: each becomes a feature of its own",
                    given=f"{len(texts)} different texts, e.g. {texts[0]!r}",
                    cure="leave it out, or write what it says in columns of its own",
                )
            else:
                passed_over[name] = f"{len(texts)} different texts"
        if not features:
            raise ProblemError(
                "there is no feature",
                where=table.name,
                rule=f"a column beside {predicts!r}",
                given=", ".join(table.columns),
            )
        return cls(tuple(features), passed_over)


def _chosen(table: Table, wanted: Sequence[str]) -> list[str]:
    if not wanted:
        return list(table.columns if table.usual is None else table.usual)
    chosen: list[str] = []
    for word in wanted:
        found = table.groups.get(word) or [n for n in table.columns if fnmatchcase(n, word)]
        if not found:
            raise ProblemError(
                f"there is no column {word!r}",
                where=f"{table.name}, --features",
                rule="names of columns, with * for any letters"
                + (f", or {' or '.join(table.groups)}" if table.groups else ""),
                given=repr(word),
                cure=nearest(word, [*table.columns, *table.groups]),
            )
        chosen += found
    return chosen


@dataclass(frozen=True, eq=False)
class Examples:
    """What a predictor learns from.

    Attributes:
        predicts: What is predicted.
        X: Features, ``float64 (n, k)``, finite.
        y: Targets, ``float64 (n,)``, finite.
        encoding: How columns became features.
        rows: Rows of the table that these are, ``(n,)``.
        left_out: How many rows were left out, and why; only what happened.
    """

    predicts: str
    X: Floats
    y: Floats
    encoding: Encoding
    rows: Ints
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def of(cls, table: Table, predicts: str, wanted: Sequence[str] = ()) -> Examples:
        """Takes the rows that have a target and all features.

        Args:
            table: The table.
            predicts: The column that is predicted.
            wanted: See `Encoding.of`.

        Raises:
            ProblemError: A column is missing or has texts, there are too few rows, or their
                targets are all equal.
        """
        y = table.numbers(predicts)
        encoding = Encoding.of(table, predicts, wanted)
        X = encoding.matrix(table)
        has_target, has_features = np.isfinite(y), np.isfinite(X).all(axis=1)
        usable = has_target & has_features
        left_out = _counted(
            {
                f"without {predicts}": ~has_target,
                "without a feature": has_target & ~has_features,
            }
        )
        gone = ", ".join(f"{count} {why}" for why, count in left_out.items())
        if np.count_nonzero(usable) < _LEAST_ROWS:
            raise ProblemError(
                f"there is too little to learn {predicts!r} from",
                where=table.name,
                rule=f"at least {_LEAST_ROWS} rows with a number for it and for every feature",
                given=f"{np.count_nonzero(usable)} of {len(table)} rows; {gone or 'no others'}",
                cure="leave features out that are mostly missing",
            )
        if np.ptp(y[usable]) == 0.0:
            raise ProblemError(
                f"there is nothing to learn about {predicts!r}",
                where=table.name,
                rule="targets that differ",
                given=f"{y[usable][0]:g} in all of {np.count_nonzero(usable)} rows",
            )
        return cls(predicts, X[usable], y[usable], encoding, np.flatnonzero(usable), left_out)


def _counted(reasons: Mapping[str, Bools]) -> dict[str, int]:
    return {why: int(np.count_nonzero(rows)) for why, rows in reasons.items() if rows.any()}
