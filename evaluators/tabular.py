"""Metrics looked up in a table: published benchmarks, measurements of a device, earlier runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np

from evaluators.table_files import Wanted, read
from evaluators.table_index import JoinedGenes, RowIndex
from hwnas.arrays import Choice, Floats, Ints
from hwnas.design import Designs
from hwnas.errors import ProblemError, UnitError, nearest
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.space import Gene, Space
from hwnas.units import dimension, scale

_AT_REST: Final = ("1", "s", "J", "m^2", "W", "B", "Hz", "B/s")


@dataclass(frozen=True)
class TableMetric:
    """How a metric is read: ``value * scale + offset``, or ``1 - value / complement``.

    Attributes:
        column: The column; several are repeated measurements (see `Tabular`).
        unit: The unit of the values, e.g. ``ms``; the metric is in the unit at rest.
        goal: ``minimize`` or ``maximize``.
        scale: What the table's values are multiplied by.
        offset: What is added then.
        complement: The whole that a share is missing to: 100 turns an accuracy of 93 % into an
            error of 0.07.
        worst: The worst value that can occur, if there is one, in ``unit``.
        best: The best value that can occur, if there is one, in ``unit``.
    """

    column: str | list[str]
    unit: str = "1"
    goal: Literal["minimize", "maximize"] = "minimize"
    scale: float = 1.0
    offset: float = 0.0
    complement: float | None = None
    worst: float | None = None
    best: float | None = None

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, one for each repetition."""
        return (self.column,) if isinstance(self.column, str) else tuple(self.column)

    def metric(self, name: str) -> Metric:
        """The metric, in the unit at rest.

        Raises:
            UnitError: The unit is unknown or none that is known at rest.
            ProblemError: The goal is none.
        """
        unit, factor = _at_rest(self.unit)
        bounds = [None if v is None else v * factor for v in (self.worst, self.best)]
        goal = Goal(_word(f"metrics.{name}.goal", self.goal, *(g.value for g in Goal)))
        return Metric(name, unit, goal, *bounds)

    def values(self, raw: Floats) -> Floats:
        """The table's values in the unit at rest; any shape."""
        if self.complement is not None:
            return 1.0 - raw / self.complement
        return (raw * self.scale + self.offset) * _at_rest(self.unit)[1]


def _at_rest(unit: str) -> tuple[str, float]:
    """The unit at rest of the same dimension, and how many of it one of the unit is."""
    for rest in _AT_REST:
        if dimension(rest) == dimension(unit):
            return rest, scale(unit) / scale(rest)
    if scale(unit) == 1.0:
        return unit, 1.0
    raise UnitError(
        f"values in {unit} cannot be brought to a unit at rest",
        rule="a multiple of " + ", ".join(_AT_REST),
        given=unit,
        cure="give the unit without prefix, and a scale",
    )


class Tabular(Evaluator):
    """Looks designs up in a table of one row per design: a parquet, CSV or npz file.

    A design that the table does not have, or for which it has no number, is infeasible. Genes that
    are neither in `keys` nor in `join` do not change the answer. An inactive gene counts with its
    first choice.

    Args:
        path: The file. A relative path starts from the folder of the study file that names it; in
            Python, from the folder that the program runs in.
        keys: Gene name to the column that has its values.
        join: Column to a text with gene names in braces, for tables that join genes to one name:
            ``{arch: "{net.b1}{net.b2}"}``. Where nothing stands between two genes, each is one
            character, or what `values` says.
        values: Choice to how the table writes it, where that differs: ``{identity: 0}``.
        metrics: Metric name to where it is in the table.
        repeats: Of several columns of a metric take the ``mean`` (of those that have a number), or
            ``one``, drawn for each design from the study's seed.
        expense: ``costly`` if the table stands for something slow, ``free`` if it is just known.
        fidelities: What is known of shorter evaluations: the share of the cost of a whole one to
            metric name to its column there, e.g. ``{0.06: {error: accuracy_12_epochs}}``.

    Raises:
        ProblemError: The options contradict each other; there is no such file, column or number;
            or a design is in the table twice.
        MissingExtraError: A package that reads such files is not installed.
    """

    def __init__(
        self,
        *,
        path: Path,
        metrics: Mapping[str, TableMetric],
        keys: Mapping[str, str] | None = None,
        join: Mapping[str, str] | None = None,
        values: Mapping[Choice, Choice] | None = None,
        repeats: Literal["mean", "one"] = "mean",
        expense: Literal["costly", "free"] = "costly",
        fidelities: Mapping[float, Mapping[str, str | list[str]]] | None = None,
    ) -> None:
        self.path = Path(path)
        self.written = {str(choice): value for choice, value in (values or {}).items()}
        self.repeats = _word("repeats", repeats, "mean", "one")
        self.expense = Expense(_word("expense", expense, *(e.value for e in Expense)))
        self.metrics = tuple(m.metric(name) for name, m in metrics.items())
        templates = [JoinedGenes.of(column, text) for column, text in (join or {}).items()]
        plain = dict(keys or {})
        self.genes = (*plain, *(gene for template in templates for gene in template.genes))
        _check_options(metrics, self.genes)
        levels = _levels(metrics, fidelities or {})
        self.fidelities = tuple(levels)
        self.reads = frozenset(gene.partition(".")[0] for gene in self.genes)
        sought = [c for known in levels.values() for m in known.values() for c in m.columns]
        texts = [template.column for template in templates]
        found, numbers = read(
            self.path, Wanted((*plain.values(), *texts), tuple(sought), tuple(texts))
        )
        columns = {gene: found[column] for gene, column in plain.items()}
        for template in templates:
            columns |= template.split(found[template.column], self.written, self.path)
        self._index = RowIndex.of({gene: columns[gene] for gene in self.genes}, self.path)
        self._values = {
            fidelity: {
                name: metric.values(np.stack([numbers[c] for c in metric.columns], axis=1))
                for name, metric in known.items()
            }
            for fidelity, known in levels.items()
        }
        for level in self._values.values():
            for metric in self.metrics:
                _check_bounds(metric, level[metric.name], self.path)
        options: list[Any] = [{name: asdict(metric) for name, metric in metrics.items()}]
        if fidelities:
            options.append({str(f): dict(columns) for f, columns in fidelities.items()})
        self.version = _version(
            self.path, [plain, dict(join or {}), self.written, *options, repeats]
        )

    @property
    def name(self) -> str:
        """The file's name."""
        return f"Tabular {self.path.name}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Looks a batch up; see `Evaluator.evaluate`.

        Raises:
            ProblemError: The space lacks a gene of the table, or no choice of a gene is in it.
        """
        n = len(designs)
        rows = self._index.rows(self._places(designs), n)
        here = rows >= 0
        turns = self._turns(designs)
        columns = {}
        for name, values in self._level(fidelity).items():
            columns[name] = np.full(n, np.nan)
            columns[name][here] = _picked(values[rows[here]], turns[here], self.repeats)
        finite = np.isfinite(np.stack(list(columns.values()))).all(axis=0)
        reason = np.where(here & finite, int(Reason.NONE), int(Reason.INFEASIBLE))
        text = np.where(here, "the table has no number for this design", "not in the table")
        notes = np.where(here & finite, "", text).tolist()
        return Measurements.of(self.metrics, columns, reason=reason, notes=notes)

    def _level(self, fidelity: float) -> Mapping[str, Floats]:
        if fidelity not in self._values:
            raise ProblemError(
                f"the table has no fidelity {fidelity:g}",
                where=str(self.path),
                rule="one of " + ", ".join(f"{f:g}" for f in self.fidelities),
                given=f"{fidelity:g}",
                cure="name its columns: fidelities: {0.1: {error: column}}",
            )
        return self._values[fidelity]

    def _check_written(self, genes: Sequence[Gene]) -> None:
        """Refuses `values` for a choice that no gene has: its rows would never be found."""
        known = _choices_of(genes)
        for choice in self.written:
            if choice not in known:
                raise ProblemError(
                    f"no gene of the table has the choice {choice!r}",
                    where="values",
                    rule="choices of " + ", ".join(self.genes) + ": " + ", ".join(sorted(known)),
                    given=repr(choice),
                    cure=nearest(choice, sorted(known)),
                )

    def _turns(self, designs: Designs) -> Ints:
        """Which repetition each design draws, ``int64 (n,)``."""
        if self.repeats == "mean":
            return np.zeros(len(designs), dtype=np.int64)
        return np.array(designs.seeds(*self.reads, stream="tabular"), dtype=np.int64)

    def _places(self, designs: Designs) -> list[Ints]:
        """Of each key gene the place of the designs' values in the table, -1 where it has none."""
        genes = {gene.name: gene for gene in designs.space.genes}
        for name in self.genes:
            if name not in genes:
                raise _no_gene(name, designs.space, self.path)
        self._check_written([genes[name] for name in self.genes])
        places = []
        for name, known in self._index.values.items():
            of_choice = _places_of(genes[name], known, self.written, self.path)
            places.append(of_choice[designs.genomes[:, designs.space.names.index(name)]])
        return places


def _choices_of(genes: Sequence[Gene]) -> set[str]:
    return {str(choice) for gene in genes for choice in gene.choices}


def _picked(values: Floats, turns: Ints, repeats: str) -> Floats:
    """One number per row of ``(n, repetitions)``; NaN where there is none."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=1), 1)
    if repeats == "mean":
        total = np.where(known, values, 0.0).sum(axis=1)
        return np.where(known.any(axis=1), total / count, np.nan)
    order = np.argsort(~known, axis=1, kind="stable")
    chosen = np.take_along_axis(order, (turns % count)[:, None], axis=1)
    picked: Floats = np.take_along_axis(values, chosen, axis=1)[:, 0]
    return picked


def _places_of(gene: Gene, known: Any, written: Mapping[str, Any], path: Path) -> Ints:
    """Of each choice of a gene its place among the table's values, -1 where it has none."""
    values = [written.get(str(choice), choice) for choice in gene.choices]
    if known.dtype.kind == "f":
        numbers = [_number(value) for value in values]
        places = [_place(known, value) for value in numbers]
    else:
        places = [_place(known, str(value)) for value in values]
    if len(known) and max(places) < 0:
        raise ProblemError(
            f"no choice of gene {gene.name!r} is in the table",
            where=str(path),
            rule="the table's values are choices, or `values` says how it writes them",
            given=f"choices {_shown(values)}; in the table {_shown(known.tolist())}",
            cure="values: {" + f"{gene.choices[0]}: {known.tolist()[0]}" + ", ...}",
        )
    return np.array(places, dtype=np.int64)


def _number(value: Choice) -> float:
    try:
        return float(value)
    except ValueError:
        return np.nan


def _place(known: Any, value: Any) -> int:
    place = int(np.searchsorted(known, value))
    return place if place < len(known) and known[place] == value else -1


def _shown(values: list[Any]) -> str:
    return ", ".join(map(repr, values[:5])) + (" ..." if len(values) > 5 else "")


def _check_options(metrics: Mapping[str, TableMetric], genes: tuple[str, ...]) -> None:
    """Refuses options that contradict each other."""
    twice = {gene for gene in genes if genes.count(gene) > 1}
    if not genes or twice:
        raise ProblemError(
            f"gene {min(twice)!r} is in the table twice" if twice else "nothing tells rows apart",
            where="keys and join",
            rule="each gene that the table depends on, once",
            cure='keys: {net.width: width}, or join: {arch: "{net.b1}{net.b2}"}',
        )
    if not metrics:
        raise ProblemError(
            "the table measures nothing",
            where="metrics",
            rule="at least one metric",
            cure="metrics: {error: {column: accuracy, complement: 100}}",
        )
    for name, metric in metrics.items():
        if not metric.columns:
            raise ProblemError(f"metric {name!r} has no column", where=f"metrics.{name}.column")
        mixed = metric.complement is not None and (
            (metric.scale, metric.offset, metric.unit) != (1.0, 0.0, "1")
        )
        if mixed or metric.complement == 0:
            raise ProblemError(
                f"metric {name!r} cannot be a complement like that",
                where=f"metrics.{name}",
                rule="1 - value / complement is a ratio: no scale, no offset, unit 1, not 0",
                given=f"complement {metric.complement}, scale {metric.scale}, "
                f"offset {metric.offset}, unit {metric.unit}",
            )


def _levels(
    metrics: Mapping[str, TableMetric], fidelities: Mapping[float, Mapping[str, str | list[str]]]
) -> dict[float, Mapping[str, TableMetric]]:
    """Fidelity to how each metric is read there, ascending; the whole one is the last."""
    levels: dict[float, Mapping[str, TableMetric]] = {}
    for fidelity, columns in sorted(fidelities.items()):
        if not 0 < fidelity < 1:
            raise ProblemError(
                f"there is no lower fidelity of {fidelity:g}",
                where="fidelities",
                rule="a share of the cost of a whole evaluation, above 0 and below 1",
                given=f"{fidelity:g}",
                cure="fidelities: {0.06: {error: accuracy_12_epochs}}",
            )
        if set(columns) != set(metrics):
            raise ProblemError(
                f"fidelity {fidelity:g} is not that of the metrics",
                where=f"fidelities.{fidelity:g}",
                rule="one entry per metric: " + ", ".join(metrics),
                given=", ".join(columns) or "none",
            )
        levels[float(fidelity)] = {
            name: replace(metric, column=columns[name]) for name, metric in metrics.items()
        }
    return {**levels, 1.0: metrics}


def _check_bounds(metric: Metric, values: Floats, path: Path) -> None:
    """Refuses values beyond the best or the worst that the metric declares."""
    sign = 1.0 if metric.goal is Goal.MINIMIZE else -1.0
    least = -np.inf if metric.best is None else sign * metric.best
    most = np.inf if metric.worst is None else sign * metric.worst
    beyond = np.argwhere((sign * values < least) | (sign * values > most))
    if beyond.size:
        row = int(beyond[0, 0])
        raise ProblemError(
            f"metric {metric.name!r} has values beyond its bounds",
            where=f"{path}, row {row}",
            rule=f"best {metric.best}, worst {metric.worst} ({metric.goal.value})",
            given=", ".join(f"{value:g}" for value in values[row]) + f" {metric.unit}",
            cure="mend the bounds, the scale or the complement",
        )


def _word(option: str, given: str, *allowed: str) -> str:
    """An option that is one of some words."""
    if given not in allowed:
        raise ProblemError(
            f"{option} cannot be {given!r}",
            where=option,
            rule="one of " + ", ".join(allowed),
            given=repr(given),
            cure=nearest(str(given), allowed),
        )
    return given


def _no_gene(name: str, space: Space, path: Path) -> ProblemError:
    return ProblemError(
        f"the space has no gene {name!r}, which tells rows of {path.name!r} apart",
        where="keys or join",
        rule="genes of the space",
        given=repr(name),
        cure=nearest(name, space.names),
    )


def _version(path: Path, options: list[Any]) -> str:
    """A digest of the file's contents and of how they are read."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8))
    digest.update(json.dumps(options, sort_keys=True, default=str).encode())
    return digest.hexdigest()
