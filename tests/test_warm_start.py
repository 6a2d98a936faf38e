"""Studies that begin with rows measured before: nothing is paid, nothing is measured twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import (
    Expense,
    Gene,
    Infeasible,
    Metric,
    PerDesign,
    Problem,
    Reason,
    Space,
    Study,
    When,
    measures,
)
from hwnas.comparison.curves import evaluations_by_row
from hwnas.errors import MeasurementError, ProblemError, RunDirectoryError, SpaceError
from hwnas.metrics import Measurements
from hwnas.progress import Status
from hwnas.report.contents import record
from hwnas.report.trace import trace
from hwnas.storage import StudyStore
from hwnas.testing import toys

ERROR = Metric("error")
SPACE = Space(
    (
        Gene("net.x", tuple(range(12))),
        Gene("net.deep", (False, True), ordered=False),
        Gene("net.extra", (1, 2, 3), when=(When("net.deep", one_of=(True,)),)),
        Gene("hw.y", (1, 2, 3)),
    )
)


def true_error(x: int, deep: bool, extra: int) -> float:
    return 1 / (1 + x) + (0.3 - 0.05 * extra if deep else 0.1)


class Costly(PerDesign):
    """Cannot build x = 5; fails on shallow x = 7; notes its calls."""

    metrics = (ERROR,)
    reads = frozenset({"net"})
    fidelities = (0.25, 1.0)

    def __init__(self):
        self.calls = []

    def measure(self, design, fidelity=1.0):
        x, deep = design["net.x"], design["net.deep"]
        extra = design.config.get("net.extra", 0)
        self.calls.append((x, deep, extra, fidelity))
        if x == 5:
            return Infeasible("cannot be built")
        if x == 7 and not deep:
            raise RuntimeError("out of memory")
        return {"error": true_error(x, deep, extra) + (1 - fidelity)}


@measures("cost", expense="free", batch=True)
def cost(designs):
    return 1.0 * (1 + designs["net.x"]) * designs["hw.y"]


def counted(*constraints: str) -> tuple[Costly, Problem]:
    costly = Costly()
    return costly, Problem(SPACE, [costly, cost], ["error", "cost"], constraints)


def finish(study: Study) -> Study:
    for _ in study.run():
        pass
    return study


def rows_of(problem: Problem, seed: int, n: int):
    """Random rows with sleeping genes of any value, and what they measure."""
    rng = np.random.default_rng(seed)
    genomes = rng.integers(0, problem.space.cardinalities, size=(n, len(problem.space)))
    return genomes, problem.evaluate(problem.designs(genomes))


def known(genomes, errors, *, reason=None, fidelity=None, metrics=(ERROR,)) -> Measurements:
    """Rows as a person would bring them: the costly metric only."""
    values = np.asarray(errors, dtype=np.float64)
    codes = np.zeros(len(values), np.int64) if reason is None else np.asarray(reason)
    shares = np.ones(len(values)) if fidelity is None else np.asarray(fidelity, np.float64)
    return Measurements(metrics, {"error": values}, codes == 0, codes, (), shares)


def by_step(study: Study) -> list[tuple[int, ...]]:
    rows = study.history.rows
    order = np.lexsort((rows.position, rows.step))
    return [tuple(row) for row in rows.genomes[order].tolist()]


def brute_force(problem: Problem, genomes, measurements) -> list[tuple[float, ...]]:
    """The losses of the front by definition."""
    losses = problem.losses(measurements)[problem.satisfied(measurements)]
    better = [
        tuple(a)
        for a in losses
        if not any((b <= a).all() and (b < a).any() for b in losses)
    ]  # fmt: skip
    return sorted(set(better))


def front_of(study: Study) -> list[tuple[float, ...]]:
    return sorted({tuple(row) for row in study.history.front_losses})


class TestWhatIsKnown:
    @pytest.mark.parametrize("searcher", ["random", "nsga2", "greybox", "exhaustive"])
    def test_costs_nothing_and_is_not_measured_again(self, searcher):
        costly, problem = counted()
        genomes, measured = rows_of(problem, 0, 30)
        costly.calls.clear()
        study = Study(problem, searcher, budget=20, seed=1)
        new = study.learn(genomes, measured)
        assert costly.calls == []
        assert study.history.evaluations == 0
        assert study.history.learnt == new == len(study.history) > 0
        learnt = {
            (int(x), bool(deep), int(extra) if deep else 0, 1.0)
            for (x, deep, extra), failed in zip(
                zip(*(problem.designs(genomes)[n] for n in SPACE.names[:3]), strict=True),
                measured.failed,
                strict=True,
            )
            if not failed
        }
        finish(study)
        assert not learnt & set(costly.calls)
        # What fails is tried again with siblings, for which nothing is counted.
        worked = [call for call in costly.calls if call[:2] != (7, False)]
        assert len(worked) == len(set(worked))
        assert len(set(costly.calls)) == study.history.evaluations
        assert evaluations_by_row(problem, study.history.rows)[-1] == study.history.evaluations
        assert trace(study).evaluations[-1] == study.history.evaluations
        assert trace(study).evaluations[0] == 0

    def test_budgets_are_spent_in_full_beside_it(self):
        study = Study(toys.joint(), "random", budget=15, seed=1)
        study.learn(*rows_of(study.problem, 3, 25))
        assert finish(study).history.evaluations == 15
        assert study.status is Status.COMPLETE

    @pytest.mark.parametrize("name", toys.PROBLEMS)
    def test_the_front_is_that_of_all_rows(self, name):
        problem = toys.PROBLEMS[name]()
        genomes, measured = rows_of(problem, 2, 40)
        study = Study(problem, "random", budget=10, seed=3)
        study.learn(genomes, measured)
        assert front_of(study) == brute_force(problem, genomes, measured)
        rows = finish(study).history.rows
        together = Measurements.stack([measured, rows.measurements])
        both = np.concatenate([genomes, rows.genomes])
        assert front_of(study) == brute_force(problem, both, together)

    def test_is_told_to_the_searcher_with_what_is_free(self):
        _, problem = counted()
        study = Study(problem, "random", budget=5)
        genomes = SPACE.encode([{"net.x": 3, "net.deep": False, "hw.y": 2}])
        study.learn(genomes, known(genomes, [0.4]))
        np.testing.assert_array_equal(study.searcher.told.genomes, genomes)
        np.testing.assert_array_equal(study.searcher.told.losses, [[0.4, 8.0]])

    def test_foreign_values_count_as_they_are(self):
        """Also for designs that differ only in what the costly evaluator does not read."""
        costly, problem = counted()
        study = Study(problem, "exhaustive", budget=200)
        genomes = SPACE.encode([{"net.x": 3, "net.deep": False, "hw.y": 2}])
        study.learn(genomes, known(genomes, [0.4]))
        finish(study)
        rows = study.history.rows
        same = (rows.genomes[:, 0] == 3) & (rows.genomes[:, 1] == 0)
        assert same.sum() == 3
        assert rows.measurements["error"][same].tolist() == [0.4] * 3
        assert (3, False, 0, 1.0) not in costly.calls
        # The study checks now and then that equal settings measure alike; not against these.
        assert study.checks > 0

    def test_what_free_metrics_rule_out_here_is_known_for_its_siblings(self):
        costly, problem = counted("cost <= 12")
        genomes = SPACE.encode([{"net.x": 8, "net.deep": False, "hw.y": 3}])
        study = Study(problem, "exhaustive", budget=100)
        study.learn(genomes, known(genomes, [0.2]))
        assert not len(study.history.front)
        finish(study)
        rows = study.history.rows
        kept = (rows.genomes[:, 0] == 8) & (rows.genomes[:, 1] == 0) & (rows.genomes[:, 3] == 0)
        assert rows.measurements["error"][kept] == pytest.approx([0.2])
        assert (8, False, 0, 1.0) not in costly.calls

    def test_what_cannot_be_built_here_is_known_for_its_siblings(self, tmp_path):
        class Chips(PerDesign):
            metrics = (Metric("area"),)
            expense = Expense.FREE

            def measure(self, design, fidelity=1.0):
                return Infeasible("no room") if design["hw.y"] == 3 else {"area": 1.0}

        def made():
            costly = Costly()
            return costly, Problem(SPACE, [costly, Chips()], ["error", "area"])

        costly, problem = made()
        genomes = SPACE.encode([{"net.x": 8, "net.deep": False, "hw.y": 3}])
        study = Study(problem, "exhaustive", budget=100, storage=tmp_path / "j")
        study.learn(genomes, known(genomes, [0.2]))
        assert study.history.rows.measurements.reason.tolist() == [Reason.RULED_OUT]
        for _, _ in zip(range(5), study.run(), strict=False):
            pass
        again_costly, problem = made()
        again = finish(Study(problem, "exhaustive", budget=100, storage=tmp_path / "j"))
        assert (8, False, 0, 1.0) not in costly.calls + again_costly.calls
        assert again.history.evaluations == len({*costly.calls, *again_costly.calls})
        counts = evaluations_by_row(problem, again.history.rows)
        assert counts[-1] == again.history.evaluations

    def test_a_failure_says_nothing_about_its_siblings(self):
        costly, problem = counted()
        genomes = SPACE.encode([{"net.x": 2, "net.deep": False, "hw.y": 1}])
        study = Study(problem, "exhaustive", budget=200)
        failed = Measurements.nothing((ERROR,), 1, Reason.TIMED_OUT, "an hour")
        study.learn(genomes, failed)
        assert study.history.failures == 1
        finish(study)
        rows = study.history.rows
        assert (SPACE.canonical(rows.genomes) == genomes).all(axis=1).sum() == 1
        assert costly.calls.count((2, False, 0, 1.0)) == 1
        assert len({c[:3] for c in costly.calls}) == study.history.evaluations

    def test_infeasible_designs_are_known_with_their_siblings(self):
        costly, problem = counted()
        genomes = SPACE.encode([{"net.x": 2, "net.deep": False, "hw.y": 1}])
        study = Study(problem, "exhaustive", budget=200)
        study.learn(genomes, Measurements.nothing((ERROR,), 1, Reason.INFEASIBLE, "too wide"))
        finish(study)
        assert (2, False, 0, 1.0) not in costly.calls
        same = (study.history.rows.genomes[:, :2] == [2, 0]).all(axis=1)
        assert (study.history.rows.measurements.reason[same] == Reason.INFEASIBLE).all()
        assert same.sum() == 3

    def test_early_measurements_are_known_at_their_fidelity_only(self):
        costly, problem = counted()
        genomes = SPACE.encode([{"net.x": 2, "net.deep": False, "hw.y": 1}] * 2)
        study = Study(problem, "exhaustive", budget=200)
        assert study.learn(genomes, known(genomes, [0.3, 0.31], fidelity=[0.25, 0.25])) == 1
        assert study.history.rows.measurements.reason.tolist() == [Reason.LOW_FIDELITY]
        assert not len(study.history.front)
        assert study.history.row_of(genomes[:1], np.array([0.25])).tolist() == [0]
        assert study.history.row_of(genomes[:1]).tolist() == [-1]
        finish(study)
        assert (2, False, 0, 1.0) in costly.calls

    def test_the_first_of_each_design_stays_unless_it_failed(self):
        _, problem = counted()
        one, other = (SPACE.encode([{"net.x": x, "net.deep": False, "hw.y": 1}])[0] for x in (1, 2))
        asleep = np.add(one, [0, 0, 2, 0])
        genomes = np.stack([one, other, asleep, other])
        study = Study(problem, "random", budget=5)
        reason = [Reason.NONE, Reason.RAISED, Reason.NONE, Reason.NONE]
        assert study.learn(genomes, known(genomes, [0.6, np.nan, 0.9, 0.5], reason=reason)) == 2
        assert study.history.rows.measurements["error"].tolist() == [0.6, 0.5]

    def test_evaluators_that_never_answer_alike_measure_again_what_is_asked_again(self):
        @measures("error", deterministic=False, reads=("net",))
        def chance(design):
            return 1.0 + design["net.x"]

        problem = Problem(SPACE, [chance, cost], ["error", "cost"])
        genomes = SPACE.rows()[:20]
        study = Study(problem, "nsga2", budget=10)
        assert study.learn(genomes, known(genomes, np.ones(20))) == 20
        assert study.learn(genomes, known(genomes, np.ones(20))) == 0
        assert finish(study).history.evaluations == 10

    def test_free_problems_learn_designs(self):
        problem = toys.zdt1()
        genomes = problem.space.sample(30, np.random.default_rng(0))
        nothing = Measurements((), {}, np.ones(30, np.bool_), np.zeros(30, np.int64))
        study = Study(problem, "random", budget=10)
        new = study.learn(genomes, nothing)
        assert new == len(np.unique(genomes, axis=0))
        assert front_of(study) == brute_force(
            problem, genomes, problem.evaluate(problem.designs(genomes))
        )
        assert finish(study).history.evaluations == 10

    def test_reports_and_optuna_have_it(self):
        _, problem = counted()
        study = Study(problem, "random", budget=6, seed=2)
        study.learn(*rows_of(problem, 5, 20))
        finish(study)
        told = record(study)
        assert told.facts.evaluations == 6
        assert sum(o.designs for o in told.facts.outcomes) == len(study.history)
        assert len(study.optuna.trials) == len(study.history)


class TestMistakes:
    def test_genomes_of_another_space(self):
        study = Study(counted()[1], "random", budget=5)
        genomes = np.array([[0, 0, 0, 3]])
        with pytest.raises(SpaceError, match="no choice number 3"):
            study.learn(genomes, known(genomes, [0.1]))
        with pytest.raises(SpaceError, match="wrong shape"):
            study.learn(genomes[:, :2], known(genomes, [0.1]))
        assert not len(study.history)

    def test_costly_metrics_that_are_missing(self):
        study = Study(counted()[1], "random", budget=5)
        other = Measurements.of([Metric("cost")], {"cost": [1.0]})
        with pytest.raises(MeasurementError, match="'error' is missing") as caught:
            study.learn(SPACE.rows()[:1], other)
        assert caught.value.given == "cost"

    def test_another_unit(self):
        problem = Problem(SPACE, [measures("t", unit="s")(lambda d: 1.0)], ["t"])
        rows = Measurements.of([Metric("t", "ms")], {"t": [1.0]})
        with pytest.raises(MeasurementError, match="another unit"):
            Study(problem, "random", budget=5).learn(SPACE.rows()[:1], rows)
        same = Measurements.of([Metric("t", "s^1")], {"t": [1.0]})
        assert Study(problem, "random", budget=5).learn(SPACE.rows()[:1], same) == 1

    def test_another_number_of_rows(self):
        with pytest.raises(MeasurementError, match="differ in length"):
            Study(counted()[1], "random", budget=5).learn(SPACE.rows()[:2], known([0], [0.1]))

    def test_a_fidelity_that_nobody_has(self):
        rows = known([0], [0.1], fidelity=[0.5])
        with pytest.raises(MeasurementError, match="fidelity") as caught:
            Study(counted()[1], "random", budget=5).learn(SPACE.rows()[:1], rows)
        assert caught.value.given == "0.5"

    def test_what_says_nothing_is_left_out(self):
        study = Study(counted()[1], "random", budget=5)
        nothing = Measurements.nothing((ERROR,), 3, Reason.RULED_OUT)
        assert study.learn(SPACE.rows()[:3], nothing) == 0
        assert study.learn(SPACE.rows()[:0], nothing.take(slice(0, 0))) == 0
        assert not len(study.history)

    @pytest.mark.parametrize("stored", [False, True])
    def test_not_in_the_middle_of_a_step(self, tmp_path, stored):
        storage = tmp_path / "j" if stored else None
        _, problem = counted()
        study = Study(problem, "random", budget=20, batch=10, storage=storage)
        genomes, measured = rows_of(problem, 0, 5)
        study.learn(genomes, measured)
        next(iter(study.run()))
        if stored:
            study = Study(counted()[1], "random", budget=20, batch=10, storage=storage)
        before = len(study.history)
        assert study.learn(genomes, measured) == 0
        more = SPACE.rows()
        with pytest.raises(ProblemError, match="middle of a step"):
            study.learn(more, known(more, np.ones(len(more))))
        assert len(study.history) == before
        for progress in study.run():
            if progress.step_complete:
                break
        assert study.learn(more, known(more, np.ones(len(more)))) > 0


def warm(storage: Path | None, searcher: str = "nsga2", **options) -> Study:
    """A study that learns some rows of its own before it runs."""
    _, problem = counted()
    return Study(problem, searcher, budget=25, seed=5, storage=storage, **options)


LESSON = rows_of(counted()[1], 9, 14)


class TestGoingOn:
    @pytest.mark.parametrize(
        ("searcher", "stop"),
        [(name, stop) for name in ("nsga2", "random") for stop in (0, 1, 4, 9, 17)]
        + [("greybox", 0), ("greybox", 9)],
    )
    def test_a_study_that_was_left_ends_as_one_that_never_was(self, tmp_path, searcher, stop):
        whole = warm(None, searcher)
        whole.learn(*LESSON)
        finish(whole)
        study = warm(tmp_path / "j", searcher)
        study.learn(*LESSON)
        for i, _ in enumerate(study.run()):
            if i >= stop:
                break
        again = warm(tmp_path / "j", searcher)
        assert again.learn(*LESSON) == 0
        finish(again)
        assert by_step(again) == by_step(whole)
        assert again.history.evaluations == whole.history.evaluations
        assert again.progress.hypervolume == whole.progress.hypervolume

    @pytest.mark.parametrize(
        ("searcher", "stored"), [("nsga2", 0), ("nsga2", 1), ("nsga2", 8), ("greybox", 5)]
    )
    def test_storing_may_be_cut_off(self, tmp_path, monkeypatch, searcher, stored):
        whole = warm(None, searcher)
        whole.learn(*LESSON)
        finish(whole)
        self.cut_off(monkeypatch, warm(tmp_path / "j", searcher), stored)
        again = warm(tmp_path / "j", searcher)
        assert len(again.history) == stored
        assert not again.has_learnt
        assert again.learn(*LESSON) == whole.history.learnt - stored
        assert again.learn(*LESSON) == 0
        assert again.has_learnt
        finish(again)
        assert by_step(again) == by_step(whole)
        assert again.progress.hypervolume == whole.progress.hypervolume
        assert again.bounds == whole.bounds
        once_more = warm(tmp_path / "j", searcher)
        assert once_more.status is Status.COMPLETE
        assert once_more.learn(*LESSON) == 0

    @staticmethod
    def cut_off(monkeypatch, study: Study, stored: int, lesson=LESSON) -> None:
        append = StudyStore.append

        def dies(self, problem, block):
            append(self, problem, block.take(np.arange(stored)))
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(StudyStore, "append", dies)
            with pytest.raises(KeyboardInterrupt):
                study.learn(*lesson)

    def test_what_was_cut_off_need_not_be_learnt_again(self, tmp_path, monkeypatch):
        self.cut_off(monkeypatch, warm(tmp_path / "j"), 5)
        study = finish(warm(tmp_path / "j"))
        assert study.history.learnt == 5
        assert study.history.evaluations == 25
        again = warm(tmp_path / "j")
        assert again.status is Status.COMPLETE
        assert by_step(again) == by_step(study)

    def test_other_rows_may_be_learnt_where_it_was_cut_off(self, tmp_path, monkeypatch):
        self.cut_off(monkeypatch, warm(tmp_path / "j"), 5)
        study = warm(tmp_path / "j")
        other = rows_of(study.problem, 31, 20)
        new = study.learn(*other)
        assert study.history.learnt == 5 + new
        assert sorted(set(study.history.rows.step.tolist())) == [0, 1]
        finish(study)
        again = warm(tmp_path / "j")
        assert again.learn(*other) == 0
        assert by_step(again) == by_step(study)

    def test_between_runs(self, tmp_path):
        plain = finish(warm(None))
        study = finish(warm(tmp_path / "j"))
        assert by_step(study) == by_step(plain)
        more = SPACE.rows()[40:60]
        new = study.learn(more, known(more, np.full(20, 0.5)))
        assert 0 < new < 20
        assert study.history.evaluations == 25
        assert study.status is Status.COMPLETE
        study.extend(30)
        finish(study)
        again = warm(tmp_path / "j")
        again.extend(30)
        assert again.history.learnt == new
        assert again.history.evaluations == study.history.evaluations == 30
        assert again.status is Status.COMPLETE

    def test_an_exhausted_budget_stays_exhausted_after_a_lesson_was_cut_off(
        self, tmp_path, monkeypatch
    ):
        study = finish(warm(tmp_path / "j"))
        more = SPACE.rows()
        self.cut_off(monkeypatch, study, 3, (more, known(more, np.ones(len(more)))))
        again = finish(warm(tmp_path / "j"))
        assert again.history.evaluations == 25

    def test_in_memory_first_and_attached_later(self, tmp_path):
        def made() -> Study:
            study = warm(None)
            study.learn(LESSON[0][:6], LESSON[1].take(slice(0, 6)))
            study.learn(*LESSON)
            return study

        study = made()
        study.attach(tmp_path / "j")
        next(iter(study.run()))
        again = made()
        again.attach(tmp_path / "j")
        assert len(again.history) == len(study.history)
        whole = made()
        whole.attach(tmp_path / "k")
        assert by_step(finish(again)) == by_step(finish(whole))
        assert again.progress.hypervolume == whole.progress.hypervolume
        with pytest.raises(RunDirectoryError, match="cannot be moved"):
            whole.attach(tmp_path / "l")


class TestProfit:
    def test_greybox_proposes_from_its_model_at_once(self):
        problem = toys.joint()
        rows, _ = np.unique(
            problem.space.sample(300, np.random.default_rng(0))[:, :3], axis=0, return_index=True
        )
        outer = np.random.default_rng(1).permutation(rows)[:20]
        genomes = np.zeros((20, len(problem.space)), dtype=np.int64)
        genomes[:, :3] = outer
        measured = problem.evaluate(problem.designs(genomes))
        study, cold = (Study(problem, "greybox", budget=30, seed=0) for _ in range(2))
        study.learn(genomes, measured)
        asked = np.unique(study.searcher.ask(5)[:, :3], axis=0)
        known = (asked[:, None, :] == outer).all(axis=2).any(axis=1)
        # The fronts of what is known are free; what is new is not where a cold start looks.
        assert known.sum() > 10
        assert (~known).sum() == 5
        first = {tuple(row) for row in cold.searcher.ask(5)[:, :3].tolist()}
        assert {tuple(row) for row in asked[~known].tolist()} != first
        next(p for p in study.run() if p.step_complete)
        next(p for p in cold.run() if p.step_complete)
        assert study.history.evaluations == cold.history.evaluations == 5
        # It certifies what is left, for which it needs its model.
        assert len(study.bounds) == 1
        assert not cold.bounds
        finish(study)
        # Sixteen of the 36 settings were left.
        assert study.history.evaluations <= 16
        exact = {tuple(row) for row in toys.exact_front(problem).losses.round(12)}
        assert {tuple(row) for row in study.history.front_losses.round(12)} == exact

    def test_greybox_promises_nothing_before_it_has_measured_what_is_free(self):
        problem = toys.joint()
        every = np.unique(problem.space.rows()[:, :3], axis=0)
        genomes = np.zeros((len(every), len(problem.space)), dtype=np.int64)
        genomes[:, :3] = every
        study = Study(problem, "greybox", budget=30, seed=0)
        study.learn(genomes, problem.evaluate(problem.designs(genomes)))
        assert study.searcher.remaining() is None
        finish(study)
        assert study.status is Status.EXHAUSTED
        assert study.history.evaluations == 0
        assert study.bounds[-1].remaining == 0
        exact = {tuple(row) for row in toys.exact_front(problem).losses.round(12)}
        assert {tuple(row) for row in study.history.front_losses.round(12)} == exact

    @pytest.mark.parametrize("searcher", ["nsga2", "regularized_evolution", "local_search"])
    def test_evolution_goes_on_from_good_designs(self, searcher):
        problem = toys.zdt1()
        rows = problem.space.rows()
        losses = problem.losses(problem.evaluate(problem.designs(rows)))
        good = rows[np.argsort(losses.sum(axis=1))[:60]]
        good = np.random.default_rng(0).permutation(good)[:20]
        measured = problem.evaluate(problem.designs(good))
        gained = []
        for seed in range(4):
            cold = finish(Study(problem, searcher, budget=40, seed=seed))
            study = Study(problem, searcher, budget=40, seed=seed)
            study.learn(good, measured)
            start = study.progress.hypervolume
            finish(study)
            assert study.history.evaluations == 40
            assert study.progress.hypervolume > start
            gained.append(study.progress.hypervolume - cold.progress.hypervolume)
        assert np.mean(gained) > 0


@st.composite
def lessons(draw):
    """Any mixture of good, infeasible, failed, early, ruled out and repeated rows."""
    n = draw(st.integers(0, 25))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    genomes = rng.integers(0, SPACE.cardinalities, size=(n, len(SPACE)))
    genomes = genomes[rng.integers(0, max(1, draw(st.integers(1, 25))), n) % max(1, n)]
    codes = rng.choice(
        [Reason.NONE, Reason.NONE, Reason.INFEASIBLE, Reason.RAISED, Reason.RULED_OUT], n
    ).astype(np.int64)
    fidelity = rng.choice([0.25, 1.0, 1.0, 1.0], n)
    errors = np.where(codes == Reason.NONE, rng.random(n).round(2), np.nan)
    early = (fidelity < 1) & (codes == Reason.NONE)
    codes = np.where(early, int(Reason.LOW_FIDELITY), codes)
    return genomes, known(genomes, errors, reason=codes, fidelity=fidelity)


@given(parts=st.lists(lessons(), min_size=1, max_size=3), seed=st.integers(0, 100))
def test_any_mixture_of_rows_is_learnt_once_and_for_nothing(parts, seed):
    costly, problem = counted("cost <= 30")
    study = Study(problem, "random", budget=8, seed=seed)
    for genomes, measured in parts:
        study.learn(genomes, measured)
        before = len(study.history)
        assert study.learn(genomes, measured) == 0
        assert len(study.history) == before
    rows = study.history.rows
    said = np.concatenate([(m.reason != Reason.RULED_OUT) for _, m in parts])
    every = np.concatenate([SPACE.canonical(g) for g, _ in parts])
    shares = np.concatenate([m.fidelity for _, m in parts])
    names = {(*row, f) for row, f, s in zip(every.tolist(), shares, said, strict=True) if s}
    found = [
        (*row, f)
        for row, f in zip(SPACE.canonical(rows.genomes).tolist(), rows.measurements.fidelity,
                          strict=True)
    ]  # fmt: skip
    assert sorted(found) == sorted(names)
    assert costly.calls == []
    assert study.history.evaluations == 0
    assert front_of(study) == brute_force(problem, rows.genomes, rows.measurements)
    try:
        finish(study)
    finally:
        distinct = len(set(costly.calls))
    assert study.history.evaluations == distinct
    assert distinct <= 8
    whole = study.history.rows
    assert evaluations_by_row(problem, whole)[-1] == distinct
    assert front_of(study) == brute_force(problem, whole.genomes, whole.measurements)
