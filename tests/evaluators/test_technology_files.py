"""Tables of one's own: files, what they borrow, what is refused, and other packages' tables."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.systolic import Systolic
from evaluators.technology import DramFile, TableFile, available, drams, load, shipped
from hwnas import plugins, studyfile
from hwnas.errors import HwnasError, PluginError, ProblemError, StudyFileError, UnitError
from hwnas.tables import CostTable

BUILT_IN = Path(str(shipped.aladdin40.path))
SIZES = np.array([0.0, 100.0, 5000.0, 1e6, 1e9])
Mutation = Callable[[dict[str, Any]], object]


def raw() -> dict[str, Any]:
    """The built-in table under another name."""
    return {**json.loads(BUILT_IN.read_text()), "name": "mine"}


def written(folder: Path, table: object, name: str = "mine.json") -> Path:
    path = folder / name
    path.write_text(table if isinstance(table, str) else json.dumps(table))
    return path


def test_a_file_is_read_like_a_built_in_table(tmp_path: Path) -> None:
    path = written(tmp_path, raw())
    mine, theirs = load(path), load("aladdin40")
    for part in ("multiplier", "adder", "shifter", "register", "dram_energy", "noc", "node_nm"):
        assert getattr(mine, part) == getattr(theirs, part)
    for part in ("rf", "sram"):
        for kind in ("read", "write", "area", "leakage"):
            curve = getattr(mine, f"{part}_{kind}")
            np.testing.assert_array_equal(curve(SIZES), getattr(theirs, f"{part}_{kind}")(SIZES))
    assert load(str(path)) is mine
    assert load(path, dram="hbm2", node_nm=28).dram == "hbm2"


def test_the_version_follows_the_numbers_whatever_the_file_says(tmp_path: Path) -> None:
    before = Systolic(technology=written(tmp_path, raw())).version
    assert before == Systolic(technology=written(tmp_path, raw())).version
    assert before.startswith("1+mine.1-")
    changed = raw()
    changed["adder"]["energy"]["value"] *= 2
    assert Systolic(technology=written(tmp_path, changed)).version != before


def test_a_table_may_borrow_whatever_it_has_not(tmp_path: Path) -> None:
    """Whole parts and single numbers, for as many bits as the other table's are."""
    why = "not measured"
    mine: dict[str, Any] = {"name": "mine", "version": "3", "description": "A chip of ours."}
    for part in ("adder", "shifter", "register", "register_file", "sram"):
        mine[part] = {"from": "horowitz45", "why": why}
    mine["dram"] = {"from": "hbm2", "why": why}
    mine["multiplier"] = {
        "bits": 8,
        "energy": {"value": 64, "source": "measured on our board"},
        "area": {"from": "maestro", "why": why},
        "leakage": {"value": 0.5, "unit": "nW", "source": "measured on our board"},
    }
    mine["units"] = {"energy": "fJ"}
    found, horowitz = load(written(tmp_path, mine)), load("horowitz45")
    assert found.multiplier.energy == pytest.approx(1e-15)
    assert found.multiplier.leakage == pytest.approx(0.5e-9 / 64)
    assert found.multiplier.area == load("maestro").multiplier.area
    # Borrowed twice: the area of Horowitz's shifter is Aladdin's.
    assert found.shifter.area == load("aladdin40").shifter.area
    assert found.shifter.energy == horowitz.shifter.energy
    assert found.adder == horowitz.adder
    np.testing.assert_array_equal(found.sram_write(SIZES), horowitz.sram_write(SIZES))
    np.testing.assert_array_equal(found.rf_leakage(SIZES), horowitz.rf_leakage(SIZES))
    assert found.dram_energy == pytest.approx(3.9e-12)
    assert (found.node_nm, found.noc, found.dram) == (None, 0, "hbm2")
    assert "measured on our board" in found.sources
    assert "borrowed from horowitz45" in found.sources


def test_the_table_of_the_readme_is_one(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```json\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    found = load(written(tmp_path, block))
    assert found.multiplier.energy == pytest.approx(0.31e-12 / 64)
    assert found.multiplier.area == pytest.approx(210e-12 / 64)
    assert found.adder == load("aladdin40").adder
    assert found.dram_energy == pytest.approx(8e-12)
    assert Systolic(technology=tmp_path / "mine.json").technology is found


def test_numbers_by_size_have_three_forms(tmp_path: Path) -> None:
    table = raw()
    source = "made up"
    table["sram"] = {
        "access_bits": 16,
        "read": {"value": 8, "unit": "pJ", "source": source},
        "write": {
            "intercept": 2, "slope": 3, "unit": "pJ", "size_unit": "KiB", "source": source
        },
        "area": {
            "size": [1, 2], "size_unit": "MiB", "values": [1, 3], "unit": "mm2", "source": source
        },
        "leakage": {
            "intercept": 0, "slope": 1, "unit": "nW", "size_unit": "B", "source": source
        },
    }  # fmt: skip
    table["noc"] = {"bits": 4, "energy": {"value": 2, "unit": "pJ", "source": source}}
    found = load(written(tmp_path, table))
    np.testing.assert_allclose(found.sram_read(SIZES), 0.5e-12)
    np.testing.assert_allclose(found.sram_write(SIZES), (2 + 3 * SIZES / 1024) / 16 * 1e-12)
    np.testing.assert_allclose(found.sram_area(np.array([1.5, 4]) * 2**20), [2e-6, 7e-6])
    np.testing.assert_allclose(found.sram_leakage(SIZES), SIZES * 1e-9)
    assert found.noc == pytest.approx(0.5e-12)


def without(*path: str) -> Mutation:
    def change(table: dict[str, Any]) -> None:
        for key in path[:-1]:
            table = table[key]
        del table[path[-1]]

    return change


def put(value: Any, *path: str) -> Mutation:
    def change(table: dict[str, Any]) -> None:
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "key", "what", "cure", "kind"),
    [
        (without("adder", "energy", "unit"), "adder.energy.unit", "has no unit", "pJ", UnitError),
        (put("pj", "adder", "energy", "unit"), "adder.energy.unit", "'pj'", "'pJ'", UnitError),
        (put("um2", "dram", "energy", "unit"), "dram.energy.unit", "for an energy", "J", UnitError),
        (without("sram", "read", "size_unit"), "sram.read.size_unit", "no unit", "B", UnitError),
        (put("KB", "sram", "read", "size_unit"), "sram.read", "'KB' for a size", "KiB", UnitError),
        (without("node", "unit"), "node.unit", "has no unit", "nm", UnitError),
        (without("adder", "area", "source"), "adder.area.source", "no source", "paper", None),
        (put(" ", "sram", "area", "source"), "sram.area.source", "no source", "paper", None),
        (without("shifter"), "shifter", "lacks 'shifter'", "aladdin40", None),
        (without("register_file"), "register_file", "lacks 'register_file'", "aladdin40", None),
        (without("dram"), "dram", "lacks 'dram'", "aladdin40", None),
        (without("sram", "leakage"), "sram.leakage", "lacks 'sram.leakage'", "aladdin40", None),
        (without("sram", "access_bits"), "sram.access_bits", "lacks", "aladdin40", None),
        (without("adder", "bits"), "adder.bits", "lacks 'adder.bits'", "aladdin40", None),
        (without("version"), "version", "lacks its version", "add", None),
        (put("", "description"), "description", "lacks its description", "add", None),
        (put(1, "multplier"), "multplier", "no entry 'multplier'", "'multiplier'", None),
        (put(1, "adder", "enrgy"), "adder.enrgy", "no entry 'enrgy'", "'energy'", None),
        (put(1, "node", "valu"), "node.valu", "no entry 'valu'", "'value'", None),
        (put(3, "adder", "energy"), "adder.energy", "stands alone", "write", None),
        (put(3, "adder"), "adder.energy", "lacks 'adder.energy'", "aladdin40", None),
        (put(3, "dram"), "dram.energy", "lacks 'dram.energy'", "aladdin40", None),
        (put(-1, "adder", "energy", "value"), "adder.energy.value", "no cost", "mend", None),
        (put(True, "adder", "energy", "value"), "adder.energy.value", "no cost", "mend", None),
        (put("1", "adder", "energy", "value"), "adder.energy.value", "no cost", "mend", None),
        (put(float("nan"), "dram", "energy", "value"), "dram.energy", "no cost", "mend", None),
        (put(0, "dram", "energy", "value"), "dram.energy.value", "DRAM", "lpddr4", None),
        (put(0, "dram", "bits"), "dram.bits", "no number of bits", "mend", None),
        (put(1.5, "adder", "bits"), "adder.bits", "no number of bits", "mend", None),
        (put([1], "sram", "read", "size"), "sram.read", "do not fit", "sort", None),
        (put([5] * 10, "sram", "read", "size"), "sram.read", "do not fit", "sort", None),
        (put([9, *range(9)], "sram", "area", "values"), "sram.area", "do not fit", "sort", None),
        (put(3, "sram", "area", "values"), "sram.area.values", "no points", "mend", None),
        (put(3, "sources"), "sources", "no texts", "mend", None),
        (put({"from": "aladdin40"}, "adder"), "adder", "without a reason", "say why", None),
        (
            put({"from": "aladdin", "why": "x"}, "adder"),
            "adder", "no table 'aladdin'", "'aladdin40'", None,
        ),
        (
            put({"from": "aladdin40", "why": "x", "bits": 8}, "adder"),
            "adder.bits", "no entry 'bits'", "from", None,
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_not_in_order_is_refused(
    tmp_path: Path,
    change: Mutation,
    key: str,
    what: str,
    cure: str,
    kind: type[HwnasError] | None,
) -> None:
    """Each message names the file, the key, the rule, what was given, and a cure."""
    table = raw()
    change(table)
    path = written(tmp_path, table)
    with pytest.raises(kind or ProblemError) as caught:
        load(path)
    error = caught.value
    assert what in error.what
    assert str(path) in error.where
    assert key in error.where
    assert cure in error.cure
    assert error.rule
    assert error.given


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ProblemError) as caught:
        load(path)
    assert str(path) in caught.value.where


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"'none\.json' cannot be read"):
        load(tmp_path / "none.json")
    written(tmp_path, "", "binary.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ProblemError, match="cannot be read"):
        load(tmp_path / "binary.json")


def test_a_dram_of_ones_own(tmp_path: Path) -> None:
    dram = {"name": "ours", "version": "2", "description": "On our board.", "dram": raw()["dram"]}
    dram["dram"]["energy"]["value"] = 5.0
    found = load("aladdin40", dram=written(tmp_path, dram, "dram.json"))
    assert found.dram_energy == pytest.approx(5e-12)
    assert found.label.startswith("aladdin40+ours.1+2-")
    # That of a whole technology, too.
    assert load("aladdin40", dram=written(tmp_path, raw())).dram_energy == pytest.approx(8e-12)
    del dram["dram"]["energy"]["source"]
    with pytest.raises(ProblemError, match="no source"):
        load("aladdin40", dram=written(tmp_path, dram, "dram.json"))


STUDY = """
name: mine
space:
  - {use: fixed_network, network: resnet18}
  - {use: uniform_bits, weight_bits: [8], activation_bits: [8]}
  - use: systolic_array
evaluators:
  - {use: systolic, technology: tables/mine.json, dram: hbm2, node_nm: 28}
objectives: [{minimize: energy}, {minimize: latency}]
budget: 4
"""


def test_a_study_file_names_a_table_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "elsewhere").mkdir()
    path = written(tmp_path / "tables", raw())
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    monkeypatch.chdir(tmp_path / "elsewhere")
    plan = studyfile.load(study)
    (evaluator,) = plan.problem.evaluators
    assert isinstance(evaluator, Systolic)
    assert evaluator.technology is load(path, dram="hbm2", node_nm=28)
    assert plan.resolved["evaluators"][0]["technology"] == str(path.resolve())
    table = raw()
    del table["sram"]["read"]["unit"]
    written(tmp_path / "tables", table)
    with pytest.raises(StudyFileError) as caught:
        studyfile.load(study)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{study}:8: evaluators.0:")
    for part in ("sram.read.unit", "has no unit", 'write "unit": "pJ"'):
        assert part in problem


def test_a_built_in_name_stays_a_name_in_a_study_file(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.replace("tables/mine.json", "aladdin40"))
    plan = studyfile.load(study)
    assert plan.resolved["evaluators"][0]["technology"] == "aladdin40"


def test_every_built_in_table_has_an_entry_point() -> None:
    files = {p.stem for p in [*BUILT_IN.parent.glob("*.json"), *BUILT_IN.parent.glob("dram/*")]}
    assert files == set(available()) | set(drams())
    for name in files:
        table = plugins.load("hwnas.tables", name)
        assert isinstance(table, CostTable)
        assert table.summary().name == name
    assert files <= set(plugins.available("hwnas.tables"))


THEIRS = TableFile(BUILT_IN)
THEIR_DRAM = DramFile(BUILT_IN.parent / "dram" / "hbm2.json")
NO_TABLE = 3


def test_other_packages_may_have_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = [
        EntryPoint(name, f"{__name__}:{value}", "hwnas.tables")
        for name, value in (("theirs", "THEIRS"), ("fast", "THEIR_DRAM"), ("odd", "NO_TABLE"))
    ]
    points.append(EntryPoint("gone", "no_such_package:TABLE", "hwnas.tables"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    assert "theirs" in available()
    assert "fast" in drams()
    assert not {"odd", "gone", "fast"} & set(available())
    costs = Systolic(technology="theirs", dram="fast").technology
    assert costs.dram_energy == pytest.approx(3.9e-12)
    for name in ("fast", "odd"):
        with pytest.raises(PluginError, match=f"no technology named '{name}'"):
            load(name)
    with pytest.raises(PluginError, match="cannot be imported"):
        load("gone")
    table = raw()
    table["adder"] = {"from": "theirs", "why": "they measured it"}
    assert load(written(tmp_path, table)).adder == load("aladdin40").adder


def test_tables_that_borrow_in_a_circle_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    points = []
    for name, other in (("one", "two"), ("two", "one")):
        table = copy.deepcopy(raw())
        table["adder"] = {"from": other, "why": "they have it"}
        file = TableFile(written(tmp_path, table, f"{name}.json"))
        monkeypatch.setattr(sys.modules[__name__], name, file, raising=False)
        points.append(EntryPoint(name, f"{__name__}:{name}", "hwnas.tables"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    with pytest.raises(ProblemError, match="borrow in a circle"):
        load("one")
    # Each may borrow what the other one has.
    table = raw()
    table["shifter"] = {"from": "one", "why": "they have it"}
    written(tmp_path, table, "two.json")
    assert load("one").adder == load("aladdin40").adder
    assert load("two").shifter == load("aladdin40").shifter
