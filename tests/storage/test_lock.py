"""The journal's lock: killed holders, living ones, Optuna's own and those of other machines."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import (
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
)

from hwnas.errors import StorageError
from hwnas.storage import lock as filelock
from tests.storage.journals import by_stock, marks, new_study, opened, python, template

HOLDER = """
import sys, time
from optuna.storages import JournalStorage
from hwnas.storage.journal import DurableJournal
sys.path.insert(0, sys.argv[3])
from tests.storage.journals import template

backend = DurableJournal(sys.argv[1], grace=0.2)
storage = JournalStorage(backend)
with backend.batch():
    storage.create_new_trial(0, template("holder"))
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_killed_holder_of_this_machine_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    with python(HOLDER, path, 600) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert path.with_name("study.journal.lock").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Within its patience, and long before the grace.
    opened(path, grace=600, patience=30)[1].create_new_trial(0, template("next"))
    assert marks(by_stock(path)) == ["next"]


def test_a_living_holder_is_waited_for_beyond_the_grace(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    with python(HOLDER, path, 1.0) as process:
        assert process.stdout is not None
        process.stdout.readline()
        opened(path, grace=0.1)[1].create_new_trial(0, template("next"))
    assert process.returncode == 0
    assert marks(by_stock(path)) == ["holder", "next"]


@pytest.mark.parametrize("kind", [JournalFileSymlinkLock, JournalFileOpenLock])
def test_an_abandoned_lock_of_optuna_is_broken_after_the_grace(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    kind(str(path)).acquire()
    with pytest.raises(StorageError, match="unknown process"):
        opened(path, grace=60, patience=0.2)[1].create_new_trial(0, template("early"))
    opened(path, grace=0.3)[1].create_new_trial(0, template("late"))
    assert marks(by_stock(path)) == ["late"]


@pytest.mark.parametrize("kind", [JournalFileSymlinkLock, JournalFileOpenLock])
def test_optunas_own_writers_wait_for_a_batch(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    writer, storage = opened(path)
    other = JournalStorage(JournalFileBackend(str(path), kind(str(path))))
    thread = threading.Thread(target=lambda: other.create_new_trial(0, template("theirs")))
    with writer.batch():
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        storage.create_new_trial(0, template("ours"))
    thread.join()
    assert marks(by_stock(path)) == ["ours", "theirs"]


THIS = filelock._machine()
DEAD = 2**22 + 1  # above the largest process number there can be


@pytest.mark.parametrize(
    ("holder", "seconds"),
    [
        (f"{THIS} {DEAD}", 0.0),
        (f"{THIS} {os.getpid()}", 3.0),  # a recycled number
        ("", 3.0),
        ("another-machine 1", 30.0),
    ],
)
def test_how_long_a_silent_lock_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder: str, seconds: float
) -> None:
    now = [100.0]
    monkeypatch.setattr(filelock.time, "monotonic", lambda: now[0])
    mark = tmp_path / "study.journal.lock"
    mark.write_text(holder)
    watch = filelock._Watch(mark, grace=3.0)
    assert watch.is_abandoned() == (seconds == 0)
    now[0] += max(0.0, seconds - 0.1)
    assert watch.is_abandoned() == (seconds == 0)
    now[0] += 0.2
    assert watch.is_abandoned()


def test_who_waits_too_long_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    path.with_name("study.journal.lock").write_text("another-machine 1")
    with pytest.raises(StorageError, match="another-machine 1"):
        opened(path, grace=60, patience=0.1)[1].create_new_trial(0, template())
    assert marks(by_stock(path)) == []


def test_signs_of_life_keep_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(filelock.time, "monotonic", lambda: now[0])
    path = tmp_path / "study.journal"
    path.touch()
    mark = path.with_name("study.journal.lock")
    watch = filelock._Watch(mark, grace=3.0)
    with filelock.FileLock(path, grace=3.0, patience=5.0) as lock:
        # As seen from another machine: neither flock nor a process number vouch for the holder.
        mark.write_text("")
        for _ in range(9):
            assert not watch.is_abandoned()
            now[0] += 1.0
            time.sleep(0.002)  # file systems keep time in ticks
            lock.keep()
        assert not watch.is_abandoned()
        now[0] += 2.9
        assert not watch.is_abandoned()
        now[0] += 0.2
        assert watch.is_abandoned()


def test_records_of_a_batch_are_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    writer, storage = opened(path, grace=3.0)
    mark = path.with_name("study.journal.lock")
    with writer.batch():
        os.utime(mark, (1, 1))
        storage.create_new_trial(0, template("at once"))
        assert mark.stat().st_mtime == 1
        late = time.monotonic() + 1
        monkeypatch.setattr(filelock.time, "monotonic", lambda: late)
        storage.create_new_trial(0, template("later"))
        assert mark.stat().st_mtime > 1


def test_a_batch_whose_lock_was_broken_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    mark = path.with_name("study.journal.lock")
    writer, storage = opened(path)

    def robbed() -> None:
        with writer.batch():
            storage.create_new_trial(0, template("lost"))
            mark.unlink()
            mark.write_text("another-machine 1")

    with pytest.raises(StorageError, match="lock was taken away"):
        robbed()
    assert mark.read_text() == "another-machine 1"
    assert marks(by_stock(path)) == []
