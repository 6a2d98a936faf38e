"""Gemmini: counts against a walk through the program's loops, cycles against measured RTL."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.gemmini import Gemmini
from hwnas.errors import HwnasError
from hwnas.evaluation.fitting import errors_of, fit, hold_out

GOLDEN = (
    # DOSA, data/firesim_training_data/firesim_results.csv (BSD-2): K, C, P, Q, R, S, stride,
    # mapping, FireSim RTL cycles.
    (64, 3, 112, 112, 7, 7, 2,
     "L3[WIO] K8 Q28 - L2[WI] N1 K4X - L1[O] K2 S7 R7 Q4 P7 C3X - L0[W] P16", 9853947),
    (128, 64, 56, 56, 1, 1, 1,
     "L3[WIO] K16 C2 P28 Q56 - L2[WI] N1 K8X - L1[O] C4 C8X - L0[W] P2", 14214954),
    (128, 64, 56, 56, 1, 1, 1,
     "L3[WIO] K8 Q7 P2 - L2[WI] N1 K16X - L1[O] C4 Q8 P2 C16X - L0[W] P14", 323116),
    (384, 192, 13, 13, 3, 3, 1,
     "L3[WIO] K24 - L2[WI] N1 K16X - L1[O] S3 R3 C4 Q13 C48X - L0[W] P13", 343959),
    (512, 1024, 1, 1, 1, 1, 1,
     "L3[WIO] K16 C64 - L2[WI] N1 K4X - L1[O] K8 C4 C4X - L0[W] N1", 2054019),
    (1, 256, 1, 1, 1, 1, 1, "L3[WIO] C64 - L2[WI] N1 - L1[O] N1 C4X - L0[W] N1", 9256),
)  # fmt: skip
FITTED = {
    # hwnas calibrate gemmini_rtl.parquet --template gemmini --column cycles=target.gemmini_cycle
    "layer": 830.0, "conv_call": 248.0, "matmul_call": 121.0, "step": 0.91, "input_byte": 0.13,
    "missed_byte": 0.044, "weight_row": 0.43, "weight_byte": 0.11, "missed_line": 6.6,
    "output_row": 9.3, "wrapped": 1.38, "exposed": 0.18,
}  # fmt: skip


def rows_of(*layers: tuple) -> dict:
    columns = {
        name: np.array([layer[i] for layer in layers], dtype=np.float64)
        for i, name in enumerate(("K", "C", "P", "Q", "R", "S", "stride"))
    }
    return {
        **columns,
        "N": np.ones(len(layers)),
        "mapping": np.array([layer[7] for layer in layers]),
    }


def test_cycles_of_golden_rows():
    template = Gemmini()
    found = template.predict(template.counts(rows_of(*GOLDEN)), FITTED)["cycles"]
    measured = np.array([row[8] for row in GOLDEN])
    off = np.sort(np.abs(found / measured - 1.0))
    assert off[:-1].max() < 0.1
    assert off[-1] < 0.75  # the fourth is one of the model's worst: 48 channels on an edge of 64


def walked(layer: tuple) -> dict[str, float]:
    """Calls, steps, rows of weights and outputs, by walking over every tile and weight block."""
    K, C, P, Q, R, S, _, mapping = layer
    inside = dict.fromkeys("KCPQRS", 1)
    edge = 4
    for level in mapping.split(" - ")[1:]:
        for dimension, factor, spatial in re.findall(r"([KCPQRS])(\d+)(X?)", level.split("]")[1]):
            inside[dimension] *= int(factor)
            while spatial and edge < int(factor):
                edge *= 2
    sizes = dict(zip("KCPQRS", (K, C, P, Q, R, S), strict=True))
    counts = dict.fromkeys(("calls", "steps", "weights", "outputs"), 0)
    starts = [range(0, sizes[d], inside[d]) for d in "KCPQRS"]
    for _, c, _, _, r, s in itertools.product(*starts):
        counts["calls"] += 1
        complete = c + inside["C"] >= C and r + inside["R"] >= R and s + inside["S"] >= S
        for k, _, _ in itertools.product(
            range(0, inside["K"], edge), range(inside["R"]), range(inside["S"])
        ):
            del k
            for _ in range(0, inside["C"], edge):
                for _ in range(inside["Q"]):
                    instructions = math.ceil(inside["P"] / edge)
                    counts["steps"] += max(inside["P"], instructions * min(edge, 8))
        counts["weights"] += inside["R"] * inside["S"] * inside["C"] * inside["K"]
        blocks = math.ceil(inside["K"] / edge)
        counts["outputs"] += blocks * inside["P"] * inside["Q"] if complete else 0
    return counts


@st.composite
def layers(draw) -> tuple:
    """Convolutions with odd kernels whose tiles divide them, of images as wide as high."""
    part = st.sampled_from([1, 2, 3])
    dram = {d: draw(part) for d in "KCPQ"}
    tile = {d: draw(st.sampled_from([2, 5, 8])) for d in "KC"}
    image = math.lcm(dram["P"], dram["Q"]) * draw(st.sampled_from([2, 3, 7]))
    tile["P"], tile["Q"] = image // dram["P"], image // dram["Q"]
    R = draw(st.sampled_from([1, 3]))
    dram["R"] = draw(st.sampled_from([1, R]))
    kx, cx = draw(st.sampled_from([1, tile["K"]])), draw(st.sampled_from([1, tile["C"]]))
    outer = " ".join(f"{d}{n}" for d, n in dram.items())
    mapping = (
        f"L3[WIO] {outer} - L2[WI] N1 K{kx}X - "
        f"L1[O] K{tile['K'] // kx} C{tile['C'] // cx} R{R // dram['R']} S{R} "
        f"Q{tile['Q']} C{cx}X - L0[W] P{tile['P']}"
    )
    return dram["K"] * tile["K"], dram["C"] * tile["C"], image, image, R, R, 1, mapping


@given(layers())
def test_counts_are_those_of_the_programs_loops(layer):
    counts = Gemmini().counts(rows_of(layer))
    expected = walked(layer)
    assert counts["conv_calls"].tolist() == [expected["calls"]]
    assert counts["matmul_calls"].tolist() == [0.0]
    assert counts["steps"] == pytest.approx(expected["steps"])
    assert counts["output_rows"] == pytest.approx(expected["outputs"])
    # Eight bytes a beat: at least the weights themselves, at most a beat for every byte.
    assert expected["weights"] <= counts["weight_bytes"][0] <= 8 * expected["weights"]


def test_a_product_of_matrices_runs_in_sixteens_of_its_tile():
    """256 channels, edge 16: a tile of 64 is taken as 4 blocks, so 4 calls (K = P = 1)."""
    mapping = "L3[WIO] C4 - L2[WI] N1 - L1[O] C4 C16X - L0[W] N1"
    counts = Gemmini().counts(rows_of((1, 256, 1, 1, 1, 1, 1, mapping)))
    assert counts["matmul_calls"].tolist() == [4.0]
    assert counts["conv_calls"].tolist() == [0.0]


def test_padding_beyond_the_image_wraps_a_counter():
    """Stride 2, 7 x 7: one output line with the first kernel line reads padding alone."""
    inner = "L2[WI] N1 K8X - L1[O] R7 P112 - L0[W] N1"
    safe = (64, 3, 112, 112, 7, 7, 2, f"L3[WIO] C3 S7 K8 Q56 - {inner.replace('R7', 'R7 Q2')}")
    wraps = (64, 3, 112, 112, 7, 7, 2, f"L3[WIO] C3 S7 K8 Q112 - {inner}")
    found = Gemmini().counts(rows_of(safe, wraps))["wrapped"]
    assert found[0] == 0.0
    assert found[1] > 1e8


def test_rows_are_independent_of_their_batch():
    template = Gemmini()
    together = template.counts(rows_of(*GOLDEN))
    for i, row in enumerate(GOLDEN):
        alone = template.counts(rows_of(row))
        for name, column in together.items():
            assert alone[name][0] == column[i]


@pytest.mark.parametrize("name", [c.name for c in Gemmini.constants])
def test_no_constant_makes_a_layer_faster(name):
    template = Gemmini()
    counts = template.counts(rows_of(*GOLDEN))
    more = {**FITTED, name: min(1.0, FITTED[name] * 1.5) if name == "exposed" else 1e3}
    before, after = (template.predict(counts, c)["cycles"] for c in (FITTED, more))
    assert (after >= before).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"mapping": "L1[WIO] K8 - L0[W] ?"}, "cannot be read"),
        ({"mapping": "L1[WIO] K8 - L0[W] K0"}, "factor below 1"),
        ({"mapping": "L1[WIO] K8 - L0[W] P2"}, "does not cover its layer"),
        ({"N": 4.0}, "batch size 1"),
    ],
)
def test_bad_rows_are_refused(change, match):
    rows = rows_of(GOLDEN[0])
    rows.update({name: np.array([value]) for name, value in change.items()})
    with pytest.raises(HwnasError, match=match):
        Gemmini().counts(rows)


SHAPE = ("K", "C", "P", "Q", "R", "S", "stride")
SEEDS = range(3)


def test_rtl_cycles_of_layers_held_out(shared):
    """The bars: mean error below 20 %, rank correlation above .975, on half of the layer shapes.

    Rank correlation holds on every split. The mean error hangs on which shapes are held out:
    over 20 splits its median is below the bar and 4 of them miss it, by up to 1.5 points
    (benchmarks/gemmini_rtl.py), so the bar is set on the median of these three.
    """
    import pandas as pd

    table = pd.read_parquet(shared / "data" / "gemmini_rtl.parquet")
    rows = {d: table[f"prob.{d}"].to_numpy() for d in "NKCPQRS"}
    rows["stride"] = table["prob.Hstride"].to_numpy()
    rows["mapping"] = table["mapping.mapping"].to_numpy()
    measured = {"cycles": table["target.gemmini_cycle"].to_numpy(dtype=np.float64)}
    timeloop = (table["target.edp"] / table["target.energy"] * 1e6).to_numpy()
    found = []
    for seed in SEEDS:
        split = hold_out(rows, SHAPE, seed)
        errors = fit(Gemmini(), rows, measured, split, seed).errors["cycles"]["held_out"]
        out = ~split.train
        peer = errors_of(timeloop[out], measured["cycles"][out], split.group[out])
        found.append(errors["calibrated"])
        assert errors["calibrated"].spearman > 0.975
        assert errors["calibrated"].mape < 0.22
        assert errors["calibrated"].mape < 0.5 * errors["uncalibrated"].mape + 0.02
        assert peer.mape > 2.0 * errors["calibrated"].mape
    assert np.median([e.mape for e in found]) < 0.20
