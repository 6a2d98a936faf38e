"""What few bits cost and save on Fashion-MNIST, with both sides trained for real.

    hwnas run studies/fashion_mnist.yaml --dir runs/fashion_mnist
    python benchmarks/fashion_mnist.py runs/fashion_mnist

Of the designs of the front with 8 bits or less, the most accurate ones are trained with 32 bits,
too, and costed on the same accelerator. ``--seeds 3`` trains both with further seeds, as one
training says little: errors of equal networks differ by some tenths of a point.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hwnas.design import Designs
from hwnas.session import reopen

BITS = ("quant.weight_bits", "quant.activation_bits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--top", type=int, default=2, help="designs that are compared")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each")
    given = parser.parse_args()
    study = reopen(given.run).study
    problem, space = study.problem, study.problem.space
    (training,) = problem.costly
    front = np.array([design.number for design in study.front().designs])
    genomes = study.history.rows.genomes[front]
    columns = [space.names.index(name) for name in BITS]
    few = np.all([problem.designs(genomes, 0)[name] <= 8 for name in BITS], axis=0)
    error = study.history.rows.measurements["error"][front]
    order = np.argsort(error[few], kind="stable")
    # Accelerators of one network at some bits share its training: the first one stands for them.
    costly = genomes[few][order][:, problem.costly_columns]
    _, first = np.unique(costly, axis=0, return_index=True)
    order = order[np.sort(first)[: given.top]]
    chosen = genomes[few][order]
    whole = chosen.copy()
    whole[:, columns] = [len(space.genes[column].choices) - 1 for column in columns]
    print(f"{'design':>6} {'bits':>7} {'error':>7} {'32-bit':>7} {'points':>7} {'energy':>7}")
    for number, pair in zip(front[few][order], np.stack([chosen, whole], axis=1), strict=True):
        twin = training.evaluate(Designs(space, pair[1:], study.seed))
        energy = problem.free(Designs(space, pair, study.seed))["energy"]
        further = [
            training.evaluate(Designs(space, pair, study.seed + seed))["error"]
            for seed in range(1, given.seeds)
        ]
        own = (study.history.rows.measurements["error"][number], twin["error"][0])
        mean = np.mean([own, *further], axis=0)
        weight, activation = (problem.designs(pair, 0)[name][0] for name in BITS)
        print(
            f"{number:6} {f'{weight}/{activation}':>7} {mean[0]:7.4f} {mean[1]:7.4f} "
            f"{100 * (mean[0] - mean[1]):7.2f} {energy[0] / energy[1]:7.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
