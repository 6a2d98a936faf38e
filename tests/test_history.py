"""The history: the front against brute force, and what a budget counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Front, Infeasible, Metric, PerDesign, Problem, Reason
from hwnas.errors import NothingFeasibleError
from hwnas.history import Block, History
from hwnas.metrics import Measurements
from hwnas.testing import toys


def block(problem, rows, step=0, at=0.0, measured=None):
    """Rows as a study finishes them."""
    genomes = np.asarray(rows, dtype=np.int64).reshape(-1, len(problem.space))
    n = len(genomes)
    whole = measured or problem.evaluate(problem.designs(genomes))
    place = np.arange(n)
    return Block(
        genomes, whole, np.full(n, step), place, np.full(n, n), np.full(n, n), np.full(n, at)
    )


def brute_force(problem, genomes):
    """Rows of the front by definition: the first row of each design, feasible, not dominated."""
    measured = problem.evaluate(problem.designs(genomes))
    losses = problem.losses(measured)
    good = problem.satisfied(measured)
    canonical = [tuple(row) for row in problem.space.canonical(genomes).tolist()]
    rows = [i for i in range(len(genomes)) if good[i] and canonical.index(canonical[i]) == i]
    return [
        j
        for j in rows
        if not any((losses[i] <= losses[j]).all() and (losses[i] < losses[j]).any() for i in rows)
    ]


@pytest.mark.parametrize("name", ["constrained", "tiny", "three objectives", "maximised"])
@given(data=st.data())
def test_the_front_is_that_of_brute_force_after_every_block(name, data):
    problem = toys.PROBLEMS[name]()
    history = History(problem)
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    genomes = np.empty((0, len(problem.space)), dtype=np.int64)
    counts = []
    for step, n in enumerate(data.draw(st.lists(st.integers(0, 12), max_size=5))):
        raw = rng.integers(0, problem.space.cardinalities, size=(n, len(problem.space)))
        history.add(block(problem, raw, step))
        genomes = np.concatenate([genomes, raw])
        counts.append(len(genomes))
        expected = brute_force(problem, genomes)
        assert history.front.tolist() == expected
        np.testing.assert_array_equal(
            history.front_losses,
            problem.losses(problem.evaluate(problem.designs(genomes)))[expected],
        )
    assert len(history) == len(genomes)
    fronts = history.front_after(np.array(counts, dtype=np.int64))
    for count, front in zip(counts, fronts, strict=True):
        losses = problem.losses(problem.evaluate(problem.designs(genomes[:count])))
        expected = losses[brute_force(problem, genomes[:count])]
        np.testing.assert_array_equal(np.unique(front, axis=0), np.unique(expected, axis=0))


def test_all_designs_give_the_exact_front():
    problem = toys.constrained()
    history = History(problem)
    rows = np.random.default_rng(0).permutation(problem.space.rows())
    for part in np.array_split(rows, 7):
        history.add(block(problem, part))
    exact = toys.exact_front(problem)
    order = np.lexsort(exact.genomes.T)
    found = history.rows.genomes[history.front]
    np.testing.assert_array_equal(found[np.lexsort(found.T)], exact.genomes[order])


class TestBudget:
    def test_counts_projections_onto_what_costly_evaluators_read(self):
        problem = toys.joint()
        history = History(problem)
        space = problem.space
        config = {
            "net.depth": 1, "net.width": 4, "quant.bits": 2, "hw.units": 4, "hw.dataflow": "ws",
            "hw.clock": 1e8,
        }  # fmt: skip
        variants = [
            {}, {"hw.units": 8}, {"hw.clock": 4e8}, {"quant.bits": 4}, {"net.depth": 2}, {},
        ]  # fmt: skip
        rows = space.encode([{**config, **change} for change in variants])
        history.add(block(problem, rows[:2]))
        assert history.evaluations == 1
        history.add(block(problem, rows))
        assert history.evaluations == 3
        assert len(history) == 8

    def test_does_not_count_what_free_constraints_rule_out(self):
        problem = toys.joint()
        history = History(problem)
        rows = problem.space.rows()
        history.add(block(problem, rows))
        affordable = problem.designs(rows)["hw.units"] <= 16
        assert affordable.mean() == 0.75
        assert history.evaluations == 4 * 3 * 3

    def test_counts_different_designs_where_nothing_is_costly(self):
        problem = toys.tiny()
        history = History(problem)
        history.add(block(problem, [[0, 0], [0, 3], [1, 1], [1, 1], [2, 0]]))
        assert history.evaluations == 3

    def test_counts_every_time_where_answers_vary(self):
        class Rolling(PerDesign):
            metrics = (Metric("luck"),)
            deterministic = False

            def measure(self, design, fidelity=1.0):
                return {"luck": 1.0}

        problem = Problem(toys.tiny().space, [Rolling()], ["luck"])
        history = History(problem)
        history.add(block(problem, [[1, 1], [1, 1], [2, 0]]))
        assert history.evaluations == 3


def test_rows_are_found_by_their_design():
    problem = toys.tiny()
    history = History(problem)
    history.add(block(problem, [[1, 1], [0, 2]], at=2.5))
    history.add(block(problem, [[2, 0], [1, 1]], at=1.0))
    assert history.row_of(np.array([[1, 1], [0, 0], [2, 0], [2, 3]])).tolist() == [0, 1, 2, -1]
    assert history.seconds == 2.5


def test_failures_are_counted():
    problem = toys.tiny()
    metrics = tuple(problem.metrics.values())
    history = History(problem)
    bad = Measurements.nothing(metrics, 2, Reason.CRASHED)
    history.add(block(problem, [[0, 0], [1, 0]], measured=bad))
    history.add(
        block(problem, [[2, 0]], measured=Measurements.nothing(metrics, 1, Reason.INFEASIBLE))
    )
    assert history.failures == 2
    assert history.front.tolist() == []


def test_an_empty_history():
    history = History(toys.tiny())
    history.add(Block.empty(history.problem))
    assert (len(history), history.evaluations, history.front.tolist()) == (0, 0, [])
    assert history.rows.genomes.shape == (0, 2)
    with pytest.raises(NothingFeasibleError, match="nothing was measured yet"):
        Front.of(history)


def test_blocks_select_and_stack():
    problem = toys.tiny()
    first, second = block(problem, [[0, 0], [1, 0]], 0), block(problem, [[2, 3]], 1)
    whole = Block.stack([first, second])
    assert len(whole) == 3
    assert whole.step.tolist() == [0, 0, 1]
    taken = whole.take(np.array([2, 0]))
    assert taken.genomes.tolist() == [[2, 3], [0, 0]]
    assert taken.measurements["error"].tolist() == [1.4, 1.0]
    assert taken.size.tolist() == [1, 2]


class TestFront:
    def test_is_sorted_by_its_first_objective_and_carries_values(self):
        problem = toys.joint()
        history = History(problem)
        history.add(block(problem, problem.space.rows()[::5]))
        front = Front.of(history)
        errors = [design.objectives["error"] for design in front.designs]
        assert errors == sorted(errors)
        assert {d.number for d in front.designs} == set(history.front.tolist())
        one = front.designs[0]
        assert one.objectives["edp"] == pytest.approx(
            one.metrics["energy"] * one.metrics["latency"]
        )
        assert one.genes == problem.designs(history.rows.genomes)[one.number].config

    def test_as_a_table(self):
        problem = toys.tiny()
        history = History(problem)
        history.add(block(problem, problem.space.rows()))
        table = Front.of(history).table()
        assert list(table.columns)[:3] == ["number", "error", "gain"]
        assert len(table) == len(history.front)
        records = Front.of(history).to_json()
        assert [record["number"] for record in records] == table["number"].tolist()

    def test_values_of_maximised_goals_have_their_own_sign(self):
        problem = toys.maximised()
        history = History(problem)
        history.add(block(problem, problem.space.rows()))
        assert all(d.objectives["left"] >= 0 for d in Front.of(history).designs)

    def test_nothing_feasible_names_the_constraint_that_kills_most(self):
        problem = toys.infeasible()
        history = History(problem)
        history.add(block(problem, problem.space.rows()))
        with pytest.raises(NothingFeasibleError, match="none of 256 designs") as caught:
            Front.of(history)
        assert "speed >= 1 GHz violated by 256" in caught.value.given
        assert "not enough memory" in caught.value.given
        assert caught.value.exit_code == 5

    def test_nothing_feasible_counts_free_constraints_and_failures(self):
        class Fails(PerDesign):
            metrics = (Metric("error"),)

            def measure(self, design, fidelity=1.0):
                return Infeasible("cannot be trained", Reason.DIVERGED)

        joint = toys.joint()
        problem = Problem(joint.space, [Fails(), toys.joint_area], ["error"], ["area <= 0.1 mm2"])
        history = History(problem)
        history.add(block(problem, problem.space.rows()))
        with pytest.raises(NothingFeasibleError) as caught:
            Front.of(history)
        half = problem.space.size() // 2
        assert f"area <= 0.1 mm2 violated by {half}" in caught.value.given
        assert f"diverged: {half} (cannot be trained)" in caught.value.given
