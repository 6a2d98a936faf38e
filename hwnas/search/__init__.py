"""Searchers: one searcher, one file."""

from hwnas.search.interface import Searcher, Told, unseen

__all__ = ["Searcher", "Told", "unseen"]
