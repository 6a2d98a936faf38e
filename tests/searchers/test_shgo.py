"""SHGO: its complex, scalarisations, descents and history."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Gene, Problem, Space, measures
from hwnas.errors import SearcherError
from hwnas.searchers.random import RandomSearch
from hwnas.searchers.scalarisation import Scalarisation, spread
from hwnas.searchers.shgo import SHGO
from hwnas.testing import toys
from hwnas.testing.searchers import measure, search
from tests.searchers.test_local_search import replayed
from tests.searchers.test_nsga2 import hypervolume_share

TARGET = np.array([37, 3, 11])


@measures("loss", expense="free", batch=True)
def bowl(designs):
    """A quadratic on a tilted axis; one category multiplies it by less than the others."""
    away = np.stack([designs[f"net.x{j}"] - TARGET[j] for j in range(3)], axis=1).astype(float)
    tilted = (away**2).sum(axis=1) + 0.5 * away[:, 0] * away[:, 2] / 2
    return (
        1
        + tilted * np.where(designs["hw.flow"] == "best", 1.0, 2.0)
        + (designs["hw.flow"] != "best")
    )


def bowl_problem():
    space = Space(
        (
            Gene("net.x0", tuple(range(100))),
            Gene("net.x1", tuple(range(6))),
            Gene("net.x2", tuple(range(25))),
            Gene("hw.flow", ("a", "b", "best"), ordered=False),
            Gene("hw.fixed", (7,)),
        )
    )
    return Problem(space, [bowl], ["loss"])


def test_begins_with_the_corners_and_the_centre():
    problem = bowl_problem()
    searcher = SHGO(problem)
    asked = searcher.ask(9)
    expected = {(x, y, z, 0, 0) for x, y, z in itertools.product((0, 99), (0, 5), (0, 24))}
    assert {tuple(row) for row in asked.tolist()} == expected | {(50, 3, 12, 0, 0)}


def test_iterations_refine_the_complex():
    problem = bowl_problem()
    first, second = (SHGO(problem, iterations=i).ask(30) for i in (1, 2))
    told = SHGO(problem, iterations=2)
    told.tell(first[:9], measure(problem, first[:9]))
    more = told.ask(9)
    assert {tuple(r) for r in more.tolist()} <= {tuple(r) for r in second[:18].tolist()}
    # On edges and diagonals: 0, a half or the whole of each gene, rounded up.
    assert set(more[:, 0].tolist()) <= {0, 25, 50, 75, 99}


def test_finds_the_optimum_of_a_bowl_with_a_category():
    problem = bowl_problem()
    assert problem.space.size() == 45_000
    searcher = SHGO(problem, budget=200)
    search(searcher, steps=50, n=4)
    best = searcher.told.genomes[searcher.told.losses[:, 0].argmin()]
    assert best.tolist() == [*TARGET, 2, 0]


@pytest.mark.parametrize("iterations", [1, 2, 3])
@pytest.mark.parametrize("lengths", [(2, 3, 1000), (4, 6, 25), (100, 101, 7), (2,), (8, 50)])
def test_every_number_of_choices_has_a_complex(lengths, iterations):
    # scipy's local minimiser takes differences around vertices half-way between two choices.
    @measures("a", "b", expense="free", batch=True)
    def waves(designs):
        x = designs.genomes / designs.space.cardinalities
        return {"a": np.sin(9 * x).sum(axis=1), "b": np.cos(7 * x).sum(axis=1)}

    genes = (Gene(f"net.x{j}", tuple(range(n))) for j, n in enumerate(lengths))
    problem = Problem(Space(tuple(genes)), [waves], ["a", "b"])
    searcher = SHGO(problem, iterations=iterations)
    search(searcher, steps=15, n=8)
    assert len(searcher.told) == min(120, problem.space.size())


@pytest.mark.parametrize(("name", "budget"), [("plain", 400), ("joint", 300), ("maximised", 150)])
def test_finds_the_front_of_small_problems(name, budget):
    problem = toys.PROBLEMS[name]()
    searcher = SHGO(problem, budget=budget)
    search(searcher, steps=budget // 10, n=10)
    assert hypervolume_share(problem, toys.exact_front(problem).losses, searcher.told) >= 0.99


def test_finds_the_front_within_constraints():
    problem = toys.constrained()
    searcher = SHGO(problem, budget=200)
    search(searcher, steps=20, n=10)
    assert hypervolume_share(problem, toys.exact_front(problem).losses, searcher.told) >= 0.99


@pytest.mark.parametrize("name", ["plain", "constrained", "three objectives", "all infeasible"])
def test_a_long_history_rebuilds_it(name):
    assert replayed(SHGO, toys.PROBLEMS[name]())


def test_how_often_and_how_much_it_is_asked_makes_no_difference():
    problem = toys.zdt1()
    one, other = SHGO(problem), SHGO(problem)
    for _ in range(30):
        rows = one.ask(5)
        for n in (1, 40, 2):
            other.ask(n)
        np.testing.assert_array_equal(other.ask(5), rows)
        for searcher in (one, other):
            searcher.tell(rows, measure(problem, rows))


def test_within_its_plan_the_seed_makes_no_difference():
    problem = toys.zdt1()
    one, other = (SHGO(problem, seed=seed) for seed in (0, 1))
    for n in (9, *([2] * 20)):
        rows = one.ask(n)
        np.testing.assert_array_equal(other.ask(n), rows)
        for searcher in (one, other):
            searcher.tell(rows, measure(problem, rows))


def genes(count):
    return tuple(Gene(f"net.x{j}", (0, 1, 2)) for j in range(count))


@measures("sum", expense="free", batch=True)
def total(designs):
    """The sum of all indices."""
    return designs.genomes.sum(axis=1).astype(float)


class TestManyGenes:
    def test_more_than_ten_are_refused(self):
        SHGO(Problem(Space((*genes(10), Gene("net.fixed", (1,)))), [total], ["sum"]))
        with pytest.raises(SearcherError, match="too many genes") as caught:
            SHGO(Problem(Space(genes(11)), [total], ["sum"]))
        assert caught.value.given == "11 genes"
        assert "at most 10" in caught.value.rule
        assert "macro" in caught.value.cure

    def test_macro_genes_span_the_complex_and_descents_move_the_others(self):
        problem = toys.conditional()
        macro = ["net.layers", "net.layer1.width", "net.layer1.bits"]
        searcher = SHGO(problem, macro=macro)
        vertices = searcher.ask(9)
        columns = [problem.space.names.index(name) for name in macro]
        assert len(np.unique(vertices[:, columns], axis=0)) == 9
        middle = problem.space.cardinalities // 2
        asleep = ~problem.space.active(vertices)
        others = np.setdiff1d(np.arange(len(problem.space)), columns)
        as_middle = (vertices == middle) | asleep
        assert as_middle[:, others].all()
        search(searcher, steps=60, n=10)
        moved = (searcher.told.genomes != middle) & problem.space.active(searcher.told.genomes)
        assert moved.any(axis=0)[1:].all()
        drawn = RandomSearch(problem, seed=0)
        search(drawn, steps=60, n=10)
        shares = [
            hypervolume_share(problem, toys.conditional_front(), told)
            for told in (searcher.told, drawn.told)
        ]
        assert shares[0] > shares[1]
        assert searcher.options()["macro"] == macro

    @pytest.mark.parametrize(
        ("macro", "match"),
        [
            (["hw.dataflwo"], "cannot be a macro gene"),
            (["hw.dataflow"], "cannot be a macro gene"),  # a category
        ],
    )
    def test_macro_genes_are_ordered_genes_of_the_space(self, macro, match):
        with pytest.raises(SearcherError, match=match) as caught:
            SHGO(toys.joint(), macro=macro)
        assert repr(macro[0]) in caught.value.given

    def test_macro_genes_are_ten_at_most(self):
        problem = Problem(Space(genes(12)), [total], ["sum"])
        names = list(problem.space.names)
        with pytest.raises(SearcherError, match="too many macro genes"):
            SHGO(problem, macro=names[:11])
        assert SHGO(problem, macro=names[:10]).options()["macro"] == names[:10]


@pytest.mark.parametrize("options", [{"weights": 0}, {"iterations": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(SearcherError, match="too small"):
        SHGO(toys.tiny(), **options)


class TestScalarisation:
    def test_is_the_augmented_weighted_tchebycheff_distance(self):
        front = np.array([[0.0, 4.0], [2.0, 0.0], [9.0, 9.0]])
        target = Scalarisation.of(front, np.array([0.25, 0.75]))
        # Ideal (0, 0), spans (2, 4): (1, 1) is at (0.5, 0.25), so max(0.125, 0.1875) + 0.05 * 0.75.
        value = target.values(np.array([[1.0, 1.0]]), np.zeros(1))[0]
        assert np.tan((value - 0.5) * np.pi) == pytest.approx(0.1875 + 0.0375)

    def test_decades_count_by_their_logarithm(self):
        front = np.array([[1.0, 1.0], [1e4, -1.0]])
        target = Scalarisation.of(front, np.array([1.0, 0.0]))
        assert target.logarithmic.tolist() == [True, False]
        value = target.values(np.array([[1e2, -1.0]]), np.zeros(1))[0]
        assert np.tan((value - 0.5) * np.pi) == pytest.approx(0.5 + 0.05 * 0.5)

    @given(
        st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=2, max_size=10),
        st.floats(0, 1),
    )
    def test_a_dominated_design_is_never_lower(self, rows, share):
        losses = np.array(rows)
        target = Scalarisation.of(losses, np.array([share, 1 - share]))
        values = target.values(losses, np.zeros(len(losses)))
        for i, j in itertools.permutations(range(len(losses)), 2):
            if (losses[i] <= losses[j]).all():
                assert values[i] <= values[j]

    def test_violations_come_behind_in_their_order(self):
        losses = np.array([[1e9, 1e9], [0, 0], [0, 0], [np.inf, np.inf], [np.inf, np.inf]])
        target = Scalarisation.of(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0.5, 0.5]))
        values = target.values(losses, np.array([0.0, 0.1, 3.0, 7.0, np.inf]))
        assert (np.diff(values) > 0).all()

    def test_there_may_be_no_front_yet(self):
        target = Scalarisation.of(np.full((2, 2), np.inf), np.array([0.5, 0.5]))
        assert np.isfinite(target.values(np.zeros((1, 2)), np.zeros(1))).all()


class TestSpread:
    def test_two_objectives_are_spaced_evenly(self):
        weights = spread(2, 24)
        np.testing.assert_allclose(np.sort(weights[:, 0]), np.linspace(0, 1, 24))
        assert {tuple(w) for w in weights[:2].tolist()} == {(0.0, 1.0), (1.0, 0.0)}

    @given(st.integers(2, 5), st.integers(1, 40))
    def test_weights_are_different_points_of_the_simplex(self, m, n):
        weights = spread(m, n)
        assert weights.shape == (n, m)
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        assert len(np.unique(weights.round(9), axis=0)) == n

    def test_the_first_ones_lie_farthest_apart(self):
        weights = spread(3, 28)
        corners = weights[:3]
        assert sorted(corners.tolist()) == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]

    def test_one_objective_needs_one_weight(self):
        assert spread(1, 24).tolist() == [[1.0]]
