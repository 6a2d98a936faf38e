"""What tables of costs say about themselves, so that a list can show those of any package.

Cost models take their joules and square metres from tables: technologies, types of DRAM. A package
registers its own under the entry points ``hwnas.tables``; what an entry names is a `CostTable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class TableSummary:
    """A table in a few words and numbers.

    Attributes:
        name: What study files call it.
        kind: What it is a table of, e.g. ``technology``; a list has a part for each kind.
        version: Changes whenever a number does.
        description: What it stands for, and what in it is scaled or borrowed.
        sources: Where its numbers come from.
        figures: Some of its numbers by name, at rest, each with its unit.
        node_nm: The process node, nm; ``None`` where it has none.
    """

    name: str
    kind: str
    version: str
    description: str
    sources: tuple[str, ...]
    figures: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    node_nm: float | None = None


@runtime_checkable
class CostTable(Protocol):
    """What an entry point of the group ``hwnas.tables`` names."""

    def summary(self) -> TableSummary:
        """What lists show of it.

        Raises:
            HwnasError: Its file is not in order.
        """
        ...
