"""What trainings cost and reach on digits: precision schedules, slimmed data, lower resolution.

    python benchmarks/schedules.py --seeds 10

Networks of `SkipNet` at uniform bits, trained for real. Per kind of training: its bit operations as
a share of those of the usual training (gradients of 8 bits, as in CPT), and the median and
quartiles over networks and seeds of its test error, and of the difference to the usual training's
error of the same network and seed. Shorter usual trainings are what a schedule has to beat at equal
cost.
"""

from __future__ import annotations

import argparse
import os
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
from joblib import Parallel, delayed

from evaluators.training import Training
from evaluators.training_cost import TrainingCost
from hwnas import Designs, SkipNet
from hwnas.design import SearchedTraining, UniformBits

EPOCHS = 8
FAMILY = SkipNet(cells=(2,), layers_per_cell=(3,), widths=(1, 2, 3), skip_channels=(8,))
GENES = SearchedTraining(
    resolution=(6, 8),
    keep=(0.5, 0.75, 1.0),
    easy=("drop", "downsample"),
    easy_weight=(0.5, 1.0),
    schedule=("constant", "cyclic", "progressive"),
    lower_bits=(2, 3, 4),
    upper_bits=(8,),
    cycles=(1, 2, 4, 8),
    stages=((3, 8), (4, 8), (3, 4, 6, 8)),
)
USUAL = {"train.resolution": 8, "train.keep": 1.0, "train.schedule": "constant"}
CYCLE = {"train.schedule": "cyclic", "train.upper_bits": 8}
STAGES = {"train.schedule": "progressive"}
KINDS: dict[str, tuple[int, dict[str, object]]] = {
    "usual": (EPOCHS, {}),
    **{f"usual, {epochs} epochs": (epochs, {}) for epochs in (7, 6, 5, 4)},
    **{
        f"cyclic {lower}-8, {cycles} cycles": (
            EPOCHS,
            CYCLE | {"train.lower_bits": lower, "train.cycles": cycles},
        )
        for lower, cycles in ((2, 4), (3, 1), (3, 2), (3, 4), (3, 8), (4, 4))
    },
    **{
        f"progressive {stages}": (EPOCHS, STAGES | {"train.stages": stages})
        for stages in ("3-8", "4-8", "3-4-6-8")
    },
    **{
        f"{share:.0%} kept, rest dropped": (EPOCHS, {"train.keep": share, "train.easy": "drop"})
        for share in (0.75, 0.5)
    },
    **{
        f"50% kept, rest small, weight {weight:g}": (
            EPOCHS,
            {"train.keep": 0.5, "train.easy": "downsample", "train.easy_weight": weight},
        )
        for weight in (1.0, 0.5)
    },
    "6 x 6 pixels": (EPOCHS, {"train.resolution": 6}),
}


def networks(bits: int, genes: dict[str, object], seed: int) -> Designs:
    """One design per width, trained in one way."""
    space = FAMILY.space() + UniformBits((bits,), (8,)).space() + GENES.space()
    small = space.restrict({"net.skip": "add", **(USUAL | genes)})
    return Designs(space, small.translate(small.rows(), space)[0], seed)


def measured(name: str, bits: int, seed: int) -> tuple[float, np.ndarray]:
    """Mean bit operations and the errors of all networks."""
    epochs, genes = KINDS[name]
    designs = networks(bits, genes, seed)
    cost = TrainingCost(epochs=epochs, gradient_bits=8).evaluate(designs)["training_bitops"]
    answer = Training(epochs=epochs).evaluate(designs)
    # A diverged training guesses.
    return float(cost.mean()), np.where(answer.feasible, answer["error"], 0.9)


def _quartiles(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:7.3f} {low:6.3f} to {high:6.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--bits", type=int, default=4, help="of weights; activations have 8")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    given = parser.parse_args()
    start = time.perf_counter()
    names = [name for name in KINDS if name == "usual" or given.only in name]
    tasks = [(name, given.bits, seed) for name in names for seed in range(given.seeds)]
    answers = Parallel(n_jobs=given.jobs)(delayed(measured)(*task) for task in tasks)
    errors = {name: [] for name in names}
    costs = {}
    for (name, _, _), (cost, found) in zip(tasks, answers, strict=True):
        errors[name].append(found)
        costs[name] = cost
    usual = np.array(errors["usual"])
    print(f"{given.bits} weight bits, {usual.shape[1]} networks, {given.seeds} seeds")
    print(f"{'training':32}{'cost':>6}{'error':>8}{'quartiles':>17}{'difference':>13}")
    for name in names:
        found = np.array(errors[name])
        share = costs[name] / costs["usual"]
        print(f"{name:32}{share:6.2f} {_quartiles(found)}   {_quartiles(found - usual)}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
