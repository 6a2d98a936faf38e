"""Exact Pareto fronts by structure, with a word on how each was obtained, or a refusal."""

from hwnas.exact.front import ExactFront
from hwnas.exact.quotient import solve

__all__ = ["ExactFront", "solve"]
