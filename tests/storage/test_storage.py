"""The history in an Optuna storage: nothing is lost on the way, and Optuna reads it rightly."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from hwnas.errors import StorageError
from hwnas.history import Block, History
from hwnas.metrics import Measurements, Reason
from hwnas.problem import Problem
from hwnas.storage import StudyStore
from tests.storage.toy import SPACE, error, latency, problem


def _block(n: int, seed: int = 0) -> Block:
    rng = np.random.default_rng(seed)
    genomes = rng.integers(0, SPACE.cardinalities, size=(n, len(SPACE)))  # some genes sleep
    measured = problem().evaluate(problem().designs(genomes))
    return Block(
        genomes,
        measured,
        np.arange(n) // 4,
        np.arange(n) % 4,
        np.full(n, 5),
        np.full(n, 4),
        np.linspace(0, 1, n).round(3),
    )


def _assert_equal(a: Block, b: Block) -> None:
    np.testing.assert_array_equal(a.genomes, b.genomes)
    for name in ("step", "position", "asked", "size", "at"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name, column in a.measurements.columns.items():
        np.testing.assert_array_equal(column, b.measurements[name], err_msg=name)
    np.testing.assert_array_equal(a.measurements.reason, b.measurements.reason)
    assert a.measurements.notes == b.measurements.notes


@pytest.fixture(params=["journal", "sqlite", "memory"])
def target(request, tmp_path):
    return {
        "journal": str(tmp_path / "s.journal"),
        "sqlite": f"sqlite:///{tmp_path / 's.db'}",
        "memory": None,
    }[request.param]


def test_rows_come_back_as_they_were(target):
    store = StudyStore(target, "s")
    store.create(problem(), {"seed": 1}, "note")
    block = _block(21)
    assert (block.measurements.reason == Reason.RULED_OUT).any()
    assert not np.array_equal(block.genomes, SPACE.canonical(block.genomes))
    store.append(problem(), block.take(np.arange(13)))
    store.append(problem(), block.take(np.arange(13, 21)))
    again = store if target is None else StudyStore(target, "s")
    _assert_equal(block, again.read(problem()))
    assert again.record() == {"seed": 1}


def test_optuna_sees_the_same_front(tmp_path):
    store = StudyStore(tmp_path / "s.journal", "s")
    store.create(problem(), {}, "note")
    block = _block(60, seed=3)
    store.append(problem(), block)
    history = History(problem())
    history.add(block)
    seen = {(t.user_attrs["error"], t.user_attrs["latency"]) for t in store.study.best_trials}
    ours = {tuple(losses) for losses in history.front_losses}
    assert seen == ours
    assert store.study.metric_names == ["error", "latency"]


def test_trials_are_readable_for_a_person(tmp_path):
    maximised = Problem(SPACE, [error, latency], ["maximize: speed = 1 / latency", "error"])
    store = StudyStore(tmp_path / "s.journal", "s")
    store.create(maximised, {}, "note")
    block = _block(4)
    measured = maximised.evaluate(maximised.designs(block.genomes))
    store.append(maximised, Block(block.genomes, measured, *(np.zeros(4, int),) * 4, np.zeros(4)))
    trial = store.study.trials[0]
    assert store.study.directions[0] == optuna.study.StudyDirection.MAXIMIZE
    assert trial.values == pytest.approx([1 / measured["latency"][0], measured["error"][0]])
    active = SPACE.active(block.genomes)[0]
    assert set(trial.params) == {n for n, on in zip(SPACE.names, active, strict=True) if on}


def test_a_failed_row_is_a_failed_trial_with_its_reason(tmp_path):
    store = StudyStore(tmp_path / "s.journal", "s")
    store.create(problem(), {}, "")
    rows = _block(1)
    failed = Measurements.nothing(
        tuple(problem().metrics.values()), 1, Reason.RAISED, "ValueError: no"
    )
    block = Block(rows.genomes, failed, rows.step, rows.position, rows.asked, rows.size, rows.at)
    store.append(problem(), block)
    trial = store.study.trials[0]
    assert trial.state == optuna.trial.TrialState.FAIL
    assert trial.user_attrs == {"reason": "raised", "note": "ValueError: no"}
    _assert_equal(block, store.read(problem()))


def test_trials_of_others_are_left_out(tmp_path):
    store = StudyStore(tmp_path / "s.journal", "s")
    store.create(problem(), {}, "")
    store.append(problem(), _block(3))
    store.study.ask()
    assert len(store.read(problem())) == 3


def test_a_study_of_somebody_else_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 's.db'}"
    optuna.create_study(study_name="s", storage=url)
    with pytest.raises(StorageError, match="not written by hwnas"):
        StudyStore(url, "s").record()


@pytest.mark.parametrize("text", ["this is no journal\n", "{}\n[1, 2]\n", "\x00" * 100 + "\n"])
def test_a_corrupt_journal_is_one_clear_message(tmp_path, text):
    file = tmp_path / "s.journal"
    file.write_text(text + '{"op_code": 0}\n')
    with pytest.raises(StorageError) as caught:
        StudyStore(file, "s").record()
    assert str(file) in str(caught.value)


def test_a_corrupt_database_is_one_clear_message(tmp_path):
    file = tmp_path / "s.db"
    file.write_bytes(b"SQLite format 3\x00" + bytes(range(256)) * 40)
    with pytest.raises(StorageError, match="cannot be used"):
        StudyStore(f"sqlite:///{file}", "s")


def test_the_password_is_never_shown():
    with pytest.raises(StorageError) as caught:
        StudyStore("postgresql://user:secret@127.0.0.1:1/db", "s")
    assert "secret" not in str(caught.value)
