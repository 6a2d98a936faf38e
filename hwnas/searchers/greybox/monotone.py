"""Certain knowledge: with more bits, a network is not worse.

A measured design bounds its relatives, which differ from it in monotone genes alone.
"""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.space import Space, unique


class Monotone:
    """Bounds of candidates by what was measured.

    Args:
        space: The outer space.
        parts: Parts whose ordered genes are monotone: the larger, never the worse.
    """

    def __init__(self, space: Space, parts: tuple[str, ...]) -> None:
        inside = np.array([gene.part in parts for gene in space.genes], dtype=np.bool_)
        self._up = np.flatnonzero(inside & space.ordered)
        self._same = np.flatnonzero(~(inside & space.ordered))

    def bounds(self, candidates: Ints, outer: Ints, losses: Floats) -> tuple[Floats, Floats]:
        """What losses are at least and at most.

        Args:
            candidates: ``(p, d_o)``.
            outer: Measured designs, ``(n, d_o)``.
            losses: Theirs, ``(n, u)``; not finite where unknown.

        Returns:
            The greatest loss among relatives with as much or more in every monotone gene, and the
            least among those with as much or less, ``(p, u)`` each; infinite where there is none.
        """
        shape = len(candidates), losses.shape[1]
        least, most = np.full(shape, -np.inf), np.full(shape, np.inf)
        if not len(self._up):
            return least, most
        together = np.concatenate([candidates, outer])
        family = unique(together[:, self._same])[1]
        alike = family[: len(candidates), None] == family[len(candidates) :]
        richer, poorer = alike.copy(), alike
        # The fewer bytes a gene takes, the more pairs are compared at once.
        narrow = np.min_scalar_type(int(together.max(initial=0)))
        for gene in together[:, self._up].astype(narrow).T:
            one, other = gene[: len(candidates), None], gene[len(candidates) :]
            richer &= other >= one
            poorer &= other <= one
        for j in range(losses.shape[1]):
            known = np.isfinite(losses[:, j])
            mine, theirs = np.nonzero(richer & known)
            np.maximum.at(least[:, j], mine, losses[theirs, j])
            mine, theirs = np.nonzero(poorer & known)
            np.minimum.at(most[:, j], mine, losses[theirs, j])
        return least, most
