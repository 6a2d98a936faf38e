"""``hwnas export``: folders, notes, JSON and refusals."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def finished(hwnas, study_file, tmp_path):
    """The directory of a small run."""
    directory = tmp_path / "run"
    assert hwnas("run", study_file, "--dir", directory, "--quiet").code == 0
    return directory


def test_designs_become_files(hwnas, finished, tmp_path):
    first = json.loads(hwnas("show", finished, "--json").out)["number"]
    answer = hwnas("export", finished, "--to", "scalesim")
    assert answer.code == 0, answer.err
    folder = finished / f"export-{first}-scalesim"
    written = {"scalesim.cfg", "topology.csv", "gemm.csv", "layout.csv", "export.json"}
    assert {path.name for path in folder.iterdir()} == written
    assert all(str(folder / name) in answer.out for name in written)
    assert "POOL is left out" in answer.out
    assert json.loads((folder / "export.json").read_text())["design"] == first

    again = hwnas("export", finished, "--to", "scalesim")
    assert again.code == 3
    assert "is not empty" in again.err
    assert hwnas("export", finished, "--to", "scalesim", "--force").code == 0

    out = tmp_path / "elsewhere"
    arguments = ("export", finished, 3, "--to", "zigzag", "--out", out, "--json")
    told = json.loads(hwnas(*arguments).out)
    assert (told["tool"], told["design"], told["study"]) == ("zigzag", 3, "small")
    assert told["folder"] == str(out)
    assert sorted(told["files"]) == sorted(path.name for path in out.iterdir())
    assert told["layers"][0] == {"name": "conv000", "row": 0, "times": 1}
    assert hwnas("resume", finished, "--quiet").code == 0


TRAINED = """\
name: trained
space:
  - {use: skipnet, cells: [1], layers_per_cell: [3], widths: [1], skip_channels: [4]}
  - {use: uniform_bits, weight_bits: [4], activation_bits: [8]}
evaluators: [{use: training, epochs: 1}, macs]
objectives: [error, macs]
budget: 1
"""


def test_a_trained_network_becomes_a_file_for_onnxruntime(hwnas, tmp_path):
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    directory, file = tmp_path / "run", tmp_path / "trained.yaml"
    file.write_text(TRAINED)
    assert hwnas("run", file, "--dir", directory, "--quiet").code == 0
    error = json.loads(hwnas("show", directory, 0, "--json").out)["metrics"]["error"]
    answer = hwnas("export", directory, 0, "--to", "onnx")
    assert answer.code == 0, answer.err
    assert f"{error:.4f} as trained" in answer.out
    model = onnx.load(directory / "export-0-onnx" / "model.onnx")
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}


def test_a_study_that_trains_nothing_has_no_network_to_write(hwnas, finished):
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    answer = hwnas("export", finished, 3, "--to", "onnx")
    assert answer.code == 2
    assert "no trained weights" in answer.err


def test_refusals(hwnas, finished):
    nameless = hwnas("export", finished)
    assert nameless.code == 2
    assert "maestro, onnx, scalesim, timeloop, zigzag" in nameless.err
    unknown = hwnas("export", finished, "--to", "zigzak")
    assert unknown.code == 2
    assert "'zigzag'" in unknown.err
    missing = hwnas("export", finished, 64, "--to", "zigzag")
    assert missing.code == 2
    assert "there is no design 64" in missing.err
    assert not list(finished.glob("export-*"))


def test_exports_are_listed(hwnas):
    listed = json.loads(hwnas("list", "exports", "--json").out)
    assert sorted(listed["exports"]) == ["maestro", "onnx", "scalesim", "timeloop", "zigzag"]
    assert all(text and "not usable" not in text for text in listed["exports"].values())
