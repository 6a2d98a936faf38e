"""The conformance suite of searchers, run on the toy problems.

Under pytest:

    @pytest.mark.parametrize("check", searcher_checks(), ids=str)
    def test_conformance(check):
        check(SearcherSubject(MySearcher))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from hwnas.arrays import Ints
from hwnas.errors import ProblemError, SearcherError
from hwnas.history import costly_columns
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.space import keys
from hwnas.testing.check import Check, nothing_to_check, require
from hwnas.testing.elsewhere import elsewhere, global_random_state_untouched
from hwnas.testing.fidelities import check_fidelities
from hwnas.testing.toys import PROBLEMS, exact_front

_STEPS: Final = 5
_AT_ONCE: Final = 8
_TINY: Final = 50
_FEW: Final = 100
_SMALL: Final = 1000
_MANY_AT_ONCE: Final = 64


@dataclass(frozen=True)
class SearcherSubject:
    """A searcher's class, or a function that builds one.

    Attributes:
        factory: Takes a problem, and by name ``seed``, ``budget`` and its options.
        options: Its options.
    """

    factory: Callable[..., Searcher]
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(
        self,
        problem: Problem,
        *,
        seed: int = 0,
        budget: int | None = 100,
        options: Mapping[str, Any] | None = None,
    ) -> Searcher:
        """A fresh searcher.

        Raises:
            unittest.SkipTest: It refuses the problem, as it may.
        """
        chosen = self.options if options is None else options
        try:
            return self.factory(problem, seed=seed, budget=budget, **chosen)
        except SearcherError as error:
            nothing_to_check(f"it refuses this problem: {error.what}")


Step = tuple[Ints, Measurements]


def measure(problem: Problem, genomes: Ints) -> Measurements:
    """Measures what was asked."""
    return problem.evaluate(problem.designs(genomes))


def search(searcher: Searcher, steps: int = _STEPS, n: int = _AT_ONCE) -> list[Step]:
    """Asks and tells for a number of steps, or until nothing is left.

    Returns:
        What was told, step by step.
    """
    history: list[Step] = []
    for _ in range(steps):
        genomes = searcher.ask(n)
        if not len(genomes):
            break
        history.append((genomes, measure(searcher.problem, genomes)))
        searcher.tell(*history[-1])
    return history


class Tally:
    """What was proposed so far, counted as a budget counts it.

    Designs that are equal in everything that COSTLY evaluators read share one evaluation.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        self._space = problem.space
        self._columns = costly_columns(problem)
        self.shares = len(self._columns) < len(problem.space)
        self.designs: set[bytes] = set()
        self._settings: set[bytes] = set()

    def designs_of(self, genomes: Ints) -> list[bytes]:
        """What tells designs apart."""
        return keys(self._space.canonical(genomes))

    def settings_of(self, genomes: Ints) -> set[bytes]:
        """What tells costly evaluations apart."""
        canonical = self._space.canonical(genomes)
        return set(keys(np.ascontiguousarray(canonical[:, self._columns])))

    def spends(self, genomes: Ints) -> int:
        """How many evaluations they would cost beside what was added."""
        if not self.shares:
            return len(genomes)
        return len(self.settings_of(genomes) - self._settings)

    def add(self, genomes: Ints) -> None:
        """Notes that they were told."""
        self.designs |= set(self.designs_of(genomes))
        self._settings |= self.settings_of(genomes)

    def is_enough(self, searcher: Searcher, genomes: Ints, n: int) -> bool:
        """Whether so few are in order, where ``n`` were asked for; ask before adding them."""
        everything = len(self.designs | set(self.designs_of(genomes))) == self._space.size()
        return searcher.prunes or everything or len(genomes) >= n or self.spends(genomes) == n


def checks() -> tuple[Check[SearcherSubject], ...]:
    """The suite: every rule of the contract on every toy problem."""
    per_problem = (
        asks_are_genomes,
        asks_are_new,
        asking_again_gives_the_same,
        replay_gives_the_same,
        seeds_make_the_difference,
        learns_rows_it_never_asked_for,
        exhausts_the_space,
        pruning_is_right,
        options_rebuild_it,
        keeps_its_arrays_to_itself,
        leaves_global_random_state_alone,
    )
    return (
        Check[SearcherSubject].of(says_what_it_is),
        *(
            Check[SearcherSubject].of(function, name, label=name)
            for function in per_problem
            for name in PROBLEMS
        ),
        Check[SearcherSubject].of(lower_fidelities_are_asked_for_rightly),
        Check[SearcherSubject].of(same_seed_same_run_elsewhere),
    )


def says_what_it_is(subject: SearcherSubject) -> None:
    """It has a name, likes batches of at least one design, and refuses negative seeds."""
    problem = PROBLEMS["plain"]()
    searcher = subject.build(problem)
    require(isinstance(searcher.name, str) and searcher.name, f"its name is {searcher.name!r}")
    require(searcher.batch >= 1, f"its batch is {searcher.batch}")
    try:
        subject.factory(problem, seed=-1, **subject.options)
    except SearcherError:
        return
    raise AssertionError("it accepts seed -1")


def asks_are_genomes(subject: SearcherSubject, name: str) -> None:
    """Asks are int64 (j, d) genomes of the space, for at most as many evaluations as asked for."""
    problem = PROBLEMS[name]()
    searcher = subject.build(problem)
    tally = Tally(problem)
    for n in (1, 2, 5, searcher.batch):
        rows = searcher.ask(n)
        require(
            rows.ndim == 2 and rows.shape[1] == len(problem.space) and rows.dtype == np.int64,
            f"ask({n}) is {rows.dtype} {rows.shape}, the space has {len(problem.space)} genes",
        )
        require(problem.space.is_valid(rows).all(), "an index names no choice")
        spent = tally.spends(rows)
        require(spent <= n, f"ask({n}) proposes {len(rows)} designs that cost {spent} evaluations")
        tally.add(rows)
        searcher.tell(rows, measure(problem, rows))


def asks_are_new(subject: SearcherSubject, name: str) -> None:
    """Asks differ from each other and from all that was told; few only where the space runs out."""
    problem = PROBLEMS[name]()
    searcher = subject.build(problem)
    tally = Tally(problem)
    for _ in range(_STEPS):
        genomes = searcher.ask(_AT_ONCE)
        found = tally.designs_of(genomes)
        require(len(set(found)) == len(found), "it proposes a design twice at once")
        require(not tally.designs & set(found), "it proposes a design that was told already")
        left = problem.space.size() - len(tally.designs)
        require(
            tally.is_enough(searcher, genomes, _AT_ONCE),
            f"ask({_AT_ONCE}) proposes {len(found)}, but {left} designs are left",
        )
        tally.add(genomes)
        searcher.tell(genomes, measure(problem, genomes))


def asking_again_gives_the_same(subject: SearcherSubject, name: str) -> None:
    """Asking again without telling proposes the same, also after asking for another number."""
    problem = PROBLEMS[name]()
    searcher = subject.build(problem)
    for _ in range(_STEPS):
        genomes = searcher.ask(_AT_ONCE)
        _check_same(searcher.ask(_AT_ONCE), genomes, "the second time", "the first time")
        searcher.ask(3)
        _check_same(searcher.ask(_AT_ONCE), genomes, "after ask(3)", "at first")
        searcher.tell(genomes, measure(problem, genomes))


def replay_gives_the_same(subject: SearcherSubject, name: str) -> None:
    """The history rebuilds it, told at once, in chunks of another size, or row by row."""
    problem = PROBLEMS[name]()
    original = subject.build(problem)
    history = search(original)
    genomes = np.concatenate([rows for rows, _ in history])
    measured = Measurements.stack(part for _, part in history)
    expected = original.ask(_AT_ONCE)
    for size in (len(genomes), 13, 1):
        again = subject.build(problem)
        for start in range(0, len(genomes), size):
            rows = slice(start, start + size)
            again.tell(genomes[rows], measured.take(rows))
        _check_same(again.ask(_AT_ONCE), expected, f"told {size} rows at a time", "asked and told")


def seeds_make_the_difference(subject: SearcherSubject, name: str) -> None:
    """The same seed gives the same run, and another seed another one."""
    problem = PROBLEMS[name]()
    runs = [
        np.concatenate([rows for rows, _ in search(subject.build(problem, seed=seed))])
        for seed in (0, 0, 1)
    ]
    _check_same(runs[1], runs[0], "with the same seed", "at first")
    searcher = subject.build(problem)
    with patch.object(searcher, "rng", wraps=searcher.rng) as rng:
        search(searcher)
    if not rng.called or problem.space.size() < _FEW:
        nothing_to_check("it draws nothing at random here, or there is little to draw from")
    require(not np.array_equal(runs[0], runs[2]), "seeds 0 and 1 give the same run")


def learns_rows_it_never_asked_for(subject: SearcherSubject, name: str) -> None:
    """It can be told no rows, foreign rows, sleeping genes and designs twice, and goes on."""
    problem = PROBLEMS[name]()
    space = problem.space
    searcher = subject.build(problem)
    first = searcher.ask(_AT_ONCE)
    searcher.tell(first[:0], measure(problem, first[:0]))
    _check_same(searcher.ask(_AT_ONCE), first, "after telling no rows", "before")
    rng = np.random.default_rng(1)
    raw = rng.integers(0, space.cardinalities, size=(20, len(space)))
    foreign = np.concatenate([raw, space.canonical(raw[:5])])
    searcher.tell(foreign, measure(problem, foreign))
    tally = Tally(problem)
    tally.add(foreign)
    for _ in range(_STEPS):
        genomes = searcher.ask(_AT_ONCE)
        found = set(tally.designs_of(genomes))
        require(
            not found & tally.designs,
            "it proposes a design that was told, but that it had not asked",
        )
        require(
            tally.is_enough(searcher, genomes, _AT_ONCE),
            "it proposes too few designs after a warm start",
        )
        tally.add(genomes)
        searcher.tell(genomes, measure(problem, genomes))


def exhausts_the_space(subject: SearcherSubject, name: str) -> None:
    """In a tiny space it proposes every design once, if it does not prune, and then none."""
    problem = PROBLEMS[name]()
    size = problem.space.size()
    if size > _TINY:
        nothing_to_check("the space is not tiny")
    for n in (1, 4, size + 5):
        searcher = subject.build(problem)
        history = search(searcher, steps=size + 1, n=n)
        asked = [key for rows, _ in history for key in keys(problem.space.canonical(rows))]
        require(len(set(asked)) == len(asked), "it proposes a design twice")
        require(
            searcher.prunes or len(asked) == size,
            f"asked for {n} at once, it finds {len(asked)} of {size}",
        )
        require(len(searcher.ask(n)) == 0, "it proposes more designs than there are")


def pruning_is_right(subject: SearcherSubject, name: str) -> None:
    """What leaves out designs has found the whole exact front when it proposes none any more."""
    problem = PROBLEMS[name]()
    searcher = subject.build(problem)
    if not searcher.prunes:
        nothing_to_check("it leaves out nothing")
    try:
        front = exact_front(problem, _SMALL)
    except ProblemError:
        nothing_to_check("the space is too large to run to the end")
    history = search(searcher, steps=problem.space.size() + 1, n=_MANY_AT_ONCE)
    require(len(searcher.ask(_MANY_AT_ONCE)) == 0, "it proposes more designs than there are")
    found = {
        losses.tobytes()
        for _, measured in history
        for losses in problem.losses(measured)[problem.satisfied(measured)]
    }
    missed = [losses for losses in front.losses if losses.tobytes() not in found]
    require(
        not missed,
        f"it ends without {len(missed)} of {len(front.losses)} points of the exact front, "
        f"e.g. {missed[:1]}",
    )


def options_rebuild_it(subject: SearcherSubject, name: str) -> None:
    """Its options are plain JSON values that rebuild it, whatever the budget is then."""
    problem = PROBLEMS[name]()
    original = subject.build(problem, budget=100)
    options = json.loads(json.dumps(dict(original.options())))
    expected = np.concatenate([rows for rows, _ in search(original)])
    for budget in (10_000, None):
        again = subject.build(problem, budget=budget, options=options)
        require(again.options() == original.options(), f"its options became {again.options()}")
        require(again.batch == original.batch, f"its batch became {again.batch}")
        rows = np.concatenate([rows for rows, _ in search(again)])
        _check_same(rows, expected, f"rebuilt with budget {budget}", "with budget 100")


def keeps_its_arrays_to_itself(subject: SearcherSubject, name: str) -> None:
    """Writing into what it proposed or was told does not change what it proposes."""
    problem = PROBLEMS[name]()
    one, other = subject.build(problem), subject.build(problem)
    for _ in range(_STEPS):
        genomes = other.ask(_AT_ONCE)
        handed = one.ask(_AT_ONCE)
        handed[:] = 0
        _check_same(one.ask(_AT_ONCE), genomes, "after writing into its answer", "before")
        measured = measure(problem, genomes)
        mine = genomes.copy()
        one.tell(mine, measured)
        mine[:] = 0
        other.tell(genomes, measured)


def leaves_global_random_state_alone(subject: SearcherSubject, name: str) -> None:
    """It draws from streams of its own, and leaves the global random states as they were."""
    problem = PROBLEMS[name]()
    search(subject.build(problem), steps=1)  # what it imports may draw
    with global_random_state_untouched():
        search(subject.build(problem))


def lower_fidelities_are_asked_for_rightly(subject: SearcherSubject) -> None:
    """Lower fidelities that it asks for exist, are new, and cost no more than asked for."""
    check_fidelities(subject.build)


def same_seed_same_run_elsewhere(subject: SearcherSubject) -> None:
    """The same seed gives the same run in another process, under another hash seed."""
    here = _runs(subject)
    for name, rows in elsewhere(_runs, subject).items():
        _check_same(rows, here[name], f"in another process, on {name!r}", "here")


def _runs(subject: SearcherSubject) -> dict[str, Ints]:
    runs: dict[str, Ints] = {}
    for name, build in PROBLEMS.items():
        try:
            searcher = subject.factory(build(), seed=0, budget=100, **subject.options)
        except SearcherError:
            continue
        runs[name] = np.concatenate([rows for rows, _ in search(searcher)])
    return runs


def _check_same(rows: Ints, expected: Ints, where: str, otherwise: str) -> None:
    if not np.array_equal(rows, expected):
        raise AssertionError(
            f"it proposes other designs {where} than {otherwise}:\n{rows}\n{expected}"
        )
