"""Searchers: one searcher, one file."""

from hwnas.searchers.interface import Searcher, Told, unseen

__all__ = ["Searcher", "Told", "unseen"]
