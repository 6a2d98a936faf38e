"""The entries of technology files: found, borrowed from another table, checked one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from hwnas.errors import HwnasError, ProblemError, UnitError, nearest

_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "energy": {"pJ": 1e-12, "fJ": 1e-15, "nJ": 1e-9},
    "leakage": {"uW": 1e-6, "nW": 1e-9, "pW": 1e-12, "mW": 1e-3},
    "area": {"um2": 1e-12, "mm2": 1e-6},
    "size": {"KiB": 1024.0, "B": 1.0, "MiB": 1024.0**2},
    "node": {"nm": 1.0},
}
UNITS: Final = {unit: size for units in _UNITS.values() for unit, size in units.items()}
"""The units that technology files may use, in units at rest (spares the free path loading pint);
a node is in nm."""

LOGIC: Final = {"multiplier": 2, "adder": 1, "shifter": 1, "register": 1}
"""The parts made of logic, and the power with which they grow with their width."""
MEMORY: Final = {"read": "energy", "write": "energy", "area": "area", "leakage": "leakage"}
"""What is said of a memory, and which kind of quantity it is."""
TEXTS: Final = ("name", "version", "description")
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(LOGIC, ("bits", "energy", "area", "leakage")),
    **dict.fromkeys(("register_file", "sram"), ("access_bits", *MEMORY)),
    "noc": ("bits", "energy"),
    "dram": ("name", "bits", "energy"),
}
"""The parts of a table with numbers in them, and the keys of each."""
_TOP: Final = (*TEXTS, "sources", "node", "units", *PARTS)
_BORROWED: Final = ("from", "why")

Open = Callable[[str], "Table"]
"""Finds the table of a name."""


@dataclass(frozen=True)
class Table:
    """A file as it was read, and where it is.

    Attributes:
        raw: Its entries.
        where: The file, for messages.
        opened: Finds other tables that it borrows from.
    """

    raw: Mapping[str, Any]
    where: str
    opened: Open

    @classmethod
    def of(cls, text: str, where: str, opened: Open) -> Table:
        """A table from a file's text.

        Raises:
            ProblemError: It is no JSON object, or has entries that no table has.
        """
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise ProblemError(
                "a technology file cannot be read",
                where=where,
                rule="JSON",
                given=str(error),
                cure="mend it; a built-in table is a good start",
            ) from error
        if not isinstance(raw, dict):
            raise ProblemError(
                "a technology file has no entries",
                where=where,
                rule="a JSON object",
                given=type(raw).__name__,
                cure="begin with a built-in table",
            )
        table = cls(raw, where, opened)
        table.known((), raw, _TOP)
        return table

    def refuse(
        self, path: tuple[str, ...], what: str, rule: str, given: str, cure: str
    ) -> NoReturn:
        """Raises the error for an entry that breaks a rule.

        Raises:
            ProblemError: Always.
        """
        key = ".".join(path) or "the whole file"
        raise ProblemError(what, where=f"{self.where}: {key}", rule=rule, given=given, cure=cure)

    def known(self, path: tuple[str, ...], entry: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        """Checks that an entry has no keys but these.

        Raises:
            ProblemError: It has another one.
        """
        for key in entry:
            if key not in keys:
                rule, cure = "one of " + ", ".join(keys), nearest(key, keys)
                self.refuse((*path, key), f"there is no entry {key!r}", rule, repr(key), cure)

    def find(
        self, *path: str, seen: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ) -> tuple[Table, Any]:
        """An entry, and the table it is in: another one where it is borrowed.

        Raises:
            ProblemError: It is missing, or tables borrow in a circle.
        """
        entry: Any = self.raw
        for depth, key in enumerate(path):
            here = path[: depth + 1]
            if not isinstance(entry, dict) or key not in entry:
                text = ".".join(here)
                self.refuse(
                    here,
                    f"a technology file lacks {text!r}",
                    "every entry is there, with its unit and source",
                    "nothing",
                    'write it, or take it from another table: {"from": "aladdin40", "why": "..."}',
                )
            entry = entry[key]
            if isinstance(entry, dict) and "from" in entry:
                return self._borrowed(entry, here, path, seen)
        return self, entry

    def _borrowed(
        self,
        entry: Mapping[str, Any],
        here: tuple[str, ...],
        path: tuple[str, ...],
        seen: tuple[tuple[str, tuple[str, ...]], ...],
    ) -> tuple[Table, Any]:
        self.known(here, entry, _BORROWED)
        name, why = entry["from"], entry.get("why")
        if not isinstance(name, str) or not isinstance(why, str) or not why.strip():
            self.refuse(
                here,
                "an entry is borrowed without a reason",
                '{"from": the name of a table, "why": a text}',
                repr(dict(entry)),
                "say why this number stands in for the missing one",
            )
        if (self.where, here) in seen:
            chain = ", ".join(place for place, _ in seen)
            self.refuse(here, "tables borrow in a circle", "no circle", chain, "write the number")
        try:
            other = self.opened(name)
        except HwnasError as error:
            self.refuse(
                here, f"there is no table {name!r} to borrow from", "a name", name, error.cure
            )
        return other.find(*path, seen=(*seen, (self.where, here)))

    def text(self, key: str) -> str:
        """One of the texts.

        Raises:
            ProblemError: It is missing or empty.
        """
        given = self.raw.get(key)
        if not isinstance(given, str) or not given.strip():
            self.refuse(
                (key,), f"a technology file lacks its {key}", "a text", repr(given), "add it"
            )
        return given

    def width(self, *path: str) -> int:
        """How many bits an energy is for.

        Raises:
            ProblemError: It is no positive whole number.
        """
        given = self.find(*path)[1]
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            self.refuse(path, "a width is no number of bits", "1, 2, ...", repr(given), "mend it")
        return given

    def unit(self, path: tuple[str, ...], entry: Mapping[str, Any], kind: str, key: str) -> float:
        """What one unit of an entry is at rest.

        Raises:
            UnitError: It has no unit, or one that does not fit.
        """
        defaults = self.raw.get("units", {})
        given = entry.get(key, defaults.get(kind) if isinstance(defaults, dict) else None)
        allowed = _UNITS[kind]
        if not isinstance(given, str) or given not in allowed:
            raise UnitError(
                "a number of a technology file has no unit"
                if given is None
                else f"a technology file uses the unit {given!r} for {_article(kind)}",
                where=f"{self.where}: {'.'.join((*path, key))}",
                rule="one of " + ", ".join(allowed),
                given="nothing" if given is None else repr(given),
                cure=f'write "{key}": "{next(iter(allowed))}", for example'
                if given is None
                else nearest(str(given), allowed),
            )
        return allowed[given]

    def number(self, path: tuple[str, ...], given: Any) -> float:
        """A finite number that is not negative.

        Raises:
            ProblemError: It is something else.
        """
        fine = isinstance(given, int | float) and not isinstance(given, bool)
        if not fine or not math.isfinite(given) or given < 0:
            self.refuse(
                path,
                "a technology file has a value that is no cost",
                "a finite number, at least 0",
                repr(given),
                "mend it; 0 where there is none, and say so in its source",
            )
        return float(given)

    def source(self, path: tuple[str, ...], entry: Mapping[str, Any]) -> str:
        """Where an entry's number comes from.

        Raises:
            ProblemError: It does not say.
        """
        given = entry.get("source")
        if not isinstance(given, str) or not given.strip():
            self.refuse(
                (*path, "source"),
                "a number of a technology file has no source",
                "every number says where it comes from",
                repr(given),
                'write "source": a paper and table, a program and its version, a measurement',
            )
        return given

    def entry(self, path: tuple[str, ...], given: Any, *keys: str) -> dict[str, Any]:
        """An entry with a number in it: its keys are known, and it has a source.

        Raises:
            ProblemError: It is none.
        """
        if not isinstance(given, dict):
            rule, cure = "an object with " + ", ".join((*keys, "source")), "write it as one"
            self.refuse(path, "a number stands alone", rule, repr(given), cure)
        self.known(path, given, (*keys, "source"))
        self.source(path, given)
        return given


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
