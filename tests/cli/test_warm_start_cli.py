"""Studies that begin with what was measured before, as the person at the terminal sees them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from hwnas.storage import StudyStore

DATA = Path(__file__).parents[2] / "studies" / "data" / "made_up.csv"

STUDY = f"""\
name: macro
space:
  - use: nas_bench_macro
  - use: uniform_bits
    weight_bits: [2, 3, 4, 8]
    activation_bits: [8]
  - use: systolic_array
    rows: [8, 16]
    columns: [8, 16]
    dataflow: [ws]
    ifmap_sram: [32 KiB]
    filter_sram: [32 KiB]
    ofmap_sram: [64 KiB]
    dram_bandwidth: [1.6 GB/s]
    clock: [100 MHz, 400 MHz]
restrict:
  net.b1: mbconv_e3_k3
  net.b2: mbconv_e3_k3
  net.b7: mbconv_e3_k3
  net.b8: mbconv_e3_k3
evaluators:
  - use: tabular
    path: {DATA}
    join: {{arch: "{"".join(f"{{net.b{i}}}" for i in range(1, 9))}"}}
    values: {{identity: 0, mbconv_e3_k3: 1, mbconv_e6_k5: 2}}
    keys: {{quant.weight_bits: weight_bits}}
    metrics:
      error: {{column: accuracy, complement: 100, worst: 1, best: 0}}
  - use: systolic
objectives:
  - minimize: error
  - minimize: energy
searcher: random
batch: 5
budget: 12
"""


@pytest.fixture
def old(hwnas, tmp_path):
    """A run that is finished."""
    file = tmp_path / "old.yaml"
    file.write_text(STUDY.replace("name: macro", "name: old").replace("random", "nsga2"))
    assert hwnas("run", file, "--dir", tmp_path / "old", "-q").code == 0
    return tmp_path / "old"


def written(tmp_path, sources, text=STUDY):
    file = tmp_path / "new.yaml"
    file.write_text(f"{text}warm_start: {sources}\n")
    return file


def test_a_run_begins_with_another_one_and_pays_for_its_own_only(hwnas, old, tmp_path):
    file, run = written(tmp_path, "old"), tmp_path / "run"
    answer = hwnas("run", file, "--dir", run, "--json")
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert summary["evaluations"] == 12
    assert summary["learnt"] > 0
    assert f"known before: {summary['learnt']} of " in answer.err
    assert f"rows from {old}" in answer.err
    assert f"begins with {summary['learnt']} known designs" in answer.err
    before = json.loads(hwnas("front", old, "--json").out)
    now = {tuple(d["objectives"].values()) for d in summary["front"]}
    for design in before:
        error, energy = design["objectives"].values()
        assert any(e <= error and j <= energy for e, j in now)


def test_it_goes_on_without_what_it_began_with(hwnas, old, tmp_path):
    file, run = written(tmp_path, "[old]"), tmp_path / "run"
    first = json.loads(hwnas("run", file, "--dir", run, "--json", "-q").out)
    shutil.rmtree(old)
    again = json.loads(hwnas("run", file, "--dir", run, "--json", "-q").out)
    assert again == first
    more = hwnas("resume", run, "--budget", "14", "--json")
    assert more.code == 0, more.err
    assert json.loads(more.out)["evaluations"] == 14
    assert json.loads(more.out)["learnt"] == first["learnt"]
    assert "known before" not in more.err
    assert hwnas("report", run).code == 0
    assert hwnas("front", run).code == 0


@pytest.mark.parametrize("stored", [0, 3])
def test_killed_while_it_learnt_it_ends_as_if_nothing_had_been(
    hwnas, old, tmp_path, monkeypatch, stored
):
    file = written(tmp_path, "old")
    whole = json.loads(hwnas("run", file, "--dir", tmp_path / "whole", "--json").out)
    append = StudyStore.append

    def dies(self, problem, block):
        append(self, problem, block.take(range(stored)))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StudyStore, "append", dies)
        assert hwnas("run", file, "--dir", tmp_path / "run").code == 130
    assert hwnas("front", tmp_path / "run").code == (0 if stored else 5)
    again = json.loads(hwnas("resume", tmp_path / "run", "--json").out)
    same = ("evaluations", "designs", "learnt", "hypervolume", "front")
    assert {k: again[k] for k in same} == {k: whole[k] for k in same}


def test_what_it_begins_with_cannot_change(hwnas, old, tmp_path):
    file, run = written(tmp_path, "old"), tmp_path / "run"
    hwnas("run", file, "--dir", run, "-q")
    for text in (STUDY, STUDY + f"warm_start: [old, {old / 'front.csv'}]\n"):
        file.write_text(text)
        refused = hwnas("run", file, "--dir", run)
        assert refused.code == 2
        assert "is not the study that" in refused.err
        assert "warm_start" in refused.err or "front.csv" in refused.err
    file.write_text(STUDY)
    plain = tmp_path / "plain"
    hwnas("run", file, "--dir", plain, "-q")
    assert "warm_start" not in (plain / "study.yaml").read_text()
    assert hwnas("run", written(tmp_path, "old"), "--dir", plain).code == 2


def test_a_printed_front_is_a_table_to_begin_with(hwnas, old, tmp_path):
    table = tmp_path / "known.csv"
    table.write_text(hwnas("front", old, "--format", "csv").out)
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    answer = hwnas("run", written(tmp_path, "known.csv"), "--dir", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["learnt"] == len(rows)
    assert f"known before: {len(rows)} of {len(rows)} rows from {table}" in answer.err


def test_validate_says_what_there_is(hwnas, old, tmp_path):
    narrow = STUDY.replace("[2, 3, 4, 8]", "[2, 8]").replace("rows: [8, 16]", "rows: [4]")
    file = written(tmp_path, "old", narrow)
    answer = hwnas("validate", file)
    assert answer.code == 0, answer.err
    assert "quant.weight_bits has no choice" in answer.out
    facts = json.loads(hwnas("validate", file, "--json").out)
    assert f"rows from {old}; left out: " in facts["known before"]
    # No costly evaluator reads the accelerator, so that another one does no harm.
    assert "hw.rows" not in facts["known before"]
    assert facts["resolved"]["warm_start"] == [str(old)]


@pytest.mark.parametrize(
    ("sources", "content", "said"),
    [
        ("nowhere", None, "there is nothing to begin with at"),
        ("empty", None, "holds no run"),
        ("rows.csv", "net.b3,error\nmbconv_e3_k3,0.1\n", "no value of net.b4"),
        ("rows.csv", "a,error\n1,0.1\n", "says nothing about the genes that count"),
        ("rows.csv", "net.b3,accuracy\nidentity,90\n", "no column 'error'"),
        ("rows.csv", "net.b3,error\nidentity,0.1\nidentity,good\n", "rows.csv, row 2"),
        ("rows.csv", "quant.weight_bits,error\n2,0.1\nfour,0.1\n", "rows.csv, row 2"),
        ("rows.csv", "net.b3,error\n", "no rows"),
        ("rows.csv", "", "cannot be read"),
        ("rows.csv", "net.b3,error\nidentity,0.1,7\n", "cannot be read"),
        ("rows.csv", "net.b3,error,infeasible\nidentity,0.1,perhaps\n", "neither true nor false"),
        ("rows.npz", "what", "a run directory, or a table: .csv, .parquet"),
        ("rows.parquet", "what", "cannot be read"),
    ],
)  # fmt: skip
def test_bad_sources_are_named_and_nothing_begins(hwnas, tmp_path, sources, content, said):
    (tmp_path / "empty").mkdir()
    if content is not None:
        (tmp_path / sources).write_text(content)
    file = written(tmp_path, sources)
    for command in (("run", file, "--dir", tmp_path / "run"), ("validate", file)):
        answer = hwnas(*command)
        assert answer.code == 2
        assert said in answer.err
        assert str(tmp_path / sources) in answer.err
        assert "Traceback" not in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("given", ["3", "{a: b}", "[[old]]"])
def test_what_is_no_path_is_named_with_its_line(hwnas, tmp_path, given):
    file = written(tmp_path, given)
    answer = hwnas("validate", file)
    assert answer.code == 2
    assert f"{file}:{len(STUDY.splitlines()) + 1}: warm_start" in answer.err


def test_a_python_study_learns_where_it_is_made(hwnas, tmp_path):
    file = tmp_path / "study.py"
    file.write_text(
        "import numpy as np\n"
        "from hwnas import Study\n"
        "from hwnas.testing import toys\n"
        "def study():\n"
        "    problem = toys.joint()\n"
        "    rows = problem.space.sample(20, np.random.default_rng(0))\n"
        "    study = Study(problem, 'random', budget=6)\n"
        "    study.learn(rows, problem.evaluate(problem.designs(rows)))\n"
        "    return study\n"
    )
    run = tmp_path / "run"
    first = json.loads(hwnas("run", file, "--dir", run, "--json", "-q").out)
    assert first["evaluations"] == 6
    assert first["learnt"] > 10
    again = json.loads(hwnas("run", file, "--dir", run, "--budget", 8, "--json", "-q").out)
    assert again["evaluations"] == 8
    assert again["learnt"] == first["learnt"]
