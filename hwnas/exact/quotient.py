"""Exact fronts of joint spaces far too large to enumerate, by cost classes and inner fronts.

Split the genome into outer and inner parts such that each objective is decided either by the outer
parts alone or by evaluators that see the inner parts. Outer designs which the latter cannot tell
apart form a cost class. Within a class, both groups of objectives vary independently of each other,
so the class's front lies in the product of two small fronts: that of its outer designs in the outer
objectives, and that of the inner designs in the inner ones. The front of the fronts of all classes
is the front of everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.design.designs import Designs
from hwnas.errors import ExactRefusedError
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.wrappers import Joined
from hwnas.exact.front import ExactFront
from hwnas.inner import InnerFronts, unique_rows
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem, nondominated
from hwnas.space import unique

_LIMIT = 2_000_000
_CHUNK = 50_000
"""Outer designs measured at a time, and losses that wait for the next filtering."""


def solve(problem: Problem, *, measure_costly: bool = False, limit: int = _LIMIT) -> ExactFront:
    """The exact Pareto front of a problem.

    Args:
        problem: The problem; every evaluator is taken at its word (`reads`, `fingerprints`).
        measure_costly: Whether COSTLY evaluators may be asked about every design that they can
            tell apart: sensible for tables.
        limit: How many outer designs, inner designs, or (without structure) designs are enumerated
            at most.

    Raises:
        ExactRefusedError: No method that is known here applies; the message says which and why.
    """
    _check_costly(problem, measure_costly)
    if not all(e.deterministic for e in problem.evaluators):
        raise ExactRefusedError(
            "an evaluator does not give equal answers for equal designs",
            rule="an exact front is one of deterministic evaluators",
            given=", ".join(e.name for e in problem.evaluators if not e.deterministic),
        )
    split = min(_splits(problem, limit), key=lambda s: s.work, default=None)
    if split is not None and split.inner:
        return _by_classes(problem, split)
    if problem.space.size() <= limit:
        return _by_enumeration(problem)
    raise ExactRefusedError(
        f"the exact front of {problem.space.size():.4g} designs cannot be computed",
        rule=f"at most {limit:,} designs; or parts of the genome (e.g. the accelerator) of which "
        "no objective or constraint depends on evaluators that see them and on evaluators that do "
        f"not, with at most {limit:,} settings, and as many of the other parts",
        given=_why(problem),
        cure="pin genes (restrict), split objectives that mix metrics, or search instead",
    )


def _check_costly(problem: Problem, measure_costly: bool) -> None:
    if problem.costly and not measure_costly:
        raise ExactRefusedError(
            "an exact front needs every design that an evaluator can tell apart measured",
            rule="no COSTLY evaluator, unless its measuring everything is allowed",
            given="COSTLY: " + ", ".join(e.name for e in problem.costly),
            cure="if it is a table, declare it free (expense: free), or allow it (measure_costly)",
        )


@dataclass(frozen=True)
class _Split:
    """Inner parts, and who sees them."""

    inner: tuple[str, ...]
    seeing: tuple[Evaluator, ...]
    blind: tuple[Evaluator, ...]
    work: int


def _splits(problem: Problem, limit: int) -> Iterator[_Split]:
    """Every split of the parts under which no objective and no constraint is mixed."""
    parts = problem.space.part_names
    needed = [o.node.metrics for o in problem.objectives]
    needed += [c.metrics for c in problem.constraints]
    for count in range(1, len(parts) + 1):
        for inner in combinations(parts, count):
            sees = [bool(set(problem.space.read_by(e.reads)) & set(inner)) for e in
                    problem.evaluators]  # fmt: skip
            seeing = tuple(e for e, see in zip(problem.evaluators, sees, strict=True) if see)
            blind = tuple(e for e, see in zip(problem.evaluators, sees, strict=True) if not see)
            known = {m.name for e in seeing for m in e.metrics}
            if any(m & known and not m <= known for m in needed):
                continue
            sizes = [
                problem.space.part(*some).size() if some else 1
                for some in (inner, [p for p in parts if p not in inner])
            ]
            if blind and max(sizes) <= limit:
                yield _Split(inner, seeing, blind, sum(sizes))


def _by_enumeration(problem: Problem) -> ExactFront:
    rows = problem.space.rows()
    losses = np.concatenate(
        [
            np.where(problem.satisfied(measured)[:, None], problem.losses(measured), np.inf)
            for start in range(0, len(rows), _CHUNK)
            for measured in [_everything(problem, rows[start : start + _CHUNK])]
        ]
    )
    front = _one_each(losses)
    how = f"every one of the {len(rows):,} designs was measured"
    return ExactFront(rows[front], losses[front], len(rows), len(rows), how)


def _everything(problem: Problem, rows: Ints) -> Measurements:
    return Joined(problem.evaluators).evaluate(problem.designs(rows))


def _by_classes(problem: Problem, split: _Split) -> ExactFront:
    fronts = InnerFronts(problem, split.inner, split.seeing, limit=_LIMIT)
    outer = fronts.outer_space.rows()
    losses = _outer_losses(problem, fronts, split.blind, outer)
    usable = np.flatnonzero(np.isfinite(losses).all(axis=1))
    marks = fronts.marks(outer[usable])
    place: dict[tuple[bytes, ...], int] = {}
    classes = np.array([place.setdefault(mark, len(place)) for mark in marks], dtype=np.int64)
    best = usable[_best_of_classes(losses[usable], classes)]
    labels = fronts.labels(outer[best])
    collected = _Collected(problem, fronts)
    for row, label in zip(best, labels, strict=True):
        collected.add(outer[row], losses[row], int(label))
    genomes, front = collected.front()
    cells = len(place) * len(fronts.inner_rows)
    how = (
        f"the {len(outer):,} settings of {'+'.join(fronts.outer_parts)} fall into {len(place):,} "
        f"classes that {', '.join(e.name for e in split.seeing)} cannot tell apart; each class's "
        f"front is that of its settings in the objectives of "
        f"{', '.join(e.name for e in split.blind)}, times that of all {len(fronts.inner_rows):,} "
        f"settings of {'+'.join(fronts.inner_parts)} in the other objectives"
    )
    designs = problem.space.size()
    return ExactFront(genomes, front, designs, len(outer) + cells, how)


def _outer_losses(
    problem: Problem, fronts: InnerFronts, blind: tuple[Evaluator, ...], outer: Ints
) -> Floats:
    """Losses in the objectives that inner parts do not decide; infinite where ruled out."""
    others = [j for j in range(len(problem.objectives)) if j not in fronts.objectives]
    limits = [j for j in range(len(problem.constraints)) if j not in fronts.constraints]
    losses = np.empty((len(outer), len(others)))
    for start in range(0, len(outer), _CHUNK):
        rows = slice(start, start + _CHUNK)
        measured = Joined(blind).evaluate(Designs(fronts.outer_space, outer[rows]))
        _refuse_failures(measured)
        usable = measured.feasible.copy()
        with np.errstate(all="ignore"):
            for place, j in enumerate(others):
                values = problem.objectives[j].values(measured.columns)
                losses[rows, place] = values * problem.signs[j]
            for j in limits:
                usable &= problem.constraints[j].violation(measured.columns) <= 0
        losses[rows][~usable] = np.inf
    return losses


def _refuse_failures(measured: Measurements) -> None:
    failed = np.flatnonzero(measured.failed)
    if failed.size:
        raise ExactRefusedError(
            f"{failed.size} designs could not be measured, so nobody knows whether they matter",
            rule="every design is measured, or infeasible",
            given=f"{Reason(int(measured.reason[failed[0]])).name}: {measured.notes[failed[0]]}",
        )


def _best_of_classes(losses: Floats, classes: Ints) -> Ints:
    """The rows that no other row of their class dominates, equal ones once."""
    if losses.shape[1] == 1:
        order = np.lexsort((losses[:, 0], classes))
        return order[unique(classes[order][:, None])[0]]
    order = np.argsort(classes, kind="stable")
    bounds = np.flatnonzero(np.diff(classes[order])) + 1
    groups = np.split(order, bounds) if len(order) else []
    kept = [group[_one_each(losses[group])] for group in groups]
    return np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)


def _one_each(losses: Floats) -> Ints:
    """The rows of the front, equal ones once."""
    if not losses.shape[1]:
        return np.arange(min(1, len(losses)))
    front = nondominated(losses)
    return front[np.sort(unique_rows(losses[front]))]


class _Collected:
    """The front of what was added so far, filtered whenever much has come together."""

    def __init__(self, problem: Problem, fronts: InnerFronts) -> None:
        self._fronts = fronts
        self._m = len(problem.objectives)
        self._inner = list(fronts.objectives)
        self._others = [j for j in range(self._m) if j not in self._inner]
        self._genomes = [np.empty((0, len(problem.space)), dtype=np.int64)]
        self._losses = [np.empty((0, self._m))]
        self._waiting = 0

    def add(self, outer: Ints, losses: Floats, label: int) -> None:
        """Adds an outer design with its inner front."""
        inner = self._fronts.fronts[label]
        rows = np.empty((len(inner.places), self._m))
        rows[:, self._others] = losses
        rows[:, self._inner] = inner.losses
        self._genomes.append(self._fronts.genomes(outer, inner.places))
        self._losses.append(rows)
        self._waiting += len(rows)
        if self._waiting > _CHUNK:
            self._filter()

    def _filter(self) -> None:
        genomes, losses = np.concatenate(self._genomes), np.concatenate(self._losses)
        front = _one_each(losses)
        self._genomes, self._losses = [genomes[front]], [losses[front]]
        self._waiting = 0

    def front(self) -> tuple[Ints, Floats]:
        """The designs of the front and their losses."""
        self._filter()
        return self._genomes[0], self._losses[0]


def _why(problem: Problem) -> str:
    reads = [
        f"{e.name} reads {'+'.join(problem.space.read_by(e.reads)) or 'nothing'}"
        for e in problem.evaluators
    ]
    return "; ".join(reads)
