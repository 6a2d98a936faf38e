"""Readable designs, gene name to value, as choice indices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hwnas.arrays import Choice, Ints
from hwnas.errors import SpaceError, nearest
from hwnas.space.gene import Gene


def numbered(genes: Sequence[Gene], configs: Sequence[Mapping[str, Choice]]) -> Ints:
    """The numbers of the choices that designs name; 0 where they name none.

    Args:
        genes: The ``d`` genes.
        configs: ``n`` designs.

    Returns:
        ``int64 (n, d)``.

    Raises:
        SpaceError: An unknown gene, or a value that is no choice.
    """
    place = {gene.name: j for j, gene in enumerate(genes)}
    known = {gene.name: {c: i for i, c in enumerate(gene.choices)} for gene in genes}
    genomes = np.zeros((len(configs), len(genes)), dtype=np.int64)
    for i, config in enumerate(configs):
        for name, value in config.items():
            if name not in known:
                raise SpaceError(
                    f"there is no gene {name!r}", where=f"design {i}", cure=nearest(name, known)
                )
            if value not in known[name]:
                raise SpaceError(
                    f"gene {name!r} has no choice {value!r}",
                    where=f"design {i}",
                    rule="one of " + ", ".join(map(repr, known[name])),
                    given=repr(value),
                )
            genomes[i, place[name]] = known[name][value]
    return genomes
