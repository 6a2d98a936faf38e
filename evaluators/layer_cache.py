"""What layers cost on accelerators that were laid out before: computed once, kept by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints

_BYTES: Final = 256 << 20
"""What the costs of layers may take; beyond, they are forgotten and computed again."""


class LayerCache:
    """Tables with one row per layer, grown as new layers come.

    Args:
        widths: Name to the columns of each table.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self._place: dict[bytes, int] = {}
        self._tables = {name: np.empty((0, width)) for name, width in widths.items()}
        self._each = 8 * max(1, sum(widths.values()))

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, name: str) -> Floats:
        """One table, a row per layer."""
        return self._tables[name]

    def places(
        self, keys: Sequence[bytes], compute: Callable[[Ints], Mapping[str, Floats]]
    ) -> Ints:
        """Where some layers stand, after those that are new were computed.

        Args:
            keys: One per layer, all different.
            compute: From places among the keys to rows of every table.
        """
        new = [j for j, key in enumerate(keys) if key not in self._place]
        if new and (len(self) + len(new)) * self._each > _BYTES and self._place:
            self._place.clear()
            self._tables = {name: table[:0] for name, table in self._tables.items()}
            new = list(range(len(keys)))
        if new:
            costs = compute(np.array(new))
            self._tables = {
                name: np.concatenate([table, costs[name]]) for name, table in self._tables.items()
            }
            for j in new:
                self._place[keys[j]] = len(self._place)
        return np.array([self._place[key] for key in keys], dtype=np.int64)

    def summed(self, often: Floats, places: Ints, name: str) -> Floats:
        """A table summed over the layers of networks, ``(o, width)``.

        Networks have few of all layers. Each sum is taken in the order of the network's own layers,
        so that it does not depend on which other networks are measured.

        Args:
            often: How often each network has each layer, ``(o, k)``.
            places: Where the layers stand, ``(k,)``.
            name: The table.
        """
        from scipy.sparse import csr_array

        network, layer = np.nonzero(often)
        starts = np.searchsorted(network, np.arange(len(often) + 1))
        shape = len(often), len(self)
        matrix = csr_array((often[network, layer], places[layer], starts), shape=shape)
        total: Floats = matrix @ self._tables[name]
        return total

    def highest(self, often: Floats, places: Ints, name: str) -> Floats:
        """The highest value of a table among the layers of networks, at least 0, ``(o, width)``.

        Args:
            often: How often each network has each layer, ``(o, k)``.
            places: Where the layers stand, ``(k,)``.
            name: The table.
        """
        table = self._tables[name]
        most = [table[places[row > 0]].max(axis=0, initial=0.0) for row in often]
        return np.stack(most) if most else np.empty((0, table.shape[1]))
