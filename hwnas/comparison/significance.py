"""Whether a difference between searchers is more than chance: paired tests over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Floats

LEVEL: Final = 0.05
"""A difference counts as shown where its corrected p-value is at most this."""

_SAME: Final = 1e-12


@dataclass(frozen=True)
class PairedTest:
    """One searcher against the first one, seed by seed, on the final hypervolume.

    Attributes:
        label: The searcher.
        against: The one that it is compared with.
        pairs: Seeds that both have run.
        wins: Seeds where it was better.
        losses: Seeds where it was worse.
        ties: Seeds where both were equal.
        difference: The median of its relative hypervolume less the other's; ``None`` without
            pairs.
        p: Two-sided p-value of Wilcoxon's signed-rank test; ``None`` without pairs.
        p_corrected: The same after Holm's correction for the number of searchers.
        p_attainable: The corrected p-value if all its seeds had agreed: the smallest that so many
            of them can give.
    """

    label: str
    against: str
    pairs: int
    wins: int
    losses: int
    ties: int
    difference: float | None
    p: float | None
    p_corrected: float | None
    p_attainable: float | None

    @property
    def verdict(self) -> str:
        """What may be said: ``better``, ``worse``, or why neither."""
        if self.p_corrected is None or self.p_attainable is None:
            return "no seeds in common"
        if self.p_corrected <= LEVEL:
            return "better" if self.wins > self.losses else "worse"
        if self.p_attainable > LEVEL:
            return f"too few seeds to tell (p is at least {self.p_attainable:.2g})"
        return "no difference shown"


def paired_tests(first: str, volumes: Mapping[str, Mapping[int, float]]) -> tuple[PairedTest, ...]:
    """Tests every searcher against the first.

    Wilcoxon's signed-rank test (F. Wilcoxon, Biometrics Bulletin 1(6), 1945) on the differences
    over seeds, equal pairs left out; exact for few seeds. The p-values are corrected for their
    number after S. Holm, Scandinavian Journal of Statistics 6(2), 1979.

    Args:
        first: The label of the one that the others are compared with.
        volumes: Label to seed to final relative hypervolume.
    """
    base = volumes.get(first, {})
    others = [label for label in volumes if label != first]
    differences = {}
    for label in others:
        common = sorted(set(base) & set(volumes[label]))
        differences[label] = np.array([volumes[label][seed] - base[seed] for seed in common])
    # Far below what a front can differ by, and above what rounding makes of equal fronts.
    differences = {k: np.where(np.abs(d) < _SAME, 0.0, d) for k, d in differences.items()}
    p = {label: signed_rank(d) for label, d in differences.items() if len(d)}
    return tuple(_test(label, first, differences[label], p) for label in others)


def _test(label: str, first: str, d: Floats, p: Mapping[str, float]) -> PairedTest:
    # All n signs alike has probability 2^-n, and twice that on two sides.
    best = {**p, label: 2.0 ** (1 - len(d))}
    known = label in p
    return PairedTest(
        label,
        first,
        pairs=len(d),
        wins=int((d > 0).sum()),
        losses=int((d < 0).sum()),
        ties=int((d == 0).sum()),
        difference=float(np.median(d)) if known else None,
        p=p.get(label),
        p_corrected=holm(p)[label] if known else None,
        p_attainable=holm(best)[label] if known else None,
    )


def signed_rank(differences: Floats) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test; zeros are left out.

    Args:
        differences: ``(n,)``, at least one; where all are 0, p is 1.
    """
    from scipy.stats import wilcoxon

    rest = differences[differences != 0]
    return float(wilcoxon(rest).pvalue) if len(rest) else 1.0


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Corrects p-values for their number, after Holm (1979).

    The i-th smallest of k is multiplied by k - i + 1; none may be below a smaller one, or above 1.
    """
    names = sorted(p, key=lambda name: p[name])
    corrected: dict[str, float] = {}
    largest = 0.0
    for i, name in enumerate(names):
        largest = min(1.0, max(largest, (len(names) - i) * p[name]))
        corrected[name] = largest
    return corrected
