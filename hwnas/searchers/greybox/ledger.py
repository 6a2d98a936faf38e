"""The outer designs that were measured, in the order in which they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.space import keys

_Column = TypeVar("_Column", Ints, Floats)


class Growing(Generic[_Column]):
    """A function of rows that is computed once for each row of an array that only grows.

    Args:
        function: From rows to as many values, row by row.
    """

    def __init__(self, function: Callable[[Ints], _Column]) -> None:
        self._function: Callable[[Ints], _Column] = function
        self._values: _Column | None = None

    def __call__(self, rows: Ints) -> _Column:
        """The values of all rows; the first ones are those of the last call.

        Args:
            rows: ``(n, d)``: the rows of the last call, and perhaps more.
        """
        if self._values is None:
            self._values = self._function(rows)
        elif len(self._values) < len(rows):
            more = self._function(rows[len(self._values) :])
            self._values = np.concatenate([self._values, more])
        return self._values


class Ledger:
    """Each outer design once, with what is learnt from it.

    Args:
        genes: Columns of an outer design.
        targets: Quantities that are learnt.
    """

    def __init__(self, genes: int, targets: int) -> None:
        self._outer: list[Ints] = [np.empty((0, genes), dtype=np.int64)]
        self._targets: list[Floats] = [np.empty((0, targets))]
        self._place: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._place)

    def add(self, outer: Ints, targets: Floats) -> None:
        """Takes down designs that are new.

        Args:
            outer: Canonical, ``(n, d_o)``.
            targets: ``(n, t)``; not finite where a design could not be measured.
        """
        new = []
        for row, name in enumerate(keys(outer)):
            if name not in self._place:
                self._place[name] = len(self._place)
                new.append(row)
        if new:
            self._outer.append(outer[new].copy())
            self._targets.append(targets[new].copy())

    @property
    def outer(self) -> Ints:
        """``int64 (n, d_o)``."""
        if len(self._outer) > 1:
            self._outer = [np.concatenate(self._outer)]
        return self._outer[0]

    @property
    def targets(self) -> Floats:
        """``(n, t)``."""
        if len(self._targets) > 1:
            self._targets = [np.concatenate(self._targets)]
        return self._targets[0]

    def places(self, outer: Ints) -> Ints:
        """Where designs stand, -1 where they were not measured, ``int64 (p,)``."""
        return np.array([self._place.get(name, -1) for name in keys(outer)], dtype=np.int64)

    def new(self, outer: Ints) -> Bools:
        """``bool (p,)``: designs that are not in the ledger, the first of each only."""
        names = keys(outer)
        # Later ones overwrite earlier ones, so that the first of each is left.
        first = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
        fresh = np.zeros(len(names), dtype=np.bool_)
        fresh[[row for name, row in first.items() if name not in self._place]] = True
        return fresh
