"""The journal: Optuna's own suite, torn ends, full disks.

The oracle throughout is Optuna's `JournalFileBackend`, which reads the same file.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import BaseStorage, JournalStorage
from optuna.testing.pytest_storages import StorageTestCase

from hwnas.errors import StorageError
from hwnas.storage import journal
from hwnas.storage.journal import DurableJournal
from tests.storage.journals import (
    add_all,
    by_stock,
    marks,
    new_study,
    opened,
    python,
    template,
    without_sync,
)


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
from tests.storage.journals import template

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


def test_a_file_that_may_not_grow_keeps_all_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    new_study(path)
    with python(FULL, path) as process:
        assert process.stdout is not None
        stored = int(process.stdout.read())
    assert stored > 5
    assert marks(by_stock(path)) == list(range(stored + 1))
