"""Gemmini's RTL cycles on layer shapes that were held out: our template, and Timeloop's count.

    python benchmarks/gemmini_rtl.py ROWS.parquet [--splits 20]

ROWS are the FireSim rows of the DOSA data set (Hong et al., MICRO 2023; BSD-2). Half of the layer
shapes are held out, another half per split; no shape is on both sides. The file names no networks,
and most shapes occur in several. Timeloop's cycles are not in it, but its energy-delay product and
energy are, and their ratio is the cycle count.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from evaluators.gemmini import Gemmini
from hwnas.evaluation.calibration import Errors
from hwnas.evaluation.fitting import errors_of, fit, hold_out
from hwnas.evaluation.measured_rows import read

SHAPE = tuple(column.name for column in Gemmini.columns if column.shape)


def told(name: str, errors: list[Errors]) -> str:
    mape = 100.0 * np.array([e.mape for e in errors])
    rank = np.array([e.spearman for e in errors])
    middle = 100.0 * np.median([e.median_ape for e in errors])
    return (
        f"| {name} | {np.median(mape):.1f} % | {mape.max():.1f} % | {(mape < 20).sum()} "
        f"| {middle:.1f} % | {np.median(rank):.4f} | {rank.min():.4f} "
        f"| {np.median([e.ratio for e in errors]):.3f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--splits", type=int, default=20)
    asked = parser.parse_args()
    measured = read(asked.rows, Gemmini(), columns={"cycles": "target.gemmini_cycle"})
    table = pd.read_parquet(asked.rows)
    timeloop = (table["target.edp"] / table["target.energy"] * 1e6).to_numpy()
    macs = np.prod([measured.rows[d] for d in "KCPQRS"], axis=0)
    found: dict[str, list[Errors]] = {}
    for seed in range(asked.splits):
        split = hold_out(measured.rows, SHAPE, seed)
        errors = fit(Gemmini(), measured.rows, measured.values, split, seed).errors["cycles"]
        out = ~split.train
        truth, group = measured.values["cycles"][out], split.group[out]
        for name, one in (
            ("MACs / 256", errors_of(macs[out] / 256.0, truth, group)),
            ("Timeloop", errors_of(timeloop[out], truth, group)),
            ("gemmini, not calibrated", errors["held_out"]["uncalibrated"]),
            ("gemmini, on the rows it was fitted to", errors["train"]["calibrated"]),
            ("gemmini, held out", errors["held_out"]["calibrated"]),
        ):
            found.setdefault(name, []).append(one)
    print(f"{len(measured)} rows, {asked.splits} splits of the layer shapes; held out, if not said")
    print("| | MAPE, median | worst | splits < 20 % | median APE | Spearman | worst | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name, errors_of_splits in found.items():
        print(told(name, errors_of_splits))


if __name__ == "__main__":
    main()
