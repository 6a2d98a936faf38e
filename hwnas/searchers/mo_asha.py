"""Successive halving for several objectives, asynchronously, over all fidelities of a problem.

Source: Schmucker, Donini, Zafar, Salinas, Archambeau, "Multi-objective asynchronous successive
halving", arXiv 2106.12639, 2021 (nondominated sorting, then an epsilon-net within a front; that
distances are taken between ranks, evolved designs and controls are not from there). The rule of
promotion is that of Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht, Talwalkar, "A
system for massively parallel hyperparameter tuning", MLSys 2020 (ASHA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Literal

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import SearcherError, nearest
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.rungs import JUDGED, Rungs
from hwnas.searchers.breeding import offspring
from hwnas.searchers.interface import Searcher, Told, unseen
from hwnas.searchers.options import at_least, population_for, probability
from hwnas.space import keys
from hwnas.space.operators import perturb, recombine

_SPREADS: Final = ("epsilon_net", "crowding")
_NEW: Final = ("evolved", "random")
_MOST_CONTROL: Final = 12
_ROUNDING: Final = 1e-9


class MOASHA(Searcher):
    """Measures many designs cheaply and promotes the best ``1 / eta`` of each rung to the next.

    A rung is a fidelity of the problem. Whoever is among the best of a rung is measured on the
    next one; where nobody is waiting, a new design starts at the bottom. The best are those of
    the first fronts; of a front that does not fit, those that cover it. Objectives are taken as
    the rung measures them: what is FREE is exact on every rung. Designs that violate a
    constraint come after all others, as a rung may judge them wrongly; infeasible ones are never
    promoted.

    Unlike the paper's, it looks whether its rungs are worth climbing. The first designs are
    measured whole, and on all other rungs afterwards; a rung that does not rank them alike
    (Kendall's tau below `hwnas.rungs.RANKS`, after `hwnas.rungs.JUDGED` designs) is skipped.
    Promoted designs would not do to judge a rung by: see `hwnas.rungs`.

    Where the problem has no lower fidelity it is plain evolution, or random search.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        eta: One of so many is promoted, above 1.
        batch: How many designs are proposed at once; more for more workers.
        new: Where new designs come from: ``evolved`` (children of the best ones of the highest
            rung on which there are enough), or ``random`` as in the paper.
        spread: What covers a front: ``epsilon_net`` (one design after the other, each as far as
            possible from those before, with each objective replaced by its ranks) or
            ``crowding`` (the distances of NSGA-II).
        control: How many designs are measured whole at first, so that rungs can be judged by them;
            0: rungs are judged by the designs that are promoted. Left out: a tenth of the budget,
            at most 12, or 0 where that is too few to judge by.
        population: How many are parents. Left out: the square root of the budget, between 12 and
            200.
        crossover: Probability that two parents are crossed.

    Raises:
        SearcherError: An option is out of its range.
    """

    name: ClassVar[str] = "mo_asha"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        eta: float = 3.0,
        batch: int = 8,
        new: Literal["evolved", "random"] = "evolved",
        spread: Literal["epsilon_net", "crowding"] = "epsilon_net",
        control: int | None = None,
        population: int | None = None,
        crossover: float = 0.9,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        self.population = population_for(budget) if population is None else population
        tenth = min((budget or 100) // 10, _MOST_CONTROL)
        self.control = (tenth if tenth >= JUDGED else 0) if control is None else control
        at_least(0, self.name, control=self.control)
        at_least(1, self.name, batch=batch)
        at_least(2, self.name, population=self.population)
        probability(self.name, crossover=crossover)
        if not 1 < eta < np.inf:
            raise SearcherError(
                "eta promotes nobody, or everybody",
                where=f"searcher {self.name}, option eta",
                rule="a number above 1",
                given=str(eta),
            )
        self.eta = float(eta)
        self.crossover = crossover
        self.new: str = _word(self.name, "new", new, _NEW)
        self.spread: str = _word(self.name, "spread", spread, _SPREADS)
        self._batch = batch
        self._rungs = {fidelity: Told(problem) for fidelity in problem.fidelities}
        self._agreement = Rungs(problem)
        self._rows = 0
        self._orders: dict[int, tuple[int, int, Ints]] = {}

    @property
    def batch(self) -> int:
        """How many designs it likes to be asked for at once."""
        return self._batch

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {
            "eta": self.eta,
            "batch": self._batch,
            "new": self.new,
            "spread": self.spread,
            "control": self.control,
            "population": self.population,
            "crossover": self.crossover,
        }

    def rng(self) -> np.random.Generator:
        """The random stream of the current step; see `Searcher.rng`."""
        return np.random.default_rng((self.seed, self._rows))

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured, on whatever rung; see `Searcher.tell`."""
        super().tell(genomes, measurements)
        checked = self.problem.space.check(genomes)
        self._rows += len(checked)
        self._agreement.add(checked, measurements)
        for fidelity, rung in self._rungs.items():
            some = np.flatnonzero(measurements.fidelity == fidelity)
            some = some[rung.new(checked[some])]
            rung.add(checked[some], measurements.take(some).answered())

    def ask(self, n: int) -> Ints:
        """Proposes promotions first, then new designs; see `Searcher.ask`.

        Returns:
            ``n`` designs, whatever they cost. When the space has run out of new ones, those that
            were not promoted are, the best first.
        """
        used = self._used()
        proposed = np.concatenate([self._unjudged(), self._waiting(used, n)])[:n]
        if len(proposed) < n:
            proposed = self._with_new(used, n, proposed)
        if len(proposed) < n:
            rest = self._waiting(used, n, everybody=True)
            canonical = self.problem.space.canonical
            taken = set(keys(canonical(proposed)))
            fresh = [name not in taken for name in keys(canonical(rest))]
            proposed = np.concatenate([proposed, rest[np.array(fresh, np.bool_)]])[:n]
        return proposed

    def fidelity_of(self, proposed: Ints) -> Floats:
        """The rung above the highest one on which a design was measured.

        For a control that was measured whole, the lowest on which it was not; for a new design the
        lowest one, or the last while there are too few controls.
        """
        levels, used = self._levels(), self._used()
        begun = len(used[-1]) >= self.control
        fidelity: Floats = np.full(len(proposed), levels[0] if begun else 1.0)
        for rung, following in zip(used[:-1], levels[1:], strict=True):
            fidelity[~rung.new(proposed)] = following
        whole = ~used[-1].new(proposed)
        for share in reversed(self.problem.fidelities[:-1]):
            fidelity[whole & self._rungs[share].new(proposed)] = share
        return fidelity

    def _unjudged(self) -> Ints:
        """Controls that were not measured on all rungs; each takes them one after the other.

        Also on a rung that seemed not to rank: the more controls, the surer that is.
        """
        controls = self._rungs[1.0].genomes[: self.control]
        lacking = [self._rungs[share].new(controls) for share in self.problem.fidelities[:-1]]
        return controls[np.any(lacking, axis=0)] if lacking else controls[:0]

    def _levels(self) -> tuple[float, ...]:
        """The fidelities that are used: those that rank, or of which that is not known yet."""
        lower = self.problem.fidelities[:-1]
        ranking = (f for f in lower if self._agreement.standing(f).ranks is not False)
        return (*ranking, self.problem.fidelities[-1])

    def _used(self) -> list[Told]:
        return [self._rungs[fidelity] for fidelity in self._levels()]

    def _waiting(self, used: Sequence[Told], n: int, *, everybody: bool = False) -> Ints:
        """Up to ``n`` designs to be promoted, from the upper rungs first; each rung's best first.

        Args:
            used: The rungs that are used.
            n: How many.
            everybody: Not only the best ``1 / eta`` of a rung.
        """
        found = [np.empty((0, len(self.problem.space)), dtype=np.int64)]
        for i in reversed(range(len(used) - 1)):
            rung = used[i]
            valued = int(np.isfinite(rung.losses).all(axis=1).sum())
            best = self._best(rung, valued if everybody else int(valued / self.eta + _ROUNDING))
            found.append(best[_Met(used[i + 1 :]).new(best)])
        return np.concatenate(found)[:n]

    def _best(self, rung: Told, first: int) -> Ints:
        """The best designs of a rung, ``int64 (j, d)``: ``first``, if so many have values."""
        if self._orders.get(id(rung), (-1,))[:2] != (len(rung), first):
            order = ordered(rung.losses, rung.violation, self.spread, first)
            self._orders[id(rung)] = len(rung), first, order
        return rung.genomes[self._orders[id(rung)][2]]

    def _with_new(self, used: Sequence[Told], n: int, proposed: Ints) -> Ints:
        rng, space, missing = self.rng(), self.problem.space, n - len(proposed)
        met, breed = _Met(used), None
        if self.new == "evolved":
            parents = next((p for p in map(self._parents, reversed(used)) if len(p)), None)
            breed = None if parents is None else partial(self._breed, parents, rng)
        if breed is None:
            return unseen(met, space, missing, rng, proposed)
        # What is promoted was met on a lower rung, so no child is the same.
        return np.concatenate([proposed, offspring(met, space, missing, rng, breed)])

    def _parents(self, rung: Told) -> Ints:
        """The best designs of a rung, best first; none where there are too few to choose from."""
        if len(rung) < self.population:
            return rung.genomes[:0]
        order = ordered(rung.losses, rung.violation, self.spread, self.population)
        return rung.genomes[order if len(order) == self.population else order[:0]]

    def _breed(self, parents: Ints, rng: np.random.Generator, n: int) -> Ints:
        """Children of winners of tournaments of two; ``parents`` are sorted, best first."""
        pairs = -(-n // 2)
        places = rng.integers(0, len(parents), size=(2, 2, pairs)).min(axis=0)
        first, second = parents[places]
        space = self.problem.space
        children = recombine(first, second, space, rng, self.crossover)[:n]
        return perturb(children, space, rng)


class _Met:
    """What was told on any of some rungs."""

    def __init__(self, rungs: Sequence[Told]) -> None:
        self._rungs = rungs

    def new(self, genomes: Ints) -> Bools:
        """See `Known.new`."""
        fresh = [rung.new(genomes) for rung in self._rungs]
        return np.asarray(np.all(fresh, axis=0))


def ordered(losses: Floats, violation: Floats, spread: str, first: int) -> Ints:
    """Sorts designs: by front, and within a front so that the first ones cover it.

    Args:
        losses: ``(n, m)``, to be minimised; infinite where infeasible.
        violation: Total violation, ``(n,)``; 0 where all constraints are met.
        spread: ``epsilon_net`` or ``crowding``.
        first: How many are wanted.

    Returns:
        The first rows that have values, best first, ``int64 (j,)``: those that meet all
        constraints, then the others by violation.
    """
    import moocore

    valued = np.isfinite(losses).all(axis=1)
    good = np.flatnonzero(valued & (violation <= 0))
    bad = np.flatnonzero(valued & ~(violation <= 0))
    order = np.empty(0, dtype=np.int64)
    if good.size:
        ranks = moocore.pareto_rank(losses[good], maximise=False)
        cover = {"epsilon_net": epsilon_net, "crowding": _crowding}[spread]
        for rank in range(int(ranks.max()) + 1):
            if len(order) >= first:
                break
            front = good[ranks == rank]
            order = np.concatenate([order, front[cover(losses[front], first - len(order))]])
    return np.concatenate([order, bad[np.argsort(violation[bad], kind="stable")]])[:first]


def epsilon_net(losses: Floats, first: int) -> Ints:
    """Chooses points that cover a front: one after the other, each farthest from those before.

    The first one is the best in the first objective. Distances are Euclidean, between ranks: no
    objective counts more because its values are larger. O(first n m).

    Args:
        losses: ``(n, m)``, finite.
        first: How many are wanted.

    Returns:
        Rows, ``int64 (min(first, n),)``.
    """
    places = np.stack([np.unique(column, return_inverse=True)[1] for column in losses.T], axis=1)
    order = np.empty(min(first, len(losses)), dtype=np.int64)
    distance = np.full(len(losses), np.inf)
    following = int(np.argmin(losses[:, 0]))
    for i in range(len(order)):
        order[i] = following
        distance = np.minimum(distance, np.square(places - places[following]).sum(axis=1))
        distance[following] = -1.0
        following = int(np.argmax(distance))
    return order


def _crowding(losses: Floats, first: int) -> Ints:
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    order: Ints = np.argsort(-calc_crowding_distance(losses), kind="stable")[:first]
    return order


def _word(searcher: str, option: str, given: str, words: Sequence[str]) -> str:
    if given not in words:
        raise SearcherError(
            f"{option} cannot be {given!r}",
            where=f"searcher {searcher}, option {option}",
            rule="one of " + ", ".join(words),
            given=repr(given),
            cure=nearest(str(given), words),
        )
    return given
