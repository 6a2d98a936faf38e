"""Which lines of an image several tiles cover together, and how much two such covers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from hwnas.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Span:
    """Sets of whole numbers, one per row: an interval copied at regular distances, repeatedly.

    Attributes:
        length: From the first to the last element, ``int64 (m,)``.
        gapped: Rows whose set has gaps, ``int64 (g,)``.
        members: Which numbers these have, ``bool (g, w)``.
    """

    length: Ints
    gapped: Ints
    members: Bools

    @classmethod
    def of(cls, start: Ints, copies: Sequence[tuple[Ints, Ints]]) -> Self:
        """The sets that grow out of an interval.

        Args:
            start: Length of the interval, ``(m,)``.
            copies: Per round of copying, how many there are then and their distance, ``(m,)``.
        """
        if not copies:
            return cls(start, np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.bool_))
        counts = np.stack([count for count, _ in copies], axis=1)
        pitches = np.stack([pitch for _, pitch in copies], axis=1)
        growth = (counts - 1) * pitches
        length = start + growth.sum(axis=1)
        # The shortest distances first: copies that touch or overlap leave no gap.
        by_pitch = np.argsort(pitches, axis=1, kind="stable")
        grown = np.take_along_axis(growth, by_pitch, axis=1)
        reached = start[:, None] + np.cumsum(grown, axis=1) - grown
        open_ = (grown > 0) & (np.take_along_axis(pitches, by_pitch, axis=1) > reached)
        gapped = np.flatnonzero(open_.any(axis=1))
        width = int(length[gapped].max(initial=0))
        numbers = np.arange(width)
        members = numbers < start[gapped, None]
        for round_ in range(counts.shape[1]):
            count, pitch = counts[gapped, round_], pitches[gapped, round_]
            copied = members
            for k in range(1, int(count.max(initial=1))):
                shifted = _moved(members, k * pitch)
                copied = copied | (shifted & (k < count)[:, None])
            members = copied
        return cls(length, gapped, members)

    @property
    def size(self) -> Floats:
        """Elements, ``(m,)``."""
        return self.overlap(np.zeros_like(self.length))

    def overlap(self, shift: Ints) -> Floats:
        """Elements that a set shares with itself moved by ``shift`` ``(m,)``, ``(m,)``."""
        shared = np.maximum(self.length - np.abs(shift), 0).astype(np.float64)
        if len(self.gapped):
            moved = _moved(self.members, shift[self.gapped])
            shared[self.gapped] = (self.members & moved).sum(axis=1)
        return shared


def _moved(members: Bools, shift: Ints) -> Bools:
    """Sets moved to higher numbers, row by row; what leaves the window is gone."""
    source = np.arange(members.shape[1]) - shift[:, None]
    inside = (source >= 0) & (source < members.shape[1])
    moved: Bools = np.take_along_axis(members, np.where(inside, source, 0), axis=1) & inside
    return moved
