"""How well predictors rank NAS-Bench-201 from few trained networks, and what fitting them costs.

    python benchmarks/predicting.py ../shared/data

Features are those of `CanonicalFeatures` alone: no training-free metric, nothing trained. A seed
draws the networks that are learnt from, the first n of a permutation, and 3,000 others that are
ranked; accuracy after 200 epochs, CIFAR-10 unless said otherwise. Medians over seeds. Fits are
measured in CPU seconds, one thread, at 400 networks. Normal scores as targets, the shape of the
networks and the number of trees were chosen on ImageNet16-120 with seeds from 100 on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from hwnas import Designs, plugins
from hwnas.design import NASBench201
from hwnas.prediction import CanonicalFeatures
from hwnas.prediction.validation import coverage, kendall, spearman

NORMAL = {"target": "normal"}
PREDICTORS = {
    "gaussian_process": ("gaussian_process", {}),
    "gaussian_process, normal": ("gaussian_process", NORMAL),
    "boosted_trees": ("boosted_trees", {}),
    "random_forest": ("random_forest", {}),
    "ridge, normal": ("ridge", NORMAL),
    "mlp_ranker": ("mlp_ranker", {}),
    "stacking, normal": ("stacking", {"options": {"gaussian_process": NORMAL, "ridge": NORMAL}}),
    "stacking with mlp_ranker": (
        "stacking",
        {
            "predictors": ("gaussian_process", "boosted_trees", "mlp_ranker"),
            "options": {"gaussian_process": NORMAL},
        },
    ),
}
BARS = {100: 0.76, 156: 0.78, 1000: 0.87}
OTHERS = 3000
TIMED = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--accuracy", default="acc200_c10_test", help="acc200_in16_test")
    parser.add_argument("--only", help="predictors that begin like this")
    parser.add_argument("--sizes", default=",".join(map(str, BARS)))
    arguments = parser.parse_args()
    table = pd.read_parquet(arguments.data / "nb201.parquet")
    space = NASBench201().space()
    genes = [f"op_e{name.removeprefix('net.e')}" for name in space.names]
    X = CanonicalFeatures().matrix(Designs(space, table[genes].to_numpy(np.int64)))
    y = table[arguments.accuracy].to_numpy()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    last = arguments.first_seed + arguments.seeds
    seeds = range(arguments.first_seed, last)
    bars = ", ".join(f"{BARS[n]} at {n:,}" for n in sizes if n in BARS)
    print(f"{arguments.accuracy}, seeds {seeds[0]} to {seeds[-1]}, Kendall's tau; bars {bars}")
    head = [f"{n:,}" for n in sizes] + ["Spearman", "in 95 %", f"fit {TIMED}"]
    print(f"{'':26}" + "".join(f"{text:>12}" for text in head))
    for label, (name, options) in PREDICTORS.items():
        if arguments.only and not label.startswith(arguments.only):
            continue
        kind = plugins.load("hwnas.predictors", name)
        with threadpool_limits(1):
            row = figures(kind, options, X, y, sizes, seeds)
        print(f"{label:26}" + "".join(f"{value:12.3f}" for value in row), flush=True)


def figures(kind, options, X, y, sizes, seeds) -> list[float]:
    taus, rhos, inside, seconds = [], [], [], []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(y))
        others = order[-OTHERS:]
        for n in sizes:
            few = order[:n]
            model = kind(**options, random_state=seed).fit(X[few], y[few])
            mean, std = model.predict(X[others], return_std=True)
            taus.append(kendall(mean, y[others]))
            rhos.append(spearman(mean, y[others]))
            inside.append(coverage(mean, std, y[others], 0.95))
        start = time.process_time()
        kind(**options, random_state=seed).fit(X[order[:TIMED]], y[order[:TIMED]])
        seconds.append(time.process_time() - start)
    by_size = np.median(np.reshape(taus, (len(seeds), len(sizes))), axis=0)
    first = np.median(np.reshape(rhos, (len(seeds), len(sizes)))[:, 0])
    return [*by_size, first, float(np.median(inside)), float(np.median(seconds))]


if __name__ == "__main__":
    main()
