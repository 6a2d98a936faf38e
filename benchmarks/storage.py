"""What it costs to keep a trial: 35 parameters, 3 objectives, each way of writing side by side.

    python benchmarks/storage.py [--trials 500] [--batch 50] [--rounds 5] [--folder DIR]

Every round runs all ways one after the other on fresh files, so that the load of the machine hits
them alike; the table shows the fastest round of each, and ratios to Optuna's own journal. A disk's
fsync is part of what is measured: name a folder on the disk that counts.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial, create_trial

from hwnas.storage.journal import DurableJournal

SPACE = {f"net.g{i}": CategoricalDistribution(list(range(5))) for i in range(20)} | {
    f"hw.g{i}": IntDistribution(0, 15) for i in range(15)
}
STOCK = "Optuna's journal, one by one: study.add_trial"


def some_trials(n: int) -> list[FrozenTrial]:
    rng = random.Random(0)
    return [
        create_trial(
            values=[rng.random() for _ in range(3)],
            params={
                name: rng.choice(d.choices)
                if isinstance(d, CategoricalDistribution)
                else rng.randint(d.low, d.high)
                for name, d in SPACE.items()
            },
            distributions=SPACE,
            user_attrs={"latency": rng.random(), "energy": rng.random()},
            system_attrs={"constraints:area": -rng.random()},
        )
        for _ in range(n)
    ]


def new_study(storage: BaseStorage | str | None) -> optuna.Study:
    return optuna.create_study(storage=storage, directions=["minimize"] * 3)


def one_by_one(study: optuna.Study, trials: list[FrozenTrial]) -> float:
    """Seconds a trial."""
    start = time.perf_counter()
    study.add_trials(trials)
    return (time.perf_counter() - start) / len(trials)


def batched(path: Path, trials: list[FrozenTrial], size: int, direct: bool) -> float:
    """Seconds a trial; `direct` leaves out what Optuna checks before it stores a trial."""
    journal = DurableJournal(path)
    storage = JournalStorage(journal)
    study = new_study(storage)
    start = time.perf_counter()
    for first in range(0, len(trials), size):
        with journal.batch():
            for trial in trials[first : first + size]:
                if direct:
                    storage.create_new_trial(study._study_id, template_trial=trial)
                else:
                    study.add_trial(trial)
    return (time.perf_counter() - start) / len(trials)


def loading(backend: BaseJournalBackend) -> float:
    """Seconds a trial."""
    start = time.perf_counter()
    n = len(JournalStorage(backend).get_all_trials(0, deepcopy=False))
    return (time.perf_counter() - start) / n


def round_of(folder: Path, trials: list[FrozenTrial], size: int) -> dict[str, float]:
    """Every way once: seconds a trial."""
    stock, ours = folder / "stock.journal", folder / "ours.journal"
    few = trials[:20]
    return {
        "in memory: study.add_trial": one_by_one(new_study(None), trials),
        f"hwnas, batches of {size}: study.add_trial": batched(ours, trials, size, direct=False),
        f"hwnas, batches of {size}: storage.create_new_trial": batched(
            folder / "direct.journal", trials, size, direct=True
        ),
        "hwnas, one by one: study.add_trial": one_by_one(
            new_study(JournalStorage(DurableJournal(folder / "single.journal"))), trials
        ),
        STOCK: one_by_one(new_study(JournalStorage(JournalFileBackend(str(stock)))), trials),
        f"SQLite: study.add_trial ({len(few)} trials)": one_by_one(
            new_study(f"sqlite:///{folder / 'study.db'}"), few
        ),
        "hwnas: loading": loading(DurableJournal(ours)),
        "Optuna's journal: loading": loading(JournalFileBackend(str(ours))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = some_trials(options.trials)
    best: dict[str, float] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            for way, seconds in round_of(Path(folder), trials, options.batch).items():
                best[way] = min(best.get(way, seconds), seconds)
    print(f"{options.trials} trials, {len(SPACE)} parameters, 3 objectives")
    print(f"{'':52s} {'ms a trial':>10s} {'ratio':>7s}")
    for way, seconds in best.items():
        print(f"{way:52s} {1e3 * seconds:10.3f} {seconds / best[STOCK]:7.2f}")


if __name__ == "__main__":
    main()
