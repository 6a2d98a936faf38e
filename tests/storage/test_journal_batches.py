"""Batches in the journal, and several who write to it: threads, processes, killed ones.

The oracle throughout is Optuna's `JournalFileBackend`, which reads the same file, and a count of
what was acknowledged.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from hwnas.errors import StorageError
from hwnas.storage import journal
from hwnas.storage import lock as filelock
from hwnas.storage.journal import DurableJournal
from tests.storage.journals import (
    FLOAT,
    add_all,
    by_stock,
    marks,
    new_study,
    opened,
    python,
    template,
    without_sync,
)


def test_a_batch_takes_one_lock_and_one_sync_and_reads_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=3)
    writer, storage = opened(path)
    calls: dict[str, int] = dict.fromkeys(("fsync", "acquire", "open"), 0)

    def counting(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(journal.os, "fsync", counting("fsync", os.fsync))
    monkeypatch.setattr(
        filelock.FileLock, "acquire", counting("acquire", filelock.FileLock.acquire)
    )
    with writer.batch():
        monkeypatch.setattr(Path, "open", counting("open", Path.open))
        for mark in range(3, 53):
            assert storage.create_new_trial(0, template(mark)) == mark
        assert calls == {"fsync": 0, "acquire": 1, "open": 0}
        assert marks(storage.get_all_trials(0)) == list(range(53))
    assert calls["fsync"] == calls["acquire"] == 1
    monkeypatch.undo()
    assert marks(by_stock(path)) == list(range(53))


def test_a_batch_that_raises_writes_nothing_and_cannot_be_continued_silently(
    tmp_path: Path,
) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=2)
    before = path.read_bytes()
    writer, storage = opened(path)

    def interrupted() -> None:
        with writer.batch():
            storage.create_new_trial(0, template("lost"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for use in (
        lambda: storage.get_all_trials(0),
        lambda: storage.create_new_trial(0, template()),
        lambda: writer.batch().__enter__(),
    ):
        with pytest.raises(StorageError, match="open the file anew"):
            use()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_batch_that_raises_before_its_first_record_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    writer, storage = opened(path)
    with pytest.raises(ZeroDivisionError), writer.batch():
        raise ZeroDivisionError
    with pytest.raises(TypeError), writer.batch():
        storage.set_study_user_attr(0, "k", object())
    storage.create_new_trial(0, template("after"))
    assert marks(by_stock(path)) == ["after"]


def test_batches_do_not_nest(tmp_path: Path) -> None:
    writer = DurableJournal(tmp_path / "study.journal")
    with writer.batch(), pytest.raises(StorageError, match="nest"), writer.batch():
        pytest.fail("a second batch was opened")


def test_readers_see_a_batch_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=1)
    writer, storage = opened(path)
    _, reader = opened(path)
    with writer.batch():
        for mark in "ab":
            storage.create_new_trial(0, template(mark))
            assert marks(reader.get_all_trials(0)) == [0] == marks(by_stock(path))
    assert marks(reader.get_all_trials(0)) == [0, "a", "b"] == marks(by_stock(path))


def test_a_batch_begins_after_what_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    writer, storage = opened(path)
    _, other = opened(path)
    add_all(other, "abc")
    with writer.batch():
        assert storage.create_new_trial(0, template("mine")) == 3
        storage.set_study_user_attr(0, "k", [1, {"2": None}])
        assert marks(storage.get_all_trials(0)) == ["a", "b", "c", "mine"]
    assert marks(other.get_all_trials(0)) == ["a", "b", "c", "mine"] == marks(by_stock(path))
    assert other.get_study_user_attrs(0) == {"k": [1, {"2": None}]}


@given(
    turns=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans(), st.booleans()), max_size=12
    )
)
@without_sync()
def test_writers_that_take_turns_agree_with_optuna_on_one_history(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[tuple[int, int, bool, bool]],
) -> None:
    path = tmp_path_factory.mktemp("turns") / "study.journal"
    new_study(path)
    writers = [*(opened(path) for _ in range(2)), (None, JournalStorage(stock(path)))]
    expected: list[str] = []
    for turn, (who, count, batched, looks) in enumerate(turns):
        backend, storage = writers[who]
        new = [f"{turn}.{i}" for i in range(count)]
        if batched and backend is not None:
            with backend.batch():
                add_all(storage, new)
        else:
            add_all(storage, new)
        expected += new
        if looks:
            assert marks(storage.get_all_trials(0)) == expected
    histories = [storage.get_all_trials(0) for _, storage in writers]
    assert marks(histories[0]) == expected
    assert repr(histories[0]) == repr(histories[1]) == repr(histories[2]) == repr(by_stock(path))


def stock(path: Path) -> JournalFileBackend:
    return JournalFileBackend(str(path))


def test_other_threads_join_a_batch_and_wait_for_their_own(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    writer, storage = opened(path)
    inside = threading.Event()

    def own_batch() -> None:
        inside.set()
        with writer.batch():
            storage.create_new_trial(0, template("second batch"))

    def joins() -> None:
        storage.create_new_trial(0, template("joined"))

    waits = threading.Thread(target=own_batch)
    with writer.batch():
        storage.create_new_trial(0, template("first"))
        joined = threading.Thread(target=joins)
        joined.start()
        joined.join()
        waits.start()
        inside.wait()
        storage.create_new_trial(0, template("last"))
        assert marks(by_stock(path)) == []
    waits.join()
    assert marks(by_stock(path)) == ["first", "joined", "last", "second batch"]


def test_a_trial_enqueued_in_a_batch_is_asked_once(tmp_path: Path) -> None:
    """An enqueued trial in a batch is popped once, by the first who asks."""
    path = tmp_path / "study.journal"
    backend, storage = opened(path)
    study = optuna.create_study(storage=storage, study_name="s")
    with backend.batch():
        for x in random.Random(0).sample(range(100), 3):
            study.enqueue_trial({"x": x / 100})
    _, other = opened(path)
    again = optuna.load_study(storage=other, study_name="s")
    asked = [s.ask({"x": FLOAT}) for s in (study, again, study)]
    assert [t.number for t in asked] == [0, 1, 2]
    assert all(t.state == TrialState.RUNNING for t in by_stock(path))


# ---------------------------------------------------------------- several processes

WRITER = """
import sys
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from hwnas.storage.journal import DurableJournal
sys.path.insert(0, sys.argv[4])
from tests.storage.journals import template

path, name, kind = sys.argv[1:4]
backend = DurableJournal(path) if kind == "ours" else JournalFileBackend(path)
storage = JournalStorage(backend)
print("ready", flush=True)
sys.stdin.readline()
for batch in range(15):
    if kind == "ours":
        with backend.batch():
            for i in range(10):
                storage.create_new_trial(0, template(f"{name} {batch * 10 + i}"))
    else:
        for i in range(10):
            storage.create_new_trial(0, template(f"{name} {batch * 10 + i}"))
"""


@pytest.mark.parametrize("other", ["ours", "stock"])
def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path, other: str) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    processes = [
        python(WRITER, path, name, kind, stdin=subprocess.PIPE)
        for name, kind in (("a", "ours"), ("b", other))
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    found = marks(by_stock(path))
    assert marks(opened(path)[1].get_all_trials(0)) == found
    for name in "ab":
        mine = [mark for mark in found if mark.startswith(name)]
        assert mine == [f"{name} {i}" for i in range(150)]
    assert len(found) == 300


SOAK = """
import os, random, signal, sys, time
from optuna.storages import JournalStorage
from hwnas.storage.journal import DurableJournal
sys.path.insert(0, sys.argv[2])
from tests.storage.journals import template

def work(life):
    # The grace counts for those killed just before they could name themselves in the lock.
    backend = DurableJournal(sys.argv[1], grace=0.2)
    storage = JournalStorage(backend)
    batch = 0
    while True:
        marks = [f"{life}.{batch}.{i}" for i in range(1 + batch % 20)]
        with backend.batch():
            for mark in marks:
                storage.create_new_trial(0, template(mark))
        os.write(1, "".join(mark + "\\n" for mark in marks).encode())
        batch += 1
        time.sleep(0.005)

def start(life):
    child = os.fork()
    if child == 0:
        work(life)
    return child

rng = random.Random(0)
children = [start(0), start(1)]
for life in range(2, 14):
    time.sleep(rng.uniform(0.1, 0.4))
    victim = rng.randrange(2)
    os.kill(children[victim], signal.SIGKILL)
    os.waitpid(children[victim], 0)
    children[victim] = start(life) if life < 12 else 0
    children = [child for child in children if child]
    if len(children) == 1:
        children *= 2 if life < 13 else 1
"""


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    with python(SOAK, path) as process:
        assert process.stdout is not None
        acknowledged = process.stdout.read().split()
    assert process.returncode == 0
    found = marks(by_stock(path))
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len({mark.partition(".")[0] for mark in acknowledged}) >= 5
    # Of each killed writer at most the one batch that it could not acknowledge any more.
    assert len(found) - len(acknowledged) <= 12 * 20
    assert marks(opened(path)[1].get_all_trials(0)) == found
