"""Grey-box search: a surrogate of the costly metrics alone, everything else exact."""

from hwnas.searchers.greybox.searcher import GreyBox

__all__ = ["GreyBox"]
