"""What one design consists of, and where its metrics come from: records, drawn elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from hwnas.arrays import Choice, Floats
from hwnas.design.designs import Design
from hwnas.design.layers import LayerTable, Operator
from hwnas.design.parts import NetworkFamily
from hwnas.errors import DesignError
from hwnas.evaluation.explanation import Explanation, Roofline
from hwnas.evaluation.interface import Evaluator, describe
from hwnas.front import FrontDesign, records
from hwnas.metrics import Metric, Reason
from hwnas.report.quantity import Quantity, unit_of

if TYPE_CHECKING:
    from hwnas.study import Study

MOST_CHOSEN: Final = 3
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Component:
    """What one component contributes to a metric.

    Attributes:
        name: The component.
        value: In the metric's unit at rest.
        share: Of the metric; ``None`` where that is 0.
    """

    name: str
    value: float
    share: float | None


@dataclass(frozen=True)
class Breakdown:
    """Where one metric comes from.

    Attributes:
        quantity: The metric.
        components: In the order of the evaluator.
        total: The metric's value; the sum of the components where it was not measured.
        adds_up: Whether the components add up to it; else they overlap, as times do.
    """

    quantity: Quantity
    components: tuple[Component, ...]
    total: float
    adds_up: bool

    @classmethod
    def of(cls, metric: Metric, parts: Mapping[str, float], measured: float) -> Breakdown:
        """The breakdown of a metric.

        Args:
            metric: The metric.
            parts: Component to value.
            measured: The value of the metric; NaN where it was not measured.
        """
        whole = sum(parts.values())
        total = measured if np.isfinite(measured) else whole
        return cls(
            Quantity(metric.name, metric.unit, metric.goal),
            tuple(
                Component(name, float(value), float(value) / total if total else None)
                for name, value in parts.items()
            ),
            float(total),
            bool(abs(whole - total) <= _ROUNDING * abs(total)),
        )


@dataclass(frozen=True)
class Line:
    """One layer, as a person sees it.

    Attributes:
        number: Its place in the order of execution, from 0.
        kind: What it computes: its operator, or ``depthwise`` or ``grouped``.
        text: Kind and shape in one line.
        alike: The numbers of all layers of this shape and these bits, ascending.
    """

    number: int
    kind: str
    text: str
    alike: tuple[int, ...]


@dataclass(frozen=True)
class Account:
    """What one evaluator says of one design.

    Attributes:
        evaluator: Its name.
        breakdowns: Where its metrics come from.
        layers: Column to one value per layer, at rest; see `Explanation.layers`.
        roofline: ``None`` where there is none.
        note: Why nothing can be said; empty otherwise.
    """

    evaluator: str
    breakdowns: tuple[Breakdown, ...] = ()
    layers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    roofline: Roofline | None = field(default=None, compare=False)
    note: str = ""

    @cached_property
    def columns(self) -> dict[str, Floats]:
        """`layers` as arrays, ``float64 (L,)``."""
        return {name: np.array(values, np.float64) for name, values in self.layers.items()}


@dataclass(frozen=True)
class Anatomy:
    """One design of a study.

    Attributes:
        number: Its row in the study's history.
        chosen: Why it is shown; empty where it was asked for.
        state: Why it is not feasible; empty where it is.
        genes: The active genes.
        measured: Objectives that are computed, then the metrics, at rest; ``None`` where they were
            not measured.
        table: Its layers; ``None`` where there are none in its space.
        lines: Its layers, as a person sees them.
        accounts: What evaluators say; those with nothing to say are left out.
        silence: Why there is no account; empty where there is one.
    """

    number: int
    chosen: str
    state: str
    genes: tuple[tuple[Quantity, Choice], ...]
    measured: tuple[tuple[Quantity, float | None], ...]
    table: LayerTable | None = field(compare=False)
    lines: tuple[Line, ...]
    accounts: tuple[Account, ...]
    silence: str


def anatomy(study: Study, number: int, chosen: str = "") -> Anatomy:
    """Looks into one design of a study.

    Args:
        study: A study, finished or not.
        number: The design's row in the history.
        chosen: Why it is shown.

    Raises:
        DesignError: There is no design of that number.
    """
    if not 0 <= number < len(study.history):
        raise DesignError(
            f"there is no design {number}",
            rule=f"0 to {len(study.history) - 1}",
            given=str(number),
            cure="hwnas front DIR shows the numbers of the front",
        )
    problem = study.problem
    found = records(study.history, np.array([number]))[0]
    design = problem.designs(study.history.rows.genomes[number][None, :], study.seed)[0]
    table = layers_of(design)
    state = _state(study, number)
    accounts = tuple(
        account
        for evaluator in problem.evaluators
        if (account := _account(evaluator, design, table, found.metrics)) is not None
    )
    silence = ""
    if not accounts:
        silence = "No evaluator of this study says where its metrics come from."
        if state:
            silence = "As the design is not feasible, there is nothing to break down."
    return Anatomy(
        number,
        chosen,
        state,
        tuple(
            (Quantity(gene.name, gene.unit), found.genes[gene.name])
            for gene in problem.space.genes
            if gene.name in found.genes
        ),
        tuple(_measured(study, found)),
        table,
        lines(table) if table is not None else (),
        accounts,
        silence,
    )


def _measured(study: Study, found: FrontDesign) -> Iterator[tuple[Quantity, float | None]]:
    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    metrics = study.problem.metrics
    for objective in study.problem.objectives:
        if objective.name not in metrics:
            unit = unit_of(objective, study.problem)
            quantity = Quantity(objective.name, unit, objective.goal, text=objective.text)
            yield quantity, known(found.objectives[objective.name])
    for metric in metrics.values():
        yield Quantity(metric.name, metric.unit, metric.goal), known(found.metrics[metric.name])


def _state(study: Study, number: int) -> str:
    block = study.history.rows.measurements.take(np.array([number]))
    reason, note = Reason(int(block.reason[0])), block.notes[0]
    if reason is not Reason.NONE:
        name = reason.name.lower().replace("_", " ")
        speaks = note and reason in (Reason.INFEASIBLE, Reason.RULED_OUT)
        return note if speaks else f"{name}: {note}".removesuffix(": ")
    violations = study.problem.violations(block)[0]
    broken = [
        c.text for c, amount in zip(study.problem.constraints, violations, strict=True) if amount
    ]
    return f"violates {', '.join(broken)}" if broken else ""


def layers_of(design: Design) -> LayerTable | None:
    """The layers of a design; ``None`` where its space has no networks."""
    return design.layers if isinstance(design.space.parts.get("net"), NetworkFamily) else None


def explained(evaluator: Evaluator, design: Design) -> Explanation | str | None:
    """What an evaluator says of a design; a text where it cannot be used, be it foreign code's."""
    try:
        said = evaluator.explain(design)
    except Exception as error:  # whatever a foreign evaluator raises is no reason for no report
        return describe(error)
    if said is None or isinstance(said, Explanation):
        return said
    return f"it answers with a {type(said).__name__}, not an Explanation"


def _account(
    evaluator: Evaluator, design: Design, table: LayerTable | None, measured: Mapping[str, float]
) -> Account | None:
    said = explained(evaluator, design)
    if said is None:
        return None
    if isinstance(said, str):
        return Account(evaluator.name, note=said)
    rows = 0 if table is None else len(table)
    if said.rows not in (None, rows):
        note = f"it speaks of {said.rows} layers, the design has {rows}"
        return Account(evaluator.name, note=note)
    metrics = {metric.name: metric for metric in evaluator.metrics}
    breakdowns = tuple(
        Breakdown.of(metrics.get(name, Metric(name)), parts, measured.get(name, np.nan))
        for name, parts in said.parts.items()
        if parts
    )
    layers = {name: tuple(column.tolist()) for name, column in said.layers.items()}
    return Account(evaluator.name, breakdowns, layers, said.roofline)


def lines(table: LayerTable) -> tuple[Line, ...]:
    """The rows of a layer table of one design, as a person sees them."""
    weight_bits = np.where(table.has_weights, table.weight_bits, 0)
    columns = (
        table.operator, table.N, table.K, table.C, table.P, table.Q, table.R, table.S,
        table.stride, table.groups, weight_bits, table.activation_bits,
    )  # fmt: skip
    alike: dict[tuple[int, ...], list[int]] = {}
    keys = list(zip(*(column.tolist() for column in columns), strict=True))
    for number, key in enumerate(keys):
        alike.setdefault(key, []).append(number)
    return tuple(
        Line(number, kind, text, tuple(alike[key]))
        for number, key in enumerate(keys)
        for kind, text in [_words(*key)]
    )


def _words(
    operator: int, N: int, K: int, C: int, P: int, Q: int, R: int, S: int,
    stride: int, groups: int, weight_bits: int, activation_bits: int,
) -> tuple[str, str]:  # fmt: skip
    kind = Operator(operator).name.lower()
    if operator == Operator.CONVOLUTION and groups > 1:
        kind = "depthwise" if groups == C else "grouped"
    words = [kind]
    if R * S > 1 or operator == Operator.CONVOLUTION:
        words.append(f"{R}x{S}" + (f"/{stride}" if stride > 1 else ""))
    words.append(f"{C} → {K} channels, {P}x{Q}")
    if groups > 1:
        words.append(f"in {groups} groups")
    if N > 1:
        words.append(f"batch of {N}")
    return kind, " ".join(words) + f", {weight_bits or '-'}/{activation_bits} bits"


def choose(study: Study, most: int = MOST_CHOSEN) -> tuple[tuple[int, str], ...]:
    """The designs of a front that stand for it: the compromise, then the best in an objective.

    The compromise is closest to the best values of all objectives, each scaled to the extent of
    the front (by its logarithm where the study's yardstick is). Objectives that an evaluator
    explains come before the others.

    Args:
        study: A study, finished or not.
        most: How many there are at most.

    Returns:
        Numbers and why they were chosen, each number once; empty where the front is.
    """
    front, losses = study.history.front, study.history.front_losses
    if not len(front):
        return ()
    scaled = study.yardstick.scaled(losses) if study.yardstick else losses
    low, high = scaled.min(axis=0), scaled.max(axis=0)
    unit = (scaled - low) / np.where(high > low, high - low, 1.0)
    reasons: dict[int, list[str]] = {}
    objectives = study.problem.objectives
    if len(objectives) > 1:
        place = int(np.argmin((unit**2).sum(axis=1)))
        reasons[int(front[place])] = ["the compromise between all objectives"]
    for j in sorted(range(len(objectives)), key=lambda j: not _is_explained(study, j)):
        place = int(np.lexsort((unit.sum(axis=1), losses[:, j]))[0])
        reasons.setdefault(int(front[place]), []).append(f"the best in {objectives[j].name}")
    return tuple((n, " and ".join(why)) for n, why in list(reasons.items())[:most])


def _is_explained(study: Study, objective: int) -> bool:
    """Whether an evaluator that explains anything measures what an objective is computed from."""
    explaining = {
        metric.name
        for evaluator in study.problem.evaluators
        if type(evaluator).explain is not Evaluator.explain
        for metric in evaluator.metrics
    }
    return bool(explaining & study.problem.objectives[objective].node.metrics)


def anatomies(study: Study, most: int = MOST_CHOSEN) -> tuple[Anatomy, ...]:
    """The designs that stand for a front; none where no evaluator explains anything of them."""
    return tuple(anatomy(study, number, why) for number, why in choose(study, most))
