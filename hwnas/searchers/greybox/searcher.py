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
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.errors import SearcherError
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.searchers.greybox.anatomy import Anatomy
from hwnas.searchers.greybox.ladder import Ladder
from hwnas.searchers.greybox.ledger import Ledger
from hwnas.searchers.greybox.monotone import Monotone
from hwnas.searchers.greybox.plan import settled
from hwnas.searchers.greybox.pool import ENUMERABLE
from hwnas.searchers.greybox.step import Prepared, Step
from hwnas.searchers.interface import Searcher
from hwnas.searchers.options import at_least
from hwnas.space import keys

_MOST_EARLY = 0.5
_LEAST_BATCH = 3


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
            budget, between 8 and 12, or half of that where there is a lower fidelity (at which
            four times as many are measured first).
        siblings: Designs at most that share a costly evaluation.
        monotone: Parts whose ordered genes never make a costly objective worse when they grow.
        early: The share of a batch that is spent on a lower fidelity, where the costly evaluators
            have one that costs no more than a quarter and ranks designs like whole evaluations;
            0 for none. Batches below 3 have none.
        enumerate_inner: Up to how many inner designs all are enumerated; beyond, they are
            searched, and the inner fronts are as good as that search.

    Raises:
        SearcherError: An option is out of its range.
    """

    name: ClassVar[str] = "greybox"
    prunes: ClassVar[bool] = True
    certifies: ClassVar[bool] = True

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
        early: float = 0.2,
        enumerate_inner: int = 20_000,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        whole = int(np.clip((budget or 100) // 8, 8, 12)) if initial is None else initial
        at_least(1, self.name, batch=batch, siblings=siblings, enumerate_inner=enumerate_inner)
        at_least(2, self.name, initial=whole)
        if not 0 <= early <= _MOST_EARLY:
            raise SearcherError(
                "early is no share of a batch",
                where=f"searcher {self.name}, option early",
                rule=f"0 to {_MOST_EARLY}",
                given=str(early),
            )
        self._batch = batch
        self.siblings = siblings
        self.monotone = tuple(monotone)
        self.enumerate_inner = enumerate_inner
        self.anatomy = Anatomy(problem, seed=seed, limit=enumerate_inner)
        self.fronts = self.anatomy.fronts
        self.space = self.fronts.outer_space
        self._ledger = Ledger(len(self.space), len(self.anatomy.open) + len(self.anatomy.limits))
        self.early = early
        self.ladder = Ladder(self.anatomy if early else None)
        # What many designs show early stands in for half of those that are measured whole.
        self.initial = whole if initial is not None or not self.ladder.rungs else whole // 2
        self._drafts: set[bytes] = set()
        self._owing: list[int] = []
        self._looked_at = 0
        self._ruled = Monotone(self.space, self.monotone)
        self._kept: dict[int, Floats] = {}
        self._prepared: Prepared | None = None
        self._step: Step | None = None

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
            "early": self.early,
            "enumerate_inner": self.enumerate_inner,
        }

    def tell(self, genomes: Ints, measurements: Measurements) -> None:
        """Learns what designs measured; see `Searcher.tell`."""
        super().tell(genomes, measurements)
        columns = self.fronts.outer_columns
        outer = self.problem.space.canonical(self.problem.space.check(genomes))[:, columns]
        # What was known at a lower fidelity when a design was measured must not depend on how
        # many rows are told at once.
        changes = np.flatnonzero(np.diff(measurements.fidelity)) + 1
        for rows in np.split(np.arange(len(genomes)), changes):
            self._learn(outer[rows], measurements.take(rows))
        self._step = None

    def _learn(self, outer: Ints, measurements: Measurements) -> None:
        """Takes down rows of one fidelity."""
        if not len(outer):
            return
        fidelity = float(measurements.fidelity[0])
        answered = measurements.answered()
        tried = np.flatnonzero(self.anatomy.tried(answered))
        targets = self.anatomy.targets(answered)[tried]
        some = self.space.canonical(outer[tried])
        if fidelity < 1:
            self.ladder.add(fidelity, some, targets)
        else:
            self._ledger.add(some, targets)
            self.ladder.passed(len(self._ledger))

    def ask(self, n: int) -> Ints:
        """Proposes settings of the costly parts, with their inner designs; see `Searcher.ask`.

        Returns:
            Genomes with at most ``n`` different settings of the costly parts that are new.
        """
        owed = self._owed()
        proposed = self._proposed(n)
        return np.concatenate([owed, proposed]) if len(owed) else proposed

    def _owed(self) -> Ints:
        """What nobody told of the inner fronts of settings that are measured: it costs nothing.

        None but where it was told designs that it had not asked for.
        """
        ledger = self._ledger
        new = np.arange(self._looked_at, len(ledger))
        self._owing += new[settled(self.anatomy, ledger.targets[new])].tolist()
        self._looked_at = len(ledger)
        rows = [np.empty((0, len(self.problem.space)), dtype=np.int64)]
        rows += [self._with_siblings(ledger.outer[[place]]) for place in self._owing]
        self._owing = [place for place, own in zip(self._owing, rows[1:], strict=True) if len(own)]
        return np.concatenate(rows)

    def _proposed(self, n: int) -> Ints:
        self._drafts = set()
        rung = self.ladder.rung(self._ledger)
        if rung is not None and not len(self.ladder) and not len(self._ledger):
            return self._drafted(self._setup.early[: int(n / rung.fidelity)])
        outer = self._first(n)
        if outer is not None:
            return self._with_siblings(outer)
        spared = round(self.early * n) if rung is not None and n >= _LEAST_BATCH else 0
        step = self._now()
        proposed = self._with_siblings(step.chosen(n - spared))
        if rung is None or not spared:
            return proposed
        drafts = step.early(int(spared / rung.fidelity), n - spared)
        return np.concatenate([proposed, self._drafted(drafts)])

    def fidelity_of(self, proposed: Ints) -> Floats:
        """At which fidelity designs are to be measured; see `Searcher.fidelity_of`."""
        rung = self.ladder.rung(self._ledger)
        if rung is None or not self._drafts:
            return np.ones(len(proposed))
        columns = self.fronts.outer_columns
        outer = self.problem.space.canonical(self.problem.space.check(proposed))[:, columns]
        drafted = [name in self._drafts for name in keys(self.space.canonical(outer))]
        return np.where(drafted, rung.fidelity, 1.0)

    def _drafted(self, outer: Ints) -> Ints:
        """One design for each setting that is to be measured at the lower fidelity."""
        self._drafts = set(keys(outer))
        rows = [np.empty((0, len(self.problem.space)), dtype=np.int64)]
        for row, label in zip(outer, self.fronts.labels(outer), strict=True):
            rows.append(self.fronts.genomes(row, self.fronts.fronts[label].places[:1]))
        return np.concatenate(rows)

    def remaining(self) -> float | None:
        """See `Searcher.remaining`; calibrated, not proven: see `greybox.certificate`."""
        if self._first(1) is not None or len(self._owed()):
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
    def _setup(self) -> Prepared:
        if self._prepared is None:
            self._prepared = Prepared.of(self.anatomy, self.seed, self.initial)
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

    def _now(self) -> Step:
        if self._step is None:
            self._step = Step(
                self.anatomy,
                self._setup,
                self._ledger,
                self._ruled,
                self._kept,
                self.rng(),
                self.ladder.rung(self._ledger) if len(self.ladder) else None,
            )
        return self._step

    def rng(self) -> np.random.Generator:
        """The random stream of the current step; see `Searcher.rng`."""
        if not len(self.ladder):
            return super().rng()
        return np.random.default_rng((self.seed, len(self.told), len(self.ladder)))
