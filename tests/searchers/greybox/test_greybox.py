"""Grey-box search: exact where things are free, sparing where they are not."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Gene, Metric, Problem, Space, Study, measures
from hwnas.errors import SearcherError
from hwnas.evaluation import Evaluator, Expense
from hwnas.metrics import Measurements, Reason
from hwnas.searchers.greybox import GreyBox, belief, step
from hwnas.searchers.greybox.belief import checkpoint
from hwnas.space import keys
from hwnas.testing.toys import exact_front, joint, joint_area, joint_error, joint_hardware
from hwnas.yardstick import Yardstick


def measure(problem, rows):
    return problem.evaluate(problem.designs(rows))


def run(problem, budget, **options):
    """A study to its end."""
    study = Study(problem, "greybox", budget=budget, seed=options.pop("seed", 0), options=options)
    for _ in study.run():
        pass
    return study


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_the_exact_front_of_288_designs_without_measuring_all(seed):
    problem = joint()
    study = run(problem, 36, seed=seed)
    found = np.unique(study.history.front_losses, axis=0)
    np.testing.assert_allclose(found, np.unique(exact_front(problem).losses, axis=0))
    assert study.history.evaluations < 36  # of the settings of network and bits


def test_a_batch_has_as_many_costly_settings_as_asked_for_with_all_their_inner_designs():
    toy = joint()
    problem = Problem(toy.space, toy.evaluators, ["error", "latency", "area"])
    searcher = GreyBox(problem, seed=0, initial=6)
    columns = problem.space.columns_of("net", "quant")
    for _ in range(3):
        rows = searcher.ask(3)
        assert len(set(keys(rows[:, columns]))) == 3
        assert len(rows) > 3
        answer = measure(problem, rows)
        free = problem.losses(answer)[:, 1:]
        for setting in np.unique(rows[:, columns], axis=0):
            # None of the accelerators of one setting is better than another in all that is free.
            own = np.flatnonzero((rows[:, columns] == setting).all(axis=1))
            assert len(np.unique(free[own], axis=0)) == len(own)
        searcher.tell(rows, answer)


def test_siblings_can_be_limited():
    searcher = GreyBox(joint(), siblings=1, initial=4)
    assert len(searcher.ask(4)) == 4


def test_the_bound_falls_to_nothing_as_everything_is_measured():
    problem = joint()
    searcher = GreyBox(problem, seed=1, initial=4)
    bounds = []
    while len(rows := searcher.ask(4)):
        searcher.tell(rows, measure(problem, rows))
        bounds.append(searcher.remaining())
    known = [b for b in bounds if b is not None]
    assert known[0] > 0
    assert known[-1] == 0.0


def test_what_was_told_is_used_however_it_came():
    """Foreign rows, duplicates, infeasible and sleeping ones."""
    problem = joint()
    rows = problem.space.sample(30, np.random.default_rng(5))
    rows = np.concatenate([rows, rows[:7]])
    warm = GreyBox(problem, seed=0)
    warm.tell(rows, measure(problem, rows))
    columns = problem.space.columns_of("net", "quant")
    told = set(keys(problem.space.canonical(rows)[:, columns]))
    asked = warm.ask(5)
    assert len(asked)
    measured = measure(problem, rows)
    tried = measured.reason != Reason.RULED_OUT
    really = set(keys(problem.space.canonical(rows)[tried][:, columns]))
    # What is known already comes for its free siblings only, beside five new settings.
    settings = set(keys(asked[:, columns]))
    assert len(settings - really) == 5
    assert settings & really
    assert warm.told.new(asked).all()
    assert really <= told


class Failing(Evaluator):
    """Costly: fails for deep networks, else an error."""

    metrics = (Metric("error", worst=1.0, best=0.0),)
    reads = frozenset({"net", "quant"})
    expense = Expense.COSTLY

    def evaluate(self, designs, fidelity=1.0):
        depth = designs["net.depth"].astype(float)
        error = 0.5 / (depth * designs["net.width"]) + 2.0 ** -designs["quant.bits"].astype(float)
        fails = depth > 4
        reason = np.where(fails, int(Reason.INFEASIBLE), int(Reason.NONE))
        columns = {"error": np.where(fails, np.nan, error)}
        return Measurements.of(self.metrics, columns, reason=reason)


def test_it_learns_where_designs_cannot_be_measured():
    problem = Problem(
        joint().space, [Failing(), joint_hardware, joint_area], ["error", "latency", "area"]
    )
    study = run(problem, 36, initial=8)
    found = np.unique(study.history.front_losses, axis=0)
    np.testing.assert_allclose(found, np.unique(exact_front(problem).losses, axis=0))
    # A quarter of the settings fails; those that are left until last do so more often.
    rows = study.history.rows
    fails = ~rows.measurements.feasible
    half = len(rows) // 2
    assert fails[:half].mean() < fails[half:].mean()


@measures("error", "harm", reads=("net", "quant"))
def two_metrics(design):
    """Costly: two metrics that oppose each other."""
    size = design["net.depth"] * design["net.width"]
    return {"error": 1.0 / size + 2.0 ** -design["quant.bits"], "harm": size * 1e-2}


def test_several_costly_metrics_and_a_limit_on_one():
    problem = Problem(
        joint().space,
        [two_metrics, joint_hardware],
        ["error", "harm", "energy"],
        ["harm <= 0.5", "latency <= 1 s"],
    )
    study = run(problem, 36)
    found = np.unique(study.history.front_losses, axis=0)
    np.testing.assert_allclose(found, np.unique(exact_front(problem).losses, axis=0), rtol=1e-12)


def test_an_objective_that_mixes_free_and_costly_is_learnt_as_a_whole():
    problem = Problem(
        joint().space,
        [joint_error, joint_hardware],
        ["minimize: score = error * latency", "energy"],
    )
    searcher = GreyBox(problem)
    assert searcher.fronts.inner_parts == ()
    study = run(problem, 12, initial=6)
    assert len(study.history.front_losses)


def test_many_inner_designs_are_searched_and_it_says_so():
    problem = joint()
    assert GreyBox(problem).fronts.exact
    searcher = GreyBox(problem, enumerate_inner=5)
    assert not searcher.fronts.exact
    study = run(problem, 36, enumerate_inner=5)
    exact = exact_front(problem).losses
    box = study.yardstick
    assert box is not None
    assert study.progress.hypervolume >= 0.95 * box.hypervolume(exact)


def test_trees_take_over_from_processes(monkeypatch):
    monkeypatch.setattr(belief, "MANY", 12)
    space = Space(tuple(Gene(f"net.x{j}", tuple(range(8))) for j in range(5)))

    @measures("left", "right", batch=True, expense="costly")
    def values(designs):
        x = designs.genomes / 7
        return {"left": (x**2).sum(axis=1), "right": ((1 - x) ** 2).sum(axis=1)}

    problem = Problem(space, [values], ["left", "right"])
    one = GreyBox(problem, seed=0, initial=8)
    for _ in range(4):
        rows = one.ask(5)
        one.tell(rows, measure(problem, rows))
    again = GreyBox(problem, seed=0, initial=8)
    again.tell(one.told.genomes, measure(problem, one.told.genomes))
    np.testing.assert_array_equal(again.ask(5), one.ask(5))


def test_asking_again_asks_the_same_where_evolution_proposes_too(monkeypatch):
    monkeypatch.setattr(step, "MANY", -3_000)
    space = Space(tuple(Gene(f"net.x{j}", tuple(range(8))) for j in range(5)))

    @measures("left", "right", batch=True, expense="costly")
    def values(designs):
        x = designs.genomes / 7
        return {"left": (x**2).sum(axis=1), "right": ((1 - x) ** 2).sum(axis=1)}

    problem = Problem(space, [values], ["left", "right"])
    searcher = GreyBox(problem, seed=0, initial=6)
    for _ in range(3):
        rows = searcher.ask(6)
        searcher.tell(rows, measure(problem, rows))
    first = searcher.ask(6)
    assert len(first) == 6
    searcher.ask(4)
    np.testing.assert_array_equal(searcher.ask(6), first)


def test_parameters_are_estimated_at_few_numbers_of_examples():
    estimates = [checkpoint(n) for n in range(2, 500)]
    assert estimates == sorted(estimates)
    assert len(set(estimates)) < 25
    assert all(checkpoint(n) == n for n in set(estimates))


@pytest.mark.parametrize("option", ["batch", "siblings", "enumerate_inner"])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(SearcherError, match=option):
        GreyBox(joint(), **{option: 0})


def test_it_needs_fewer_evaluations_than_evolution_on_the_joint_space():
    problem = joint()
    box = Yardstick.spanning(exact_front(problem).losses, {})
    shares = []
    for seed in range(5):
        ours = run(problem, 14, seed=seed, initial=5).history.front_losses
        study = Study(problem, "nsga2", budget=14, seed=seed)
        for _ in study.run():
            pass
        shares.append((box.hypervolume(ours), box.hypervolume(study.history.front_losses)))
    ours, theirs = np.median(shares, axis=0)
    assert ours > theirs
