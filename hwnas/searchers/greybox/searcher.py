"""Grey-box Pareto search: what is free is known exactly, and only the rest is learnt.

For each setting of the parts that costly evaluators read, the front of all settings of the others
is computed exactly (`hwnas.inner`). Gaussian processes learn the costly metrics from what was
measured. The next batch is where most hypervolume is expected to be added, with all inner designs
of a setting at once, for one costly evaluation.

Nearest relatives: decoupled evaluation of objectives (Daulton, Balandat, Bakshy, "Hypervolume
Knowledge Gradient", ICML 2023), nested co-design (Lin, Yang, Han, "NAAS", DAC 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from hwnas.arrays import Bools, Floats, Ints
from hwnas.errors import SearcherError
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.searchers.greybox.anatomy import Anatomy
from hwnas.searchers.greybox.belief import Belief, Describer
from hwnas.searchers.greybox.ledger import Ledger
from hwnas.searchers.greybox.monotone import Monotone
from hwnas.searchers.greybox.plan import Candidates, Choice, Frame, archived, learnt, settled
from hwnas.searchers.greybox.pool import ENUMERABLE, bred, spread
from hwnas.searchers.greybox.volume import Masks, Volume
from hwnas.searchers.interface import Searcher

_POINTS: Final = 512
_SAMPLED: Final = 100
_NEAR: Final = 200
_ROUNDS: Final = 4
_CHILDREN: Final = 100
_PARENTS: Final = 15
_SHORT: Final = 60
_BOX: Final = 64
"""Outer designs whose inner fronts span the box of the free objectives."""
_FIRST: Final = 300
_CERTIFIED: Final = 1.645
"""Standard deviations of an optimistic loss: 95 % of losses are above."""


class GreyBox(Searcher):
    """Measures where a model expects to gain most; everything that is free is exact.

    Works on any problem: where no part of the genome is free, it is a surrogate-assisted batch
    search. Each proposal is a setting of the costly parts with up to ``siblings`` designs that
    share its one costly evaluation, so `ask` may return more rows than asked for.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`.
        budget: See `Searcher`.
        batch: Costly evaluations proposed at once; more for more workers.
        initial: Designs that are measured before anything is modelled. Left out: an eighth of the
            budget, between 8 and 12.
        siblings: Designs at most that share a costly evaluation.
        monotone: Parts whose ordered genes never make a costly objective worse when they grow.
        enumerate_inner: Up to how many inner designs all are enumerated; beyond, they are
            searched, and the inner fronts are as good as that search.

    Raises:
        SearcherError: An option is out of its range.
    """

    name: ClassVar[str] = "greybox"
    prunes: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        batch: int = 5,
        initial: int | None = None,
        siblings: int = 200,
        monotone: tuple[str, ...] = ("quant",),
        enumerate_inner: int = 20_000,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        if initial is None:
            initial = int(np.clip((budget or 100) // 8, 8, 12))
        for option, value, least in (
            ("batch", batch, 1),
            ("initial", initial, 2),
            ("siblings", siblings, 1),
            ("enumerate_inner", enumerate_inner, 1),
        ):
            if value < least:
                raise SearcherError(
                    f"greybox cannot have {option} = {value}",
                    where=f"option {option}",
                    rule=f"at least {least}",
                    given=str(value),
                )
        self._batch = batch
        self.initial = initial
        self.siblings = siblings
        self.monotone = tuple(monotone)
        self.enumerate_inner = enumerate_inner
        self.anatomy = Anatomy(problem, seed=seed, limit=enumerate_inner)
        self.fronts = self.anatomy.fronts
        self.space = self.fronts.outer_space
        self._ledger = Ledger(len(self.space), len(self.anatomy.open) + len(self.anatomy.limits))
        self._ruled = Monotone(self.space, self.monotone)
        self._kept: dict[int, Floats] = {}
        self._prepared: _Prepared | None = None
        self._step: _Step | None = None

    @property
    def batch(self) -> int:
        """How many costly evaluations it likes to be asked for at once."""
        return self._batch

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {
            "batch": self._batch,
            "initial": self.initial,
            "siblings": self.siblings,
            "monotone": list(self.monotone),
            "enumerate_inner": self.enumerate_inner,
        }

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured; see `Searcher.tell`."""
        super().tell(genomes, measurements)
        tried = np.flatnonzero(self.anatomy.tried(measurements))
        columns = self.fronts.outer_columns
        outer = self.problem.space.canonical(self.problem.space.check(genomes))[:, columns]
        targets = self.anatomy.targets(measurements)
        self._ledger.add(self.space.canonical(outer[tried]), targets[tried])
        self._step = None

    def ask(self, n: int) -> Ints:
        """Proposes settings of the costly parts, with their inner designs; see `Searcher.ask`.

        Returns:
            Genomes with at most ``n`` different settings of the costly parts.
        """
        outer = self._first(n)
        if outer is None:
            outer = self._now().chosen(n)
        return self._with_siblings(outer)

    def remaining(self) -> float | None:
        """See `Searcher.remaining`; at 95 % confidence per design, of the designs considered."""
        if self._first(1) is not None:
            return None
        return self._now().remaining()

    def _with_siblings(self, outer: Ints) -> Ints:
        rows = [np.empty((0, len(self.problem.space)), dtype=np.int64)]
        for row, label in zip(outer, self.fronts.labels(outer), strict=True):
            places = self.fronts.fronts[label].places
            if len(places) > self.siblings:
                order = np.argsort(self.fronts.fronts[label].losses[:, 0], kind="stable")
                even = np.linspace(0, len(places) - 1, self.siblings).round().astype(np.int64)
                places = places[order[even]]
            rows.append(self.fronts.genomes(row, places))
        proposed = np.concatenate(rows)
        return proposed[self.told.new(proposed)]

    @property
    def _setup(self) -> _Prepared:
        if self._prepared is None:
            self._prepared = _Prepared.of(self.anatomy, self.seed, self.initial)
        return self._prepared

    def _first(self, n: int) -> Ints | None:
        """What is left of the first designs; ``None`` once there is enough to learn from."""
        ledger = self._ledger
        learnable = np.isfinite(ledger.targets).all(axis=1)
        if len(ledger) >= self.initial and learnable.sum() >= 2:
            return None
        designs = self._setup.first
        fresh = designs[ledger.new(designs)][:n]
        if len(fresh):
            return fresh
        rng = self.rng()
        rows = self.space.rows() if self.space.size() <= ENUMERABLE else self.space.sample(999, rng)
        rows = rng.permutation(rows)
        rows = rows[ledger.new(rows)]
        possible = [len(self.fronts.fronts[i].places) > 0 for i in self.fronts.labels(rows)]
        return rows[np.array(possible, dtype=np.bool_)][:n]

    def _now(self) -> _Step:
        if self._step is None:
            self._step = _Step(
                self.anatomy, self._setup, self._ledger, self._ruled, self._kept, self.rng()
            )
        return self._step


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What does not change while a problem is searched."""

    first: Ints
    describe: Describer
    volume: Volume
    masks: Masks

    @classmethod
    def of(cls, anatomy: Anatomy, seed: int, initial: int) -> _Prepared:
        space, fronts = anatomy.fronts.outer_space, anatomy.fronts
        describe = Describer(space, anatomy.hints, seed)
        rng = np.random.default_rng((seed, 0))
        some = space.rows() if space.size() <= ENUMERABLE else space.sample(_FIRST, rng)
        some = rng.permutation(some)[:_FIRST]
        feasible = np.array([len(fronts.fronts[i].places) > 0 for i in fronts.labels(some[:_BOX])])
        losses = [fronts.fronts[i].losses for i in np.unique(fronts.labels(some[:_BOX]))]
        free = np.concatenate([np.empty((0, len(anatomy.free))), *losses])
        low, high = np.zeros(len(anatomy.free)), np.ones(len(anatomy.free))
        if len(free):
            low, high = free.min(axis=0), free.max(axis=0)
            high = high + 0.05 * np.where(high > low, high - low, 1.0)
        volume = Volume(len(anatomy.free), len(anatomy.open), points=_POINTS, seed=seed)
        del feasible
        first = some[spread(describe(some), initial)]
        possible = [len(fronts.fronts[i].places) > 0 for i in fronts.labels(first)]
        first = first[np.array(possible, dtype=np.bool_)]
        return cls(first, describe, volume, Masks(volume, low, high))


class _Step:
    """What follows from the history so far."""

    def __init__(
        self,
        anatomy: Anatomy,
        prepared: _Prepared,
        ledger: Ledger,
        ruled: Monotone,
        kept: dict[int, Floats],
        rng: np.random.Generator,
    ) -> None:
        self._anatomy, self._prepared, self._ledger, self._ruled = anatomy, prepared, ledger, ruled
        self._space = anatomy.fronts.outer_space
        self._u = len(anatomy.open)
        outer, targets = ledger.outer, ledger.targets
        finite = np.isfinite(targets).all(axis=1)
        self._frame = Frame.around(targets[finite][:, : self._u])
        self._belief: Belief = learnt(prepared.describe(outer), targets, anatomy, kept)
        self._volume = prepared.volume.empty()
        good = settled(anatomy, targets)
        masks = self._masks(outer)
        archived(self._volume, masks[good], self._frame, targets[good][:, : self._u])
        on_front = self._volume.supports(
            masks, self._frame.scaled(np.where(finite[:, None], targets[:, : self._u], np.inf))
        )
        parents = outer[on_front & good] if (on_front & good).any() else outer
        self.candidates = self._candidates(parents, rng)

    def _masks(self, outer: Ints) -> Bools:
        fronts = self._anatomy.fronts
        return self._prepared.masks.of(fronts.labels(outer), fronts.fronts)

    def _considered(self, rows: Ints) -> Candidates:
        """Candidates, less those that certainly cannot add anything."""
        outer, losses = self._ledger.outer, self._ledger.targets[:, : self._u]
        least, most = self._ruled.bounds(rows, outer, losses)
        least = np.maximum(least, self._anatomy.best)
        contradicts = least > most
        least = np.where(contradicts, self._anatomy.best, least)
        most = np.where(contradicts, np.inf, most)
        forecast = self._belief.at(self._prepared.describe(rows))
        some = Candidates(rows, self._masks(rows), forecast, least, most, self._frame)
        hopeful = self._volume.gained(some.masks, some.optimistic(np.inf)) > 0
        return some if hopeful.all() else some.take(np.flatnonzero(hopeful))

    def _candidates(self, parents: Ints, rng: np.random.Generator) -> Candidates:
        space, ledger = self._space, self._ledger
        if space.size() <= ENUMERABLE:
            rows = space.rows()
            return self._short(self._considered(rows[ledger.new(rows)]))
        rows = np.concatenate([space.sample(_SAMPLED, rng), bred(parents, _NEAR, space, rng)])
        pool = self._considered(rows[ledger.new(rows)])
        rows, value = pool.rows, self._hoped(pool)
        for _ in range(_ROUNDS if len(rows) else 0):
            top = np.argsort(-value, kind="stable")[:_PARENTS]
            more = np.concatenate([rows, bred(rows[top], _CHILDREN, space, rng)])
            fresh = ledger.new(more)
            fresh[: len(rows)] = False
            found = self._considered(more[fresh])
            rows = np.concatenate([rows, found.rows])
            value = np.concatenate([value, self._hoped(found)])
        best = np.argsort(-value, kind="stable")[:_SHORT]
        return self._considered(rows[best])

    def _short(self, some: Candidates) -> Candidates:
        return some.take(np.argsort(-self._hoped(some), kind="stable")[:_SHORT])

    def _hoped(self, some: Candidates) -> Floats:
        """What candidates add if they are a standard deviation better than expected."""
        return self._volume.gained(some.masks, some.optimistic(1.0)) * some.chance

    def chosen(self, n: int) -> Ints:
        """The next ``n`` outer designs."""
        return Choice(self._volume.copy(), self.candidates).best(n)

    def remaining(self) -> float:
        """What is left to be gained at most, relative to what is reached."""
        some = self.candidates
        bound = self._volume.bound(some.masks, some.optimistic(_CERTIFIED))
        return bound / max(self._volume.share(), 1e-12)
