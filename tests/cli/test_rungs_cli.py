"""What the terminal says of lower fidelities."""

from __future__ import annotations

import io
import json

from rich.console import Console

from hwnas import Study
from hwnas.cli.live import Watch
from hwnas.studyfile import load
from tests.cli.conftest import hwnas  # noqa: F401 - a fixture

STUDY = """
name: climb
space: [skipnet, bits_per_cell, systolic_array]
evaluators:
  - use: ladder
    rungs:
      - {use: macs, share: 0.01}        # fewer are taken to be better: upside down
      - {use: params, share: 0.1}       # likewise
      - nn_mass
  - systolic
objectives: [nn_mass, energy]
searcher: {use: mo_asha, control: 8}
budget: 20
"""


def test_a_run_shows_its_rungs(hwnas, tmp_path):  # noqa: F811 - the fixture
    file = tmp_path / "climb.yaml"
    file.write_text(STUDY)
    assert "0.01, 0.1, 1" in hwnas("validate", file).out
    answer = hwnas("run", file, "--dir", tmp_path / "run")
    assert answer.code == 0, answer.err
    for shown in (answer.out, hwnas("front", tmp_path / "run").out):
        assert "rungs" in shown
        assert "skipped: ranks" in shown
        assert "* judged by those measured whole before" in shown
    again = hwnas("resume", tmp_path / "run", "--json")
    low, middle, whole = json.loads(again.out)["rungs"]
    assert (low["fidelity"], middle["fidelity"], whole["fidelity"]) == (0.01, 0.1, 1.0)
    assert low["tau"] < 0
    assert low["verdict"] == f"skipped: ranks with tau = {low['tau']:.2f}"
    assert whole["verdict"] == "counts"


def test_those_who_wait_are_told(tmp_path):
    file = tmp_path / "climb.yaml"
    file.write_text(STUDY)
    plan = load(file)
    study = Study(plan.problem, "mo_asha", budget=20, options={"control": 8})
    console = Console(record=True, width=200, file=io.StringIO())
    with Watch(study, "climbing", console) as watch:
        for standing in study.run():
            watch.show(standing)
        console.print(watch._picture(standing))
    said = console.export_text()
    assert "0.01 skipped: ranks with tau = -" in said
