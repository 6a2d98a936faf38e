"""The lock of a journal file: one writer at a time, and none that stops the others by dying.

Two layers. ``flock`` on the journal itself serves this machine: the kernel gives it back when its
holder dies. The file ``<journal>.lock`` serves Optuna's own writers, which know no other lock,
and other machines; a killed holder leaves it behind, so it may be broken, but only by who holds
the first layer: nobody can take a fresh lock for an abandoned one.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from hwnas.errors import StorageError

_PAUSE: Final = 0.001
"""Between two tries, s. Short and constant: waiting longer must not mean getting it less."""

_ELSEWHERE: Final = 10
"""How many times the grace the lock of another machine gets: its signs of life travel slowly."""


class FileLock:
    """A lock between processes, also between objects in one process. Not reentrant.

    Args:
        path: The file that is guarded; it must exist. The lock file is ``<path>.lock``.
        grace: How long the lock of an unknown holder may show no sign of life, s.
        patience: How long to wait before giving up, s.
    """

    def __init__(self, path: Path, *, grace: float, patience: float) -> None:
        self.grace: Final = grace
        self.patience: Final = patience
        self._path = path
        self._mark = path.with_name(path.name + ".lock")
        self._guard_file = -1
        self._mark_file = -1
        self._touched = 0.0

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Waits for the lock.

        Raises:
            StorageError: It was not to be had in time.
            OSError: The guarded file or its folder cannot be written.
        """
        start = time.monotonic()
        self._guard_file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            while not _flock(self._guard_file):
                self._wait(start)
            watch = _Watch(self._mark, self.grace)
            while not self._take_mark():
                if watch.is_abandoned():
                    with suppress(FileNotFoundError):
                        self._mark.unlink()
                else:
                    self._wait(start)
        except BaseException:
            self._close()
            raise

    def keep(self) -> None:
        """Shows that the holder is alive; cheap enough for every record."""
        now = time.monotonic()
        if now - self._touched > self.grace / 4:
            os.utime(self._mark_file)
            self._touched = now

    def is_held(self) -> bool:
        """Whether nobody has broken the lock in the meantime."""
        try:
            there = os.lstat(self._mark)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._mark_file))

    def release(self) -> None:
        """Gives the lock back; somebody else's is left alone."""
        held = self.is_held()
        os.close(self._mark_file)
        self._mark_file = -1
        if held:
            with suppress(FileNotFoundError):
                self._mark.unlink()
        self._close()

    def _take_mark(self) -> bool:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        name = f"{_machine()} {os.getpid()}".encode()
        try:
            self._mark_file = os.open(self._mark, flags, 0o666)
        except FileExistsError:
            return False
        # Without its name, e.g. on a full disk, it is a lock of unknown origin.
        with suppress(OSError):
            os.write(self._mark_file, name)
        self._touched = time.monotonic()
        return True

    def _wait(self, start: float) -> None:
        waited = time.monotonic() - start
        if waited > self.patience:
            raise StorageError(
                f"another process has held the journal's lock for {waited:.0f} s",
                where=str(self._path),
                rule="one writer at a time, each for a moment only",
                given=f"held by {_holder(self._mark) or 'an unknown process'} (machine, process)",
                cure=f"end or resume that process; if it is gone, delete {self._mark}",
            )
        time.sleep(_PAUSE)

    def _close(self) -> None:
        # Explicitly: a forked child may share the descriptor and would keep the lock.
        with suppress(OSError):
            fcntl.flock(self._guard_file, fcntl.LOCK_UN)
        os.close(self._guard_file)
        self._guard_file = -1


class _Watch:
    """Watches a lock file for signs of life of its holder."""

    def __init__(self, mark: Path, grace: float) -> None:
        self._mark = mark
        self._grace = grace
        self._seen = (0, 0)
        self._since = 0.0

    def is_abandoned(self) -> bool:
        try:
            status = os.lstat(self._mark)
        except FileNotFoundError:
            return False
        seen = (status.st_ino, status.st_mtime_ns)
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        quiet = time.monotonic() - self._since
        machine, _, process = _holder(self._mark).partition(" ")
        if machine == _machine() and process.isdecimal():
            return not _is_alive(int(process)) or quiet > self._grace
        return quiet > self._grace * (_ELSEWHERE if machine else 1)


def _flock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without it: the lock file alone has to do
    return True


def _holder(mark: Path) -> str:
    """Machine and process that hold a lock file, or nothing for Optuna's own locks."""
    try:
        file = os.open(mark, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(file, 200).decode(errors="replace")
    finally:
        os.close(file)


@lru_cache(maxsize=1)
def _machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but there
    return True
