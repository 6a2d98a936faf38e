"""The journal: the file that keeps a study, safe against kills, full disks and power loss.

The format is that of Optuna's journal files, one JSON record a line, so the stock dashboard and
the ``optuna`` command read it. `DurableJournal` is what ``JournalStorage`` writes through:

    journal = DurableJournal("study.journal")
    study = optuna.create_study(storage=JournalStorage(journal), ...)
    with journal.batch():  # one lock and one fsync for all of them
        for trial in trials:
            study.add_trial(trial)

What it promises. A record whose write returned, or whose batch ended, survives the death of the
process and of the machine. A write that was cut short leaves an unfinished last line, which the
next writer removes. A write that fails is taken back and its ``OSError`` raised. A record in the
middle that cannot be read is an error, never skipped: later records count those before them.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from optuna.storages.journal import BaseJournalBackend

from hwnas.errors import StorageError
from hwnas.storage.lock import FileLock

Record = dict[str, Any]
"""One operation of Optuna's journal."""

_FIRST: Final = b'{"op_code"'
_BLOCK: Final = 1 << 20

_log = logging.getLogger(__name__)


class DurableJournal(BaseJournalBackend):
    """A journal file as Optuna's ``JournalStorage`` wants it, durable and in batches.

    Opening a file only reads it. Every write first takes the lock, then mends the end of the
    file: an unfinished last line, which nobody was told is stored, is removed; complete last
    lines that cannot be read are moved to ``<file>.damaged``.

    Threads may share one journal; processes open one each (a pickled journal opens the file
    anew). It needs POSIX, and a file system with atomic ``O_EXCL``.

    Args:
        path: The file. It is created if it is not there; its folder must be.
        grace: How long an abandoned lock of unknown origin stops the others, s. One that a
            killed process of this machine left is recognised at once; one of another machine
            gets ten times the grace.
        patience: How long to wait for the lock before giving up, s.

    Raises:
        StorageError: The file cannot be opened, or is something else.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, grace: float = 3.0, patience: float = 60.0
    ) -> None:
        self.path: Final = Path(path).absolute()
        self._lock = FileLock(self.path, grace=grace, patience=patience)
        self._mutex = threading.RLock()
        self._turn = threading.Lock()
        self._batch_thread: int | None = None
        self._buffer: list[bytes] | None = None
        self._broken = ""
        # Offsets of the records known to be sound; the last one is the end of them all.
        self._starts = array("q", [0])
        # The last of them: it tells whether the file is still the one that was read.
        self._anchor = b""
        try:
            self._create_or_recognise()
        except OSError as error:
            raise StorageError(
                "the journal cannot be opened",
                where=str(self.path),
                rule="a file that can be read, in a folder that is there",
                given=f"{type(error).__name__}: {error.strerror}",
                cure="name another file, make its folder, or mend the permissions",
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        options: dict[str, Any] = {"grace": self._lock.grace, "patience": self._lock.patience}
        return partial(DurableJournal, **options), (self.path,)

    def read_logs(self, log_number_from: int) -> Iterable[Record]:
        """Reads the records from a number on; inside a batch also those not yet written.

        Args:
            log_number_from: The number of the first record wanted; the file's first has 0.

        Returns:
            The records. An unfinished or unreadable end of the file is left out: its writer is
            at work, or dead.

        Raises:
            StorageError: A record is unreadable though others follow it, the file was rewritten
                by somebody else, or a batch was abandoned.
        """
        with self._mutex:
            self._refuse_if_broken()
            if self._buffer is None:
                self._catch_up()
            known = len(self._starts) - 1
            waiting = self._buffer or []
            if log_number_from > known + len(waiting):
                raise self._rewritten()
            # A copy: the records must not share mutable values with a later reader.
            new = [json.loads(line) for line in waiting[max(0, log_number_from - known) :]]
            if log_number_from >= known:
                return new
            return chain(self._read(log_number_from, known), new)

    def append_logs(self, logs: list[Record]) -> None:
        """Writes records; when this returns they are on the disk, or in the open batch.

        Inside a batch this holds for every thread: their records become durable with the batch.

        Args:
            logs: The records.

        Raises:
            OSError: The disk is full or fails; the file is as before.
            StorageError: The lock cannot be had, the file was rewritten by somebody else, or a
                batch was abandoned.
        """
        lines = [_encode(record) for record in logs]
        with self._mutex:
            self._refuse_if_broken()
            if self._buffer is not None:
                self._lock.keep()
                self._buffer += lines
                return
            with self._lock:
                self._mend()
                self._write(lines)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Buffers all records and writes them at the end, with one lock and one fsync.

        The lock is held from the start, so record numbers are final, and Optuna's storage sees
        the buffered records as if they were written. Keep batches short: other writers wait.

        All or nothing: if the body raises, nothing is written. The storage on top has seen
        records that do not exist then, so this journal refuses to go on; open the file anew.
        The same holds when writing fails at the end. A machine that dies while the batch is
        being written keeps the first records of it.

        Raises:
            OSError: The disk is full or fails; the file is as before.
            StorageError: A batch is open in this thread, or see `append_logs`.
        """
        if self._batch_thread == threading.get_ident():
            raise StorageError(
                "a batch is open already",
                where=str(self.path),
                rule="batches do not nest",
                cure="write everything in the outer batch",
            )
        with self._turn:
            self._begin()
            try:
                yield
            except BaseException:
                self._end(keep=False)
                raise
            self._end(keep=True)

    def _begin(self) -> None:
        with self._mutex:
            self._refuse_if_broken()
            self._lock.acquire()
            try:
                self._mend()
            except BaseException:
                self._lock.release()
                raise
            self._buffer = []
            self._batch_thread = threading.get_ident()

    def _end(self, *, keep: bool) -> None:
        with self._mutex:
            lines, self._buffer, self._batch_thread = self._buffer or [], None, None
            # Optuna's storage has seen them: until they are written it is ahead of the file.
            self._broken = f"{len(lines)} records of a batch were not written" if lines else ""
            try:
                if keep and lines:
                    self._refuse_if_lock_lost()
                    self._write(lines)
                    self._broken = ""
            finally:
                self._lock.release()

    def _refuse_if_lock_lost(self) -> None:
        if not self._lock.is_held():
            raise StorageError(
                "the lock was taken away while a batch was open: nothing of it is stored",
                where=str(self.path),
                rule="a writer that shows no sign of life for too long loses the lock",
                cure="open the journal anew and write the batch again; on a slow network file "
                "system give a longer grace",
            )

    def _refuse_if_broken(self) -> None:
        if self._broken:
            raise StorageError(
                "this journal cannot be used any more: a batch was abandoned",
                where=str(self.path),
                rule="the storage in memory must agree with the file",
                given=self._broken,
                cure="open the file anew with a new DurableJournal and a new JournalStorage",
            )

    def _create_or_recognise(self) -> None:
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            with self.path.open("rb") as file:
                head = file.read(len(_FIRST))
                line = head + file.readline()
            # An empty file, a record, or a first record that was cut short or lost.
            if _FIRST.startswith(head) or head == _FIRST or not head.strip(b"\0"):
                return
            if _decode(line) is None:
                raise self._foreign(head) from None
        else:
            # Without this the file itself may be gone after a power loss.
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _read(self, first: int, last: int) -> Iterator[Record]:
        with self.path.open("rb") as file:
            file.seek(self._starts[first])
            for number in range(first, last):
                record = _decode(file.readline())
                if record is None:
                    raise self._corrupt(number + 1)
                yield record

    def _catch_up(self) -> int:
        """Finds the records that others appended, and returns the size of the file, bytes."""
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            end = self._starts[-1]
            if size == end:
                return size
            file.seek(end - len(self._anchor))
            if size < end or file.read(len(self._anchor)) != self._anchor:
                raise self._rewritten()
            known = len(self._starts)
            while block := file.read(min(_BLOCK, size - end)):
                breaks = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
                self._starts.extend((breaks + (end + 1)).tolist())
                end += len(block)
            # Lines at the end that cannot be read are not records, whoever wrote them.
            while len(self._starts) > known:
                file.seek(self._starts[-2])
                line = file.read(self._starts[-1] - self._starts[-2])
                if _decode(line) is not None:
                    self._anchor = line
                    break
                self._starts.pop()
            return size

    def _mend(self) -> None:
        """Makes the file end with a sound record. The lock must be held."""
        if self._catch_up() == self._starts[-1]:
            return
        end = self._starts[-1]
        with self.path.open("r+b", buffering=0) as file:
            file.seek(end)
            tail = file.readall()
            if _decode(tail) is not None:  # whole but for the line break
                self._write([b"\n"])
                return
            if b"\n" in tail:
                _append_to(self.path.with_name(self.path.name + ".damaged"), tail)
                _log.warning("%s: moved %d unreadable bytes to %s.damaged", self.path, len(tail),
                             self.path.name)  # fmt: skip
            else:
                _log.warning("%s: removed an unfinished record, %d bytes", self.path, len(tail))
            os.ftruncate(file.fileno(), end)

    def _write(self, lines: list[bytes]) -> None:
        """Appends lines to a file that ends with a sound record. The lock must be held."""
        if not lines:
            return
        _append_to(self.path, b"".join(lines))
        self._catch_up()

    def _corrupt(self, line: int) -> StorageError:
        return StorageError(
            "the journal is damaged: a record in the middle cannot be read",
            where=f"{self.path}, line {line}",
            rule="every line but the last is one record of Optuna's journal",
            cure=f"restore the file from a backup, or keep what came before: "
            f"head -n {line - 1} FILE > NEW",
        )

    def _rewritten(self) -> StorageError:
        return StorageError(
            "the journal was changed behind this process's back",
            where=str(self.path),
            rule="a journal only grows",
            cure="open it anew; if two programs wrote it without its lock, restore a backup",
        )

    def _foreign(self, head: bytes) -> StorageError:
        sqlite = head.startswith(b"SQLite for")
        return StorageError(
            "this file is not an Optuna journal",
            where=str(self.path),
            rule=f"its first line starts with {_FIRST.decode()}",
            given=repr(head),
            cure=f"write sqlite:///{self.path}" if sqlite else "name another file",
        )


def _encode(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _decode(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "op_code" in record else None


def _append_to(path: Path, data: bytes) -> None:
    """Appends to a file and waits for the disk; on failure the file is as before."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(file).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        except BaseException:
            # If this fails too, an unfinished line stays for the next writer to remove.
            with suppress(OSError):
                os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
