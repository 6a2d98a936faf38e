"""The genome: genes, conditions between them, and the space they span."""

from hwnas.space.gene import Gene, When
from hwnas.space.rows import differing, keys, unique
from hwnas.space.space import Part, Space

__all__ = ["Gene", "Part", "Space", "When", "differing", "keys", "unique"]
