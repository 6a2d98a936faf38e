"""Comparing searchers on one problem: many seeds each, one common yardstick, and a test.

`compare` runs everything and answers with a `Comparison`, a plain record; `prepare` gives the
`Contest` behind it, for those who want to watch.
"""

from hwnas.comparison.api import compare, prepare
from hwnas.comparison.contest import Contest
from hwnas.comparison.entrants import Entrant
from hwnas.comparison.files import write_comparison
from hwnas.comparison.record import Comparison

__all__ = ["Comparison", "Contest", "Entrant", "compare", "prepare", "write_comparison"]
