"""Finding tables: those that come with this package, other packages' ones, a person's own files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import numpy as np

from evaluators.technology.costs import Dram, Technology
from evaluators.technology.entries import Table
from evaluators.technology.reading import digest_of, dram_of, technology
from evaluators.technology.scaling import scaled
from hwnas import plugins
from hwnas.errors import HwnasError, PluginError, ProblemError, nearest
from hwnas.tables import TableSummary

GROUP: Final = "hwnas.tables"
"""The entry points under which packages register tables."""
_SUFFIX: Final = ".json"
_HERE: Final = resources.files("evaluators.technology")
_SIZE: Final = 64 * 1024
_FILE: Final = 256


_Kind = TypeVar("_Kind", "TableFile", "DramFile")


class _NameOrFile:
    """Marks an option that is a table's name or the path of a file, which ends in ``.json``."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(named, handler(source))


TableName = Annotated[str | Path, _NameOrFile()]
"""The name of a table, or the path of a file of one's own, which ends in ``.json``.

In a study file a relative path starts from the file's folder; in Python, from the folder that the
program runs in.
"""


def named(given: str | Path) -> str | Path:
    """A path where the name of a file is given, else the name."""
    return Path(given) if str(given).endswith(_SUFFIX) else given


@dataclass(frozen=True)
class TableFile:
    """A technology's file: what an entry point of the group ``hwnas.tables`` may name.

    A package with ``mine = TableFile(Path(__file__).with_name("mine.json"))`` in a module
    ``theirs`` registers ``mine = "theirs:mine"``; then study files may say ``technology: mine``.

    Attributes:
        path: The file; `evaluators.technology.reading` says what is in it.
    """

    path: Traversable | Path

    def load(self) -> Technology:
        """Reads it.

        Raises:
            ProblemError: It is not in order; see `evaluators.technology.reading`.
            UnitError: A unit is missing, unknown or does not fit.
        """
        return _technology(_text(self.path), str(self.path))

    def summary(self) -> TableSummary:
        """What `hwnas list tables` shows of it; raises as `load`."""
        costs = self.load()
        sram, file = np.array([float(_SIZE)]), np.array([float(_FILE)])
        figures = {
            "8-bit MAC": (costs.multiplier.energy * 64 + costs.adder.energy * 24, "J"),
            "8-bit shift": (costs.shifter.energy * 8, "J"),
            "256 B RF": (float(costs.rf_read(file)[0]) * 8, "J/B"),
            "64 KiB SRAM": (float(costs.sram_read(sram)[0]) * 8, "J/B"),
            "DRAM": (costs.dram_energy, "J/bit"),
            "8-bit MAC area": (costs.multiplier.area * 64 + costs.adder.area * 24, "m^2"),
            "64 KiB SRAM area": (float(costs.sram_area(sram)[0]), "m^2"),
        }
        return TableSummary(
            name=costs.name,
            kind="technology",
            version=costs.version,
            description=costs.description,
            sources=costs.sources,
            figures=figures,
            node_nm=costs.node_nm,
        )


@dataclass(frozen=True)
class DramFile:
    """The file of a type of DRAM; an entry point of the group ``hwnas.tables`` may name it.

    Attributes:
        path: The file: name, version, description and ``dram``, as in a technology's.
    """

    path: Traversable | Path

    def load(self) -> Dram:
        """Reads it; raises as `TableFile.load`."""
        return _dram(_text(self.path), str(self.path))

    def summary(self) -> TableSummary:
        """What `hwnas list tables` shows of it; raises as `load`."""
        found = self.load()
        return TableSummary(
            name=found.name,
            kind="DRAM",
            version=found.version,
            description=found.description,
            sources=found.sources,
            figures={"DRAM": (found.energy, "J/bit")},
        )


def available() -> tuple[str, ...]:
    """The names of the technologies, sorted: built-in ones, and those of other packages."""
    return _names(_HERE, TableFile)


def drams() -> tuple[str, ...]:
    """The names of the types of DRAM, sorted: built-in ones, and those of other packages."""
    return _names(_HERE / "dram", DramFile)


def load(
    name: str | Path, dram: str | Path | None = None, node_nm: float | None = None
) -> Technology:
    """Reads a technology, if wanted with another DRAM, its logic scaled to another node.

    Args:
        name: One of `available`, or the path of a file that ends in ``.json``.
        dram: One of `drams`, or the path of a file; the table's own if left out.
        node_nm: The node to scale the logic to, nm; the table's own if left out.

    Returns:
        The technology; the same one for the same arguments.

    Raises:
        PluginError: There is none of that name; the message names the nearest.
        ProblemError: A file cannot be read or is not in order, or the logic cannot be scaled.
        UnitError: A unit is missing, unknown or does not fit.
    """
    found = _file(named(name), "technology", TableFile, _HERE, available).load()
    if node_nm is not None:
        found = scaled(found, node_nm)
    if dram is not None:
        found = _with_dram(
            found, _file(named(dram), "dram", DramFile, _HERE / "dram", drams).load()
        )
    return found


@cache
def _with_dram(costs: Technology, dram: Dram) -> Technology:
    return replace(
        costs,
        name=f"{costs.name}+{dram.name}",
        version=f"{costs.version}+{dram.version}",
        description=f"{costs.description} With another DRAM: {dram.description}",
        dram_energy=dram.energy,
        dram=dram.name,
        sources=(*costs.sources, *(f"DRAM: {source}" for source in dram.sources)),
    )


def _file(
    name: str | Path,
    option: str,
    kind: type[_Kind],
    folder: Traversable,
    known: Callable[[], tuple[str, ...]],
) -> _Kind:
    if isinstance(name, Path):
        return kind(name)
    own = _own(name, folder)
    if own is not None:
        return kind(own)
    if name in plugins.available(GROUP):
        found = plugins.load(GROUP, name)
        if isinstance(found, kind):
            return found
    raise PluginError(
        f"there is no {option} named {name!r}",
        where=f"argument {option}",
        rule="a name that `hwnas list tables` shows, or a file that ends in .json",
        given=repr(name),
        cure=nearest(name, known()),
    )


def _names(folder: Traversable, kind: type[TableFile] | type[DramFile]) -> tuple[str, ...]:
    found = {
        entry.name.removesuffix(_SUFFIX)
        for entry in folder.iterdir()
        if entry.name.endswith(_SUFFIX)
    }
    for name, entry in plugins.available(GROUP).items():
        if not entry.module.startswith("evaluators.technology."):
            try:
                if isinstance(plugins.load(GROUP, name), kind):
                    found.add(name)
            except HwnasError:
                continue  # who asks for it hears why
    return tuple(sorted(found))


def _text(path: Traversable | Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(
            f"the table {path.name!r} cannot be read",
            where=str(path),
            rule="a relative path starts from the study file, in Python from the working directory",
            given=f"{type(error).__name__}: {error}",
            cure="mend the path",
        ) from error


def _own(name: str, folder: Traversable) -> Traversable | None:
    file = folder / f"{name}{_SUFFIX}"
    return file if file.name == f"{name}{_SUFFIX}" and file.is_file() else None


def _opened(name: str) -> Table:
    """The table that another one borrows from: a technology or a DRAM, by name."""
    path: Traversable | Path | None = _own(name, _HERE) or _own(name, _HERE / "dram")
    if path is None:
        try:
            path = _file(name, "table", DramFile, _HERE / "dram", drams).path
        except PluginError:
            path = _file(name, "table", TableFile, _HERE, available).path
    return Table.of(_text(path), str(path), _opened)


@cache
def _technology(text: str, where: str) -> Technology:
    table = Table.of(text, where, _opened)
    found = technology(table)
    return replace(found, version=found.version + _digest(table))


@cache
def _dram(text: str, where: str) -> Dram:
    table = Table.of(text, where, _opened)
    found = dram_of(table)
    return replace(found, version=found.version + _digest(table))


def _digest(table: Table) -> str:
    """What tells apart two states of a person's file, whose version may not; ours are tested."""
    return "" if Path(table.where).is_relative_to(str(_HERE)) else f"-{digest_of(table)}"
