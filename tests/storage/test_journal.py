"""The journal: Optuna's own suite, torn ends, full disks, killed and competing writers.

The oracle throughout is Optuna's `JournalFileBackend`, which reads the same file, and a count of
what was acknowledged.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState, create_trial

from hwnas.errors import StorageError
from hwnas.storage import journal
from hwnas.storage import lock as filelock
from hwnas.storage.journal import DurableJournal

FLOAT = optuna.distributions.FloatDistribution(0.0, 1.0)
CHOICE = optuna.distributions.CategoricalDistribution(["a", "b", 3])


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


@contextmanager
def without_sync() -> Iterator[None]:
    """For tests of many small writes that are not about power loss: a loaded disk is slow."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal.os, "fsync", lambda file: None)
        yield


class TestOptunasOwnSuite(StorageTestCase):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> BaseStorage:
        return JournalStorage(DurableJournal(tmp_path / "study.journal"))


class TestOptunasOwnSuiteInABatch(StorageTestCase):
    """Inside a batch the storage on top must not notice that nothing is written yet."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[BaseStorage]:
        backend = DurableJournal(tmp_path / "study.journal")
        with backend.batch():
            yield JournalStorage(backend)

    def test_pickle_storage(self, storage: BaseStorage) -> None:
        """A pickled journal opens the file anew, and the file does not have the batch yet."""


def template(mark: str | int = 0) -> FrozenTrial:
    return create_trial(
        values=[0.25, float("inf")],
        params={"x": 0.5, "c": 3},
        distributions={"x": FLOAT, "c": CHOICE},
        user_attrs={"mark": mark, "nested": {"list": [1, None, "é\n"]}},
        intermediate_values={3: float("nan")},
        system_attrs={"constraints:area": -1.0},
    )


def opened(path: Path, **options: float) -> tuple[DurableJournal, JournalStorage]:
    backend = DurableJournal(path, **options)
    return backend, JournalStorage(backend)


def new_study(path: Path, marks: int = 0) -> int:
    _, storage = opened(path)
    study = storage.create_new_study([StudyDirection.MINIMIZE] * 2, "s")
    add_all(storage, range(marks))
    return study


def add_all(storage: BaseStorage, new: Iterable[str | int]) -> None:
    for mark in new:
        storage.create_new_trial(0, template(mark))


def by_stock(path: Path) -> list[FrozenTrial]:
    """What Optuna's own backend finds in the file."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return storage.get_all_trials(storage.get_study_id_from_name("s"))


def marks(trials: list[FrozenTrial]) -> list[Any]:
    assert [t.number for t in trials] == list(range(len(trials)))
    return [t.user_attrs["mark"] for t in trials]


# ---------------------------------------------------------------- the end of the file


@without_sync()
def test_a_torn_end_at_every_byte_costs_at_most_the_last_record(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=3)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    for cut in range(last, len(whole) + 1):
        path.write_bytes(whole[:cut])
        _, storage = opened(path)
        # Complete but for the line break is complete: nobody else would have written it.
        kept = [0, 1, 2] if cut >= len(whole) - 1 else [0, 1]
        storage.create_new_trial(0, template("new"))
        assert marks(storage.get_all_trials(0)) == [*kept, "new"]
        assert marks(by_stock(path)) == [*kept, "new"]
        assert marks(opened(path)[1].get_all_trials(0)) == [*kept, "new"]
        assert [p.name for p in tmp_path.iterdir()] == [path.name]


@without_sync()
def test_a_journal_torn_in_its_first_record_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    whole = path.read_bytes()
    for cut in range(len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert new_study(path) == 0
        assert len(path.read_bytes()) == len(whole)


@given(tail=st.binary(min_size=1, max_size=200))
@without_sync()
def test_any_rubbish_at_the_end_is_taken_away_and_complete_lines_of_it_are_kept_aside(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("rubbish") / "study.journal"
    new_study(path, marks=2)
    with path.open("ab") as file:
        file.write(tail)
    _, storage = opened(path)
    assert marks(storage.get_all_trials(0)) == [0, 1]
    storage.create_new_trial(0, template("new"))
    assert marks(by_stock(path)) == [0, 1, "new"]
    aside = path.with_name("study.journal.damaged")
    assert (aside.read_bytes() if aside.exists() else b"") == (tail if b"\n" in tail else b"")


def test_a_batch_with_lost_blocks_at_the_end_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=2)
    sound = path.read_bytes()
    lost = b'{"op_co' + bytes(4096) + b"\n" + bytes(512) + b"}\n"
    path.write_bytes(sound + lost)
    writer, _ = opened(path)
    with writer.batch():
        pass
    assert path.read_bytes() == sound
    assert path.with_name("study.journal.damaged").read_bytes() == lost


def test_a_damaged_record_in_the_middle_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=3)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:40] + b"\0" * 10 + lines[2][50:]
    path.write_bytes(b"".join(lines))
    with pytest.raises(StorageError, match="line 3") as caught:
        opened(path)
    assert "head -n 2" in caught.value.cure
    assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("head", [b"SQLite format 3\0....", b"a,b\n1,2\n", b'{"no": "record"}\n'])
def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(head)
    with pytest.raises(StorageError, match="not an Optuna journal") as caught:
        DurableJournal(path)
    assert ("sqlite:///" in caught.value.cure) == head.startswith(b"SQLite")
    assert path.read_bytes() == head


def test_a_folder_or_a_missing_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "study.journal"):
        with pytest.raises(StorageError, match="cannot be opened"):
            DurableJournal(path)


def test_a_reader_leaves_the_file_and_its_folder_alone(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=2)
    torn = path.read_bytes()[:-5]
    path.write_bytes(torn)
    path.chmod(0o444)
    assert marks(opened(path)[1].get_all_trials(0)) == [0]
    assert path.read_bytes() == torn
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_journal_changed_by_somebody_else_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=3)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rindex(b"\n") + 1
    shrunk = whole[:last]
    # The same length up to the end that was read, and longer: only the bytes tell.
    regrown = shrunk + whole[last:].replace(b'"mark":2', b'"mark":7') * 2
    for changed in (shrunk, regrown):
        path.write_bytes(whole)
        _, reader = opened(path)
        path.write_bytes(changed)
        with pytest.raises(StorageError, match="behind this process's back"):
            reader.get_all_trials(0)
        with pytest.raises(StorageError, match="behind this process's back"):
            reader.create_new_trial(0, template())
        assert path.read_bytes() == changed


def test_a_deleted_journal_does_not_come_back_empty(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=1)
    _, storage = opened(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        storage.create_new_trial(0, template())
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- failing writes


def half_a_write(file: int, data: Any) -> int:
    """A disk that is full after half of what is written, once 20 bytes are left."""
    if len(data) <= 20:
        raise OSError(errno.ENOSPC, "No space left on device")
    return REAL_WRITE(file, data[: len(data) // 2])


def failing_sync(file: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


REAL_WRITE = os.write
FAULTS = {"write": half_a_write, "fsync": failing_sync}


@pytest.mark.parametrize("call", FAULTS)
def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=2)
    before = path.read_bytes()
    _, storage = opened(path)
    monkeypatch.setattr(journal.os, call, FAULTS[call])
    with pytest.raises(OSError, match=r"No space|Input/output"):
        storage.create_new_trial(0, template("lost"))
    monkeypatch.undo()
    assert path.read_bytes() == before
    storage.create_new_trial(0, template("after"))
    assert marks(by_stock(path)) == marks(storage.get_all_trials(0)) == [0, 1, "after"]


@pytest.mark.parametrize("call", FAULTS)
def test_a_batch_that_cannot_be_written_is_gone_and_the_journal_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "study.journal"
    new_study(path, marks=2)
    before = path.read_bytes()
    writer, storage = opened(path)
    monkeypatch.setattr(journal.os, call, FAULTS[call])
    with pytest.raises(OSError, match=r"No space|Input/output"), writer.batch():
        add_all(storage, "abc")
    monkeypatch.undo()
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match="batch was abandoned"):
        storage.get_all_trials(0)
    _, again = opened(path)
    again.create_new_trial(0, template("after"))
    assert marks(by_stock(path)) == [0, 1, "after"]


FULL = """
import errno, resource, sys
from hwnas.storage.journal import DurableJournal
from optuna.storages import JournalStorage
sys.path.insert(0, sys.argv[2])
from tests.storage.test_journal import template

writer = DurableJournal(sys.argv[1])
storage = JournalStorage(writer)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
stored = 0
while True:
    try:
        storage.create_new_trial(0, template(stored))
    except OSError as error:
        assert error.errno == errno.EFBIG
        break
    stored += 1
try:
    with writer.batch():
        for lost in range(3):
            storage.create_new_trial(0, template("lost"))
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
JournalStorage(DurableJournal(sys.argv[1])).create_new_trial(0, template(stored))
print(stored)
"""


def python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments), str(Path(__file__).parents[1])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def test_a_file_that_may_not_grow_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    with python(FULL, path) as process:
        assert process.stdout is not None
        stored = int(process.stdout.read())
    assert stored > 5
    assert marks(by_stock(path)) == list(range(stored + 1))


# ---------------------------------------------------------------- batches


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
from tests.storage.test_journal import template

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
from tests.storage.test_journal import template

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
