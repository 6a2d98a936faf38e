"""Fitting known rows to a problem: by the names of genes, by values, and by what counts.

What does not change a costly metric does not count: a design may lack, or have more, genes of parts
that no costly evaluator reads. It takes the first choice of those that do not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Ints
from hwnas.errors import ProblemError
from hwnas.history import costly_columns
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem
from hwnas.space import Gene
from hwnas.warm_start.found import TRUTH, Found, Texts
from hwnas.warm_start.tables import number, numbers

_MISSING: Final = -1
_STRANGE: Final = -2
_CLOSE: Final = 1e-9
_SHOWN: Final = 4


@dataclass(frozen=True, eq=False)
class Taken:
    """What a problem takes of a source.

    Attributes:
        source: The source.
        rows: How many rows it has.
        genomes: Those taken, ``int64 (j, d)``.
        measurements: Theirs, with the costly metrics.
        left_out: Why rows were left out, and how many.
        remark: What a person should know about the rows, or empty.
    """

    source: str
    rows: int
    genomes: Ints
    measurements: Measurements
    left_out: Mapping[str, int]
    remark: str = ""

    def __str__(self) -> str:
        text = f"{len(self.genomes)} of {self.rows} rows from {self.source}"
        if self.left_out:
            text += f"; left out: {_listed(self.left_out)}"
        return text + (f" ({self.remark})" if self.remark else "")


def taken(found: Found, problem: Problem) -> Taken:
    """Takes the rows of a source that fit a problem.

    Args:
        found: The source.
        problem: The problem.

    Raises:
        ProblemError: It has no gene of the space, or no row that can be used, or a gene has text
            where a number should be.
    """
    space = problem.space
    reads = [e.reads for e in problem.costly]
    everything = not reads or not all(reads)
    parts: frozenset[str] = frozenset().union(*reads)
    counting = frozenset(costly_columns(problem).tolist())
    if not any(space.names[j] in found.genes for j in counting):
        names = [space.names[j] for j in sorted(counting)]
        raise ProblemError(
            f"{found.path.name!r} says nothing about the genes that count",
            where=str(found.path),
            rule="one of " + ", ".join(names),
            given=", ".join(found.genes) or "no gene",
            cure="is it of another space? columns of a table are called like the genes",
        )
    out = _LeftOut(len(found))
    for name, texts in found.genes.items():
        if name not in space.names and (everything or name.partition(".")[0] in parts):
            out.note(texts != "", f"{name} is no gene of the space")
    codes = np.stack([_codes(found, gene) for gene in space.genes], axis=1)
    genomes = np.maximum(codes, 0)
    active = space.active(genomes)
    for j in sorted(counting):
        gene = space.genes[j]
        strange = active[:, j] & (codes[:, j] == _STRANGE)
        if strange.any():
            given = np.unique(found.genes[gene.name][strange & ~out.rows])
            shown = ", ".join(map(str, given[:_SHOWN])) + (", ..." if len(given) > _SHOWN else "")
            out.note(strange, f"{gene.name} has no choice {shown}")
        missing = active[:, j] & (codes[:, j] == _MISSING) & (len(gene.choices) > 1)
        out.note(missing, f"no value of {gene.name}")
        if found.only_awake:
            out.note(~active[:, j] & (codes[:, j] != _MISSING), f"{gene.name} sleeps here")
    _check_values(found, problem, out)
    kept = np.flatnonzero(~out.rows)
    if not kept.size:
        raise ProblemError(
            f"no row of {found.path.name!r} can be used",
            where=str(found.path),
            rule="designs of this space, with everything costly measured",
            given=_listed(out.why) or "no rows",
        )
    return Taken(
        str(found.path),
        len(found),
        space.canonical(genomes[kept]),
        _measurements(found, problem).take(kept),
        out.why,
        found.remark,
    )


class _LeftOut:
    """The rows that are left out, each for the first reason that was noted."""

    def __init__(self, n: int) -> None:
        self.rows: Bools = np.zeros(n, dtype=np.bool_)
        self.why: dict[str, int] = {}

    def note(self, rows: Bools, why: str) -> None:
        count = int((rows & ~self.rows).sum())
        if count:
            self.why[why] = self.why.get(why, 0) + count
        self.rows |= rows


def _listed(why: Mapping[str, int]) -> str:
    most = Counter(why).most_common()
    texts = [f"{count} ({text})" for text, count in most[:_SHOWN]]
    rest = sum(count for _, count in most[_SHOWN:])
    return ", ".join([*texts, *([f"{rest} for other reasons"] if rest else [])])


def _codes(found: Found, gene: Gene) -> Ints:
    """The choice that each row has, or that it has none, or none of the gene's, ``(n,)``."""
    if gene.name not in found.genes:
        return np.full(len(found), _MISSING)
    texts: Texts = found.genes[gene.name]
    if isinstance(gene.choices[0], bool | str):
        different, inverse = np.unique(texts, return_inverse=True)
        table = [_code_of_word(gene, str(text)) for text in different]
        return np.array(table, dtype=np.int64)[inverse.reshape(-1)]
    if found.only_awake:
        # A run of a space where it was a word: no choice here, and no mistake.
        texts = np.array([t if number(str(t)) is not None else "inf" for t in texts], np.str_)
    values = numbers(found.path, gene.name, texts)
    codes = np.full(len(found), _STRANGE)
    codes[np.isnan(values)] = _MISSING
    for i, choice in enumerate(gene.choices):
        codes[np.isclose(values, float(choice), rtol=_CLOSE, atol=0)] = i
    for i, choice in enumerate(gene.choices):
        codes[values == float(choice)] = i
    return codes


def _code_of_word(gene: Gene, text: str) -> int:
    if not text:
        return _MISSING
    value = TRUTH.get(text.lower()) if isinstance(gene.choices[0], bool) else text
    return gene.choices.index(value) if value in gene.choices else _STRANGE


def _check_values(found: Found, problem: Problem, out: _LeftOut) -> None:
    offered = ", ".join(f"{f:g}" for f in problem.fidelities)
    out.note(~np.isin(found.fidelity, problem.fidelities), f"measured at no fidelity of {offered}")
    ruled_out = found.reason == Reason.RULED_OUT
    valued = np.isin(found.reason, (int(Reason.NONE), int(Reason.LOW_FIDELITY)))
    for name, values in found.metrics.items():
        unknown = ~np.isfinite(values)
        out.note(unknown & ruled_out, "ruled out there, so nothing costly was measured")
        out.note(unknown & valued, f"no value of {name}")


def _measurements(found: Found, problem: Problem) -> Measurements:
    metrics = tuple(m for e in problem.costly for m in e.metrics)
    values = [found.metrics[m.name] for m in metrics]
    known = np.isfinite(values).all(axis=0) if values else np.ones(len(found), dtype=np.bool_)
    early = found.fidelity < 1
    plain = np.where(early, int(Reason.LOW_FIDELITY), int(Reason.NONE))
    settled = np.isin(found.reason, (int(Reason.NONE), int(Reason.LOW_FIDELITY)))
    reason = np.where(settled & known, plain, found.reason)
    # What has no value is left out later, and must not look feasible until then.
    reason = np.where(settled & ~known, int(Reason.RULED_OUT), reason)
    if not problem.costly:
        reason = np.zeros(len(found), dtype=np.int64)
    feasible = reason == Reason.NONE
    columns = dict(zip((m.name for m in metrics), values, strict=True))
    return Measurements(metrics, columns, feasible, reason, found.notes, found.fidelity)
