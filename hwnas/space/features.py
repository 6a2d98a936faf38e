"""Genomes as numbers for predictors.

Symbols: ``n`` designs, ``d`` genes, ``k`` features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.space.gene import Gene


def feature_names(genes: Sequence[Gene]) -> tuple[str, ...]:
    """The names of the columns of `features`, ``k`` of them."""
    names: list[str] = []
    for gene in genes:
        if gene.ordered:
            names.append(gene.name)
        else:
            names.extend(f"{gene.name}={choice}" for choice in gene.choices)
        if gene.when:
            names.append(f"{gene.name}?")
    return tuple(names)


def features(genes: Sequence[Gene], genomes: Ints, active: Bools) -> Floats:
    """Numbers for a predictor; see `Space.features`.

    Args:
        genes: The ``d`` genes.
        genomes: ``int64 (n, d)``.
        active: Which genes are, ``bool (n, d)``.

    Returns:
        ``float64 (n, k)``.
    """
    columns: list[Floats] = []
    for j, gene in enumerate(genes):
        on = active[:, j].astype(np.float64)
        index = genomes[:, j]
        if gene.ordered:
            columns.append(on * index / max(1, len(gene.choices) - 1))
        else:
            columns.extend(on * (index == i) for i in range(len(gene.choices)))
        if gene.when:
            columns.append(on)
    return np.stack(columns, axis=1) if columns else np.empty((len(genomes), 0))
