"""Sets of genome rows: which differ, and a key for each."""

from __future__ import annotations

import math

import numpy as np

from hwnas.arrays import Ints


def unique(rows: Ints) -> tuple[Ints, Ints]:
    """Finds equal rows, as `np.unique` over the first axis does, but faster.

    Rows whose values all fit into one integer (mixed radix, first column first) are compared as
    integers, in the same order as rows would be.

    Args:
        rows: Not negative, ``int64 (n, d)``.

    Returns:
        The first occurrence of each different row, sorted by the rows, ``(j,)``, and for every row
        its place among them, ``(n,)``.
    """
    if not rows.size:
        some = min(1, len(rows))
        return np.arange(some), np.zeros(len(rows), dtype=np.int64)
    radix = rows.max(axis=0) + 1
    if math.prod(map(int, radix)) < 2**62:
        weights = np.append(np.cumprod(radix[:0:-1])[::-1], 1)
        _, first, inverse = np.unique(rows @ weights, return_index=True, return_inverse=True)
    else:
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)


def differing(rows: Ints) -> Ints:
    """Indices of the first occurrence of each different row, ascending, ``(j,)``."""
    return np.sort(unique(rows)[0])


def keys(rows: Ints) -> list[bytes]:
    """One hashable key per row, equal exactly for equal rows."""
    width = rows.shape[1] * rows.itemsize
    data = np.ascontiguousarray(rows).tobytes()
    return [data[i : i + width] for i in range(0, len(data), width)] if width else [b""] * len(rows)
