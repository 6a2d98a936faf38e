"""What a source of known rows has, before it is fitted to a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hwnas.arrays import Floats, Ints

Texts = Any
"""``n`` texts, an array of strings; empty where there is no value."""

TRUTH: Final = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""How truth values are written, in whatever case."""


@dataclass(frozen=True, eq=False)
class Found:
    """Rows of one source. Symbols: ``n`` rows.

    Attributes:
        path: The source.
        genes: Name to values as text, ``(n,)``; empty where a row has none.
        metrics: Name of a costly metric to values at rest, ``(n,)``; NaN where a row has none.
        reason: `Reason` codes, ``int64 (n,)``.
        notes: One text per row.
        fidelity: ``(n,)``.
        only_awake: Whether sleeping genes have no value.
        remark: What a person should know about them, or empty.
    """

    path: Path
    genes: Mapping[str, Texts]
    metrics: Mapping[str, Floats]
    reason: Ints
    notes: tuple[str, ...]
    fidelity: Floats
    only_awake: bool = False
    remark: str = ""

    def __len__(self) -> int:
        return len(self.reason)
