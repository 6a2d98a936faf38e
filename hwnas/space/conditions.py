"""Which genes are awake, and how many different designs that leaves."""

from __future__ import annotations

import graphlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from hwnas.arrays import Bools, Ints
from hwnas.errors import SpaceError
from hwnas.space.gene import Gene


class Conditions:
    """The conditions between some genes.

    A condition on a gene that is not among them counts as met.

    Args:
        genes: The ``d`` genes, in the order of the genome's columns.

    Raises:
        SpaceError: Conditions go round in a circle.
    """

    def __init__(self, genes: Sequence[Gene]) -> None:
        self.genes = tuple(genes)
        self.cardinalities = np.array([len(gene.choices) for gene in genes], dtype=np.int64)
        index = {gene.name: j for j, gene in enumerate(genes)}
        self.found: list[list[tuple[int, Bools]]] = [
            [
                (index[when.gene], when.met_by(genes[index[when.gene]].choices))
                for when in gene.when
                if when.gene in index
            ]
            for gene in genes
        ]
        """For each column the columns it looks at, and which of their choices meet it."""
        graph = {j: [parent for parent, _ in found] for j, found in enumerate(self.found)}
        try:
            self.order = tuple(graphlib.TopologicalSorter(graph).static_order())
            """Columns, each behind those that it looks at."""
        except graphlib.CycleError as error:
            raise SpaceError(
                "conditions go round in a circle",
                rule="a gene may depend only on genes that do not depend on it",
                given=" -> ".join(genes[j].name for j in error.args[1]),
            ) from error

    def active(self, genomes: Ints) -> Bools:
        """``bool (n, d)``: the genes whose conditions are met."""
        active = np.ones(genomes.shape, dtype=np.bool_)
        for j in self.order:
            for parent, meets in self.found[j]:
                active[:, j] &= active[:, parent] & meets[genomes[:, parent]]
        return active

    def settings(self, columns: frozenset[int]) -> Ints:
        """All canonical settings of some columns, 0 elsewhere, ``int64 (j, d)``.

        Args:
            columns: What a column looks at must be among them, too.
        """
        rows = np.zeros((1, len(self.genes)), dtype=np.int64)
        for j in self.order:
            if j not in columns:
                continue
            counts = np.where(self.active(rows)[:, j], self.cardinalities[j], 1)
            starts = np.repeat(np.cumsum(counts) - counts, counts)
            rows = np.repeat(rows, counts, axis=0)
            rows[:, j] = np.arange(len(rows)) - starts
        return rows

    def size(self) -> int:
        """The exact number of different designs.

        Genes that no condition ties together multiply. Among those that are tied, only what others
        look at is enumerated; for each such setting the rest multiplies again.
        """
        return math.prod(
            Conditions([self.genes[j] for j in tied])._size_together() for tied in self._tied()
        )

    def _size_together(self) -> int:
        parents = frozenset(parent for found in self.found for parent, _ in found)
        leaves = [j for j in range(len(self.genes)) if j not in parents]
        settings = self.settings(parents)
        counts = np.where(self.active(settings), self.cardinalities, 1)[:, leaves]
        patterns, times = np.unique(counts, axis=0, return_counts=True)
        return sum(
            int(times[i]) * math.prod(map(int, pattern)) for i, pattern in enumerate(patterns)
        )

    def _tied(self) -> Iterator[list[int]]:
        """Columns grouped so that conditions stay within a group."""
        group = list(range(len(self.genes)))
        for j, found in enumerate(self.found):
            for parent, _ in found:
                old, new = group[j], group[parent]
                group = [new if g == old else g for g in group]
        for key in dict.fromkeys(group):
            yield [j for j, g in enumerate(group) if g == key]
