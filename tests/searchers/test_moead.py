"""MOEA/D: what each direction keeps, against what it should keep by definition."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Gene, Measurements, Metric, Problem, Reason, Space, measures
from hwnas.errors import SearcherError
from hwnas.problem import nondominated
from hwnas.searchers.moead import MOEAD
from hwnas.testing import toys
from hwnas.testing.searchers import measure, search


@measures("left", "right", expense="free", batch=True)
def linear(designs):
    """A linear front, and a gene that only makes both worse."""
    t, worse = designs["net.t"] / 10, designs["net.worse"].astype(float)
    return {"left": t + worse, "right": 1 - t + worse}


def line(constraints=()):
    genes = (Gene("net.t", tuple(range(11))), Gene("net.worse", (0, 1, 2)))
    return Problem(Space(genes), [linear], ["left", "right"], constraints)


def told(problem, rows, **options):
    searcher = MOEAD(problem, **options)
    searcher.tell(rows, measure(problem, rows))
    return searcher


@pytest.mark.parametrize("seed", range(3))
def test_each_direction_keeps_the_point_that_lies_on_it(seed):
    problem = line()
    rows = np.random.default_rng(seed).permutation(problem.space.rows())
    ends = np.array([[0, 0], [10, 0]])  # they fix the box
    searcher = told(
        problem, np.concatenate([ends, rows]), population=11, neighbours=11, replaced=11
    )
    kept = searcher.told.genomes[searcher.kept]
    # The direction (w, 1 - w) meets the front left + right = 1 in left = w.
    np.testing.assert_allclose(searcher.directions[:, 0], kept[:, 0] / 10, atol=1e-5)
    assert (kept[:, 1] == 0).all()


def test_one_row_replaces_at_most_so_many():
    problem = line()
    worst = np.array([[t, 2] for t in range(11)])
    for replaced in (1, 3):
        searcher = told(problem, worst, population=11, neighbours=11, replaced=replaced)
        before = searcher.kept
        best = np.array([[5, 0]])
        searcher.tell(best, measure(problem, best))
        assert (searcher.kept != before).sum() == replaced


def test_feasible_designs_drive_out_the_others():
    problem = line(["left <= 0.5"])
    rows = problem.space.rows()
    feasible = rows[problem.satisfied(measure(problem, rows))]
    others = rows[~problem.satisfied(measure(problem, rows))]
    searcher = told(problem, others[:11], population=6, neighbours=6, replaced=6)
    assert (searcher.kept >= 0).all()
    searcher.tell(feasible[:1], measure(problem, feasible[:1]))
    assert set(searcher.kept) == {11}


def test_among_infeasible_designs_less_violation_stays():
    problem = line(["left <= -10"])
    rows = np.array([[t, worse] for worse in (2, 1, 0) for t in range(11)])
    searcher = told(problem, rows, population=6)
    kept = searcher.told.violation[searcher.kept]
    np.testing.assert_allclose(np.sort(kept), np.sort(searcher.told.violation)[:6])


def test_designs_without_values_are_kept_last():
    problem = line(["left <= -10"])
    metrics = (Metric("left"), Metric("right"))
    rows = problem.space.rows()[:6]
    searcher = MOEAD(problem, population=6)
    searcher.tell(rows, Measurements.nothing(metrics, 6, Reason.CRASHED))
    assert sorted(searcher.kept) == list(range(6))
    more = problem.space.rows()[6:12]
    searcher.tell(more, measure(problem, more))
    assert sorted(searcher.kept) == list(range(6, 12))


def test_finds_a_front_of_three_objectives():
    problem = toys.dtlz2()
    searcher = MOEAD(problem, seed=0, budget=400)
    search(searcher, steps=400 // searcher.batch, n=searcher.batch)
    exact = toys.exact_front(problem).losses
    found = searcher.told.losses[nondominated(searcher.told.losses)]
    apart = np.abs(exact[:, None] - found[None]).sum(axis=2).min(axis=1)
    assert np.mean(apart < 1e-9) > 0.7


def test_options_follow_the_budget():
    assert MOEAD(toys.zdt1(), budget=400).options() == {
        "population": 20, "neighbours": 4, "replaced": 2, "crossover": 0.9,
    }  # fmt: skip
    assert MOEAD(toys.dtlz2(), budget=2500).batch == 45


def test_one_objective_is_refused():
    with pytest.raises(SearcherError, match="nothing to decompose"):
        MOEAD(toys.constant())


@pytest.mark.parametrize(
    "options", [{"population": 1}, {"neighbours": 1}, {"replaced": 0}, {"crossover": 2.0}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(SearcherError):
        MOEAD(toys.zdt1(), **options)
