"""How many networks a second the cost models answer, on one core; against ZigZag where it is.

    python benchmarks/cost_model.py [--zigzag PYTHON]

Times are CPU time of one process with one thread; medians of several runs. Every row is a whole
ResNet-18 (31 layers, 12 different convolutions) on accelerators that are all different.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.dataflows import DATAFLOWS, Arrays, Gemms
from evaluators.spatial import Spatial
from evaluators.spatial import totals as spatial_totals
from evaluators.systolic import Systolic
from hwnas import Designs, SystolicArray
from hwnas.design import FixedNetwork, SpatialArray, UniformBits
from hwnas.space import Space

MANY = 20_000


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """The median CPU time of a piece of work."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def different(space: Space, n: int) -> Designs:
    """Designs that are all different, drawn at random."""
    genomes = space.sample(3 * n, np.random.default_rng(0))
    return Designs(space, np.unique(genomes, axis=0)[:n])


def bare() -> None:
    """The closed form of the systolic array alone: cycles and counts of single layers."""
    table = FixedNetwork().table
    gemms = Gemms.of(table)
    rows = np.flatnonzero(gemms.gemms > 0)
    layers = gemms.pick(rows[:, None])
    rng = np.random.default_rng(0)
    n = 400
    ones = np.ones(n)
    fields = dict.fromkeys(Arrays.__dataclass_fields__, ones)
    arrays = Arrays(
        **{
            **fields,
            "rows": rng.integers(4, 129, n) * ones,
            "columns": rng.integers(4, 129, n) * ones,
        }
    )

    def cycles() -> None:
        for _ in range(50):
            folds = np.ceil(layers.W / arrays.rows) * np.ceil(layers.N / arrays.columns)
            folds * (layers.M + 2.0 * arrays.rows + arrays.columns - 2.0)

    points = 50 * len(rows) * n
    print(f"systolic, cycles alone:           {points / seconds(cycles) / 1e6:8.1f} M layers/s")

    def motion() -> None:
        for _ in range(20):
            DATAFLOWS["ws"](layers, arrays)

    points = 20 * len(rows) * n
    print(f"systolic, cycles and all traffic: {points / seconds(motion) / 1e6:8.1f} M layers/s")


def evaluators() -> float:
    """Whole networks through the evaluators, designs decoded; the best of `spatial`, per s."""
    fixed = FixedNetwork().space()
    spaces = {
        "systolic": (Systolic(), fixed + SystolicArray().space()),
        "systolic, with bits": (
            Systolic(),
            fixed + UniformBits().space() + SystolicArray().space(),
        ),
    }
    for goal in ("energy", "latency", "edp"):
        model = Spatial(mapping=goal)
        spaces[f"spatial for {goal}"] = (model, fixed + SpatialArray().space())
    spaces["spatial for energy, with bits"] = (
        Spatial(mapping="energy"),
        fixed + UniformBits().space() + SpatialArray().space(),
    )
    best = 0.0
    for name, (model, space) in spaces.items():
        designs = different(space, MANY)
        rate = len(designs) / seconds(
            lambda m=model, d=designs: m.evaluate(Designs(d.space, d.genomes)), 3
        )
        best = max(best, rate) if name.startswith("spatial") else best
        print(f"{name + ':':33} {rate:10,.0f} networks/s")
    return best


def outside_the_core() -> None:
    """Which share of an evaluation is not spent in the core: decoding, pairing, adding up."""
    space = FixedNetwork().space() + SpatialArray().space()
    designs = different(space, MANY)
    core = spatial_totals.spatial_costs
    inside = [0.0]

    def timed(*args: Any, **options: Any) -> Any:
        start = time.process_time()
        found = core(*args, **options)
        inside[0] += time.process_time() - start
        return found

    spatial_totals.spatial_costs = timed
    try:
        start = time.process_time()
        Spatial().evaluate(designs)
        whole = time.process_time() - start
    finally:
        spatial_totals.spatial_costs = core
    print(f"spatial for edp, outside its core: {100 * (1 - inside[0] / whole):5.0f} % of the time")


def zigzag(python: str, ours: float) -> None:
    """ZigZag 3.9.1 on the 12 different convolutions, one accelerator, lpf_limit 4."""
    from hwnas.design.export import export

    space = FixedNetwork().space() + UniformBits((8,), (8,)).space()
    space = space + SpatialArray(rows=(32,), columns=(32,), dataflow=("nvdla",)).space()
    design = Designs(space, space.sample(1, np.random.default_rng(0)))[0]
    with tempfile.TemporaryDirectory() as folder:
        export(design, "zigzag").write(Path(folder))
        code = (
            "import sys, time, resource\n"
            "from zigzag import api\n"
            "start = time.process_time()\n"
            "api.get_hardware_performance_zigzag(workload='workload.yaml',"
            " accelerator='accelerator.yaml', mapping='mapping.yaml', opt='energy',"
            " dump_folder='out', pickle_filename='out/all.pickle', lpf_limit=4)\n"
            "print('CPU', time.process_time() - start)\n"
        )
        done = subprocess.run(
            [python, "-c", code], cwd=folder, capture_output=True, text=True, check=True
        )
    took = float(done.stdout.rsplit("CPU", 1)[1])
    print(f"ZigZag 3.9.1, lpf_limit 4:        {1 / took:10.3f} networks/s")
    print(f"spatial for one of its goals:     {ours * took:10,.0f} times that")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zigzag", metavar="PYTHON", help="an interpreter that has zigzag-dse")
    given = parser.parse_args()
    bare()
    best = evaluators()
    outside_the_core()
    if given.zigzag:
        zigzag(given.zigzag, best)


if __name__ == "__main__":
    sys.exit(main())
