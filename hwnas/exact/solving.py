"""The exact front by whichever method applies."""

from __future__ import annotations

from collections.abc import Callable

from hwnas.errors import ExactRefusedError
from hwnas.exact.additive import additive_front
from hwnas.exact.front import ExactFront
from hwnas.exact.measuring import enumerated_front
from hwnas.exact.quotient import quotient_front
from hwnas.problem import Problem

_LIMIT = 2_000_000


def solve(problem: Problem, *, measure_costly: bool = False, limit: int = _LIMIT) -> ExactFront:
    """The exact Pareto front of a problem.

    By cost classes and inner fronts (`hwnas.exact.quotient`), by measuring every design, or by
    dynamic programming over metrics that add up (`hwnas.exact.additive`): the first that applies.

    Args:
        problem: The problem; every evaluator is taken at its word (`reads`, `fingerprints`).
        measure_costly: Whether COSTLY evaluators may be asked about every design that they can
            tell apart: sensible for tables.
        limit: How many outer designs, inner designs, or (without structure) designs are enumerated
            at most.

    Returns:
        The front; empty where no design meets the constraints.

    Raises:
        ExactRefusedError: No method that is known here applies; the message says why, for each.
    """
    refusals: dict[str, ExactRefusedError] = {}
    methods: dict[str, Callable[[], ExactFront]] = {
        "cost classes": lambda: quotient_front(problem, limit=limit),
        "enumeration": lambda: enumerated_front(problem, limit=limit),
    }
    try:
        _check_measurable(problem, measure_costly)
    except ExactRefusedError as refusal:
        refusals["measuring designs"] = refusal
        methods.clear()
    methods["sums over genes"] = lambda: additive_front(problem)
    for name, method in methods.items():
        try:
            return method()
        except ExactRefusedError as refusal:
            refusals[name] = refusal
    raise ExactRefusedError(
        f"the exact front of {problem.space.size():.4g} designs cannot be computed",
        rule="; ".join(f"{name}: {r.rule}" for name, r in refusals.items() if r.rule),
        given="; ".join(
            f"{name}: {r.what}" + (f" ({r.given})" if r.given else "")
            for name, r in refusals.items()
        ),
        cure="; or ".join(dict.fromkeys(r.cure for r in refusals.values() if r.cure)),
    )


def _check_measurable(problem: Problem, measure_costly: bool) -> None:
    """Refuses to measure everything where that is too costly, or settles nothing."""
    if problem.costly and not measure_costly:
        raise ExactRefusedError(
            "every design that an evaluator can tell apart would have to be measured",
            rule="no COSTLY evaluator, unless its measuring everything is allowed",
            given="COSTLY: " + ", ".join(e.name for e in problem.costly),
            cure="if it is a table, declare it free (expense: free), or allow it (measure_costly)",
        )
    if not all(e.deterministic for e in problem.evaluators):
        raise ExactRefusedError(
            "an evaluator does not give equal answers for equal designs",
            rule="an exact front is one of deterministic evaluators",
            given=", ".join(e.name for e in problem.evaluators if not e.deterministic),
        )
