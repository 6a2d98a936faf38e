"""One step of a grey-box search: what follows from the history, and what does not depend on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.rungs import JUDGED
from hwnas.searchers.greybox.anatomy import Anatomy
from hwnas.searchers.greybox.belief import MANY, Belief, Early
from hwnas.searchers.greybox.certificate import OPTIMISM, Designs, begun, enough, remaining
from hwnas.searchers.greybox.describer import Describer
from hwnas.searchers.greybox.ladder import Opinion, Rung
from hwnas.searchers.greybox.ledger import Growing, Ledger
from hwnas.searchers.greybox.monotone import Monotone
from hwnas.searchers.greybox.plan import Candidates, Choice, Frame, archived, learnt, settled
from hwnas.searchers.greybox.pool import ENUMERABLE, bred, spread
from hwnas.searchers.greybox.volume import Masks, Volume

_POINTS: Final = 512
_SAMPLED: Final = 100
_NEAR: Final = 200
_ROUNDS: Final = 4
_CHILDREN: Final = 100
_PARENTS: Final = 15
_POOL: Final = 400
_SHORT: Final = 60
_STAGES: Final = 6
_BOX: Final = 64
"""Outer designs whose inner fronts span the box of the free objectives."""
_DESCENTS: Final = 150
_IN_VAIN: Final = 10
"""Descents without a better design, after which the end of an objective is reached."""
_DESCENDING: Final = 5
_FIRST: Final = 300
_EARLY: Final = 4
"""First designs at a lower fidelity, as a multiple of those that are measured whole."""
_HANDED_OVER: Final = 2_400
"""Further evaluations, beyond `MANY`, after which evolution proposes everything but a rest."""
_MOST_EVOLVED: Final = 0.7
_TRIES: Final = 5


@dataclass(frozen=True, eq=False)
class Prepared:
    """What does not change while a problem is searched."""

    first: Ints
    early: Ints
    describe: Describer
    volume: Volume
    masks: Masks
    features: Growing[Floats]
    """Of the designs measured."""
    labels: Growing[Ints]
    """Their cost classes."""

    @classmethod
    def of(cls, anatomy: Anatomy, seed: int, initial: int) -> Prepared:
        """For a problem, with some number of first designs."""
        space, fronts = anatomy.fronts.outer_space, anatomy.fronts
        describe = Describer(space, anatomy.hints, seed)
        rng = np.random.default_rng((seed, 0))
        some = space.rows() if space.size() <= ENUMERABLE else space.sample(_FIRST, rng)
        some = rng.permutation(some)[:_FIRST]
        ends = np.concatenate([some[:_BOX], _ends(some[:_BOX], anatomy, rng)])
        losses = [fronts.fronts[i].losses for i in np.unique(fronts.labels(ends))]
        free = np.concatenate([np.empty((0, len(anatomy.free))), *losses])
        low, high = np.zeros(len(anatomy.free)), np.ones(len(anatomy.free))
        if len(free):
            low, high = free.min(axis=0), free.max(axis=0)
            high = high + 0.05 * np.where(high > low, high - low, 1.0)
        volume = Volume(len(anatomy.free), len(anatomy.open), points=_POINTS, seed=seed)
        apart = some[spread(describe(some), _EARLY * initial)]
        possible = np.array(
            [len(fronts.fronts[i].places) > 0 for i in fronts.labels(apart)], dtype=np.bool_
        )
        first = apart[:initial][possible[:initial]]
        return cls(
            first,
            apart[possible],
            describe,
            volume,
            Masks(volume, low, high),
            Growing(describe),
            Growing(fronts.labels),
        )


def _ends(sample: Ints, anatomy: Anatomy, rng: np.random.Generator) -> Ints:
    """Outer designs at the ends of the free objectives, where the front ends, too.

    Designs that are best in one free objective are rare, and what is beyond the box does not count.
    """
    fronts = anatomy.fronts
    found = [sample[:0]]
    for j in range(len(anatomy.free)):
        rows, least, vain = sample, np.inf, 0
        for _ in range(_DESCENTS):
            best = np.array(
                [fronts.fronts[i].losses[:, j].min(initial=np.inf) for i in fronts.labels(rows)]
            )
            top = rows[np.argsort(best, kind="stable")[:_DESCENDING]]
            vain = 0 if best.min() < least else vain + 1
            least = min(least, float(best.min()))
            if vain >= _IN_VAIN:
                break
            children = bred(top, 4 * _DESCENDING, fronts.outer_space, rng)
            rows = np.concatenate([top, children])
        found.append(top)
    return np.concatenate(found)


def covered(front: Floats, others: Floats) -> bool:
    """Whether each row of a front is as bad as some other row in every objective.

    Args:
        front: ``(j, f)``.
        others: ``(k, f)``.
    """
    if front.shape[1] not in (1, 2) or not len(others):
        better: Bools = np.asarray((others <= front[:, None, :]).all(axis=2))
        return bool(better.any(axis=1).all())
    order = np.argsort(others[:, 0], kind="stable")
    lowest = np.append(np.inf, np.minimum.accumulate(others[order, -1]))
    before = np.searchsorted(others[order, 0], front[:, 0], side="right")
    return bool((lowest[before] <= front[:, -1]).all())


class Step:
    """What follows from the history so far."""

    def __init__(
        self,
        anatomy: Anatomy,
        prepared: Prepared,
        ledger: Ledger,
        ruled: Monotone,
        kept: dict[int, Floats],
        rng: np.random.Generator,
        rung: Rung | None = None,
    ) -> None:
        self._anatomy, self._prepared, self._ledger, self._ruled = anatomy, prepared, ledger, ruled
        self._space = anatomy.fronts.outer_space
        self._u = len(anatomy.open)
        outer, targets = ledger.outer, ledger.targets
        finite: Bools = np.asarray(np.isfinite(targets).all(axis=1))
        self._frame = Frame.around(targets[finite][:, : self._u], anatomy.worst)
        self._rung = rung
        self._opinion = self._opinion_of(rung)
        self._belief = self._learnt(prepared.features(outer), kept)
        self._volume = prepared.volume.empty()
        good = settled(anatomy, targets)
        labels = prepared.labels(outer)
        self._known = labels[good], targets[good][:, : self._u]
        masks = self._masks(labels)
        archived(self._volume, masks[good], self._frame, targets[good][:, : self._u])
        self._good = good
        on_front = self._volume.supports(
            masks, self._frame.scaled(np.where(finite[:, None], targets[:, : self._u], np.inf))
        )
        parents = outer[on_front & good] if (on_front & good).any() else outer
        self._parents = parents
        self._pool = self._hopeful(parents, rng)
        # What is chosen must not depend on how often it was asked for.
        self._stream = int(rng.integers(2**63))
        self.candidates = self._short(self._pool)

    def _masks(self, labels: Ints) -> Bools:
        return self._prepared.masks.of(labels, self._anatomy.fronts.fronts)

    def _learnt(self, X: Floats, kept: dict[int, Floats]) -> Belief:
        outer, targets, anatomy = self._ledger.outer, self._ledger.targets, self._anatomy
        rung = self._rung
        if rung is None or self._opinion is None:
            return learnt(X, targets, anatomy, kept)

        def earlier(count: int) -> Early | None:
            opinion = self._opinion_of(rung, rung.before[count - 1])
            return None if opinion is None else opinion(outer[:count], X[:count])

        return learnt(X, targets, anatomy, rung.kept, self._opinion(outer, X), earlier)

    def _opinion_of(self, rung: Rung | None, first: int | None = None) -> Opinion | None:
        if rung is None:
            return None
        anatomy = self._anatomy

        def learn(X: Floats, targets: Floats, kept: dict[int, Floats]) -> Belief:
            return learnt(X, targets, anatomy, kept)

        return rung.opinion(self._prepared.describe, learn, first)

    def _considered(self, rows: Ints) -> Candidates:
        """Candidates, less those that certainly cannot add anything."""
        outer, losses = self._ledger.outer, self._ledger.targets[:, : self._u]
        least, most = self._ruled.bounds(rows, outer, losses)
        least = np.maximum(least, self._anatomy.best)
        contradicts = least > most
        least = np.where(contradicts, self._anatomy.best, least)
        most = np.where(contradicts, np.inf, most)
        labels = self._anatomy.fronts.labels(rows)
        X = self._prepared.describe(rows)
        forecast = self._belief.at(X, self._opinion(rows, X) if self._opinion else None)
        some = Candidates(rows, self._masks(labels), forecast, least, most, self._frame)
        hopeless = ~self._volume.adds(some.masks, some.certain)
        # Points are few; what reaches none of them may still reach the front between them.
        doubtful = np.flatnonzero(hopeless)
        hopeless[doubtful] = self._dominated(labels[doubtful], least[doubtful])
        return some.take(np.flatnonzero(~hopeless)) if hopeless.any() else some

    def _dominated(self, labels: Ints, least: Floats) -> Bools:
        """``bool (p,)``: whether measured designs are certainly as good as all inner designs."""
        fronts = self._anatomy.fronts.fronts
        found, losses = self._known
        ahead: Bools = np.asarray((losses <= least[:, None, :]).all(axis=2))
        ahead &= np.isfinite(least).all(axis=1, keepdims=True)
        beaten = np.array([len(fronts[label].places) == 0 for label in labels], dtype=np.bool_)
        for i in np.flatnonzero(~beaten & ahead.any(axis=1)):
            others = np.unique(found[ahead[i]])
            beaten[i] = labels[i] in others or covered(
                fronts[labels[i]].losses, np.concatenate([fronts[other].losses for other in others])
            )
        return beaten

    def _hopeful(self, parents: Ints, rng: np.random.Generator) -> Candidates:
        """Everything, where that is little; else what a search of the model finds."""
        space, ledger = self._space, self._ledger
        if space.size() <= ENUMERABLE:
            rows = space.rows()
            return self._considered(rows[ledger.new(rows)])
        rows = np.concatenate([space.sample(_SAMPLED, rng), bred(parents, _NEAR, space, rng)])
        parts = [self._considered(rows[ledger.new(rows)])]
        rows, value = parts[0].rows, self._hoped(parts[0])
        for _ in range(_ROUNDS if len(rows) else 0):
            top = np.argsort(-value, kind="stable")[:_PARENTS]
            more = np.concatenate([rows, bred(rows[top], _CHILDREN, space, rng)])
            fresh = ledger.new(more)
            fresh[: len(rows)] = False
            parts.append(self._considered(more[fresh]))
            rows = np.concatenate([rows, parts[-1].rows])
            value = np.concatenate([value, self._hoped(parts[-1])])
        return Candidates.joined(parts).take(np.argsort(-value, kind="stable")[:_POOL])

    def _short(self, some: Candidates) -> Candidates:
        """The most hopeful candidates, and those that stay hopeful once others are measured."""
        if len(some) <= _SHORT:
            return some
        volume = self._volume.copy()
        kept = np.zeros(len(some), dtype=np.bool_)
        hope = some.optimistic(1.0)
        under = volume.reaching(some.masks, hope)
        gain = volume.gains(under, hope[:, 0])
        for _ in range(_STAGES):
            hoped = gain.mean(axis=1) * some.chance
            hoped[kept] = -np.inf
            top = np.argsort(-hoped, kind="stable")[: _SHORT // _STAGES]
            kept[top] = True
            before = volume.reached.copy()
            volume.add(some.masks[top[0]], some.mean[top[0]])
            moved = np.flatnonzero(volume.reached != before)
            gain[:, moved] = volume.gains(under, hope[:, 0], moved)
        return some.take(np.flatnonzero(kept))

    def _hoped(self, some: Candidates) -> Floats:
        """What candidates add if they are a standard deviation better than expected."""
        return self._volume.gained(some.masks, some.optimistic(1.0)) * some.chance

    def chosen(self, n: int) -> Ints:
        """The next ``n`` outer designs.

        The more was measured, the larger the share that evolution proposes without a model.
        """
        excess = (len(self._ledger) - MANY) / _HANDED_OVER
        evolved = round(n * float(np.clip(excess, 0.0, _MOST_EVOLVED)))
        modelled = Choice(self._volume.copy(), self.candidates).best(n - evolved)
        missing = n - len(modelled)
        if not missing or self._space.size() <= ENUMERABLE:
            return modelled
        rng = np.random.default_rng(self._stream)
        near = bred(self._parents, _TRIES * missing, self._space, rng)
        rows = np.concatenate([modelled, near, self._space.sample(_TRIES * missing, rng)])
        fresh = self._ledger.new(rows)
        fresh[: len(modelled)] = False
        more = self._considered(rows[fresh]).rows[:missing]
        return np.concatenate([modelled, more])

    def early(self, n: int, beside: int) -> Ints:
        """The next ``n`` outer designs to measure at the lower fidelity.

        Until it can be judged, designs whose whole values are known come first.

        Args:
            n: How many at most.
            beside: How many are measured whole in the same batch.
        """
        if self._rung is None:
            return self._ledger.outer[:0]
        known = self._ledger.outer
        missing = max(0, JUDGED - len(known) + int(self._rung.ledger.new(known).sum()))
        both = known[self._rung.ledger.new(known)][: min(n, missing)]
        choice = Choice(self._volume.copy(), self.candidates)
        choice.best(beside)
        fresh = self._rung.ledger.new(self.candidates.rows)
        return np.concatenate([both, choice.best(n - len(both), fresh)])

    def remaining(self) -> float | None:
        """What is left to be gained at most, relative to what is reached; ``None`` where unknown.

        See `hwnas.searchers.greybox.certificate`.
        """
        some, prepared = self._pool, self._prepared
        if not self._volume.share() > 0:
            return None
        if not len(some) and self._space.size() <= ENUMERABLE:
            return 0.0
        genes = sum(len(gene.choices) > 1 for gene in self._space.genes)
        count = len(self._ledger)
        if not enough(count, len(prepared.first), genes):
            return None
        early, half = (int(self._good[:first].sum()) for first in begun(count, genes))
        measured = self._reaching(self._known[0], self._frame.scaled(self._known[1]))
        labels = self._anatomy.fronts.labels(some.rows)
        hoped = self._reaching(labels, some.optimistic(OPTIMISM))
        low, high = prepared.masks.low, prepared.masks.high
        return remaining(prepared.volume, measured, hoped, early, half, low, high)

    def _reaching(self, labels: Ints, ahead: Floats) -> Designs:
        which, place = np.unique(labels, return_inverse=True)
        fronts = self._anatomy.fronts.fronts
        return Designs([fronts[i].losses for i in which], place, ahead)
