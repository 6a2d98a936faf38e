"""hwnas verify, with interpreters that only pretend to have the tools."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import hwnas.verification
from hwnas.session import start
from tests.cli.conftest import STUDY

SERVE = Path(hwnas.verification.__file__).parent / "child" / "serve.py"

ZIGZAG = """
DISTRIBUTION = "pytest"
FAILS = False


def answer(request):
    import hashlib

    assert sorted(request["files"]) == ["accelerator", "mapping", "workload"]
    number = 1 + hashlib.sha1(repr(request["files"]["workload"]).encode()).digest()[0]
    if FAILS and number % 2:
        raise ValueError("no mapping found")
    names = ("energy", "energy_mac", "energy_memory", "cycles", "ideal_temporal_cycles")
    return dict.fromkeys((*names, "cycles_without_on_and_offload"), 1000.0 * number)
"""

SCALESIM = """
DISTRIBUTION = "pytest"


def answer(request):
    cells = request["files"]["topology.csv"].splitlines()[1].split(",")
    height, width, r, s, c, k, stride = map(int, cells[1:8])
    presets = dict(
        line.replace(" ", "").split(":")
        for line in request["files"]["scalesim.cfg"].splitlines()
        if ":" in line
    )
    rows, columns = int(presets["ArrayHeight"]), int(presets["ArrayWidth"])
    m, w = ((height - r) // stride + 1) * ((width - s) // stride + 1), r * s * c
    # Scale-Sim's published closed forms, one dataflow after the other.
    down, across, time = {"os": (m, k, w), "ws": (w, k, m), "is": (w, m, k)}[presets["Dataflow"]]
    load = 1 if presets["Dataflow"] == "os" else 2
    folds = -(-down // rows) * -(-across // columns)
    names = ("sram_ifmap", "sram_filter", "sram_ofmap", "dram_ifmap", "dram_filter", "dram_ofmap")
    cycles = folds * (time + load * rows + columns - 2) - 1
    return {"cycles": cycles, "mapping_efficiency": 0.5, **dict.fromkeys(names, 1)}
"""


@pytest.fixture
def pretending(tmp_path):
    """Makes an interpreter that runs a script of ours in place of the plug-in's."""

    def make(script: str) -> Path:
        file, python = tmp_path / "pretending.py", tmp_path / "python"
        file.write_text(script)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SERVE}" "{file}"\n')
        python.chmod(0o755)
        return python

    return make


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    file = folder / "small.yaml"
    file.write_text(STUDY)
    session = start(file, directory=folder / "run")
    for _ in session.study.run():
        pass
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_both_answers_side_by_side(hwnas, run, pretending):
    python = pretending(ZIGZAG)
    answer = hwnas("verify", run, "--with", "zigzag", "--top", 3, "--python", python)
    assert answer.code == 0, answer.err
    assert "Systolic and zigzag" in answer.out
    assert "latency_total2" in answer.out
    assert "rank correlation of designs" in answer.out
    assert "layer 1 of" in answer.err
    front = json.loads(hwnas("front", run, "--json").out)
    again = hwnas("verify", run, "--with", "zigzag", "--top", 3, "--python", python, "--json")
    assert again.err == ""
    found = json.loads(again.out)
    assert found["asked"] == 0
    numbers = [design["number"] for design in front]
    assert [d["number"] for d in found["designs"]][:: len(found["designs"]) - 1] == [
        numbers[0],
        numbers[-1],
    ]
    for design, one in zip(found["designs"], (0, len(front) // 2, -1), strict=True):
        if one in (0, -1):
            # Without leakage and layers without products it is less than the study's energy.
            assert 0 < design["ours"]["energy"] < front[one]["metrics"]["energy"]


def test_the_environment_names_the_interpreter(hwnas, run, pretending, monkeypatch):
    monkeypatch.setenv("HWNAS_ZIGZAG_PYTHON", str(pretending(ZIGZAG)))
    number = json.loads(hwnas("front", run, "--json").out)[0]["number"]
    answer = hwnas("verify", run, "--with", "zigzag", "--design", number, "--layers", "-q")
    assert answer.code == 0, answer.err
    assert f"layers of design {number}" in answer.out
    assert answer.err == ""


def test_options_are_part_of_the_question(hwnas, run, pretending):
    python = pretending(ZIGZAG)
    fixed = ("verify", run, "--with", "zigzag", "--top", 1, "--python", python, "--json", "-q")
    first = json.loads(hwnas(*fixed).out)
    other = json.loads(hwnas(*fixed, "-o", "minimize=latency", "-o", "lpf_limit=4").out)
    assert other["asked"] == first["asked"] > 0
    wrong = hwnas(*fixed, "-o", "minimise=latency")
    assert wrong.code == 2
    assert "minimize, lpf_limit" in wrong.err
    assert hwnas(*fixed, "-o", "lpf_limit=0").code == 2


def test_a_tool_that_fails_now_and_then(hwnas, run, pretending):
    python = pretending(ZIGZAG.replace("FAILS = False", "FAILS = True"))
    answer = hwnas("verify", run, "--with", "zigzag", "--top", 3, "--python", python, "-q")
    assert answer.code == 1
    assert "without an answer" in answer.out
    assert "no mapping found" in answer.out


def test_cycles_are_equal_and_wrong_counts_are_found(hwnas, run, pretending):
    python = pretending(SCALESIM)
    answer = hwnas("verify", run, "--with", "scalesim", "--top", 2, "--python", python, "--json")
    assert answer.code == 1
    found = json.loads(answer.out)
    assert found["faults"] > 0
    for design in found["designs"]:
        assert design["ours"]["cycles"] == design["theirs"]["cycles"]
        assert design["ours"]["sram_reads"] != design["theirs"]["sram_reads"]
    shown = hwnas("verify", run, "--with", "scalesim", "--top", 2, "--python", python, "-q")
    assert "layer rows differ, which must be equal" in shown.out
    assert "all equal" in shown.out


def test_without_the_tool_the_command_that_gets_it_is_shown(hwnas, run, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HWNAS_SCALESIM_PYTHON", raising=False)
    monkeypatch.setattr("hwnas.verification.environment.find_spec", lambda _: None)
    answer = hwnas("verify", run, "--with", "scalesim")
    assert answer.code == 2
    assert "pip install 'scalesim==3.0.0' 'numpy<2'" in answer.err
    assert "--install" in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--with", "zigzap"), "zigzag"),
        (("--with", "zigzag", "--top", 0), "at least 1"),
        (("--with", "zigzag", "--timeout", 0), "greater than 0"),
        (("--with", "zigzag", "--design", 9999), "there is no design 9999"),
        (("--with", "zigzag", "--python", "/nowhere/python"), "no interpreter"),
    ],
)
def test_what_is_asked_wrongly(hwnas, run, arguments, message):
    answer = hwnas("verify", run, *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_second_opinions_are_listed(hwnas):
    answer = hwnas("list", "second_opinions")
    assert answer.code == 0
    assert "zigzag" in answer.out
    assert "SCALE-Sim 3.0.0" in answer.out
