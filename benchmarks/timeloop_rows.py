"""Our loop nests beside Timeloop's cycles and energies, on all rows of DOSA's data set.

    python benchmarks/timeloop_rows.py
    python benchmarks/timeloop_rows.py --data FOLDER --seeds 5

49,574 rows: layers x mappings x 64 configurations of Gemmini (`gemmini_timeloop.parquet`, in
`HWNAS_DATA/data` or beside the repository). Cycles have no free constant. Energies have seven,
fitted on half of the configurations and tested on the other half.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from evaluators.loop_nest import LoopNest
from evaluators.loop_nest_costs import NestCosts, nest_costs
from evaluators.loop_nest_gemmini import GemminiArrays, GemminiEnergies
from evaluators.loop_nest_traffic import TIMELOOP, Conventions, Halo
from evaluators.timeloop_mapping import parse_mappings

LEVELS = ("registers", "accumulators", "scratchpad", "DRAM")
FREE = GemminiEnergies(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def accuracy(ours: np.ndarray, theirs: np.ndarray) -> str:
    error = np.abs(ours / theirs - 1.0)
    return (
        f"exact {np.mean(ours == theirs):9.4%}   within one cycle "
        f"{np.mean(np.abs(ours - theirs) <= 1):9.4%}   MAPE {error.mean():.2e}   "
        f"largest {error.max():.2e}   Spearman {spearmanr(ours, theirs).statistic:.8f}"
    )


def r2(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(1 - ((theirs - ours) ** 2).sum() / ((theirs - theirs.mean()) ** 2).sum())


def cycles(nest: LoopNest, arrays: GemminiArrays, theirs: np.ndarray) -> None:
    def costs(c: Conventions) -> NestCosts:
        return nest_costs(nest, FREE.memories(arrays), c)

    timeloop = costs(TIMELOOP)
    bound = timeloop.bound_by
    print(f"\nCycles, {len(nest):,} rows, no free constant")
    print(f"below the compute bound: {np.count_nonzero(theirs < timeloop.steps)}")
    print(f"{'all rows':<22}{accuracy(timeloop.cycles, theirs)}")
    for level in (-1, 1, 2, 3):
        rows = bound == level
        name = "compute" if level < 0 else LEVELS[level]
        label = f"{name} ({rows.mean():.1%})"
        print(f"{label:<22}{accuracy(timeloop.cycles[rows], theirs[rows])}")
    print("with another convention:")
    for name, c in {
        "every halo kept": Conventions(halo=Halo.ALL, one_way=True),
        "no halo kept": Conventions(halo=Halo.NONE, one_way=True),
        "latched multipliers": Conventions(halo=Halo.INNERMOST, one_way=True, latched=True),
        "fills and drains": Conventions(halo=Halo.INNERMOST),
    }.items():
        print(f"{name:<22}{accuracy(costs(c).cycles, theirs)}")


def energies(
    nest: LoopNest, arrays: GemminiArrays, configurations: np.ndarray, theirs: np.ndarray, seed: int
) -> None:
    known = np.random.default_rng(seed).permutation(configurations.max() + 1)
    fit = np.isin(configurations, known[: len(known) // 2])
    rows, rest = np.flatnonzero(fit), np.flatnonzero(~fit)
    found = GemminiEnergies.fitted(nest.pick(rows), arrays.pick(rows), theirs[rows])
    test = nest_costs(nest.pick(rest), found.memories(arrays.pick(rest)), TIMELOOP).energy
    truth = theirs[rest]
    error = np.abs(test / truth - 1.0)
    print(
        f"\nEnergy, seed {seed}: fitted on {len(rows):,} rows of {len(known) // 2} configurations, "
        f"tested on {len(rest):,} of the others"
    )
    print(
        f"R2 {r2(test, truth):.8f}   R2 of logarithms {r2(np.log(test), np.log(truth)):.8f}   "
        f"MAPE {error.mean():.2e}   largest {error.max():.2e}   "
        f"Spearman {spearmanr(test, truth).statistic:.8f}"
    )
    print("  ".join(f"{name} {value * 1e12:.4f} pJ" for name, value in asdict(found).items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parents[1].parent / "shared"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("HWNAS_DATA", beside)))
    parser.add_argument("--seeds", type=int, default=3, help="splits of the configurations")
    options = parser.parse_args()

    table = pd.read_parquet(options.data / "data" / "gemmini_timeloop.parquet")
    start = time.process_time()
    nest = parse_mappings(
        table["mapping.mapping"].to_numpy(dtype=np.str_), table["prob.Wstride"].to_numpy()
    )
    read = time.process_time() - start
    arrays = GemminiArrays(
        table["arch.meshX"].to_numpy(),
        table["arch.mem1_entries"].to_numpy() * 4,
        table["arch.mem2_entries"].to_numpy(),
    )
    start = time.process_time()
    nest_costs(nest, FREE.memories(arrays), TIMELOOP)
    counted = time.process_time() - start
    print(f"{len(nest) / read:,.0f} mappings read and {len(nest) / counted:,.0f} costed per CPU-s")
    layer = table[[f"prob.{d}" for d in "NKCPQRS"]].to_numpy()
    covers = (nest.extents[:, 1:] == layer).all(axis=1)
    print(f"rows that cover their layer exactly: {covers.mean():.2%}")
    cycles(nest, arrays, table["target.cycle"].to_numpy().astype(np.float64))
    hardware = table[["arch.meshX", "arch.mem1_entries", "arch.mem2_entries"]]
    configurations = hardware.groupby(list(hardware)).ngroup().to_numpy()
    for seed in range(options.seeds):
        energies(nest, arrays, configurations, table["target.energy"].to_numpy() * 1e-6, seed)


if __name__ == "__main__":
    main()
