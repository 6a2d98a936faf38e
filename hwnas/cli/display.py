"""What something that runs for long shows to the person who waits, and how they stop it."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live

_SECONDS_BETWEEN_LINES: Final = 5.0
_TERMINATED: Final = 143
_OURS: Final = ("hwnas", "evaluators")
"""Loggers of ours; an evaluator that takes minutes to get ready says there how far it is."""


def plain_console(*, stderr: bool = False) -> Console:
    """A console that shows texts as they are, be it ``pip install 'hwnas[torch]'``.

    Args:
        stderr: Writes to standard error, so that standard output stays for results.
    """
    return Console(stderr=stderr, markup=False, emoji=False)


class _Messages(logging.Handler):
    """Prints what is logged, above a live picture if there is one."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one message."""
        self.console.print(record.getMessage(), highlight=False, markup=False, soft_wrap=True)


class Display:
    """A live picture on a terminal, now and then a line elsewhere, nothing where it is quiet.

    What our loggers say is printed, too, from information upwards.

    Args:
        console: Where to; standard error, so that standard output stays for results.
        quiet: Shows nothing.
        moving: Draws the picture anew by itself, from another thread; left out where the picture
            changes only when something is shown.
        per_second: How often the picture is drawn.
    """

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        moving: Callable[[], RenderableType] | None = None,
        per_second: float = 4,
    ) -> None:
        self.console = console
        self.quiet = quiet
        self._moving = moving
        self._per_second = per_second
        self._last_line = -math.inf
        self._live: Live | None = None
        self._messages = _Messages(console)
        self._levels: dict[logging.Logger, int] = {}

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            self._live = Live(
                console=self.console,
                get_renderable=self._moving,
                refresh_per_second=self._per_second,
            )
            self._live.start()
        for logger in () if self.quiet else map(logging.getLogger, _OURS):
            self._levels[logger] = logger.level
            logger.setLevel(logging.INFO)
            logger.addHandler(self._messages)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for logger, level in self._levels.items():
            logger.removeHandler(self._messages)
            logger.setLevel(level)
        self._levels.clear()
        if self._live is not None:
            self._live.stop()

    def draw(
        self, line: Callable[[], str], picture: Callable[[], RenderableType] | None, *, last: bool
    ) -> None:
        """Shows how things are, in the way that suits the console.

        Args:
            line: Says it in one line; called only if one is due.
            picture: Draws it; ``None`` where the picture moves by itself.
            last: Whether nothing follows: this line is always due.
        """
        if self.quiet:
            return
        if self._live is not None:
            if picture is not None:
                self._live.update(picture())
            return
        now = time.monotonic()
        if last or now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.console.print(line(), highlight=False, markup=False, soft_wrap=True)


class _Terminated(BaseException):
    """SIGTERM was received."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


@contextmanager
def stopped_with(message: str, console: Console) -> Iterator[None]:
    """Says how to go on when the person, or the system, stops what runs within.

    Args:
        message: What to say.
        console: Where to.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        SystemExit: SIGTERM.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except (KeyboardInterrupt, _Terminated) as stop:
        console.print(message, highlight=False, markup=False, soft_wrap=True)
        if isinstance(stop, _Terminated):
            sys.exit(_TERMINATED)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
