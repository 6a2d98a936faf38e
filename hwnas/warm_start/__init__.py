"""Rows that were measured before, for a study to begin with: from runs of ours and from tables."""

from hwnas.warm_start.matching import Taken, taken
from hwnas.warm_start.reading import WarmStart, read

__all__ = ["Taken", "WarmStart", "read", "taken"]
