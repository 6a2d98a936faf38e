"""What reading tables from files has in common: clear messages where it cannot be done."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from hwnas.errors import MissingExtraError, ProblemError


@contextmanager
def reading(path: Path, suffixes: Collection[str]) -> Iterator[None]:
    """Checks that a file can be read, and says what failed where the block could not read it.

    Args:
        path: The file.
        suffixes: Those of the kinds that can be read, lower case, with their dots.

    Raises:
        ProblemError: There is no such file, its suffix is none of these, or it cannot be read.
    """
    if not path.is_file():
        raise ProblemError(
            f"there is no table {path.name!r}",
            where=str(path.absolute()),
            rule="a relative path starts from the study file, elsewhere from the working directory",
            given=str(path),
            cure="mend the path",
        )
    if path.suffix.lower() not in suffixes:
        raise ProblemError(
            f"{path.name!r} is no table that can be read",
            where=str(path),
            rule="a suffix of " + ", ".join(suffixes),
            given=path.suffix or "no suffix",
            cure="write the table as one of these, e.g. with pandas",
        )
    try:
        yield
    except (ValueError, OSError) as error:
        lines = str(error).strip().splitlines()
        raise ProblemError(
            f"{path.name!r} cannot be read",
            where=str(path),
            given=f"{type(error).__name__}: {lines[0] if lines else ''}",
            cure="check that the file is whole, and of the kind that its suffix says",
        ) from error


def parquet_reader(path: Path) -> Any:
    """The module that reads parquet files.

    Args:
        path: The file that is to be read, for the message.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingExtraError(
            "reading parquet files needs the package 'pyarrow', which is not installed",
            where=str(path),
            rule="pyarrow belongs to the extra hwnas[table]",
            cure="pip install 'hwnas[table]', or write the table as .csv",
        ) from error
