"""Which genes are awake, and how many different designs that leaves."""

from __future__ import annotations

import graphlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

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

        Genes that no condition ties together multiply. Among those that are tied, one that others
        look at is set to each of its choices in turn, which unties the rest.
        """
        looks = dict(enumerate(self.found))
        return math.prod(self._count(tied, looks) for tied in _tied(frozenset(looks), looks))

    def _count(self, columns: frozenset[int], looks: _Looks) -> int:
        """Designs of some columns that conditions tie together."""
        if len(columns) == 1:
            return int(self.cardinalities[next(iter(columns))])
        root = max(
            (j for j in sorted(columns) if not looks[j]),
            key=lambda j: sum(any(p == j for p, _ in looks[k]) for k in columns),
        )
        patterns: Counter[frozenset[int]] = Counter()
        for choice in range(int(self.cardinalities[root])):
            sleepers = (k for k in columns if any(p == root and not m[choice] for p, m in looks[k]))
            patterns[frozenset(sleepers)] += 1
        total = 0
        for asleep, times in patterns.items():
            gone = {root}
            for j in self.order:
                # Who looks at a sleeping gene sleeps, too.
                looks_at_one = any(p in gone and p != root for p, _ in looks.get(j, []))
                if j in columns and (j in asleep or looks_at_one):
                    gone.add(j)
            rest = columns - gone
            left = {j: [(p, m) for p, m in looks[j] if p != root] for j in rest}
            total += times * math.prod(self._count(tied, left) for tied in _tied(rest, left))
        return total


_Looks = Mapping[int, Sequence[tuple[int, Bools]]]
"""Column to the columns it looks at, and which of their choices meet the condition."""


def _tied(columns: frozenset[int], looks: _Looks) -> list[frozenset[int]]:
    """Columns grouped so that conditions stay within a group."""
    group = {j: j for j in columns}
    for j in columns:
        for parent, _ in looks[j]:
            old, new = group[j], group[parent]
            group = {k: new if g == old else g for k, g in group.items()}
    return [frozenset(j for j in columns if group[j] == key) for key in set(group.values())]
