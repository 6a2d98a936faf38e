"""Technology files: JSON, every number with its unit and its source, nothing missing.

A file has these entries; ``E``, ``A`` and ``L`` are an energy, an area and a leakage:

* ``name``, ``version``, ``description``: texts. ``sources`` (optional): a list of short citations.
* ``node`` (optional): a length, the process node of the logic.
* ``multiplier``, ``adder``, ``shifter``, ``register``: ``bits``, ``energy`` E, ``area`` A,
  ``leakage`` L of a component that many bits wide; they are scaled by the width, a multiplier by
  the product of its widths.
* ``register_file`` (of one PE) and ``sram``: ``access_bits``, ``read`` E and ``write`` E of one
  access, ``area`` A and ``leakage`` L of the whole memory, all of them by its size.
* ``noc`` (optional) and ``dram``: ``bits``, ``energy`` E of moving so many bits.
* ``units`` (optional): units for entries that name none, e.g. ``{"energy": "pJ"}``.

A number is ``{"value", "unit", "source"}``. By size it is one of ``{"value", "unit", "source"}``
(the same for every size), ``{"intercept", "slope", "unit", "size_unit", "source"}`` (a line; the
slope is per ``size_unit``), or ``{"size", "size_unit", "values", "unit", "source"}`` (points). Any
entry may be ``{"from": "aladdin40", "why": "..."}``: taken from another table.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from evaluators.technology.costs import Curve, Dram, Logic, Technology
from evaluators.technology.entries import LOGIC, MEMORY, PARTS, TEXTS, Table
from hwnas.arrays import Floats


def quantity(table: Table, *path: str, kind: str) -> float:
    """A number at rest.

    Args:
        table: The file.
        path: Keys down to it.
        kind: ``energy``, ``area``, ``leakage`` or ``node``.

    Raises:
        ProblemError: It is missing, no cost, or has no source.
        UnitError: It has no unit, or one that does not fit.
    """
    owner, given = table.find(*path)
    entry = owner.entry(path, given, "value", "unit")
    size = owner.unit(path, entry, kind, "unit")
    return owner.number((*path, "value"), entry.get("value")) * size


def curve(table: Table, *path: str, kind: str) -> tuple[Table, Curve]:
    """A quantity by size, at rest, and the table that it is in.

    Raises:
        ProblemError: It is missing, no cost, has no source, or falls as sizes grow.
        UnitError: It has no unit, or one that does not fit.
    """
    owner, given = table.find(*path)
    if isinstance(given, dict) and "size" in given:
        return owner, _points(owner, path, given, kind)
    if isinstance(given, dict) and "slope" in given:
        keys = ("intercept", "slope", "unit", "size_unit")
        entry = owner.entry(path, given, *keys)
        size = owner.unit(path, entry, kind, "unit")
        per = owner.unit(path, entry, "size", "size_unit")
        low, slope = (
            owner.number((*path, key), entry.get(key)) * size for key in ("intercept", "slope")
        )
        return owner, Curve.line(low, slope / per)
    return owner, Curve.line(quantity(owner, *path, kind=kind), 0.0)


def _points(table: Table, path: tuple[str, ...], given: dict[str, Any], kind: str) -> Curve:
    entry = table.entry(path, given, "size", "size_unit", "values", "unit")
    sizes = _listed(table, (*path, "size"), entry["size"])
    values = _listed(table, (*path, "values"), entry.get("values"))
    sizes = sizes * table.unit(path, entry, "size", "size_unit")
    values = values * table.unit(path, entry, kind, "unit")
    rising = bool(np.all(np.diff(sizes) > 0) and np.all(np.diff(values[: len(sizes)]) >= 0))
    if len(sizes) != len(values) or len(sizes) < 2 or not rising:
        table.refuse(
            path,
            "the points of a curve do not fit together",
            "two or more sizes, rising, with as many values, which do not fall",
            f"{len(sizes)} sizes and {len(values)} values" + ("" if rising else ", not rising"),
            "sort them; leave out a point that is cheaper than a smaller one",
        )
    return Curve.through(sizes, values)


def _listed(table: Table, path: tuple[str, ...], given: Any) -> Floats:
    if not isinstance(given, list):
        table.refuse(path, "a curve has no points", "a list of numbers", repr(given), "mend it")
    return np.array([table.number(path, value) for value in given], dtype=np.float64)


def _logic(table: Table, part: str) -> Logic:
    found = []
    for what in ("energy", "area", "leakage"):
        value = quantity(table, part, what, kind=what)
        # A borrowed number is for as many bits as its own table says.
        owner, _ = table.find(part, what)
        found.append(value / owner.width(part, "bits") ** LOGIC[part])
    return Logic(*found)


def _memory(table: Table, part: str) -> dict[str, Curve]:
    found = {}
    for what, kind in MEMORY.items():
        owner, got = curve(table, part, what, kind=kind)
        bits = owner.width(part, "access_bits") if kind == "energy" else 1
        found[what] = Curve(got.sizes, got.values / bits)
    return found


def _moved(table: Table, part: str) -> float:
    owner, _ = table.find(part, "energy")
    return quantity(table, part, "energy", kind="energy") / owner.width(part, "bits")


def _dram(table: Table) -> float:
    energy = _moved(table, "dram")
    if energy == 0.0:
        table.refuse(
            ("dram", "energy", "value"),
            "a technology file has DRAM for nothing",
            "DRAM energy always counts",
            "0",
            'take a built-in one: "dram": {"from": "lpddr4", "why": "..."}',
        )
    return energy


def technology(table: Table) -> Technology:
    """The technology of a file.

    Raises:
        ProblemError: An entry is missing, unknown, no cost, or has no source.
        UnitError: A unit is missing, unknown or does not fit.
    """
    _check_parts(table)
    name, version, description = (table.text(key) for key in TEXTS)
    rf, sram = _memory(table, "register_file"), _memory(table, "sram")
    dram_energy = _dram(table)
    owner, dram = table.find("dram")
    return Technology(
        name=name,
        version=version,
        description=description,
        multiplier=_logic(table, "multiplier"),
        adder=_logic(table, "adder"),
        shifter=_logic(table, "shifter"),
        register=_logic(table, "register"),
        rf_read=rf["read"],
        rf_write=rf["write"],
        rf_area=rf["area"],
        rf_leakage=rf["leakage"],
        sram_read=sram["read"],
        sram_write=sram["write"],
        sram_area=sram["area"],
        sram_leakage=sram["leakage"],
        dram_energy=dram_energy,
        noc=_moved(table, "noc") if "noc" in table.raw else 0.0,
        node_nm=quantity(table, "node", kind="node") if "node" in table.raw else None,
        dram=str(dram.get("name", owner.raw.get("name", ""))),
        sources=_sources(table),
    )


def dram_of(table: Table) -> Dram:
    """The DRAM of a file: of one that has nothing else, or of a whole technology.

    Raises:
        ProblemError: An entry is missing, unknown, no cost, or has no source.
        UnitError: A unit is missing, unknown or does not fit.
    """
    _check_parts(table)
    name, version, description = (table.text(key) for key in TEXTS)
    energy = _dram(table)
    return Dram(name, version, description, energy, _sources(table))


def digest_of(table: Table) -> str:
    """A hash of all that a file says, and of the files that it borrows from."""
    texts: dict[str, str] = {}

    def add(table: Table) -> None:
        if table.where not in texts:
            texts[table.where] = json.dumps(table.raw, sort_keys=True)
            borrow(table, table.raw)

    def borrow(table: Table, entry: Any) -> None:
        if isinstance(entry, dict) and "from" in entry:
            add(table.opened(entry["from"]))
        elif isinstance(entry, dict):
            for child in entry.values():
                borrow(table, child)

    add(table)
    return hashlib.sha256("\n".join(texts.values()).encode()).hexdigest()[:12]


def _check_parts(table: Table) -> None:
    for part, keys in PARTS.items():
        entry = table.raw.get(part)
        if isinstance(entry, dict) and "from" not in entry:
            table.known((part,), entry, keys)


def _sources(table: Table) -> tuple[str, ...]:
    """The short citations of a file, or else what its numbers say."""
    short = table.raw.get("sources")
    if short is not None:
        if not isinstance(short, list) or not all(isinstance(text, str) for text in short):
            table.refuse(("sources",), "the sources are no texts", "a list", repr(short), "mend it")
        return tuple(short)
    found: dict[str, None] = {}

    def collect(entry: Any) -> None:
        if isinstance(entry, dict):
            if isinstance(entry.get("source"), str):
                found[entry["source"]] = None
            if isinstance(entry.get("from"), str):
                found[f"borrowed from {entry['from']}"] = None
            for child in entry.values():
                collect(child)

    collect(table.raw)
    return tuple(found)
