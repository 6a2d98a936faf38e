"""How well NN-Degree ranks really trained networks, inside its family and outside, beside MACs.

    python benchmarks/nn_degree.py

Per family 25 random networks at 8 bits are trained; Spearman's rank correlation with accuracy.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.stats import spearmanr

from evaluators.counts import Macs
from evaluators.nn_degree import NNDegree
from evaluators.training import Training
from hwnas import BitsPerCell, Designs, SkipNet
from hwnas.evaluation import Timeout

FAMILIES = {
    "2 cells of 6 layers": SkipNet(
        skips=("concat",),
        cells=(2,),
        layers_per_cell=(6,),
        widths=(1, 2, 3, 4, 5, 6),
        skip_channels=(0, 8, 16, 32, 64),
    ),
    "2 or 3 cells of 6 layers": SkipNet(
        skips=("concat",),
        cells=(2, 3),
        layers_per_cell=(6,),
        skip_channels=(0, 4, 8, 16, 32, 64),
    ),
    "1 to 3 cells of 4 or 6 layers": SkipNet(skips=("concat",), layers_per_cell=(4, 6)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=25)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    bits = BitsPerCell(weight_bits=(8,), activation_bits=(8,)).space()
    training = Timeout(Training(), 300.0, arguments.workers)
    print(f"{'family':32}{'NN-Degree':>10}{'MACs':>8}{'errors':>16}")
    for name, family in FAMILIES.items():
        space = family.space() + bits
        drawn = space.sample(arguments.networks, np.random.default_rng(0))
        designs = Designs(space, drawn)
        error = training.evaluate(designs)["error"]
        degree = spearmanr(NNDegree().evaluate(designs)["nn_degree"], -error).statistic
        macs = spearmanr(Macs().evaluate(designs)["macs"], -error).statistic
        spread = f"{error.min():.3f} - {error.max():.3f}"
        print(f"{name:32}{degree:10.3f}{macs:8.3f}{spread:>16}", flush=True)
    training.close()


if __name__ == "__main__":
    main()
