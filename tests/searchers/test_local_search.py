"""Pareto local search: whose neighbours it visits, when it starts anew."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Measurements
from hwnas.errors import SearcherError
from hwnas.searchers.local_search import LocalSearch
from hwnas.space import keys
from hwnas.testing import toys
from hwnas.testing.searchers import measure, search
from tests.searchers.test_nsga2 import brute_force_ranks, hypervolume_share


def replayed(kind, problem, steps=25, n=7):
    """Whether a history that is longer than the suite's rebuilds a searcher, in any chunks."""
    original = kind(problem, seed=3)
    history = search(original, steps=steps, n=n)
    genomes = np.concatenate([rows for rows, _ in history])
    measured = Measurements.stack(part for _, part in history)
    expected = original.ask(n)
    for size in (len(genomes), 23, 1):
        again = kind(problem, seed=3)
        for start in range(0, len(genomes), size):
            part = slice(start, start + size)
            again.tell(genomes[part], measured.take(part))
        np.testing.assert_array_equal(again.ask(n), expected)
    return len(genomes) > 100


def visitable(problem, told, start):
    """By definition: untold neighbours of designs that nothing told since a start beats."""
    ranks = brute_force_ranks(told.losses[start:], told.violation[start:])
    seen = set(keys(problem.space.canonical(told.genomes)))
    rows = told.genomes[start:][ranks == 0]
    return {key for row in rows for key in keys(problem.space.neighbours(row))} - seen


@pytest.mark.parametrize(("name", "steps"), [("plain", 80), ("constrained", 120), ("tiny", 8)])
def test_visits_neighbours_of_undominated_designs_until_there_are_none(name, steps):
    problem = toys.PROBLEMS[name]()
    searcher = LocalSearch(problem, seed=1)
    start = restarts = 0
    for _ in range(steps):
        allowed = visitable(problem, searcher.told, start) if len(searcher.told) > start else set()
        if not allowed and len(searcher.told) > start:
            start, restarts = len(searcher.told), restarts + 1
        row = searcher.ask(1)
        assert not allowed or keys(row)[0] in allowed
        searcher.tell(row, measure(problem, row))
    assert name == "tiny" or start < steps - 1


def test_starts_anew_after_it_has_converged():
    # A bowl without slope between front and start: one objective, unit steps to its only minimum.
    problem = toys.Problem(toys.zdt1(2, 11).space, [toys.zdt1_values], ["f2"])
    searcher = LocalSearch(problem, seed=0)
    steps = []
    for _ in range(100):
        row = searcher.ask(1)
        told = searcher.told.genomes
        steps.append(int(np.abs(told - row).sum(axis=1).min()) if len(told) else 0)
        searcher.tell(row, measure(problem, row))
    exact = toys.exact_front(problem)
    assert searcher.told.losses.min() == exact.losses.min()
    found = int(searcher.told.losses.argmin())
    assert set(steps[1 : found + 1]) == {1}
    assert max(steps[found:]) > 1


@pytest.mark.parametrize(
    ("name", "budget"), [("plain", 500), ("joint", 300), ("constrained", 250), ("maximised", 150)]
)
def test_finds_the_front_of_small_problems(name, budget):
    problem = toys.PROBLEMS[name]()
    exact = toys.exact_front(problem).losses
    shares = []
    for seed in range(3):
        searcher = LocalSearch(problem, seed=seed)
        search(searcher, steps=budget // searcher.batch, n=searcher.batch)
        shares.append(hypervolume_share(problem, exact, searcher.told))
    assert np.median(shares) >= 0.99


@pytest.mark.parametrize("name", ["plain", "constrained", "all infeasible"])
def test_a_long_history_rebuilds_it(name):
    assert replayed(LocalSearch, toys.PROBLEMS[name]())


def test_a_batch_leans_on_several_members():
    problem = toys.zdt1(6, 21)
    searcher = LocalSearch(problem, seed=0)
    search(searcher, steps=30, n=8)
    rows = searcher.ask(8)
    front = searcher.told.genomes[
        brute_force_ranks(searcher.told.losses, searcher.told.violation) == 0
    ]
    near = np.abs(front[None] - rows[:, None]).sum(axis=2) == 1
    assert near.any(axis=1).all()
    assert len(np.unique(near.argmax(axis=1))) >= 4


def test_batches_have_at_least_one_design():
    with pytest.raises(SearcherError, match="batch"):
        LocalSearch(toys.tiny(), batch=0)
    assert LocalSearch(toys.tiny(), batch=3).options() == {"batch": 3}
