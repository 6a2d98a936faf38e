"""What the beginning of a training tells about its end, beside a shorter training.

    python benchmarks/learning_curves.py --designs 30

Random designs of `SkipNet` and `BitsPerCell` on digits. The end is the test error of a whole
training of another seed. Per share of the epochs, against that end, Kendall's tau and the mean
absolute error of

- shorter: the test error of the whole cycle in so many epochs (`lower: shorter`),
- beginning: 1 - exp(-loss) of the full training after so many (`lower: beginning`),
- last: the test error of the full training after so many,
- pow3, exp3, ilog2: that curve of test errors, extrapolated to the last epoch. Source: Domhan,
  Springenberg, Hutter, "Speeding up automatic hyperparameter optimization of deep neural networks
  by extrapolation of learning curves", IJCAI 2015: the parametric families; one fit of least
  squares here instead of their sampling.

The test errors are watched here to give extrapolation its best case; a search would hold out
training images.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.stats import kendalltau

from evaluators import datasets
from evaluators.quantization import QuantizedNetwork
from evaluators.training import Training
from evaluators.training.loop import Recipe, Trainer, error_rate
from hwnas import BitsPerCell, Designs, SkipNet

FAMILIES = {  # error after x epochs, first guess, least and most of every parameter
    "pow3": (lambda p, x: p[0] + p[1] * x ** -p[2], [0.1, 1.0, 1.0], [0, 0, 0.01], [1, 5, 5]),
    "exp3": (lambda p, x: p[0] + np.exp(p[1] - p[2] * x), [0.1, 0.0, 0.3], [0, -5, 0], [1, 3, 5]),
    "ilog2": (lambda p, x: p[0] + p[1] / np.log(x + 1), [0.1, 0.3], [-1, 0], [1, 5]),
}


def extrapolated(family, errors, epochs):
    """The error at the last epoch by the curve through those so far."""
    curve, guess, least, most = FAMILIES[family]
    x = np.arange(1.0, len(errors) + 1)
    fitted = least_squares(lambda p: curve(p, x) - errors, guess, bounds=(least, most))
    return float(np.clip(curve(fitted.x, float(epochs)), 0, 1))


def curve_of(design, recipe):
    """Training loss and test error after every epoch, ``(epochs, 2)``."""
    dataset = datasets.load("digits")
    seed = design.seed_for("net", "quant", stream="training")
    network = QuantizedNetwork(design.graph, torch.Generator().manual_seed(seed))
    trainer = Trainer(network, dataset, recipe, seed)
    return [(loss, error_rate(network, dataset)) for loss in trainer]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.375, 0.5, 0.75])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    usual, epochs = Training().recipe, arguments.epochs
    recipes = {
        share: Recipe(max(1, round(share * epochs)), usual.batch_size, usual.learning_rate,
                      usual.weight_decay)
        for share in (*arguments.shares, 1.0)
    }  # fmt: skip
    space = SkipNet().space() + BitsPerCell().space()
    drawn = space.sample(arguments.designs, np.random.default_rng(7))
    first, second = (Designs(space, drawn, seed) for seed in (0, 1))
    end = np.array([curve_of(design, recipes[1.0])[-1][1] for design in second])
    curves = np.array([curve_of(design, recipes[1.0]) for design in first])
    between = curves[:, -1, 1]
    print(
        f"{len(end)} designs, {epochs} epochs, errors {end.min():.3f} to {end.max():.3f}; ", end=""
    )
    print(f"between two seeds tau {kendalltau(between, end).statistic:.2f}, ", end="")
    print(f"mean absolute difference {np.abs(between - end).mean():.3f}")
    print(f"{'epochs':>8}{'answer':>12}{'tau':>8}{'MAE':>8}")
    for share in arguments.shares:
        cut = recipes[share].epochs
        answers = {
            "shorter": np.array([curve_of(design, recipes[share])[-1][1] for design in first]),
            "beginning": -np.expm1(-curves[:, cut - 1, 0]),
            "last": curves[:, cut - 1, 1],
        }
        for family in FAMILIES:
            guessed = [extrapolated(family, errors[:cut], epochs) for errors in curves[:, :, 1]]
            answers[family] = np.array(guessed)
        for name, answer in answers.items():
            tau, mean = kendalltau(answer, end).statistic, np.abs(answer - end).mean()
            print(f"{cut:8}{name:>12}{tau:8.2f}{mean:8.3f}", flush=True)
    print(f"{time.process_time() - start:.0f} s of one core")


if __name__ == "__main__":
    main()
