"""Reading what a study begins with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwnas.arrays import Ints
from hwnas.errors import ProblemError
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.warm_start.matching import Taken, taken
from hwnas.warm_start.runs import from_run
from hwnas.warm_start.tables import from_table


@dataclass(frozen=True, eq=False)
class WarmStart:
    """Known rows of some sources, as `Study.learn` takes them.

    Attributes:
        sources: What was taken of each source; at least one.
    """

    sources: tuple[Taken, ...]

    @property
    def genomes(self) -> Ints:
        """Of all sources, in their order, ``int64 (n, d)``; a design may occur twice."""
        return np.concatenate([source.genomes for source in self.sources])

    @property
    def measurements(self) -> Measurements:
        """Theirs, with the costly metrics, ``n`` rows."""
        return Measurements.stack(source.measurements for source in self.sources)


def read(paths: Iterable[Path], problem: Problem) -> WarmStart:
    """Reads sources of known rows, and takes what fits a problem.

    Args:
        paths: Run directories of ours and tables (CSV, parquet); at least one.
        problem: The problem.

    Raises:
        ProblemError: A source is not there, cannot be read, or has nothing that can be used.
        RunDirectoryError: A directory holds no run.
        StorageError: The history of a run cannot be read.
        MissingExtraError: A package that reads such files is not installed.
    """
    sources = []
    for path in paths:
        if not path.exists():
            raise ProblemError(
                f"there is nothing to begin with at {path}",
                where="warm_start",
                rule="a run directory or a table; a relative path starts from the study file",
                given=str(path),
                cure="mend the path",
            )
        found = from_run(path, problem) if path.is_dir() else from_table(path, problem)
        sources.append(taken(found, problem))
    return WarmStart(tuple(sources))
