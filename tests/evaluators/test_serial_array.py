"""An array of bit-serial dot products, against the table of layers that HAQ published.

The table (data/bitfusion_haq_mobilenetv2.npy) has cycles of the 53 layers of MobileNetV2 by weight
bits (second axis) and activation bits (third), 1 to 8 each, at batch 16. In spite of its name it is
of a bit-serial array: see `evaluators.serial_array`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from evaluators.serial_array import SerialArray, serial_cycles
from hwnas.design import LayerTable, Operator

# Layers of MobileNetV2: K, C, R, P, stride, groups; then cycles of the table at weight x activation
# bits of 1 x 1, 8 x 1, 1 x 8, 8 x 8.
GOLDEN = [
    (16, 32, 1, 112, 1, 1, 200704, 200816, 1605632, 1606416),
    (32, 32, 3, 112, 1, 32, 401408, 401632, 3211264, 3212832),
    (96, 16, 1, 112, 1, 1, 200784, 613632, 1610112, 4860688),
    (24, 96, 1, 56, 1, 1, 50192, 52992, 401664, 405248),
    (144, 144, 3, 28, 2, 144, 112896, 113904, 903168, 904176),
    (384, 384, 3, 14, 1, 384, 75264, 86016, 602112, 617088),
    (384, 64, 1, 14, 1, 1, 7920, 50688, 43120, 331888),
    (320, 960, 1, 7, 1, 1, 20672, 165376, 51312, 340080),
    (1000, 1280, 1, 1, 1, 1, 5000, 40000, 5007, 40021),
]


def layers_of(
    frame: pd.DataFrame, weight_bits: np.ndarray, activation_bits: np.ndarray
) -> LayerTable:
    """Every layer at every pair of bits, in this order."""
    pairs = len(weight_bits)
    columns = {name: np.repeat(frame[name].to_numpy(), pairs) for name in frame}
    return LayerTable.of(
        1,
        np.zeros(len(frame) * pairs, dtype=np.int64),
        N=16,
        weight_bits=np.tile(weight_bits, len(frame)),
        activation_bits=np.tile(activation_bits, len(frame)),
        **columns,
    )


def test_golden_rows() -> None:
    names = ["K", "C", "R", "P", "stride", "groups"]
    rows = pd.DataFrame([row[:6] for row in GOLDEN], columns=names).assign(
        S=lambda f: f["R"], Q=lambda f: f["P"]
    )
    layers = layers_of(rows, np.array([1, 8, 1, 8]), np.array([1, 1, 8, 8]))
    known = np.array([row[6:] for row in GOLDEN])
    np.testing.assert_allclose(serial_cycles(layers).reshape(known.shape), known, rtol=0.015)


def test_the_whole_table(shared: Path) -> None:
    known = np.load(shared / "data" / "bitfusion_haq_mobilenetv2.npy", allow_pickle=False)
    names = ["K", "C", "R", "S", "P", "Q", "stride", "groups"]
    rows = pd.read_csv(shared / "reference" / "workload_mobilenetv2.csv")[names]
    weight, activation = (bits.ravel() for bits in np.mgrid[1:9, 1:9])
    mine = serial_cycles(layers_of(rows, weight, activation)).reshape(known.shape)
    assert known.shape == (53, 8, 8)
    assert np.mean(np.abs(mine / known - 1.0)) < 0.0047
    assert np.mean(mine == known) > 0.38
    assert (mine <= known).all()
    assert spearmanr(mine.ravel(), known.ravel()).statistic > 0.9998
    # Whole networks, all layers at the same bits.
    assert np.abs(mine.sum(axis=0) / known.sum(axis=0) - 1.0).max() < 0.011


def test_by_hand() -> None:
    layers = LayerTable.of(
        1, np.zeros(3, dtype=np.int64), operator=[0, 0, int(Operator.POOL)], N=[2, 3, 1],
        K=[10, 3, 3], C=[20, 8, 3], P=[5, 1, 5], Q=[1, 1, 1], weight_bits=2, activation_bits=3,
    )  # fmt: skip
    array = SerialArray(pixels=2, filters=4, depth=16)
    # Two images of 5 pixels in 3 tiles, 10 filters in 3, 2 words, 2 x 3 bits. Computing: 9 tiles
    # and 2 fills of 6 steps; reading: 5 + 2 words of 3 bits, or 10 + 2 of 2, is less; waiting: for
    # 20 bits of weights, then 2 rows of 3 tiles, or for 18 steps of the first column, then 2 more.
    first = 2 * 2 * max(11 * 6, 24, min(20 + 2 * 18, 18 + 2 * 18))
    # Three vectors at once: 2 tiles of pixels, 1 of filters, 1 word.
    second = max((2 + 1) * 6, 9 + 3 + 1, 8, min(12, 6 + 6))
    np.testing.assert_array_equal(serial_cycles(layers, array), [first, second, 0.0])
    # One bit each: 3 pixels and 1 filter are read, and nothing else matters.
    bits = np.ones(3, dtype=np.int64)
    wide = SerialArray(pixels=16, filters=16, depth=256)
    np.testing.assert_array_equal(serial_cycles(layers.with_bits(bits, bits), wide)[:2], [20, 3])


@pytest.mark.parametrize("groups", [1, 4, 32])
@given(
    side=st.integers(1, 20), R=st.integers(1, 5), K=st.integers(1, 8),
    few=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    more=st.tuples(st.integers(0, 8), st.integers(0, 8)),
)  # fmt: skip
def test_fewer_bits_never_take_longer(
    groups: int, side: int, R: int, K: int, few: tuple[int, int], more: tuple[int, int]
) -> None:
    layers = LayerTable.of(
        1, np.zeros(2, dtype=np.int64), N=3, K=32 * K, C=32, P=side, Q=side, R=R, S=R,
        groups=groups, weight_bits=[few[0], few[0] + more[0]],
        activation_bits=[few[1], few[1] + more[1]],
    )  # fmt: skip
    low, high = serial_cycles(layers)
    assert 0 < low <= high
    array = SerialArray()
    assert low >= layers.macs[0] * few[0] * few[1] / (array.pixels * array.filters * array.depth)
