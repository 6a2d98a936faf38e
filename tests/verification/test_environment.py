"""Which interpreter a tool runs under."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.errors import MissingExtraError, ToolError
from hwnas.evaluation.second_opinion import Tool
from hwnas.verification import environment
from hwnas.verification.environment import environment_of, interpreter

TOOL = Tool("a_tool_that_nobody_has", ("sometool==1.0", "other<2"), "HWNAS_X_PYTHON", Path("x.py"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(TOOL.variable, raising=False)


def python_at(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(sys.executable)
    return file


def test_the_one_that_is_named_comes_first(tmp_path, monkeypatch):
    a, b = python_at(tmp_path / "a" / "python"), python_at(tmp_path / "b" / "python")
    own = python_at(environment_of(TOOL) / "bin" / "python")
    assert interpreter(TOOL) == own
    monkeypatch.setenv(TOOL.variable, str(b))
    assert interpreter(TOOL) == b
    assert interpreter(TOOL, python=a) == a


def test_this_one_if_the_package_is_here():
    assert interpreter(Tool("json", (), TOOL.variable, TOOL.script)) == Path(sys.executable)


def test_none_says_how_to_make_one():
    with pytest.raises(MissingExtraError, match="no interpreter is known") as caught:
        interpreter(TOOL)
    assert "pip install 'sometool==1.0' 'other<2'" in caught.value.cure
    assert TOOL.variable in caught.value.rule
    assert str(environment_of(TOOL)) in caught.value.cure


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_name_that_leads_nowhere(tmp_path, monkeypatch, by_variable):
    nowhere = tmp_path / "nowhere"
    if by_variable:
        monkeypatch.setenv(TOOL.variable, str(nowhere))
    with pytest.raises(ToolError, match="no interpreter") as caught:
        interpreter(TOOL, python=None if by_variable else nowhere)
    assert caught.value.where == (TOOL.variable if by_variable else "--python")


def test_another_pin_is_another_environment():
    other = Tool(TOOL.module, ("sometool==1.1", "other<2"), TOOL.variable, TOOL.script)
    assert environment_of(other) != environment_of(TOOL)


def test_an_environment_is_made_once_and_as_a_whole(monkeypatch):
    commands: list[list[str]] = []

    def run(command, **_):
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            python_at(Path(command[3]) / "bin" / "python")

    monkeypatch.setattr(subprocess, "run", run)
    said: list[str] = []
    made = interpreter(TOOL, install=True, say=said.append)
    assert made == environment_of(TOOL) / "bin" / "python"
    assert made.exists()
    assert commands[1][-2:] == list(TOOL.requirements)
    assert str(environment_of(TOOL)) in said[0]
    assert interpreter(TOOL) == made
    assert len(commands) == 2


def test_an_installation_that_fails_leaves_nothing(monkeypatch):
    def run(command, **_):
        if command[1:3] == ["-m", "venv"]:
            python_at(Path(command[3]) / "bin" / "python")
        else:
            raise subprocess.CalledProcessError(1, command, stderr=b"no matching distribution")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ToolError, match="installation failed") as caught:
        interpreter(TOOL, install=True)
    assert "no matching distribution" in caught.value.given
    assert list(environment.cache_folder().glob("tools/*")) == []
