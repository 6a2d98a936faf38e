"""`hwnas compare` as the person at the terminal sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import STUDY

FILES = {"comparison.html", "comparison.json", "comparison.csv", "setting.json"}


@pytest.fixture
def compare(hwnas, study_file, tmp_path):
    """``hwnas compare`` on the small study, two searchers, one process."""

    def call(*further: object, searchers: str = "random,nsga2"):
        given = ("--searchers", searchers, "--dir", tmp_path / "c", "--jobs", 1, "--no-exact")
        return hwnas("compare", study_file, *given, *further)

    return call


def test_tables_files_and_progress(compare, tmp_path):
    answer = compare("--seeds", 2, "--budget", 24, "--checkpoints", "6,12")
    assert answer.code == 0, answer.err
    for word in ("nsga2", "24", "too few seeds to tell", "90 %", "2 complete", "best known front"):
        assert word in answer.out
    assert "2 searchers, 2 seeds, 24 evaluations each" in answer.err
    assert "4/4 runs" in answer.err
    assert {p.name for p in (tmp_path / "c").iterdir() if p.is_file()} - {".lock"} == FILES
    record = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert record["checkpoints"] == [6, 12, 24]
    # The file's options hold for the searcher that it names.
    assert record["rows"][1]["options"]["population"] == "16"


def test_again_is_the_same_and_json_is_the_record(compare, tmp_path):
    first = compare("--seeds", 2, "--budget", 16, "--json", "-q")
    assert first.err == ""
    again = compare("--seeds", 2, "--budget", 16, "--json")
    assert json.loads(again.out) == json.loads(first.out)
    assert json.loads(first.out) == json.loads((tmp_path / "c" / "comparison.json").read_text())


def test_the_study_s_budget_and_its_own_directory(hwnas, study_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = hwnas(
        "compare", study_file, "--searchers", "random", "--seeds", 1, "--jobs", 1, "--json"
    )
    record = json.loads(answer.out)
    assert record["budget"] == 64
    assert record["tests"] == []
    # Nothing is costly here, so the exact front was looked for, and that it is not there is said.
    assert record["target"]["exact"] or "No exact front" in " ".join(record["notes"])
    runs = Path("runs/compare/small/random/seed-0")
    assert json.loads(hwnas("front", runs, "--json").out)


def test_who_refuses_is_named_and_the_others_run(compare):
    answer = compare("--seeds", 1, "--budget", 8, searchers="random,exhaustive")
    assert answer.code == 0
    assert "exhaustive refused: the space has 8.451e+13 designs" in answer.out
    alone = compare("--seeds", 1, "--budget", 8, searchers="exhaustive")
    assert alone.code == 2
    assert "refused" in alone.out


@pytest.mark.parametrize(
    ("searchers", "options", "said"),
    [
        ("random,nsga22", (), "did you mean 'nsga2'"),
        ("random,nsga2:populaton=4", (), "population"),
        ("random,random", (), "takes part twice"),
        ("random,", (), "names no searcher"),
        ("random", ("--seeds", 0), "at least 1 seed"),
        ("random", ("--budget", 0), "at least 1 evaluation"),
        ("random", ("--checkpoints", "few"), "numbers of evaluations"),
        ("random", ("--checkpoints", "9999"), "out of range"),
        ("random", ("--jobs", 0), "jobs"),
    ],
)
def test_wrong_words_are_exit_code_2_and_leave_nothing(compare, tmp_path, searchers, options, said):
    answer = compare(*options, searchers=searchers)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "c").exists()


def test_another_study_is_refused_with_the_difference(compare, study_file):
    compare("--seeds", 1, "--budget", 8)
    study_file.write_text(STUDY.replace("area <= 1 mm2", "area <= 2 mm2"))
    answer = compare("--seeds", 1, "--budget", 8)
    assert answer.code == 2
    assert "area <= 1 mm2" in answer.err
    assert "area <= 2 mm2" in answer.err
    assert compare("--seeds", 1, "--budget", 8, "--fresh").code == 0


def test_a_python_study(hwnas, tmp_path):
    file = Path(__file__).parents[2] / "studies" / "custom_objective.py"
    given = ("--searchers", "random,nsga2:population=8", "--seeds", 2, "--budget", 16, "--jobs", 2)
    answer = hwnas("compare", file, *given, "--dir", tmp_path / "c", "--no-exact", "--json")
    assert answer.code == 0, answer.err
    assert [len(row["runs"]) for row in json.loads(answer.out)["rows"]] == [2, 2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_clean_and_the_same_command_goes_on(study_file, tmp_path, number, code):
    directory = tmp_path / "c"
    words = ["compare", study_file, "--searchers", "random,nsga2", "--seeds", "2"]
    words += ["--dir", directory, "--jobs", "2", "--no-exact", "--budget", "1000000"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from hwnas.cli import main; main()", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while sum(p.stat().st_size for p in directory.rglob("*.journal")) < 50_000:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # A terminal sends Ctrl-C to all processes, whoever ends one sends it to that one.
    stop = os.killpg if number == signal.SIGINT else os.kill
    stop(process.pid, number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert "the same command goes on" in error
    assert "Traceback" not in error
