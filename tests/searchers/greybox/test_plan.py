"""Batches that are chosen with bounds against those that are chosen without; fronts that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.prediction.gaussian import Posterior
from hwnas.searchers.greybox.belief import Forecast, _Scale
from hwnas.searchers.greybox.ledger import Growing, Ledger
from hwnas.searchers.greybox.plan import Candidates, Choice, Frame
from hwnas.searchers.greybox.step import covered
from hwnas.searchers.greybox.volume import Volume

FEW = settings(max_examples=15, deadline=None)
PLAIN = _Scale(0.0, 1.0, np.inf, None)


def believed(rng, p, uncertain, limits):
    """Candidates of random features, and a volume that they may add to."""
    k, n = 3, 8
    seen = []
    for _ in range(uncertain + limits):
        thetas = (np.append(np.full(k + 1, s), np.log(1e-3)) for s in (0.0, 0.7))
        X, y = rng.random((n, k)), rng.normal(size=n)
        seen.append([Posterior(theta, X, y) for theta in thetas])
    volume = Volume(1, uncertain, points=64, seed=0)
    X = rng.random((p, k))
    t = len(seen)
    # As with a lower fidelity: a shift and a variance of their own for each candidate.
    shift, extra = rng.normal(0, 0.3, (t, p)), rng.uniform(0, 0.2, (t, p))
    at = [[one.at(X) for one in both] for both in seen]
    forecast = Forecast(at, [PLAIN] * t, [0.8] * t, shift, extra)
    frame = Frame(np.full(uncertain, -2.0), np.full(uncertain, 2.0), np.zeros(uncertain, bool))
    masks = volume.masks([rng.random((2, 1)) for _ in range(p)])
    edge = np.full((p, uncertain), np.inf)
    rows = np.arange(p)[:, None]
    return volume, Candidates(rows, masks, forecast, -edge, edge, frame)


@FEW
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 1))
def test_a_batch_is_what_looking_at_every_candidate_each_time_chooses(seed, uncertain, limits):
    volume, some = believed(np.random.default_rng(seed), 40, uncertain, limits)
    chosen = Choice(volume.copy(), some).best(5)[:, 0].tolist()
    expected: list[int] = []
    for _ in range(5):
        value = volume.expected(some.masks, some.mean, some.deviation) * some.chance
        value[expected] = -np.inf
        expected.append(int(np.argmax(value)))
        volume.add(some.masks[expected[-1]], some.mean[expected[-1]])
        some = some.measured(expected[-1])
    assert chosen == expected


def test_joined_candidates_are_those_of_both():
    _, some = believed(np.random.default_rng(1), 9, 2, 1)
    both = Candidates.joined([some.take(np.arange(4)), some.take(np.arange(4, 9))])
    assert np.array_equal(both.rows, some.rows)
    assert np.array_equal(both.mean, some.mean)
    after = both.measured(5).deviation
    np.testing.assert_allclose(after, some.measured(5).deviation, rtol=1e-12)


@FEW
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_a_front_is_covered_if_each_row_is(seed, f):
    rng = np.random.default_rng(seed)
    front, others = (rng.integers(0, 4, size=(rng.integers(1, 4), f)) * 1.0 for _ in range(2))
    others = others[: rng.integers(0, 4)]
    assert covered(front, others) == all(any(all(o <= row) for o in others) for row in front)


@pytest.mark.parametrize("steps", [(0, 3, 3, 7), (7,)])
def test_rows_are_computed_once(steps):
    asked = []

    def doubled(rows):
        asked.extend(rows[:, 0].tolist())
        return rows[:, 0] * 2.0

    growing, rows = Growing(doubled), np.arange(7)[:, None]
    for n in steps:
        assert growing(rows[:n]).tolist() == [2.0 * i for i in range(n)]
    assert asked == list(range(7))


def test_the_first_of_each_new_design_is_new():
    ledger = Ledger(1, 1)
    ledger.add(np.array([[3]]), np.array([[0.5]]))
    assert ledger.new(np.array([[1], [3], [1], [2]])).tolist() == [True, False, False, True]
    assert ledger.new(np.empty((0, 1), dtype=np.int64)).tolist() == []
