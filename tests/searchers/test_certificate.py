"""The bound of the grey-box search on what is left: its rule, and how often it is right."""

from __future__ import annotations

from itertools import islice

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwnas.problem import nondominated
from hwnas.searchers.greybox import GreyBox
from hwnas.searchers.greybox.certificate import (
    CREEP,
    OPTIMISM,
    TREND,
    Designs,
    begun,
    enough,
    remaining,
)
from hwnas.searchers.greybox.volume import Volume
from hwnas.testing.toys import exact_front, joint
from hwnas.yardstick import Yardstick

NOTHING = np.zeros((1, 0))
NONE = np.zeros(0)


def ahead(losses):
    """Designs without inner parts."""
    losses = np.array(losses, dtype=float)
    losses = losses[:, None] if losses.ndim == 1 else losses
    return Designs([NOTHING], np.zeros(len(losses), dtype=np.int64), losses)


def volume(free=0, uncertain=1, points=512):
    return Volume(free, uncertain, points=points, seed=0)


def test_with_one_objective_it_is_arithmetic():
    # Reached 0.5 of the box, 0.1 of it in the second half; a candidate may add 0.1.
    found = remaining(volume(), ahead([0.8, 0.6, 0.5, 0.7]), ahead([0.4, 0.45]), 0, 2, NONE, NONE)
    assert found == pytest.approx((0.1 + TREND * 0.1) / 0.5)


def test_a_search_that_stands_still_is_not_taken_for_one_that_is_done():
    """Nothing is to be had and nothing came late, but much came since the first evaluation."""
    losses = [0.75, 0.5, 0.6, 0.7]
    found = [
        remaining(volume(), ahead(losses), ahead([0.55]), early, 2, NONE, NONE)
        for early in (0, 1, 2)
    ]
    assert found == pytest.approx([CREEP, CREEP * 0.25 / 0.5, 0.0])


@pytest.mark.parametrize(("early", "half", "counts"), [(2, 4, "late"), (1, 9, "since")])
def test_it_is_the_gain_of_the_optimistic_front_and_what_was_gained_so_far(early, half, counts):
    """Against exact hypervolumes, with an inner front in one free objective."""
    rng = np.random.default_rng(4)
    fronts = [np.sort(rng.uniform(0.05, 0.9, 5))[:, None] for _ in range(7)]
    measured = Designs(fronts, rng.integers(0, 7, 12), rng.uniform(0.3, 0.8, (12, 1)))
    hoped = Designs(fronts, rng.integers(0, 7, 30), rng.uniform(0.2, 0.9, (30, 1)))

    def whole(designs, n):
        parts = [
            np.column_stack([fronts[label], np.full(5, loss[0])])
            for label, loss in zip(designs.labels[:n], designs.ahead[:n], strict=True)
        ]
        return np.concatenate(parts)

    front = whole(measured, 12)
    front = front[nondominated(front)]
    corner = front.max(axis=0) + 0.1 * (front.max(axis=0) - front.min(axis=0))

    def volume_of(losses):
        return moocore.hypervolume(losses[(losses < corner).all(axis=1)], ref=corner)

    reached = volume_of(front)
    hope = volume_of(np.concatenate([front, whole(hoped, 30)])) - reached
    since = reached - volume_of(whole(measured, early))
    late = reached - volume_of(whole(measured, half))
    assert hope > 0.05 * reached
    assert (TREND * late > CREEP * since) is (counts == "late")
    unseen = TREND * late if counts == "late" else CREEP * since
    assert unseen > 0.05 * reached
    box = np.zeros(1), np.ones(1)
    found = remaining(volume(1, 1, points=4096), measured, hoped, early, half, *box)
    assert found == pytest.approx((hope + unseen) / reached, rel=1e-2)


def test_decades_of_a_free_objective_are_seen_as_decades():
    """As by a study's yardstick: the same bound as for the logarithms."""
    rng = np.random.default_rng(6)
    fronts = [10.0 ** rng.uniform(-1 - i, -i, (5, 1)) for i in range(6)]
    logarithms = [np.log10(front) for front in fronts]
    labels, others = rng.permutation(np.repeat(np.arange(6), 2)), rng.integers(0, 6, 30)
    seen, hoped = 0.4 + 0.08 * labels[:, None], 0.36 + 0.08 * others[:, None]
    both = [
        remaining(volume(1), Designs(f, labels, seen), Designs(f, others, hoped), 1, 6, low, high)
        for f, low, high in (
            (fronts, np.array([1e-6]), np.ones(1)), (logarithms, np.array([-6.0]), np.zeros(1))
        )
    ]  # fmt: skip
    assert both[0] == pytest.approx(both[1])
    assert both[0] > 0


def test_nothing_is_left_where_nothing_can_be_added_and_nothing_was_of_late():
    measured = ahead([[0.2, 0.8], [0.5, 0.5], [0.8, 0.2], [0.9, 0.9]])
    assert remaining(volume(0, 2), measured, ahead([[0.6, 0.6]]), 3, 3, NONE, NONE) == 0.0
    assert remaining(volume(0, 2), measured, ahead(np.empty((0, 2))), 3, 3, NONE, NONE) == 0.0


losses = arrays(np.int64, (8, 2), elements=st.integers(10, 90)).map(lambda a: a / 100)


@settings(max_examples=50, deadline=None)
@given(losses, losses, st.integers(0, 7), st.floats(0, 0.3))
def test_it_grows_with_hope_and_with_what_came_late(measured, candidates, half, better):
    def bound(some, first):
        return remaining(volume(0, 2), ahead(measured), ahead(some), first // 2, first, NONE, NONE)

    found = bound(candidates, half)
    assert found is None or found >= 0
    if found is not None:
        assert bound(candidates - better, half) >= found - 1e-9
        assert bound(candidates[:4], half) <= found + 1e-9
        assert bound(candidates, half + 1) <= found + 1e-9


@settings(max_examples=50, deadline=None)
@given(losses, losses, st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_the_box_of_the_caller_does_not_count(measured, candidates, factor, shift):
    """Only the front's own extent does, where it has one."""
    front = measured[nondominated(measured)]
    if (np.ptp(front, axis=0) < 0.05).any():
        return
    plain = remaining(volume(0, 2), ahead(measured), ahead(candidates), 1, 4, NONE, NONE)
    moved = remaining(
        volume(0, 2),
        ahead(factor * measured + shift),
        ahead(factor * candidates + shift),
        1,
        4,
        NONE,
        NONE,
    )
    # Points on the edge of a step may fall to either side of it.
    assert moved == pytest.approx(plain, rel=0.05, abs=0.05)


def test_more_optimism_than_one_in_twenty():
    assert pytest.approx(1.645) == OPTIMISM


@pytest.mark.parametrize(
    ("count", "first", "genes", "there_is"),
    [
        (23, 12, 8, False),  # half of it was not chosen by a model
        (24, 12, 8, True),
        (53, 12, 108, False),  # more than two genes to an evaluation
        (54, 12, 108, True),
        (79, 12, 5_000, False),
        (80, 12, 5_000, True),
    ],
)
def test_there_is_no_bound_before_there_is_enough_to_go_by(count, first, genes, there_is):
    assert enough(count, first, genes) is there_is


@pytest.mark.parametrize(
    ("count", "genes", "first", "half"),
    [
        (200, 8, 25, 100),
        (500, 42, 11, 250),
        (5_000, 42, 11, 2_500),  # longer runs than the rule was chosen by
        (41, 42, 0, 20),
        (30, 1, 15, 15),  # never later than the half
    ],
)
def test_the_more_genes_the_longer_the_gain_that_counts(count, genes, first, half):
    assert begun(count, genes) == (first, half)


def steps(searcher, batch=3):
    problem = searcher.problem
    while len(rows := searcher.ask(batch)):
        searcher.tell(rows, problem.evaluate(problem.designs(rows)))
        yield searcher.remaining()


@pytest.mark.parametrize("seed", range(4))
def test_no_more_was_left_than_it_said(seed):
    problem = joint()
    front = exact_front(problem).losses
    box = Yardstick.spanning(front, {})
    searcher = GreyBox(problem, seed=seed, initial=4)
    bounds, left = [], []
    for bound in steps(searcher):
        bounds.append(bound)
        reached = searcher.told.losses[searcher.told.violation <= 0]
        left.append(box.hypervolume(front) / box.hypervolume(reached) - 1.0)
    assert bounds[0] is None
    said = [(b, rest) for b, rest in zip(bounds, left, strict=True) if b is not None]
    assert len(said) >= 5
    assert max(rest for _, rest in said) > 0
    # Shares of what is reached, up to rounding.
    assert np.mean([rest <= b + 1e-9 for b, rest in said]) >= 0.95
    assert said[-1] == (0.0, pytest.approx(0.0, abs=1e-9))


def test_it_follows_from_the_history_alone():
    problem = joint()
    live = GreyBox(problem, seed=2, initial=4)
    bound = list(islice(steps(live), 6))[-1]
    assert bound is not None
    assert bound > 0
    genomes = live.told.genomes
    for pieces in (1, 4):
        again = GreyBox(problem, seed=2, initial=4)
        for part in np.array_split(genomes, pieces):
            again.tell(part, problem.evaluate(problem.designs(part)))
        assert again.remaining() == bound
        assert again.remaining() == bound
