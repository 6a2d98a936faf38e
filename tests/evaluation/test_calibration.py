"""Fitting a template's constants: truths are found again, groups stay whole, tables are safe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ProblemError, UnitError
from hwnas.evaluation.calibration import Calibratable, Calibration, Column, Constant
from hwnas.evaluation.fitting import calibrate, errors_of, fit, hold_out
from hwnas.evaluation.measured_rows import read
from hwnas.metrics import Metric


class Line(Calibratable):
    """cycles = slope work + fixed; energy = joules work; ``idle`` does nothing."""

    name = "line"
    columns = (
        Column("work", "operations", shape=True),
        Column("size", "bytes", "B", default=1.0),
    )
    metrics = (Metric("cycles"), Metric("energy", "J"))
    constants = (
        Constant("slope", 1.0, 0.0, 100.0, "cycles", "per operation"),
        Constant("fixed", 0.0, 0.0, 1e6, "cycles", "per row", 10.0),
        Constant("joules", 1e-12, 0.0, 1e-6, "J", "per operation"),
        Constant("idle", 3.0, 0.0, 10.0, "1", "nothing"),
    )

    def predict(self, counts, constants):
        work = counts["work"]
        return {
            "cycles": constants["slope"] * work + constants["fixed"],
            "energy": constants["joules"] * work,
        }


def rows_of(n: int = 60, noise: float = 0.0) -> tuple[dict, dict]:
    rng = np.random.default_rng(3)
    work = np.exp(rng.uniform(2.0, 12.0, n))
    rows = {"work": work, "size": np.ones(n), "network": np.arange(n) % 7}
    cycles = (2.5 * work + 300.0) * np.exp(noise * rng.normal(size=n))
    return rows, {"cycles": cycles, "energy": 7e-12 * work}


def test_known_constants_are_found_again():
    rows, measured = rows_of()
    found = fit(Line(), rows, measured, hold_out(rows, ("network",), 0), seed=0)
    assert found.values["slope"] == pytest.approx(2.5, rel=1e-4)
    assert found.values["fixed"] == pytest.approx(300.0, rel=1e-3)
    assert found.values["joules"] == pytest.approx(7e-12, rel=1e-4)
    held = found.errors["cycles"]["held_out"]
    assert held["calibrated"].mape < 1e-3
    assert held["uncalibrated"].mape > 0.5


def test_a_constant_that_no_row_depends_on_stays_and_is_named():
    rows, measured = rows_of()
    found = fit(
        Line(), rows, {"cycles": measured["cycles"]}, hold_out(rows, ("network",), 0), seed=0
    )
    for name, start in (("idle", 3.0), ("joules", 1e-12)):
        assert found.values[name] == start
        assert "no measured row" in found.constants[name].warning
    assert not found.constants["slope"].warning


def test_a_constant_at_its_bound_is_named():
    rows, _ = rows_of()
    slow = {"cycles": 500.0 * rows["work"]}
    found = fit(Line(), rows, slow, hold_out(rows, ("network",), 0), seed=0)
    assert found.values["slope"] == pytest.approx(100.0)
    assert "at its bound 100" in found.constants["slope"].warning


def test_a_constant_that_the_rows_hardly_tell_is_named():
    rows, _ = rows_of()
    measured = {"cycles": rows_of(noise=0.3)[1]["cycles"]}
    rows["work"] = rows["work"] * 1e4  # 300 cycles more are nothing beside the work
    measured["cycles"] = measured["cycles"] * 1e4
    found = fit(Line(), rows, measured, hold_out(rows, ("network",), 0), seed=0)
    assert found.constants["fixed"].warning
    assert not found.constants["slope"].warning


def test_standard_errors_are_those_of_repeated_measurements():
    """Independent oracle: the spread of fits to fresh noise."""
    work = np.exp(np.linspace(2.0, 12.0, 80))
    rows = {"work": work, "size": np.ones(80), "network": np.arange(80) % 8}
    split = hold_out(rows, ("network",), 0)
    slopes, errors = [], []
    for seed in range(12):
        noise = np.exp(0.05 * np.random.default_rng(seed).normal(size=80))
        found = fit(Line(), rows, {"cycles": (2.5 * work + 300.0) * noise}, split, seed=0)
        slopes.append(found.values["slope"])
        errors.append(found.constants["slope"].standard_error)
    assert 0.5 < np.median(errors) / np.std(slopes) < 2.0


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_never_split(seed):
    rows, _ = rows_of()
    split = hold_out(rows, ("network",), seed)
    inside, outside = rows["network"][split.train], rows["network"][~split.train]
    assert not set(inside) & set(outside)
    assert len(set(inside)) + len(set(outside)) == 7
    assert 3 <= len(set(outside)) <= 4


def test_the_same_seed_gives_the_same_table():
    rows, measured = rows_of(noise=0.1)
    split = hold_out(rows, ("network",), 4)
    one, two = (fit(Line(), rows, measured, split, seed=4) for _ in range(2))
    assert one.values == two.values
    assert (hold_out(rows, ("network",), 5).train != split.train).any()


def test_too_few_groups_are_refused():
    rows, _ = rows_of(9)
    rows["network"] = np.arange(9) % 3
    with pytest.raises(ProblemError, match="3 groups are too few"):
        hold_out(rows, ("network",), 0)


def test_fewer_rows_than_constants_are_refused():
    rows, measured = rows_of(4)
    split = hold_out(rows, ("network",), 0, share=0.75)
    with pytest.raises(ProblemError, match="fewer measured rows than constants"):
        fit(Line(), rows, {"cycles": measured["cycles"]}, split, seed=0)


def test_errors_are_what_they_are_called():
    predicted, measured = np.array([1.0, 4.0, 2.0]), np.array([2.0, 2.0, 2.5])
    found = errors_of(predicted, measured, np.array([0, 0, 1]))
    assert found.mape == pytest.approx((0.5 + 1.0 + 0.2) / 3)
    assert found.median_ape == pytest.approx(0.5)
    assert found.ratio == pytest.approx((0.5 * 2.0 * 0.8) ** (1 / 3))
    assert found.spearman == pytest.approx(0.0)  # ranks 1, 3, 2 against 1.5, 1.5, 3
    assert (found.rows, found.groups) == (3, 2)


def csv(folder: Path, header: str = "work,size [KiB],cycles,energy [pJ],network", **bad) -> Path:
    rows, measured = rows_of(30)
    lines = [header]
    for i in range(30):
        cells = {
            "work": f"{rows['work'][i]:.6g}",
            "size": "2",
            "cycles": f"{measured['cycles'][i]:.6g}",
            "energy": f"{measured['energy'][i] * 1e12:.6g}",
            "network": f"net{i % 6}",
        }
        if i == 11:
            cells |= bad
        lines.append(",".join(cells.values()))
    file = folder / "rows.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_units_of_the_header_count(tmp_path):
    measured = read(csv(tmp_path), Line(), group_by=("network",))
    assert measured.rows["size"].tolist() == [2048.0] * 30
    assert measured.values["energy"][0] == pytest.approx(7e-12 * measured.rows["work"][0], rel=1e-4)
    table, _ = calibrate(Line(), measured, "chip", by=("network",))
    assert table.values["joules"] == pytest.approx(7e-12, rel=1e-3)


def test_columns_and_units_can_be_given(tmp_path):
    file = csv(tmp_path, "work,size,rtl,energy,network")
    measured = read(file, Line(), columns={"cycles": "rtl"}, units={"size": "B", "energy": "pJ"})
    assert set(measured.values) == {"cycles", "energy"}
    assert measured.rows["size"][0] == 2.0


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"cycles": "0"}, "'cycles' of 'rows.csv' has values that cannot be"),
        ({"cycles": "nan"}, "values that cannot be"),
        ({"cycles": "fast"}, "values that cannot be"),
        ({"work": "-3"}, "'work' of 'rows.csv'"),
        ({"network": ""}, "empty cells"),
    ],
)
def test_bad_cells_are_named_with_their_rows(tmp_path, bad, match):
    with pytest.raises(ProblemError, match=match) as caught:
        read(csv(tmp_path, **bad), Line(), group_by=("network",))
    assert "11" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "error", "match"),
    [
        ("labour,size [B],cycles,energy [pJ],network", ProblemError, "no column 'work'"),
        ("work,size [B],a,b,network", ProblemError, "nothing that was measured"),
        ("work,size [B],cycles,energy,network", UnitError, "'energy' of 'rows.csv' has no unit"),
        ("work,size [B],cycles,energy [s],network", UnitError, "'energy' does not fit"),
        ("work,size [B],cycles,energy [blub],network", UnitError, "unknown unit"),
        ("work,size [B],cycles [J],energy [pJ],network", UnitError, "'cycles' does not fit"),
        ("work,size [B],cycles,energy [pJ],family", ProblemError, "no column 'network' to group"),
    ],
)
def test_bad_headers_are_refused(tmp_path, header, error, match):
    with pytest.raises(error, match=match):
        read(csv(tmp_path, header), Line(), group_by=("network",))


def test_files_that_are_no_tables_are_refused(tmp_path):
    with pytest.raises(ProblemError, match="there is no table"):
        read(tmp_path / "nothing.csv", Line())
    (tmp_path / "rows.txt").write_text("x")
    with pytest.raises(ProblemError, match="no table that can be read"):
        read(tmp_path / "rows.txt", Line())
    (tmp_path / "rows.parquet").write_text("x")
    with pytest.raises(ProblemError, match="cannot be read"):
        read(tmp_path / "rows.parquet", Line())


@pytest.fixture
def table(tmp_path) -> Calibration:
    return calibrate(Line(), read(csv(tmp_path), Line(), group_by=("network",)), "chip")[0]


def test_a_table_is_the_same_after_writing_and_reading(tmp_path, table):
    file = tmp_path / "chip.json"
    table.write(file)
    again = Calibration.read(file, Line())
    assert again.version == table.version
    assert again.values == pytest.approx(table.values, rel=1e-9)
    assert again.provenance["sha256"] == table.provenance["sha256"]
    with pytest.raises(ProblemError, match="is there already"):
        table.write(file)
    table.write(file, force=True)


def test_a_version_follows_the_contents(tmp_path, table):
    file = tmp_path / "chip.json"
    table.write(file)
    contents = json.loads(file.read_text())
    contents["constants"]["slope"]["value"] *= 1.01
    file.write_text(json.dumps(contents))
    with pytest.raises(ProblemError, match="changed by hand"):
        Calibration.read(file, Line())


def _edit(contents: dict, *path: str, value: object = None) -> None:
    for key in path[:-1]:
        contents = contents[key]
    if value is None:
        del contents[path[-1]]
    else:
        contents[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("format",), "else", "is no calibration"),
        (("template",), "other", "calibrates something else"),
        (("template_version",), "0", "calibrates something else"),
        (("constants", "slope"), None, "no constant 'slope'"),
        (("constants", "slope", "value"), 101.0, "out of bounds"),
        (("constants",), "none", "damaged"),
        (("settings",), {"technology": "x"}, "energies of another technology"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, table, path, value, match):
    contents = table.to_json()
    _edit(contents, *path, value=value)
    file = tmp_path / "chip.json"
    file.write_text(json.dumps(contents))
    with pytest.raises(ProblemError, match=match):
        Calibration.read(file, Line())


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("{")
    for name in ("x.json", "nothing.json"):
        with pytest.raises(ProblemError, match="cannot be read"):
            Calibration.read(tmp_path / name, Line())
