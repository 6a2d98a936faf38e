"""Where a tool lives: an interpreter that is named, this one, or one that is made for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hwnas.errors import MissingExtraError, ToolError
from hwnas.evaluation.second_opinion import Tool

_INSTALLATION: Final = 1800.0
"""How long an installation may take, s."""


def cache_folder() -> Path:
    """The folder of what can be made again: ``$XDG_CACHE_HOME/hwnas``, or ``~/.cache/hwnas``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "hwnas"


def environment_of(tool: Tool) -> Path:
    """The folder of the virtual environment that `interpreter` makes for a tool and its pins."""
    text = " ".join((*tool.requirements, *map(str, sys.version_info[:2])))
    digest = blake2b(text.encode(), digest_size=4).hexdigest()
    return cache_folder() / "tools" / f"{tool.module}-{digest}"


def interpreter(
    tool: Tool,
    *,
    python: Path | None = None,
    install: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Finds an interpreter that has a tool.

    The first that there is of: the one given, the one that the tool's variable names, the one made
    for it before, and this one.

    Args:
        tool: The tool.
        python: An interpreter, if the person names one.
        install: Whether to make a virtual environment where there is none of these.
        say: Is told what takes long.

    Raises:
        MissingExtraError: There is none; the message says how to make one.
        ToolError: The installation fails, or what is named is no file.
    """
    named = python or _path(os.environ.get(tool.variable, ""))
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise ToolError(
                f"there is no interpreter {named}",
                where="--python" if python else tool.variable,
                rule="a Python interpreter that has " + ", ".join(tool.requirements),
            )
        return Path(found).absolute()
    own = _python_in(environment_of(tool))
    if own.exists():
        return own
    if find_spec(tool.module) is not None:
        return Path(sys.executable)
    if install:
        return _install(tool, say)
    words = " ".join(f"'{requirement}'" for requirement in tool.requirements)
    raise MissingExtraError(
        f"no interpreter is known that has {tool.module}",
        rule=f"--python PATH, the variable {tool.variable}, or the package beside hwnas",
        cure="the same command with --install makes one in "
        f"{environment_of(tool)}; by hand: python -m venv VENV && VENV/bin/pip install {words}, "
        "then --python VENV/bin/python",
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _python_in(folder: Path) -> Path:
    return folder / "bin" / "python"


def _install(tool: Tool, say: Callable[[str], None]) -> Path:
    folder = environment_of(tool)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    say(f"installing {', '.join(tool.requirements)} into {folder}")
    try:
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", str(unfinished)])
        pip = [str(_python_in(unfinished)), "-m", "pip"]
        _run([*pip, "install", "--quiet", "--disable-pip-version-check", *tool.requirements])
        # A virtual environment is found by its pyvenv.cfg, so its interpreter may be moved.
        unfinished.rename(folder)
    except OSError as error:
        raise ToolError(
            f"{tool.module} cannot be installed", where=str(folder), given=str(error)
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return _python_in(folder)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_INSTALLATION,
        )
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or b"").decode(errors="replace").splitlines()
        raise ToolError(
            "the installation failed",
            where=" ".join(command),
            given="\n" + "\n".join(lines[-12:]),
            cure="make an environment by hand and name its interpreter with --python",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"the installation took longer than {_INSTALLATION:g} s", where=" ".join(command)
        ) from error
