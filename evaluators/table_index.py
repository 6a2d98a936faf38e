"""Which row of a table a design is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hwnas.arrays import Bools, Ints
from hwnas.errors import ProblemError

_PLACE: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class JoinedGenes:
    """A column whose text joins several genes.

    Attributes:
        column: The column.
        text: The text, with the genes' names in braces.
        genes: The genes, in the order of the text.
    """

    column: str
    text: str
    genes: tuple[str, ...]

    @classmethod
    def of(cls, column: str, text: str) -> JoinedGenes:
        """Finds the genes in the text.

        Raises:
            ProblemError: There is none.
        """
        genes = tuple(_PLACE.findall(text))
        if not genes:
            raise ProblemError(
                f"no gene is joined in column {column!r}",
                where=f"join.{column}",
                rule="names of genes in braces",
                given=repr(text),
                cure=column + ': "{net.b1}{net.b2}"',
            )
        return cls(column, text, genes)

    def split(self, names: Any, written: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Takes the texts of a column apart.

        Args:
            names: The column, text ``(rows,)``.
            written: Choice to how the table writes it; these are tried before anything else.
            path: The file, for the error.

        Returns:
            Gene name to its values, text ``(rows,)``.

        Raises:
            ProblemError: A row does not fit the text.
        """
        known = sorted({re.escape(str(value)) for value in written.values()}, key=len, reverse=True)
        pieces = _PLACE.split(self.text)
        # Where no letter separates two genes, only letters that are known to belong together do.
        unknown = ".+?" if all(pieces[2:-1:2]) else "."
        value = "(" + "|".join([*known, unknown]) + ")"
        pattern = re.compile(
            "".join(value if i % 2 else re.escape(piece) for i, piece in enumerate(pieces))
        )
        rows = []
        for i, name in enumerate(names.tolist()):
            match = pattern.fullmatch(name)
            if match is None:
                raise ProblemError(
                    f"column {self.column!r} of {path.name!r} does not join the genes as told",
                    where=f"{path}, row {i}",
                    rule=self.text,
                    given=name,
                )
            rows.append(match.groups())
        columns = np.array(rows, dtype=str).reshape(len(rows), len(self.genes)).T
        return dict(zip(self.genes, columns, strict=True))


@dataclass(frozen=True, eq=False)
class RowIndex:
    """Finds rows by the values of genes.

    Attributes:
        values: Gene name to the values that it has in the table, sorted.
        levels: After each gene, the combinations of the genes so far that occur, sorted; each is
            the place of the combination before times the number of values plus the value's place.
        row: The row of each combination of all genes.
    """

    values: Mapping[str, Any]
    levels: tuple[Ints, ...]
    row: Ints

    @classmethod
    def of(cls, columns: Mapping[str, Any], path: Path) -> RowIndex:
        """Sorts rows by the values of genes.

        Args:
            columns: Gene name to its values, text or numbers ``(rows,)``; at least one gene.
            path: The file, for the error.

        Raises:
            ProblemError: Two rows have the same values.
        """
        values: dict[str, Any] = {}
        levels: list[Ints] = []
        rows = len(next(iter(columns.values())))
        place = np.zeros(rows, dtype=np.int64)
        for gene, column in columns.items():
            values[gene], own = np.unique(column, return_inverse=True)
            level, place = np.unique(place * len(values[gene]) + own, return_inverse=True)
            levels.append(level)
        order = np.argsort(place, kind="stable")
        again = order[1:][np.diff(place[order]) == 0]
        if again.size:
            first = order[np.searchsorted(place[order], place[again[0]])]
            config = ", ".join(f"{gene}={columns[gene][again[0]]}" for gene in columns)
            raise ProblemError(
                f"{path.name!r} has a design twice: {config}",
                where=f"{path}, rows {first} and {again[0]}; {again.size} rows are repetitions",
                rule="one row per design",
                cure="name every gene that tells rows apart, or merge repeated measurements",
            )
        return cls(values, tuple(levels), order)

    def rows(self, places: list[Ints], n: int) -> Ints:
        """The rows of ``n`` designs, -1 where the table has none.

        Args:
            places: Of each gene the places of the designs' values, ``(n,)``, -1 where it has none.
            n: Number of designs.
        """
        place = np.zeros(n, dtype=np.int64)
        known: Bools = np.full(n, bool(len(self.row)))
        for own, level, values in zip(places, self.levels, self.values.values(), strict=True):
            wanted = place * len(values) + own
            found = np.minimum(np.searchsorted(level, wanted), max(len(level) - 1, 0))
            known &= own >= 0
            if len(level):
                known &= level[found] == wanted
            place = np.where(known, found, 0)
        return np.where(known, self.row[place] if len(self.row) else -1, -1)
