"""Grey-box search against NSGA-II where every error is that of a real training, on 8 x 8 digits.

    python benchmarks/digits.py --seeds 10

Skip-connected networks, bits per cell, the accelerators and the objectives of the quickstart. Every
setting of network and bits that a searcher asks for is trained with quantisation (6 epochs of
`training`, about a second each), and kept in runs/digits/errors.csv: a training depends on its
setting alone, so that searchers share what was trained, and an interrupted run is gone on with.
Volumes are shares of that of the best front known, the union of the fronts of all runs.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np
import pandas as pd
import problems
from filelock import FileLock
from joblib import Parallel, delayed

from evaluators.systolic import Systolic
from evaluators.training import Training
from hwnas import BitsPerCell, Problem, SkipNet, Space, Study, SystolicArray
from hwnas.arrays import Floats, Ints
from hwnas.design import Designs
from hwnas.problem import nondominated
from hwnas.space import keys
from hwnas.yardstick import Yardstick

SETTINGS: Space = (
    SkipNet(
        cells=(1, 2),
        layers_per_cell=(2, 3, 4),
        widths=(1, 2, 3, 4),
        skip_channels=(0, 4, 8, 16),
    ).space()
    + BitsPerCell(cells=2, weight_bits=(2, 3, 4, 6, 8), activation_bits=(3, 4, 6, 8)).space()
)
OBJECTIVES = ("error", "energy", "latency")
CONSTRAINTS = ("area <= 0.3 mm2",)
EPOCHS = 6
CHECKPOINTS = (5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 250)
BUDGETS = {"greybox": 30, "nsga2": 250}


class Trainings:
    """Errors of settings, trained when first asked for.

    Args:
        file: Keeps them: genes and the error of each. Other processes may add to it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[bytes, float] = {}

    def read(self) -> None:
        """Takes what other processes have trained, too."""
        if self.file.exists():
            table = pd.read_csv(self.file)
            genomes = table[list(SETTINGS.names)].to_numpy(np.int64)
            self.known = dict(zip(keys(genomes), table["error"], strict=True))

    def __call__(self, designs: Designs) -> Floats:
        """Errors ``(n,)``; a training that diverged is as wrong as a guess."""
        rows = designs.space.canonical(designs.genomes)[:, designs.space.columns_of("net", "quant")]
        rows = np.ascontiguousarray(rows)
        if not self.known.keys() >= set(keys(rows)):
            self.read()
        for row, key in zip(rows, keys(rows), strict=True):
            if key not in self.known:
                self.known[key] = self.train(row[None])
        return np.array([self.known[key] for key in keys(rows)])

    def train(self, row: Ints) -> float:
        answer = Training(epochs=EPOCHS, fidelities=()).evaluate(Designs(SETTINGS, row, 0))
        error = float(np.nan_to_num(answer["error"][0], nan=0.9))
        line = pd.DataFrame(row, columns=list(SETTINGS.names)).assign(error=error)
        with FileLock(self.file.with_suffix(".lock")):
            line.to_csv(self.file, mode="a", header=not self.file.exists(), index=False)
        return error


def fronts(folder: Path, searcher: str, seed: int) -> dict[int, Floats]:
    """Losses of the front after each checkpoint; kept in a file, so that it is run once."""
    kept = folder / f"{searcher}-{seed}.npz"
    if not kept.exists():
        space = SETTINGS + SystolicArray().space()
        evaluators = [problems.Error(Trainings(folder / "errors.csv")), Systolic()]
        problem = Problem(space, evaluators, OBJECTIVES, CONSTRAINTS)
        reached: dict[str, Floats] = {}
        study = Study(problem, searcher, budget=BUDGETS[searcher], seed=seed)
        for progress in study.run():
            for checkpoint in CHECKPOINTS:
                if progress.evaluations <= checkpoint <= BUDGETS[searcher]:
                    reached[str(checkpoint)] = study.history.front_losses
        np.savez(kept, **reached)
    with np.load(kept) as arrays:
        return {int(checkpoint): arrays[checkpoint] for checkpoint in arrays}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/digits"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    runs = [(searcher, seed) for seed in range(given.seeds) for searcher in BUDGETS]
    found = Parallel(n_jobs=given.workers)(delayed(fronts)(given.folder, *run) for run in runs)
    best = np.vstack([front for reached in found for front in reached.values()])
    best = best[nondominated(best)]
    box = Yardstick.spanning(best, {})
    whole = box.hypervolume(best)
    print(f"the best known front has {len(best)} designs; trainings:")
    print(f"{'':10}" + "".join(f"{c:>18}" for c in CHECKPOINTS))
    for searcher in BUDGETS:
        shares = [
            [box.hypervolume(reached[c]) / whole if c in reached else np.nan for c in CHECKPOINTS]
            for (name, _), reached in zip(runs, found, strict=True)
            if name == searcher
        ]
        quartiles = np.quantile(shares, [0.25, 0.5, 0.75], axis=0).T
        shown = ("" if np.isnan(m) else f"{m:.3f} {a:.3f}-{b:.3f}" for a, m, b in quartiles)
        cells = "".join(cell.rjust(18) for cell in shown)
        print(f"{searcher:10}{cells}", flush=True)


if __name__ == "__main__":
    main()
