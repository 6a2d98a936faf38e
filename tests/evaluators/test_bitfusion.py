"""Bit Fusion's array: against counting by hand, and against a table made with its simulator.

The table (data/bitfusion_apq.csv) has energy (mJ) and latency (ms, at 500 MHz) of 779 layers of
MobileNet-like networks at weights and activations of 4, 6 and 8 bits, batch 1. It was published
with APQ (Wang et al., CVPR 2020) and computed with Bit Fusion's simulator.
"""

from __future__ import annotations

from itertools import permutations, product
from math import ceil, log2
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from evaluators.bitfusion import FusionArray, FusionCosts, FusionEnergies, fusion_costs
from hwnas.design import LayerTable, Operator
from hwnas.errors import DesignError

# Rows of the table: input and output channels, input size, kernel, stride, groups, weight bits,
# activation bits; then cycles (latency x 500 MHz).
GOLDEN = [
    (192, 768, 7, 1, 1, 1, 8, 8, 19080),
    (192, 768, 7, 1, 1, 1, 4, 4, 15812),
    (952, 192, 7, 1, 1, 1, 6, 8, 20139),
    (360, 96, 14, 1, 1, 1, 6, 4, 11762),
    (72, 24, 56, 1, 1, 1, 6, 6, 32198),
    (184, 184, 28, 3, 1, 184, 8, 8, 165784),
    (448, 448, 14, 3, 2, 448, 6, 6, 36232),
    (816, 816, 7, 3, 1, 816, 4, 8, 41055),
    (232, 232, 28, 5, 1, 232, 4, 4, 164832),
    (1008, 1008, 7, 7, 1, 1008, 8, 6, 340956),
]
SHAPE = ["cin", "cout", "size", "k", "s", "groups", "wbits", "abits"]


def layers_of(frame: pd.DataFrame) -> LayerTable:
    cin, cout, size, k, s, groups, wbits, abits = (frame[name].to_numpy() for name in SHAPE)
    return LayerTable.of(
        1,
        np.zeros(len(frame), dtype=np.int64),
        K=cout,
        C=cin,
        P=size // s,
        Q=size // s,
        R=k,
        S=k,
        stride=s,
        groups=groups,
        weight_bits=wbits,
        activation_bits=abits,
    )


def dense(
    K: int, C: int, P: int, Q: int, R: int, stride: int = 1, bits: tuple[int, int] = (8, 8)
) -> LayerTable:
    return LayerTable.of(
        1,
        np.zeros(1, dtype=np.int64),
        K=K, C=C, P=P, Q=Q, R=R, S=R, stride=stride,
        weight_bits=bits[0], activation_bits=bits[1],
    )  # fmt: skip


def walked(
    turns: dict[str, int], order: tuple[str, ...], needs: str, tile: float, half: float
) -> tuple[float, float]:
    """Walks the loops and counts what is loaded of one operand: all of it, and before starting.

    The operand's tiles of the innermost loops are held together, as many loops as fit; whenever
    any other loop turns, they are loaded anew.
    """
    inner, held = len(order), 1
    while inner and held * (turns[order[inner - 1]] if order[inner - 1] in needs else 1) <= half:
        inner -= 1
        held *= turns[order[inner]] if order[inner] in needs else 1
    loads, at = 0.0, None
    for place in product(*(range(turns[loop]) for loop in order)):
        if place[:inner] != at:
            at, loads = place[:inner], loads + tile * held
    return loads, tile * held


def searched(
    K: int, C: int, P: int, Q: int, R: int, stride: int, bits: tuple[int, int], array: FusionArray
) -> tuple[float, float]:
    """The fewest cycles over all tiles and orders, and the least energy with them; plain loops."""
    w, a = bits
    wide = {n: next(b for b in (2, 4, 8) if b >= n) for n in bits}
    deep = array.rows * (8 // wide[w]) * (8 // wide[a])
    units = range(ceil(log2(ceil(K / array.columns))) + 1)
    best = float("inf"), float("inf")
    for e, f, g in product(range(ceil(log2(max(P, Q))) + 1), range(ceil(log2(C)) + 1), units):
        p, q, i, c = min(2**e, P), min(2**e, Q), min(2**f, C), min(2**g * array.columns, K)
        turns = {"p": ceil(P / p), "q": ceil(Q / q), "i": ceil(C / i), "c": ceil(K / c)}
        plane = ((p - 1) * stride + R) * ((q - 1) * stride + R)
        full_i, full_c = ceil(i / deep) * deep, ceil(c / array.columns) * array.columns
        operands = (
            ("pqi", plane * i * a, array.input_buffer * 4 / (plane * full_i * wide[a])),
            (
                "ic",
                R * R * i * c * w,
                array.weight_buffer * 4 / (R * R * full_i * full_c * wide[w]),
            ),
            ("pqc", p * q * c * 32, array.output_buffer * 4 / (p * q * full_c * 32)),
        )
        if min(half for _, _, half in operands) < 1:
            continue
        compute = turns["p"] * turns["q"] * turns["i"] * turns["c"] * p * q * R * R
        compute *= (full_i // deep) * (full_c // array.columns)
        for order in permutations("pqic"):
            (x, x0), (y, y0), (z, z0) = (
                walked(turns, order, needs, tile, half) for needs, tile, half in operands
            )
            moved = ceil((x + y + 2 * z) / array.bits_per_cycle)
            exposed = ceil((x0 + y0 + z0) / array.bits_per_cycle) + ceil(z0 / array.bits_per_cycle)
            cycles = exposed + max(compute, moved - exposed)
            best = min(best, (cycles, 5 * compute + 7 * x + 11 * y + 13 * 2 * z))
    return best


SMALL = FusionArray(
    rows=2, columns=2, input_buffer=60, weight_buffer=80, output_buffer=64, dram_bandwidth=8e9
)


@pytest.mark.parametrize(
    ("K", "C", "P", "Q", "R", "stride", "bits"),
    [
        (5, 6, 3, 3, 1, 1, (8, 8)),
        (5, 6, 3, 3, 1, 1, (4, 8)),
        (3, 5, 2, 5, 2, 1, (8, 3)),
        (6, 7, 4, 3, 1, 2, (6, 6)),
        (1, 2, 4, 4, 3, 2, (8, 7)),
    ],
)
def test_the_search_against_walking_all_loops(
    K: int, C: int, P: int, Q: int, R: int, stride: int, bits: tuple[int, int]
) -> None:
    energies = FusionEnergies(5.0, 7.0, 11.0, 13.0)
    mine = fusion_costs(dense(K, C, P, Q, R, stride, bits), SMALL, energies)
    known = searched(K, C, P, Q, R, stride, bits, SMALL)
    assert (mine.cycles[0], mine.energy(energies)[0]) == known


def test_golden_rows() -> None:
    rows = pd.DataFrame(GOLDEN, columns=[*SHAPE, "cycles"])
    mine = fusion_costs(layers_of(rows)).cycles
    np.testing.assert_array_equal(mine, rows["cycles"])


def table_of(shared: Path) -> pd.DataFrame:
    table = pd.read_csv(shared / "data" / "bitfusion_apq.csv")
    return table.assign(
        cycles=np.round(table["latency"] * 1e-3 * 500e6), joules=table.energy * 1e-3
    )


def test_cycles_of_the_whole_table(shared: Path) -> None:
    table = table_of(shared)
    assert len(table) == 6567
    mine = fusion_costs(layers_of(table)).cycles
    error = np.abs(mine / table["cycles"].to_numpy() - 1.0)
    assert np.mean(error == 0.0) > 0.88
    assert error.max() < 2e-4
    assert spearmanr(mine, table["cycles"]).statistic > 0.99999


def test_energy_of_layers_that_were_not_fitted(shared: Path) -> None:
    table = table_of(shared)
    others = table[~table["size"].isin([7, 56])]
    assert len(others) == 3345
    energies = FusionEnergies()
    mine = fusion_costs(layers_of(others)).energy(energies)
    assert np.mean(np.abs(mine / others["joules"].to_numpy() - 1.0)) < 0.022
    assert spearmanr(mine, others["joules"]).statistic > 0.999


def test_groups_one_by_one() -> None:
    """Groups as wide as a pack are run one after the other; a depthwise layer in packs of 8."""
    shape = {"P": 14, "Q": 14, "R": 3, "S": 3, "weight_bits": 8, "activation_bits": 8}
    layers = LayerTable.of(
        1, np.zeros(4, dtype=np.int64), K=[48, 16, 24, 8], C=[48, 16, 24, 8],
        groups=[3, 1, 24, 1], **shape,
    )  # fmt: skip
    cycles = fusion_costs(layers).cycles
    assert cycles[0] == 3 * cycles[1]
    assert cycles[2] == 3 * cycles[3]


def test_images_one_by_one_and_layers_without_products() -> None:
    layers = LayerTable.of(
        1, np.zeros(3, dtype=np.int64), operator=[0, 0, int(Operator.POOL)], N=[1, 5, 1],
        K=32, C=32, P=7, Q=7, weight_bits=4, activation_bits=8,
    )  # fmt: skip
    for column in vars(fusion_costs(layers)).values():
        assert column[0] * 5 == column[1]
        assert column[2] == 0.0


def test_buffers_without_room_for_a_tile() -> None:
    small = FusionArray(input_buffer=16.0)
    costs = fusion_costs(dense(64, 64, 7, 7, 3), small)
    assert all(np.isnan(column).all() for column in vars(costs).values())


def test_layers_of_too_many_bits_are_refused() -> None:
    with pytest.raises(DesignError, match="at most 8 bits") as refused:
        fusion_costs(dense(8, 8, 7, 7, 1, bits=(8, 16)))
    assert "16 bits" in str(refused.value)


def test_energy_by_hand() -> None:
    costs = FusionCosts(*(np.array([value]) for value in (9.0, 2.0, 3.0, 5.0, 7.0)))
    assert costs.energy(FusionEnergies(1.0, 10.0, 100.0, 1000.0))[0] == 2 + 30 + 500 + 7000


@given(
    K=st.integers(1, 200), C=st.integers(1, 200), side=st.integers(1, 20),
    R=st.sampled_from([1, 3]), bits=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    faster=st.floats(1.0, 8.0),
)  # fmt: skip
def test_bandwidth_helps_and_no_bound_is_beaten(
    K: int, C: int, side: int, R: int, bits: tuple[int, int], faster: float
) -> None:
    layers, array = dense(K, C, side, side, R, bits=bits), FusionArray()
    costs = fusion_costs(layers, array)
    fused = np.prod([8 // next(b for b in (2, 4, 8) if b >= n) for n in bits])
    assert costs.compute_cycles[0] >= layers.macs[0] / (array.rows * array.columns * fused)
    assert costs.input_bits[0] >= layers.inputs[0] * bits[1]
    assert costs.weight_bits[0] >= layers.weights[0] * bits[0]
    assert costs.sum_bits[0] >= 2 * 32 * layers.outputs[0]
    moved = costs.input_bits[0] + costs.weight_bits[0] + costs.sum_bits[0]
    assert costs.cycles[0] >= max(costs.compute_cycles[0], moved / array.bits_per_cycle)
    wider = fusion_costs(layers, FusionArray(dram_bandwidth=array.dram_bandwidth * faster))
    assert wider.cycles[0] <= costs.cycles[0]
