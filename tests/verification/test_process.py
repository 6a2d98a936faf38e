"""A tool in a process: what it may do wrong, and that nothing of it is left behind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hwnas.errors import MissingExtraError, ToolError
from hwnas.verification import ToolProcess
from tests.verification.tools import HERE, SCRIPT, tool_in


@pytest.fixture
def process(tmp_path):
    with ToolProcess(tool_in(tmp_path), HERE, tmp_path) as process:
        yield process


def cost(log: Path, size: int = 3) -> dict[str, object]:
    return {"do": "cost", "size": size, "log": str(log)}


def test_it_answers_and_its_prints_do_not_disturb(process, tmp_path):
    assert process.version() == pytest.__version__
    for size in (3, 4):
        assert process.answer(cost(tmp_path / "log", size), 60) == {"cycles": 10.0 * size}


def ended(pid: int) -> bool:
    """Whether a process is gone, or dead and only not yet buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look at")
def test_one_that_hangs_is_killed_with_all_that_it_started(process, tmp_path):
    log = tmp_path / "child"
    with pytest.raises(ToolError, match="no answer within 1 s"):
        process.answer({"do": "hang", "log": str(log)}, 1)
    pid = int(log.read_text())
    for _ in range(100):
        if ended(pid):
            break
        time.sleep(0.05)
    assert ended(pid)
    assert process.answer(cost(tmp_path / "log"), 60) == {"cycles": 30.0}


def test_one_that_dies_is_quoted_and_started_again(process, tmp_path):
    with pytest.raises(ToolError, match="died with code 7") as caught:
        process.answer({"do": "die"}, 60)
    assert "last words" in caught.value.given
    assert process.answer(cost(tmp_path / "log"), 60) == {"cycles": 30.0}


@pytest.mark.parametrize(
    ("do", "message"), [("raise", "ValueError: no such layer"), ("exit", "ERROR: file not found")]
)
def test_what_it_raises_is_told_with_its_trace(process, tmp_path, do, message):
    with pytest.raises(ToolError, match=message) as caught:
        process.answer({"do": do}, 60)
    assert "Traceback" in caught.value.given
    assert process.answer(cost(tmp_path / "log"), 60) == {"cycles": 30.0}


def test_a_package_that_it_lacks_is_named_with_the_cure(process):
    with pytest.raises(MissingExtraError, match="cannot import sometool") as caught:
        process.answer({"do": "import"}, 60)
    assert "a_package_that_nobody_has" in caught.value.given
    assert "'sometool==1.0'" in caught.value.rule
    assert "--install" in caught.value.cure


def test_a_tool_that_is_not_installed(tmp_path):
    script = SCRIPT.replace('"pytest"', '"no-such-distribution-at-all"')
    with (
        ToolProcess(tool_in(tmp_path, script), HERE, tmp_path) as process,
        pytest.raises(MissingExtraError) as caught,
    ):
        process.version()
    assert "no-such-distribution-at-all is not installed" in caught.value.given


def test_an_answer_that_is_no_mapping(process):
    with pytest.raises(ToolError, match="not an answer"):
        process.answer({"do": "text"}, 60)


def test_an_interpreter_that_writes_garbage(tmp_path):
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho hello\ncat >/dev/null\n")
    fake.chmod(0o755)
    with (
        ToolProcess(tool_in(tmp_path), fake, tmp_path) as process,
        pytest.raises(ToolError, match="not an answer: b'hello'"),
    ):
        process.version()


def test_another_interpreter_does_not_see_our_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/a/folder/of/ours")
    shown = tmp_path / "shown"
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\necho "seen: $PYTHONPATH" > "{shown}"\n')
    fake.chmod(0o755)
    with ToolProcess(tool_in(tmp_path), fake, tmp_path) as process, pytest.raises(ToolError):
        process.version()
    assert shown.read_text() == "seen: \n"


def test_an_interpreter_that_does_not_start(tmp_path):
    with (
        ToolProcess(tool_in(tmp_path), tmp_path / "nowhere", tmp_path) as process,
        pytest.raises(ToolError, match="cannot be started"),
    ):
        process.version()


def test_a_script_with_a_mistake(tmp_path):
    with (
        ToolProcess(tool_in(tmp_path, "def answer(:"), HERE, tmp_path) as process,
        pytest.raises(ToolError, match="died with code 1") as caught,
    ):
        process.version()
    assert "SyntaxError" in caught.value.given


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    def interrupted() -> None:
        with ToolProcess(tool_in(tmp_path), HERE, tmp_path) as process:
            process.version()
            started.append(process._process.pid)
            raise KeyboardInterrupt

    started: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not Path(f"/proc/{started[0]}").exists()
