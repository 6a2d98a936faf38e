"""The technology tables: sources, units, curves."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators import technology
from evaluators.technology import Curve, available, load
from hwnas import units
from hwnas.errors import PluginError, UnitError


def raw(name: str) -> dict[str, Any]:
    return dict(json.loads(resources.files(technology).joinpath(f"{name}.json").read_text()))


def entries(node: Any) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    if "unit" in node:
        return [node]
    return [entry for child in node.values() for entry in entries(child)]


def test_the_built_in_ones() -> None:
    assert available() == ("aladdin40", "horowitz45")


@pytest.mark.parametrize("name", available())
def test_every_number_has_a_unit_and_a_source(name: str) -> None:
    table = raw(name)
    assert table["name"] == name
    assert len(entries(table)) == 3 * 3 + 4 + 1
    for entry in entries(table):
        assert len(entry["source"]) > 20
        values = entry["values"] if "values" in entry else [entry["value"]]
        assert min(values) > 0
        assert values == sorted(values)
        assert entry["unit"] in technology.UNITS
        if "size" in entry:
            assert len(entry["size"]) == len(values)


@pytest.mark.parametrize("unit", technology.UNITS)
def test_units_agree_with_pint(unit: str) -> None:
    assert technology.UNITS[unit] == pytest.approx(units.scale(unit), rel=1e-12)


def test_numbers_by_hand() -> None:
    costs = load("aladdin40")
    # One 32 x 32 bit multiplication, one 32 bit addition, a bit latched, a bit from LPDDR4.
    assert costs.multiplier.energy * 32 * 32 == pytest.approx(12.68e-12)
    assert costs.adder.area * 32 == pytest.approx(278e-12)
    assert costs.register.leakage == pytest.approx(7.4e-8)
    assert costs.dram_energy == pytest.approx(8e-12)
    # CACTI's row for 64 KiB: 21.2178 pJ per 64 bit read.
    assert costs.sram_read(np.array([64 * 1024.0]))[0] * 64 == pytest.approx(21.2178e-12)
    assert costs.sram_area(np.array([96 * 1024.0]))[0] == pytest.approx(252292e-12)
    # Horowitz: DRAM from 1.3 nJ per 64 bit; a cache of 20 KB between those of 8 and 32 KB.
    other = load("horowitz45")
    assert other.dram_energy == pytest.approx(1.3e-9 / 64)
    assert other.sram_read(np.array([20 * 1024.0]))[0] * 64 == pytest.approx(15e-12)


@pytest.mark.parametrize("name", available())
@given(small=st.integers(1, 2**24), more=st.integers(1, 2**24))
def test_larger_scratchpads_cost_more(name: str, small: int, more: int) -> None:
    costs = load(name)
    sizes = np.array([small, small + more])
    for curve in (costs.sram_read, costs.sram_write, costs.sram_area, costs.sram_leakage):
        first, second = curve(sizes)
        assert 0 < first < second


def test_curves_go_on_beyond_their_points_but_not_below_zero() -> None:
    sizes = np.array([0.0, 1.0, 3.0, 4.0, 10.0])
    line = Curve.through(np.array([2.0, 4.0]), np.array([3.0, 5.0]))
    np.testing.assert_allclose(line(sizes), [1, 2, 4, 5, 11])
    steep = Curve.through(np.array([2.0, 4.0]), np.array([1.0, 5.0]))
    np.testing.assert_allclose(steep(sizes), [0, 0.5, 3, 5, 17], rtol=1e-9)


def test_unknown_names_and_units_are_refused() -> None:
    with pytest.raises(PluginError, match="did you mean 'horowitz45'"):
        load("horowitz")
    with pytest.raises(UnitError, match="'pj'"):
        technology._scale("pj")
