"""NSGA-II over networks and bits, accelerators exact."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from hwnas import Problem
from hwnas.errors import SearcherError
from hwnas.searchers.bilevel_nsga2 import BilevelNSGA2, fittest
from hwnas.searchers.nsga2 import NSGA2
from hwnas.testing import SearcherSubject, searcher_checks, toys
from hwnas.testing.searchers import measure, search


@pytest.mark.parametrize("check", searcher_checks(), ids=str)
def test_conformance(check):
    check(SearcherSubject(BilevelNSGA2, {"population": 8}))


def outer_of(problem, rows):
    columns = problem.space.columns_of("net", "quant")
    return set(map(tuple, problem.space.canonical(rows)[:, columns].tolist()))


def test_each_setting_of_network_and_bits_comes_with_its_whole_inner_front():
    problem = toys.joint()
    searcher = BilevelNSGA2(problem, population=6)
    rows = searcher.ask(6)
    assert len(outer_of(problem, rows)) == 6
    fronts = searcher.fronts
    for row in outer_of(problem, rows):
        label = fronts.labels(np.array([row]))[0]
        own = [r for r in rows.tolist() if tuple(r[:3]) == row]
        assert len(own) == len(fronts.fronts[label].places)
    assert (problem.free(problem.designs(rows))["area"] <= 0.2e-6).all()


def test_at_most_so_many_siblings():
    problem = Problem(
        toys.joint().space, toys.joint().evaluators, ["error", "energy", "latency", "area"]
    )
    many = BilevelNSGA2(problem, population=4).ask(4)
    few = BilevelNSGA2(problem, population=4, siblings=2).ask(4)
    assert outer_of(problem, many) == outer_of(problem, few)
    assert len(few) == 8 < len(many)


def test_it_finds_the_whole_front_of_a_small_joint_problem():
    problem = toys.joint()
    searcher = BilevelNSGA2(problem, population=4, seed=1)
    history = search(searcher, steps=99, n=4)
    losses = np.unique(
        np.concatenate([problem.losses(measured) for _, measured in history]), axis=0
    )
    for row in toys.exact_front(problem).losses:
        assert (losses == row).all(axis=1).any()
    assert len(history) <= 36 / 4


def reached(problem, searcher, evaluations, n):
    """The hypervolume after some costly evaluations, as a share of the exact one's."""
    front = toys.exact_front(problem).losses
    history = search(searcher, steps=evaluations // n, n=n)
    losses = np.concatenate([problem.losses(measured) for _, measured in history])
    losses = losses[np.isfinite(losses).all(axis=1)]
    low, high = front.min(axis=0), front.max(axis=0) * 1.1
    scaled = (losses - low) / (high - low)
    scaled = scaled[(scaled <= 1).all(axis=1)]
    exact = moocore.hypervolume((front - low) / (high - low), ref=np.ones(2))
    return (moocore.hypervolume(scaled, ref=np.ones(2)) if len(scaled) else 0.0) / exact


def test_exact_inner_fronts_beat_searching_for_them():
    problem = toys.joint()
    own, plain = [], []
    for seed in range(5):
        own.append(reached(problem, BilevelNSGA2(problem, population=4, seed=seed), 12, 4))
        plain.append(reached(problem, NSGA2(problem, population=4, seed=seed), 12, 4))
    assert 1 - np.mean(own) < (1 - np.mean(plain)) / 2


def test_what_was_ruled_out_for_its_accelerator_may_be_tried_with_another():
    problem = toys.joint()
    rows = problem.space.rows()
    foreign = rows[problem.free(problem.designs(rows))["area"] > 0.2e-6]
    searcher = BilevelNSGA2(problem, population=4)
    searcher.tell(foreign, measure(problem, foreign))
    assert len(outer_of(problem, searcher.ask(99))) == 36


def test_where_nothing_is_free_each_individual_is_one_design():
    problem = toys.zdt1()
    searcher = BilevelNSGA2(problem, population=12)
    history = search(searcher, steps=15, n=12)
    assert {len(rows) for rows, _ in history} == {12}
    losses = np.concatenate([problem.losses(measured) for _, measured in history])
    random = problem.losses(measure(problem, problem.space.sample(180, np.random.default_rng(0))))
    worst = np.array([1.1, 10.0])
    assert moocore.hypervolume(losses, ref=worst) > moocore.hypervolume(random, ref=worst)


@pytest.mark.parametrize(
    "options", [{"population": 1}, {"siblings": 0}, {"enumerate_inner": 0}, {"crossover": 1.5}]
)
def test_options_out_of_range(options):
    with pytest.raises(SearcherError):
        BilevelNSGA2(toys.tiny(), **options)


class TestFittest:
    """Selection among whole fronts."""

    @staticmethod
    def chosen(points, n, violation=None):
        fronts = [np.array(p, dtype=float).reshape(-1, 2) for p in points]
        amounts = np.zeros(len(fronts)) if violation is None else np.array(violation)
        return fittest(fronts, amounts, n, np.random.default_rng(0)).tolist()

    def test_one_good_point_is_enough_for_the_best_rank(self):
        points = [[(5, 5)], [(9, 9), (0, 4)], [(2, 2)]]
        assert set(self.chosen(points, 2)) == {1, 2}
        assert self.chosen(points, 3)[2] == 0

    def test_whoever_adds_least_leaves_first(self):
        points = [[(0, 10)], [(1, 9.5), (2, 8.9)], [(5, 1), (1, 5)], [(10, 0)], [(1.1, 4.99)]]
        assert self.chosen(points, 1) == [2]
        assert 4 not in self.chosen(points, 3)

    def test_violations_come_last_in_their_order(self):
        points = [[(0, 0)], [(1, 1)], [(2, 2)], []]
        assert self.chosen(points, 4, [3.0, 0.0, 1.0, 0.0])[0] == 1
        assert self.chosen(points, 4, [3.0, 0.0, 1.0, 0.0])[-1] == 0
        assert self.chosen(points, 4, [np.inf, 2.0, 1.0, 5.0]) == [2, 1, 3, 0]

    def test_equal_individuals_are_all_kept_where_there_is_room(self):
        assert sorted(self.chosen([[(1, 1)]] * 3, 3)) == [0, 1, 2]
