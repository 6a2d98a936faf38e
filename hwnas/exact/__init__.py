"""Exact Pareto fronts by structure, with a word on how each was obtained, or a refusal."""

from hwnas.exact.front import ExactFront
from hwnas.exact.solving import solve

exact_front = solve
"""Its name in the package itself: ``hwnas.exact_front``."""

__all__ = ["ExactFront", "exact_front", "solve"]
