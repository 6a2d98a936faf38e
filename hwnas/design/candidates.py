"""What families share whose networks choose among rows that are known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from hwnas.arrays import Bools, Columns, Floats, Ints
from hwnas.design.layers import LayerTable, Operator
from hwnas.errors import SpaceError
from hwnas.space import Gene

ALWAYS: Final = 0
"""The condition that every network meets."""


_USUAL: Final = {
    "P": 1, "Q": 1, "R": 1, "S": 1, "stride": 1, "groups": 1, "operator": 0, "cell": 0
}  # fmt: skip
_NAMES: Final = ("C", "K", *_USUAL)


class CandidateRows:
    """Every row that some network of a family could have, in order of execution.

    Each row exists where one condition is met. The conditions are the columns of what `table` is
    given; number `ALWAYS` is met by every network.
    """

    def __init__(self) -> None:
        self._conditions: list[int] = []
        self._rows: list[Mapping[str, int]] = []
        self._fields: Ints | None = None

    def add(self, condition: int, **fields: int) -> None:
        """Adds a row.

        Args:
            condition: The number of the condition under which a network has the row.
            **fields: Columns of the layer table; the usual value where one is left out.
        """
        self._conditions.append(condition)
        self._rows.append(fields)
        self._fields = None

    def table(self, met: Bools) -> LayerTable:
        """The rows of ``n`` networks.

        Args:
            met: ``bool (n, conditions)``: which conditions the networks meet; column `ALWAYS` is
                true throughout.
        """
        if self._fields is None:
            self._fields = np.array(
                [[{**_USUAL, **row}[name] for name in _NAMES] for row in self._rows], dtype=np.int64
            )
        exists = met[:, np.array(self._conditions, dtype=np.int64)]
        design, row = np.nonzero(exists)
        fields = self._fields
        columns: dict[str, Ints] = {name: fields[row, i] for i, name in enumerate(_NAMES)}
        return LayerTable.of(len(met), design, **columns)


def inverted_residual(
    C: int, K: int, image: int, *, kernel: int, stride: int, expansion: int
) -> Iterator[dict[str, int]]:
    """The rows of an inverted residual block: expansion, depthwise, projection, addition.

    The block has no expansion where that is 1, and no addition where stride or width change.

    Args:
        C: Input channels.
        K: Output channels.
        image: Output height and width; the input's are ``stride`` times as large.
        kernel: Kernel of the depthwise convolution.
        stride: Its stride.
        expansion: How many times wider it is than the input.

    Yields:
        Columns of the layer table.
    """
    inside = C * expansion
    before = image * stride
    if expansion > 1:
        yield {"C": C, "K": inside, "P": before, "Q": before}
    square = {"P": image, "Q": image, "R": kernel, "S": kernel}
    yield {"C": inside, "K": inside, "groups": inside, "stride": stride, **square}
    yield {"C": inside, "K": K, "P": image, "Q": image}
    if stride == 1 and C == K:
        yield {"C": K, "K": K, "P": image, "Q": image, "operator": Operator.ADD}


def codes(genes: Sequence[Gene], columns: Columns, n: int) -> Ints:
    """The values of genes as the places of their choices, ``int64 (n, genes)``.

    Args:
        genes: Genes whose values occur among their choices.
        columns: Gene name to values ``(n,)`` of (at least) these genes.
        n: Number of designs.
    """
    places = np.empty((n, len(genes)), dtype=np.int64)
    for j, gene in enumerate(genes):
        order = np.argsort(gene.choices)
        choices = np.array(gene.choices)[order]
        places[:, j] = order[np.searchsorted(choices, columns[gene.name])]
    return places


def one_hot(codes: Ints, choices: int) -> Bools:
    """Which choice each gene has, ``bool (n, genes * choices)``, gene by gene.

    Args:
        codes: Places of choices, ``int64 (n, genes)``.
        choices: The number of choices of each gene.
    """
    n, genes = codes.shape
    has: Bools = (codes[:, :, None] == np.arange(choices)).reshape(n, genes * choices)
    return has


def relative_logs(sizes: Floats, smallest: Floats, largest: Floats) -> Floats:
    """Logarithms of sizes, 0 for the smallest and 1 for the largest of a family.

    Args:
        sizes: ``(n, k)``, positive.
        smallest: ``(k,)``.
        largest: ``(k,)``, larger than the smallest.

    Returns:
        ``float64 (n, k)``.
    """
    logs: Floats = np.log(sizes / smallest) / np.log(largest / smallest)
    return logs


def sizes(table: LayerTable) -> Floats:
    """Weights and multiply-accumulates of ``n`` networks, ``float64 (n, 2)``."""
    return np.column_stack([table.total(table.weights), table.total(table.macs)])


def check_positive(part: Any, *options: str) -> None:
    """Checks options that are counts.

    Args:
        part: A part with a name and these options.
        *options: The names of the options.

    Raises:
        SpaceError: One is less than 1.
    """
    for option in options:
        if getattr(part, option) < 1:
            raise SpaceError(
                f"{part.name} cannot have {option} = {getattr(part, option)}", rule="at least 1"
            )
