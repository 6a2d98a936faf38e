"""Optuna's samplers as searchers: the same designs as in a plain loop of Optuna's."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import optuna
import pytest
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState

from hwnas import Measurements, Problem
from hwnas.errors import MissingExtraError, SearcherError
from hwnas.searchers.gp import GP
from hwnas.searchers.optuna_sampler import OptunaSearcher, constraint_options, named_constraints
from hwnas.searchers.random import RandomSearch
from hwnas.searchers.tpe import TPE
from hwnas.space import differing
from hwnas.testing import SearcherSubject, searcher_checks, toys
from hwnas.testing.searchers import measure, search

optuna.logging.set_verbosity(optuna.logging.ERROR)


def limited_zdt1(genes=6):
    """ZDT1 with a constraint, all of it known for every design."""
    problem = toys.zdt1(genes)
    return Problem(problem.space, problem.evaluators, ["f1", "f2"], ["f1 <= 0.5"])


def quiet(build):
    """Builds a sampler without the warnings about experimental options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return build()


def tpe(seed, **options):
    return quiet(
        lambda: TPESampler(
            seed=seed, multivariate=True, constant_liar=True, **options, **constraint_options()
        )
    )


def genetic(kind, seed):
    """With small generations, and many mutations, so that children differ from their parents."""
    return quiet(
        lambda: kind(seed=seed, population_size=8, mutation_prob=0.3, **constraint_options())
    )


def by_hand(trial, space, flat):
    """Suggests a design gene by gene; the toys' genes come behind those they depend on."""
    row = np.zeros((1, len(space)), dtype=np.int64)
    for j, gene in enumerate(space.genes):
        if not flat and not space.active(row)[0, j]:
            continue
        if gene.ordered:
            row[0, j] = trial.suggest_int(gene.name, 0, len(gene.choices) - 1)
        else:
            row[0, j] = trial.suggest_categorical(gene.name, tuple(range(len(gene.choices))))
    return row


def plain_loop(problem, make, steps, seed, flat=False):
    """A loop of Optuna's own whose sampler is built anew for each trial."""
    goals = [objective.goal.value for objective in problem.objectives]
    study = optuna.create_study(directions=goals)
    rows = []
    for i in range(steps):
        stream = np.random.default_rng((seed, i))
        study.sampler = make(int(stream.integers(2**31 - 1)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = study.ask()
            row = by_hand(trial, problem.space, flat)
        measured = measure(problem, row)
        assert measured.feasible.all()
        if problem.constraints:
            excess = float(problem.excesses(measured)[0, 0]) / 0.5
            if named_constraints():
                trial.set_constraint("f1 <= 0.5", excess)
            else:
                trial.storage.set_trial_system_attr(trial._trial_id, "constraints", [excess])
        study.tell(trial, [float(v) for v in problem.values(measured)[0]])
        rows.append(row[0])
    return np.array(rows)


def until_a_repetition(space, rows):
    """How many rows come before a design is repeated: a plain loop may, and we do not."""
    first = differing(space.canonical(rows))
    repeated = np.setdiff1d(np.arange(len(rows)), first)
    return int(repeated[0]) if repeated.size else len(rows)


CASES = {
    "TPE, constrained": (limited_zdt1, tpe, 15, False),
    "TPE, flat": (lambda: toys.zdt1(6), tpe, 15, True),
    "TPE in groups": (lambda: toys.conditional(4), lambda s: tpe(s, group=True), 15, False),
    "NSGA-II": (lambda: toys.zdt1(16), lambda s: genetic(NSGAIISampler, s), 30, True),
    "NSGA-II, constrained": (
        lambda: limited_zdt1(16),
        lambda s: genetic(NSGAIISampler, s),
        30,
        False,
    ),
    "NSGA-III": (
        lambda: toys.zdt1(16),
        lambda s: genetic(NSGAIIISampler, s),
        30,
        True,
    ),
    "random": (toys.conditional, lambda s: RandomSampler(seed=s), 2, False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_proposes_what_a_plain_loop_proposes(case):
    build, make, enough, flat = CASES[case]
    problem = build()
    expected = plain_loop(problem, make, enough + 15, seed=5, flat=flat)
    before = until_a_repetition(problem.space, expected)
    assert before >= enough
    searcher = OptunaSearcher(problem, make, seed=5, flat=flat)
    history = search(searcher, steps=before, n=1)
    found = np.concatenate([rows for rows, _ in history])
    np.testing.assert_array_equal(found, expected[:before])


def test_tpe_is_optunas():
    problem = toys.conditional(4)
    expected = plain_loop(problem, lambda s: tpe(s, group=True, n_startup_trials=5), 15, seed=2)
    before = until_a_repetition(problem.space, expected)
    assert before >= 10
    history = search(TPE(problem, seed=2, startup=5), steps=before, n=1)
    found = np.concatenate([rows for rows, _ in history])
    np.testing.assert_array_equal(found, expected[:before])


class Spy(BaseSampler):
    """Remembers the trials that it is shown, and draws the first choice of everything."""

    def __init__(self):
        self.seen = []

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def before_trial(self, study, trial):
        self.seen.append(study.get_trials())

    def sample_independent(self, study, trial, param_name, param_distribution):
        return 0


def spied(problem, rows, n=1, **options):
    """The trials that a sampler is shown after some rows were told."""
    spy = Spy()
    searcher = OptunaSearcher(problem, lambda seed: spy, **options)
    searcher.tell(rows, measure(problem, rows))
    searcher.ask(n)
    return searcher.told, spy.seen


def test_trials_are_the_rows_told():
    problem = toys.maximised()
    rows = problem.space.sample(20, np.random.default_rng(3))
    told, seen = spied(problem, rows)
    trials = seen[0][:-1]
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 20
    np.testing.assert_array_equal([list(t.params.values()) for t in trials], rows)
    np.testing.assert_array_equal(-np.array([t.values for t in trials]), told.losses)
    assert not any(v > 0 for t in trials for v in constraints_of(t).values())
    assert seen[0][-1].state is TrialState.RUNNING


def constraints_of(trial):
    if named_constraints():
        return {k: v for k, v in trial.system_attrs.items() if k.startswith("constraints:")}
    return dict(enumerate(trial.system_attrs["constraints"]))


@pytest.mark.parametrize("name", ["constrained", "joint", "all infeasible"])
def test_designs_that_are_not_feasible_are_trials_that_violate(name):
    problem = toys.PROBLEMS[name]()
    rows = problem.space.sample(60, np.random.default_rng(0))
    told, seen = spied(problem, rows)
    trials = seen[0][:-1]
    infeasible = (told.violation > 0) | ~np.isfinite(told.losses).all(axis=1)
    assert infeasible.any()
    sums = [sum(max(v, 0.0) for v in constraints_of(t).values()) for t in trials]
    np.testing.assert_array_equal(np.array(sums) > 0, infeasible)
    known = np.isfinite(told.violation)
    np.testing.assert_allclose(np.array(sums)[known], told.violation[known])
    assert all(len(constraints_of(t)) == len(constraints_of(trials[0])) for t in trials)
    if (~known).any() and known.any():
        assert np.array(sums)[~known].min() > np.array(sums)[known].max()
    values = np.array([t.values for t in trials])
    assert np.isfinite(values).all()


def test_values_that_are_missing_are_the_worst_known():
    problem = toys.joint()
    rows = problem.space.sample(60, np.random.default_rng(0))
    _, seen = spied(problem, rows)
    measured = measure(problem, rows)
    missing = np.isnan(measured["error"])
    assert 0 < missing.sum() < 60
    values = np.array([t.values for t in seen[0][:-1]])
    assert set(values[missing, 0]) == {measured["error"][~missing].max()}
    np.testing.assert_array_equal(values[:, 1], measured["energy"] * measured["latency"])


def test_only_active_genes_are_parameters_unless_all_are_wanted():
    problem = toys.conditional(4)
    rows = np.random.default_rng(1).integers(0, problem.space.cardinalities, (15, 13))
    active = problem.space.active(rows)
    assert not active.all()
    for flat in (False, True):
        _, seen = spied(problem, rows, flat=flat)
        for trial, row, on in zip(seen[0][:-1], rows, active, strict=True):
            shown = {problem.space.names[j] for j in range(13) if flat or on[j]}
            assert set(trial.params) == shown
            assert all(row[problem.space.names.index(k)] == v for k, v in trial.params.items())


def test_what_a_step_proposes_is_running():
    problem = toys.zdt1()
    rows = problem.space.rows()[5:9]
    _, seen = spied(problem, rows, n=3)
    states = [[t.state for t in trials].count(TrialState.RUNNING) for trials in seen]
    assert states[:3] == [1, 2, 3]


def test_a_sampler_that_repeats_itself_still_exhausts_the_space():
    problem = toys.tiny()
    searcher = OptunaSearcher(problem, lambda seed: Spy())
    history = search(searcher, steps=99, n=2)
    assert sum(len(rows) for rows, _ in history) == problem.space.size()


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: CmaEsSampler(seed=seed),
        lambda seed: quiet(lambda: QMCSampler(seed=seed)),
        lambda seed: GridSampler({"net.a": [0, 1]}),
    ],
)
def test_samplers_that_keep_their_state_elsewhere_are_refused(make):
    if importlib.util.find_spec("cmaes") is None and "CmaEs" in make.__code__.co_names[0]:
        pytest.skip("cmaes is not installed")
    with pytest.raises(SearcherError, match="cannot learn from a history"):
        OptunaSearcher(toys.tiny(), make)


def test_what_is_no_sampler_is_refused():
    with pytest.raises(SearcherError, match="does not build a sampler"):
        OptunaSearcher(toys.tiny(), lambda seed: seed)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (TPE, {"batch": 0}),
        (TPE, {"startup": -1}),
        (TPE, {"candidates": 0}),
        (GP, {"startup": 0}),
    ],
)
def test_impossible_options_are_refused(kind, options):
    if kind is GP:
        pytest.importorskip("torch")
    with pytest.raises(SearcherError, match="too small"):
        kind(toys.tiny(), **options)


FEW = ("three objectives", "constrained", "tiny", "one design", "all infeasible")


@pytest.mark.parametrize(
    "check", [c for c in searcher_checks() if "[" not in c.name or any(n in c.name for n in FEW)],
    ids=str,
)  # fmt: skip
def test_conformance_of_a_genetic_sampler(check):
    def build(problem, **options):
        return OptunaSearcher(
            problem,
            lambda s: NSGAIIISampler(seed=s, population_size=8, **constraint_options()),
            **{"flat": True, **options},
        )

    check(SearcherSubject(build))


def test_tpe_beats_random_search():
    problem = toys.zdt1(genes=6)

    def best(kind, seed):
        searcher = kind(problem, seed=seed)
        search(searcher, steps=45, n=1)
        return searcher.told.losses[:, 1].min()

    lowest = {
        kind: np.median([best(kind, seed) for seed in range(3)]) for kind in (TPE, RandomSearch)
    }
    assert lowest[TPE] < 0.8 * lowest[RandomSearch]


class TestGP:
    """Few steps: each design takes its time."""

    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch")

    def test_is_a_function_of_seed_and_history(self):
        problem = toys.maximised()
        searcher = GP(problem, seed=1, startup=6)
        rows = problem.space.sample(8, np.random.default_rng(0))
        measured = measure(problem, rows)
        searcher.tell(rows, measured)
        searcher.ask(1)
        first = searcher.ask(2)
        assert len(first) == 2
        again = GP(problem, seed=1, startup=6)
        for i in range(8):
            again.tell(rows[i : i + 1], measured.take(slice(i, i + 1)))
        np.testing.assert_array_equal(again.ask(2), first)

    def test_learns_where_the_optimum_is(self):
        problem = toys.zdt1(genes=4)
        space = Problem(problem.space, problem.evaluators, ["f2"])
        searcher = GP(space, seed=0, startup=8)
        search(searcher, steps=14, n=1)
        random = RandomSearch(space, seed=0)
        search(random, steps=14, n=1)
        assert searcher.told.losses.min() < 0.6 * random.told.losses.min()

    def test_sleeping_genes_are_part_of_its_space(self):
        searcher = GP(toys.conditional(3), seed=0)
        assert searcher.flat
        rows = searcher.ask(30)
        assert (rows != searcher.problem.space.canonical(rows)).any()


def test_gp_without_torch_says_what_to_install(monkeypatch):
    monkeypatch.setattr("hwnas.searchers.gp.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="torch") as caught:
        GP(toys.tiny())
    assert "hwnas[torch]" in caught.value.cure


def test_rows_without_any_value_do_no_harm():
    problem = toys.joint()
    rows = problem.space.sample(12, np.random.default_rng(0))
    metrics = tuple(problem.metrics.values())
    from hwnas import Reason

    searcher = TPE(problem, startup=4)
    searcher.tell(rows, Measurements.nothing(metrics, 12, Reason.RAISED))
    assert len(searcher.ask(3)) == 3
