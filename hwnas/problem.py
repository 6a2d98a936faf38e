"""The problem: space, evaluators, objectives and constraints, frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.design.designs import Designs
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation.interface import Chunk, Evaluator, Expense, collect
from hwnas.evaluation.wrappers import Joined, distinct_metrics
from hwnas.expressions import Constraint, Objective
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.space import Space
from hwnas.units import scale

_AT_REST: Final = frozenset({"1", "s", "J", "m^2", "W", "B", "Hz", "B/s"})
_USUAL_PARTS: Final = frozenset({"net", "quant", "hw", "map", "train"})
"""Parts that a space may lack though an evaluator would read them, e.g. bits that are fixed."""


@dataclass(frozen=True, eq=False, init=False)
class Problem:
    """What is searched and what counts.

    Symbols: ``n`` designs, ``m`` objectives, ``c`` constraints.

    Attributes:
        space: The joint space.
        evaluators: Who measures; no metric twice.
        objectives: At least one; text such as ``"minimize: edp = energy * latency"`` is parsed,
            and a bare metric goes its own way.
        constraints: Text such as ``"area <= 4 mm2"`` is parsed.

    Raises:
        ProblemError: Nothing to optimise, a metric measured twice or not in SI units, a name
            used twice, an evaluator that reads a part the space does not have, conditions on
            missing genes, or constraints that contradict each other.
        ExpressionError: An objective or a constraint cannot be read, or nobody measures it.
        UnitError: Units do not fit.
    """

    space: Space
    evaluators: tuple[Evaluator, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def __init__(
        self,
        space: Space,
        evaluators: Sequence[Evaluator],
        objectives: Sequence[Objective | str],
        constraints: Sequence[Constraint | str] = (),
    ) -> None:
        for argument, given in (("objectives", objectives), ("constraints", constraints)):
            if isinstance(given, str):
                raise ProblemError(
                    f"{argument} are a list",
                    where=f"argument {argument}",
                    given=repr(given),
                    cure=f"{argument}=[{given!r}]",
                )
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "evaluators", tuple(evaluators))
        if not self.evaluators:
            raise ProblemError("nothing is measured", rule="at least one evaluator")
        if not objectives:
            raise ProblemError("nothing is optimised", rule="at least one objective")
        parsed = (Objective.parse(o) if isinstance(o, str) else o for o in objectives)
        resolved = tuple(objective.resolved(self.metrics) for objective in parsed)
        limits = tuple(Constraint.parse(c) if isinstance(c, str) else c for c in constraints)
        object.__setattr__(self, "objectives", resolved)
        object.__setattr__(self, "constraints", limits)
        names = [objective.name for objective in resolved]
        for name in names:
            if names.count(name) > 1:
                raise ProblemError(f"objective {name!r} occurs twice", rule="names differ")
        for constraint in limits:
            constraint.check(self.metrics)
        self._check_units()
        self._check_reads()
        self._check_conditions()
        for part in space.parts.values():
            part.check(space)
        for a, b in combinations(limits, 2):
            _check_together(a, b)

    def _check_units(self) -> None:
        for metric in self.metrics.values():
            if metric.unit not in _AT_REST and scale(metric.unit) != 1.0:
                raise ProblemError(
                    f"metric {metric.name!r} is measured in {metric.unit}",
                    rule="evaluators answer in SI units (s, J, m^2, W, B, Hz, 1); people see "
                    "them scaled",
                    given=metric.unit,
                    cure="answer in the unit without prefix, e.g. s in place of ms",
                )

    def _check_reads(self) -> None:
        for evaluator in self.evaluators:
            for part in sorted(evaluator.reads - set(self.space.part_names) - _USUAL_PARTS):
                raise ProblemError(
                    f"evaluator {evaluator.name!r} reads a part that the space does not have",
                    rule="parts of this space: " + ", ".join(self.space.part_names),
                    given=repr(part),
                    cure=nearest(part, self.space.part_names),
                )

    def _check_conditions(self) -> None:
        for condition in self.space.open_conditions:
            gene = next(gene for gene in self.space.genes if condition in gene.when)
            cure = nearest(condition.gene, self.space.names)
            part = self.space.parts.get(gene.part)
            if is_dataclass(part):  # others may not say how they were made
                for option, value in part.options().items():
                    if value == condition.gene:
                        cure = f"give {part.name} another {option}, or {option}: '' for none"
            raise ProblemError(
                f"gene {gene.name!r} depends on {condition.gene!r}, which is not in the space",
                rule="every condition names a gene of the joint space",
                given=condition.gene,
                cure=cure,
            )

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Every metric that is measured, by name."""
        return {metric.name: metric for metric in distinct_metrics(self.evaluators)}

    @property
    def signs(self) -> Floats:
        """1 where an objective is minimised, -1 where it is maximised, ``(m,)``."""
        return np.array([1.0 if o.goal is Goal.MINIMIZE else -1.0 for o in self.objectives])

    @cached_property
    def free_evaluators(self) -> tuple[Evaluator, ...]:
        """Those that are FREE."""
        return tuple(e for e in self.evaluators if e.expense is Expense.FREE)

    @cached_property
    def costly(self) -> tuple[Evaluator, ...]:
        """Those that are COSTLY: what a budget counts."""
        return tuple(e for e in self.evaluators if e.expense is Expense.COSTLY)

    @cached_property
    def costly_columns(self) -> Ints:
        """The columns of the genome that somebody COSTLY reads; all where nothing is COSTLY.

        Designs that are equal there share one costly evaluation.
        """
        reads = [e.reads for e in self.costly]
        parts: frozenset[str] = frozenset().union(*reads) if all(reads) else frozenset()
        return self.space.columns_of(*self.space.read_by(parts))

    @cached_property
    def free_metrics(self) -> frozenset[str]:
        """The names of the metrics that FREE evaluators measure."""
        return frozenset(m.name for e in self.free_evaluators for m in e.metrics)

    @cached_property
    def free_constraints(self) -> tuple[int, ...]:
        """The constraints that free metrics decide alone, as indices."""
        return tuple(j for j, c in enumerate(self.constraints) if c.metrics <= self.free_metrics)

    def designs(self, genomes: Any, seed: int = 0) -> Designs:
        """A batch of designs of this problem's space."""
        return Designs(self.space, genomes, seed)

    def free(self, designs: Designs) -> Measurements:
        """Measures everything that is FREE; no metric at all where nothing is."""
        if not self.free_evaluators:
            return Measurements.nothing((), len(designs), Reason.NONE)
        return Joined(self.free_evaluators).evaluate(designs)

    def evaluate(self, designs: Designs) -> Measurements:
        """Measures everything; see `stream`."""
        metrics = tuple(self.metrics.values())
        return collect(metrics, len(designs), self.stream(designs))

    @cached_property
    def fidelities(self) -> tuple[float, ...]:
        """The fidelities that all COSTLY evaluators have, ascending; 1 is the last."""
        return Joined(self.costly).fidelities if self.costly else (1.0,)

    def stream(
        self, designs: Designs, costly: Evaluator | None = None, fidelity: float = 1.0
    ) -> Iterator[Chunk]:
        """Measures everything and hands out rows as they are finished.

        Free metrics come first. A design that they find infeasible, or that violates a constraint
        on them, is not worth a costly evaluation: it gets none, and its costly metrics are NaN.

        Args:
            designs: ``n`` designs.
            costly: Stands in for the COSTLY evaluators, e.g. in several processes.
            fidelity: Of the costly metrics, one of `fidelities`; below 1 the rows have values,
                but do not count as feasible (`Reason.LOW_FIDELITY`).
        """
        free = self.free(designs)
        if not self.costly:
            if len(designs):
                yield np.arange(len(designs)), free.at(fidelity)
            return
        costly = costly or Joined(self.costly)
        worth = free.feasible.copy()
        names: list[str] = [""] * len(designs)
        for j in self.free_constraints:
            with np.errstate(all="ignore"):
                # What has no value is not met either, and NaN compares as False.
                broken = ~(self.constraints[j].violation(free.columns) <= 0)
            for i in np.flatnonzero(broken & worth):
                names[i] = f"violates {self.constraints[j].text}"
            worth &= ~broken
        refused = np.flatnonzero(~worth)
        if refused.size:
            why = [names[i] for i in refused]
            yield refused, self._refused(costly, free.take(refused), why).at(fidelity)
        kept = np.flatnonzero(worth)
        for rows, measured in costly.stream(designs[kept], fidelity):
            yield kept[rows], free.take(kept[rows]).beside(measured).at(fidelity)

    def _refused(self, costly: Evaluator, free: Measurements, why: list[str]) -> Measurements:
        reason = np.full(len(free), int(Reason.RULED_OUT))
        columns = {**free.columns, **{m.name: np.full(len(free), np.nan) for m in costly.metrics}}
        notes = [a or b for a, b in zip(why, free.notes, strict=True)]
        return Measurements.of(
            (*free.metrics, *costly.metrics), columns, reason=reason, notes=notes
        )

    def values(self, measurements: Measurements) -> Floats:
        """The objectives as they are, at rest, ``(n, m)``; NaN in rows without values."""
        with np.errstate(all="ignore"):
            columns = [objective.values(measurements.columns) for objective in self.objectives]
        return np.stack([np.broadcast_to(c, len(measurements)) for c in columns], axis=1)

    def losses(self, measurements: Measurements) -> Floats:
        """The objectives, all to be minimised, ``(n, m)``.

        Infinite in rows that are not feasible, or where a computation has no finite value.
        """
        losses = self.values(measurements) * self.signs
        usable = measurements.feasible & np.isfinite(losses).all(axis=1)
        return np.where(usable[:, None], losses, np.inf)

    def violations(self, measurements: Measurements) -> Floats:
        """By how much each constraint is violated, at rest, ``(n, c)``; 0 where it is met.

        Infinite where a metric of the constraint was not measured.
        """
        with np.errstate(all="ignore"):
            columns = [c.violation(measurements.columns) for c in self.constraints]
        return self._per_constraint(measurements, columns)

    def excesses(self, measurements: Measurements) -> Floats:
        """How far each constraint is beyond its bound, ``(n, c)``; negative where there is room.

        Infinite where a metric of the constraint was not measured.
        """
        with np.errstate(all="ignore"):
            columns = [c.excess(measurements.columns) for c in self.constraints]
        return self._per_constraint(measurements, columns)

    def relative_violations(self, measurements: Measurements) -> Floats:
        """Violations divided by the size of their bounds, so that they add up, ``(n, c)``."""
        with np.errstate(all="ignore"):
            columns = [
                c.violation(measurements.columns) / c.scale(measurements.columns)
                for c in self.constraints
            ]
        return self._per_constraint(measurements, columns)

    def _per_constraint(self, measurements: Measurements, columns: list[Floats]) -> Floats:
        n = len(measurements)
        if not columns:
            return np.zeros((n, 0))
        table = np.stack([np.broadcast_to(column, n) for column in columns], axis=1)
        return np.where(np.isnan(table), np.inf, table)

    def satisfied(self, measurements: Measurements) -> Bools:
        """``bool (n,)``: rows that are feasible, finite, and meet every constraint."""
        met = np.asarray((self.violations(measurements) <= 0).all(axis=1))
        finite = np.asarray(np.isfinite(self.losses(measurements)).all(axis=1))
        return measurements.feasible & met & finite


def nondominated(losses: Floats) -> Ints:
    """The rows of the Pareto front, ascending, equal rows all kept, ``(j,)``.

    Args:
        losses: To be minimised, ``(n, m)``; rows that are not finite are left out.
    """
    import moocore

    finite = np.flatnonzero(np.isfinite(losses).all(axis=1))
    if not finite.size:
        return finite
    keep = moocore.is_nondominated(losses[finite], maximise=False, keep_weakly=True)
    front: Ints = finite[keep]
    return front


def _check_together(a: Constraint, b: Constraint) -> None:
    """Refuses two constant bounds on one expression that leave nothing between them."""
    if a.right.metrics or b.right.metrics or a.at_most == b.at_most:
        return
    if _left_text(a) != _left_text(b):
        return
    upper, lower = (a, b) if a.at_most else (b, a)
    if float(upper.right.values({})) < float(lower.right.values({})):
        raise ProblemError(
            "two constraints contradict each other",
            given=f"{upper.text!r} and {lower.text!r}",
            rule="some value must meet both",
            cure="relax one of them",
        )


def _left_text(constraint: Constraint) -> str:
    return constraint.text.partition("<=" if constraint.at_most else ">=")[0].replace(" ", "")
