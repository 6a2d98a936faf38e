"""How well a supernet ranks networks by the accuracy that they reach when trained alone.

    python benchmarks/supernet.py --truth truth.npz

On digits, over random networks of `mbconv` with 2, 4 or 8 bits for weights and activations of every
block: Kendall's tau between the errors that a supernet answers, as they are and after a short
fine-tuning, and the mean error of several full stand-alone trainings (500 steps each); beside it
tau between two such trainings, which is what training once is worth, and tau of MACs and BitOps.
All costs in CPU seconds. What was trained is kept: the truth in an npz file, supernets in their
folder; a second run only prints. Settings are to be tuned on other networks: ``--draw 1``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from evaluators import datasets
from evaluators.counts import BitOps, Macs
from evaluators.supernet import Supernet
from evaluators.supernet.learning import Batches, error_of, fit
from evaluators.supernet.sharing import Shapes, SharedWeights, Subnet
from hwnas import Designs
from hwnas.design import BitsPerCell, MBConv

_LAYOUT = 10
"""Laying out a supernet that is there takes less, s."""
RATE = 0.03
"""Of full trainings. It and first weights of a quarter of the usual size, those of supernets, had
the least mean error on six networks of ``--draw 1``: .15; .03 and full size .19, .01 and full size
.27."""
BITS = (2, 4, 8)
FAMILY = MBConv(cell_of="block")
SPACE = (
    FAMILY.space()
    + BitsPerCell(
        cells=FAMILY.cells, weight_bits=BITS, activation_bits=BITS, exists=FAMILY.blocks
    ).space()
)


def drawn(n: int, draw: int) -> Designs:
    return Designs(SPACE, SPACE.sample(n, np.random.default_rng(draw)))


def truth(designs: Designs, trainings: int, arguments: argparse.Namespace):
    """Errors and CPU seconds ``(trainings, n)`` of stand-alone trainings, kept as they come."""
    errors = np.full((trainings, len(designs)), np.nan)
    seconds = errors.copy()
    if arguments.truth.exists():
        kept = np.load(arguments.truth)
        assert np.array_equal(kept["genomes"], designs.genomes), "the truth is of other networks"
        rows = min(trainings, len(kept["errors"]))
        errors[:rows], seconds[:rows] = kept["errors"][:rows], kept["seconds"][:rows]
    dataset = datasets.load("digits")
    for training in range(trainings):
        for i, design in enumerate(designs):
            if np.isfinite(errors[training, i]):
                continue
            start = time.process_time()
            seed = 1000 * training + i
            own = SharedWeights(Shapes.of([design.graph]), torch.Generator().manual_seed(seed))
            network = Subnet(design.graph, own).extracted()
            fit(network, Batches(dataset, 64, seed), arguments.full, RATE, 1e-4)
            errors[training, i] = error_of(network, dataset)
            seconds[training, i] = time.process_time() - start
            np.savez(arguments.truth, genomes=designs.genomes, errors=errors, seconds=seconds)
    return errors, seconds


def show(name: str, answers, errors, seconds: str = "") -> float:
    tau, rho = kendalltau(answers, errors).statistic, spearmanr(answers, errors).statistic
    print(f"{name:44}{tau:10.3f}{rho:10.3f}{seconds:>16}", flush=True)
    return float(tau)


def supernets(designs: Designs, mean, arguments: argparse.Namespace) -> None:
    for steps in arguments.fine_tune:
        taus = []
        for seed in arguments.seeds:
            options = {"path": arguments.path, "fine_tune_steps": steps}
            supernet = Supernet(steps=arguments.steps, seed=seed, **options)
            start = time.process_time()
            supernet.prepare(SPACE)
            once = time.process_time() - start
            start = time.process_time()
            answers = supernet.evaluate(designs)["error"]
            cost = (time.process_time() - start) / len(designs)
            name = f"supernet {seed}" + (f", fine-tuned for {steps} steps" if steps else "")
            if once > _LAYOUT:
                name += f" (trained in {once:.0f} s)"
            taus.append(show(name, answers, mean, f"{cost:.2f}"))
        print(f"{f'median of {len(taus)}':44}{np.median(taus):10.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--truth", type=Path, default=Path("supernet_truth.npz"))
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--draw", type=int, default=0, help="which random networks")
    parser.add_argument("--trainings", type=int, default=2, help="full trainings per network")
    parser.add_argument("--full", type=int, default=500, help="steps of a full training")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of supernets")
    parser.add_argument("--steps", type=int, default=2000, help="of a supernet's training")
    parser.add_argument("--fine-tune", type=int, nargs="*", default=[0, 50], help="steps")
    parser.add_argument("--path", type=Path, default=None, help="folder of supernets")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    designs = drawn(arguments.networks, arguments.draw)
    errors, seconds = truth(designs, arguments.trainings, arguments)
    mean = errors.mean(axis=0)
    print(
        f"{len(designs)} of {SPACE.size():.1e} networks, digits; errors {mean.min():.3f} to ",
        end="",
    )
    print(f"{mean.max():.3f}, standard deviation {mean.std():.3f}", flush=True)
    print(f"{'':44}{'Kendall':>10}{'Spearman':>10}{'CPU s each':>16}")
    each = f"{seconds.mean():.1f}"
    if arguments.trainings > 1:
        apart = errors[:2].std(axis=0, ddof=1)
        show(
            f"one full training against another (sd {np.sqrt((apart**2).mean()):.3f})",
            *errors[:2],
            each,
        )
    for evaluator in (Macs(), BitOps()):
        name = evaluator.metrics[0].name
        show(f"{name}, the more the better", -evaluator.evaluate(designs)[name], mean)
    supernets(designs, mean, arguments)


if __name__ == "__main__":
    main()
