"""Random and exhaustive search, and what all searchers stand on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Gene, Measurements, Problem, Reason, Space
from hwnas.errors import SearcherError, SpaceError
from hwnas.problem import nondominated
from hwnas.searchers import Told, unseen
from hwnas.searchers.exhaustive import Exhaustive
from hwnas.searchers.random import RandomSearch
from hwnas.space import keys
from hwnas.testing import toys
from hwnas.testing.searchers import measure, search


def brute_force_front(losses):
    """The rows that no other row dominates, by definition."""
    one, other = losses[:, None], losses[None, :]
    dominates = (one <= other).all(axis=2) & (one < other).any(axis=2)
    return np.flatnonzero(np.isfinite(losses).all(axis=1) & ~dominates.any(axis=0)).tolist()


class TestExhaustive:
    def test_measures_all_designs_in_order(self):
        problem = toys.constrained()
        history = search(Exhaustive(problem), steps=99, n=100)
        asked = np.concatenate([rows for rows, _ in history])
        np.testing.assert_array_equal(asked, problem.space.rows())

    @pytest.mark.parametrize("name", ["plain", "three objectives", "constrained", "maximised"])
    def test_its_front_is_that_of_brute_force(self, name):
        problem = toys.PROBLEMS[name]()
        searcher = Exhaustive(problem)
        search(searcher, steps=99, n=1000)
        told = searcher.told
        losses = np.where(told.violation[:, None] > 0, np.inf, told.losses)
        expected = np.unique(losses[brute_force_front(losses)], axis=0)
        np.testing.assert_array_equal(np.unique(toys.exact_front(problem).losses, axis=0), expected)

    def test_refuses_large_spaces_and_says_how_large(self):
        with pytest.raises(SearcherError, match="too many") as caught:
            Exhaustive(toys.conditional())
        size = toys.conditional().space.size()
        assert size == sum(27**k for k in range(1, 13))
        assert caught.value.given == f"{size:,}"
        assert "1,000,000" in caught.value.rule

    def test_the_limit_is_an_option(self):
        with pytest.raises(SearcherError, match="too many"):
            Exhaustive(toys.tiny(), limit=8)
        assert Exhaustive(toys.tiny(), limit=9).options() == {"limit": 9}

    def test_leaves_out_what_was_told(self):
        problem = toys.tiny()
        searcher = Exhaustive(problem)
        rows = problem.space.rows()[[0, 4, 5]]
        searcher.tell(rows, measure(problem, rows))
        assert len(searcher.ask(100)) == 6
        assert not set(keys(searcher.ask(100))) & set(keys(rows))


class TestRandomSearch:
    @pytest.mark.parametrize("name", ["tiny", "one design", "constrained"])
    def test_covers_a_small_space(self, name):
        problem = toys.PROBLEMS[name]()
        history = search(RandomSearch(problem, seed=3), steps=1000, n=16)
        asked = np.concatenate([rows for rows, _ in history])
        np.testing.assert_array_equal(
            np.unique(asked, axis=0), np.unique(problem.space.rows(), axis=0)
        )
        assert len(asked) == problem.space.size()

    def test_draws_each_gene_uniformly(self):
        problem = toys.conditional()
        rows = RandomSearch(problem, seed=1).ask(6000)
        shares = np.bincount(rows[:, 0], minlength=12) / len(rows)
        # One layer has 27 designs only, which cannot be drawn twice.
        assert np.abs(shares[2:] - shares[2:].mean()).max() < 0.02

    def test_batches_have_at_least_one_design(self):
        with pytest.raises(SearcherError, match="batch"):
            RandomSearch(toys.tiny(), batch=0)
        assert RandomSearch(toys.tiny(), batch=3).batch == 3


class TestTelling:
    def test_lengths_must_agree(self):
        problem = toys.tiny()
        rows = problem.space.rows()
        with pytest.raises(SearcherError, match="differ in length"):
            RandomSearch(problem).tell(rows[:2], measure(problem, rows[:3]))

    def test_genomes_must_fit(self):
        problem = toys.tiny()
        measured = measure(problem, problem.space.rows()[:1])
        with pytest.raises(SpaceError):
            RandomSearch(problem).tell(np.array([[9, 9]]), measured)

    def test_seeds_are_not_negative(self):
        with pytest.raises(SearcherError, match="negative"):
            RandomSearch(toys.tiny(), seed=-1)

    def test_a_refused_tell_changes_nothing(self):
        problem = toys.tiny()
        searcher = RandomSearch(problem)
        before = searcher.ask(5)
        with pytest.raises(SpaceError):
            searcher.tell(np.array([[9, 9]]), measure(problem, before[:1]))
        assert len(searcher.told) == 0
        np.testing.assert_array_equal(searcher.ask(5), before)


class TestTold:
    def test_keeps_losses_and_violations(self):
        problem = toys.constrained()
        rows = problem.space.rows()
        measured = measure(problem, rows)
        told = Told(problem)
        for start in range(0, len(rows), 37):
            part = slice(start, start + 37)
            told.add(rows[part], measured.take(part))
        assert len(told) == len(rows)
        np.testing.assert_array_equal(told.genomes, rows)
        np.testing.assert_array_equal(told.losses, problem.losses(measured))
        area, speed = measured["area"], measured["speed"]
        expected = np.maximum(area - 0.6e-6, 0) / 0.6e-6 + np.maximum(4e6 - speed, 0) / 4e6
        nothing = (expected == 0) & (measured.reason == Reason.INFEASIBLE)
        np.testing.assert_allclose(told.violation, np.where(nothing, np.inf, expected))
        assert np.isinf(told.losses[measured.reason == Reason.INFEASIBLE]).all()

    def test_ruled_out_designs_keep_their_own_violation(self):
        # Two designs that free constraints rule out differ in how far they are off, though a
        # constraint on something costly is unknown for both.
        problem = Problem(
            toys.joint().space,
            toys.joint().evaluators,
            ["error"],
            ["area <= 0.1 mm2", "error <= 0.3"],
        )
        rows = problem.space.encode(
            [
                {"net.depth": 1, "net.width": 4, "quant.bits": 2, "hw.units": units,
                 "hw.dataflow": "ws", "hw.clock": 1e8}
                for units in (16, 32)
            ]
        )  # fmt: skip
        told = Told(problem)
        told.add(rows, measure(problem, rows))
        assert 0 < told.violation[0] < told.violation[1]

    def test_new_designs_are_judged_on_their_canonical_form(self):
        problem = toys.tiny()
        told = Told(problem)
        told.add(np.array([[0, 3]]), measure(problem, np.array([[0, 3]])))
        fresh = told.new(np.array([[0, 0], [0, 1], [1, 1], [1, 1], [2, 0]]))
        assert fresh.tolist() == [False, False, True, False, True]
        assert told.new(np.empty((0, 2), dtype=np.int64)).shape == (0,)


@given(st.integers(0, 50), st.integers(1, 40), st.integers(0, 3))
def test_unseen_designs_are_new_and_as_many_as_there_are(seed, n, proposed):
    problem = toys.tiny()
    space, told = problem.space, Told(problem)
    rows = space.rows()
    told.add(rows[:3], measure(problem, rows[:3]))
    before = rows[3 : 3 + proposed]
    found = unseen(told, space, n, np.random.default_rng(seed), before)
    np.testing.assert_array_equal(found[:proposed], before)
    assert len(found) == min(proposed + n, 6)
    assert len(set(keys(found))) == len(found)
    assert not set(keys(found)) & set(keys(rows[:3]))


@given(
    st.lists(
        st.lists(st.sampled_from((0.0, 1.0, 2.0, np.inf, np.nan)), min_size=3, max_size=3),
        max_size=20,
    )
)
def test_nondominated_rows_are_those_of_brute_force(losses):
    array = np.array(losses, dtype=np.float64).reshape(-1, 3)
    finite = np.where(np.isfinite(array).all(axis=1)[:, None], array, np.inf)
    assert nondominated(array).tolist() == brute_force_front(finite)


def test_nothing_told_has_the_shapes_of_the_problem():
    told = Told(toys.dtlz2())
    assert told.losses.shape == (0, 3)
    assert told.genomes.shape == (0, 4)
    assert told.violation.shape == (0,)


def test_measurements_may_be_told_of_a_problem_without_constraints():
    problem = Problem(Space((Gene("net.only", (1, 2)),)), [toys.lonely_values], ["value"])
    told = Told(problem)
    told.add(np.array([[1]]), Measurements.of(toys.lonely_values.metrics, {"value": [3.0]}))
    assert told.losses.tolist() == [[3.0]]
    assert told.violation.tolist() == [0.0]
