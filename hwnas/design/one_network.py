"""What families share that have one network only: bits and accelerators are searched for it."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from hwnas.arrays import Choice, Columns
from hwnas.design.graph import Graph
from hwnas.design.layers import LayerTable
from hwnas.design.parts import NetworkFamily
from hwnas.design.rows import COLUMNS
from hwnas.errors import DesignError
from hwnas.space import Gene


class OneNetwork(NetworkFamily):
    """A family of one network.

    Every layer with weights is a cell of its own, numbered from 1 to `depth` in order of execution
    (see `BitsPerLayer`); all other rows belong to the cell of the layer before.
    """

    @property
    @abstractmethod
    def label(self) -> str:
        """The network's name, the only choice of its gene; it differs if its layers do."""

    @property
    @abstractmethod
    def table(self) -> LayerTable:
        """The layers of one design."""

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        return int(self.table.has_weights.sum())

    def genes(self) -> tuple[Gene, ...]:
        """``net.network``, of one choice: a part of the genome needs a gene to be projected on."""
        return (Gene("net.network", (self.label,), ordered=False),)

    def layers(self, columns: Columns, n: int) -> LayerTable:
        """The layers, ``n`` times, at the network's own bits; see `NetworkFamily.layers`."""
        return self.table.take([0] * n)

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """Not available, unless a family overrides it.

        Raises:
            DesignError: Always: a layer table does not say which layer draws on which, what is
                normalised, and what is activated how.
        """
        raise self._no_graph(
            "only the sizes of its layers are known, not how they are connected",
            cure="take its accuracy from a table, or train a network that is built in",
        )

    def _no_graph(self, rule: str, cure: str) -> DesignError:
        return DesignError(f"{self.label} cannot be built as a graph", rule=rule, cure=cure)


def digest(table: LayerTable) -> str:
    """Eight digits that tell the layers of one network from those of another."""
    rows = np.stack([getattr(table, name) for name in COLUMNS])
    return hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=4).hexdigest()
