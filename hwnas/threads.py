"""One thread for the linear algebra of searchers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


class OneBlasThread:
    """Keeps BLAS to one thread while a searcher computes.

    Its matrices are small: threads that wait for each other cost more than they save (three times
    the CPU time where others use the cores, too), and rounding would depend on their number.
    Libraries that are loaded later than this is made are not reached.
    """

    def __init__(self) -> None:
        from threadpoolctl import ThreadpoolController

        self._controller = ThreadpoolController()

    def __call__(self) -> AbstractContextManager[Any]:
        """A context with one thread."""
        limit: AbstractContextManager[Any] = self._controller.limit(limits=1, user_api="blas")
        return limit
