"""The Pareto front as plain records: what tables, files and reports are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.arrays import Choice, Ints
from hwnas.errors import NothingFeasibleError
from hwnas.history import History
from hwnas.metrics import Reason
from hwnas.problem import Problem

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class FrontDesign:
    """One design of a front.

    Attributes:
        number: Its row in the study's history, which is its trial number in the storage.
        objectives: Objective to value, at rest.
        metrics: Metric to value, at rest.
        genes: Name to value of the active genes.
    """

    number: int
    objectives: dict[str, float]
    metrics: dict[str, float]
    genes: dict[str, Choice]


@dataclass(frozen=True)
class Front:
    """The Pareto front of a study, sorted by the first objective.

    Attributes:
        problem: The problem.
        designs: The designs.
    """

    problem: Problem
    designs: tuple[FrontDesign, ...]

    def __len__(self) -> int:
        return len(self.designs)

    @classmethod
    def of(cls, history: History) -> Front:
        """The front of a history.

        Raises:
            NothingFeasibleError: No design is feasible; the message says which constraint kills
                them.
        """
        if not len(history.front):
            raise nothing_feasible(history)
        return cls(history.problem, tuple(records(history, history.front)))

    def table(self) -> pandas.DataFrame:
        """One row per design: its number, objectives, further metrics and genes, at rest."""
        import pandas

        rows = [
            {
                "number": d.number,
                **d.objectives,
                **{k: v for k, v in d.metrics.items() if k not in d.objectives},
                **d.genes,
            }
            for d in self.designs
        ]
        table = pandas.DataFrame(rows)
        for gene in self.problem.space.genes:
            # Where a gene sleeps there is no value, which would make floats of whole numbers.
            if gene.name in table and all(isinstance(choice, int) for choice in gene.choices):
                table[gene.name] = table[gene.name].astype("Int64")
        return table

    def to_json(self) -> list[dict[str, Any]]:
        """The designs as plain JSON values."""
        return [asdict(design) for design in self.designs]


def records(history: History, rows: Ints) -> Sequence[FrontDesign]:
    """Some rows of a history as records, sorted by their first loss."""
    problem = history.problem
    block = history.rows.take(rows)
    values = problem.values(block.measurements)
    order = np.lexsort((rows, problem.losses(block.measurements)[:, 0]))
    designs = problem.designs(block.genomes)
    names = [objective.name for objective in problem.objectives]
    return [
        FrontDesign(
            int(rows[i]),
            dict(zip(names, map(float, values[i]), strict=True)),
            {name: float(column[i]) for name, column in block.measurements.columns.items()},
            designs[int(i)].config,
        )
        for i in order
    ]


def nothing_feasible(history: History) -> NothingFeasibleError:
    """Says why a history has no feasible design: which constraint or failure kills them."""
    block = history.rows
    n = len(block)
    if not n:
        return NothingFeasibleError(
            "nothing was measured yet", cure="run the study before asking for its front"
        )
    reasons = []
    violations = history.problem.violations(block.measurements)
    for j, constraint in enumerate(history.problem.constraints):
        known = np.isfinite(violations[:, j])
        broken = known & (violations[:, j] > 0)
        if broken.any():
            reasons.append((int(broken.sum()), f"{constraint.text} violated by {broken.sum()}"))
    for code in np.unique(block.measurements.reason):
        if code not in (Reason.NONE, Reason.RULED_OUT, Reason.LOW_FIDELITY):
            rows = np.flatnonzero(block.measurements.reason == code)
            note = block.measurements.notes[rows[0]]
            text = f"{Reason(int(code)).name.lower()}: {len(rows)} ({note})"
            reasons.append((len(rows), text))
    reasons.sort(reverse=True)
    return NothingFeasibleError(
        f"none of {n} designs is feasible",
        rule="a design counts that meets every constraint",
        given="; ".join(text for _, text in reasons) or "no finite objective values",
        cure="relax the constraint that kills the most, or widen the space",
    )
