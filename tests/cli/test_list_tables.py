"""`hwnas list tables`: what cost models take their numbers from."""

from __future__ import annotations

import json
import re
from importlib.metadata import EntryPoint

import pytest

from hwnas import plugins
from hwnas.errors import ProblemError
from hwnas.tables import CostTable, TableSummary


def test_key_numbers_of_every_table(hwnas):
    """Aladdin, CACTI and Accelergy by hand: 12.68 / 16 + 24 x 0.21 / 32 pJ; 21.2178 pJ / 8 B."""
    answer = hwnas("list", "tables")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    (row,) = (line.split() for line in lines if re.match("aladdin40 +40 nm", line))
    # An 8-bit MAC and shift, a byte from 256 B and from 64 KiB, a bit from DRAM; areas.
    mac, shift = 12680 / 16 + 24 / 32 * 210, 417.2512 / 4
    by_hand = [mac, shift, 533.57 / 4, 21.2178 / 8, 8, 6350 / 16 + 24 / 32 * 278, 0.165167]
    assert [float(cell) for cell in row[3:]] == pytest.approx(by_hand, rel=1e-3)
    (row,) = (line.split() for line in lines if re.match("eyeriss  ", line))
    assert row[1] == "-"
    assert [row[2], row[4], row[6]] == ["250", "500", "12.5"]
    assert "hbm2             3.9" in answer.out
    for told in ("tables: technology", "tables: DRAM", "40 nm logic from Aladdin", "Sources: "):
        assert told in answer.out
    assert "Horowitz, ISSCC 2014" in answer.out


def test_as_json(hwnas):
    found = json.loads(hwnas("list", "tables", "--json").out)["tables"]
    assert set(plugins.available("hwnas.tables")) == set(found)
    table = found["aladdin40"]
    assert table["figures"]["64 KiB SRAM"]["value"] == pytest.approx(21.2178e-12 / 8)
    assert table["figures"]["DRAM"] == {"value": pytest.approx(8e-12), "unit": "J/bit"}
    assert (table["node_nm"], table["version"], table["kind"]) == (40, "1", "technology")
    assert found["gddr5"]["sources"] == ["O'Connor et al., MICRO 2017"]
    assert found["maestro"]["node_nm"] is None


def test_the_whole_list_has_a_line_for_each(hwnas):
    out = hwnas("list").out
    part = out[out.index("\ntables") :]
    assert "dosa          The energies with which DOSA models Gemmini" in part
    assert "Sources: " not in part


class Wires:
    """A table of another package, of another kind."""

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def summary(self) -> TableSummary:
        if self.broken:
            raise ProblemError("the file is gone", cure="bring it back")
        figures = {"a millimetre": (2e-9, "J"), "none": (0.0, "J"), "patch": (2e-6, "m^2")}
        return TableSummary("wires", "wire", "7", "Copper.", ("measured",), figures)


TABLES = "hwnas.tables"
WIRES, BROKEN, NUMBER = Wires(), Wires(broken=True), 3


@pytest.mark.parametrize("kind", ["tables", None])
def test_tables_of_other_packages(hwnas, monkeypatch, kind):
    points = [
        EntryPoint(name.lower(), f"{__name__}:{name}", "hwnas.tables")
        for name in ("WIRES", "BROKEN", "NUMBER")
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == TABLES else [])
    out = hwnas("list", *([kind] if kind else [])).out
    assert "Copper" in out
    assert "not usable: the file is gone; bring it back" in out
    assert "not usable: int has no method summary" in out
    if kind:
        assert "tables: wire" in out
        assert re.search(r"wires +2 +0 +2\b", out)
        assert "wires (version 7)" in out
    found = json.loads(hwnas("list", "tables", "--json").out)["tables"]
    assert found["wires"]["figures"]["patch"] == {"value": 2e-6, "unit": "m^2"}
    assert found["broken"].startswith("not usable: the file is gone")


def test_the_protocol_is_a_method():
    assert isinstance(WIRES, CostTable)
    assert not isinstance(NUMBER, CostTable)
