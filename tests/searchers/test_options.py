"""The options that searchers share: what is refused, in which words, and sizes from budgets."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from hwnas import plugins
from hwnas.errors import SearcherError
from hwnas.searchers import Told
from hwnas.searchers.breeding import offspring
from hwnas.searchers.options import at_least, population_for, probability
from hwnas.space import keys
from hwnas.testing import toys


@pytest.mark.parametrize(
    ("name", "option", "given", "rule"),
    [
        ("random", "batch", 0, "at least 1"),
        ("local_search", "batch", -3, "at least 1"),
        ("tpe", "batch", 0, "at least 1"),
        ("tpe", "startup", -1, "at least 0"),
        ("tpe", "candidates", 0, "at least 1"),
        ("nsga2", "population", 1, "at least 2"),
        ("nsga2", "crossover", 1.5, "between 0 and 1"),
        ("nsga3", "population", 1, "at least 2"),
        ("nsga3", "crossover", -0.1, "between 0 and 1"),
        ("moead", "population", 1, "at least 2"),
        ("moead", "neighbours", 1, "at least 2"),
        ("moead", "replaced", 0, "at least 1"),
        ("moead", "crossover", math.nan, "between 0 and 1"),
        ("bilevel_nsga2", "population", 0, "at least 2"),
        ("bilevel_nsga2", "siblings", 0, "at least 1"),
        ("bilevel_nsga2", "enumerate_inner", 0, "at least 1"),
        ("bilevel_nsga2", "crossover", 2.0, "between 0 and 1"),
        ("regularized_evolution", "population", 1, "at least 2"),
        ("regularized_evolution", "tournament", 0, "at least 1"),
        ("shgo", "weights", 0, "at least 1"),
        ("shgo", "iterations", 0, "at least 1"),
    ],
)
def test_what_is_refused_is_named_with_its_searcher_and_rule(name, option, given, rule):
    kind = plugins.load("hwnas.searchers", name)
    with pytest.raises(SearcherError, match=f"^{option} is ") as caught:
        kind(toys.zdt1(), **{option: given})
    assert caught.value.where == f"searcher {name}, option {option}"
    assert caught.value.rule == rule
    assert caught.value.given == str(given)


def test_the_ends_of_a_range_are_in_it():
    at_least(2, "some", population=2, neighbours=3)
    probability("some", crossover=0.0, mutation=1.0)


def test_of_several_options_the_first_that_is_wrong_is_named():
    with pytest.raises(SearcherError, match=r"^neighbours is too small"):
        at_least(2, "some", population=2, neighbours=1, replaced=0)
    with pytest.raises(SearcherError, match=r"^mutation is no probability"):
        probability("some", crossover=0.5, mutation=1.1, other=-1)


def test_populations_grow_with_the_square_root_of_the_budget_within_bounds():
    assert [population_for(b) for b in (None, 1, 144, 400, 2500, 40_000, 10**9)] == [
        50, 12, 12, 20, 50, 200, 200,
    ]  # fmt: skip
    sizes = np.array([population_for(b) for b in range(200, 30_000, 7)])
    assert (sizes % 2 == 0).all()
    assert (np.diff(sizes) >= 0).all()
    assert (np.abs(sizes - np.sqrt(np.arange(200, 30_000, 7))) <= 1).all()


class TestOffspring:
    def told(self, problem, rows):
        told = Told(problem)
        told.add(rows, problem.evaluate(problem.designs(rows)))
        return told

    def test_children_that_are_known_or_equal_are_left_out(self):
        problem = toys.tiny()
        everything = problem.space.rows()
        told = self.told(problem, everything[:3])
        litters = iter([everything[[0, 3, 3, 1]], everything[[3, 4]], everything[[5, 2]]])
        rng = np.random.default_rng(0)
        rows = offspring(told, problem.space, 3, rng, lambda n: next(litters))
        assert rows.tolist() == everything[[3, 4, 5]].tolist()

    def test_it_asks_for_what_is_missing_only(self):
        problem = toys.tiny()
        asked = []
        everything = problem.space.rows()

        def breed(n):
            asked.append(n)
            return everything[len(asked) : len(asked) + 1]

        told = self.told(problem, everything[:1])
        offspring(told, problem.space, 3, np.random.default_rng(0), breed)
        assert asked == [3, 2, 1]

    @pytest.mark.parametrize("parents", [False, True])
    def test_random_designs_fill_up_until_the_space_is_exhausted(self, parents):
        problem = toys.tiny()
        everything = problem.space.rows()
        told = self.told(problem, everything[:4])
        known = partial(np.resize, everything[:1])  # a parent that breeds itself only

        def breed(n):
            return known((n, len(problem.space)))

        rng = np.random.default_rng(0)
        rows = offspring(told, problem.space, 50, rng, breed if parents else None)
        assert sorted(keys(rows)) == sorted(keys(everything[4:]))
