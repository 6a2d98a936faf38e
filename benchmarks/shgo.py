"""SHGO as FLASH uses it, beside NSGA-II and random search at the same number of evaluations.

    python benchmarks/shgo.py                  # 2,000 evaluations, 10 seeds
    python benchmarks/shgo.py --budget 500 --seeds 3
    python benchmarks/shgo.py --stand-in other

FLASH's search space and cost models are not published in detail. This is a stand-in of about its
size (7 genes, 5e10 designs), declared here in closed form and NOT FLASH's: a network of dense cells
on a systolic array, to minimise the error and the product of latency, energy and area. SHGO's
settings were chosen on it; ``other`` has other constants, no setting was chosen on it. Hypervolume
is the share of that of the best-known front, the union of everything found here and of long runs.
CPU seconds of this process, one thread. The seed counts in SHGO only for what fills up its batches.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np

from hwnas import Designs, Gene, Problem, Space, Study, measures
from hwnas.problem import nondominated

SPACE = Space(
    (
        Gene("net.cells", (1, 2, 3)),
        Gene("net.layers", tuple(range(5, 31))),
        Gene("net.width", (1, 2, 3)),
        Gene("net.skip", tuple(range(101))),
        Gene("hw.rows", tuple(range(1, 129))),
        Gene("hw.columns", tuple(range(1, 129))),
        Gene("hw.buffer", tuple(8 * i for i in range(1, 129))),
    )
)


@dataclass(frozen=True)
class Constants:
    """What a stand-in is made of.

    Lengths are in pixels and channels, energies in J (DRAM: per byte), bandwidth in bytes per
    cycle, areas in mm2 (SRAM: per KiB), leakage in W per mm2. The reference of the hypervolume is
    an error in percent and a log_cost, about the worst of random designs.
    """

    width: int = 16
    image: int = 32
    clock: float = 1e9
    bandwidth: float = 16.0
    mac: float = 0.5e-12
    sram: float = 0.2e-12
    dram: float = 100e-12
    leakage: float = 20e-3
    pe_area: float = 1e-3
    sram_area: float = 1.5e-3
    chip: float = 0.2
    saturation: float = 60.0
    depth: float = 8.0
    reference: tuple[float, float] = (50.0, 8.0)


STAND_INS = {
    "first": Constants(),
    "other": Constants(
        width=24,
        image=48,
        clock=0.4e9,
        bandwidth=4.0,
        mac=1.2e-12,
        sram=0.1e-12,
        dram=40e-12,
        leakage=60e-3,
        pe_area=3e-3,
        sram_area=0.8e-3,
        chip=1.0,
        saturation=150.0,
        depth=14.0,
        reference=(95.0, 16.0),
    ),
}


def channels(designs: Designs, width_1: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per design, cell and layer: width, channels borrowed over skips, 1 where there is a layer."""
    cells, layers, width, skip = (
        designs[f"net.{name}"].astype(float)[:, None, None]
        for name in ("cells", "layers", "width", "skip")
    )
    cell, layer = np.arange(3.0)[None, :, None], np.arange(30.0)[None, None, :]
    wide = width_1 * width * 2**cell
    borrowed = np.minimum(skip, np.maximum(layer - 1, 0) * wide)
    there = (cell < cells) & (layer < layers)
    return np.broadcast_to(wide, there.shape), borrowed, there.astype(float)


def stand_in(c: Constants) -> Problem:
    """The stand-in with some constants."""

    @measures("error", "log_cost", expense="free", batch=True)
    def measured(designs: Designs) -> dict[str, np.ndarray]:
        """Error in percent, and the logarithm of latency (ms) x energy (mJ) x area (mm2)."""
        wide, borrowed, there = channels(designs, c.width)
        layers = designs["net.layers"].astype(float)
        # NN-Degree: short links of a cell and its long links per layer; accuracy saturates in it.
        degree = (there.max(axis=2) * wide[:, :, 0]).sum(axis=1)
        degree += (there * borrowed).sum(axis=(1, 2)) / layers
        accuracy = 1 / (0.02 * np.exp(c.saturation / degree) + 1.016) - 0.08 * np.exp(
            -layers / c.depth
        )
        rows, columns, buffer = (
            designs[f"hw.{name}"].astype(float) for name in ("rows", "columns", "buffer")
        )
        pixels = (c.image / 2 ** np.arange(3.0))[None, :, None] ** 2
        inputs = wide + borrowed
        macs = there * 9 * pixels * inputs * wide
        folds = np.ceil(9 * inputs / rows[:, None, None]) * np.ceil(wide / columns[:, None, None])
        cycles = there * folds * (pixels + (rows + columns)[:, None, None])
        weights, maps = there * 9 * inputs * wide, there * pixels * inputs
        refetches = np.ceil(weights / (512 * buffer)[:, None, None])
        traffic = weights + there * maps * np.where(
            weights + maps > (1024 * buffer)[:, None, None], refetches, 1.0
        )
        seconds = np.maximum(cycles, traffic / c.bandwidth).sum(axis=(1, 2)) / c.clock
        area = c.chip + c.pe_area * rows * columns + c.sram_area * buffer
        reads = (macs / rows[:, None, None]).sum(axis=(1, 2)) * np.sqrt(buffer / 8)
        energy = c.mac * macs.sum(axis=(1, 2)) + c.sram * reads + c.dram * traffic.sum(axis=(1, 2))
        energy += c.leakage * area * seconds
        return {
            "error": 100 * (1 - accuracy),
            "log_cost": np.log(1e3 * seconds * 1e3 * energy * area),
        }

    return Problem(SPACE, [measured], ["error", "log_cost"])


LONG = 30_000


def searched(problem: Problem, name: str, budget: int, seed: int) -> tuple[np.ndarray, float]:
    """What a searcher measured, in order, and its CPU seconds."""
    start = time.process_time()
    study = Study(problem, name, budget=budget, seed=seed)
    for _ in study.run():
        pass
    losses = problem.losses(study.history.rows.measurements)
    return losses, time.process_time() - start


def volume(losses: np.ndarray, reference: np.ndarray) -> float:
    """The hypervolume against the reference."""
    import moocore

    front = losses[nondominated(losses)]
    return float(moocore.hypervolume(front[(front < reference).all(axis=1)], ref=reference))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--stand-in", choices=STAND_INS, default="first")
    arguments = parser.parse_args()
    constants = STAND_INS[arguments.stand_in]
    problem, reference = stand_in(constants), np.array(constants.reference)
    budget, seeds = arguments.budget, range(arguments.seeds)
    searched(problem, "shgo", 200, 0)  # imports
    names = ("shgo", "nsga2", "local_search", "regularized_evolution", "random")
    runs = {name: [searched(problem, name, budget, seed) for seed in seeds] for name in names}
    long = [searched(problem, "nsga2", LONG, 100 + seed)[0] for seed in range(2)]
    long.append(searched(problem, "shgo", LONG // 3, 100)[0])
    everything = [*long, *(losses for name in runs for losses, _ in runs[name])]
    best = volume(np.concatenate(everything), reference)
    print(f"{SPACE.size():.3g} designs; reference {reference.tolist()}; 1 is the best-known front")
    marks = sorted({*(n for n in (250, 500, 1000) if n < budget), budget})
    print(f"{'':23}{'runs':>5}" + "".join(f"{f'HV at {n:,}':>13}" for n in marks), end="")
    print(f"{'least':>9}{'most':>9}{'ratio':>9}{'gap':>9}{'CPU s':>8}")
    base = 0.0
    for name, results in runs.items():
        shares = np.array(
            [[volume(losses[:n], reference) / best for n in marks] for losses, _ in results]
        )
        median = np.median(shares, axis=0)
        base = base or median[-1]
        seconds = np.median([spent for _, spent in results])
        print(
            f"{name:23}{len(results):5}" + "".join(f"{share:13.4f}" for share in median),
            f"{shares[:, -1].min():8.4f}{shares[:, -1].max():9.4f}{base / median[-1]:9.4f}"
            f"{(1 - median[-1]) / (1 - base):9.2f}{seconds:8.2f}",
        )
    print("ratio: hypervolume of shgo over it; gap: what it misses of the front, over shgo's")


if __name__ == "__main__":
    main()
