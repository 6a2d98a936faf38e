"""Units: SI at rest (s, J, m^2, W, B, Hz; ``1`` for ratios), scaled only when shown to a person.

Pint does the arithmetic; it is imported on the first unit that is not ``1``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from hwnas.errors import UnitError

Dimension = tuple[tuple[str, float], ...]
"""Base units and their exponents, sorted; ``()`` for a ratio."""

_POWER = re.compile(r"(?<=[A-Za-zµ])\^?(\d)")
_NUMBER = re.compile(r"^\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*$")
_BITS_PER_BYTE = 8.0
_BINARY = {"B": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))}
_PREFIXABLE = re.compile(r"(s|J|W|B|Hz|V|A|F|MAC)($|[·/])")
_PREFIXES = {12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f"}


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


@cache
def _base(unit: str) -> tuple[float, Dimension]:
    if unit in ("1", ""):
        return 1.0, ()
    try:
        quantity = _registry().Quantity(1.0, _POWER.sub(r"**\1", unit)).to_base_units()
    except Exception as error:  # pint raises several unrelated types for unreadable text
        raise UnitError(
            f"unknown unit {unit!r}",
            rule="a unit that pint knows, such as ms, mJ, mm2, KiB, GB/s, MHz, %",
            given=repr(unit),
            cure="check the spelling; units are case sensitive, and 1 means a ratio",
        ) from error
    magnitude: Any = quantity.magnitude
    exponents = {str(name): float(power) for name, power in quantity.unit_items()}
    # Pint's base of information is the bit, ours the byte.
    factor = float(magnitude) / _BITS_PER_BYTE ** exponents.get("bit", 0.0)
    return factor, tuple(sorted(exponents.items()))


def scale(unit: str) -> float:
    """Returns how many units at rest one ``unit`` is, e.g. 1e-6 (m^2) for ``mm2``.

    Raises:
        UnitError: The unit is unknown.
    """
    return _base(unit)[0]


def dimension(unit: str) -> Dimension:
    """Returns the dimension of a unit: equal for units that can be compared and added.

    Raises:
        UnitError: The unit is unknown.
    """
    return _base(unit)[1]


def multiply(a: Dimension, b: Dimension, power: float = 1.0) -> Dimension:
    """Returns the dimension of ``a * b**power``."""
    exponents = dict(a)
    for name, exponent in b:
        exponents[name] = exponents.get(name, 0.0) + power * exponent
    return tuple(sorted((name, exponent) for name, exponent in exponents.items() if exponent))


def parse_quantity(given: float | int | str, unit: str) -> float:
    """Reads a number, or a number with a unit, as a value at rest.

    Args:
        given: A number (taken as being in ``unit`` already) or text such as ``"64 KiB"``.
        unit: The unit at rest that the value must fit.

    Returns:
        The value in ``unit``.

    Raises:
        UnitError: The text has no number, the unit is unknown, or its dimension does not fit.
    """
    if not isinstance(given, str):
        return float(given)
    match = _NUMBER.match(given)
    if match is None:
        raise UnitError(
            f"{given!r} is no quantity", rule=f"a number with a unit that fits {unit}", given=given
        )
    number, suffix = float(match[1]), match[2]
    if not suffix:
        return number
    if dimension(suffix) != dimension(unit):
        raise UnitError(
            f"the unit of {given!r} does not fit",
            rule=f"a unit that can be converted to {unit}",
            given=suffix,
            cure=f"write the value in {unit} or in a multiple of it",
        )
    return number * scale(suffix) / scale(unit)


def show(value: float, unit: str) -> str:
    """Writes a value at rest for a person, e.g. ``32.0 µJ``, ``64 KiB``, ``3.21 mm²``."""
    if unit in ("1", ""):
        return f"{value:.4g}"
    if not math.isfinite(value) or value == 0:
        return f"{value:.4g} {unit}"
    for size, name in _BINARY.get(unit, ()):
        if size <= value < 1024 * size and value % (size / 4) == 0:
            return f"{value / size:g} {name}"
    if unit in ("m^2", "m2"):
        return f"{value * 1e6:.4g} mm²"
    if not _PREFIXABLE.match(unit):
        return f"{value:.4g} {unit}"
    power = min(12, max(-15, 3 * math.floor(math.log10(abs(value)) / 3)))
    return f"{value / 10.0**power:.4g} {_PREFIXES[power]}{unit}"


@dataclass(frozen=True)
class Unit:
    """Marks a number in a plug-in's signature as a quantity: ``Annotated[float, Unit("B/s")]``.

    A study file may then say ``10 GB/s``; Python callers pass plain numbers at rest.
    """

    name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        def read(given: Any) -> Any:
            if not isinstance(given, str):
                return given
            try:
                return parse_quantity(given, self.name)
            except UnitError as error:
                raise ValueError(str(error).replace("\n", ";")) from error

        return core_schema.no_info_before_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        return {
            "anyOf": [{"type": "number"}, {"type": "string"}],
            "description": f"a number in {self.name}, or text with a unit that fits it",
        }
