"""Metrics that are sums over groups of genes: what exact fronts by dynamic programming stand on.

A metric is additive if it is a constant plus one table per group of genes, the groups disjoint:
bit operations are, over the cells whose bits vary, and so is every cost of layers that run one
after the other. An evaluator that knows its tables implements `Additive`; for any other one
`tables_by_probing` measures them, and checks that they add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Protocol, runtime_checkable

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.design.designs import Designs
from hwnas.errors import ExactRefusedError
from hwnas.evaluation.interface import Evaluator
from hwnas.metrics import Reason
from hwnas.space import Space

Group = tuple[str, ...]
"""Names of genes whose choices are looked up together."""

_SAME: Final = 1e-9
"""Sums and measurements that differ by less than this share of their size are equal."""
_LARGEST: Final = 1_000_000
"""The most combinations of one group."""
_BLOCK: Final = 65_536
"""Designs measured at a time."""
_ENDS: Final = 2
"""Starting points that are corners of the space: all first and all last choices."""
_STARTS: Final = 5
"""Starting points for finding out which genes act together."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Metrics as sums: a constant, plus one table per group of genes.

    Attributes:
        groups: The groups; no gene twice. A gene in none of them changes no metric.
        constants: Metric name to its constant, at rest.
        tables: Metric name to one table ``(k_i,)`` per group, at rest: a value for every
            combination of the group's choices, in mixed-radix order, the first gene slowest.
    """

    groups: tuple[Group, ...]
    constants: Mapping[str, float]
    tables: Mapping[str, tuple[Floats, ...]]

    def values(self, space: Space, genomes: Ints) -> dict[str, Floats]:
        """The metrics of designs, name to ``(n,)``.

        Args:
            space: The space that the terms were made for.
            genomes: ``int64 (n, d)``.
        """
        ranks = [rank(space, group, genomes) for group in self.groups]
        return {
            name: sum(
                (table[index] for table, index in zip(tables, ranks, strict=True)),
                start=np.full(len(genomes), self.constants[name]),
            )
            for name, tables in self.tables.items()
        }


@runtime_checkable
class Additive(Protocol):
    """An evaluator whose metrics are sums over groups of genes, at least in some spaces."""

    def terms(self, space: Space) -> Terms:
        """All its metrics as sums.

        Raises:
            ExactRefusedError: In this space they are none.
        """


def settings(space: Space, group: Group) -> Ints:
    """All combinations of a group's choices, ``int64 (k, genes)``, the first gene slowest.

    Raises:
        ExactRefusedError: There are more than a million.
    """
    shape = _shape(space, group)
    if math.prod(shape) > _LARGEST:
        shown = ", ".join(group[:4]) + (", ..." if len(group) > 4 else "")
        raise ExactRefusedError(
            f"{len(group)} genes act together: {shown}",
            rule=f"at most {_LARGEST:,} combinations of genes whose effects do not add up",
            given=f"{math.prod(shape):,}",
            cure="pin genes, or leave the metric out that ties them together",
        )
    return np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1)


def rank(space: Space, group: Group, genomes: Ints) -> Ints:
    """Which of `settings` designs have, ``int64 (n,)``."""
    columns = genomes[:, _columns(space, group)]
    return np.asarray(np.ravel_multi_index(tuple(columns.T), _shape(space, group)), dtype=np.int64)


def varying(space: Space) -> tuple[str, ...]:
    """The genes that take more than one value, in the order of the genome.

    Raises:
        ExactRefusedError: A gene with several choices is active in some designs only.
    """
    known = {gene.name: gene for gene in space.genes}
    awake: dict[str, bool | None] = {}

    def is_awake(name: str) -> bool | None:
        """Whether a gene is always active (yes), never (no), or sometimes (None)."""
        if name not in awake:
            answers: list[bool | None] = [True]
            for when in known[name].when:
                if when.gene in known:
                    meets = when.met_by(known[when.gene].choices)
                    may = None if meets.any() else False
                    answers += [is_awake(when.gene), True if meets.all() else may]
            awake[name] = False if False in answers else None if None in answers else True
        return awake[name]

    several = [gene for gene in space.genes if len(gene.choices) > 1]
    for gene in several:
        if is_awake(gene.name) is None:
            raise ExactRefusedError(
                f"gene {gene.name!r} is active in some designs only",
                rule="sums over genes need genes that are always there",
                cure="restrict the genes that it depends on: "
                + ", ".join(w.gene for w in gene.when),
            )
    return tuple(gene.name for gene in several if is_awake(gene.name))


def connected(groups: Iterable[Iterable[str]], order: Sequence[str]) -> tuple[Group, ...]:
    """Joins groups that share a gene.

    Args:
        groups: Names of genes, overlapping as they like.
        order: All genes, in the order that decides that of the answer.
    """
    home = {name: frozenset({name}) for name in order}
    named: set[str] = set()
    for group in groups:
        members = list(group)
        named.update(members)
        joined = frozenset().union(*(home[name] for name in members))
        home.update(dict.fromkeys(joined, joined))
    found = dict.fromkeys(home[name] for name in order if name in named)
    return tuple(tuple(name for name in order if name in group) for group in found)


def tables_by_probing(
    evaluator: Evaluator,
    space: Space,
    groups: Sequence[Group] | None = None,
    *,
    metrics: Iterable[str] | None = None,
    seed: int = 0,
    samples: int = 256,
) -> Terms:
    """Measures the tables of an evaluator, one group at a time, and checks that they add up.

    Without groups, genes are found to act together where the effect of one depends on another's
    choice: pairs are tried from five starting points, about ``2.5 d^2`` designs. That the metrics
    add up is checked on random designs (on all of a small space), up to 1e-9 of their size: an
    effect that shows in hardly any design can be missed.

    Args:
        evaluator: Who measures. Unless groups are given it had better be FREE.
        space: The space; every gene in it always active, or pinned.
        groups: Genes whose effects need not add up within a group; found if left out.
        metrics: The metrics asked for; all if left out.
        seed: Of the designs that are tried.
        samples: Random designs to check on; all designs are taken where there are not more.

    Raises:
        ExactRefusedError: A metric is not additive over the groups, a design is infeasible, a
            gene is conditional, too many genes act together, or the evaluator is stochastic.
    """
    if not evaluator.deterministic:
        raise ExactRefusedError(
            f"{evaluator.name} is stochastic", rule="terms are measured once, and have to hold"
        )
    names = tuple(metrics) if metrics is not None else tuple(m.name for m in evaluator.metrics)
    probe = _Probe(evaluator, space, names)
    free = varying(space)
    if groups is None:
        groups = _acting_together(probe, free, seed)
    base = np.zeros((1, len(space)), dtype=np.int64)
    rows = [base]
    for group in groups:
        block = np.repeat(base, len(settings(space, group)), axis=0)
        block[:, _columns(space, group)] = settings(space, group)
        rows.append(block)
    measured = probe(np.concatenate(rows))
    ends = np.cumsum([len(block) for block in rows])
    tables = {
        name: tuple(part - column[0] for part in np.split(column[1:], ends[:-1] - 1)[1:])
        for name, column in zip(names, measured.T, strict=True)
    }
    constants = dict(zip(names, map(float, measured[0]), strict=True))
    terms = Terms(tuple(groups), constants, tables)
    _check(terms, probe, free, seed, samples)
    return terms


@dataclass(frozen=True, eq=False)
class _Probe:
    """Measures some metrics of designs that must be feasible, ``(n, metrics)``."""

    evaluator: Evaluator
    space: Space
    names: tuple[str, ...]

    def __call__(self, genomes: Ints) -> Floats:
        blocks = [
            self._block(genomes[i : i + _BLOCK]) for i in range(0, max(1, len(genomes)), _BLOCK)
        ]
        return np.concatenate(blocks)

    def _block(self, genomes: Ints) -> Floats:
        designs = Designs(self.space, genomes)
        measured = self.evaluator.evaluate(designs)
        bad = np.flatnonzero(~measured.feasible)
        if bad.size:
            raise ExactRefusedError(
                f"{self.evaluator.name} finds a design infeasible",
                where=str(designs[int(bad[0])].config),
                rule="what adds up over genes is measured for every design",
                given=measured.notes[bad[0]] or Reason(int(measured.reason[bad[0]])).name,
                cure="restrict the space to designs that can be measured",
            )
        return np.stack([measured[name] for name in self.names], axis=1)


def _acting_together(probe: _Probe, free: Sequence[str], seed: int) -> tuple[Group, ...]:
    """The groups of genes whose effects depend on each other's choices."""
    space = probe.space
    columns = _columns(space, tuple(free))
    counts = space.cardinalities[columns]
    rng = np.random.default_rng(seed)
    pairs = np.array(list(combinations(range(len(free)), 2)), dtype=np.int64).reshape(-1, 2)
    tied = np.zeros(len(pairs), dtype=np.bool_)
    for start in range(_STARTS):
        base = np.zeros(len(space), dtype=np.int64)
        corner = (counts - 1) * start
        base[columns] = corner if start < _ENDS else rng.integers(0, counts)
        moved = (base[columns] + rng.integers(1, counts)) % counts
        one = np.repeat(base[None, :], len(free), axis=0)
        one[np.arange(len(free)), columns] = moved
        both = one[pairs[:, 0]]
        both[np.arange(len(pairs)), columns[pairs[:, 1]]] = moved[pairs[:, 1]]
        at, alone, together = probe(base[None, :]), probe(one), probe(both)
        a, b = alone[pairs[:, 0]], alone[pairs[:, 1]]
        size = np.abs(at) + np.abs(a) + np.abs(b) + np.abs(together)
        tied |= (np.abs(together - a - b + at) > _SAME * size).any(axis=1)
    found = [(free[i], free[j]) for i, j in pairs[tied]]
    return connected([*found, *((name,) for name in free)], free)


def _check(terms: Terms, probe: _Probe, free: Sequence[str], seed: int, samples: int) -> None:
    """Compares sums with measurements, on random designs or on all."""
    space = probe.space
    columns = _columns(space, tuple(free))
    counts = space.cardinalities[columns]
    if math.prod(counts.tolist()) <= samples:
        drawn = settings(space, tuple(free)) if free else np.zeros((1, 0), dtype=np.int64)
    else:
        drawn = np.random.default_rng(seed + 1).integers(0, counts, (samples, len(free)))
    rows = np.zeros((len(drawn), len(space)), dtype=np.int64)
    rows[:, columns] = drawn
    measured = probe(rows)
    for name, column in zip(probe.names, measured.T, strict=True):
        summed = terms.values(space, rows)[name]
        bad = np.flatnonzero(np.abs(summed - column) > _tolerance(terms, name, column))
        if bad.size:
            i = int(bad[0])
            raise ExactRefusedError(
                f"metric {name!r} of {probe.evaluator.name} is not a sum over its groups of genes",
                where=str(Designs(space, rows)[i].config),
                rule="constant plus one term per group: "
                + "; ".join(", ".join(group) for group in terms.groups[:3]),
                given=f"measured {column[i]:.6g}, the terms add up to {summed[i]:.6g}",
                cure="put genes that act together into one group, pin them, or search",
            )


def _tolerance(terms: Terms, name: str, column: Floats) -> Floats:
    size = abs(terms.constants[name])
    size += sum(float(np.abs(table).max(initial=0.0)) for table in terms.tables[name])
    return np.asarray(_SAME * (np.abs(column) + size), dtype=np.float64)


def _columns(space: Space, group: Group) -> Ints:
    return np.array([space.names.index(name) for name in group], dtype=np.int64)


def _shape(space: Space, group: Group) -> tuple[int, ...]:
    return tuple(int(space.cardinalities[j]) for j in _columns(space, group))
