"""What a page of the dashboard costs, as it comes and mended, in one run.

    python benchmarks/dashboard.py [--trials 2000] [--objectives 3]

The stock dashboard compares every pair of trials in Python at each refresh: 10,000 trials take it
a minute or more.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
from optuna.distributions import IntDistribution
from optuna.storages import JournalStorage
from optuna.trial import create_trial

from hwnas.dashboard import make_app
from hwnas.storage.journal import DurableJournal

SPACE = {f"g{i}": IntDistribution(0, 15) for i in range(12)}


def write(path: Path, n: int, m: int) -> None:
    rng = random.Random(0)
    journal = DurableJournal(path)
    storage = JournalStorage(journal)
    with journal.batch():
        study = optuna.create_study(storage=storage, directions=["minimize"] * m)
        for _ in range(n):
            trial = create_trial(
                values=[rng.random() for _ in range(m)],
                params={name: rng.randint(0, 15) for name in SPACE},
                distributions=SPACE,
                user_attrs={"latency": rng.random()},
                system_attrs={"constraints:area": rng.random() - 0.8},
            )
            storage.create_new_trial(study._study_id, trial)


def ask(app: Any, after: int) -> float:
    """Seconds for a page that has seen `after` trials already."""
    environ: dict[str, Any] = {"PATH_INFO": "/api/studies/0", "QUERY_STRING": f"after={after}"}
    environ["HTTP_HOST"] = "localhost"
    setup_testing_defaults(environ)
    statuses: list[str] = []
    start = time.perf_counter()
    for _ in app(environ, lambda status, headers, error=None: statuses.append(status)):
        pass
    seconds = time.perf_counter() - start
    assert statuses == ["200 OK"], statuses
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--objectives", type=int, default=3)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.journal"
        write(path, options.trials, options.objectives)
        seconds = {}
        # The stock one first: mending changes optuna-dashboard for the whole process.
        for name, make in (("stock", optuna_dashboard.wsgi), ("mended", make_app)):
            app = make(JournalStorage(DurableJournal(path)))
            seconds[name] = [ask(app, 0), ask(app, options.trials), ask(app, options.trials)]
    print(f"{options.trials} trials, {options.objectives} objectives, {len(SPACE)} parameters")
    print(f"{'':20s} {'stock, s':>10s} {'mended, s':>10s} {'ratio':>8s}")
    for page, stock, mended in zip(
        ("first page", "refresh", "next refresh"), *seconds.values(), strict=True
    ):
        print(f"{page:20s} {stock:10.3f} {mended:10.3f} {stock / mended:8.1f}")


if __name__ == "__main__":
    main()
