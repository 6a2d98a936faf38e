"""Exact fronts of problems whose metrics are sums over groups of genes, e.g. bits per layer.

Objectives and constraints need not be sums themselves: a product of energy and latency rises in
both, so a design that another one beats in energy and in latency is beaten in their product, too.
The dynamic programming therefore runs over the sums as separate criteria, and the objectives are
compared at the end, among the designs that are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import ExactRefusedError
from hwnas.evaluation.additive import (
    Additive,
    Group,
    Terms,
    connected,
    rank,
    settings,
    tables_by_probing,
    varying,
)
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.exact.front import ExactFront
from hwnas.exact.monotone import Range, range_of
from hwnas.exact.sums import ParetoSums, nondominated_once, pareto_sums, thinned_pareto_sums
from hwnas.expressions import Constraint
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.space import Space

__all__ = ["ParetoSums", "additive_front", "pareto_sums", "thinned_pareto_sums"]

_SAME = 1e-9
"""Sums and measurements that differ by less than this share of their size are equal."""

Criterion = tuple[str, int]
"""A metric, and 1 where less of it is better, -1 where more is."""


def additive_front(problem: Problem, *, limit: int = 1_000_000, seed: int = 0) -> ExactFront:
    """The exact front of a problem whose every metric is a sum over groups of genes.

    Evaluators that are `hwnas.evaluation.additive.Additive` give their sums; other FREE ones are
    probed (`tables_by_probing`: that they add up is checked on random designs, not proven).
    Objectives and constraints must rise or fall in each of their metrics. The designs of the front
    are measured by the FREE evaluators, and must be what the sums say, up to rounding; of designs
    with equal losses one is kept. Metrics of COSTLY evaluators are those of their sums.

    Args:
        problem: The problem. Its genes must not be conditional, but those that are restricted to
            one choice count as absent.
        limit: The largest number of non-dominated partial sums, see `pareto_sums`.
        seed: Of the designs on which evaluators are probed.

    Returns:
        The front, sorted by the first loss; empty where no design meets the constraints.

    Raises:
        ExactRefusedError: What the message says: a COSTLY evaluator that is not additive, a
            metric that does not add up, an objective or a constraint that neither rises nor falls
            in a metric, genes that are conditional, or a front that is too large.
    """
    sums = _Sums.of(problem, seed)
    ranges = sums.ranges
    slopes = [
        _slopes(objective.text, range_of(objective.values, ranges), int(sign))
        for objective, sign in zip(problem.objectives, problem.signs, strict=True)
    ]
    excesses = [(c, range_of(c.excess, ranges)) for c in problem.constraints]
    # A constraint that is met everywhere asks for nothing.
    limits = [(c, _slopes(c.text, found, 1)) for c, found in excesses if not found.high <= 0]
    criteria = sorted({one for each in (*slopes, *(s for _, s in limits)) for one in each})
    found = pareto_sums(
        sums.over(criteria),
        limit=limit,
        possible=partial(_may_meet, limits, criteria, sums) if limits else None,
    )
    genomes = sums.genomes(found.choices)
    measured = _measured(problem, sums, found.choices, genomes)
    losses = problem.losses(measured)
    good = np.flatnonzero(problem.satisfied(measured))
    front = good[nondominated_once(losses[good])]
    front = front[np.lexsort(losses[front].T[::-1])]
    named = ", ".join(f"{'less' if way > 0 else 'more'} {name}" for name, way in criteria)
    return ExactFront(
        genomes[front],
        losses[front],
        problem.space.size(),
        sum(len(rows) for rows in sums.settings) + len(genomes),
        f"every metric is a sum over {len(sums.settings)} groups of genes (checked on samples), "
        f"and every objective follows {named or 'none'}: Pareto dynamic programming",
    )


@dataclass(frozen=True, eq=False)
class _Sums:
    """The metrics of a problem that count, as sums over common groups of genes.

    Attributes:
        width: The number of genes, ``d``.
        settings: Per group all its settings, other genes 0, ``int64 (k_i, d)``.
        constants: Metric name to constant.
        tables: Metric name to one table ``(k_i,)`` per group.
    """

    width: int
    settings: tuple[Ints, ...]
    constants: Mapping[str, float]
    tables: Mapping[str, tuple[Floats, ...]]

    @classmethod
    def of(cls, problem: Problem, seed: int) -> _Sums:
        """Asks the evaluators, and joins groups that overlap."""
        space = problem.space
        varying(space)  # refuses conditional genes
        needed = frozenset[str]().union(
            *(o.node.metrics for o in problem.objectives),
            *(c.metrics for c in problem.constraints),
        )
        answers = [
            (_terms(evaluator, space, mine, seed), mine)
            for evaluator in problem.evaluators
            if (mine := [m.name for m in evaluator.metrics if m.name in needed])
        ]
        groups = connected((g for terms, _ in answers for g in terms.groups), space.names)
        rows = tuple(_settings(space, group) for group in groups)
        constants = {name: terms.constants[name] for terms, mine in answers for name in mine}
        tables = {
            name: tuple(
                _joined(terms, name, space, group, each)
                for group, each in zip(groups, rows, strict=True)
            )
            for terms, mine in answers
            for name in mine
        }
        return cls(len(space), rows, constants, tables)

    @property
    def ranges(self) -> dict[str, Range]:
        """The range of each metric."""
        return {
            name: Range(
                constant + sum(float(table.min()) for table in self.tables[name]),
                constant + sum(float(table.max()) for table in self.tables[name]),
            )
            for name, constant in self.constants.items()
        }

    def over(self, criteria: Sequence[Criterion]) -> list[Floats]:
        """One table per group with a column per criterion, without constants, to be minimised."""
        if not criteria or not self.settings:  # all designs are equal
            return [np.zeros((1, 1))]
        return [
            np.stack([way * self.tables[name][i] for name, way in criteria], axis=1)
            for i in range(len(self.settings))
        ]

    def genomes(self, choices: Ints) -> Ints:
        """The designs that take some setting of each group, ``int64 (j, d)``."""
        picked = zip(self.settings, choices.T, strict=False)
        return sum(
            (rows[choice] for rows, choice in picked),
            start=np.zeros((len(choices), self.width), dtype=np.int64),
        )

    def values(self, name: str, choices: Ints) -> Floats:
        """A metric of those designs, ``(j,)``."""
        picked = zip(self.tables[name], choices.T, strict=False)
        start = np.full(len(choices), self.constants[name])
        return sum((table[choice] for table, choice in picked), start=start)


def _settings(space: Space, group: Group) -> Ints:
    """All settings of a group as designs with 0 elsewhere, ``int64 (k, d)``."""
    found = settings(space, group)
    rows = np.zeros((len(found), len(space)), dtype=np.int64)
    rows[:, [space.names.index(name) for name in group]] = found
    return rows


def _joined(terms: Terms, name: str, space: Space, group: Group, rows: Ints) -> Floats:
    """What a group adds to a metric whose own groups it consists of, ``(k,)``."""
    own = zip(terms.groups, terms.tables[name], strict=True)
    inside = (table[rank(space, part, rows)] for part, table in own if part[0] in group)
    return sum(inside, start=np.zeros(len(rows)))


def _terms(evaluator: Evaluator, space: Space, metrics: Sequence[str], seed: int) -> Terms:
    """The sums of an evaluator, its own or those found by probing."""
    if isinstance(evaluator, Additive):
        return evaluator.terms(space)
    if evaluator.expense is Expense.COSTLY:
        raise ExactRefusedError(
            f"the COSTLY evaluator {evaluator.name!r} does not say that its metrics add up",
            rule="FREE evaluators are probed; COSTLY ones implement terms(space)",
            given=", ".join(metrics),
            cure="give it a method terms, e.g. of tables measured once, or search",
        )
    return tables_by_probing(evaluator, space, metrics=metrics, seed=seed)


def _slopes(text: str, found: Range, sign: int) -> list[Criterion]:
    """The metrics that something minimised depends on, and which way it wants them.

    Raises:
        ExactRefusedError: It neither rises nor falls in one of them.
    """
    for name, slope in sorted(found.slopes.items()):
        if slope == 0:
            raise ExactRefusedError(
                f"{text!r} neither rises nor falls in {name!r} over the whole space",
                rule="objectives and constraints that rise or fall in every metric",
                given="it may do both, or cannot be computed everywhere",
                cure="objectives on the metrics themselves, or a search",
            )
    return [(name, sign * slope) for name, slope in found.slopes.items()]


def _may_meet(
    limits: Sequence[tuple[Constraint, list[Criterion]]],
    criteria: Sequence[Criterion],
    sums: _Sums,
    lowest: Floats,
) -> Bools:
    """Which lower bounds of the criteria may still meet every constraint; see `Possible`."""
    hope = np.ones(len(lowest), dtype=np.bool_)
    ranges = sums.ranges
    for constraint, wants in limits:
        columns = {name: np.full(len(lowest), ranges[name].low) for name in constraint.metrics}
        for name, way in wants:
            bound = way * lowest[:, criteria.index((name, way))] + sums.constants[name]
            columns[name] = np.clip(bound, ranges[name].low, ranges[name].high)
        hope &= constraint.excess(columns) <= _SAME * constraint.scale(columns)
    return hope


def _measured(problem: Problem, sums: _Sums, choices: Ints, genomes: Ints) -> Measurements:
    """Designs as the FREE evaluators measure them, the rest from the sums.

    Raises:
        ExactRefusedError: A measurement is not what the sums say.
    """
    free = problem.free(problem.designs(genomes))
    columns = dict(free.columns)
    for name in sums.tables:
        summed = sums.values(name, choices)
        if name not in columns:
            columns[name] = summed
            continue
        size = abs(sums.constants[name]) + sum(abs(t).max() for t in sums.tables[name])
        wrong = np.flatnonzero(~(np.abs(columns[name] - summed) <= _SAME * size))
        if wrong.size:
            i = int(wrong[0])
            raise ExactRefusedError(
                f"metric {name!r} is not what its terms add up to",
                where=str(problem.designs(genomes[i : i + 1])[0].config),
                rule="measurements of the front agree with the sums",
                given=f"measured {columns[name][i]:.6g}, the sum is {summed[i]:.6g}",
                cure="search instead, or mend the evaluator's terms",
            )
    metrics = [metric for name, metric in problem.metrics.items() if name in columns]
    return Measurements.of(metrics, columns, reason=free.reason, notes=free.notes)
