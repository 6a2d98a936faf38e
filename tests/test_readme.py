"""The README is the book: its code runs, its studies are in order, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwnas.studyfile import load
from tests.cli.conftest import hwnas  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = _blocks("python")
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert "latency" in capsys.readouterr().out
    assert len(namespace["macs"]) == 1000


def test_an_objective_of_ones_own_is_at_most_ten_lines():
    first = _blocks("python")[0]
    custom = first[first.index("@hwnas.measures") :]
    assert len([line for line in custom.splitlines() if line.strip()]) <= 10


def test_yaml_blocks_are_studies_that_run(tmp_path, hwnas):  # noqa: F811 - the fixture
    for i, block in enumerate(_blocks("yaml")):
        file = tmp_path / f"{i}.yaml"
        file.write_text(block)
        assert load(file).problem.space.size() > 1
        answer = hwnas("run", file, "--dir", tmp_path / f"run{i}", "--budget", 80)
        assert answer.code == 0, answer.err


def test_every_command_of_the_table_exists(hwnas):  # noqa: F811 - the fixture
    commands = set(re.findall(r"^\| `hwnas ([a-z]+)", README, flags=re.MULTILINE))
    assert commands == {
        "run", "resume", "compare", "exact", "front", "report", "show", "dashboard", "list",
        "export", "verify", "validate", "check", "calibrate", "predict",
        "schema",
    }  # fmt: skip
    for command in commands:
        assert hwnas(command, "--help").code == 0


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#h][^)]*)\)", README))))
def test_every_link_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_the_commands_of_the_readme_are_those_of_make():
    make = (ROOT / "Makefile").read_text()
    shown = _blocks("sh")[1]
    assert "pip install" in shown
    extras = re.search(r"-e '([^']+)' -c constraints.txt", shown)
    assert extras is not None
    assert extras[0] in make
    assert "hwnas run studies/quickstart.yaml" in shown
    assert "hwnas run studies/quickstart.yaml" in make


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z_]+@", README)
