"""NSGA-II: selection against brute force, and fronts that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import SearcherError
from hwnas.searchers.nsga2 import NSGA2, survivors
from hwnas.searchers.random import RandomSearch
from hwnas.testing import toys
from hwnas.testing.searchers import search
from hwnas.yardstick import Yardstick


def brute_force_ranks(losses, violation):
    """Constrained non-dominated sorting by its definition, front by front."""
    feasible = np.isfinite(losses).all(axis=1) & (violation <= 0)

    def beats(i, j):
        if feasible[i] != feasible[j]:
            return feasible[i]
        if not feasible[i]:
            return violation[i] < violation[j]
        return bool((losses[i] <= losses[j]).all() and (losses[i] < losses[j]).any())

    ranks = np.full(len(losses), -1)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        front = [j for j in left if not any(beats(i, j) for i in left)]
        ranks[front] = rank
        rank += 1
    return ranks


populations = st.lists(
    st.tuples(
        st.lists(st.sampled_from((0.0, 1.0, 2.0, 3.0, np.inf)), min_size=2, max_size=2),
        st.sampled_from((0.0, 0.0, 0.5, 2.0, np.inf)),
    ),
    min_size=1,
    max_size=14,
)


@given(populations, st.integers(1, 14))
def test_survivors_are_those_of_constrained_sorting(population, n):
    losses = np.array([losses for losses, _ in population])
    losses[np.isinf(losses).any(axis=1)] = np.inf
    violation = np.array([violation for _, violation in population])
    ranks = brute_force_ranks(losses, violation)
    chosen = survivors(losses, violation, n)
    assert len(chosen) == min(n, len(population))
    assert len(set(chosen.tolist())) == len(chosen)
    assert (np.diff(ranks[chosen]) >= 0).all()
    left_out = np.setdiff1d(np.arange(len(population)), chosen)
    if left_out.size:
        assert ranks[chosen].max() <= ranks[left_out].min()


def test_the_ends_of_a_front_survive_before_its_crowd():
    losses = np.array([[0, 10], [4.9, 5.1], [5, 5], [5.1, 4.9], [10, 0]])
    assert set(survivors(losses, np.zeros(5), 2).tolist()) == {0, 4}
    assert set(survivors(losses, np.zeros(5), 4).tolist()) == {0, 1, 3, 4}


def test_infeasible_ones_survive_in_the_order_of_their_violations():
    losses = np.full((4, 2), np.inf)
    losses[3] = 1.0
    assert survivors(losses, np.array([3.0, 1.0, 2.0, 0.0]), 3).tolist() == [3, 1, 2]


def hypervolume_share(problem, exact, told):
    """Share of the exact front's hypervolume in the box around everything that was told."""
    usable = np.where(told.violation[:, None] > 0, np.inf, told.losses)
    box = Yardstick.spanning(np.concatenate([exact, toys_worst(problem)]), {})
    return box.hypervolume(usable) / box.hypervolume(exact)


def toys_worst(problem):
    """Losses of random designs, to fix the same box for every searcher."""
    rows = problem.space.sample(500, np.random.default_rng(99))
    losses = problem.losses(problem.evaluate(problem.designs(rows)))
    return losses[np.isfinite(losses).all(axis=1)]


def run(kind, problem, budget, seed):
    searcher = kind(problem, seed=seed, budget=budget)
    search(searcher, steps=budget // searcher.batch, n=searcher.batch)
    return searcher.told


@pytest.mark.parametrize(
    ("name", "budget"), [("plain", 400), ("joint", 300), ("constrained", 200), ("maximised", 150)]
)
def test_finds_the_front_of_small_problems(name, budget):
    problem = toys.PROBLEMS[name]()
    exact = toys.exact_front(problem)
    shares = [
        hypervolume_share(problem, exact.losses, run(NSGA2, problem, budget, seed))
        for seed in range(3)
    ]
    assert np.median(shares) >= 0.99


def test_beats_random_search_by_far_on_a_conditional_space():
    problem = toys.conditional()
    exact = toys.conditional_front()
    share = {
        kind: np.median(
            [hypervolume_share(problem, exact, run(kind, problem, 2000, seed)) for seed in range(3)]
        )
        for kind in (NSGA2, RandomSearch)
    }
    assert share[NSGA2] <= 1.0
    assert 1 - share[NSGA2] < 0.5 * (1 - share[RandomSearch])


def test_population_follows_the_budget():
    problem = toys.tiny()
    sizes = [NSGA2(problem, budget=b).population for b in (1, 100, 400, 2_500, 10_000, 10**6)]
    assert sizes == [12, 12, 20, 50, 100, 200]
    assert NSGA2(problem).population == 50
    assert NSGA2(problem, budget=100, population=7).population == 7


@pytest.mark.parametrize("options", [{"population": 1}, {"crossover": -0.1}, {"crossover": 1.5}])
def test_impossible_options_are_refused(options):
    with pytest.raises(SearcherError):
        NSGA2(toys.tiny(), **options)


def test_sleeping_genes_are_inherited_as_they_are():
    problem = toys.conditional()
    searcher = NSGA2(problem, seed=0, budget=100)
    search(searcher, steps=6, n=searcher.batch)
    genomes = searcher.told.genomes
    assert (genomes != problem.space.canonical(genomes)).any()


def test_tournaments_are_won_by_those_that_dominate_then_by_the_less_crowded():
    problem = toys.dtlz2()
    searcher = NSGA2(problem, seed=3, population=30)
    search(searcher, steps=4, n=30)
    parents = searcher._current()
    losses, crowding = searcher.told.losses[parents], searcher._crowding
    places = searcher._winners(parents, 3_000, np.random.default_rng(0))

    def beats(i, j):
        if (losses[i] <= losses[j]).all() != (losses[j] <= losses[i]).all():
            return bool((losses[i] <= losses[j]).all())
        return crowding[i] > crowding[j]

    # Each takes part 200 times, against anybody: wins follow from how many of the others it beats.
    wins = np.bincount(places, minlength=30)
    assert wins.sum() == 3_000
    n = len(parents)
    ties = np.array([sum(not beats(i, j) and not beats(j, i) for j in range(n)) for i in range(n)])
    beaten = np.array([sum(beats(i, j) for j in range(n) if j != i) for i in range(n)])
    least, most = 200 * beaten / n - 45, 200 * (beaten + ties) / n + 45
    assert ((least <= wins) & (wins <= most)).all()
    assert wins.max() <= 200
    assert np.ptp(wins) > 100


def test_infeasible_parents_lose_against_feasible_ones():
    problem = toys.constrained()
    searcher = NSGA2(problem, seed=0, population=20)
    search(searcher, steps=1, n=20)
    parents = searcher._current()
    feasible = (searcher.told.violation[parents] <= 0) & np.isfinite(
        searcher.told.losses[parents]
    ).all(axis=1)
    assert 0 < feasible.sum() < 20
    places = searcher._winners(parents, 1_000, np.random.default_rng(0))
    # An infeasible one wins only when it meets another one; of pairs without replacement those are
    # k (k - 1) / (n (n - 1)).
    k = (~feasible).sum()
    assert abs((~feasible[places]).mean() - k * (k - 1) / 380) < 0.05
