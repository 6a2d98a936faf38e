"""The toy problems' fronts: closed forms against enumeration."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import ProblemError
from hwnas.metrics import Reason
from hwnas.problem import nondominated
from hwnas.testing import toys


def sorted_losses(losses):
    return losses[np.lexsort(losses.T[::-1])]


@pytest.mark.parametrize(("genes", "levels"), [(2, 5), (3, 11)])
def test_zdt1_has_the_front_of_its_paper(genes, levels):
    """Equation 7 with g = 1: f2 = 1 - sqrt(f1), for every level of x1."""
    f1 = np.linspace(0, 1, levels)
    losses = sorted_losses(toys.exact_front(toys.zdt1(genes, levels)).losses)
    np.testing.assert_allclose(losses, np.stack([f1, 1 - np.sqrt(f1)], axis=1), atol=1e-12)


def test_dtlz2_has_its_front_on_the_unit_sphere():
    """With g = 0, which is x3 = x4 = 0.5, the squares of the objectives add up to 1."""
    problem = toys.dtlz2(genes=4, levels=5)
    front = toys.exact_front(problem)
    np.testing.assert_allclose((front.losses**2).sum(axis=1), 1.0)
    designs = problem.designs(front.genomes)
    assert set(designs["net.x3"]) == set(designs["net.x4"]) == {0.5}
    assert len(front.genomes) >= 5 * 4 + 1


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_conditional_front_is_that_of_enumeration(layers):
    expected = toys.exact_front(toys.conditional(layers)).losses
    found = toys.conditional_front(layers)
    np.testing.assert_allclose(
        np.unique(found.round(12), axis=0), np.unique(expected.round(12), axis=0)
    )


def test_no_design_of_the_large_conditional_space_beats_its_front():
    problem = toys.conditional()
    assert problem.space.size() == sum(27**k for k in range(1, 13))
    rows = problem.space.sample(3000, np.random.default_rng(0))
    losses = problem.losses(problem.evaluate(problem.designs(rows)))
    front = toys.conditional_front()
    best = np.interp(losses[:, 1], *front[np.argsort(front[:, 1])].T[::-1])
    place = np.searchsorted(np.sort(front[:, 1]), losses[:, 1], side="right") - 1
    reached = front[np.argsort(front[:, 1])][place, 0]
    assert (losses[:, 0] >= reached - 1e-12).all()
    assert (losses[:, 0] >= best - 0.5).all()


def test_all_rows_of_a_front_are_feasible_and_not_dominated():
    for name, build in toys.PROBLEMS.items():
        problem = build()
        if problem.space.size() > 5000:
            continue
        front = toys.exact_front(problem)
        measured = problem.evaluate(problem.designs(front.genomes))
        assert problem.satisfied(measured).all(), name
        assert len(nondominated(front.losses)) == len(front.losses)
        assert bool(len(front.losses)) == (name != "all infeasible")


def test_large_spaces_are_refused():
    with pytest.raises(ProblemError, match="too large") as caught:
        toys.exact_front(toys.conditional())
    assert caught.value.given == f"{toys.conditional().space.size():,}"


def test_each_problem_has_what_its_name_says():
    problems = {name: build() for name, build in toys.PROBLEMS.items()}
    assert problems["tiny"].space.size() == 9
    assert problems["one design"].space.size() == 1
    assert (problems["maximised"].signs == -1).all()
    assert any(gene.when for gene in problems["conditional"].space.genes)
    assert [e.name for e in problems["joint"].costly] == ["joint_error"]
    assert problems["joint"].costly[0].reads == {"net", "quant"}
    for name, reasons in (
        ("constrained", {Reason.NONE, Reason.INFEASIBLE}),
        ("all infeasible", {Reason.NONE, Reason.INFEASIBLE}),
        ("joint", {Reason.NONE, Reason.RULED_OUT}),
    ):
        problem = problems[name]
        measured = problem.evaluate(problem.designs(problem.space.rows()))
        assert set(measured.reason) == reasons
        assert problem.satisfied(measured).any() == (name != "all infeasible")
    rows = problems["constant"].space.rows()
    losses = problems["constant"].losses(
        problems["constant"].evaluate(problems["constant"].designs(rows))
    )
    assert len(np.unique(losses, axis=0)) == 1


def test_nothing_is_free_where_all_is_costly():
    problem = toys.all_costly()
    assert problem.free_evaluators == ()
    assert problem.costly[0].reads == frozenset()
    # Widths of 16 need more than 4 units: 3 kinds x (1 + 3 spans) cannot be built.
    assert problem.space.size() == 4 * 3 * (1 + 3) * 3
    rows = problem.space.rows()
    assert (~problem.evaluate(problem.designs(rows)).feasible).sum() == 3 * (1 + 3)


def test_the_costly_limit_binds_and_its_front_follows_by_hand():
    """Every design that meets size <= 40 is compared with every other, by the formulas."""
    problem = toys.costly_limit()
    assert not problem.free_constraints
    found = []
    for depth in (1, 2, 3, 4, 6):
        for wide in (0, 1):
            for bits in (2, 4, 8):
                for units in (2, 4, 8, 16):
                    quality = np.log2(1 + depth) * (1 - 1 / bits) * (1.2 if wide else 1.0)
                    latency = 1e-3 * depth * bits * (3 if wide else 1) / units
                    if depth * bits * (4 if wide else 1) <= 40:
                        found.append((-quality, latency, 1e-8 * units))
    assert len(found) < problem.space.size()
    points = np.array(found)
    beaten = (points[None] <= points[:, None]).all(-1) & (points[None] < points[:, None]).any(-1)
    expected = points[~beaten.any(axis=1)]
    losses = toys.exact_front(problem).losses
    np.testing.assert_allclose(sorted_losses(losses), sorted_losses(expected))
