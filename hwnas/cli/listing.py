"""What is installed: plug-ins with one line each, tables of costs with their numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hwnas import plugins
from hwnas.cli.display import plain_console
from hwnas.cli.tables import describe, plugin_table
from hwnas.errors import HwnasError, PluginError, nearest
from hwnas.tables import CostTable, TableSummary
from hwnas.units import show

_TABLES: Final = "hwnas.tables"
_AREA: Final = ("m^2", "m2")
_SMALL_AREA: Final = 1e-8
"""Below this (m^2), areas are shown in square micrometres."""


def list_plugins(kind: str | None, *, as_json: bool) -> None:
    """Prints what is installed.

    Args:
        kind: ``spaces``, ``evaluators``, ``predictors``, ``searchers``, ``exports``,
            ``calibrations``, ``datasets`` or ``tables``; all of them if left out.
        as_json: As JSON, numbers at rest with their units.

    Raises:
        PluginError: There is no such kind.
    """
    kinds = [group.removeprefix("hwnas.") for group in plugins.GROUPS]
    if kind is not None and kind not in kinds:
        raise PluginError(
            f"there is no kind of plug-in {kind!r}",
            rule=", ".join(kinds),
            given=kind,
            cure=nearest(kind, kinds),
        )
    groups = [f"hwnas.{k}" for k in ([kind] if kind else kinds)]
    if as_json:
        found = {group.removeprefix("hwnas."): _record(group) for group in groups}
        print(json.dumps(found, indent=1, ensure_ascii=False))  # noqa: T201
        return
    console = plain_console()
    for group in groups:
        console.print(_shown(group, whole=kind is not None))
        console.print()


def _record(group: str) -> dict[str, Any]:
    names = plugins.available(group)
    if group != _TABLES:
        return {name: describe(group, name) for name in names}
    return {name: _told(_summary(name)) for name in names}


def _told(summary: TableSummary | str) -> dict[str, Any] | str:
    if isinstance(summary, str):
        return summary
    figures = {
        name: {"value": value, "unit": unit} for name, (value, unit) in summary.figures.items()
    }
    return {**vars(summary), "figures": figures}


def _shown(group: str, *, whole: bool) -> RenderableType:
    names = plugins.available(group)
    if group != _TABLES:
        return plugin_table(group, names)
    found = {name: _summary(name) for name in names}
    if not whole:
        return _lines(found)
    kinds: dict[str, dict[str, TableSummary]] = {}
    for name, summary in found.items():
        if isinstance(summary, TableSummary):
            kinds.setdefault(summary.kind, {})[name] = summary
    parts: list[RenderableType] = []
    for kind in sorted(kinds, key=str.swapcase):
        parts += [_numbers(kind, kinds[kind]), *_stories(kinds[kind])]
    broken = {name: text for name, text in found.items() if isinstance(text, str)}
    parts += [Text(f"{name}: {text}") for name, text in broken.items()]
    return Group(*parts)


def _lines(found: Mapping[str, TableSummary | str]) -> Table:
    """One line for each table, as for plug-ins."""
    table = Table(title="tables", title_justify="left", box=None)
    table.add_column("name", style="bold")
    table.add_column("what it is")
    for name, summary in found.items():
        table.add_row(name, summary if isinstance(summary, str) else _first(summary.description))
    return table


def _first(text: str) -> str:
    """The first sentence of a description."""
    return text.partition(". ")[0].rstrip(".") + "."


def _summary(name: str) -> TableSummary | str:
    """What a table says of itself, or why it cannot be used."""
    try:
        table = plugins.load(_TABLES, name)
        if not isinstance(table, CostTable):
            return f"not usable: {type(table).__name__} has no method summary"
        return table.summary()
    except HwnasError as error:
        return f"not usable: {error.what}; {error.cure}"


def _numbers(kind: str, found: Mapping[str, TableSummary]) -> Table:
    """Key numbers: a row for each table, a column for each figure, in one unit."""
    table = Table(title=f"tables: {kind}", title_justify="left", box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    columns: list[list[str]] = []
    if any(summary.node_nm for summary in found.values()):
        table.add_column("node", justify="right")
        columns.append([f"{s.node_nm:g} nm" if s.node_nm else "-" for s in found.values()])
    for figure in dict.fromkeys(name for s in found.values() for name in s.figures):
        cells = [summary.figures.get(figure) for summary in found.values()]
        unit = next(cell[1] for cell in cells if cell)
        name, size = _fitting([cell[0] for cell in cells if cell], unit)
        table.add_column(f"{figure}, {name}", justify="right")
        columns.append([f"{cell[0] / size:.4g}" if cell else "-" for cell in cells])
    for name, *row in zip(found, *columns, strict=True):
        table.add_row(name, *row)
    return table


def _fitting(values: Sequence[float], unit: str) -> tuple[str, float]:
    """A unit that fits some values, and its size at rest."""
    middle = median(values)
    if unit in _AREA:
        return ("mm²", 1e-6) if middle > _SMALL_AREA else ("µm²", 1e-12)
    if middle <= 0:
        return unit, 1.0
    number, _, name = show(middle, unit).partition(" ")
    return name or unit, 10.0 ** round(math.log10(middle / float(number)))


def _stories(found: Mapping[str, TableSummary]) -> Iterator[RenderableType]:
    """What each table stands for, and its sources."""
    for name, summary in found.items():
        yield Text(f"\n{name} (version {summary.version})", "bold")
        yield Padding(Text(summary.description), (0, 0, 0, 2))
        yield Padding(Text("Sources: " + "; ".join(summary.sources), "dim"), (0, 0, 0, 2))
