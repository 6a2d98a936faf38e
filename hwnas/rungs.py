"""Rungs: what was measured at each fidelity, and whether it ranks designs like the whole thing.

Designs that a searcher chose to measure whole because of what a rung said of them are a poor sample
to judge that rung by. Where only the best are chosen, correlations are too low; where a rung was
weighed against other objectives they can be too high: of designs that are dear, only those go on
that the rung finds good, of cheap ones all, so that even noise agrees with the truth (Berkson,
"Limitations of the application of fourfold table analysis to hospital data", Biometrics Bulletin
2(3), 1946). So, where there are enough, only those designs count that were measured whole *first*:
what the rung says could not have had them chosen.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

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
        pairs: Settings measured both ways that it is judged by.
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
        both: How many of them were measured whole, too.
        blind: Whether only those of them are judged by that were measured whole first.
        agreements: For each costly metric that counts, how it ranks; none for the whole one.
        unheeded: Whether it was climbed though it was known not to rank by then.
    """

    fidelity: float
    measured: int
    agreements: tuple[Agreement, ...] = ()
    both: int = 0
    blind: bool = False
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

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "agreements": [asdict(a) for a in self.agreements]} | {
            "tau": self.tau,
            "verdict": self.verdict,
        }


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
        self._standings: dict[float, Standing] = {}
        self._rows = 0

    def settings(self, genomes: Ints) -> list[bytes]:
        """Names of what COSTLY evaluators read of some designs, ``n`` of them."""
        canonical = self._problem.space.canonical(genomes)
        return keys(np.ascontiguousarray(canonical[:, self._problem.costly_columns]))

    def add(self, genomes: Ints, measurements: Measurements) -> None:
        """Takes rows of any fidelity: ``int64 (n, d)`` and their ``n`` measurements."""
        if not self.metrics:
            return
        first, self._rows = self._rows, self._rows + len(genomes)
        tried = ~measurements.failed & (measurements.reason != int(Reason.RULED_OUT))
        rows = np.flatnonzero(tried)
        names = self.settings(genomes[rows])
        values = [first + rows, *(measurements[name][rows] for name in self.metrics)]
        table = np.stack(values, axis=1)
        for name, value, share in zip(names, table, measurements.fidelity[rows], strict=True):
            self._values.setdefault(float(share), {}).setdefault(name, value)

    def pairs(self, fidelity: float, *, blind: bool = False) -> tuple[Floats, Floats]:
        """Values at a lower fidelity and whole ones, ``(n, metrics)`` each, of the same settings.

        Settings without a value, one way or the other, are left out.

        Args:
            fidelity: The lower fidelity.
            blind: Only settings that were measured whole before.
        """
        early, whole = self._values.get(fidelity, {}), self._values[1.0]
        both = [(value, whole[name]) for name, value in early.items() if name in whole]
        table = np.array(both).reshape(-1, 2, 1 + len(self.metrics))
        kept = np.isfinite(table).all(axis=(1, 2))
        if blind:
            kept &= table[:, 1, 0] < table[:, 0, 0]
        return table[kept, 0, 1:], table[kept, 1, 1:]

    def judged(self, fidelity: float) -> tuple[Floats, Floats]:
        """The pairs that a fidelity is judged by: those measured whole first, where enough are."""
        blind = self.pairs(fidelity, blind=True)
        return blind if len(blind[0]) >= JUDGED else self.pairs(fidelity)

    def standing(self, fidelity: float) -> Standing:
        """What is known of a fidelity."""
        measured = len(self._values.get(fidelity, {}))
        if fidelity >= 1:
            return Standing(fidelity, measured)
        both = len(self.pairs(fidelity)[0])
        known = self._standings.get(fidelity)
        # Pairs never change, so as many of them are the same ones.
        if known is None or known.both != both:
            early, whole = self.judged(fidelity)
            columns = zip(self.metrics, early.T, whole.T, strict=True)
            found = tuple(Agreement.of(*column) for column in columns)
            blind = len(early) < both or len(self.pairs(fidelity, blind=True)[0]) == both > 0
            known = Standing(fidelity, measured, found, both, blind)
            self._standings[fidelity] = known
        return replace(known, measured=measured)


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
    names = rungs.settings(genomes)
    whole = np.flatnonzero(~early)
    first = dict(zip((names[i] for i in reversed(whole)), reversed(whole), strict=True))
    for i, standing in enumerate(found):
        if standing.ranks is False:
            # What was measured whole before serves to judge the rung, not to climb it.
            rows = np.flatnonzero(measurements.fidelity == standing.fidelity)
            climbing = [row for row in rows if first.get(names[row], row) >= row]
            if climbing:
                before = step < step[climbing].max()
                known = Rungs(problem)
                known.add(genomes[before], measurements.take(before))
                unheeded = known.standing(standing.fidelity).ranks is False
                found[i] = replace(standing, unheeded=unheeded)
    return tuple(found)
