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

from hwnas.arrays import Bools, Floats, Ints
from hwnas.design.designs import Designs
from hwnas.errors import ExactRefusedError
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.wrappers import Joined
from hwnas.exact.front import ExactFront
from hwnas.exact.measuring import CHUNK, failed, one_each, refuse_failures
from hwnas.inner import InnerFronts
from hwnas.problem import Problem
from hwnas.space import unique

_SAME = 1e-9
"""Losses that differ by less than this share of their size are equal."""
_CELLS = 5_000
"""Cells of grids that are measured at most, as a multiple of the limit of designs."""


def quotient_front(problem: Problem, *, limit: int) -> ExactFront:
    """The exact front, by cost classes.

    Args:
        problem: The problem; every evaluator is taken at its word (`reads`, `fingerprints`), and
            COSTLY ones are asked about every design that they can tell apart.
        limit: How many settings of the outer parts and of the inner parts are enumerated at most.

    Raises:
        ExactRefusedError: There are no such parts, they have too many settings, their classes are
            too many, or a design cannot be measured.
    """
    split = min(_splits(problem, limit), key=lambda s: s.rank, default=None)
    if split is None:
        raise ExactRefusedError(
            "there are no parts that evaluators decide apart from the others",
            rule="parts of the genome (e.g. the accelerator) of which no objective or constraint "
            "depends both on evaluators that see them and on evaluators that do not, with at most "
            f"{limit:,} settings, and as many of the other parts",
            given=_reading(problem),
            cure="pin genes (restrict), or split objectives that mix metrics",
        )
    return _by_classes(problem, split, limit)


@dataclass(frozen=True)
class _Split:
    """Inner parts, and who sees them; the smaller the rank, the less there is to do."""

    inner: tuple[str, ...]
    seeing: tuple[Evaluator, ...]
    blind: tuple[Evaluator, ...]
    rank: tuple[bool, int]


def _splits(problem: Problem, limit: int) -> Iterator[_Split]:
    """Every split of the parts under which no objective and no constraint is mixed."""
    space = problem.space
    parts = space.part_names
    needed = [o.node.metrics for o in problem.objectives]
    needed += [c.metrics for c in problem.constraints]
    for count in range(1, len(parts)):
        for inner in combinations(parts, count):
            outer = tuple(p for p in parts if p not in inner)
            seeing: list[Evaluator] = []
            blind: list[Evaluator] = []
            for evaluator in problem.evaluators:
                sees = set(space.read_by(evaluator.reads)) & set(inner)
                (seeing if sees else blind).append(evaluator)
            known = {m.name for e in seeing for m in e.metrics}
            if any(m & known and not m <= known for m in needed):
                continue
            if space.part(*outer).open_conditions:  # inner genes decide which outer ones count
                continue
            sizes = space.part(*inner).size(), space.part(*outer).size()
            if not blind and space.size() <= limit:  # nothing is gained over measuring all
                continue
            if seeing and max(sizes) <= limit:
                yield _Split(inner, tuple(seeing), tuple(blind), (not blind, sum(sizes)))


def _by_classes(problem: Problem, split: _Split, limit: int) -> ExactFront:
    fronts = InnerFronts(problem, split.inner, split.seeing, limit=limit)
    outer = fronts.outer_space.rows()
    losses, met = _outer_losses(problem, fronts, split.blind, outer)
    usable = np.flatnonzero(met)
    marks = fronts.marks(outer[usable])
    place: dict[tuple[bytes, ...], int] = {}
    classes = np.array([place.setdefault(mark, len(place)) for mark in marks], dtype=np.int64)
    cells = len(place) * len(fronts.inner_rows)
    if cells > limit * _CELLS:
        raise ExactRefusedError(
            f"{cells:.3g} cells would have to be measured",
            rule=f"cost classes times settings of {'+'.join(split.inner)} are at most "
            f"{limit * _CELLS:.3g}",
            given=f"{len(place):,} classes of {'+'.join(fronts.outer_parts)} that "
            f"{_names(split.seeing)} can tell apart, times {len(fronts.inner_rows):,} settings",
            cure="pin genes (restrict)",
        )
    best = usable[_best_of_classes(losses[usable], classes)]
    labels = fronts.labels(outer[best])
    if fronts.failure:
        raise failed("a design", fronts.failure)
    collected = _Collected(problem, fronts)
    for row, label in zip(best, labels, strict=True):
        collected.add(outer[row], losses[row], int(label))
    genomes, front = collected.front()
    front = _confirmed(problem, genomes, front)
    left = one_each(front)
    genomes, front = genomes[left], front[left]
    each = f"that of its settings in the objectives of {_names(split.blind)}, times "
    how = (
        f"the {len(usable):,} settings of {'+'.join(fronts.outer_parts)} that meet their own "
        f"constraints fall into {len(place):,} classes that {_names(split.seeing)} cannot tell "
        f"apart; each class's front is {each if split.blind else ''}that of all "
        f"{len(fronts.inner_rows):,} settings of {'+'.join(fronts.inner_parts)} in the objectives "
        f"of {_names(split.seeing)}"
    )
    return ExactFront(genomes, front, problem.space.size(), len(outer) + cells, how)


def _names(evaluators: tuple[Evaluator, ...]) -> str:
    return ", ".join(e.name for e in evaluators)


def _confirmed(problem: Problem, genomes: Ints, losses: Floats) -> Floats:
    """The losses of designs measured one by one: up to rounding those found in grids, ``(j, m)``.

    Raises:
        ExactRefusedError: They are others.
    """
    measured = problem.evaluate(problem.designs(genomes))
    alone = problem.losses(measured)
    alike = np.isclose(alone, losses, rtol=_SAME, atol=0.0).all(axis=1)
    alike &= (problem.relative_violations(measured) <= _SAME).all(axis=1)
    wrong = np.flatnonzero(~alike)
    if wrong.size:
        i = int(wrong[0])
        raise ExactRefusedError(
            "a design does not measure the same alone as in a grid of designs",
            where=str(problem.designs(genomes[i : i + 1])[0].config),
            rule="`Evaluator.against`, `reads` and `fingerprints` agree with `evaluate`",
            given=f"losses {alone[i].tolist()} alone, {losses[i].tolist()} in the grid",
            cure="mend the evaluator: its conformance suite (hwnas check) says which",
        )
    return alone


def _outer_losses(
    problem: Problem, fronts: InnerFronts, blind: tuple[Evaluator, ...], outer: Ints
) -> tuple[Floats, Bools]:
    """Losses in the objectives that inner parts do not decide, and which rows are not ruled out."""
    others = [j for j in range(len(problem.objectives)) if j not in fronts.objectives]
    limits = [j for j in range(len(problem.constraints)) if j not in fronts.constraints]
    losses = np.empty((len(outer), len(others)))
    met = np.ones(len(outer), dtype=np.bool_)
    for start in range(0, len(outer) if blind else 0, CHUNK):
        rows = slice(start, start + CHUNK)
        measured = Joined(blind).evaluate(Designs(fronts.outer_space, outer[rows]))
        refuse_failures(measured)
        met[rows] &= measured.feasible
        with np.errstate(all="ignore"):
            for place, j in enumerate(others):
                values = problem.objectives[j].values(measured.columns)
                losses[rows, place] = values * problem.signs[j]
            for j in limits:
                # What has no value is not met either, and NaN compares as False.
                met[rows] &= problem.constraints[j].violation(measured.columns) <= 0
    return losses, met & np.isfinite(losses).all(axis=1)


def _best_of_classes(losses: Floats, classes: Ints) -> Ints:
    """The rows that no other row of their class dominates, equal ones once."""
    if losses.shape[1] == 1:
        order = np.lexsort((losses[:, 0], classes))
        return order[unique(classes[order][:, None])[0]]
    order = np.argsort(classes, kind="stable")
    bounds = np.flatnonzero(np.diff(classes[order])) + 1
    groups = np.split(order, bounds) if len(order) else []
    kept = [group[one_each(losses[group])] for group in groups]
    return np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)


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
        if self._waiting > CHUNK:
            self._filter()

    def _filter(self) -> None:
        genomes, losses = np.concatenate(self._genomes), np.concatenate(self._losses)
        front = one_each(losses)
        self._genomes, self._losses = [genomes[front]], [losses[front]]
        self._waiting = 0

    def front(self) -> tuple[Ints, Floats]:
        """The designs of the front and their losses."""
        self._filter()
        return self._genomes[0], self._losses[0]


def _reading(problem: Problem) -> str:
    reads = [
        f"{e.name} reads {'+'.join(problem.space.read_by(e.reads)) or 'nothing'}"
        for e in problem.evaluators
    ]
    return "; ".join(reads)
