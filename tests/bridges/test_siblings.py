"""Designs that share a costly evaluation, in studies of Optuna's: one is run, all are known."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hwnas import Gene, Problem, Space, Study, measures
from hwnas.bridges.optuna import HwnasSampler, suggest
from hwnas.bridges.siblings import SIBLING_OF, sharing
from hwnas.history import costly_columns
from hwnas.searchers.bilevel_nsga2 import BilevelNSGA2
from hwnas.searchers.greybox import GreyBox
from hwnas.space import keys
from hwnas.testing import toys
from tests.bridges.test_optuna import (
    create,
    evaluate,
    objective_that_reports,
    objective_that_returns_values,
    visited,
)

optuna.logging.set_verbosity(optuna.logging.ERROR)

BILEVEL = {"population": 4, "siblings": 5}


def wide():
    """Several accelerators are good for each network: energy and latency go against each other."""
    joint = toys.joint()
    constraints = [c.text for c in joint.constraints]
    return Problem(joint.space, joint.evaluators, ["error", "energy", "latency"], constraints)


def bilevel(problem, seed=3, **options):
    return HwnasSampler(problem, BilevelNSGA2, seed=seed, options=BILEVEL, **options)


def run_ones(study):
    return [t for t in study.trials if SIBLING_OF not in t.user_attrs]


def paid(problem, rows):
    return len(set(keys(np.ascontiguousarray(rows[:, costly_columns(problem)]))))


@pytest.mark.parametrize(
    ("kind", "options"),
    [(BilevelNSGA2, BILEVEL), (GreyBox, {"batch": 4, "initial": 4, "siblings": 6})],
)
@pytest.mark.parametrize("objective", [objective_that_reports, objective_that_returns_values])
def test_a_study_knows_what_a_study_of_ours_does(kind, options, objective):
    problem = wide()
    ours = Study(problem, kind, budget=16, seed=3, options=options)
    for _ in ours.run():
        pass
    sampler = HwnasSampler(problem, kind, seed=3, options=options, budget=16)
    study = create(problem, sampler)
    study.optimize(objective(problem), n_trials=16)
    assert len(run_ones(study)) == 16 == ours.history.evaluations
    assert len(study.trials) == len(ours.history) > 30
    expected = problem.space.canonical(ours.history.rows.genomes)
    found = visited(problem, study.trials)
    assert sorted(keys(found)) == sorted(keys(expected))
    best = np.unique([t.values for t in study.best_trials], axis=0)
    np.testing.assert_allclose(best, np.unique(ours.history.front_losses, axis=0), rtol=1e-12)


def test_what_is_added_is_what_it_would_measure():
    problem = wide()
    study = create(problem, bilevel(problem))
    study.optimize(objective_that_reports(problem), n_trials=6)
    added = [t for t in study.trials if SIBLING_OF in t.user_attrs]
    assert len(added) > 6
    for trial in added:
        whole = evaluate(problem, trial.params)
        assert trial.state is TrialState.COMPLETE
        assert trial.values == pytest.approx(problem.values(whole)[0].tolist())
        own = {name: trial.user_attrs[name] for name in whole.columns}
        assert own == pytest.approx({n: float(c[0]) for n, c in whole.columns.items()})
        parent = study.trials[trial.user_attrs[SIBLING_OF]]
        both = problem.space.encode([trial.params, parent.params])
        assert paid(problem, both) == 1
        excesses = dict(zip([c.text for c in problem.constraints], problem.excesses(whole)[0],
                            strict=True))  # fmt: skip
        if hasattr(trial, "constraints"):
            assert trial.constraints == pytest.approx(excesses)


def test_the_costly_objective_is_run_once_for_each_setting():
    problem = wide()
    called = []

    def objective(trial):
        config = suggest(trial, problem.space)
        called.append(problem.space.encode([config])[0])
        return [float(v) for v in problem.values(evaluate(problem, config))[0]]

    study = create(problem, bilevel(problem))
    study.optimize(objective, n_trials=12)
    assert paid(problem, np.array(called)) == len(called) == 12
    assert len(np.unique(visited(problem, study.trials), axis=0)) == len(study.trials)


def test_without_siblings_one_design_is_all_there_is():
    problem = wide()
    study = create(problem, bilevel(problem, siblings=False))
    study.optimize(objective_that_reports(problem), n_trials=8)
    assert len(study.trials) == 8 == paid(problem, visited(problem, study.trials))


def test_another_process_goes_on_with_the_batch(tmp_path):
    problem = wide()
    objective = objective_that_reports(problem)
    whole = create(problem, bilevel(problem))
    whole.optimize(objective, n_trials=12)
    for n in (5, 7):
        storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
        study = create(
            problem, bilevel(problem), storage=storage, study_name="s", load_if_exists=True
        )
        study.optimize(objective, n_trials=n)
    np.testing.assert_array_equal(visited(problem, study.trials), visited(problem, whole.trials))


def test_trials_side_by_side_each_bring_their_own():
    problem = wide()
    study = create(problem, bilevel(problem))
    objective = objective_that_reports(problem)
    trials = [study.ask() for _ in range(6)]  # more than the batch of 4
    configs = [suggest(trial, problem.space) for trial in trials]
    assert paid(problem, problem.space.encode(configs)) == 6
    assert len(study.trials) == 6
    for trial, config in list(zip(trials, configs, strict=True))[::-1]:
        study.tell(trial, list(problem.values(evaluate(problem, config))[0]))
    assert {t.user_attrs.get(SIBLING_OF, t.number) for t in study.trials} == set(range(6))
    assert len(study.trials) > 6
    study.optimize(objective, n_trials=3)
    rows = visited(problem, study.trials)
    assert len(np.unique(rows, axis=0)) == len(rows)


@pytest.mark.parametrize("ends", ["fails", "is pruned"])
def test_a_trial_that_is_not_complete_brings_nothing(ends):
    problem = wide()

    def objective(trial):
        suggest(trial, problem.space)
        if ends == "fails":
            raise RuntimeError("out of memory")
        raise optuna.TrialPruned

    study = create(problem, bilevel(problem))
    study.optimize(objective, n_trials=4, catch=RuntimeError)
    assert len(study.trials) == 4


def small(deterministic=True, objectives=("error", "latency")):
    """Four networks; of three accelerators none is better than another for any."""

    @measures("error", reads=("net",), deterministic=deterministic)
    def error(design):
        return 1.0 / design["net.a"]

    @measures("latency", "size", expense="free", batch=True)
    def hardware(designs):
        a, x = designs["net.a"].astype(float), designs["hw.x"].astype(float)
        return {"latency": a / x, "size": x}

    space = Space((Gene("net.a", (1, 2, 3, 4)), Gene("hw.x", (1, 2, 3))))
    return Problem(space, [error, hardware], [f"minimize: {o}" for o in (*objectives, "size")])


def test_evaluators_that_are_not_deterministic_are_asked_each_time():
    problem = small(deterministic=False)
    study = create(problem, bilevel(problem))
    study.optimize(objective_that_returns_values(problem), n_trials=4)
    assert len(study.trials) == 4


def test_metrics_that_nobody_knows_add_nothing():
    problem = small(objectives=("both = error * error",))
    study = create(problem, bilevel(problem))
    trial = study.ask()
    config = suggest(trial, problem.space)
    study.tell(trial, list(problem.values(evaluate(problem, config))[0]))
    assert len(study.trials) == 1


@pytest.mark.parametrize("how", ["int", "float"])
def test_parameters_are_those_that_the_objective_suggests(how):
    problem = small()

    def objective(trial):
        ask = trial.suggest_int if how == "int" else trial.suggest_float
        a, x = ask("net.a", 1, 4), ask("hw.x", 1, 3)
        return 1.0 / a, a / x, x

    study = create(problem, bilevel(problem))
    study.optimize(objective, n_trials=4)
    assert len(study.trials) == 12
    assert len({tuple(t.params.values()) for t in study.trials}) == 12
    kind = int if how == "int" else float
    assert {type(v) for t in study.trials for v in t.params.values()} == {kind}
    assert len({str(t.distributions) for t in study.trials}) == 1


def test_choices_that_the_objective_does_not_admit_are_left_out():
    problem = small()

    def objective(trial):
        a = trial.suggest_int("net.a", 1, 4)
        x = trial.suggest_categorical("hw.x", (1, 2))
        return 1.0 / a, a / x, x

    study = create(problem, bilevel(problem))
    study.enqueue_trial({"net.a": 1, "hw.x": 2})
    study.optimize(objective, n_trials=1)
    # Where the searcher proposes the accelerator 3 itself, the person is told; see test_optuna.
    trials = [study.ask() for _ in range(2)]
    for trial in trials:
        trial.suggest_int("net.a", 1, 4)
        trial.suggest_categorical("hw.x", (1, 2))
        study.tell(trial, [1.0 / trial.params["net.a"], 1.0, 1.0])
    assert {t.params["hw.x"] for t in study.trials} == {1, 2}


def test_sharing_by_hand():
    problem = small()
    others = np.array([[0, 0], [0, 1], [1, 0], [0, 2]])
    assert sharing(problem, np.array([0, 1]), others).tolist() == [0, 3]
    assert sharing(problem, np.array([3, 1]), others).tolist() == []
