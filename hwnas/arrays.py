"""Names for the array types that cross every contract. The first axis is always the batch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Values = Floats | Ints | Bools | NDArray[np.str_]
"""The decoded values of one gene for a batch: numbers, truth values or strings, shape ``(n,)``."""

Columns = Mapping[str, Values]
"""Gene name to decoded values, one column ``(n,)`` per gene."""

Choice = bool | int | float | str
"""One value that a gene can take."""
