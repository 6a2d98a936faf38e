"""Hierarchical SHGO over scalarisations, as FLASH uses it, for a handful of genes.

Sources: Endres, Sandrock, Focke, "A simplicial homology algorithm for Lipschitz optimisation",
Journal of Global Optimization 72, 2018 (the complex and its minimisers are scipy's); Li, Mandal,
Ogras, Marculescu, "FLASH: Fast Neural Architecture Search with Hardware Optimization", ACM TECS
20(5s), 2021, whose search has two levels: SHGO on a coarse lattice, then a fine search around what
it found. FLASH's details are not published; those here are ours.

SHGO minimises one number over a box of real numbers. On a lattice its local minimisers stand still,
as every slope is 0, and it knows no categories. So the fine level is a descent on the lattice, and
several objectives become many scalarisations, which share everything that was measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.errors import SearcherError, nearest
from hwnas.problem import Problem, nondominated
from hwnas.searchers.interface import Searcher, unseen
from hwnas.searchers.options import at_least
from hwnas.searchers.scalarisation import Scalarisation, spread
from hwnas.space import keys
from hwnas.space.operators import mutate

_MOST: Final = 10
"""Vertices double with every gene: 10 genes have 1,025, and each run of scipy takes seconds."""
_QUICK: Final = 8
_STEPS: Final = (16, 8, 4, 2, 1)
_AT_ONCE: Final = 2
_MINIMISERS: Final = 3
_NUDGE: Final = 1e-3
_DRAWN: Final = 64
_ENUMERABLE: Final = 100_000

_Wishes = Generator[Ints, None, None]
"""An inner algorithm: yields the genomes it wants measured, and goes on once all are told."""


@dataclass
class _Waiting:
    """An inner algorithm and the genomes that it waits for."""

    run: _Wishes
    wanted: Ints
    missing: set[bytes]


class SHGO(Searcher):
    """SHGO on a coarse lattice, then descents on the fine one, for many scalarisations.

    1. The vertices of SHGO's complex over the macro genes are measured, the other genes in the
       middle. The complex does not depend on the objectives, so all scalarisations share it.
    2. Every scalarisation (see `Scalarisation`) descends on the lattice of all genes, in steps of
       16, 8, 4, 2, 1 choices up and down, categories by substitution. It begins at the best
       design told so far: at first, SHGO's lowest minimiser on the complex.
    3. Then they descend from SHGO's other minimisers, where not done before.
    4. Then random scalarisations go on, every other one from a random new design.

    Where more designs are asked for than the descents want, mutants of the front fill up. Within
    its plan nothing is random. Violated constraints put a design behind all feasible ones.

    Args:
        problem: See `Searcher`.
        seed: See `Searcher`; counts for what fills up and after the plan only.
        budget: See `Searcher`.
        weights: The number of scalarisations.
        iterations: How often SHGO builds or refines its complex; each adds 2^k + 1 vertices for k
            macro genes.
        macro: The names of the macro genes, ordered ones, at most 10. Left out: all ordered genes.

    Raises:
        SearcherError: More than 10 genes and no ``macro``, a wrong name in it, or a number too
            small.
    """

    name: ClassVar[str] = "shgo"

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = None,
        weights: int = 24,
        iterations: int = 1,
        macro: Sequence[str] | None = None,
    ) -> None:
        super().__init__(problem, seed=seed, budget=budget)
        self.macro = None if macro is None else list(macro)
        self._columns = _macro_columns(problem, self.macro)
        at_least(1, self.name, weights=weights, iterations=iterations)
        self.weights = weights
        self.iterations = iterations
        self._rows: dict[bytes, int] = {}
        self._read = 0
        self._surveyed = False
        self._descended: set[bytes] = set()
        self._waiting: list[_Waiting] = []
        self._plan = self._planned()

    @property
    def batch(self) -> int:
        """About the neighbours of one design."""
        space = self.problem.space
        around = np.where(space.ordered, np.minimum(space.cardinalities - 1, 2), 0).sum()
        return int(np.clip(around, 4, 32))

    def options(self) -> Mapping[str, Any]:
        """Its options; see `Searcher.options`."""
        return {"weights": self.weights, "iterations": self.iterations, "macro": self.macro}

    def ask(self, n: int) -> Ints:
        """Proposes what the inner algorithms wait for, then mutants; see `Searcher.ask`."""
        self._catch_up()
        space = self.problem.space
        nothing = np.empty((0, len(space)), dtype=np.int64)
        wanted = np.concatenate([nothing, *(inner.wanted for inner in self._waiting)])
        rows = wanted[self.told.new(wanted)][:n]
        if len(rows) == n:
            return rows
        rng = self.rng()
        front = nondominated(self._feasible_losses(len(self.told)))
        if front.size:
            parents = self.told.genomes[front[rng.integers(len(front), size=2 * (n - len(rows)))]]
            filled = np.concatenate([rows, space.canonical(mutate(parents, space, rng))])
            rows = filled[self.told.new(filled)][:n]
        return unseen(self.told, space, n - len(rows), rng, rows)

    # The inner algorithms go on row by row as the history grows, so that the chunks in which it
    # was told make no difference. What they read ends at the row that woke them up.

    def _catch_up(self) -> None:
        self._enter()
        for key in keys(self.problem.space.canonical(self.told.genomes[self._read :])):
            self._read += 1
            if key in self._rows:
                continue
            self._rows[key] = self._read - 1
            for inner in list(self._waiting):
                inner.missing.discard(key)
                if not inner.missing and not self._goes_on(inner):
                    self._waiting.remove(inner)
            self._enter()

    def _goes_on(self, inner: _Waiting) -> bool:
        """Runs an inner algorithm until it has to wait; whether it does."""
        for wanted in inner.run:
            inner.missing = {key for key in keys(wanted) if key not in self._rows}
            inner.wanted = wanted
            if inner.missing:
                return True
        return False

    def _enter(self) -> None:
        """Starts what comes next, one at a time until the complex is measured."""
        while len(self._waiting) < (_AT_ONCE if self._surveyed else 1):
            run = next(self._plan, None)
            if run is None:
                return
            inner = _Waiting(run, np.empty((0, 0), dtype=np.int64), set())
            if self._goes_on(inner):
                self._waiting.append(inner)

    def _planned(self) -> Iterator[_Wishes]:
        yield self._survey()
        m = len(self.problem.objectives)
        weights = spread(m, self.weights)
        for weight in weights:
            yield self._from_the_best(weight)
        # Where a run of scipy takes seconds, only the widest spread scalarisations have one.
        runs = len(weights) if len(self._columns) <= _QUICK else -(-len(weights) // 4)
        for weight in weights[:runs]:
            yield self._from_minimisers(weight)
        for i in itertools.count():
            rng = np.random.default_rng((self.seed, i))
            weight = rng.dirichlet(np.ones(m))
            yield self._from_the_best(weight)
            start = self._never_told(rng)
            if start is None:
                return
            yield self._descent(self._scalarisation(weight), start)

    def _survey(self) -> _Wishes:
        """Measures the vertices of the complex."""
        found: list[Ints] = []

        def note(points: Floats) -> Floats:
            found.append(self._at(points))
            return np.zeros(len(points))

        self._minimisers(note)
        vertices = np.concatenate(found)
        _, first = np.unique(vertices, axis=0, return_index=True)
        yield vertices[np.sort(first)]
        self._surveyed = True

    def _from_the_best(self, weight: Floats) -> _Wishes:
        """Descends from the best design told: at first, the lowest minimiser on the complex."""
        target = self._scalarisation(weight)
        values = target.values(self.told.losses[: self._read], self.told.violation[: self._read])
        best = self.problem.space.canonical(self.told.genomes[[values.argmin()]])[0]
        yield from self._descent(target, best)

    def _from_minimisers(self, weight: Floats) -> _Wishes:
        """Descends from SHGO's lowest minimisers, from each of them once."""
        target = self._scalarisation(weight)
        for start in self._minimisers(lambda points: self._values(target, self._at(points))):
            if start.tobytes() not in self._descended:
                self._descended.add(start.tobytes())
                yield from self._descent(target, start)

    def _descent(self, target: Scalarisation, start: Ints) -> _Wishes:
        """Goes down on the lattice while some neighbour is better."""
        space = self.problem.space
        yield start[None]
        here, value = start, self._values(target, start[None])[0]
        for step in _STEPS:
            while True:
                rows, genes = self._around(here, step)
                yield rows
                values = self._values(target, rows)
                better = np.flatnonzero(values < value)
                if not better.size:
                    break
                # All moves that help, together: the best one of each gene.
                both = here.copy()
                for i in better[np.argsort(-values[better], kind="stable")]:
                    both[genes[i]] = rows[i, genes[i]]
                both = space.canonical(both[None])
                yield both
                rows = np.concatenate([rows, both])
                values = np.append(values, self._values(target, both))
                here, value = rows[values.argmin()], values.min()

    def _around(self, here: Ints, step: int) -> tuple[Ints, Ints]:
        """Moves of one gene, ``(j, d)``, and the gene that moves, ``(j,)``."""
        space = self.problem.space
        rows, genes = [], []
        for j in np.flatnonzero(space.active(here[None])[0]):
            last = space.cardinalities[j] - 1
            moves = (max(0, here[j] - step), min(last, here[j] + step))
            for choice in moves if space.ordered[j] else range(last + 1):
                if choice != here[j]:
                    rows.append(here.copy())
                    rows[-1][j] = choice
                    genes.append(j)
        moved = np.array(rows, dtype=np.int64).reshape(len(rows), len(space))
        return space.canonical(moved), np.array(genes, dtype=np.int64)

    def _minimisers(self, field: Callable[[Floats], Floats]) -> Ints:
        """SHGO's lowest minimisers on the complex, as genomes, ``(j, d)``, the lowest first.

        Args:
            field: The values of points of the unit cube, ``(n, k)`` to ``(n,)``; is given all the
                vertices of a refinement at once.
        """
        from scipy.optimize import shgo

        k = len(self._columns)
        if not k:
            field(np.empty((1, 0)))
            return self._at(np.empty((1, 0)))
        found = shgo(
            lambda point: field(point[None])[0],
            [(0.0, 1.0)] * k,
            iters=self.iterations,
            options={"minimize_every_iter": False},
            workers=lambda _, points: field(np.array(points)).tolist(),
        )
        return self._at(np.array(found.get("xl", np.empty((0, k))))[:_MINIMISERS])

    def _at(self, points: Floats) -> Ints:
        """The genomes at points of the unit cube over the macro genes, ``(n, d)``."""
        space = self.problem.space
        middle = np.where(space.ordered, space.cardinalities // 2, 0)
        rows = np.repeat(middle[None], len(points), axis=0)
        # Vertices lie half-way between choices: the differences of scipy's gradient must not.
        at = points * (space.cardinalities[self._columns] - 1) + 0.5 + _NUDGE
        rows[:, self._columns] = np.floor(at)
        return space.canonical(rows)

    def _scalarisation(self, weight: Floats) -> Scalarisation:
        return Scalarisation.of(self._feasible_losses(self._read), weight)

    def _feasible_losses(self, count: int) -> Floats:
        violated = self.told.violation[:count, None] > 0
        return np.where(violated, np.inf, self.told.losses[:count])

    def _values(self, target: Scalarisation, rows: Ints) -> Floats:
        told = np.array([self._rows[key] for key in keys(rows)], dtype=np.int64)
        return target.values(self.told.losses[told], self.told.violation[told])

    def _never_told(self, rng: np.random.Generator) -> Ints | None:
        """A random design beyond the rows read; ``None`` where there is none to be found."""
        space = self.problem.space
        drawn = space.sample(_DRAWN, rng)
        if space.size() <= _ENUMERABLE:
            drawn = np.concatenate([drawn, rng.permutation(space.rows(), axis=0)])
        fresh = (row for row, key in zip(drawn, keys(drawn), strict=True) if key not in self._rows)
        return next(fresh, None)


def _macro_columns(problem: Problem, macro: Sequence[str] | None) -> Ints:
    """The columns of the macro genes."""
    space = problem.space
    moving = np.flatnonzero(space.cardinalities > 1)
    if macro is None:
        if len(moving) > _MOST:
            raise SearcherError(
                "the space has too many genes for SHGO",
                where="searcher shgo",
                rule=f"at most {_MOST} genes with a choice: the vertices double with every gene",
                given=f"{len(moving)} genes",
                cure=f"name the macro genes, at most {_MOST} of the ordered ones (option macro), "
                "pin genes (restrict), or use another searcher",
            )
        return moving[space.ordered[moving]]
    ordered = [
        name for name, is_ordered in zip(space.names, space.ordered, strict=True) if is_ordered
    ]
    for name in macro:
        if name not in ordered:
            raise SearcherError(
                f"{name!r} cannot be a macro gene",
                where="searcher shgo, option macro",
                rule="an ordered gene of the space",
                given=repr(name),
                cure=nearest(name, ordered),
            )
    columns = np.array([j for j in moving if space.names[j] in macro], dtype=np.int64)
    if len(columns) > _MOST:
        raise SearcherError(
            "there are too many macro genes for SHGO",
            where="searcher shgo, option macro",
            rule=f"at most {_MOST}: the vertices double with every gene",
            given=str(len(columns)),
            cure="name fewer; the descents move the others, too",
        )
    return columns
