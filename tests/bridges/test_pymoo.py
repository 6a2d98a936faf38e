"""Our problems in pymoo, and where all four directions are found."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

import hwnas.bridges
from hwnas.bridges.pymoo import operators, to_pymoo
from hwnas.testing import toys


@pytest.mark.parametrize("name", toys.PROBLEMS)
def test_evaluates_what_the_problem_evaluates(name):
    problem = toys.PROBLEMS[name]()
    rows = problem.space.sample(50, np.random.default_rng(2))
    answer = to_pymoo(problem).evaluate(rows, return_as_dictionary=True)
    measured = problem.evaluate(problem.designs(rows))
    losses = problem.losses(measured)
    usable = np.isfinite(losses).all(axis=1)
    np.testing.assert_array_equal(answer["F"][usable], losses[usable])
    np.testing.assert_array_equal((answer["G"] <= 0).all(axis=1), problem.satisfied(measured))
    relative = problem.relative_violations(measured)
    measured_ones = np.isfinite(relative).all(axis=1) & usable
    np.testing.assert_allclose(
        np.maximum(answer["G"], 0).sum(axis=1)[measured_ones],
        relative.sum(axis=1)[measured_ones],
    )


def test_knows_its_bounds():
    problem = toys.joint()
    task = to_pymoo(problem)
    assert (task.n_var, task.n_obj, task.n_ieq_constr) == (6, 2, 2)
    assert task.xl.tolist() == [0] * 6
    assert task.xu.tolist() == [3, 2, 2, 3, 1, 2]


def test_sleeping_genes_count_for_nothing():
    problem = toys.tiny()
    losses, _ = to_pymoo(problem).evaluate(np.array([[0, 0], [0, 3], [1, 0], [1, 3]]))
    np.testing.assert_array_equal(losses[0], losses[1])
    assert (losses[2] != losses[3]).any()


@pytest.mark.parametrize("ours", [True, False])
def test_minimize_finds_the_front(ours):
    problem = toys.joint()
    chosen = operators(problem.space) if ours else {}
    result = minimize(to_pymoo(problem), NSGA2(20, **chosen), ("n_gen", 25), seed=1)
    if ours:
        exact = {tuple(losses) for losses in toys.exact_front(problem).losses}
        found = {tuple(losses) for losses in result.F}
        assert found <= exact
        assert len(found) >= 0.8 * min(20, len(exact))
    measured = problem.evaluate(problem.designs(np.rint(result.X).astype(np.int64)))
    assert problem.satisfied(measured).all()
    np.testing.assert_array_equal(problem.losses(measured), result.F)


def test_all_directions_are_found_in_one_place():
    from hwnas.bridges.optuna import HwnasSampler
    from hwnas.searchers.optuna_sampler import OptunaSearcher
    from hwnas.searchers.pymoo_algorithm import PymooSearcher

    assert hwnas.bridges.HwnasSampler is HwnasSampler
    assert hwnas.bridges.OptunaSearcher is OptunaSearcher
    assert hwnas.bridges.PymooSearcher is PymooSearcher
    assert hwnas.bridges.to_pymoo is to_pymoo
    assert sorted(hwnas.bridges.__all__) == hwnas.bridges.__all__
    with pytest.raises(AttributeError, match="to_nowhere"):
        _ = hwnas.bridges.to_nowhere


def test_bridges_are_built_when_they_are_crossed():
    program = (
        "import sys, hwnas.bridges; assert not {'optuna', 'pymoo'} & set(sys.modules);"
        "hwnas.bridges.to_pymoo; assert 'pymoo' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
