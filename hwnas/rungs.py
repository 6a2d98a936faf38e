"""Rungs: what was measured at each fidelity, and whether it ranks designs like the whole thing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem
from hwnas.space import keys

JUDGED: Final = 8
"""Settings measured both ways before a fidelity is judged."""
RANKS: Final = 0.3
"""Kendall's tau below which a fidelity tells too little."""


@dataclass(frozen=True)
class Agreement:
    """How a metric at a lower fidelity ranks designs, beside its whole values.

    Attributes:
        metric: The metric.
        pairs: Settings that were measured both ways.
        kendall: Kendall's tau-b; ``None`` below two pairs, or where one side does not vary.
        spearman: Spearman's rho; ``None`` likewise.
    """

    metric: str
    pairs: int
    kendall: float | None = None
    spearman: float | None = None

    @classmethod
    def of(cls, metric: str, early: Floats, whole: Floats) -> Agreement:
        """Compares values measured both ways, ``(n,)`` each."""
        if len(early) < 2 or np.ptp(early) == 0 or np.ptp(whole) == 0:
            return cls(metric, len(early))
        from scipy.stats import kendalltau, spearmanr

        tau, rho = kendalltau(early, whole).statistic, spearmanr(early, whole).statistic
        return cls(metric, len(early), float(tau), float(rho))


@dataclass(frozen=True)
class Standing:
    """What is known of a fidelity.

    Attributes:
        fidelity: Which; 1 is the whole evaluation.
        measured: Settings of what is COSTLY that were measured at it, each counted once.
        agreements: For each costly metric that counts, how it ranks; none for the whole one.
        unheeded: Whether it was asked for though it was known not to rank by then.
    """

    fidelity: float
    measured: int
    agreements: tuple[Agreement, ...] = ()
    unheeded: bool = False

    @property
    def tau(self) -> float | None:
        """The least of Kendall's tau; ``None`` before `JUDGED` pairs, or where nothing varies."""
        found = [a.kendall for a in self.agreements if a.pairs >= JUDGED]
        known = [tau for tau in found if tau is not None]
        return min(known) if known and len(known) == len(self.agreements) else None

    @property
    def ranks(self) -> bool | None:
        """Whether it ranks designs like whole evaluations; ``None``: too early to say."""
        return None if self.tau is None else self.tau >= RANKS

    @property
    def verdict(self) -> str:
        """What became of it, for a person."""
        if self.fidelity >= 1:
            return "counts"
        if not self.measured:
            return "not used"
        if self.tau is None:
            return "used; too early to say whether it ranks"
        if self.tau >= RANKS:
            return "used"
        done = "used, though it does not rank:" if self.unheeded else "skipped: ranks with"
        return f"{done} tau = {self.tau:.2f}"


class Rungs:
    """What was measured at each fidelity, as rows come in.

    Equal settings of what COSTLY evaluators read are one measurement; the first one counts. Judged
    are the COSTLY metrics that objectives need; all of them where objectives need none.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        known = [m.name for e in problem.costly for m in e.metrics]
        needed = frozenset().union(*(o.node.metrics for o in problem.objectives))
        self.metrics = tuple(name for name in known if name in needed) or tuple(known)
        self._values: dict[float, dict[bytes, Floats]] = {f: {} for f in problem.fidelities}
        self._standing: dict[float, Standing] = {}

    def add(self, genomes: Ints, measurements: Measurements) -> None:
        """Takes rows of any fidelity: ``int64 (n, d)`` and their ``n`` measurements."""
        if not self.metrics:
            return
        tried = ~measurements.failed & (measurements.reason != int(Reason.RULED_OUT))
        rows = np.flatnonzero(tried)
        canonical = self._problem.space.canonical(genomes[rows])
        names = keys(np.ascontiguousarray(canonical[:, self._problem.costly_columns]))
        values = np.stack([measurements[name][rows] for name in self.metrics], axis=1)
        for name, value, share in zip(names, values, measurements.fidelity[rows], strict=True):
            self._values.setdefault(float(share), {}).setdefault(name, value)
        self._standing.clear()

    def pairs(self, fidelity: float) -> tuple[Floats, Floats]:
        """Values at a lower fidelity and whole ones, ``(n, metrics)`` each, of the same settings.

        Settings without a value, one way or the other, are left out.
        """
        early, whole = self._values.get(fidelity, {}), self._values[1.0]
        both = [(value, whole[name]) for name, value in early.items() if name in whole]
        table = np.array(both).reshape(-1, 2, len(self.metrics))
        table = table[np.isfinite(table).all(axis=(1, 2))]
        return table[:, 0], table[:, 1]

    def standing(self, fidelity: float) -> Standing:
        """What is known of a fidelity."""
        if fidelity not in self._standing:
            agreements: tuple[Agreement, ...] = ()
            if fidelity < 1:
                early, whole = self.pairs(fidelity)
                columns = zip(self.metrics, early.T, whole.T, strict=True)
                agreements = tuple(Agreement.of(*column) for column in columns)
            measured = len(self._values.get(fidelity, {}))
            self._standing[fidelity] = Standing(fidelity, measured, agreements)
        return self._standing[fidelity]


def standings(
    problem: Problem, genomes: Ints, measurements: Measurements, step: Ints
) -> tuple[Standing, ...]:
    """What a history says of the fidelities of a problem.

    Args:
        problem: The problem.
        genomes: ``int64 (n, d)``.
        measurements: ``n`` rows.
        step: The step that each row belongs to, ``int64 (n,)``.

    Returns:
        One per fidelity, ascending, 1 at last; nothing where there is but one, or none below 1
        was used.
    """
    early = measurements.fidelity < 1
    if not early.any():
        return ()
    rungs = Rungs(problem)
    rungs.add(genomes, measurements)
    found = [rungs.standing(fidelity) for fidelity in problem.fidelities]
    for i, standing in enumerate(found):
        if standing.ranks is False:
            last = step[measurements.fidelity == standing.fidelity].max()
            before = Rungs(problem)
            before.add(genomes[step < last], measurements.take(step < last))
            known = before.standing(standing.fidelity).ranks is False
            found[i] = replace(standing, unheeded=known)
    return tuple(found)
