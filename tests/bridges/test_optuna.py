"""Our searchers in studies of Optuna's: the same designs as in a study of ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import cloudpickle
import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hwnas import Gene, Measurements, Problem, Reason, Space, Study, measures
from hwnas.bridges.optuna import HwnasSampler, directions, measured, report, suggest
from hwnas.errors import PluginError, ProblemError, SearcherError, SpaceError
from hwnas.evaluation import Joined
from hwnas.searchers.interface import Searcher
from hwnas.searchers.moead import MOEAD
from hwnas.searchers.nsga2 import NSGA2
from hwnas.searchers.random import RandomSearch
from hwnas.searchers.tpe import TPE
from hwnas.space import keys
from hwnas.testing import toys

optuna.logging.set_verbosity(optuna.logging.ERROR)


def evaluate(problem, config):
    return problem.evaluate(problem.designs(problem.space.encode([config])))


def objective_that_reports(problem):
    def objective(trial):
        return report(trial, problem, evaluate(problem, suggest(trial, problem.space)))

    return objective


def objective_that_returns_values(problem):
    """Measures everything, also designs that FREE constraints would rule out."""

    def objective(trial):
        genomes = problem.space.encode([suggest(trial, problem.space)])
        whole = Joined(problem.evaluators).evaluate(problem.designs(genomes))
        return [float(value) for value in problem.values(whole)[0]]

    return objective


def create(problem, sampler, **options):
    return optuna.create_study(sampler=sampler, directions=directions(problem), **options)


def visited(problem, trials):
    """The designs of trials, canonical, ``(n, d)``."""
    return problem.space.encode([t.params for t in trials])


CASES = {
    "conditional": (toys.conditional, objective_that_returns_values),
    "maximised": (toys.maximised, objective_that_returns_values),
    "computed from free metrics": (toys.joint, objective_that_returns_values),
    "computed, reported": (toys.joint, objective_that_reports),
    "constrained": (toys.constrained, objective_that_reports),
    "all infeasible": (toys.infeasible, objective_that_reports),
}


@pytest.mark.parametrize("kind", [NSGA2, RandomSearch, MOEAD])
@pytest.mark.parametrize("case", CASES)
def test_visits_what_a_study_of_ours_visits(case, kind):
    build, objective = CASES[case]
    problem = build()
    ours = Study(problem, kind, budget=48, seed=4, batch=12, options={})
    for progress in ours.run():
        if progress.designs >= 48:
            break
    block = ours.history.rows
    order = np.lexsort((block.position, block.step))  # the history has them as they finished
    expected = problem.space.canonical(block.genomes[order])[:48]
    sampler = HwnasSampler(problem, kind, seed=4, budget=48, batch=12)
    study = create(problem, sampler)
    study.optimize(objective(problem), n_trials=48)
    np.testing.assert_array_equal(visited(problem, study.trials), expected)


def test_finds_searchers_by_name():
    problem = toys.conditional(3)
    sampler = HwnasSampler(problem, "nsga2", seed=1, options={"population": 6})
    assert sampler.batch == 6
    assert isinstance(sampler.searcher, NSGA2)
    with pytest.raises(PluginError, match="nsga22"):
        HwnasSampler(problem, "nsga22")


@pytest.fixture
def storage(tmp_path):
    return lambda: JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))


@pytest.mark.parametrize("interrupted", [5, 12, 17])
def test_another_process_goes_on_with_the_batch(storage, interrupted):
    problem = toys.conditional(4)
    objective = objective_that_returns_values(problem)
    whole = create(problem, HwnasSampler(problem, "nsga2", seed=2, options={"population": 6}))
    whole.optimize(objective, n_trials=24)
    for n in (interrupted, 24 - interrupted):
        sampler = HwnasSampler(problem, "nsga2", seed=2, options={"population": 6})
        study = create(
            problem, sampler, storage=storage(), study_name="resumed", load_if_exists=True
        )
        study.optimize(objective, n_trials=n)
    np.testing.assert_array_equal(visited(problem, study.trials), visited(problem, whole.trials))


def test_two_processes_take_turns(storage):
    problem = toys.conditional(4)
    objective = objective_that_returns_values(problem)
    studies = []
    for _ in range(2):
        sampler = HwnasSampler(problem, "nsga2", seed=2, options={"population": 6})
        studies.append(
            create(problem, sampler, storage=storage(), study_name="both", load_if_exists=True)
        )
    for i in range(24):
        studies[i % 2].optimize(objective, n_trials=1)
    alone = create(problem, HwnasSampler(problem, "nsga2", seed=2, options={"population": 6}))
    alone.optimize(objective, n_trials=24)
    np.testing.assert_array_equal(
        visited(problem, studies[0].trials), visited(problem, alone.trials)
    )


def test_a_process_that_lost_the_race_follows_the_other(storage):
    problem = toys.conditional(4)
    objective = objective_that_returns_values(problem)
    samplers = [HwnasSampler(problem, "random", seed=s, batch=4) for s in (0, 0)]
    studies = [
        create(problem, s, storage=storage(), study_name="race", load_if_exists=True)
        for s in samplers
    ]
    studies[0].optimize(objective, n_trials=4)
    # Both begin the second batch; the record of the second one stays.
    studies[0].optimize(objective, n_trials=1)
    record = dict(studies[1]._storage.get_study_system_attrs(0)["hwnas:step:1"])
    record["asked"] += 3
    studies[1]._storage.set_study_system_attr(0, "hwnas:step:1", record)
    for study in studies * 3:
        study.optimize(objective, n_trials=1)
    again = studies[1].trials
    assert len(np.unique(visited(problem, again), axis=0)) == len(again) == 11
    assert samplers[0]._record == samplers[1]._record


@pytest.mark.parametrize(("kind", "options"), [(NSGA2, {"population": 4}), (TPE, {"startup": 3})])
def test_running_trials_are_not_proposed_again(kind, options):
    problem = toys.tiny()
    study = create(problem, HwnasSampler(problem, kind, seed=0, options=options))
    trials = [study.ask() for _ in range(9)]
    configs = [suggest(t, problem.space) for t in trials]
    rows = problem.space.encode(configs)
    assert len(set(keys(rows))) == 9
    with pytest.raises(SearcherError, match="nothing left"):
        suggest(study.ask(), problem.space)
    for trial, config in zip(trials[::-1], configs[::-1], strict=True):
        study.tell(trial, list(problem.values(evaluate(problem, config))[0]))


def test_threads_share_a_sampler():
    problem = toys.conditional(4)
    study = create(problem, HwnasSampler(problem, "random", seed=0, batch=4))
    study.optimize(objective_that_returns_values(problem), n_trials=20, n_jobs=3)
    assert len(np.unique(visited(problem, study.trials), axis=0)) == 20


def test_a_study_stops_when_every_design_was_measured():
    problem = toys.tiny()
    study = create(problem, HwnasSampler(problem, "random"))
    study.optimize(objective_that_returns_values(problem), n_trials=50)
    complete = [t for t in study.trials if t.state is TrialState.COMPLETE]
    assert len(complete) == 9
    assert len(study.trials) == 10


def test_a_copy_of_a_sampler_continues_the_study():
    problem = toys.conditional(3)
    objective = objective_that_returns_values(problem)
    study = create(problem, HwnasSampler(problem, "nsga2", seed=5, options={"population": 4}))
    study.optimize(objective, n_trials=7)
    study.sampler = cloudpickle.loads(cloudpickle.dumps(study.sampler))
    study.optimize(objective, n_trials=7)
    whole = create(problem, HwnasSampler(problem, "nsga2", seed=5, options={"population": 4}))
    whole.optimize(objective, n_trials=14)
    np.testing.assert_array_equal(visited(problem, study.trials), visited(problem, whole.trials))


class Remembers(RandomSearch):
    """Keeps what it was told."""

    name = "remembers"

    def __init__(self, problem: Problem, **options: Any) -> None:
        super().__init__(problem, **options)
        self.blocks: list[tuple[Any, Measurements]] = []

    def tell(self, genomes, measurements):
        self.blocks.append((genomes, measurements))
        super().tell(genomes, measurements)


def test_other_peoples_trials_are_learnt():
    problem = toys.maximised()
    sampler = HwnasSampler(problem, Remembers, batch=2)
    study = create(problem, sampler)
    study.enqueue_trial({"net.x1": 5, "net.x2": 5, "net.x3": 5})
    study.optimize(objective_that_returns_values(problem), n_trials=1)
    study.add_trial(
        optuna.trial.create_trial(
            params={"net.x1": 1, "net.x2": 2, "net.x3": 3},
            distributions={
                name: optuna.distributions.IntDistribution(0, 5) for name in problem.space.names
            },
            values=[6.0, 9.0],
        )
    )
    study.optimize(objective_that_returns_values(problem), n_trials=1)
    rows, told = sampler.searcher.blocks[0]
    assert rows.tolist() == [[5, 5, 5], [1, 2, 3]]
    assert told["left"].tolist() == [15.0, 6.0]
    assert told["right"].tolist() == [10.0, 9.0]


def test_failed_and_pruned_trials_are_not_feasible():
    problem = toys.maximised()
    sampler = HwnasSampler(problem, Remembers, batch=3)
    study = create(problem, sampler)

    def objective(trial):
        config = suggest(trial, problem.space)
        if trial.number == 0:
            raise RuntimeError("out of memory")
        if trial.number == 1:
            raise optuna.TrialPruned
        return list(problem.values(evaluate(problem, config))[0])

    study.optimize(objective, n_trials=4, catch=RuntimeError)
    (_, told) = sampler.searcher.blocks[0]
    assert told.reason.tolist() == [Reason.RAISED, Reason.RULED_OUT, Reason.NONE]


def test_reports_are_read_as_they_were_written():
    problem = toys.constrained()
    rows = problem.space.sample(30, np.random.default_rng(0))
    answers = problem.evaluate(problem.designs(rows))
    assert not answers.feasible.all()
    study = create(problem, HwnasSampler(problem, "random"))
    for i, design in enumerate(problem.designs(rows)):
        study.enqueue_trial(dict(design.config))

        def objective(trial, i=i):
            suggest(trial, problem.space)
            return report(trial, problem, answers.take(slice(i, i + 1)))

        study.optimize(objective, n_trials=1)
    read = measured(problem, study.trials, rows)
    np.testing.assert_array_equal(read.reason, answers.reason)
    for name in answers.columns:
        np.testing.assert_array_equal(read[name], answers[name])
    feasible = problem.satisfied(answers)
    for trial, met in zip(study.trials, feasible, strict=True):
        if trial.state is TrialState.COMPLETE and hasattr(trial, "constraints"):
            assert all(v <= 0 for v in trial.constraints.values()) == met


class Siblings(RandomSearch):
    """Answers two designs for each costly evaluation."""

    name = "siblings"

    def ask(self, n):
        rows = super().ask(n)
        other = rows.copy()
        other[:, 3] = (other[:, 3] + 1) % 4
        both = np.concatenate([rows, other])
        return both[self.told.new(both)]


def test_of_designs_that_share_a_costly_evaluation_one_is_measured():
    problem = toys.joint()
    sampler = HwnasSampler(problem, Siblings, seed=0, batch=5)
    study = create(problem, sampler)
    trials = [study.ask() for _ in range(5)]
    rows = problem.space.encode([suggest(t, problem.space) for t in trials])
    outer = problem.designs(rows).part("net", "quant")[0]
    expected = Siblings(problem, seed=0).ask(5)
    distinct = len(problem.designs(expected).part("net", "quant")[0])
    assert len(outer) == min(5, distinct)


@pytest.mark.parametrize("how", ["int", "float", "values"])
def test_other_ways_to_suggest(how):
    problem = toys.zdt1() if how == "float" else toys.maximised()
    study = create(problem, HwnasSampler(problem, "random", seed=1))

    def objective(trial):
        config = {}
        for gene in problem.space.genes:
            if how == "int":
                config[gene.name] = trial.suggest_int(gene.name, 0, 5)
            elif how == "float":
                config[gene.name] = round(trial.suggest_float(gene.name, 0, 1, step=0.1), 9)
            else:
                config[gene.name] = trial.suggest_categorical(gene.name, gene.choices[::-1])
        row = problem.space.encode(
            [{k: min(problem.space.genes[0].choices, key=lambda c: abs(c - v))
              for k, v in config.items()}]
        )  # fmt: skip
        return list(problem.values(problem.evaluate(problem.designs(row)))[0])

    study.optimize(objective, n_trials=20)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 20
    assert len(study.sampler.searcher.told) == 16


def raised(problem, objective, n_trials=1, searcher="random", **options):
    study = create(problem, HwnasSampler(problem, searcher, **options))
    study.optimize(objective, n_trials=n_trials)


class TestComplaints:
    def test_directions(self):
        problem = toys.maximised()
        study = optuna.create_study(
            sampler=HwnasSampler(problem, "random"), directions=["minimize", "maximize"]
        )
        with pytest.raises(ProblemError, match="directions") as caught:
            study.ask().suggest_int("net.x1", 0, 5)
        assert caught.value.rule == "maximize left, maximize right"
        assert caught.value.given == "minimize, maximize"

    def test_genes_that_are_none(self):
        with pytest.raises(SpaceError, match="no gene") as caught:
            raised(toys.maximised(), lambda t: t.suggest_int("net.x9", 0, 5))
        assert "net.x1" in caught.value.cure

    @pytest.mark.parametrize(
        "ask",
        [
            lambda t: t.suggest_int("net.x1", 6, 9),
            lambda t: t.suggest_categorical("net.x1", ("a", "b")),
            lambda t: t.suggest_float("net.x1", 0.25, 5.25, step=0.5),
        ],
    )
    def test_choices_that_are_not_admitted(self, ask):
        with pytest.raises(SpaceError, match="does not admit"):
            raised(toys.maximised(), ask)

    def test_genes_that_were_forgotten(self):
        problem = toys.maximised()
        study = create(problem, HwnasSampler(problem, "random", batch=1))
        study.add_trial(
            optuna.trial.create_trial(
                params={"net.x1": 1},
                distributions={"net.x1": optuna.distributions.IntDistribution(0, 5)},
                values=[6.0, 9.0],
            )
        )
        with pytest.raises(SpaceError, match=r"no gene 'net.x2'"):
            study.optimize(objective_that_returns_values(problem), n_trials=1)

    def test_values_that_are_no_choice(self):
        problem = toys.maximised()
        study = create(problem, HwnasSampler(problem, "random", batch=1))
        study.add_trial(
            optuna.trial.create_trial(
                params=dict.fromkeys(problem.space.names, 7),
                distributions=dict.fromkeys(
                    problem.space.names, optuna.distributions.IntDistribution(0, 9)
                ),
                values=[6.0, 9.0],
            )
        )
        with pytest.raises(SpaceError, match="no choice 7"):
            study.optimize(objective_that_returns_values(problem), n_trials=1)

    def test_metrics_that_nobody_knows(self):
        @measures("error", "size")
        def costly(design):
            return {"error": 1.0, "size": 2.0}

        space = Space((Gene("net.a", (1, 2, 3)),))
        problem = Problem(space, [costly], ["minimize: both = error * size"])

        def objective(trial):
            suggest(trial, space)
            return 2.0

        with pytest.raises(ProblemError, match="nobody knows metric 'error'") as caught:
            raised(problem, objective, n_trials=2, batch=1)
        assert "report" in caught.value.cure

    def test_a_sampler_of_another_study(self):
        problem = toys.maximised()
        sampler = HwnasSampler(problem, "random")
        storage = optuna.storages.InMemoryStorage()
        for name in ("one", "other"):
            study = create(problem, sampler, storage=storage, study_name=name)
            if name == "one":
                study.optimize(objective_that_returns_values(problem), n_trials=1)
        with pytest.raises(ProblemError, match="one study"):
            study.ask().suggest_int("net.x1", 0, 5)

    def test_reports_of_several_designs(self):
        problem = toys.tiny()
        both = problem.evaluate(problem.designs(problem.space.rows()[:2]))
        study = create(problem, HwnasSampler(problem, "random"))
        with pytest.raises(ProblemError, match="one design"):
            report(study.ask(), problem, both)


def test_values_that_are_not_finite_are_not_feasible():
    problem = toys.maximised()
    sampler = HwnasSampler(problem, Remembers, batch=1)
    study = create(problem, sampler)

    def objective(trial):
        suggest(trial, problem.space)
        return float("inf"), 1.0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(objective, n_trials=2)
    assert sampler.searcher.blocks[0][1].reason.tolist() == [Reason.NOT_FINITE]


def test_searchers_are_the_contract_not_more():
    """A searcher knows nothing of Optuna: the smallest one there can be does."""

    class First(Searcher):
        name = "first"
        batch = 2

        def options(self) -> Mapping[str, Any]:
            return {}

        def ask(self, n: int) -> Any:
            rows = self.problem.space.rows()
            return rows[self.told.new(rows)][:n]

    problem = toys.tiny()
    study = create(problem, HwnasSampler(problem, First))
    study.optimize(objective_that_returns_values(problem), n_trials=9)
    np.testing.assert_array_equal(visited(problem, study.trials), problem.space.rows())
