"""Successive halving: how many of a rung are promoted, which, and what a rung of noise does."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from hwnas import Gene, Metric, PerDesign, Problem, Space, Study, measures
from hwnas.errors import SearcherError
from hwnas.evaluation import Infeasible
from hwnas.searchers.mo_asha import MOASHA, epsilon_net, ordered
from hwnas.testing.fidelities import measured_at
from hwnas.testing.searchers import search
from hwnas.testing.toys import PROBLEMS

SPACE = Space((Gene("net.x", tuple(range(81))), Gene("net.z", tuple(range(5)))))
LEVELS = (1 / 27, 1 / 9, 1 / 3, 1.0)


class Known(PerDesign):
    """An error that grows with x; every rung ranks alike."""

    metrics = (Metric("error", worst=200.0, best=0.0),)
    fidelities = LEVELS

    def measure(self, design, fidelity=1.0):
        return {"error": design["net.x"] + (1 - fidelity)}


class Picky(Known):
    """Designs with an odd x are infeasible."""

    def measure(self, design, fidelity=1.0):
        odd = design["net.x"] % 2
        return Infeasible("odd") if odd else super().measure(design, fidelity)


@measures("cost", expense="free", batch=True)
def cost(designs):
    return 1.0 * (100 - designs["net.x"]) + 10.0 * designs["net.z"]


def one(evaluator=None):
    return Problem(SPACE, [evaluator or Known()], ["error"])


def halving(problem, **options):
    """A searcher without controls, so that what it is told is all that it knows."""
    return MOASHA(problem, **{"control": 0, **options})


def rows_of(xs, z=0):
    return np.array([(x, z) for x in xs], dtype=np.int64)


def tell(searcher, rows, share):
    fidelity = np.full(len(rows), share)
    searcher.tell(rows, measured_at(searcher.problem, rows, fidelity))


def promoted(searcher, share, n=60):
    """The x of the designs that are promoted to a share, in the order in which they are asked."""
    rows = searcher.ask(n)
    return rows[searcher.fidelity_of(rows) == share, 0].tolist()


def test_of_each_rung_one_of_eta_is_promoted_and_it_is_the_best():
    searcher = halving(one(), eta=3)
    tell(searcher, rows_of(np.random.default_rng(0).permutation(81)), LEVELS[0])
    for k, share in enumerate(LEVELS[1:], 1):
        best = promoted(searcher, share)
        assert best == list(range(81 // 3**k))
        tell(searcher, rows_of(best), share)
    assert all(not promoted(searcher, share) for share in LEVELS[1:])


@pytest.mark.parametrize(
    ("eta", "told", "expected"), [(2, 9, 4), (4, 9, 2), (2.5, 9, 3), (9, 8, 0)]
)
def test_eta_says_how_many(eta, told, expected):
    searcher = halving(one(), eta=eta)
    tell(searcher, rows_of(range(told)), LEVELS[0])
    assert promoted(searcher, LEVELS[1]) == list(range(expected))


def test_promotions_come_first_from_the_upper_rungs():
    searcher = halving(one(), eta=3)
    tell(searcher, rows_of(range(27)), LEVELS[0])
    tell(searcher, rows_of(range(6)), LEVELS[1])
    rows = searcher.ask(7)
    assert rows[:, 0].tolist()[:5] == [0, 1, 6, 7, 8]
    assert (
        searcher.fidelity_of(rows).tolist() == [LEVELS[2]] * 2 + [LEVELS[1]] * 3 + [LEVELS[0]] * 2
    )


def test_infeasible_designs_are_not_promoted_and_do_not_count():
    searcher = halving(one(Picky()), eta=3)
    tell(searcher, rows_of(range(36)), LEVELS[0])
    assert promoted(searcher, LEVELS[1]) == [0, 2, 4, 6, 8, 10]


def test_designs_that_violate_a_constraint_come_last():
    searcher = halving(Problem(SPACE, [Known(), cost], ["error"], ["cost <= 70"]), eta=3)
    tell(searcher, rows_of([*range(27, 45)]), LEVELS[0])
    # From x = 30 on the constraint is met: these designs first, in the order of their errors.
    assert promoted(searcher, LEVELS[1]) == [30, 31, 32, 33, 34]
    strict = halving(Problem(SPACE, [Known()], ["error"], ["error <= 10"]), eta=3)
    tell(strict, rows_of([30, 20, 25, 12, 40, 35]), LEVELS[0])
    assert promoted(strict, LEVELS[1]) == [12, 20]


def test_the_first_front_is_promoted_and_what_does_not_fit_covers_it():
    searcher = halving(Problem(SPACE, [Known(), cost], ["error", "cost"]), eta=3)
    # Larger z is dearer and no better: with z = 0 all are on the front, whatever their x.
    front, rest = rows_of(range(0, 50, 10)), rows_of(range(0, 50, 5), z=1)
    tell(searcher, np.concatenate([rest, front]), LEVELS[0])
    rows = searcher.ask(100)
    up = rows[searcher.fidelity_of(rows) == LEVELS[1]]
    np.testing.assert_array_equal(up[np.argsort(up[:, 0])], front)
    more = rows_of(range(0, 50, 1))
    wide = halving(Problem(SPACE, [Known(), cost], ["error", "cost"]), eta=10)
    tell(wide, more, LEVELS[0])
    # The first five of a straight front: an end, the other, the middle, the quarters.
    chosen = promoted(wide, LEVELS[1])
    assert chosen[:3] in ([0, 49, 24], [0, 49, 25])
    assert sorted(chosen[3:]) in ([12, 36], [12, 37])


def test_an_epsilon_net_is_farthest_first_whatever_the_scales():
    rng = np.random.default_rng(3)
    x = np.sort(rng.random(40))
    losses = np.stack([np.exp(9 * x), -1e-6 * x], axis=1)
    order = epsilon_net(losses, 40)
    assert sorted(order.tolist()) == list(range(40))
    places = np.arange(40.0)
    for k in range(1, 20):
        gaps = np.abs(places[:, None] - places[order[:k]][None]).min(axis=1)
        assert gaps[order[k]] == gaps.max()
    np.testing.assert_array_equal(epsilon_net(losses, 7), order[:7])


@pytest.mark.parametrize("spread", ["epsilon_net", "crowding"])
def test_whatever_covers_a_front_better_fronts_come_first(spread):
    rng = np.random.default_rng(5)
    losses, violation = rng.integers(0, 12, size=(60, 2)).astype(float), np.zeros(60)
    losses[::7] = np.inf
    violation[1::7] = rng.random(len(violation[1::7])) + 1
    order = ordered(losses, violation, spread, 100)
    assert np.isfinite(losses[order]).all()
    assert len(order) == np.isfinite(losses).all(axis=1).sum()

    good = [i for i in order if violation[i] == 0]
    ranks, left, rank = {}, set(good), 0
    while left:
        front = {
            i
            for i in left
            if not any(
                (losses[j] <= losses[i]).all() and (losses[j] < losses[i]).any() for j in left
            )
        }
        ranks |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    assert [ranks[i] for i in good] == sorted(ranks.values())
    assert [*order[: len(good)]] == good
    assert (np.diff(violation[order[len(good) :]]) >= 0).all()
    assert ordered(losses, violation, spread, 9).tolist()[:1] == order.tolist()[:1]


def test_a_study_costs_what_successive_halving_costs():
    study = Study(Problem(SPACE, [Known(), cost], ["error", "cost"]), "mo_asha", budget=20, seed=0)
    assert study.searcher.control == 0  # a tenth would be too few to judge a rung by
    for _ in study.run():
        pass
    counts = Counter(study.history.rows.measurements.fidelity.tolist())
    for low, high in pairwise(LEVELS):
        # A ranking that changes promotes a few more than one of three, as in the paper.
        assert counts[low] / 3 - 8 <= counts[high] < counts[low]
    assert study.history.evaluations == pytest.approx(
        sum(f * n for f, n in counts.items()), abs=1e-5
    )


def test_a_rung_that_does_not_rank_is_climbed_past():
    class Broken(Known):
        """The second rung ranks upside down."""

        def measure(self, design, fidelity=1.0):
            x = design["net.x"]
            return {"error": 100.0 - x if fidelity == LEVELS[1] else 1.0 * x}

    searcher = halving(one(Broken()), eta=3)
    tell(searcher, rows_of(range(27)), LEVELS[0])
    tell(searcher, rows_of(range(8)), LEVELS[1])
    tell(searcher, rows_of(range(7)), 1.0)
    assert promoted(searcher, LEVELS[2])
    tell(searcher, rows_of([7]), 1.0)
    # Now it is known: what is best on the first rung goes straight to the third.
    assert not promoted(searcher, LEVELS[1])
    assert promoted(searcher, LEVELS[2]) == [8]


def test_with_no_lower_fidelity_it_is_a_plain_search():
    problem = PROBLEMS["plain"]()
    searcher = halving(problem, budget=200)
    history = search(searcher, steps=10)
    assert all((searcher.fidelity_of(rows) == 1).all() for rows, _ in history)
    assert len(searcher.told) == 80


def test_when_the_space_runs_out_all_are_measured_whole_at_last():
    space = Space((Gene("net.x", tuple(range(6))), Gene("net.z", (0, 1))))
    problem = Problem(space, [Known()], ["error"])
    study = Study(problem, "mo_asha", budget=1000, seed=0, options={"control": 0})
    for _ in study.run():
        pass
    shares = study.history.rows.measurements.fidelity
    assert [int((shares == share).sum()) for share in LEVELS] == [12] * 4


def test_controls_are_measured_whole_first_and_then_on_every_rung():
    problem = Problem(SPACE, [Known(), cost], ["error", "cost"])
    searcher = MOASHA(problem, budget=90, batch=6)
    assert searcher.control == 9
    assert MOASHA(problem, budget=79).control == 0
    assert MOASHA(problem, budget=5000).control == 12
    met = {share: [] for share in LEVELS}
    for _ in range(8):
        rows = searcher.ask(6)
        fidelity = searcher.fidelity_of(rows)
        for row, share in zip(rows.tolist(), fidelity, strict=True):
            met[share].append(row)
        searcher.tell(rows, measured_at(problem, rows, fidelity))
    controls = met[1.0][:9]
    for share in LEVELS:
        assert met[share][:9] == controls
    # Only then halving begins.
    assert len(met[LEVELS[0]]) > 9
    standing = searcher._agreement.standing(LEVELS[0])
    assert standing.blind
    assert standing.agreements[0].pairs >= 9


def test_known_designs_are_controls():
    searcher = MOASHA(one(), control=8)
    tell(searcher, rows_of(range(0, 80, 2)), 1.0)
    rows = searcher.ask(100)
    fidelity = searcher.fidelity_of(rows)
    assert rows[:8, 0].tolist() == list(range(0, 16, 2))
    assert (fidelity == LEVELS[0]).all()


@pytest.mark.parametrize("cut", [5, 40])
def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_been(tmp_path, cut):
    problem = Problem(SPACE, [Known(), cost], ["error", "cost"])
    whole = Study(problem, "mo_asha", budget=8, seed=3)
    for _ in whole.run():
        pass
    first = Study(problem, "mo_asha", budget=8, seed=3, storage=tmp_path / "j")
    for _ in first.run():
        if len(first.history) >= cut:
            break
    again = Study(problem, "mo_asha", budget=8, seed=3, storage=tmp_path / "j")
    for _ in again.run():
        pass
    one_, other = again.history.rows, whole.history.rows
    order = [np.lexsort((b.position, b.step)) for b in (one_, other)]
    np.testing.assert_array_equal(one_.genomes[order[0]], other.genomes[order[1]])
    np.testing.assert_array_equal(
        one_.measurements.fidelity[order[0]], other.measurements.fidelity[order[1]]
    )


@pytest.mark.parametrize(
    "options",
    [{"eta": 1}, {"eta": float("inf")}, {"eta": float("nan")}, {"batch": 0}, {"control": -1},
     {"population": 1}, {"crossover": 2.0}, {"new": "evolve"}, {"spread": "net"}],
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    with pytest.raises(SearcherError):
        MOASHA(one(), **options)
