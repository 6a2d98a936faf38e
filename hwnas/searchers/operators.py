"""Moved: see `hwnas.space.operators`."""

from hwnas.space.operators import crossover, mutate

__all__ = ["crossover", "mutate"]
