"""Every study of the folder is in order and is run, with a small budget."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hwnas.exact import solve
from hwnas.studyfile import load
from hwnas.yardstick import Yardstick
from tests.cli.conftest import hwnas  # noqa: F401 - a fixture
from tests.idx_files import write_idx_folder

STUDIES = Path(__file__).parents[1] / "studies"


def _small(file: Path, folder: Path) -> Path:
    """A copy that trains for one epoch, fewer samples; everything else as it is."""
    text = file.read_text()
    given = "epochs:" in text
    text = re.sub(r"epochs: \d+", "epochs: 1", text)
    if not given:
        added = r"\g<0>\n\1  epochs: 1"
        text = re.sub(r"^( *)- use: training\b.*$", added, text, flags=re.MULTILINE)
    text = text.replace("samples: 25", "samples: 5").replace("verify: 5", "verify: 2")
    copy = folder / file.name
    copy.write_text(text)
    shutil.copytree(STUDIES / "data", folder / "data")
    return copy


def _stand_in_for_fashion_mnist(folder: Path) -> None:
    """Noise of the same shape, 240 images of it."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (240, 28, 28), dtype=np.uint8)
    labels = np.arange(240, dtype=np.uint8) % 10
    parts = (images[:200], labels[:200]), (images[200:], labels[200:])
    write_idx_folder(folder / "fashion-mnist", *parts)


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda f: f.stem)
def test_yaml_studies_run(hwnas, tmp_path, monkeypatch, file):  # noqa: F811 - the fixture
    if "use: training" in file.read_text():
        pytest.importorskip("torch")
    if "fashion_mnist" in file.read_text():
        _stand_in_for_fashion_mnist(tmp_path / "data_sets")
        monkeypatch.setenv("HWNAS_DATA", str(tmp_path / "data_sets"))
    copy = _small(file, tmp_path)
    budget = 200 if "surrogate:" in copy.read_text() else 6
    run = tmp_path / "run"
    answer = hwnas("run", copy, "--dir", run, "--budget", budget, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert said["status"] == "complete"
    # Of shares of evaluations, less than a whole one may be left.
    if "use: ladder" in copy.read_text():  # lower rungs cost shares, so the last one may not fit
        assert budget - 1 < said["evaluations"] <= budget
    else:
        assert said["evaluations"] == budget
    assert isinstance(said["evaluations"], int) or said["rungs"]
    assert said["front"]
    if "surrogate:" in copy.read_text():
        assert [d["number"] for d in said["verified"]["designs"]]
        assert all(0 <= d["measured"] <= 1 for d in said["verified"]["designs"])
    for name in ("report.html", "front.csv", "front.json"):
        assert (run / name).stat().st_size > 0


def test_the_made_up_table_is_what_its_program_makes(tmp_path):
    made = tmp_path / "made_up.csv"
    subprocess.run([sys.executable, STUDIES / "data" / "made_up.py", made], check=True)
    assert made.read_bytes() == (STUDIES / "data" / "made_up.csv").read_bytes()


def test_little_of_the_front_of_the_table_is_missed(hwnas, tmp_path):  # noqa: F811
    problem = load(STUDIES / "table.yaml").problem
    front = solve(problem, measure_costly=True).losses
    run = tmp_path / "run"
    answer = hwnas("run", STUDIES / "table.yaml", "--dir", run, "--budget", 60, "--json")
    assert answer.code == 0, answer.err
    found = np.array([list(d["objectives"].values()) for d in json.loads(answer.out)["front"]])
    box = Yardstick.spanning(front, {})
    assert box.hypervolume(found) >= 0.97 * box.hypervolume(front)


def test_the_python_study_is_tested_with_the_command_line():
    """See tests/cli: this keeps the folder and the tests in step."""
    assert {f.name for f in STUDIES.glob("*.py")} == {"custom_objective.py"}
