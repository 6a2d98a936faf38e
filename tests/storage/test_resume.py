"""A study that was cut off ends with what one that never was ends with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hwnas import Budget, Study
from hwnas.errors import RunDirectoryError
from tests.storage.toy import problem

BUDGET = 40


def _study(storage: Path | None, budget: int = BUDGET, **changes) -> Study:
    changes = {"searcher": "nsga2", **changes}
    return Study(problem(), budget=budget, seed=5, storage=storage, **changes)


def _run(study: Study) -> Study:
    for _ in study.run():
        pass
    return study


def _designs(study: Study) -> list[tuple[int, ...]]:
    """All designs, in the order of steps and positions."""
    rows = study.history.rows
    order = np.lexsort((rows.position, rows.step))
    return [tuple(row) for row in rows.genomes[order].tolist()]


@pytest.fixture(scope="module")
def whole() -> Study:
    return _run(_study(None))


def test_the_budget_counts_costly_projections_once(whole):
    rows = whole.history.rows
    tried = np.isfinite(rows.measurements["error"])
    space = whole.problem.space
    projected = space.canonical(rows.genomes)[tried][:, space.columns_of("net", "quant")]
    assert len(np.unique(projected, axis=0)) == BUDGET == whole.history.evaluations
    assert len(rows) > BUDGET


@pytest.mark.parametrize("stop", range(1, 60, 7))
def test_leaving_the_loop_anywhere_changes_nothing(tmp_path, whole, stop):
    """Every row is stored alone when it is finished, so this cuts steps in two."""
    file = tmp_path / "s.journal"
    study = _study(file)
    for i, _ in enumerate(study.run()):
        if i == stop:
            break
    again = _run(_study(file))
    assert _designs(again) == _designs(whole)
    assert again.progress.hypervolume == whole.progress.hypervolume


def test_kill_9_at_any_moment_loses_and_repeats_nothing(tmp_path, whole):
    file, calls = tmp_path / "s.journal", tmp_path / "calls"
    environment = {**os.environ, "TOY_CALLS": str(calls), "TOY_SECONDS": "0.02"}
    code = (
        "from tests.storage.test_resume import _study, _run\n"
        "import pathlib, sys\n"
        "study = _study(pathlib.Path(sys.argv[1]))\n"
        "import pymoo.operators.survival.rank_and_crowding.metrics\n"
        "print('started', flush=True)\n"
        "_run(study)\n"
    )
    kills = 0
    for delay in (0.1, 0.25, 0.4, 0.15, 0.3, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(file)],
            env=environment,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        time.sleep(delay)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert kills >= 3
    again = _run(_study(file))
    assert _designs(again) == _designs(whole)
    np.testing.assert_array_equal(
        np.sort(again.history.front_losses, axis=0), np.sort(whole.history.front_losses, axis=0)
    )
    # At most the one evaluation that was in work at each kill was made again.
    made = calls.read_text().splitlines()
    assert len(made) <= BUDGET + kills


def test_a_larger_budget_goes_on_where_the_smaller_ended(tmp_path, whole):
    file = tmp_path / "s.journal"
    small = _run(_study(file, budget=BUDGET))
    large = _run(_study(file, budget=BUDGET + 15))
    assert large.history.evaluations == BUDGET + 15
    assert _designs(large)[: len(_designs(small))] == _designs(small) == _designs(whole)


def test_a_larger_budget_finishes_an_interrupted_last_step_first(tmp_path):
    file = tmp_path / "s.journal"
    study = _study(file)
    for progress in study.run():
        if progress.evaluations == BUDGET - 2:
            break
    large = _run(_study(file, budget=BUDGET + 15))
    assert large.history.evaluations == BUDGET + 15
    assert len(set(_designs(large))) == len(_designs(large))


@pytest.mark.parametrize(
    ("changes", "shown"),
    [({"seed": 6}, '"seed": 6'), ({"searcher": "random"}, '"searcher": "random"')],
)
def test_another_study_is_refused_with_the_difference(tmp_path, changes, shown):
    file = tmp_path / "s.journal"
    _run(_study(file, budget=4))
    arguments = {"budget": 4, "seed": 5, **changes}
    with pytest.raises(RunDirectoryError) as caught:
        Study(problem(), storage=file, **arguments)
    assert shown in str(caught.value)


def test_time_is_counted_over_all_runs(tmp_path):
    file = tmp_path / "s.journal"
    study = _study(file, budget=Budget(10_000, seconds=0.3))
    _run(study)
    assert study.status.value == "out of time"
    again = _study(file, budget=Budget(10_000, seconds=0.3))
    assert again.status.value == "out of time"
    assert len(again.history) == len(study.history)


def test_workers_find_the_same_front(tmp_path, whole):
    parallel = _run(_study(tmp_path / "s.journal", workers=2, timeout=60.0))
    assert _designs(parallel) == _designs(whole)
