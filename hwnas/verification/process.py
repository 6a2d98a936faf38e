"""A tool in a process of its own, asked line by line, on a leash."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hwnas.errors import MissingExtraError, ToolError
from hwnas.evaluation.second_opinion import Tool

_SERVE: Final = Path(__file__).parent / "child" / "serve.py"
_TAIL: Final = 12
"""Lines of its standard error that a message shows."""
_START: Final = 60.0
"""How long it may take to start and tell its version, s."""
_LONGEST: Final = 16 * 1024 * 1024
"""No answer is longer, B."""
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ToolProcess:
    """A tool that answers questions; started when it is first asked, and again after it fell.

    It leads a process group of its own, which is killed when an answer takes too long, when
    something is raised here (Ctrl-C, too), and at the end.

    Args:
        tool: The tool.
        python: The interpreter that has it.
        folder: Where it runs; whatever it leaves there is dropped.
    """

    def __init__(self, tool: Tool, python: Path, folder: Path) -> None:
        self.tool: Final = tool
        self.python: Final = python
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def version(self) -> str:
        """The version of the tool.

        Raises:
            MissingExtraError: The interpreter does not have it.
            ToolError: It does not answer.
        """
        answer = self._ask({"do": "version"}, _START)
        return str(answer.get("version", ""))

    def answer(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Asks one question.

        Args:
            request: JSON values.
            seconds: How long it may take, s.

        Raises:
            MissingExtraError: The tool, or what it needs, cannot be imported.
            ToolError: It raised, died, took too long or answered something else than JSON.
        """
        return self._ask({"do": "answer", "request": request}, seconds)

    def close(self) -> None:
        """Kills it and all that it started."""
        process, self._process = self._process, None
        open_files = [self._errors]
        if process is not None:
            # The group outlives its leader where the tool started processes of its own.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            open_files += [process.stdin, process.stdout]
        for file in open_files:
            if file is not None:
                with suppress(OSError):
                    file.close()

    def _ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        try:
            process = self._process or self._start()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(message).encode() + b"\n")
                process.stdin.flush()
            reply = self._reply(self._line(process, seconds))
        except BaseException:
            self.close()
            raise
        if "answer" in reply:
            return dict(reply["answer"])
        if reply.get("kind") == "missing":
            raise MissingExtraError(
                f"{self.python} cannot import {self.tool.module}",
                rule="pip install " + " ".join(map(repr, self.tool.requirements)),
                given=str(reply.get("error")),
                cure="--python names another interpreter, --install makes one",
            )
        raise self._failed(str(reply.get("error")))

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._rest = b""
        try:
            self._process = subprocess.Popen(
                [str(self.python), str(_SERVE), str(self.tool.script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=self._folder,
                env=self._environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(
                f"{self.python} cannot be started",
                given=f"{type(error).__name__}: {error}",
                cure=f"name a Python interpreter with --python or {self.tool.variable}",
            ) from error
        return self._process

    def _environment(self) -> dict[str, str]:
        given = dict(os.environ)
        if self.python != Path(sys.executable):
            # They are meant for this interpreter, and would put its packages into the other one.
            for name in ("PYTHONPATH", "PYTHONHOME"):
                given.pop(name, None)
        return {**given, **dict.fromkeys(_THREADS, "1"), "MPLBACKEND": "agg"}

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        assert process.stdout is not None
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = end - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise self._failed(f"no answer within {seconds:g} s")
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    code = process.wait()
                    raise self._failed(f"the process died with code {code}")
                self._rest += part
                if len(self._rest) > _LONGEST:
                    raise self._failed("an answer without end")
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            reply = json.loads(line)
        except ValueError:
            reply = None
        good = isinstance(reply, dict) and (
            isinstance(reply.get("answer"), dict) or isinstance(reply.get("error"), str)
        )
        if not good:
            raise self._failed(f"not an answer: {line[:200]!r}")
        return dict(reply)

    def _failed(self, why: str) -> ToolError:
        return ToolError(
            f"{self.tool.module} does not answer: {why}",
            where=str(self.python),
            given=self._last_words(),
        )

    def _last_words(self) -> str:
        """The end of its standard error."""
        if self._errors is None or self._errors.closed:
            return ""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 8192))
        lines = self._errors.read().decode(errors="replace").splitlines()
        return "\n" + "\n".join(lines[-_TAIL:]) if lines else ""
