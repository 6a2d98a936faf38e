"""The outer designs that were measured, in the order in which they were."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.space import keys


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
        self._outer = [np.concatenate(self._outer)]
        return self._outer[0]

    @property
    def targets(self) -> Floats:
        """``(n, t)``."""
        self._targets = [np.concatenate(self._targets)]
        return self._targets[0]

    def new(self, outer: Ints) -> Bools:
        """``bool (p,)``: designs that are not in the ledger, the first of each only."""
        seen: set[bytes] = set()
        fresh = []
        for name in keys(outer):
            fresh.append(name not in self._place and name not in seen)
            seen.add(name)
        return np.array(fresh, dtype=np.bool_)
