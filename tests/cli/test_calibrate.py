"""``hwnas calibrate``: from a file of measured rows to a study that uses the table."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluators.spatial.calibration import SpatialRows
from evaluators.systolic_calibration import SystolicRows
from tests.cli.conftest import STUDY


@pytest.fixture
def measured(tmp_path):
    """48 layers on small arrays; the chip takes 1.5 times the model's cycles and 900 more."""
    rng = np.random.default_rng(0)
    n = 48
    rows = {
        "K": rng.choice([16, 32, 64], n),
        "C": rng.choice([8, 16, 32], n),
        "P": rng.choice([7, 14, 28], n),
        "Q": rng.choice([7, 14, 28], n),
        "R": rng.choice([1, 3], n),
        "rows": rng.choice([8, 16], n),
        "columns": rng.choice([8, 16], n),
        "dataflow": rng.choice(["os", "ws"], n),
        "dram_bandwidth": np.full(n, 64e9),
        "clock": np.full(n, 1e8),
        **{name: np.full(n, 65536) for name in ("ifmap_sram", "filter_sram", "ofmap_sram")},
    }
    ones = dict.fromkeys(("N", "stride", "groups"), np.ones(n)) | {"S": rows["R"]}
    bits = dict.fromkeys(("weight_bits", "activation_bits"), np.full(n, 8))
    template = SystolicRows()
    counts = template.counts({**rows, **ones, **bits})
    plain = {**template.starts(), "compute": 1.5, "layer": 900.0}
    cycles = template.predict(counts, plain)["cycles"]
    units = {"ifmap_sram": " [B]", "filter_sram": " [B]", "ofmap_sram": " [B]",
             "dram_bandwidth": " [B/s]", "clock": " [Hz]"}  # fmt: skip
    columns = {**rows, "S": rows["R"], "cycles": cycles, "network": np.arange(n) % 6}
    lines = [",".join(name + units.get(name, "") for name in columns)]
    lines += [",".join(str(column[i]) for column in columns.values()) for i in range(n)]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_from_rows_to_a_study(tmp_path, measured, hwnas):
    table = tmp_path / "chip.json"
    asked = ("calibrate", measured, "--template", "systolic", "--group-by", "network", "--to")
    answer = hwnas(*asked, tmp_path / "chip", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["constants"]["compute"]["value"] == pytest.approx(1.5, rel=1e-3)
    assert found["constants"]["layer"]["value"] == pytest.approx(900.0, rel=1e-2)
    assert "no measured row" in found["constants"]["energy_mac"]["warning"]
    assert found["errors"]["cycles"]["held_out"]["calibrated"]["mape"] < 1e-3
    assert found["provenance"]["grouped_by"] == ["network"]
    assert json.loads(table.read_text())["version"] == found["version"]

    again = hwnas(*asked, table)
    assert again.code == 2
    assert "is there already" in again.err
    forced = hwnas(*asked, table, "--force")
    assert forced.code == 0, forced.err
    assert "held out" in forced.out
    assert "warning: energy_mac" in forced.out
    assert json.loads(table.read_text())["version"] == found["version"]

    study = tmp_path / "study.yaml"
    study.write_text(
        STUDY.replace("[nn_mass, systolic]", "[nn_mass, {use: systolic, calibration: chip.json}]")
    )
    ran = hwnas("run", study, "--dir", tmp_path / "run", "--budget", 32, "--quiet")
    assert ran.code == 0, ran.err


def test_spatial_arrays_too(tmp_path, hwnas):
    """A chip of 1.5 times the cycles and twice the energy of arithmetic."""
    rng, n = np.random.default_rng(0), 60
    sizes = {"K": (16, 32, 64), "C": (8, 16, 32), "P": (7, 14), "Q": (7, 14), "R": (1, 3),
             "S": (1, 3), "rows": (8, 16), "columns": (8, 16), "dataflow": ("nvdla", "K|P"),
             "weight_rf": (4, 16), "input_rf": (0, 4), "output_rf": (16,),
             "ifmap_sram": (16384, 65536), "filter_sram": (65536,), "ofmap_sram": (65536,),
             "sram_bandwidth": (32,), "dram_bandwidth": (1e9, 64e9), "clock": (1e8,)}  # fmt: skip
    rows = {name: rng.choice(choices, n) for name, choices in sizes.items()}
    template = SpatialRows()
    left_out = {c.name: np.full(n, c.default) for c in template.columns if c.default is not None}
    counts = template.counts({**left_out, **rows})
    chip = {**template.starts(), "compute": 1.5, "energy_mac": 2.0}
    measured = template.predict(counts, chip)
    units = {column.name: f" [{column.unit}]" for column in template.columns if column.unit != "1"}
    columns = {**rows, **measured, "network": np.arange(n) % 6}
    header = ",".join(name + units.get(name, " [J]" * (name == "energy")) for name in columns)
    lines = [",".join(str(column[i]) for column in columns.values()) for i in range(n)]
    (tmp_path / "rows.csv").write_text("\n".join([header, *lines]) + "\n")

    asked = ("calibrate", tmp_path / "rows.csv", "--template", "spatial", "--group-by", "network")
    answer = hwnas(*asked, "--to", tmp_path / "chip", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["constants"]["compute"]["value"] == pytest.approx(1.5, rel=1e-3)
    assert found["constants"]["energy_mac"]["value"] == pytest.approx(2.0, rel=1e-2)
    for metric in ("cycles", "energy"):
        assert found["errors"][metric]["held_out"]["calibrated"]["mape"] < 0.01

    study = tmp_path / "study.yaml"
    chosen = "[nn_mass, {use: spatial, calibration: chip.json}]"
    text = STUDY.replace("[nn_mass, systolic]", chosen).replace("systolic_array", "spatial_array")
    study.write_text(text)
    ran = hwnas("run", study, "--dir", tmp_path / "run", "--budget", 32, "--quiet")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("--template", "sistolic"), "there is no calibration named 'sistolic'"),
        (("--template", "systolic", "--group-by", "net"), "no column 'net' to group by"),
        (("--template", "systolic", "--column", "cycles"), "--column cycles cannot be read"),
        (("--template", "systolic", "--column", "cycles=rtl"), "no column 'rtl'"),
        (("--template", "systolic", "--held-out", "1.5"), "cannot be held out"),
        (("--template", "systolic", "-o", "technology=none"), "technology"),
        (("--template", "gemmini"), "no column 'mapping'"),
    ],
)
def test_what_cannot_be_is_one_clear_message(tmp_path, measured, hwnas, arguments, match):
    answer = hwnas("calibrate", measured, *arguments, "--to", tmp_path / "chip")
    assert answer.code == 2
    assert match in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "chip.json").exists()


def test_templates_are_listed(hwnas):
    answer = hwnas("list", "calibrations")
    assert answer.code == 0
    assert "gemmini" in answer.out
    assert "systolic" in answer.out
