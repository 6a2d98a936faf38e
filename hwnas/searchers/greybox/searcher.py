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
from hwnas.searchers.greybox.ledger import Ledger
from hwnas.searchers.greybox.monotone import Monotone
from hwnas.searchers.greybox.pool import ENUMERABLE
from hwnas.searchers.greybox.step import Prepared, Step
from hwnas.searchers.interface import Searcher


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
                self.anatomy, self._setup, self._ledger, self._ruled, self._kept, self.rng()
            )
        return self._step
