"""Units and prefixes of a report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Goal, units
from hwnas.report import quantity
from hwnas.report.quantity import Quantity, Scale, written
from tests.report.toy import run


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.2e-6, "J", "3.2 µJ"),
        (65536, "B", "64 KiB"),
        (4e-7, "m^2", "0.4 mm²"),
        (2.5e-9, "J·s", "2.5 nJ·s"),
        (1.6e9, "B/s", "1.6 GB/s"),
        (0.25, "1", "0.25"),
        (1234567, "1", "1234567"),
        (18970.0, "1", "18970"),
        (1e30, "1", "1e+30"),
        (float("nan"), "1", "nan"),
        (float("inf"), "J", "inf J"),
        (12.0, "%", "12 %"),
        (12.0, "ms", "12 ms"),
        (0.002, "m^2·s", "0.002 m²·s"),
        (4000.0, "J^-1", "4000 J⁻¹"),
        (4000.0, "1/s", "4000 1/s"),
        (4000.0, "furlongs_of_my_own", "4000 furlongs_of_my_own"),
        ("concat", "1", "concat"),
        (True, "1", "True"),
    ],
)
def test_show(value: object, unit: str, text: str) -> None:
    assert Quantity("q", unit).show(value) == text


@pytest.mark.parametrize(
    ("values", "unit", "logarithmic", "size", "title"),
    [
        ([1e-6, 4e-5], "J", False, 1e-6, "q [µJ] ↓"),
        ([1e-9, 3e-6, 2.0], "J", True, 1e-6, "q [µJ] ↓"),
        ([-4e3, 2.0], "W", False, 1e3, "q [kW] ↓"),
        ([1e-7, 1e-3], "m^2", True, 1e-6, "q [mm²] ↓"),
        ([0.1, 0.2], "1", False, 1.0, "q ↓"),
        ([1e-3], "ms", False, 1.0, "q [ms] ↓"),
        ([0.0], "s", False, 1.0, "q [s] ↓"),
        ([], "s", False, 1.0, "q [s] ↓"),
        ([float("nan"), float("inf"), 5e-3], "s", False, 1e-3, "q [ms] ↓"),
        ([3e-12], "J·s", False, 1e-12, "q [pJ·s] ↓"),
        ([2e6], "B", False, 1e6, "q [MB] ↓"),
    ],
)
def test_scale(values: list[float], unit: str, logarithmic: bool, size: float, title: str) -> None:
    shown = Quantity("q", unit, Goal.MINIMIZE, logarithmic)
    scale = Scale.fitting(values, shown)
    assert scale.size == size
    assert scale.title(shown) == title


@given(st.floats(1e-15, 9e14), st.sampled_from(["s", "J", "W", "Hz", "B/s"]))
def test_a_scaled_value_is_easily_read(value: float, unit: str) -> None:
    scale = Scale.fitting([value], Quantity("q", unit))
    assert 0.999 <= value / scale.size < 1000.1
    assert units.scale(scale.unit) == pytest.approx(scale.size * units.scale(unit))


@pytest.mark.parametrize(
    ("factors", "text"),
    [
        ({"J": 1, "s": 1}, "J·s"),
        ({"J": 1, "s": -1}, "W"),
        ({"s": -1}, "Hz"),
        ({"J": 1, "s": 1, "m^2": 1}, "J·m^2·s"),
        ({"J": -1}, "J^-1"),
        ({"J": 0.5}, "J^0.5"),
        ({"B": 1, "s": -1}, "B/s"),
        ({"m^2": 2}, "m^4"),
        ({}, "1"),
    ],
)
def test_units_of_computed_objectives(factors: dict[str, float], text: str) -> None:
    dimension: units.Dimension = ()
    for unit, power in factors.items():
        dimension = units.multiply(dimension, units.dimension(unit), power)
    assert written(dimension) == text
    if "·" not in text and "0.5" not in text:
        assert units.dimension(text) == dimension


def test_objectives_of_a_study() -> None:
    study = run(4, 10)
    found = quantity.objectives(study)
    assert [(q.name, q.unit, q.arrow) for q in found] == [
        ("error", "1", " ↓"),
        ("edp", "J·s", " ↓"),
        ("latency", "s", " ↓"),
        ("area", "m^2", " ↓"),
    ]
    assert found[1].text == "minimize: edp = energy * latency"
    assert study.yardstick is not None
    assert [q.logarithmic for q in found] == list(study.yardstick.logarithmic)
    assert any(q.logarithmic for q in found)
    assert [q.name for q in quantity.metrics(study)] == ["energy", "rate"]
    assert quantity.metrics(study)[1].arrow == " ↑"
