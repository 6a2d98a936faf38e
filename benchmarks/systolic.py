"""How many designs a second the systolic cost model measures on one core.

    python benchmarks/systolic.py

Three ways in one run, CPU time, decoding of genomes included: one network on many accelerators
(what an exact inner search asks), random joint designs (what a plain search asks), and the latter
one by one, as a caller without batches would.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from evaluators.systolic import Systolic
from hwnas.design import BitsPerCell, Designs, SkipNet, SystolicArray

SPACE = (
    SkipNet(cells=(3,), layers_per_cell=(6,), skips=("concat",)).space()
    + BitsPerCell().space()
    + SystolicArray().space()
)
"""Networks of 20 layers with weights (stem, 3 cells of 6, classifier) and one pooling layer."""


def seconds(task: Callable[[], object], repeats: int) -> float:
    """Least CPU time of some runs, s."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        task()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=100_000, help="designs per batch")
    parser.add_argument("--single", type=int, default=300, help="designs measured one by one")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the best counts")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    systolic = Systolic()
    joint = SPACE.sample(options.designs, np.random.default_rng(options.seed))
    shared = joint.copy()
    network = SPACE.columns_of("net", "quant")
    shared[:, network] = shared[0, network]
    few = Designs(SPACE, joint[: options.single])

    def batch(genomes: np.ndarray) -> Callable[[], object]:
        return lambda: systolic.evaluate(Designs(SPACE, genomes))

    def one_by_one() -> None:
        for i in range(len(few)):
            systolic.evaluate(few[i : i + 1])

    rates = {
        "one network x many accelerators": options.designs
        / seconds(batch(shared), options.repeats),
        "random joint designs": options.designs / seconds(batch(joint), options.repeats),
        "random joint designs, one by one": options.single / seconds(one_by_one, options.repeats),
    }
    rows = len(Designs(SPACE, shared[:1]).layers)
    slowest = min(rates.values())
    print(f"{options.designs:,} designs of {rows} layer rows; evaluations/s on one core:")
    for name, rate in rates.items():
        print(f"  {name:<34}{rate:>12,.0f}   {rate / slowest:>7.1f} x")


if __name__ == "__main__":
    main()
