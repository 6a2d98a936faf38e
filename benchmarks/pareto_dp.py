"""Pareto dynamic programming over layer-wise choices: time, front, and what thinning costs.

    python benchmarks/pareto_dp.py

Synthetic layers, CPU seconds of one thread, best of three. `random` tables have independent costs,
as those of the published yardstick (20 x 9: 0.01 s); in `trade-off` tables no row is dominated,
which is what bit widths look like and is harder. Beside ours: the same with moocore's filter alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import moocore
import numpy as np

from hwnas.errors import ExactRefusedError
from hwnas.exact.additive import pareto_sums, thinned_pareto_sums


def random(layers: int, choices: int, m: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((choices, m)) for _ in range(layers)]


def trade_off(layers: int, choices: int, m: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(layers):
        x = np.sort(rng.random(choices))
        rest = [(1 - x) ** 2 * rng.uniform(0.8, 1.2, choices) for _ in range(m - 1)]
        found.append(rng.lognormal(size=m) * np.stack([x, *rest], axis=1))
    return found


def moocore_alone(tables: Sequence[np.ndarray]) -> np.ndarray:
    front = np.zeros((1, tables[0].shape[1]))
    for table in tables:
        sums = (front[:, None] + table[None]).reshape(-1, front.shape[1])
        front = sums[moocore.is_nondominated(sums, keep_weakly=False)]
    return front


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    best, answer = float("inf"), None
    for _ in range(3):
        start = time.process_time()
        answer = function()
        best = min(best, time.process_time() - start)
    return best, answer


def rounded_up(tables: list[np.ndarray], levels: int) -> list[np.ndarray]:
    step = np.sum([table.max(axis=0) for table in tables], axis=0) / levels
    return [np.ceil(table / step) * step for table in tables]


CASES = [
    ("random", random, 20, 9, 2),
    ("random", random, 20, 15, 2),
    ("trade-off", trade_off, 20, 9, 2),
    ("trade-off", trade_off, 20, 15, 2),
    ("trade-off", trade_off, 50, 15, 2),
    ("random", random, 12, 9, 3),
    ("trade-off", trade_off, 12, 9, 3),
]


def main() -> None:
    print(f"{'tables':<12}{'layers':>7}{'rows':>6}{'m':>3}{'designs':>10}{'front':>9}{'s':>9}"
          f"{'moocore s':>11}")  # fmt: skip
    for name, make, layers, choices, m in CASES:
        tables = make(layers, choices, m)
        seconds, found = timed(lambda tables=tables: pareto_sums(tables))
        theirs, front = timed(lambda tables=tables: moocore_alone(tables))
        assert len(front) == len(found)
        print(f"{name:<12}{layers:>7}{choices:>6}{m:>3}{float(choices) ** layers:>10.0e}"
              f"{len(found):>9,}{seconds:>9.4f}{theirs:>11.4f}")  # fmt: skip

    tables = trade_off(50, 15, 3)
    try:
        pareto_sums(tables, limit=100_000)
    except ExactRefusedError as refused:
        print("\n50 layers x 15 choices, three criteria, trade-offs:", refused.what)
    seconds, found = timed(lambda: pareto_sums(rounded_up(tables, 300)))
    print(f"costs rounded up to 300 levels: {len(found):,} in {seconds:.2f} s")
    for size in (300, 1_000):
        seconds, found = timed(lambda size=size: thinned_pareto_sums(tables, size=size))
        share = found.error / np.sum([np.ptp(table, axis=0) for table in tables], axis=0)
        print(f"thinned to {size:,}: {len(found):,} in {seconds:.2f} s, guaranteed within "
              + ", ".join(f"{s:.2%}" for s in share) + " of the ranges")  # fmt: skip


if __name__ == "__main__":
    main()
