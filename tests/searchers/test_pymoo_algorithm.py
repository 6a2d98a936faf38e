"""pymoo's algorithms as searchers: the same designs as in a plain loop of pymoo's."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.algorithms.moo.moead import MOEAD as PYMOO_MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2 as PYMOO_NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3 as PYMOO_NSGA3
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.soo.nonconvex.pattern import PatternSearch
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.termination import NoTermination
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from hwnas import Gene, Problem, Space, measures
from hwnas.bridges.pymoo import to_pymoo
from hwnas.errors import SearcherError
from hwnas.problem import nondominated
from hwnas.searchers.nsga3 import NSGA3, directions, less_violation
from hwnas.searchers.pymoo_algorithm import (
    GeneSampling,
    PymooSearcher,
    SameDesign,
    operators,
    outcome,
    powers_of_two,
    survival_stream,
)
from hwnas.space import keys
from hwnas.testing import SearcherSubject, searcher_checks, toys
from hwnas.testing.searchers import measure, search


def plain_loop(problem, algorithm, generations, seed):
    """pymoo's own ask and tell; only the random states are set, once per ask and per tell."""
    task = to_pymoo(problem)
    algorithm.setup(task, termination=NoTermination(), seed=0)
    evaluator, rows = Evaluator(), []
    for _ in range(generations):
        told = sum(map(len, rows))
        algorithm.random_state = np.random.default_rng((seed, told))
        individuals = algorithm.ask()
        evaluator.eval(task, individuals)
        rows.append(individuals.get("X").astype(np.int64))
        algorithm.random_state = survival_stream(seed, told + len(individuals))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            algorithm.tell(infills=individuals)
    return np.concatenate(rows)


def nsga2(problem):
    return PYMOO_NSGA2(12, **operators(problem.space))


def nsga3(problem):
    # With its own tournament it draws ties of violations from a stream that no seed reaches.
    return PYMOO_NSGA3(
        directions(len(problem.objectives), 12),
        selection=TournamentSelection(func_comp=less_violation),
        **operators(problem.space),
    )


def sms(problem):
    return SMSEMOA(12, **operators(problem.space))


def limited():
    """A large space, half of which a constraint rules out."""
    problem = toys.zdt1(genes=12)
    return Problem(problem.space, problem.evaluators, ["f1", "f2"], ["f1 <= 0.5"])


@pytest.mark.parametrize("algorithm", [nsga2, nsga3, sms])
@pytest.mark.parametrize("build", [toys.conditional, limited])
def test_visits_what_a_plain_loop_visits(algorithm, build):
    problem = build()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        expected = plain_loop(problem, algorithm(problem), 6, seed=3)
    canonical = keys(problem.space.canonical(expected))
    first = next((i for i, key in enumerate(canonical) if key in canonical[:i]), len(canonical))
    # A plain loop may visit a design again that it has forgotten, and we do not.
    generations = first // 12
    assert generations >= 4
    searcher = PymooSearcher(problem, lambda: algorithm(problem), seed=3)
    history = search(searcher, steps=generations, n=searcher.batch)
    found = np.concatenate([rows for rows, _ in history])
    np.testing.assert_array_equal(found, expected[: len(found)])


def test_foreign_rows_are_the_first_generation():
    problem = limited()
    rows = problem.space.sample(12, np.random.default_rng(7))
    searcher = PymooSearcher(problem, lambda: nsga2(problem), seed=1)
    searcher.tell(rows, measure(problem, rows))
    task, algorithm = to_pymoo(problem), nsga2(problem)
    algorithm.initialization.sampling = rows
    algorithm.setup(task, termination=NoTermination())
    individuals = Evaluator().eval(task, algorithm.ask())
    np.testing.assert_array_equal(individuals.get("X"), rows)
    algorithm.tell(infills=individuals)
    algorithm.random_state = np.random.default_rng((1, 12))
    np.testing.assert_array_equal(searcher.ask(12), algorithm.ask().get("X"))


@pytest.mark.parametrize("name", toys.PROBLEMS)
def test_outcomes_say_what_problems_say(name):
    problem = toys.PROBLEMS[name]()
    rows = problem.space.sample(80, np.random.default_rng(4))
    measured = measure(problem, rows)
    losses, violations = outcome(problem, measured)
    assert np.isfinite(losses).all()
    assert np.isfinite(violations).all()
    assert violations.shape == (80, len(problem.constraints) + 1)
    np.testing.assert_array_equal((violations <= 0).all(axis=1), problem.satisfied(measured))
    usable = np.isfinite(problem.losses(measured)).all(axis=1)
    np.testing.assert_array_equal(losses[usable], problem.losses(measured)[usable])
    relative = problem.relative_violations(measured)
    known = np.isfinite(relative)
    np.testing.assert_allclose(np.maximum(violations[:, :-1], 0)[known], relative[known])


@given(
    st.lists(
        st.tuples(st.floats(-1e20, 1e20), st.floats(0, 1e-15), st.just(3.0)),
        min_size=1,
        max_size=9,
    )
)
def test_scaling_by_powers_of_two_loses_nothing(rows):
    losses = np.array(rows)
    factors = powers_of_two(losses)
    assert (np.frexp(factors)[0] == 0.5).all()
    spread = np.ptp(losses, axis=0)
    scaled = spread * factors
    assert ((spread < 1e-300) | ((scaled > 0.7) & (scaled < 1.5))).all()
    assert factors[2] == 1.0


def test_small_units_change_nothing():
    """NSGA-III of pymoo takes ranges below 1e-6 for nothing; here they are scaled first."""
    tiny = 2.0**-40

    @measures("f1", "f2", expense="free", batch=True)
    def small(designs):
        return {name: tiny * v for name, v in toys.zdt1_values.function(designs).items()}

    problem = toys.zdt1(6)
    scaled = Problem(problem.space, [small], ["f1", "f2"])
    runs = [
        np.concatenate([rows for rows, _ in search(NSGA3(p, budget=100), steps=5, n=12)])
        for p in (problem, scaled)
    ]
    np.testing.assert_array_equal(*runs)


def test_filters_of_warnings_stay_as_they_are():
    problem = toys.dtlz2()
    before = list(warnings.filters)
    search(NSGA3(problem, budget=100), steps=4, n=12)
    assert warnings.filters == before


def test_same_design_is_judged_on_canonical_genomes():
    problem = toys.tiny()
    same = SameDesign(problem.space)
    individuals = Population.new(X=np.array([[0, 3], [0, 1], [1, 1], [1, 2], [1, 1]]))
    left = same.do(individuals)
    assert left.get("X").tolist() == [[0, 3], [1, 1], [1, 2]]
    assert same.do(left, Population.new(X=np.array([[0, 0]]))).get("X").tolist() == [[1, 1], [1, 2]]


def test_sampling_is_ours():
    space = toys.conditional().space
    drawn = GeneSampling(space).do(None, 5, random_state=np.random.default_rng(2)).get("X")
    np.testing.assert_array_equal(drawn, space.sample(5, np.random.default_rng(2)))


@pytest.mark.parametrize(
    "build",
    [
        lambda: PYMOO_MOEAD(get_reference_directions("das-dennis", 2, n_partitions=9)),
        PatternSearch,
        lambda: PYMOO_NSGA2(1),
    ],
)
def test_algorithms_without_generations_are_refused(build):
    with pytest.raises(SearcherError, match="generations"):
        PymooSearcher(toys.zdt1(), build)


def test_algorithms_for_other_problems_are_refused():
    with pytest.raises(SearcherError, match="does not accept") as caught:
        PymooSearcher(toys.zdt1(), lambda: nsga3(toys.dtlz2()))
    assert "2 objectives" in caught.value.rule


def test_a_pymoo_that_draws_from_a_global_state_is_refused():
    """As pymoo 0.6.1 does: it has no random state of its own."""

    class Old(PYMOO_NSGA2):
        def setup(self, problem, **kwargs):
            super().setup(problem, **kwargs)
            del self.random_state
            return self

    with pytest.raises(SearcherError, match="global random state") as caught:
        PymooSearcher(toys.zdt1(), lambda: Old(8))
    assert "0.6.2" in caught.value.cure


FEW = ("three objectives", "constrained", "tiny", "one design", "conditional")


@pytest.mark.parametrize(
    "check", [c for c in searcher_checks() if "[" not in c.name or any(n in c.name for n in FEW)],
    ids=str,
)  # fmt: skip
def test_conformance(check):
    def build(problem, **options):
        return PymooSearcher(problem, lambda: nsga2(problem), **options)

    check(SearcherSubject(build))


class TestDirections:
    @given(st.integers(2, 8), st.integers(2, 120))
    def test_lie_on_the_simplex_and_hold_its_corners(self, m, n):
        found = directions(m, n)
        assert len(found) <= max(n, m)
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert {tuple(row) for row in np.eye(m)} <= {tuple(row) for row in found.round(9)}
        assert len(np.unique(found.round(9), axis=0)) == len(found)

    @pytest.mark.parametrize(("m", "n", "expected"), [(2, 12, 12), (3, 50, 45), (3, 91, 91)])
    def test_are_as_many_as_das_and_dennis_give(self, m, n, expected):
        assert len(directions(m, n)) == expected

    def test_many_objectives_get_an_inner_layer(self):
        # 28 = C(2 + 6, 6) on the boundary; the rest inside.
        inside = (directions(7, 60) > 0).all(axis=1)
        assert inside.any()
        # Deb and Jain 2014, table I: 8 objectives, layers of 3 and 2 partitions, 156 directions.
        assert len(directions(8, 156)) == 156


class TestNSGA3:
    def test_ties_are_drawn_from_the_stream_given(self):
        individuals = Population.new(
            X=np.zeros((4, 1)), G=np.array([[0.0], [0.0], [1.0], [2.0]]), F=np.zeros((4, 1))
        )
        pairs = np.array([[0, 2], [3, 2], [0, 1], [1, 0]] * 20)
        won = less_violation(individuals, pairs, np.random.default_rng(0))
        again = less_violation(copy.deepcopy(individuals), pairs, np.random.default_rng(0))
        np.testing.assert_array_equal(won, again)
        assert (won[0::4] == 0).all()
        assert (won[1::4] == 2).all()
        assert set(won[2::4, 0]) == {0, 1}

    def test_finds_a_front_of_three_objectives(self):
        problem = toys.dtlz2()
        searcher = NSGA3(problem, seed=0, budget=400)
        search(searcher, steps=20, n=searcher.batch)
        exact = toys.exact_front(problem).losses
        found = searcher.told.losses[nondominated(searcher.told.losses)]
        apart = np.abs(exact[:, None] - found[None]).sum(axis=2).min(axis=1)
        assert np.mean(apart < 1e-9) > 0.7

    def test_more_axes_than_its_population(self):
        genes = tuple(Gene(f"net.x{j}", tuple(range(4))) for j in range(6))

        @measures(*(f"f{j}" for j in range(6)), expense="free", batch=True)
        def axes(designs):
            return {f"f{j}": designs[f"net.x{j}"].astype(float) for j in range(6)}

        problem = Problem(Space(genes), [axes], [f"f{j}" for j in range(6)])
        searcher = NSGA3(problem, population=4)
        assert searcher.population == 6
        assert len(search(searcher, steps=3, n=6)) == 3

    @pytest.mark.parametrize("options", [{"population": 1}, {"crossover": 1.1}])
    def test_impossible_options_are_refused(self, options):
        with pytest.raises(SearcherError):
            NSGA3(toys.zdt1(), **options)
