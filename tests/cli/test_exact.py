"""``hwnas exact``: the table, the files, and refusals."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from hwnas.studyfile import load
from hwnas.testing.toys import exact_front

SMALL = """\
name: tiny_arrays
space:
  - {use: skipnet, cells: [1, 2], layers_per_cell: [2, 3], widths: [1, 2], skip_channels: [0, 4]}
  - {use: uniform_bits, weight_bits: [4, 8], activation_bits: [8]}
  - use: systolic_array
    rows: [4, 8]
    columns: [4, 8]
    ifmap_sram: [64, 1024]
    filter_sram: [1024]
    ofmap_sram: [1024]
    dram_bandwidth: [0.4 GB/s]
    clock: [100 MHz, 400 MHz]
evaluators: [nn_mass, systolic]
objectives:
  - maximize: nn_mass
  - minimize: edp = energy * latency
constraints:
  - area <= 0.2 mm2
searcher: {use: exact}
budget: 1000
"""


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


def test_prints_and_writes_the_front(hwnas, small, tmp_path):
    answer = hwnas("exact", small, "--dir", tmp_path / "front")
    assert answer.code == 0, answer.err
    assert "classes that Systolic cannot tell apart" in answer.out
    assert "Pareto front" in answer.out
    contents = json.loads((tmp_path / "front" / "front.json").read_text())
    problem = load(small).problem
    expected = np.unique(exact_front(problem).losses, axis=0)
    found = [list(d["objectives"].values()) for d in contents["designs"]] * problem.signs
    np.testing.assert_allclose(np.unique(found, axis=0), expected, rtol=1e-12)
    assert contents["space"] == problem.space.size()
    assert f"{problem.space.size():,} designs" in answer.out
    with (tmp_path / "front" / "front.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["edp"]) for row in table] == [
        d["objectives"]["edp"] for d in contents["designs"]
    ]
    assert {path.name for path in (tmp_path / "front").iterdir()} == {"front.csv", "front.json"}


def test_json_is_what_is_written(hwnas, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = hwnas("exact", small, "--json")
    written = tmp_path / "runs" / "exact" / "tiny_arrays" / "front.json"
    assert json.loads(answer.out) == json.loads(written.read_text())


def test_the_searcher_finds_the_same_front(hwnas, small, tmp_path):
    contents = json.loads(hwnas("exact", small, "--dir", tmp_path / "front", "--json").out)
    run = json.loads(hwnas("run", small, "--dir", tmp_path / "run", "--json", "-q").out)
    assert [d["objectives"] for d in run["front"]] == [d["objectives"] for d in contents["designs"]]
    assert run["evaluations"] == len(contents["designs"])


def test_what_cannot_be_computed_is_refused_with_the_reasons(hwnas, study_file, tmp_path):
    answer = hwnas("exact", study_file, "--dir", tmp_path / "front")
    assert answer.code == 2
    assert "8.451e+13 designs cannot be computed" in answer.err
    for method in ("cost classes", "enumeration", "sums over genes"):
        assert method in answer.err
    assert not (tmp_path / "front").exists()


def test_nothing_feasible_is_exit_code_5(hwnas, small, tmp_path):
    small.write_text(SMALL.replace("0.2 mm2", "1 um2"))
    answer = hwnas("exact", small, "--dir", tmp_path / "front")
    assert answer.code == 5
    assert "area <= 1 um2" in answer.err


COSTLY = """\
import hwnas
from hwnas.testing import toys


def study():
    return hwnas.Study(toys.joint(), searcher="random", budget=4, name="costly")
"""


def test_costly_evaluators_are_measured_if_that_is_allowed(hwnas, tmp_path):
    file = tmp_path / "costly.py"
    file.write_text(COSTLY)
    refused = hwnas("exact", file, "--dir", tmp_path / "front")
    assert refused.code == 2
    assert "joint_error" in refused.err
    answer = hwnas("exact", file, "--measure-costly", "--dir", tmp_path / "front", "--json")
    designs = json.loads(answer.out)["designs"]
    assert len(designs) == 11
    assert all(set(d["metrics"]) == {"error", "energy", "latency", "area"} for d in designs)


def test_a_folder_that_cannot_be_written_is_exit_code_3(hwnas, small, tmp_path):
    (tmp_path / "file").write_text("precious")
    answer = hwnas("exact", small, "--dir", tmp_path / "file")
    assert answer.code == 3
    assert (tmp_path / "file").read_text() == "precious"
