"""Bit-flexible arrays against published tables: cycles and energy by weight and activation bits.

    HWNAS_DATA=... python benchmarks/bitfusion.py

Two tables: that of APQ (Bit Fusion's simulator; 779 layers of MobileNet-like networks x 4, 6 and 8
bits) and that of HAQ (a bit-serial array; MobileNetV2 x 1 to 8 bits, batch 16). Cycles have no
fitted constants. Energy has four, fitted on layers of some sizes of the feature map and tested on
those of all others, and the other way round. ``--fit`` is what `FusionEnergies` has as defaults.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.stats import spearmanr

from evaluators.bitfusion import FusionCosts, FusionEnergies, fusion_costs
from evaluators.serial_array import serial_cycles
from hwnas.design import LayerTable

CLOCK = 500e6
"""Of the table of APQ, Hz."""


def report(name: str, mine: np.ndarray, known: np.ndarray) -> None:
    error = np.abs(mine / known - 1.0)
    print(
        f"  {name:<44}{mine.size:>6}{np.mean(error == 0):>9.1%}{np.mean(error):>10.3%}"
        f"{np.median(error):>10.3%}{np.max(error):>10.3%}{spearmanr(mine, known).statistic:>10.5f}"
    )


def apq(folder: Path) -> tuple[pd.DataFrame, LayerTable]:
    table = pd.read_csv(folder / "data" / "bitfusion_apq.csv")
    side = (table["size"] // table["s"]).to_numpy()
    layers = LayerTable.of(
        1,
        np.zeros(len(table), dtype=np.int64),
        K=table["cout"].to_numpy(),
        C=table["cin"].to_numpy(),
        P=side,
        Q=side,
        R=table["k"].to_numpy(),
        S=table["k"].to_numpy(),
        stride=table["s"].to_numpy(),
        groups=table["groups"].to_numpy(),
        weight_bits=table["wbits"].to_numpy(),
        activation_bits=table["abits"].to_numpy(),
    )
    return table, layers


def actions(costs: FusionCosts) -> np.ndarray:
    return np.stack(
        [costs.compute_cycles, costs.input_bits, costs.weight_bits, costs.sum_bits], axis=1
    )


def fitted(layers: LayerTable, joules: np.ndarray, rows: np.ndarray) -> FusionEnergies:
    """Constants >= 0 of least relative error on some rows; they decide which mapping is taken."""
    energies = FusionEnergies(0.0, 15e-12, 15e-12, 15e-12)
    for _ in range(3):
        counts = actions(fusion_costs(layers, energies=energies))[rows] / joules[rows, None]
        scale = counts.mean(axis=0)
        energies = FusionEnergies(*(nnls(counts / scale, np.ones(len(counts)))[0] / scale))
    return energies


def haq(folder: Path) -> tuple[np.ndarray, LayerTable]:
    known = np.load(folder / "data" / "bitfusion_haq_mobilenetv2.npy", allow_pickle=False)
    rows = pd.read_csv(folder / "reference" / "workload_mobilenetv2.csv")
    names = ("K", "C", "R", "S", "P", "Q", "stride", "groups")
    weight, activation = (bits.ravel() for bits in np.mgrid[1:9, 1:9])
    layers = LayerTable.of(
        1,
        np.zeros(known.size, dtype=np.int64),
        N=16,
        weight_bits=np.tile(weight, len(rows)),
        activation_bits=np.tile(activation, len(rows)),
        **{name: np.repeat(rows[name].to_numpy(), 64) for name in names},
    )
    return known, layers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--fit", type=int, nargs="+", default=[7, 56], help="sizes to fit energy on"
    )
    options = parser.parse_args()
    folder = Path(os.environ.get("HWNAS_DATA", Path(__file__).resolve().parents[2] / "shared"))

    titles = ("rows", "exact", "mean", "median", "worst", "Spearman")
    print(
        f"{'relative errors':<46}{titles[0]:>6}{titles[1]:>9}"
        + "".join(f"{t:>10}" for t in titles[2:])
    )
    table, layers = apq(folder)
    start = time.process_time()
    costs = fusion_costs(layers)
    spent = time.process_time() - start
    known = np.round(table["latency"].to_numpy() * 1e-3 * CLOCK)
    joules = table["energy"].to_numpy() * 1e-3
    depthwise = table["groups"].to_numpy() > 1
    report("APQ (Bit Fusion), cycles", costs.cycles, known)
    report("  1 x 1", costs.cycles[~depthwise], known[~depthwise])
    report("  depthwise", costs.cycles[depthwise], known[depthwise])
    chosen = table["size"].isin(options.fit).to_numpy()
    for rows in (chosen, ~chosen):
        energies = fitted(layers, joules, rows)
        mine = fusion_costs(layers, energies=energies).energy(energies)
        sizes = ", ".join(map(str, sorted(set(table["size"][rows]))))
        report(f"APQ, energy, fitted on sizes {sizes}", mine[rows], joules[rows])
        report("  tested on the other sizes", mine[~rows], joules[~rows])
        print(
            f"    {energies.cycle * 1e12:.0f} pJ a cycle; pJ per bit of inputs "
            f"{energies.input_move * 1e12:.2f}, of weights {energies.weight_move * 1e12:.2f}, "
            f"of sums {energies.sum_move * 1e12:.2f}"
        )
    cycles, layers = haq(folder)
    mine = serial_cycles(layers).reshape(cycles.shape)
    report("HAQ (bit-serial array), cycles", mine.ravel(), cycles.ravel())
    report("  whole network, all layers of equal bits", mine.sum(0).ravel(), cycles.sum(0).ravel())
    print(f"{len(table):,} layers on Bit Fusion took {spent:.2f} s of CPU time")


if __name__ == "__main__":
    main()
