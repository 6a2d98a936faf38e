"""What the person at the terminal sees: results, messages and exit codes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import STUDY

FILES = {"run.json", "study.yaml", "study.journal", "report.html", "front.csv", "front.json"}


def test_run_leaves_everything_the_readme_promises(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    answer = hwnas("run", study_file, "--dir", run)
    assert answer.code == 0, answer.err
    assert "Pareto front" in answer.out
    assert "complete: 64/64 evaluations" in answer.out
    assert "designs" in answer.err
    assert {path.name for path in run.iterdir()} == FILES


def test_run_again_shows_the_result_without_measuring(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    first = hwnas("run", study_file, "--dir", run, "--json")
    journal = (run / "study.journal").read_bytes()
    again = hwnas("run", study_file, "--dir", run, "--json")
    assert json.loads(first.out) == json.loads(again.out)
    assert (run / "study.journal").read_bytes() == journal


def test_resume_with_a_larger_budget_and_the_front_in_every_form(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    hwnas("run", study_file, "--dir", run, "--budget", 32)
    resumed = json.loads(hwnas("resume", run, "--budget", 48, "--json", "-q").out)
    assert resumed["evaluations"] == 48
    front = json.loads(hwnas("front", run, "--json").out)
    assert front == resumed["front"]
    table = list(csv.DictReader(io.StringIO(hwnas("front", run, "--format", "csv").out)))
    assert [int(row["number"]) for row in table] == [design["number"] for design in front]
    assert "Pareto front" in hwnas("front", run).out
    assert hwnas("front", run, "--format", "xml").code == 2


def test_fresh_starts_anew_and_the_seed_makes_the_difference(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    first = json.loads(hwnas("run", study_file, "--dir", run, "--json").out)
    refused = hwnas("run", study_file, "--dir", run, "--seed", 1)
    assert refused.code == 2
    assert "-seed: 0" in refused.err
    assert "+seed: 1" in refused.err
    other = json.loads(hwnas("run", study_file, "--dir", run, "--seed", 1, "--fresh", "--json").out)
    again = json.loads(hwnas("run", study_file, "--dir", run, "--fresh", "--json").out)
    assert other["front"] != first["front"]
    assert {**again, "seconds": 0} == {**first, "seconds": 0}


def test_a_changed_study_is_refused_with_the_difference(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    hwnas("run", study_file, "--dir", run)
    study_file.write_text(STUDY.replace("area <= 1 mm2", "area <= 2 mm2"))
    answer = hwnas("run", study_file, "--dir", run)
    assert answer.code == 2
    assert "- area <= 1 mm2" in answer.err
    assert "+- area <= 2 mm2" in answer.err
    assert "--fresh" in answer.err


@pytest.mark.parametrize("option", [(), ("--fresh",)])
def test_a_directory_that_holds_something_else_is_left_alone(hwnas, study_file, tmp_path, option):
    run = tmp_path / "run"
    run.mkdir()
    (run / "thesis.tex").write_text("precious")
    answer = hwnas("run", study_file, "--dir", run, *option)
    assert answer.code == 2
    assert "thesis.tex" in answer.err
    assert (run / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("command", ["front", "resume", "report", "show", "dashboard"])
def test_a_directory_without_a_run_is_refused(hwnas, tmp_path, command):
    answer = hwnas(command, tmp_path)
    assert answer.code == 2
    assert "holds no run" in answer.err


def test_a_corrupt_history_is_exit_code_3(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    hwnas("run", study_file, "--dir", run)
    text = (run / "study.journal").read_text().splitlines()
    text[3] = text[3][:20]
    (run / "study.journal").write_text("\n".join(text) + "\n")
    answer = hwnas("front", run)
    assert answer.code == 3
    assert "study.journal" in answer.err
    assert "Traceback" not in answer.err


def test_nothing_feasible_names_the_constraint(hwnas, study_file, tmp_path):
    study_file.write_text(STUDY.replace("area <= 1 mm2", "area <= 1 um2"))
    answer = hwnas("run", study_file, "--dir", tmp_path / "run")
    assert answer.code == 5
    assert "area <= 1 um2 violated by" in answer.err
    assert (tmp_path / "run" / "report.html").is_file()


def test_nsga2_can_be_swapped_for_random(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    assert hwnas("run", study_file, "--dir", run, "--searcher", "random").code == 0
    assert "use: random" in (run / "study.yaml").read_text()
    misspelt = hwnas("run", study_file, "--dir", tmp_path / "b", "--searcher", "nsga")
    assert misspelt.code == 2
    assert "did you mean" in misspelt.err
    assert "'nsga2'" in misspelt.err


def test_exhaustive_says_how_large_the_space_is(hwnas, study_file, tmp_path):
    answer = hwnas("run", study_file, "--dir", tmp_path / "run", "--searcher", "exhaustive")
    assert answer.code == 2
    assert "8.451e+13" in answer.err


def test_storage_by_url(hwnas, study_file, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    run = tmp_path / "run"
    answer = hwnas("run", study_file, "--dir", run, "--storage", url, "--budget", 20, "--json")
    assert answer.code == 0, answer.err
    assert not (run / "study.journal").exists()
    assert json.loads(hwnas("front", run, "--json").out) == json.loads(answer.out)["front"]


def test_show_one_design(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    hwnas("run", study_file, "--dir", run, "--budget", 16)
    answer = hwnas("show", run, 3)
    for word in ("net.cells", "energy", "convolution", "linear", "hw.dataflow"):
        assert word in answer.out
    data = json.loads(hwnas("show", run, 3, "--json").out)
    assert data["number"] == 3
    assert data["accelerator"]["clock"] >= 1e8
    assert hwnas("show", run, 99).code == 2


@pytest.fixture
def quick(monkeypatch):
    """Models of the genes take their time, and are tested elsewhere."""
    monkeypatch.setattr("hwnas.report.contents.importances", lambda study: ())


@pytest.mark.usefixtures("quick")
def test_show_says_where_the_cost_comes_from(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    front = json.loads(hwnas("run", study_file, "--dir", run, "--budget", 32, "--json").out)[
        "front"
    ]
    number = front[0]["number"]
    answer = hwnas("show", run)
    for word in ("Systolic", "component", "leakage", "filter_sram", "latency (parts overlap)"):
        assert word in answer.out
    data = json.loads(hwnas("show", run, "--json").out)
    assert data["number"] == number
    (said,) = data["explanations"]
    assert sum(said["parts"]["energy"].values()) == pytest.approx(data["metrics"]["energy"])
    assert sum(said["layers"]["latency"]) == pytest.approx(data["metrics"]["latency"])
    assert len(said["roofline"]["attained"]) == len(data["layers"]["K"])


@pytest.mark.usefixtures("quick")
def test_show_writes_a_page(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    hwnas("run", study_file, "--dir", run, "--budget", 16)
    answer = hwnas("show", run, 3, "--html")
    assert (answer.code, answer.out) == (0, f"{run / 'design-3.html'}\n")
    assert "Design 3 of small" in (run / "design-3.html").read_text(encoding="utf-8")
    elsewhere = tmp_path / "new" / "page.html"
    assert hwnas("show", run, 3, "--html", elsewhere).out == f"{elsewhere}\n"
    first = tmp_path / "first.html"
    both = hwnas("show", run, "--html", first, "--json")
    assert json.loads(both.out)["html"] == str(first)
    number = json.loads(both.out)["number"]
    assert f"Design {number} of small" in first.read_text(encoding="utf-8")


@pytest.mark.usefixtures("quick")
def test_show_refuses_what_it_cannot_do(hwnas, study_file, tmp_path):
    run = tmp_path / "run"
    hwnas("run", study_file, "--dir", run, "--budget", 16)
    for arguments, message in (
        ((99,), "there is no design 99"),
        ((99, "--html"), "there is no design 99"),
        (("three",), "'three' is no number of a design"),
        ((3, "page.html"), "without --html"),
    ):
        answer = hwnas("show", run, *arguments)
        assert answer.code == 2
        assert message in answer.err
    assert [path.name for path in run.glob("*.html")] == ["report.html"]
    (tmp_path / "taken").write_text("mine")
    answer = hwnas("show", run, 3, "--html", tmp_path / "taken" / "page.html")
    assert answer.code == 3
    assert "cannot be written" in answer.err


@pytest.mark.usefixtures("quick")
def test_show_of_what_is_not_feasible(hwnas, study_file, tmp_path):
    study_file.write_text(
        STUDY.replace("- use: systolic_array", "- {use: systolic_array, ifmap_sram: [1]}")
    )
    run = tmp_path / "run"
    assert hwnas("run", study_file, "--dir", run, "--budget", 4).code == 5
    assert hwnas("show", run).code == 5
    answer = hwnas("show", run, 0)
    assert answer.code == 0
    assert "not feasible: ifmap_sram too small" in answer.out
    assert "there is nothing to break down" in answer.out
    assert "nan" not in answer.out
    text = hwnas("show", run, 0, "--json").out
    data = json.loads(text, parse_constant=pytest.fail)
    assert data["metrics"]["energy"] is None
    assert data["explanations"] == []
    assert hwnas("show", run, 0, "--html").code == 0


def test_list_validate_schema_check(hwnas, study_file):
    listed = json.loads(hwnas("list", "--json").out)
    assert set(listed) == {
        "spaces", "evaluators", "predictors", "searchers", "exports", "second_opinions",
        "calibrations", "datasets", "tables",
    }  # fmt: skip
    assert listed["searchers"]["nsga2"].startswith("Constrained NSGA-II")
    assert listed["tables"]["hbm2"]["figures"]["DRAM"]["unit"] == "J/bit"
    assert "did you mean 'searchers'" in hwnas("list", "searcher").err
    assert "8.451e+13 designs" in hwnas("validate", study_file).out
    assert json.loads(hwnas("schema").out)["title"] == "StudyModel"
    assert "rules hold" in hwnas("check", "evaluator", "macs").out
    assert hwnas("check", "evaluator", "makro").code == 2
    assert "population" in hwnas("check", "searcher", "nsga2", "-o", "population=few").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run",), "Missing argument"),
        (("rnu", "x"), "Did you mean"),
        (("run", "x.yaml", "--budgte", "3"), "--budget"),
        (("run", "nowhere.yaml"), "cannot read"),
        (("run", "x.yaml", "--budget", "many"), "valid int"),
    ],
)
def test_wrong_words_are_exit_code_2(hwnas, arguments, said):
    answer = hwnas(*arguments)
    assert answer.code == 2
    assert said in answer.err


def test_a_python_study_runs_and_goes_on(hwnas, tmp_path):
    file = Path(__file__).parents[2] / "studies" / "custom_objective.py"
    run = tmp_path / "run"
    first = json.loads(hwnas("run", file, "--dir", run, "--budget", 60, "--json").out)
    assert first["evaluations"] == 60
    more = json.loads(hwnas("run", file, "--dir", run, "--budget", 90, "--json").out)
    assert more["evaluations"] == 90
    assert "code is never run" in hwnas("resume", run).err


def test_a_python_file_without_a_study(hwnas, tmp_path):
    file = tmp_path / "none.py"
    file.write_text("study = 3\n")
    answer = hwnas("run", file, "--dir", tmp_path / "run")
    assert answer.code == 2
    assert "def study()" in answer.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_clean_and_resumable(hwnas, study_file, tmp_path, number, code):
    run = tmp_path / "run"
    study_file.write_text(STUDY.replace("budget: 64", "budget: 1000000"))
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from hwnas.cli import main; main()",
            "run",
            study_file,
            "--dir",
            run,
        ],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    journal = run / "study.journal"
    deadline = time.monotonic() + 60
    # The first step takes 52 kB: beyond, a whole one is written for sure.
    while not (journal.exists() and journal.stat().st_size > 100_000):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code, error
    assert "hwnas resume" in error
    assert "Traceback" not in error
    assert json.loads(hwnas("front", run, "--json").out)


def test_help_is_quick_to_import_nothing_heavy():
    code = (
        "import sys; sys.argv = ['hwnas', '--help']\n"
        "from hwnas.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'optuna', 'pymoo', 'sklearn', 'plotly', 'pandas', 'pint'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in out.stdout


def certifies(monkeypatch):
    """Lets random search say that one over the number of designs is left."""
    kind = "hwnas.searchers.random.RandomSearch"
    monkeypatch.setattr(f"{kind}.certifies", True)
    monkeypatch.setattr(f"{kind}.remaining", lambda self: 1 / max(len(self.told), 1))


def test_a_study_ends_when_its_searcher_certifies_it(hwnas, study_file, tmp_path, monkeypatch):
    certifies(monkeypatch)
    run = tmp_path / "run"
    answer = hwnas(
        "run", study_file, "--dir", run, "--searcher", "random", "--stop-when-gain-below", "5 %"
    )
    assert answer.code == 0, answer.err
    assert "converged: " in answer.out
    assert "at most 3.2 % hypervolume left (95 %)" in answer.out
    again = hwnas("resume", run, "--json")
    summary = json.loads(again.out)
    assert (summary["status"], summary["remaining"]) == ("converged", 1 / 32)
    further = json.loads(hwnas("resume", run, "--stop-when-gain-below", "0.02", "--json").out)
    assert (further["status"], further["evaluations"]) == ("complete", 64)
    assert json.loads((run / "front.json").read_text())["remaining"] == 1 / 64


def test_gains_that_are_none_and_searchers_without_a_bound(hwnas, study_file, tmp_path):
    for given in ("5", "none"):
        answer = hwnas("run", study_file, "--stop-when-gain-below", given)
        assert answer.code == 2
        assert "a share above 0 and below 1" in answer.err
    answer = hwnas("run", study_file, "--dir", tmp_path / "r", "--stop-when-gain-below", "5 %")
    assert answer.code == 2
    assert "nsga2 cannot say how much is left" in answer.err
    assert not (tmp_path / "r").exists()


def test_nothing_is_said_where_nobody_certifies(hwnas, study_file, tmp_path):
    answer = hwnas("run", study_file, "--dir", tmp_path / "run")
    assert "left (" not in answer.out + answer.err
    assert (
        json.loads(hwnas("run", study_file, "--dir", tmp_path / "run", "--json").out)["remaining"]
        is None
    )
