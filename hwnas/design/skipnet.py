"""Skip-connected convolutional networks, the family that NN-Mass and FLASH's NN-Degree describe.

A network is a stem, one to a few cells, global average pooling and a classifier. Cell c (from 1)
works at half the resolution of the one before and has width ``w_c = base_width * width * 2^(c-1)``
and ``d_c`` 3x3 convolutions. From its third layer on (i = 2, 3, ... counted from 0), a layer may
also draw on the ``P_ci = (i-1) w_c`` channels of all earlier layers of the cell but its direct
predecessor. ``min(t_c, P_ci)`` of them, chosen once and for all by a fixed seed, are concatenated
to its input (DenseNet) or, at most w_c of them, added onto it (ResNet).

Source: Bhardwaj, Li, Marculescu, "How does topology influence gradient propagation and model
performance of deep networks with DenseNet-type skip connections?", CVPR 2021 (cells, widths,
candidate channels). The additive variant is our own reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwnas.arrays import Bools, Choice, Columns, Floats, Ints
from hwnas.design.graph import Activation, Graph, Join, Layer, Source
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.parts import NetworkFamily
from hwnas.errors import SpaceError
from hwnas.space import Gene, When

_KERNEL = 3
_FIRST_SKIP = 3
"""Layers that a cell needs before one of them has a candidate channel."""


@dataclass(frozen=True)
class SkipNet(NetworkFamily):
    """Skip-connected convolutional networks.

    Attributes:
        cells: Numbers of cells to choose from.
        layers_per_cell: Layers per cell to choose from.
        widths: Width multipliers to choose from.
        skip_channels: Candidate skip channels per cell (t_c) to choose from.
        skips: ``concat`` (DenseNet), ``add`` (ResNet), or both to choose from.
        base_width: Channels of the first cell at width multiplier 1.
        image: Height and width of the input image.
        channels: Channels of the input image.
        classes: Number of classes.
    """

    cells: tuple[int, ...] = (1, 2, 3)
    layers_per_cell: tuple[int, ...] = (2, 3, 4, 6)
    widths: tuple[int, ...] = (1, 2, 3, 4)
    skip_channels: tuple[int, ...] = (0, 4, 8, 16, 32)
    skips: tuple[str, ...] = ("concat", "add")
    base_width: int = 4
    image: int = 8
    channels: int = 1
    classes: int = 10

    name: ClassVar[str] = "skipnet"

    def __post_init__(self) -> None:
        for option in ("cells", "layers_per_cell", "widths", "skip_channels", "skips"):
            object.__setattr__(self, option, tuple(getattr(self, option)))
        smallest = {"cells": 1, "layers_per_cell": 1, "widths": 1, "skip_channels": 0}
        for option, least in smallest.items():
            values = getattr(self, option)
            if not values or min(values) < least:
                raise SpaceError(
                    f"skipnet cannot have {option} = {list(values)}",
                    rule=f"at least one choice, each at least {least}",
                )
        strange = set(self.skips) - {join.value for join in (Join.CONCATENATE, Join.ADD)}
        if strange or not self.skips:
            raise SpaceError(
                f"skipnet has no skip connection {min(strange, default='')!r}",
                rule="concat, add or both",
                given=", ".join(self.skips),
            )
        if self.image < 2 ** (max(self.cells) - 1):
            raise SpaceError(
                f"an image of {self.image} x {self.image} is too small for {max(self.cells)} cells",
                rule="each cell after the first halves the image",
                cure="fewer cells or a larger image",
            )

    def genes(self) -> tuple[Gene, ...]:
        """``net.cells``, ``net.width``, ``net.skip``, and per cell its layers and skip channels."""
        genes = [
            Gene("net.cells", self.cells),
            Gene("net.width", self.widths),
            Gene("net.skip", self.skips, ordered=False),
        ]
        for cell in range(1, max(self.cells) + 1):
            exists = () if cell <= min(self.cells) else (When("net.cells", at_least=cell),)
            depth = f"net.cell{cell}.layers"
            genes.append(Gene(depth, self.layers_per_cell, when=exists))
            can_skip = (When(depth, at_least=_FIRST_SKIP),)
            genes.append(Gene(f"net.cell{cell}.skip_channels", self.skip_channels, when=can_skip))
        return tuple(genes)

    def layers(self, columns: Columns, n: int) -> LayerTable:
        """All layers of ``n`` networks at single precision; see `NetworkFamily.layers`."""
        grid = _Grid.of(self, columns, n)
        here = np.flatnonzero(grid.exists)
        table = {name: column.reshape(-1)[here] for name, column in grid.fields.items()}
        return LayerTable.of(n, here // grid.exists.shape[1], **table)

    def graph(self, config: Mapping[str, Choice]) -> Graph:
        """One network as a graph at single precision; see `NetworkFamily.graph`."""
        join = Join(config["net.skip"])
        image = self.image
        width = self.base_width * int(config["net.width"])
        built = [_convolution("stem", (Source(-1),), join, self.channels, width, 1, image, 0)]
        for cell in range(1, int(config["net.cells"]) + 1):
            width = self.base_width * int(config["net.width"]) * 2 ** (cell - 1)
            image = self.image if cell == 1 else -(-image // 2)
            wanted = int(config.get(f"net.cell{cell}.skip_channels", 0))
            start = len(built)
            for i in range(int(config[f"net.cell{cell}.layers"])):
                before = len(built) - 1
                skips = self.skip_sources(cell, i, width, wanted, join)
                sources = tuple(Source(start + k, chosen) for k, chosen in skips.items())
                borrowed = sum(len(chosen) for chosen in skips.values())
                C = built[before].K + (borrowed if join is Join.CONCATENATE else 0)
                stride = 2 if i == 0 and cell > 1 else 1
                built.append(
                    _convolution(
                        f"cell{cell}.layer{i + 1}",
                        (Source(before), *sources),
                        join,
                        C,
                        width,
                        stride,
                        image,
                        cell,
                    )
                )
        return Graph(
            (*built, *self._head(len(built), width, image)), self.image, self.channels, self.classes
        )

    def _head(self, start: int, width: int, image: int) -> tuple[Layer, Layer]:
        def layer(name: str, operator: Operator, source: int, K: int, window: int) -> Layer:
            return Layer(
                name, operator, (Source(source),), Join.CONCATENATE, width, K, window,
                1, 1, 1, FLOAT_BITS, FLOAT_BITS, 0, False, Activation.NONE,
            )  # fmt: skip

        return (
            layer("pool", Operator.POOL, start - 1, width, image),
            layer("classifier", Operator.LINEAR, start, self.classes, 1),
        )

    def skip_sources(
        self, cell: int, layer: int, width: int, wanted: int, join: Join
    ) -> dict[int, tuple[int, ...]]:
        """The channels that a layer borrows.

        Args:
            cell: The cell, from 1.
            layer: The layer within the cell, from 0.
            width: Channels of each layer of the cell (w_c).
            wanted: Candidate skip channels of the cell (t_c).
            join: How they are joined; additions take at most ``width`` channels.

        Returns:
            Earlier layer within the cell to the channels taken of it, ascending.
        """
        count = int(_borrowed(layer, width, wanted, join is Join.ADD))
        if not count:
            return {}
        # Fixed by place alone, so one genome is one network.
        rng = np.random.default_rng((cell, layer))
        candidates = rng.permutation((layer - 1) * width)[:count]
        chosen: dict[int, list[int]] = {}
        for candidate in sorted(int(c) for c in candidates):
            chosen.setdefault(candidate // width, []).append(candidate % width)
        return {earlier: tuple(channels) for earlier, channels in chosen.items()}


def _borrowed(layer: Any, width: Any, wanted: Any, added: Any) -> Any:
    """Channels that layer i borrows: min(t_c, P_ci), and at most w_c where they are added."""
    candidates = np.maximum(layer - 1, 0) * width
    most = np.where(added, np.minimum(candidates, width), candidates)
    return np.minimum(wanted, most)


def _convolution(
    name: str,
    sources: tuple[Source, ...],
    join: Join,
    C: int,
    K: int,
    stride: int,
    image: int,
    cell: int,
) -> Layer:
    return Layer(
        name, Operator.CONVOLUTION, sources, join, C, K, _KERNEL,
        stride, 1, image, FLOAT_BITS, FLOAT_BITS, cell, True, Activation.RELU,
    )  # fmt: skip


@dataclass(frozen=True)
class _Grid:
    """Every row that some network of the family could have, as columns ``(n, rows)``."""

    exists: Bools
    fields: dict[str, Ints | Floats]

    @classmethod
    def of(cls, family: SkipNet, columns: Columns, n: int) -> _Grid:
        cells = columns["net.cells"].astype(np.int64)
        first = family.base_width * columns["net.width"].astype(np.int64)
        added = columns["net.skip"] == Join.ADD.value
        always = np.ones(n, dtype=np.bool_)
        rows = [_row(always, C=family.channels, K=first, P=family.image, R=_KERNEL)]
        image, before = family.image, first
        last = (first, np.full(n, family.image))
        for cell in range(1, max(family.cells) + 1):
            width = first * 2 ** (cell - 1)
            image = image if cell == 1 else -(-image // 2)
            exists = cells >= cell
            depth = columns[f"net.cell{cell}.layers"].astype(np.int64)
            wanted = np.where(
                depth >= _FIRST_SKIP, columns[f"net.cell{cell}.skip_channels"].astype(np.int64), 0
            )
            for i in range(max(family.layers_per_cell)):
                here = exists & (i < depth)
                skips = _borrowed(i, width, wanted, added)
                add = {"C": skips, "K": skips, "P": image, "operator": int(Operator.ADD)}
                rows.append(_row(here & added & (skips > 0), cell=cell, **add))
                C = (before if i == 0 else width) + np.where(added, 0, skips)
                stride = 2 if i == 0 and cell > 1 else 1
                rows.append(_row(here, C=C, K=width, P=image, R=_KERNEL, stride=stride, cell=cell))
            before = width
            last = (np.where(exists, width, last[0]), np.where(exists, image, last[1]))
        pool = {"C": last[0], "K": last[0], "R": last[1], "operator": int(Operator.POOL)}
        rows.append(_row(always, **pool))
        linear = {"C": last[0], "K": family.classes, "operator": int(Operator.LINEAR)}
        rows.append(_row(always, **linear))
        fields: dict[str, Ints | Floats] = {}
        for name in ("operator", "C", "K", "P", "R", "stride", "cell"):
            column = np.empty((n, len(rows)), dtype=np.int64)
            for place, row in enumerate(rows):
                column[:, place] = row[name]
            fields[name] = column
        fields["Q"], fields["S"] = fields["P"], fields["R"]
        return cls(np.stack([row["exists"] for row in rows], axis=1), fields)


def _row(exists: Bools, **fields: Any) -> dict[str, Any]:
    usual = {"operator": int(Operator.CONVOLUTION), "P": 1, "R": 1, "stride": 1, "cell": 0}
    return {**usual, **fields, "exists": exists}
