"""Cost classes: outer designs that evaluators cannot tell apart, whatever inner parts they get.

Symbols: ``o`` outer designs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.evaluation.interface import Evaluator
from hwnas.space import Space, keys

_AT_ONCE = 2_000
"""Designs of one part whose fingerprints are taken at a time, which may need all their layers."""


class CostClasses:
    """Numbers the cost classes of outer designs, which are equal in two ways.

    Part by part their fingerprints are equal (`Evaluator.fingerprints`), and they wake up the same
    genes of other parts, whatever they cost alone. Fingerprints are taken once per setting of a
    part.

    Args:
        space: The joint space.
        parts: The outer parts; no condition of theirs is on genes of others.
        evaluators: Who is not to tell designs apart. Where there are none, all are alike.
    """

    def __init__(self, space: Space, parts: Sequence[str], evaluators: Sequence[Evaluator]) -> None:
        self._space = space.part(*parts)
        told = parts if evaluators else ()
        self._parts = [_PartClasses(self._space, part, evaluators) for part in told]
        own = {gene.name: gene.part for gene in space.genes}
        asked = {w.gene for g in space.genes for w in g.when if own[w.gene] != g.part}
        self._asked = [
            j for j, name in enumerate(self._space.names) if evaluators and name in asked
        ]
        self._numbers: dict[tuple[int, ...], int] = {}

    def of(self, outer: Ints) -> Ints:
        """The class of each outer design, ``int64 (o,)``: 0, 1, ... in the order of occurrence.

        Args:
            outer: Of any integer type, ``(o, d_o)``.
        """
        active = self._space.active(outer)
        outer = np.where(active, outer, 0)
        columns = [[0] * len(outer), *(part.of(outer) for part in self._parts)]
        for j in self._asked:
            columns += [outer[:, j].tolist(), active[:, j].tolist()]
        known = self._numbers
        numbers = [known.setdefault(each, len(known)) for each in zip(*columns, strict=True)]
        return np.array(numbers, dtype=np.int64)

    def grouped(self, numbers: Ints) -> Ints:
        """The order in which classes share parts with the next ones, ``(j,)``.

        Evaluators share work between designs of a batch, e.g. between networks of equal bits.

        Args:
            numbers: Classes, ``(j,)``.
        """
        whole = list(self._numbers)
        table = np.array([whole[number] for number in numbers], dtype=np.int64)
        # The fewer there are, the more designs share each.
        different = [-len(np.unique(column)) for column in table.T]
        order: Ints = np.lexsort(table.T[np.argsort(different, kind="stable")])
        return order


class _PartClasses:
    """Numbers the settings of one part by their fingerprints.

    Args:
        space: The outer space.
        part: The part.
        evaluators: See `CostClasses`.
    """

    def __init__(self, space: Space, part: str, evaluators: Sequence[Evaluator]) -> None:
        self._space = space.part(part)
        self._evaluators = evaluators
        self._columns = space.columns_of(part)
        self._narrow = np.min_scalar_type(int(self._space.cardinalities.max()))
        self._of_row: dict[bytes, int] = {}
        self._of_mark: dict[tuple[bytes, ...], int] = {}

    def of(self, outer: Ints) -> list[int]:
        """The number of each outer design's setting, ``o`` of them."""
        names = keys(outer[:, self._columns].astype(self._narrow))
        known = self._of_row
        new = {name: i for i, name in enumerate(names) if name not in known}
        rows = np.array(list(new.values()), dtype=np.int64)
        numbers: list[int] = []
        for start in range(0, len(rows), _AT_ONCE):
            some = outer[np.ix_(rows[start : start + _AT_ONCE], self._columns)]
            designs = Designs(self._space, some)
            marks = zip(*(e.fingerprints(designs) for e in self._evaluators), strict=True)
            numbers += [self._of_mark.setdefault(mark, len(self._of_mark)) for mark in marks]
        known.update(zip(new, numbers, strict=True))
        return [known[name] for name in names]
