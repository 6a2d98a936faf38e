"""How well training-free metrics rank NAS-Bench-201 by trained accuracy, and what they cost.

    python benchmarks/zero_cost.py ../shared/data

Spearman's rank correlation with the accuracy on CIFAR-10 after 200 epochs, over all networks drawn
and inside their best 10 %; beside it that of the published values (NAS-Bench-Suite-Zero) on the
same networks, and the correlation of ours with those. The minibatch here is random, theirs of
CIFAR-10. Networks are drawn from those with published values.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from evaluators.zero_cost import ZeroCost
from evaluators.zero_cost.metrics import PROXIES
from hwnas import Designs
from hwnas.design import NASBench201

PUBLISHED = {"jacob_cov": "jacov", "naswot": "nwot"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    published = pd.read_parquet(arguments.data / "nb201_proxies.parquet").query("dataset == 'c10'")
    table = published[["arch_idx", *(PUBLISHED.get(n, n) for n in PROXIES)]].merge(
        pd.read_parquet(arguments.data / "nb201.parquet"), on="arch_idx"
    )
    table = table.sample(arguments.networks, random_state=0)
    space = NASBench201().space()
    genes = [f"op_e{name.removeprefix('net.e')}" for name in space.names]
    designs = Designs(space, table[genes].to_numpy(np.int64))
    accuracy = table["acc200_c10_test"].to_numpy()
    best = accuracy >= np.quantile(accuracy, 0.9)
    print(f"{len(table)} networks, {best.sum()} in the best 10 %, batch {arguments.batch}, random")
    head = ("all", "best 10 %", "published", "best 10 %", "ours : published", "CPU s each")
    print(f"{'':10}" + "".join(f"{text:>18}" for text in head))
    for name in PROXIES:
        start = time.process_time()
        answer = ZeroCost(metric=name, batch=arguments.batch).evaluate(designs)
        seconds = (time.process_time() - start) / len(designs)
        # What has no value ranks last.
        ours = np.where(answer.feasible, answer[name], -np.inf)
        theirs = table[PUBLISHED.get(name, name)].to_numpy()
        pairs = [(ours, accuracy), (ours[best], accuracy[best])]
        pairs += [(theirs, accuracy), (theirs[best], accuracy[best]), (ours, theirs)]
        figures = [*(spearmanr(*pair).statistic for pair in pairs), seconds]
        print(f"{name:10}" + "".join(f"{figure:18.2f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()
