"""What a searcher itself costs: CPU seconds of ask and tell, kept across resumed runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from hwnas.arrays import Floats, Ints
from hwnas.metrics import Measurements
from hwnas.searchers.interface import Searcher


class Timed(Searcher):
    """A searcher whose asks and tells are timed.

    What a grey-box searcher measures with free evaluators while it is asked counts as its own.
    Nobody asks for its bounds: runs that are compared end by evaluations.

    Args:
        inner: The searcher that is timed.

    Attributes:
        seconds: CPU seconds of this process in ask and tell so far.
    """

    name: ClassVar[str] = "timed"

    def __init__(self, inner: Searcher) -> None:
        # Not Searcher's own: the inner one is told, and has seed, budget and problem.
        self.inner = inner
        self.seconds = 0.0

    def __getattribute__(self, name: str) -> Any:
        if name in ("name", "problem", "seed", "budget", "told"):
            return getattr(object.__getattribute__(self, "inner"), name)
        return object.__getattribute__(self, name)

    @property
    def batch(self) -> int:
        """See `Searcher.batch`."""
        return self.inner.batch

    def options(self) -> Mapping[str, Any]:
        """See `Searcher.options`."""
        return self.inner.options()

    def ask(self, n: int) -> Ints:
        """See `Searcher.ask`."""
        start = time.process_time()
        try:
            return self.inner.ask(n)
        finally:
            self.seconds += time.process_time() - start

    def fidelity_of(self, proposed: Ints) -> Floats:
        """See `Searcher.fidelity_of`."""
        return self.inner.fidelity_of(proposed)

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """See `Searcher.tell`."""
        start = time.process_time()
        try:
            self.inner.tell(genomes, measurements)
        finally:
            self.seconds += time.process_time() - start
