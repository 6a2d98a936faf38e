"""Counting evaluations and measuring curves, against the history and against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.comparison.curves import Trajectory, checkpoints, evaluations_by_row
from hwnas.evaluation import measures
from hwnas.history import Block, History
from hwnas.metrics import Reason
from hwnas.problem import Problem, nondominated
from hwnas.space import Gene, Space
from hwnas.testing import toys
from hwnas.yardstick import Yardstick


def chance() -> Problem:
    """A costly evaluator that gives another answer each time it is asked."""

    @measures("noise", reads=("net",), deterministic=False)
    def noise(design):
        return float(design["net.a"])

    @measures("cost", expense="free", batch=True, reads=("hw",))
    def cost(designs):
        return designs["hw.b"].astype(float)

    space = Space((Gene("net.a", (1, 2, 3)), Gene("hw.b", (1, 2, 3))))
    return Problem(space, [noise, cost], ["noise", "cost"], ["cost <= 2"])


PROBLEMS = {**toys.PROBLEMS, "chance": chance}


def measured(problem: Problem, n: int, seed: int, learnt: float = 0.0) -> Block:
    """Random rows, many of them equal, as a study would have kept them; a share was learnt."""
    rng = np.random.default_rng(seed)
    genomes = problem.space.sample(n, rng)
    genomes = genomes[rng.integers(0, max(1, n // 2), n)]
    found = problem.evaluate(problem.designs(genomes))
    steps = np.arange(n)
    asked = (rng.random(n) >= learnt).astype(np.int64)
    return Block(genomes, found, steps, np.zeros_like(steps), asked, steps, np.arange(n) * 1.0)


def counted_by_definition(problem: Problem, block: Block) -> list[int]:
    """What a budget has counted after each row: new costly settings, those learnt left out."""
    reads = [e.reads for e in problem.costly]
    repeatable = all(e.deterministic for e in problem.evaluators)
    names = problem.space.names
    canonical = problem.space.canonical(block.genomes)
    known: set[tuple[int, ...]] = set()
    spent, counts = 0, []
    for i, row in enumerate(canonical.tolist()):
        setting = tuple(
            value
            for name, value in zip(names, row, strict=True)
            if not reads or not all(reads) or any(name.partition(".")[0] in r for r in reads)
        )
        reason = Reason(int(block.measurements.reason[i]))
        if block.asked[i] and reason is not Reason.RULED_OUT:
            spent += setting not in known or not repeatable
            known.add(setting)
        elif not block.asked[i] and reason in (Reason.NONE, Reason.INFEASIBLE):
            known.add(setting)
        counts.append(spent)
    return counts


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("learnt", [0.0, 0.5, 1.0])
def test_evaluations_are_counted_as_the_history_counts_them(name, seed, learnt):
    problem = PROBLEMS[name]()
    block = measured(problem, 60, seed, learnt)
    counted = evaluations_by_row(problem, block)
    assert counted.tolist() == counted_by_definition(problem, block)
    history = History(problem)
    for row in range(len(block)):
        history.add(block.take(np.array([row])))
        assert counted[row] == history.evaluations


def test_rows_that_share_a_costly_measurement_are_one_evaluation():
    problem = toys.joint()
    genomes = np.tile(problem.space.sample(1, np.random.default_rng(0)), (4, 1))
    genomes[:, problem.space.names.index("hw.clock")] = [0, 1, 2, 2]
    genomes[:, problem.space.names.index("hw.units")] = 0
    found = problem.evaluate(problem.designs(genomes))
    steps = np.zeros(4, dtype=np.int64)
    block = Block(genomes, found, steps, steps, steps + 4, steps, np.zeros(4))
    assert evaluations_by_row(problem, block).tolist() == [1, 1, 1, 1]


def test_nothing_was_measured():
    problem = toys.tiny()
    empty = Trajectory.of(problem, Block.empty(problem))
    box = Yardstick((1.0, 1.0), (0.0, 0.0), (False, False))
    assert empty.spent == 0
    assert empty.volumes(box, np.array([1, 5])).tolist() == [0, 0]
    assert empty.reaches(box, 0.5) is None


@pytest.mark.parametrize("name", ["plain", "three objectives", "joint", "constrained"])
def test_volumes_and_their_reaching_are_those_of_every_prefix(name):
    problem = PROBLEMS[name]()
    block = measured(problem, 120, 1)
    trajectory = Trajectory.of(problem, block)
    kept = problem.satisfied(block.measurements)
    losses = problem.losses(block.measurements)
    box = Yardstick.spanning(losses[kept], {})
    at = np.arange(1, trajectory.spent + 3)
    expected = np.array([box.hypervolume(losses[kept & (trajectory.evaluations <= e)]) for e in at])
    assert trajectory.volumes(box, at) == pytest.approx(expected, abs=1e-12)
    for fraction in (0.3, 0.9, 1.0):
        goal = fraction * expected[-1]
        first = int(at[np.argmax(expected >= goal * (1 - 1e-9))])
        assert trajectory.reaches(box, goal) == first
    assert trajectory.reaches(box, expected[-1] * 1.01) is None


def test_a_run_that_ended_keeps_what_it_had_and_counts_only_what_was_paid_for():
    losses = np.array([[0.5, 0.5], [0.2, 0.8], [0.1, 0.1]])
    trajectory = Trajectory(np.array([1, 2, 3]), losses, np.array([False, True, True]))
    box = Yardstick((1.0, 1.0), (0.0, 0.0), (False, False))
    assert trajectory.volumes(box, np.array([3, 100])) == pytest.approx([0.81, 0.81])
    cut = trajectory.within(2)
    assert cut.spent == 2
    assert cut.failed.sum() == 1
    assert cut.volumes(box, np.array([3])) == pytest.approx([0.25 + 0.2 * 0.3])
    assert cut.front().tolist() == losses[nondominated(losses[:2])].tolist()


@pytest.mark.parametrize(
    ("budget", "marks"),
    [(1, (1,)), (10, (10,)), (35, (18, 35)), (200, (12, 25, 50, 100, 200)), (4, (4,))],
)
def test_usual_checkpoints_halve_the_budget(budget, marks):
    assert checkpoints(budget) == marks
