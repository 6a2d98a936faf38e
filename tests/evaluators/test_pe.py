"""Processing elements: throughput, energy and area by bits."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.dataflows import DATAFLOWS, Arrays, Gemms, numbers_of
from evaluators.pe import PES, accumulator_bits, brick_bits
from evaluators.systolic_costs import layer_costs, pe_of
from evaluators.technology import Logic, Technology, load
from hwnas.arrays import Floats
from hwnas.design import LayerTable

TECHNOLOGY = load("aladdin40")
BITS = st.integers(1, 32)


def one(value: float) -> Floats:
    return np.array([value], dtype=np.float64)


def energy(name: str, weight: float, activation: float, total: float, widest: float) -> float:
    most = one(widest), one(widest), one(2 * widest + 32)
    bits = one(weight), one(activation), one(total)
    return float(PES[name].energy_per_mac(*bits, *most, TECHNOLOGY)[0])


def rate(name: str, weight: float, activation: float, widest: float = 8) -> float:
    columns = one(weight), one(activation), one(widest), one(widest)
    return float(PES[name].macs_per_cycle(*columns)[0])


def without_registers() -> Technology:
    return replace(TECHNOLOGY, register=Logic(0.0, 0.0, 0.0))


def table() -> LayerTable:
    """Three networks of two layers, all of different bits."""
    rng = np.random.default_rng(0)
    return LayerTable.of(
        3,
        np.repeat(np.arange(3), 2),
        K=rng.integers(1, 300, 6),
        C=rng.integers(1, 300, 6),
        P=rng.integers(1, 30, 6),
        Q=rng.integers(1, 30, 6),
        R=3,
        S=3,
        weight_bits=rng.integers(1, 33, 6),
        activation_bits=rng.integers(1, 33, 6),
    )


def test_fixed_pes_are_those_of_systolic_arrays_to_the_last_bit() -> None:
    layers = table()
    gemms = Gemms.of(layers)
    fixed, today = PES["fixed"], pe_of(layers, gemms, TECHNOLOGY)
    widest = [
        np.array([column[layers.design == n].max() for n in range(layers.n)])
        for column in (gemms.weight_bits, gemms.activation_bits, gemms.sum_bits)
    ]
    np.testing.assert_array_equal(fixed.area(*widest, TECHNOLOGY), today.area)
    np.testing.assert_array_equal(fixed.leakage(*widest, TECHNOLOGY), today.leakage)

    sram = np.full(3, 65536)
    accelerators = {
        "rows": np.array([4, 8, 16]),
        "columns": np.array([8, 8, 32]),
        "dataflow": np.array(["os", "os", "os"]),
        **dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), sram),
        "dram_bandwidth": np.full(3, 1e9),
        "clock": np.full(3, 1e9),
    }
    arrays = Arrays.of(numbers_of(accelerators), today.leakage, TECHNOLOGY).pick(layers.design)
    registers = TECHNOLOGY.register.energy * DATAFLOWS["os"](gemms, arrays).register_bits
    bits = gemms.weight_bits, gemms.activation_bits, gemms.sum_bits
    each = fixed.energy_per_mac(*bits, *(w[layers.design] for w in widest), TECHNOLOGY)
    known = layer_costs(layers, accelerators, TECHNOLOGY).energy_mac
    np.testing.assert_array_equal(layers.macs * (each + registers), known)


@given(weight=st.integers(1, 16), activation=st.integers(1, 16), window=st.integers(1, 5000))
def test_accumulators_hold_the_largest_sum(weight: int, activation: int, window: int) -> None:
    bits = int(accumulator_bits(one(weight), one(activation), one(window))[0])
    assert window * (2**weight - 1) * (2**activation - 1) < 2**bits
    # No smaller form in w + a and W alone will do: a power of two of W needs every bit of it.
    assert bits - weight - activation == next(n for n in range(14) if 2**n >= window)


def test_accumulators_are_those_of_the_layer_table() -> None:
    gemms = Gemms.of(table())
    mine = accumulator_bits(gemms.weight_bits, gemms.activation_bits, gemms.W)
    np.testing.assert_array_equal(mine, gemms.sum_bits)


def test_bricks_by_counting() -> None:
    bits = np.arange(1, 65)
    known = [next(b for b in (2, 4, 8, 16, 32, 64) if b >= n) for n in bits]
    np.testing.assert_array_equal(brick_bits(bits.astype(np.float64)), known)


# From the description of a fusion unit of 16 bricks by Sharma et al., ISCA 2018, section II.
@pytest.mark.parametrize(
    ("weight", "activation", "macs"),
    [(8, 8, 1), (2, 8, 4), (8, 2, 4), (4, 4, 4), (4, 8, 2), (2, 2, 16), (1, 1, 16), (3, 5, 2)],
)
def test_a_fusion_unit_of_16_bricks(weight: int, activation: int, macs: int) -> None:
    assert rate("composable", weight, activation) == macs


@given(widest=BITS)
def test_one_mac_at_the_widest_bits(widest: int) -> None:
    assert rate("composable", widest, widest, widest) == 1.0
    assert rate("fixed", widest, widest, widest) == 1.0


@given(weight=BITS, activation=BITS)
def test_serial_pes_take_a_cycle_per_serial_bit(weight: int, activation: int) -> None:
    # Multiply bit by bit, and count.
    x, y, result, steps = 2**weight - 1, 2**activation - 1, 0, 0
    for i, j in product(range(weight), range(activation)):
        result += ((x >> i) & 1) * ((y >> j) & 1) << (i + j)
        steps += 1
    assert result == x * y
    assert rate("bit_serial", weight, activation, 32) == 1 / steps
    assert rate("weight_serial", weight, activation, 32) == 1 / weight
    assert rate("activation_serial", weight, activation, 32) == 1 / activation


# Bit Fusion's synthesis at 500 MHz, 45 nm: one fusion unit of 2-bit bricks, and one fixed-width
# unit of the same widest bits. um^2, dynamic nW, leakage nW.
SYNTHESIS = {
    2: ((124.8912, 28742, 2832.7), (124.8912, 28742, 2832.7)),
    4: ((431.474398, 78470.1, 13545), (282.239998, 60101.7, 7780.7)),
    8: ((1733.129989, 279960, 64314), (687.6072, 148845, 22952)),
    16: ((7492.413585, 1166200, 274220), (2203.236034, 473688, 68980)),
}


@pytest.mark.parametrize("widest", SYNTHESIS)
def test_fusion_costs_what_was_synthesised(widest: int) -> None:
    fused, plain = SYNTHESIS[widest]
    most = one(widest), one(widest), one(3 * widest)
    pair = PES["composable"], PES["fixed"]
    area, leakage = (
        [float(getattr(pe, what)(*most, TECHNOLOGY)[0]) for pe in pair]
        for what in ("area", "leakage")
    )
    power = [float(pe.energy_per_mac(*most, *most, TECHNOLOGY)[0]) for pe in pair]
    for mine, place in ((area, 0), (power, 1), (leakage, 2)):
        assert mine[0] / mine[1] == pytest.approx(fused[place] / plain[place], rel=1e-12)


def test_fusion_pays_at_few_bits_only() -> None:
    # Energy per MAC: 16 of 2 x 2 bits share what one of 8 x 8 bits takes.
    assert energy("composable", 2, 2, 16, 8) == pytest.approx(
        energy("composable", 8, 8, 16, 8) / 16
    )
    assert energy("composable", 8, 8, 48, 8) > energy("fixed", 8, 8, 48, 8)


@pytest.mark.parametrize("name", ["weight_serial", "activation_serial"])
def test_sixteen_serial_lanes_are_a_third_larger_than_one_parallel_pe(name: str) -> None:
    # Stripes (Judd et al., MICRO 2016), abstract: 32 % more area at 16 bits and equal peak.
    most, costs = (one(16), one(16), one(40)), without_registers()
    serial, fixed = (float(PES[n].area(*most, costs)[0]) for n in (name, "fixed"))
    assert rate(name, 16, 16, 16) * 16 == rate("fixed", 16, 16, 16)
    assert serial * 16 == pytest.approx(1.32 * fixed)
    # 1.92 times the speed and 57 % more efficient, so 1.22 times the power.
    total = 40.0
    ratio = energy(name, 16, 16, total, 16) / energy("fixed", 16, 16, total, 16)
    assert ratio == pytest.approx(1.92 / 1.57)


@pytest.mark.parametrize("name", PES)
@given(bits=st.tuples(BITS, BITS, BITS, BITS), window=st.integers(1, 4096), less=BITS)
def test_fewer_bits_never_cost_more(
    name: str, bits: tuple[int, int, int, int], window: int, less: int
) -> None:
    few = np.minimum(bits[:2], bits[2:]).astype(np.float64)
    many = np.maximum(bits[:2], bits[2:]).astype(np.float64)
    widest = float(max(many.max(), less))
    rates = [rate(name, *pair, widest) for pair in (few, many)]
    assert rates[0] >= rates[1] > 0
    sums = [
        float(accumulator_bits(one(pair[0]), one(pair[1]), one(window))[0]) for pair in (few, many)
    ]
    energies = [energy(name, *pair, s, widest) for pair, s in zip((few, many), sums, strict=True)]
    assert 0 < energies[0] <= energies[1] * (1 + 1e-12)
    for what in ("area", "leakage"):
        small, large = (
            float(getattr(PES[name], what)(one(p[0]), one(p[1]), one(s), TECHNOLOGY)[0])
            for p, s in zip((few, many), sums, strict=True)
        )
        assert 0 < small <= large * (1 + 1e-12)


@pytest.mark.parametrize("name", PES)
def test_columns_broadcast(name: str) -> None:
    pe = PES[name]
    layers, designs = np.arange(1.0, 6.0)[:, None], np.array([8.0, 16.0, 32.0])
    whole = pe.macs_per_cycle(layers, layers, designs, designs)
    costs = pe.energy_per_mac(layers, layers, layers, designs, designs, designs, TECHNOLOGY)
    # What does not depend on some of the columns may have a smaller shape, which broadcasts.
    for i, n in product(range(5), range(3)):
        alone = pe.macs_per_cycle(layers[i], layers[i], designs[n], designs[n])
        assert alone[0] == np.broadcast_to(whole, (5, 3))[i, n]
        bits = (layers[i],) * 3 + (designs[n],) * 3
        assert pe.energy_per_mac(*bits, TECHNOLOGY)[0] == np.broadcast_to(costs, (5, 3))[i, n]
    assert pe.area(designs, designs, designs, TECHNOLOGY).shape == (3,)


@pytest.mark.parametrize("name", PES)
def test_networks_without_products_need_no_pes(name: str) -> None:
    nothing = np.zeros(2)
    for what in ("area", "leakage"):
        cost = getattr(PES[name], what)(nothing, nothing, nothing, TECHNOLOGY)
        np.testing.assert_array_equal(cost, nothing)
