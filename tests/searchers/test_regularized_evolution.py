"""Ageing evolution: who lives, who becomes a parent."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Gene, Measurements, Problem, Space, measures
from hwnas.errors import SearcherError
from hwnas.searchers.random import RandomSearch
from hwnas.searchers.regularized_evolution import RegularizedEvolution
from hwnas.testing import toys
from hwnas.testing.searchers import measure, search
from tests.searchers.test_local_search import replayed
from tests.searchers.test_nsga2 import hypervolume_share

GENES = 60
SPACE = Space(tuple(Gene(f"net.x{j}", tuple(range(10)), ordered=False) for j in range(GENES)))


@measures("left", "right", expense="free", batch=True)
def unused(designs):
    """Measurements are told by hand here."""
    raise NotImplementedError


PROBLEM = Problem(SPACE, [unused], ["left", "right"], ["right <= 100"])


def told(losses, tournament=10, population=None, seed=0):
    """A searcher that was told random designs with some losses, and these designs."""
    population = population or len(losses)
    searcher = RegularizedEvolution(
        PROBLEM, seed=seed, population=population, tournament=tournament
    )
    rows = SPACE.sample(len(losses), np.random.default_rng(0))
    both = np.array(losses, dtype=np.float64)
    columns = {"left": both[:, 0], "right": both[:, 1]}
    searcher.tell(rows, Measurements.of(tuple(PROBLEM.metrics.values()), columns))
    return searcher, rows


def parents(searcher, rows, n=50):
    """Which told design each child comes from: random ones have 6 genes of 60 in common."""
    distance = (searcher.ask(n)[:, None] != rows[None]).sum(axis=2)
    assert (distance.min(axis=1) < 12).all()
    return distance.argmin(axis=1)


def pooled(losses, tournament):
    """The same from several seeds, few children each, as no child is born twice."""
    found = [parents(*told(losses, tournament, seed=seed), 20) for seed in range(100)]
    return np.concatenate(found)


def test_begins_at_random():
    searcher = RegularizedEvolution(PROBLEM, population=40)
    drawn = searcher.ask(200)
    assert np.abs(np.bincount(drawn.ravel(), minlength=10) / drawn.size - 0.1).max() < 0.01


def test_the_oldest_die_however_good_they_are():
    losses = [(0.0, 0.0), *[(5.0, 5.0)] * 30]
    searcher, rows = told(losses, population=30)
    assert 0 not in parents(searcher, rows)
    searcher, rows = told(losses)
    assert (parents(searcher, rows) == 0).mean() > 0.2


def test_the_best_of_a_tournament_becomes_the_parent():
    # Ranks by domination: one design, a front of two whose ends are equal, the rest.
    losses = [(9.0, 9.0)] * 27 + [(2.0, 6.0), (6.0, 2.0), (1.0, 1.0)]
    searcher, rows = told(losses, tournament=1000)
    assert set(parents(searcher, rows).tolist()) == {29}
    chosen = pooled(losses, 10)
    # Of 30, a tournament of 10 drawn with replacement holds a given one with 1 - (29/30)^10.
    assert (chosen == 29).mean() == pytest.approx(1 - (29 / 30) ** 10, abs=0.04)
    either = np.isin(chosen, (27, 28)).mean()
    assert either == pytest.approx((29 / 30) ** 10 - (27 / 30) ** 10, abs=0.04)


def test_a_tournament_of_one_is_a_draw():
    shares = np.bincount(pooled([(float(i), float(i)) for i in range(30)], 1), minlength=30) / 2000
    assert np.abs(shares - 1 / 30).max() < 0.02


def test_the_least_crowded_of_a_front_wins():
    losses = [(0.0, 90.0), (44.9, 45.1), (45.0, 45.0), (45.1, 44.9), (90.0, 0.0)]
    searcher, rows = told(losses, tournament=1000)
    assert set(parents(searcher, rows).tolist()) <= {0, 4}


def test_feasible_designs_win_then_the_smaller_violation():
    infeasible = [(0.0, 101.0 + i) for i in range(30)]
    searcher, rows = told([*infeasible, (1e6, 99.0)], tournament=1000)
    assert set(parents(searcher, rows).tolist()) == {30}
    searcher, rows = told(infeasible[::-1], tournament=1000)
    assert set(parents(searcher, rows).tolist()) == {29}


def test_children_differ_in_about_one_gene():
    searcher, rows = told([(5.0, 5.0)] * 30)
    children = searcher.ask(2000)
    changed = (children[:, None] != rows[None]).sum(axis=2).min(axis=1)
    # A binomial of 60 genes with rate 1/60, given that there is a change: mean 1 / (1 - 1/e).
    assert changed.mean() == pytest.approx(1 / (1 - np.exp(-1)), abs=0.1)


@pytest.mark.parametrize(
    ("name", "budget"), [("plain", 500), ("joint", 300), ("constrained", 250), ("maximised", 150)]
)
def test_finds_the_front_of_small_problems(name, budget):
    problem = toys.PROBLEMS[name]()
    exact = toys.exact_front(problem).losses
    shares = []
    for seed in range(3):
        searcher = RegularizedEvolution(problem, seed=seed, budget=budget)
        search(searcher, steps=budget // searcher.batch, n=searcher.batch)
        shares.append(hypervolume_share(problem, exact, searcher.told))
    assert np.median(shares) >= 0.98


def test_beats_random_search_on_a_conditional_space():
    problem = toys.conditional()
    exact = toys.conditional_front()
    share = {}
    for kind in (RegularizedEvolution, RandomSearch):
        searcher = kind(problem, seed=0, budget=1000)
        search(searcher, steps=125, n=8)
        share[kind] = hypervolume_share(problem, exact, searcher.told)
    assert 1 - share[RegularizedEvolution] < 0.7 * (1 - share[RandomSearch])


@pytest.mark.parametrize("name", ["plain", "constrained", "conditional"])
def test_a_long_history_rebuilds_it(name):
    assert replayed(RegularizedEvolution, toys.PROBLEMS[name]())


def test_the_population_follows_the_budget():
    sizes = [RegularizedEvolution(toys.tiny(), budget=b).population for b in (1, 900, 2500, 10**6)]
    assert sizes == [30, 30, 50, 100]
    assert RegularizedEvolution(toys.tiny()).population == 50
    given = RegularizedEvolution(toys.tiny(), budget=1, population=7)
    assert given.options() == {"population": 7, "tournament": 10}
    assert given.batch == 7
    assert measure(toys.tiny(), given.ask(3)).feasible.all()


@pytest.mark.parametrize("options", [{"population": 1}, {"tournament": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(SearcherError, match="too small"):
        RegularizedEvolution(toys.tiny(), **options)
