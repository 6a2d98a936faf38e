"""Every study of the folder is in order and is run, with a small budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import hwnas  # noqa: F401 - a fixture

STUDIES = Path(__file__).parents[1] / "studies"


def _small(file: Path, folder: Path) -> Path:
    """A copy that trains for one epoch, fewer samples; everything else as it is."""
    text = file.read_text()
    text = text.replace("use: training", "use: training\n    epochs: 1")
    text = text.replace("samples: 25", "samples: 5").replace("verify: 5", "verify: 2")
    copy = folder / file.name
    copy.write_text(text)
    return copy


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda f: f.stem)
def test_yaml_studies_run(hwnas, tmp_path, file):  # noqa: F811 - the fixture
    if "use: training" in file.read_text():
        pytest.importorskip("torch")
    copy = _small(file, tmp_path)
    budget = 200 if "surrogate:" in copy.read_text() else 6
    run = tmp_path / "run"
    answer = hwnas("run", copy, "--dir", run, "--budget", budget, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert said["status"] == "complete"
    assert said["evaluations"] == budget
    assert said["front"]
    if "surrogate:" in copy.read_text():
        assert [d["number"] for d in said["verified"]["designs"]]
        assert all(0 <= d["measured"] <= 1 for d in said["verified"]["designs"])
    for name in ("report.html", "front.csv", "front.json"):
        assert (run / name).stat().st_size > 0


def test_the_python_study_is_tested_with_the_command_line():
    """See tests/cli: this keeps the folder and the tests in step."""
    assert {f.name for f in STUDIES.glob("*.py")} == {"custom_objective.py"}
