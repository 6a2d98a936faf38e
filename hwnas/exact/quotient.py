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
    outer = _narrow(fronts.outer_space.rows())
    losses, classes = _settled(problem, fronts, split.blind, outer)
    usable = np.flatnonzero(classes >= 0)
    found = len(unique(classes[usable, None])[0])
    cells = found * len(fronts.inner_rows)
    if cells > limit * _CELLS:
        raise ExactRefusedError(
            f"{cells:.3g} cells would have to be measured",
            rule=f"cost classes times settings of {'+'.join(split.inner)} are at most "
            f"{limit * _CELLS:.3g}",
            given=f"{found:,} classes of {'+'.join(fronts.outer_parts)} that "
            f"{_names(split.seeing)} can tell apart, times {len(fronts.inner_rows):,} settings",
            cure="pin genes (restrict)",
        )
    best = usable[_best_of_classes(losses[usable], classes[usable])]
    labels = fronts.labels(outer[best])
    if fronts.failure:
        raise failed("a design", fronts.failure)
    genomes, front = _front_of_all(problem, fronts, outer[best], losses[best], labels)
    front = _confirmed(problem, genomes, front)
    left = one_each(front)
    genomes, front = genomes[left], front[left]
    each = f"that of its settings in the objectives of {_names(split.blind)}, times "
    how = (
        f"the {len(usable):,} settings of {'+'.join(fronts.outer_parts)} that meet their own "
        f"constraints fall into {found:,} classes that {_names(split.seeing)} cannot tell "
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


def _narrow(rows: Ints) -> Ints:
    """The same rows in as few bytes as they fit."""
    narrow: Ints = rows.astype(np.min_scalar_type(int(rows.max(initial=0))))
    return narrow


def _settled(
    problem: Problem, fronts: InnerFronts, blind: tuple[Evaluator, ...], outer: Ints
) -> tuple[Floats, Ints]:
    """What is known of outer designs before the inner ones are looked at.

    Returns:
        Losses in the objectives that inner parts do not decide, ``(o, k)``, and the cost class of
        each design, ``(o,)``; -1 where it is ruled out.
    """
    others = [j for j in range(len(problem.objectives)) if j not in fronts.objectives]
    limits = [j for j in range(len(problem.constraints)) if j not in fronts.constraints]
    losses = np.empty((len(outer), len(others)))
    classes = np.full(len(outer), -1, dtype=np.int64)
    for start in range(0, len(outer), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(outer)))
        met = np.ones(len(rows), dtype=np.bool_)
        if blind:
            measured = Joined(blind).evaluate(Designs(fronts.outer_space, outer[rows]))
            refuse_failures(measured)
            met &= measured.feasible
            with np.errstate(all="ignore"):
                for place, j in enumerate(others):
                    values = problem.objectives[j].values(measured.columns)
                    losses[rows, place] = values * problem.signs[j]
                for j in limits:
                    # What has no value is not met either, and NaN compares as False.
                    met &= problem.constraints[j].violation(measured.columns) <= 0
        usable = rows[met & np.isfinite(losses[rows]).all(axis=1)]
        classes[usable] = fronts.classes.of(outer[usable])
    return losses, classes


def _best_of_classes(losses: Floats, classes: Ints) -> Ints:
    """The rows that no other row of their class dominates, equal ones once."""
    order = np.lexsort((*losses.T, classes))
    starts = unique(classes[order, None])[0]
    if losses.shape[1] <= 1:
        return order[starts]
    sizes = np.diff(starts, append=len(order))
    kept = [order[starts[sizes == 1]]]
    for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
        group = order[start : start + size]
        kept.append(group[one_each(losses[group])])
    return np.concatenate(kept)


def _front_of_all(
    problem: Problem, fronts: InnerFronts, outer: Ints, losses: Floats, labels: Ints
) -> tuple[Ints, Floats]:
    """The front of outer designs, each with its inner front: designs and their losses.

    Args:
        problem: The problem.
        fronts: The inner fronts.
        outer: Outer designs, ``(o, d_o)``.
        losses: Theirs in the objectives that inner parts do not decide, ``(o, k)``.
        labels: Their inner fronts, ``(o,)``.
    """
    m = len(problem.objectives)
    inner = list(fronts.objectives)
    others = [j for j in range(m) if j not in inner]
    found = np.empty((0, m))
    owner, places = np.empty((2, 0), dtype=np.int64)
    # Good designs first, so that most others do not get past them.
    order = np.argsort(losses[:, 0], kind="stable") if others else np.arange(len(labels))
    sizes = np.array([len(fronts.fronts[label].places) for label in labels[order]], dtype=np.int64)
    for some in np.split(order, np.flatnonzero(np.diff(np.cumsum(sizes) // CHUNK)) + 1):
        mine = [fronts.fronts[label] for label in labels[some]]
        who = np.repeat(some, [len(front.places) for front in mine])
        rows = np.empty((len(who), m))
        rows[:, others] = losses[who]
        rows[:, inner] = np.concatenate([rows[:0, inner], *(front.losses for front in mine)])
        owner = np.concatenate([owner, who])
        places = np.concatenate([places, *(front.places for front in mine)])
        found = np.concatenate([found, rows])
        kept = one_each(found)
        owner, places, found = owner[kept], places[kept], found[kept]
    return fronts.genomes(outer[owner], places), found


def _reading(problem: Problem) -> str:
    reads = [
        f"{e.name} reads {'+'.join(problem.space.read_by(e.reads)) or 'nothing'}"
        for e in problem.evaluators
    ]
    return "; ".join(reads)
