"""Studies that live in memory: budgets, endings, failures, and that seeds rule everything."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

import hwnas
from hwnas import (
    Budget,
    Gene,
    Infeasible,
    Metric,
    PerDesign,
    Problem,
    Reason,
    Space,
    Study,
    measures,
)
from hwnas.api import search
from hwnas.errors import (
    NothingFeasibleError,
    PluginError,
    ProblemError,
    SearcherError,
    TooManyFailuresError,
)
from hwnas.evaluation import Noisy
from hwnas.progress import Status
from hwnas.searchers import Searcher
from hwnas.searchers.nsga2 import NSGA2
from hwnas.searchers.random import RandomSearch
from hwnas.testing import toys

SPACE = Space((Gene("net.x", tuple(range(100))), Gene("hw.y", (1, 2))))


class Counting(PerDesign):
    """Counts its calls, by network."""

    metrics = (Metric("error"),)
    reads = frozenset({"net"})

    def __init__(self):
        self.calls = []

    def measure(self, design, fidelity=1.0):
        self.calls.append(design["net.x"])
        return {"error": 1 / (1 + design["net.x"])}


@measures("cost", expense="free", batch=True)
def cost(designs):
    return 1.0 * designs["net.x"] * designs["hw.y"]


def counted(constraints=()):
    costly = Counting()
    return costly, Problem(SPACE, [costly, cost], ["error", "cost"], constraints)


def finish(study):
    for _ in study.run():
        pass
    return study


class TestBudget:
    @pytest.mark.parametrize("searcher", ["random", "nsga2", "exhaustive"])
    @pytest.mark.parametrize("budget", [1, 7, 30])
    def test_costly_evaluations_are_spent_exactly(self, searcher, budget):
        costly, problem = counted()
        study = finish(Study(problem, searcher, budget=budget))
        assert study.history.evaluations == budget
        assert len(costly.calls) == len(set(costly.calls)) == budget
        assert study.status is Status.COMPLETE

    def test_free_problems_count_designs(self):
        study = finish(Study(toys.zdt1(), "random", budget=77))
        assert study.history.evaluations == len(study.history) == 77

    def test_what_is_ruled_out_is_not_counted(self):
        costly, problem = counted(["cost <= 20"])
        study = finish(Study(problem, "random", budget=10))
        assert study.history.evaluations == len(costly.calls) == 10
        assert max(costly.calls) <= 20
        assert len(study.history) > 10

    @pytest.mark.parametrize("evaluations", [0, -1])
    def test_nothing_to_spend_is_refused(self, evaluations):
        with pytest.raises(ProblemError, match="leaves nothing to do") as caught:
            Study(toys.tiny(), budget=evaluations)
        assert caught.value.where == "budget"

    @pytest.mark.parametrize("seconds", [0, -1.0])
    def test_no_time_is_refused(self, seconds):
        with pytest.raises(ProblemError, match="without time"):
            Budget(10, seconds)

    def test_time_ends_a_study(self):
        class Slow(Counting):
            def measure(self, design, fidelity=1.0):
                time.sleep(0.02)
                return super().measure(design, fidelity)

        slow = Slow()
        problem = Problem(SPACE, [slow], ["error"])
        study = finish(Study(problem, "random", budget=Budget(100, seconds=0.1), batch=2))
        assert study.status is Status.OUT_OF_TIME
        assert 2 <= len(slow.calls) < 100

    def test_a_larger_budget_goes_on(self):
        costly, problem = counted()
        study = finish(Study(problem, "random", budget=5))
        study.extend(12)
        assert study.status is Status.READY
        assert len(finish(study).history) >= 12
        assert len(costly.calls) == 12


class TestEndings:
    def test_a_space_that_is_exhausted(self):
        study = finish(Study(toys.tiny(), "random", budget=1000))
        assert study.status is Status.EXHAUSTED
        assert len(study.history) == 9

    def test_a_searcher_that_proposes_nothing_worth_measuring(self):
        _, problem = counted(["cost >= 5000"])
        study = finish(Study(problem, "exhaustive", budget=10, batch=1))
        assert study.status is Status.IDLE
        assert study.history.evaluations == 0

    def test_nothing_feasible_names_the_constraint(self):
        _, problem = counted(["cost >= 5000", "error <= 1"])
        study = finish(Study(problem, "random", budget=10))
        with pytest.raises(NothingFeasibleError) as caught:
            study.front()
        assert "cost >= 5000 violated by" in caught.value.given

    def test_nothing_measured_yet(self):
        with pytest.raises(NothingFeasibleError, match="nothing was measured"):
            Study(toys.tiny(), budget=5).front()

    def test_a_finished_study_does_nothing_more(self):
        costly, problem = counted()
        study = finish(Study(problem, "random", budget=5))
        finish(study)
        assert len(costly.calls) == 5


class Failing(PerDesign):
    """Raises for the networks named."""

    metrics = (Metric("error", best=0.0, worst=1.0),)

    def __init__(self, fails):
        self.fails = fails

    def measure(self, design, fidelity=1.0):
        if self.fails(design["net.x"]):
            raise RuntimeError(f"no network {design['net.x'] // 1000}")
        return {"error": 0.5}


class TestFailures:
    def test_nothing_but_failures_end_a_study_at_once(self):
        study = Study(Problem(SPACE, [Failing(lambda x: True)], ["error"]), "random", budget=100)
        with pytest.raises(TooManyFailuresError, match="in a row failed") as caught:
            finish(study)
        assert "RuntimeError: no network 0" in caught.value.given
        assert "Failing" in caught.value.where
        assert caught.value.exit_code == 4
        assert 0 < len(study.history) <= 16

    def test_a_short_study_that_fails_everywhere_says_so_too(self):
        problem = Problem(SPACE, [Failing(lambda x: True)], ["error"])
        with pytest.raises(TooManyFailuresError):
            finish(Study(problem, "random", budget=3))

    def test_some_failures_are_rows_like_others(self):
        problem = Problem(SPACE, [Failing(lambda x: x % 3 == 0)], ["error"])
        study = finish(Study(problem, "random", budget=60))
        x = problem.designs(study.history.rows.genomes)["net.x"]
        assert study.history.failures == (x % 3 == 0).sum() > 0
        assert (study.history.rows.measurements.reason == Reason.RAISED).sum() == (x % 3 == 0).sum()

    def test_infeasible_designs_are_no_failures(self):
        class Picky(PerDesign):
            metrics = (Metric("error"),)

            def measure(self, design, fidelity=1.0):
                return Infeasible("no")

        study = finish(Study(Problem(SPACE, [Picky()], ["error"]), "random", budget=40))
        assert study.history.failures == 0
        assert study.history.evaluations == 40
        with pytest.raises(NothingFeasibleError, match="none of 40"):
            study.front()


def genomes_of(seed, searcher="nsga2", problem=None, **options):
    study = Study(problem or toys.joint(), searcher, budget=40, seed=seed, options=options)
    return finish(study).history.rows.genomes


class TestSeeds:
    @pytest.mark.parametrize("searcher", ["random", "nsga2"])
    def test_the_same_seed_gives_the_same_history(self, searcher):
        np.testing.assert_array_equal(genomes_of(3, searcher), genomes_of(3, searcher))
        one, other = genomes_of(3, searcher), genomes_of(4, searcher)
        assert one.shape != other.shape or (one != other).any()

    def test_stochastic_evaluators_draw_from_the_seed_of_the_study(self):
        def noisy(seed):
            costly, _ = counted()
            problem = Problem(SPACE, [Noisy(costly, 0.1)], ["error"])
            study = finish(Study(problem, "exhaustive", budget=20, seed=seed))
            return study.history.rows.measurements["error"]

        np.testing.assert_array_equal(noisy(1), noisy(1))
        assert (noisy(1) != noisy(2)).all()

    def test_the_size_of_steps_does_not_change_exhaustive_search(self):
        studies = [
            finish(Study(toys.tiny(), "exhaustive", budget=100, batch=batch)) for batch in (2, 5)
        ]
        one, other = (study.history.rows.genomes for study in studies)
        np.testing.assert_array_equal(one, other)


class TestProgress:
    def test_is_handed_out_while_it_runs(self):
        costly, problem = counted()
        study = Study(problem, "random", budget=20, batch=5)
        seen = []
        for progress in study.run():
            assert progress.evaluations == len(costly.calls)
            assert progress.designs == len(study.history)
            assert progress.budget.evaluations == 20
            seen.append(progress)
        assert [p.step for p in seen if p.step_complete] == sorted(
            {p.step for p in seen if p.step_complete}
        )
        assert [p.evaluations for p in seen] == sorted(p.evaluations for p in seen)
        assert seen[-1] == study.progress

    def test_leaving_the_loop_loses_nothing(self):
        costly, problem = counted()
        study = Study(problem, "random", budget=30, batch=10)
        for progress in study.run():
            if progress.step_complete:
                break
        done = len(costly.calls)
        finish(study)
        assert len(costly.calls) == 30 > done
        straight = finish(Study(counted()[1], "random", budget=30, batch=10))
        np.testing.assert_array_equal(study.history.rows.genomes, straight.history.rows.genomes)

    def test_leaving_the_loop_within_a_step_loses_nothing(self):
        costly, problem = counted()
        study = Study(problem, "random", budget=30, batch=10)
        for _ in itertools.islice(study.run(), 3):
            pass
        finish(study)
        assert len(costly.calls) == len(set(costly.calls)) == 30
        straight = finish(Study(counted()[1], "random", budget=30, batch=10))
        np.testing.assert_array_equal(study.history.rows.genomes, straight.history.rows.genomes)

    def test_the_hypervolume_grows(self):
        study = Study(toys.zdt1(), "nsga2", budget=200)
        volumes = [progress.hypervolume for progress in study.run()]
        assert (np.diff(volumes) >= 0).all()
        assert volumes[-1] > volumes[0]

    def test_the_yardstick_is_fixed_once(self):
        study = Study(toys.zdt1(), "nsga2", budget=100, reference={"f1": 2.0})
        before = study.yardstick
        finish(study)
        assert study.yardstick is before
        assert before.reference[0] == 2.0


class TestWithoutAStudy:
    @pytest.mark.parametrize("kind", [RandomSearch, NSGA2])
    def test_ask_and_tell(self, kind):
        problem = toys.zdt1()
        searcher = kind(problem, seed=2)
        for _ in range(4):
            genomes = searcher.ask(10)
            searcher.tell(genomes, problem.evaluate(problem.designs(genomes)))
        study = finish(Study(problem, kind, budget=40, seed=2, batch=10))
        if kind is RandomSearch:
            np.testing.assert_array_equal(study.history.rows.genomes, searcher.told.genomes)
        assert len(searcher.told) == 40


class TestSearchers:
    def test_by_name_with_options(self):
        study = Study(toys.tiny(), "nsga2", budget=5, options={"population": 6})
        assert isinstance(study.searcher, NSGA2)
        assert study.searcher.population == 6
        assert study.batch == 6

    def test_unknown_names(self):
        with pytest.raises(PluginError, match="no searcher named 'nsga9'") as caught:
            Study(toys.tiny(), "nsga9", budget=5)
        assert "nsga2" in caught.value.cure

    def test_one_that_refuses_the_problem(self):
        with pytest.raises(SearcherError, match="too many"):
            Study(toys.conditional(), "exhaustive", budget=5)

    def test_ones_own(self):
        class Downwards(Searcher):
            """From the last design to the first."""

            name = "downwards"
            batch = 3

            def options(self):
                return {}

            def ask(self, n):
                rows = self.problem.space.rows()[::-1]
                return rows[self.told.new(rows)][:n]

        study = finish(Study(toys.tiny(), Downwards, budget=100))
        expected = toys.tiny().space.rows()[::-1]
        np.testing.assert_array_equal(study.history.rows.genomes, expected)


class TestShortcut:
    def test_its_name_is_not_that_of_the_package_of_searchers(self):
        # This module imports hwnas.searchers.nsga2, which must not hide the function.
        assert hwnas.search is search

    def test_evaluators_are_objectives(self):
        study = search(SPACE, [Counting(), cost], budget=15, seed=1)
        assert [o.name for o in study.problem.objectives] == ["error", "cost"]
        assert study.history.evaluations == 15
        table = study.front().table()
        assert {"number", "error", "cost", "net.x", "hw.y"} <= set(table.columns)

    def test_texts_name_metrics_of_further_evaluators(self):
        study = search(
            SPACE,
            ["minimize: both = error * cost"],
            evaluators=[Counting(), cost],
            constraints=["cost <= 30"],
            budget=10,
            searcher="random",
        )
        assert all(d.metrics["cost"] <= 30 for d in study.front().designs)

    def test_what_is_no_objective_is_refused(self):
        with pytest.raises(ProblemError, match="is no objective") as caught:
            search(SPACE, [lambda design: 1], budget=5)
        assert "measures" in caught.value.cure

    def test_the_optuna_study_has_every_design(self):
        study = search(SPACE, [Counting(), cost], budget=12, seed=1)
        trials = study.optuna.trials
        assert len(trials) == len(study.history)
        found = sorted(tuple(t.values) for t in study.optuna.best_trials)
        table = study.front().table()
        assert found == sorted(zip(table["error"], table["cost"], strict=True))


def test_workers_and_a_timeout_give_the_same_history():
    plain = finish(Study(toys.joint(), "random", budget=6, seed=5, batch=6))
    side_by_side = finish(
        Study(toys.joint(), "random", budget=6, seed=5, batch=6, workers=2, timeout=60)
    )
    one, other = (
        np.sort(study.problem.losses(study.history.rows.measurements)[:, 0])
        for study in (plain, side_by_side)
    )
    np.testing.assert_array_equal(one, other)
