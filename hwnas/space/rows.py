"""Sets of genome rows: which differ, and a key for each."""

from __future__ import annotations

import numpy as np

from hwnas.arrays import Ints


def differing(rows: Ints) -> Ints:
    """Indices of the first occurrence of each different row, ascending, ``(j,)``."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return np.sort(first)


def keys(rows: Ints) -> list[bytes]:
    """One hashable key per row, equal exactly for equal rows."""
    width = rows.shape[1] * rows.itemsize
    data = np.ascontiguousarray(rows).tobytes()
    return [data[i : i + width] for i in range(0, len(data), width)] if width else [b""] * len(rows)
