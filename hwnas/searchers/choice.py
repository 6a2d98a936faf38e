"""Which searcher a study uses where nobody names one, and which can say when to stop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hwnas import plugins
from hwnas.budget import Budget
from hwnas.errors import HwnasError, SearcherError
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.searchers.interface import Searcher
from hwnas.space import Space

_GREY_BOX: Final = "greybox"
_BLACK_BOX: Final = "nsga2"


def usual(space: Space, evaluators: Iterable[Evaluator]) -> str:
    """The searcher of a study that names none.

    Grey-box search where something COSTLY leaves a part of the genome unread, which can then be
    searched for free; else evolution.

    Args:
        space: The joint space.
        evaluators: Who measures.
    """
    parts = set(space.part_names)
    for evaluator in evaluators:
        read = set(space.read_by(evaluator.reads))
        if evaluator.expense is Expense.COSTLY and read != parts:
            return _GREY_BOX
    return _BLACK_BOX


def certifying() -> tuple[str, ...]:
    """The names of the installed searchers that can bound what is left to be gained."""
    names = []
    for name in plugins.available("hwnas.searchers"):
        try:
            kind = plugins.load("hwnas.searchers", name)
        except HwnasError:  # an optional package is missing
            continue
        if getattr(kind, "certifies", False):
            names.append(name)
    return tuple(names)


def check_certifies(searcher: Searcher | type[Searcher], budget: Budget) -> None:
    """Refuses a budget that ends by a bound where the searcher has none.

    Raises:
        SearcherError: It has none.
    """
    if budget.gain is None or searcher.certifies:
        return
    able = certifying()
    raise SearcherError(
        f"searcher {searcher.name} cannot say how much is left to be gained",
        where="budget, stop_when_gain_below",
        rule="a searcher with a bound" + (f": {', '.join(able)}" if able else "; none is there"),
        given=searcher.name,
        cure="choose such a searcher, or end the study by evaluations or time alone",
    )
