"""What more bits say about fewer, against loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas import Gene, Space
from hwnas.searchers.greybox.monotone import Monotone

SPACE = Space(
    (
        Gene("net.depth", (1, 2, 3)),
        Gene("quant.w", (2, 4, 8)),
        Gene("quant.kind", ("linear", "log"), ordered=False),
        Gene("quant.a", (2, 4, 8)),
    )
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_bounds_are_those_of_the_relatives(seed):
    rng = np.random.default_rng(seed)
    some, known = SPACE.sample(12, rng), SPACE.sample(20, rng)
    losses = rng.random((20, 2))
    losses[rng.random(20) < 0.2] = np.nan
    least, most = Monotone(SPACE, ("quant",)).bounds(some, known, losses)
    for i, row in enumerate(some):
        low, high = np.full(2, -np.inf), np.full(2, np.inf)
        for other, loss in zip(known, losses, strict=True):
            if (other[[0, 2]] != row[[0, 2]]).any() or np.isnan(loss).any():
                continue
            if (other[[1, 3]] >= row[[1, 3]]).all():
                low = np.maximum(low, loss)
            if (other[[1, 3]] <= row[[1, 3]]).all():
                high = np.minimum(high, loss)
        np.testing.assert_array_equal(least[i], low)
        np.testing.assert_array_equal(most[i], high)


def test_without_monotone_parts_nothing_is_known():
    rows = SPACE.sample(4, np.random.default_rng(0))
    least, most = Monotone(SPACE, ()).bounds(rows, rows, np.zeros((4, 1)))
    assert np.isneginf(least).all()
    assert np.isposinf(most).all()
