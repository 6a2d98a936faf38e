"""Units: against values written by hand."""

from __future__ import annotations

import math
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hwnas.errors import UnitError
from hwnas.units import Unit, dimension, multiply, parse_quantity, scale, show

SCALES = {
    "1": 1.0, "": 1.0, "%": 0.01,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0,
    "J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "pJ": 1e-12, "kWh": 3.6e6,
    "m": 1.0, "m2": 1.0, "m^2": 1.0, "m**2": 1.0, "mm2": 1e-6, "mm^2": 1e-6, "um2": 1e-12,
    "W": 1.0, "mW": 1e-3, "J/s": 1.0,
    "Hz": 1.0, "MHz": 1e6, "GHz": 1e9, "1/s": 1.0,
    "B": 1.0, "byte": 1.0, "bit": 0.125, "kB": 1e3, "KiB": 1024.0, "MiB": 2.0**20, "GB": 1e9,
    "Mbit": 125_000.0, "GB/s": 1e9, "MiB/s": 2.0**20, "Gbit/s": 1.25e8, "pJ/bit": 8e-12,
    "J*s": 1.0, "mJ*ms": 1e-6,
}  # fmt: skip


@pytest.mark.parametrize(("unit", "expected"), SCALES.items())
def test_scales(unit, expected):
    assert scale(unit) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("one", "other"),
    [("W", "J/s"), ("Hz", "1/s"), ("mm2", "m^2"), ("%", "1"), ("kWh", "J"), ("bit", "KiB"),
     ("GB/s", "bit/ns"), ("N*m", "J")],
)  # fmt: skip
def test_equal_dimensions(one, other):
    assert dimension(one) == dimension(other)


@pytest.mark.parametrize(
    ("one", "other"), [("s", "Hz"), ("J", "W"), ("mm2", "mm"), ("B", "1"), ("B", "B/s"), ("m", "s")]
)
def test_different_dimensions(one, other):
    assert dimension(one) != dimension(other)


@pytest.mark.parametrize("unit", ["parsec_per_cow", "mmm2", "s s s(", "KIB", "m^"])
def test_unknown_units(unit):
    with pytest.raises(UnitError, match="unknown unit"):
        scale(unit)


@pytest.mark.parametrize(
    ("given", "unit", "expected"),
    [
        ("4 mm2", "m^2", 4e-6),
        ("64KiB", "B", 65536.0),
        ("  1.5e3 us ", "s", 1.5e-3),
        (".5 ms", "s", 5e-4),
        ("-3 dm", "m", -0.3),
        ("3.", "J", 3.0),
        ("12.5 %", "1", 0.125),
        ("0.125", "1", 0.125),
        ("1 s", "ms", 1000.0),
        ("8 bit", "B", 1.0),
        ("10 GB/s", "B/s", 1e10),
        (7, "B", 7.0),
        (2.5, "s", 2.5),
    ],
)
def test_quantities(given, unit, expected):
    assert parse_quantity(given, unit) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        ("4 ms", "J"), ("4 mm", "m^2"), ("four ms", "s"), ("", "s"), ("ms", "s"), ("4 KB/s", "B"),
        ("4 %", "s"), ("4 B", "1"), ("1e s", "s"), ("4 s; import os", "s"), ("10 kb", "B"),
    ],
)  # fmt: skip
def test_quantities_that_do_not_fit(given, unit):
    with pytest.raises(UnitError) as caught:
        parse_quantity(given, unit)
    assert caught.value.rule


@given(st.floats(1e-6, 1e6), st.sampled_from(["ms", "s", "min", "us"]))
def test_quantities_are_numbers_times_their_scale(number, unit):
    assert parse_quantity(f"{number!r} {unit}", "s") == pytest.approx(number * scale(unit))


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (3.2e-5, "J", "32 µJ"),
        (1.5e-3, "s", "1.5 ms"),
        (2.0, "s", "2 s"),
        (4e8, "Hz", "400 MHz"),
        (1.6e9, "B/s", "1.6 GB/s"),
        (65536, "B", "64 KiB"),
        (2**20 * 1.5, "B", "1.5 MiB"),
        (1000, "B", "1 kB"),
        (3.21e-6, "m^2", "3.21 mm²"),
        (0.9372, "1", "0.9372"),
        (123456, "1", "1.235e+05"),
        (1e-9, "J*s", "1e-09 J*s"),
        (0.0, "s", "0 s"),
        (-2e-3, "s", "-2 ms"),
        (math.inf, "s", "inf s"),
        (math.nan, "J", "nan J"),
    ],
)
def test_values_for_a_person(value, unit, expected):
    assert show(value, unit) == expected


@given(st.floats(1e-12, 1e12), st.sampled_from(["s", "J", "W", "Hz", "B", "B/s", "m^2"]))
def test_what_is_shown_can_be_read_back(value, unit):
    assert parse_quantity(show(value, unit).replace("²", "2"), unit) == pytest.approx(
        value, rel=1e-3
    )


def test_dimensions_multiply():
    energy, time = dimension("J"), dimension("s")
    assert multiply(energy, time, -1.0) == dimension("W")
    assert multiply(energy, energy, -1.0) == ()
    assert multiply((), dimension("m^2"), 0.5) == dimension("m")


class TestUnitAnnotation:
    adapter = TypeAdapter(Annotated[float, Unit("B/s")])

    def test_reads_quantities_and_numbers(self):
        assert self.adapter.validate_python("10 GB/s") == 1e10
        assert self.adapter.validate_python(5) == 5.0

    def test_says_what_does_not_fit(self):
        with pytest.raises(ValidationError, match="does not fit"):
            self.adapter.validate_python("10 GB")

    def test_describes_itself(self):
        schema = self.adapter.json_schema()
        assert {"type": "string"} in schema["anyOf"]
        assert "B/s" in schema["description"]
