"""A network that comes as a layer table, e.g. from PyTorch, as a part of a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from hwnas.design.layers import LayerTable, Operator
from hwnas.design.one_network import OneNetwork, digest
from hwnas.design.rows import COLUMNS, Row, table_of
from hwnas.errors import DesignError, SpaceError, nearest


@dataclass(frozen=True)
class ImportedNetwork(OneNetwork):
    """One network whose layers are its options, so that a study needs no other file.

    `of` makes it from a layer table:

        table = from_torch(module, example_input)
        space = ImportedNetwork.of(table, "mine").space() + BitsPerLayer(layers=...).space()

    Attributes:
        network: Its name.
        rows: Its layers, each the values of the columns operator (by name), N, K, C and so on, in
            the order of `hwnas.design.rows.COLUMNS`.

    Raises:
        SpaceError: A row has another number of values, or an operator that does not exist.
        DesignError: A row is impossible; see `hwnas.design.rows.Row`.
    """

    network: str
    rows: tuple[tuple[int | str, ...], ...]
    _table: LayerTable = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "imported_network"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))
        layers = [_row(number, row) for number, row in enumerate(self.rows)]
        object.__setattr__(self, "_table", table_of(layers))

    @classmethod
    def of(cls, table: LayerTable, network: str) -> Self:
        """The network of a layer table.

        Args:
            table: One design. Its cells are numbered anew, and densities are left out.
            network: The name it gets.

        Raises:
            DesignError: The table has no design or several.
        """
        if table.n != 1:
            raise DesignError(
                f"a table of {table.n} designs is not one network",
                rule="one design",
                cure="take one with LayerTable.take",
            )
        columns = [getattr(table, name).tolist() for name in COLUMNS]
        place = COLUMNS.index("operator")
        columns[place] = [Operator(code).name.lower() for code in columns[place]]
        return cls(network, tuple(zip(*columns, strict=True)))

    @property
    def label(self) -> str:
        """The network's name with a digest of its layers."""
        return f"{self.network}-{digest(self.table)}"

    @property
    def table(self) -> LayerTable:
        """The layers of one design, at the bits they came with."""
        return self._table

    def options(self) -> dict[str, Any]:
        """Name and layers; see `hwnas.space.Part.options`."""
        return {"network": self.network, "rows": [list(row) for row in self.rows]}


_OPERATORS = {operator.name.lower(): operator for operator in Operator}


def _row(number: int, values: Sequence[int | str]) -> Row:
    if len(values) != len(COLUMNS):
        raise SpaceError(
            f"layer {number} of an imported network has {len(values)} values",
            rule=f"{len(COLUMNS)} of them: " + ", ".join(COLUMNS),
        )
    given = dict(zip(COLUMNS, values, strict=True))
    operator = str(given.pop("operator"))
    if operator not in _OPERATORS:
        raise SpaceError(
            f"layer {number} of an imported network has an unknown operator {operator!r}",
            rule="one of " + ", ".join(_OPERATORS),
            cure=nearest(operator, _OPERATORS),
        )
    strange = [name for name, v in given.items() if not isinstance(v, int | np.integer)]
    if strange:
        raise SpaceError(
            f"layer {number} of an imported network has {strange[0]} = {given[strange[0]]!r}",
            rule="a whole number",
        )
    sizes = {name: int(value) for name, value in given.items()}
    return Row(**sizes, operator=_OPERATORS[operator], name=str(number))
