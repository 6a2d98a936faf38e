"""The suite of searchers lets good ones pass, and finds every kind of bad one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hwnas.errors import SearcherError
from hwnas.searchers import Searcher, unseen
from hwnas.searchers.random import RandomSearch
from hwnas.testing import SearcherSubject, run, searcher_checks
from hwnas.testing.toys import PROBLEMS, exact_front

CHECKS = {check.name: check for check in searcher_checks()}
FIDELITIES = "lower fidelities are asked for rightly"


class Refusing(RandomSearch):
    """Keeps every rule, and refuses conditional spaces, as it may."""

    def __init__(self, problem, **options):
        if any(gene.when for gene in problem.space.genes):
            raise SearcherError("no conditions, please")
        super().__init__(problem, **options)


def test_a_searcher_may_refuse_a_problem():
    outcomes = {o.check: o for o in run(CHECKS.values(), SearcherSubject(Refusing))}
    assert all(outcome.passed for outcome in outcomes.values())
    skipped = outcomes["asks are new [conditional]"]
    assert skipped.skipped
    assert "no conditions" in skipped.message
    assert not outcomes["asks are new [plain]"].skipped


def asking(change):
    """A random searcher whose proposals are changed by a function of itself, them, and n."""

    class Asking(RandomSearch):
        asked = 0
        tells = 0

        def ask(self, n):
            self.asked += 1
            return change(self, super().ask(n), n)

        def tell(self, genomes, measurements):
            self.tells += 1
            super().tell(genomes, measurements)

    return Asking


def shuffled(searcher, rows, *seed):
    return np.random.default_rng(seed).permutation(rows)


class AcceptsAnySeed(RandomSearch):
    def __init__(self, problem, *, seed=0, **options):
        super().__init__(problem, seed=abs(seed), **options)


class Fixed(RandomSearch):
    """Takes its stream, and then another one."""

    def ask(self, n):
        self.rng()
        nothing = np.empty((0, len(self.problem.space)), dtype=np.int64)
        stream = np.random.default_rng(len(self.told))
        return unseen(self.told, self.problem.space, n, stream, nothing)


class Downwards(Searcher):
    """From the last design to the first; hands out and holds on to arrays of its own."""

    name = "downwards"
    batch = 5

    def options(self):
        return {}

    def ask(self, n):
        if not hasattr(self, "rows"):
            self.rows = self.problem.space.rows()[::-1].copy()
        return self.rows[len(self.told) :][:n]


class HoldsOn(RandomSearch):
    """Draws from what it was told, and holds on to the arrays it was given."""

    def tell(self, genomes, measurements):
        super().tell(genomes, measurements)
        self.kept = genomes

    def ask(self, n):
        rows = super().ask(n)
        if not hasattr(self, "kept"):
            return rows
        return shuffled(self, rows, int(self.kept.sum()))


class FollowsTheBudget(RandomSearch):
    def ask(self, n):
        return shuffled(self, super().ask(n), self.budget or 1)


class ForgetsOptions(RandomSearch):
    def options(self):
        return {}


class BatchFollowsTheBudget(RandomSearch):
    batch = property(lambda self: self.budget or 7)


class SeedsTheWorld(RandomSearch):
    def ask(self, n):
        random.seed(1)
        return super().ask(n)


class TripsOverDuplicates(RandomSearch):
    def tell(self, genomes, measurements):
        assert len(np.unique(genomes, axis=0)) == len(genomes)
        super().tell(genomes, measurements)


class NeedsRows(RandomSearch):
    def tell(self, genomes, measurements):
        assert len(genomes)
        super().tell(genomes, measurements)


class RemembersOnlyItsOwn(RandomSearch):
    """Forgets what it did not ask for, so that it proposes it again."""

    def ask(self, n):
        self.mine = super().ask(n)
        return self.mine

    def tell(self, genomes, measurements):
        mine = {row.tobytes() for row in getattr(self, "mine", [])}
        kept = np.array([row.tobytes() in mine for row in genomes], dtype=bool)
        super().tell(genomes[kept], measurements.take(kept))


class CutsTheEnds(Searcher):
    """Says that it prunes, and takes the first design of the front for one that cannot reach it."""

    name = "cuts the ends"
    batch = 5
    prunes = True
    from_design = 1

    def options(self):
        return {}

    def ask(self, n):
        losses = exact_front(self.problem).losses
        rows = exact_front(self.problem).genomes[np.lexsort(losses.T[::-1])][self.from_design :]
        return rows[self.told.new(rows)][:n]


class KnowsTheFront(CutsTheEnds):
    """Proposes the exact front alone: nothing else is worth an evaluation."""

    name = "knows the front"
    from_design = 0


class SharesEvaluations(RandomSearch):
    """Adds all designs that share the costly evaluations of what it proposes."""

    reads = ("net", "quant")
    fewer = 0

    def ask(self, n):
        rows, space = super().ask(n), self.problem.space
        if not self.problem.costly or "hw" not in space.part_names or not len(rows):
            return rows
        columns = space.columns_of(*(set(self.reads) & set(space.part_names)))
        if len(columns) == 0:
            return rows
        everything = space.rows()
        alike = (everything[:, None, columns] == space.canonical(rows)[None, :, columns]).all(-1)
        everything = everything[alike.any(axis=1)]
        return everything[self.told.new(everything)]


class SharesTooMuch(SharesEvaluations):
    """Takes what reads the bits for something that does not."""

    reads = ("net",)


PLAIN, TINY, JOINT = " [plain]", " [tiny]", " [joint]"
GENOMES, NEW = "asks are genomes" + PLAIN, "asks are new"
FOREIGN = "learns rows it never asked for"


class WantsWhatNobodyHas(RandomSearch):
    """Asks for a fidelity that the problem does not offer."""

    def fidelity_of(self, proposed):
        return np.full(len(proposed), 0.3)


class NeverMeasuresWhole(RandomSearch):
    """Is content with the cheapest fidelity."""

    def fidelity_of(self, proposed):
        return np.full(len(proposed), self.problem.fidelities[0])


class DraftsByPlace(RandomSearch):
    """The fidelity of a design depends on where it stands."""

    def fidelity_of(self, proposed):
        return np.where(np.arange(len(proposed)) == 0, self.problem.fidelities[0], 1.0)


BAD = [
    ("says what it is", type("Nameless", (RandomSearch,), {"name": ""})),
    ("says what it is", type("Batchless", (RandomSearch,), {"batch": 0})),
    ("says what it is", AcceptsAnySeed),
    (GENOMES, asking(lambda s, rows, n: rows.astype(float))),
    (GENOMES, asking(lambda s, rows, n: rows[:, 1:])),
    (GENOMES, asking(lambda s, rows, n: rows + 9)),
    (GENOMES, asking(lambda s, rows, n: np.concatenate([rows, rows]))),
    ("asks are genomes" + JOINT, SharesTooMuch),
    ("pruning is right [maximised]", CutsTheEnds),
    ("pruning is right" + JOINT, CutsTheEnds),
    (NEW + PLAIN, asking(lambda s, rows, n: np.repeat(rows[:1], len(rows), axis=0))),
    (NEW + PLAIN, asking(lambda s, rows, n: s.problem.space.rows()[:n])),
    (NEW + PLAIN, asking(lambda s, rows, n: rows[:-1])),
    (NEW + TINY, asking(lambda s, rows, n: s.problem.space.sample(n, s.rng()))),
    ("asking again gives the same" + PLAIN, asking(lambda s, rows, n: shuffled(s, rows, s.asked))),
    ("replay gives the same" + PLAIN, asking(lambda s, rows, n: shuffled(s, rows, s.tells))),
    ("seeds make the difference" + PLAIN, Fixed),
    ("seeds make the difference" + PLAIN,
     asking(lambda s, rows, n: np.random.default_rng().permutation(rows))),
    (FOREIGN + PLAIN, NeedsRows),
    (FOREIGN + PLAIN, TripsOverDuplicates),
    (FOREIGN + TINY, RemembersOnlyItsOwn),
    ("exhausts the space" + TINY, asking(lambda s, rows, n: rows[: max(0, 6 - len(s.told))])),
    ("exhausts the space" + TINY, asking(lambda s, rows, n: s.problem.space.rows()[:n])),
    ("options rebuild it" + PLAIN, FollowsTheBudget),
    ("options rebuild it" + PLAIN, BatchFollowsTheBudget),
    ("keeps its arrays to itself" + PLAIN, Downwards),
    ("keeps its arrays to itself" + PLAIN, HoldsOn),
    ("leaves global random state alone" + PLAIN, SeedsTheWorld),
    (FIDELITIES, WantsWhatNobodyHas),
    (FIDELITIES, NeverMeasuresWhole),
    (FIDELITIES, DraftsByPlace),
    ("same seed same run elsewhere",
     asking(lambda s, rows, n: shuffled(s, rows, hash("seed") % 1000))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), BAD, ids=[f"{i} {n}" for i, (n, _) in enumerate(BAD)])
def test_bad_ones_are_found(name, kind):
    (outcome,) = run([CHECKS[name]], SearcherSubject(kind))
    assert not outcome.passed
    assert outcome.message


@pytest.mark.parametrize("rule", ["asks are genomes", NEW, FOREIGN])
@pytest.mark.parametrize("problem", ["joint", "costly limit"])
def test_designs_that_share_an_evaluation_may_come_along(rule, problem):
    (outcome,) = run([CHECKS[f"{rule} [{problem}]"]], SearcherSubject(SharesEvaluations))
    assert outcome.passed, outcome.message
    assert not outcome.skipped


@pytest.mark.parametrize("rule", ["asks are genomes", NEW, "pruning is right"])
@pytest.mark.parametrize("problem", ["maximised", "tiny", "joint", "all costly", "all infeasible"])
def test_what_prunes_may_propose_few(rule, problem):
    (outcome,) = run([CHECKS[f"{rule} [{problem}]"]], SearcherSubject(KnowsTheFront))
    assert outcome.passed, outcome.message
    assert not outcome.skipped


def test_options_that_are_forgotten_are_found():
    subject = SearcherSubject(ForgetsOptions, {"batch": 3})
    (outcome,) = run([CHECKS["options rebuild it" + PLAIN]], subject)
    assert not outcome.passed


def test_every_rule_is_broken_by_somebody():
    def rule(name):
        return name.partition(" [")[0]

    assert {rule(name) for name, _ in BAD} == {rule(name) for name in CHECKS}


def test_every_rule_is_checked_on_every_problem():
    per_problem = [name for name in CHECKS if name.endswith("]")]
    assert len(per_problem) == 11 * len(PROBLEMS)


def test_a_searcher_that_draws_nothing_need_not_follow_its_seed():
    outcome = run([CHECKS["seeds make the difference" + PLAIN]], SearcherSubject(Downwards))[0]
    assert outcome.skipped
