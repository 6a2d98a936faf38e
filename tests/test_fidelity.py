"""Lower fidelities: what a study measures early costs a share, and never counts as a result."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.trial import TrialState

from hwnas import Budget, Gene, Metric, PerDesign, Problem, Reason, Space, Study, measures
from hwnas.comparison.curves import evaluations_by_row
from hwnas.errors import MeasurementError, SearcherError
from hwnas.history import History
from hwnas.metrics import Measurements
from hwnas.progress import Status
from hwnas.report.contents import facts
from hwnas.searchers.nsga2 import NSGA2
from hwnas.searchers.random import RandomSearch

SPACE = Space((Gene("net.x", tuple(range(60))), Gene("hw.y", (1, 2, 4))))
ERROR = Metric("error", worst=2.0, best=0.0)


class Early(PerDesign):
    """An error that is better, and misleading, when measured early; notes its calls."""

    metrics = (ERROR,)
    reads = frozenset({"net"})
    fidelities = (0.05, 0.25, 1.0)

    def __init__(self):
        self.calls = []

    def measure(self, design, fidelity=1.0):
        self.calls.append((design["net.x"], fidelity))
        return {"error": fidelity / (1 + design["net.x"])}


@measures("cost", expense="free", batch=True)
def cost(designs):
    return 1.0 * designs["net.x"] * designs["hw.y"]


class Drafting(RandomSearch):
    """Half of what it proposes is measured early; which half follows from the genome."""

    level = 0.25

    def fidelity_of(self, proposed):
        return np.where(proposed[:, 0] % 2 == 0, self.level, 1.0)


def problem(evaluator=None, constraints=()):
    return Problem(SPACE, [evaluator or Early(), cost], ["error", "cost"], constraints)


def test_rows_of_a_lower_fidelity_have_values_but_do_not_count():
    p = problem()
    designs = p.designs(SPACE.sample(30, np.random.default_rng(0)))
    (rows, early), *more = p.stream(designs, fidelity=0.25)
    parts = [early, *(m for _, m in more)]
    measured = Measurements.stack(parts)
    assert not measured.feasible.any()
    assert measured.partial.all()
    assert not measured.failed.any()
    assert (measured.fidelity == 0.25).all()
    assert np.isinf(p.losses(measured)).all()
    assert not p.satisfied(measured).any()
    order = np.concatenate([rows, *(r for r, _ in more)])
    values = 0.25 / (1 + designs["net.x"][order])
    np.testing.assert_array_equal(measured["error"], values)
    assert measured.answered().feasible.all()
    half = measured.take(np.arange(5))
    assert (half.fidelity == 0.25).all()
    assert (half.reason == Reason.LOW_FIDELITY).all()


def test_fidelities_of_the_wrong_length_are_refused():
    good = Measurements.of([ERROR], {"error": np.ones(3)})
    with pytest.raises(MeasurementError, match="differ in length"):
        Measurements(good.metrics, good.columns, good.feasible, good.reason, (), np.ones(2))


def test_the_problem_has_the_fidelities_that_all_costly_evaluators_have():
    @measures("other", reads=("net",))
    def other(design):
        return 1.0

    assert problem().fidelities == (0.05, 0.25, 1.0)
    assert Problem(SPACE, [Early(), other], ["error", "other"]).fidelities == (1.0,)
    assert Problem(SPACE, [cost], ["cost"]).fidelities == (1.0,)


def test_a_study_spends_shares_and_its_front_is_of_whole_evaluations():
    evaluator = Early()
    study = Study(problem(evaluator), Drafting, budget=12, seed=3)
    for progress in study.run():
        assert progress.evaluations <= 12
    assert study.status in (Status.COMPLETE, Status.EXHAUSTED)
    whole = {x for x, fidelity in evaluator.calls if fidelity == 1.0}
    early = {x for x, fidelity in evaluator.calls if fidelity == 0.25}
    # Each network is measured once per fidelity, whatever the accelerators.
    assert len(evaluator.calls) == len(whole) + len(early)
    assert all(x % 2 == 0 for x in early)
    assert study.history.evaluations == pytest.approx(len(whole) + 0.25 * len(early))
    front = study.front()
    assert all(d.genes["net.x"] in whole for d in front.designs)
    counted = evaluations_by_row(study.problem, study.history.rows)
    assert counted[-1] == study.history.evaluations
    replayed = History(study.problem)
    replayed.add(study.history.rows)
    assert replayed.evaluations == study.history.evaluations
    told = facts(study)
    outcome = {o.text: o.designs for o in told.outcomes}
    assert outcome["measured at a lower fidelity"] == study.history.rows.measurements.partial.sum()
    assert sum(outcome.values()) == len(study.history)
    assert told.infeasible == 0


def test_whole_numbers_of_evaluations_stay_whole_numbers():
    study = Study(problem(), Drafting, budget=Budget(12), seed=3)
    for _ in study.run():
        spent = study.history.evaluations
        assert isinstance(spent, int) == float(spent).is_integer()


def test_optuna_sees_early_measurements_as_pruned_trials(tmp_path):
    study = Study(problem(), Drafting, budget=6, seed=1, storage=tmp_path / "study.journal")
    for _ in study.run():
        pass
    partial = study.history.rows.measurements.partial
    trials = study.optuna.get_trials(deepcopy=False)
    states = [t.state for t in trials]
    assert [s == TrialState.PRUNED for s in states] == partial.tolist()
    assert {t.user_attrs.get("fidelity") for t in trials if t.state == TrialState.PRUNED} == {0.25}
    assert {t.number for t in study.optuna.best_trials} <= set(np.flatnonzero(~partial).tolist())


@pytest.mark.parametrize("cut", [1, 3, 7, 12])
def test_a_run_that_was_cut_off_goes_on_with_what_was_measured_early(tmp_path, cut):
    whole = Study(problem(), Drafting, budget=10, seed=5)
    for _ in whole.run():
        pass
    first = Study(problem(), Drafting, budget=10, seed=5, storage=tmp_path / "j")
    for _ in first.run():
        if len(first.history) >= cut:
            break
    evaluator = Early()
    again = Study(problem(evaluator), Drafting, budget=10, seed=5, storage=tmp_path / "j")
    known = {(g[0], f) for g, f in zip(
        again.history.rows.genomes, again.history.rows.measurements.fidelity, strict=True
    )}  # fmt: skip
    assert again.history.evaluations == first.history.evaluations
    for _ in again.run():
        pass
    assert not known & set(evaluator.calls)
    one, other = again.history.rows, whole.history.rows
    order = [np.lexsort((b.position, b.step)) for b in (one, other)]
    np.testing.assert_array_equal(one.genomes[order[0]], other.genomes[order[1]])
    for name in ("fidelity", "reason"):
        np.testing.assert_array_equal(
            getattr(one.measurements, name)[order[0]], getattr(other.measurements, name)[order[1]]
        )


def test_designs_that_free_metrics_rule_out_cost_nothing_at_any_fidelity():
    evaluator = Early()
    study = Study(problem(evaluator, ["cost <= 40"]), Drafting, budget=8, seed=2)
    for _ in study.run():
        pass
    assert all(x <= 40 for x, _ in evaluator.calls)
    ruled = study.history.rows.measurements.reason == Reason.RULED_OUT
    assert ruled.any()


def test_a_fidelity_that_nobody_offers_is_refused():
    class Odd(Drafting):
        level = 0.3

    study = Study(problem(), Odd, budget=10, seed=3)
    with pytest.raises(SearcherError, match="fidelity") as refused:
        for _ in study.run():
            pass
    assert "0.05, 0.25, 1.0" in refused.value.rule


def test_searchers_that_know_no_fidelities_pass_over_early_rows():
    p = problem()
    one, other = NSGA2(p, seed=0), NSGA2(p, seed=0)
    rows = one.ask(20)
    measured = p.evaluate(p.designs(rows))
    one.tell(rows, measured)
    early = next(m for _, m in p.stream(p.designs(rows), fidelity=0.05))
    other.tell(rows[: len(early)], early)
    assert len(other.told) == 0
    other.tell(rows, measured)
    np.testing.assert_array_equal(one.ask(20), other.ask(20))


def test_workers_measure_early_rows_alike():
    alone = Study(problem(), Drafting, budget=6, seed=4, batch=4)
    pool = Study(problem(), Drafting, budget=6, seed=4, batch=4, workers=2)
    for study in (alone, pool):
        for _ in study.run():
            pass
    assert alone.history.evaluations == pool.history.evaluations
    # Rows are numbered as they are finished, which may be in another order.
    one, other = (sorted(study.history.front_losses.tolist()) for study in (alone, pool))
    assert one == other
