"""Small random joint problems whose metrics are tables: whatever structure helps, they may have."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hwnas import Evaluator, Expense, Gene, Measurements, Metric, Problem, Space
from hwnas.errors import ProblemError
from hwnas.metrics import Goal, Reason
from hwnas.space import When, keys

PARTS = ("net", "quant", "hw")


class Table(Evaluator):
    """Whole numbers that follow from the genome in no way that one could guess.

    Args:
        names: Its metrics.
        reads: The parts that it reads.
        seed: Of the numbers.
        coarse: Whether choices 0 and 1 are the same to it, which its fingerprints say.
        cannot: Of how many designs one is infeasible; 0 for none.
    """

    expense = Expense.FREE

    def __init__(self, names, reads, seed, *, coarse=False, cannot=0):
        self.metrics = tuple(
            Metric(name, goal=Goal.MAXIMIZE if name.endswith("+") else Goal.MINIMIZE)
            for name in (n.replace("+", "") for n in names)
        )
        self.reads = frozenset(reads)
        self.seed, self.coarse, self.cannot = seed, coarse, cannot

    def _seen(self, designs):
        """Names of genes and what is seen of them, the columns that are 0 left out."""
        space = designs.space
        columns = space.columns_of(*space.read_by(self.reads))
        rows = designs.genomes[:, columns]
        return [space.names[j] for j in columns], np.maximum(rows - 1, 0) if self.coarse else rows

    def fingerprints(self, designs):
        return keys(np.ascontiguousarray(self._seen(designs)[1]))

    def evaluate(self, designs, fidelity=1.0):
        names, rows = self._seen(designs)
        state = np.full(len(designs), self.seed, dtype=np.int64)
        for name, column in sorted(zip(names, rows.T, strict=True), key=lambda pair: pair[0]):
            salt = sum(ord(letter) * (i + 3) for i, letter in enumerate(name))
            # Squares, so that it is neither a sum over genes nor monotone in one.
            state = (state * 31 + (column + 1) * salt * (column + 7) + state * column) % 1_000_003
        columns = {
            metric.name: ((state * (j + 1)) // 7 % 6).astype(np.float64)
            for j, metric in enumerate(self.metrics)
        }
        bad = state % self.cannot == 1 if self.cannot else np.zeros(len(designs), dtype=bool)
        reason = np.where(bad, int(Reason.INFEASIBLE), int(Reason.NONE))
        return Measurements.of(self.metrics, columns, reason=reason)


@st.composite
def spaces(draw):
    """Two or three parts of one or two genes; some depend on others, also across parts."""
    genes: list[Gene] = []
    for part in PARTS[: draw(st.integers(2, 3))]:
        for i in range(draw(st.integers(1, 2))):
            when = ()
            if genes and draw(st.integers(0, 3)) == 0:
                other = draw(st.sampled_from(genes))
                when = (When(other.name, (draw(st.sampled_from(other.choices)),)),)
            count = draw(st.integers(1, 4))
            genes.append(Gene(f"{part}.g{i}", tuple(range(count)), when=when))
    return Space(tuple(draw(st.permutations(genes))))


@st.composite
def problems(draw):
    """One to three tables; objectives and constraints on one metric or on two."""
    space = draw(spaces())
    parts = space.part_names
    evaluators, names = [], []
    for i in range(draw(st.integers(1, 3))):
        mine = [f"m{i}{j}" for j in range(draw(st.integers(1, 2)))]
        reads = draw(st.lists(st.sampled_from(parts), max_size=2))
        evaluators.append(
            Table(
                mine,
                reads,
                draw(st.integers(1, 10_000)),
                coarse=draw(st.booleans()),
                cannot=draw(st.sampled_from((0, 0, 3, 9))),
            )
        )
        names += mine
    texts = st.one_of(
        st.sampled_from(names),
        st.builds("{} + {}".format, st.sampled_from(names), st.sampled_from(names)),
    )
    goals = draw(st.lists(st.sampled_from(("minimize", "maximize")), min_size=1, max_size=3))
    objectives = [f"{goal}: o{i} = {draw(texts)}" for i, goal in enumerate(goals)]
    constraints = [
        f"{draw(texts)} {draw(st.sampled_from(('<=', '>=')))} {draw(st.integers(0, 5))}"
        for _ in range(draw(st.integers(0, 2)))
    ]
    return space, evaluators, objectives, constraints


def built(parts):
    """The problem, or nothing where constraints contradict each other."""
    try:
        return Problem(*parts)
    except ProblemError:
        return None
