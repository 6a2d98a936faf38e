"""Lower fidelities: what cheap, early measurements say about the whole ones.

The cheapest fidelity that ranks designs like whole evaluations is used, one at a time. What it
measured, and what a process of its own expects where it did not, enters the model of the whole
values as a regressor; the processes learn the rest.

Source: Kennedy, O'Hagan, "Predicting the output from a complex computer code when fast
approximations are available", Biometrika 87, 2000, equation 1 (the whole is a multiple of the
cheap one and a process for the difference); Le Gratiet, Garnier, "Recursive co-kriging model for
design of computer experiments with multiple levels of fidelity", Int. J. Uncertainty
Quantification 4, 2014 (one level after the other).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.stats import kendalltau

from hwnas.arrays import Bools, Floats, Ints
from hwnas.rungs import JUDGED, RANKS
from hwnas.searchers.greybox.anatomy import Anatomy
from hwnas.searchers.greybox.belief import Belief, Early
from hwnas.searchers.greybox.describer import Describer
from hwnas.searchers.greybox.ledger import Ledger

_DEAREST: Final = 0.25
"""A fidelity that costs more than this share of a whole evaluation is not worth its price."""
_LEARNABLE: Final = 4

Learn = Callable[[Floats, Floats, dict[int, Floats]], Belief]
"""Features, targets and kept parameters to a belief."""
Opinion = Callable[[Ints, Floats], Early]
"""Outer designs, ``(p, d_o)``, and their features to what a fidelity says of them."""


class Rung:
    """What was measured at one lower fidelity.

    Args:
        fidelity: Which.
        columns: The number of outer genes.
        targets: How many quantities are learnt.
        objectives: How many of them, the first ones, are objectives.

    Attributes:
        fidelity: Which.
        ledger: The designs and their quantities.
        before: For each whole measurement, in order, how many were here before it.
        kept: Parameters of the processes that learn whole values with the help of this fidelity.
    """

    def __init__(self, fidelity: float, columns: int, targets: int, objectives: int) -> None:
        self.fidelity = fidelity
        self.ledger = Ledger(columns, targets)
        self.before: list[int] = []
        self._objectives = objectives
        self.kept: dict[int, Floats] = {}
        self._kept: dict[int, Floats] = {}

    def correlation(self, whole: Ledger) -> float | None:
        """The least of Kendall's tau over the objectives, of designs measured both ways.

        Args:
            whole: What was measured at fidelity 1.

        Returns:
            The coefficient; ``None`` where there are too few such designs, or one objective does
            not vary.
        """
        place = whole.places(self.ledger.outer)
        pairs = np.flatnonzero(place >= 0)
        here = self.ledger.targets[pairs, : self._objectives]
        there = whole.targets[place[pairs], : self._objectives]
        both = np.isfinite(here).all(axis=1) & np.isfinite(there).all(axis=1)
        if both.sum() < JUDGED:
            return None
        pairs_of = zip(here[both].T, there[both].T, strict=True)
        found = [float(kendalltau(early, late).statistic) for early, late in pairs_of]
        return None if np.isnan(found).any() else min(found)

    def ranks(self, whole: Ledger) -> bool:
        """Whether it tells something, or it is too early to say."""
        found = self.correlation(whole)
        return found is None or found >= RANKS

    def opinion(
        self, describe: Describer, learn: Learn, first: int | None = None
    ) -> Opinion | None:
        """What is known and expected at this fidelity.

        Args:
            describe: The features of designs.
            learn: Makes a belief of measurements.
            first: Only the first so many measurements count; all if left out.

        Returns:
            From designs to what it says of them; ``None`` where too little was measured.
        """
        known, targets = self.ledger.outer[:first], self.ledger.targets[:first]
        finite: Bools = np.asarray(np.isfinite(targets).all(axis=1))
        if finite.sum() < _LEARNABLE:
            return None
        belief = learn(describe(known), targets, self._kept)

        def early(outer: Ints, X: Floats) -> Early:
            mean, variance = belief.at(X).scaled(targets.shape[1])
            place = self.ledger.places(outer)
            place = np.where(place < len(known), place, -1)
            measured = (place >= 0) & finite[np.maximum(place, 0)]
            for t, quantity in enumerate(belief.quantities[: targets.shape[1]]):
                mean[measured, t] = quantity.scale(targets[place[measured], t])
            variance[measured] = 0.0
            return Early(mean, variance)

        return early


class Ladder:
    """The lower fidelities of a problem that are cheap enough to be used.

    Args:
        anatomy: The problem; ``None`` for no ladder at all.
    """

    def __init__(self, anatomy: Anatomy | None) -> None:
        self.rungs: list[Rung] = []
        if anatomy is None:
            return
        space, quantities = anatomy.fronts.outer_space, len(anatomy.open) + len(anatomy.limits)
        self.rungs = [
            Rung(fidelity, len(space), quantities, len(anatomy.open))
            for fidelity in anatomy.problem.fidelities
            if fidelity <= _DEAREST
        ]

    def __len__(self) -> int:
        """How many measurements there are."""
        return sum(len(rung.ledger) for rung in self.rungs)

    def add(self, fidelity: float, outer: Ints, targets: Floats) -> None:
        """Takes measurements of a lower fidelity; those of one that is not used are left out."""
        for rung in self.rungs:
            if rung.fidelity == fidelity:
                rung.ledger.add(outer, targets)

    def passed(self, whole: int) -> None:
        """Notes that there are so many whole measurements now."""
        for rung in self.rungs:
            rung.before += [len(rung.ledger)] * (whole - len(rung.before))

    def rung(self, whole: Ledger) -> Rung | None:
        """The cheapest one that ranks designs like whole evaluations, if there is one."""
        return next((rung for rung in self.rungs if rung.ranks(whole)), None)
