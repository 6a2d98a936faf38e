"""The files of a report: what is in them, and that they appear whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from pandas.testing import assert_frame_equal

from hwnas import Study
from hwnas.errors import StorageError
from hwnas.report import write_report
from tests.report.toy import run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of the genes take their time, and are tested elsewhere."""
    monkeypatch.setattr("hwnas.report.contents.importances", lambda study: ())


def test_csv_is_the_table(each: Study, tmp_path: Path) -> None:
    files = write_report(each, tmp_path / "new" / "folder")
    read = pandas.read_csv(files.csv, engine="python")
    table = each.front().table()
    assert_frame_equal(read[table.columns], table, check_dtype=False, check_exact=True)
    problem = each.problem
    order = [*(o.name for o in problem.objectives), *problem.metrics, *problem.space.names]
    assert list(read.columns) == [
        "number",
        *(name for name in dict.fromkeys(order) if name in table),
    ]


def test_json_is_the_front(three: Study, tmp_path: Path) -> None:
    files = write_report(three, tmp_path)
    read = json.loads(files.json.read_text(encoding="utf-8"))
    assert read["designs"] == three.front().to_json()
    table = three.front().table().set_index("number")
    for design in read["designs"]:
        row = table.loc[design["number"]]
        for name, value in {**design["metrics"], **design["genes"]}.items():
            assert row[name] == value
        asleep = set(three.problem.space.names) - set(design["genes"])
        assert all(name not in row or pandas.isna(row[name]) for name in asleep)
    assert [(o["name"], o["unit"], o["goal"]) for o in read["objectives"]] == [
        ("error", "1", "minimize"),
        ("energy", "J", "minimize"),
        ("latency", "s", "minimize"),
    ]
    units = {q["name"]: q["unit"] for q in [*read["metrics"], *read["genes"]]}
    assert units["area"] == "m^2"
    assert units["hw.clock"] == "Hz"
    assert read["study"]["evaluations"] == three.history.evaluations
    assert read["study"]["seed"] == three.seed
    assert three.yardstick is not None
    assert read["hypervolume"] == three.yardstick.hypervolume(three.history.front_losses)
    assert read["why_empty"] == ""


def test_an_empty_front(hopeless: Study, unbegun: Study, tmp_path: Path) -> None:
    for study, why in ((hopeless, "error <= 0.01"), (unbegun, "nothing was measured")):
        files = write_report(study, tmp_path / study.name)
        read = json.loads(files.json.read_text(encoding="utf-8"))
        assert read["designs"] == []
        assert why in read["why_empty"]
        table = pandas.read_csv(files.csv)
        assert len(table) == 0
        names = ["number", "error", "rate", "energy", "latency", "area"]
        assert list(table.columns) == [*names, *study.problem.space.names]


def test_a_name_of_its_own(three: Study, tmp_path: Path) -> None:
    files = write_report(three, tmp_path, name="Größe <b>")
    assert json.loads(files.json.read_text(encoding="utf-8"))["title"] == "Größe <b>"
    assert "<h1>Größe &lt;b&gt;</h1>" in files.report.read_text(encoding="utf-8")


def test_files_are_replaced_whole(
    three: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_report(three, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {files.report, files.csv, files.json}
    assert len({path.stat().st_mode for path in before}) == 1

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="cannot be written") as caught:
        write_report(run(2, 10), tmp_path)
    assert "No space left" in caught.value.given
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file(three: Study, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StorageError, match="cannot be written"):
        write_report(three, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_same_study_gives_the_same_files(three: Study, tmp_path: Path) -> None:
    first, again = write_report(three, tmp_path / "a"), write_report(three, tmp_path / "b")
    assert first.csv.read_bytes() == again.csv.read_bytes()
    assert first.json.read_bytes() == again.json.read_bytes()
    assert first.report.read_bytes() == again.report.read_bytes()


def test_a_large_study_stays_small(tmp_path: Path) -> None:
    study = run(3, 2000, constraints=())
    assert len(study.history) >= 2000
    files = write_report(study, tmp_path)
    assert files.report.stat().st_size < 6.5e6
    table = pandas.read_csv(files.csv)
    assert len(table) == len(study.history.front)
    assert np.isfinite(table["error"]).all()
