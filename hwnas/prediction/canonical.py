"""Features that are equal for designs that mean the same, and say more than the genes.

What a predictor of a costly metric is given decides how many examples it needs. Genes hide that two
designs are the same network, and are silent about what is known: sizes, depths, rounding errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.design.designs import Designs
from hwnas.design.layers import Operator
from hwnas.design.parts import NetworkFamily, QuantizationPolicy
from hwnas.evaluation.interface import ALL_PARTS
from hwnas.prediction.interface import Features
from hwnas.space import Gene, Part, Space, keys, unique

_REMEMBERED: Final = 20_000
"""Settings of a part whose description is remembered."""


class CanonicalFeatures(Features):
    """The best description of each part of the genome that is known.

    A part that has an encoding of its own (`hwnas.space.Part.encoding`) is described by that. A
    network family without one is described by its genes and by statistics of its layers; a
    quantization policy by its genes and the rounding step of each; anything else by its genes.

    Args:
        *parts: The parts of the genome that are described; all if none is named.
    """

    def __init__(self, *parts: str) -> None:
        self.parts = parts
        self.reads = frozenset(parts) if parts else ALL_PARTS
        self._last: tuple[Space, tuple[Space, Ints, list[_Block]]] | None = None

    def names(self, space: Space) -> tuple[str, ...]:
        """The names of the columns, part by part; see `Features.names`."""
        return tuple(name for block in _blocks(self._projected(space)) for name in block.names)

    def matrix(self, designs: Designs) -> Floats:
        """The descriptions side by side; see `Features.matrix`."""
        space, columns, blocks = self._described(designs.space)
        batch = _Batch(Designs(space, designs.genomes[:, columns], designs.seed))
        values = [block.values(batch) for block in blocks]
        return np.hstack([np.empty((len(designs), 0)), *values])

    def _described(self, space: Space) -> tuple[Space, Ints, list[_Block]]:
        """What a space becomes, its columns, and its blocks; those of the last space are kept."""
        if self._last is None or self._last[0] is not space:
            projected = self._projected(space)
            columns = space.columns_of(*self._named(space))
            self._last = space, (projected, columns, list(_blocks(projected)))
        return self._last[1]

    def agree(self, one: Space, other: Space) -> bool:
        """Whether genes and parts are the same: a part's options change what columns mean."""
        return self._projected(one) == self._projected(other)

    def _named(self, space: Space) -> tuple[str, ...]:
        return self.parts or space.part_names

    def _projected(self, space: Space) -> Space:
        return space.part(*self._named(space))


@dataclass(frozen=True, eq=False)
class _Batch:
    """Designs, and their genes' features."""

    designs: Designs

    @cached_property
    def genes(self) -> Floats:
        return self.designs.space.features(self.designs.genomes)


@dataclass(frozen=True)
class _Block:
    """Some columns: their names, and designs to ``float64 (n, k)``."""

    names: tuple[str, ...]
    values: Callable[[_Batch], Floats]


class _PerSetting:
    """Describes designs by one part, each setting of it once; the last settings are remembered.

    Args:
        space: The space of the part.
        describe: From designs of that space to ``(n, k)``, row by row.
    """

    def __init__(self, space: Space, describe: Callable[[Designs], Floats]) -> None:
        self._space, self._describe = space, describe
        self._known: dict[bytes, Floats] = {}

    def __call__(self, batch: _Batch) -> Floats:
        designs = batch.designs
        rows = designs.genomes[:, designs.space.columns_of(*self._space.part_names)]
        names = keys(rows)
        if not names or not all(name in self._known for name in names):
            if len(self._known) + len(names) > _REMEMBERED:
                self._known = {}
            new = [i for i in unique(rows)[0] if names[i] not in self._known]
            described = self._describe(Designs(self._space, rows[new]))
            if not names:
                return described
            self._known.update(zip([names[i] for i in new], described, strict=True))
        return np.stack([self._known[name] for name in names])


def _blocks(space: Space) -> Iterator[_Block]:
    """What describes each part of a space."""
    for name in space.part_names:
        part = space.parts.get(name)
        if part is not None and part.encoding_names():
            own = tuple(f"{name}.{column}" for column in part.encoding_names())
            yield _Block(own, _PerSetting(space.part(name), partial(_encoding, part)))
            continue
        columns = [i for i, c in enumerate(space.feature_names) if c.startswith(f"{name}.")]
        yield _Block(tuple(space.feature_names[i] for i in columns), partial(_genes, columns))
        if isinstance(part, NetworkFamily):
            statistics = tuple(f"{name}.{column}" for column in _STATISTICS)
            yield _Block(statistics, _PerSetting(space.part(name), partial(_statistics, part)))
        if isinstance(part, QuantizationPolicy):
            numeric = [gene for gene in space.genes if gene.part == name and _is_number(gene)]
            named = tuple(f"2^-{gene.name}" for gene in numeric)
            where = [space.names.index(gene.name) for gene in numeric]
            sizes = [_relative_steps(gene) for gene in numeric]
            yield _Block(named, partial(_steps, where, sizes))


def _encoding(part: Part, designs: Designs) -> Floats:
    return part.encoding(designs.columns, len(designs))


def _genes(columns: list[int], batch: _Batch) -> Floats:
    return batch.genes[:, columns]


def _is_number(gene: Gene) -> bool:
    return not any(isinstance(choice, str | bool) for choice in gene.choices)


def _relative_steps(gene: Gene) -> Floats:
    """The rounding step 2^-b of each choice, in proportion to that of the fewest bits."""
    bits = np.array([float(choice) for choice in gene.choices])
    steps: Floats = 2.0 ** (bits.min() - bits)
    return steps


def _steps(columns: list[int], sizes: list[Floats], batch: _Batch) -> Floats:
    """The rounding steps of bit widths, ``(n, genes)``, in (0, 1]; 0 where inactive.

    The loss of accuracy is far closer to linear in the step than in the number of bits.
    """
    designs = batch.designs
    steps = np.zeros((len(designs), len(columns)))
    for j, (column, size) in enumerate(zip(columns, sizes, strict=True)):
        steps[:, j] = designs.active[:, column] * size[designs.genomes[:, column]]
    return steps


_STATISTICS: Final = (
    "log2_macs",
    "log2_weights",
    "layers",
    "additions",
    "log2_widest",
    "mean_log2_K",
    "mean_log2_C",
    "mean_log2_P",
    "mean_R",
)


def _statistics(family: NetworkFamily, designs: Designs) -> Floats:
    """Statistics of the layers of ``n`` networks, ``(n, 9)``; means are weighted by MACs."""
    table = family.layers(designs.columns, len(designs))
    macs = table.accumulations.astype(np.float64)  # where shifts replace products, these
    total = np.maximum(table.total(macs), 1.0)
    widest = np.ones(table.n, dtype=np.int64)
    np.maximum.at(widest, table.design, table.K)
    means = [
        table.total(macs * values) / total
        for values in (np.log2(table.K), np.log2(table.C), np.log2(table.P), table.R)
    ]
    return np.column_stack(
        [
            np.log2(total),
            np.log2(np.maximum(table.total(table.weights), 1.0)),
            table.total(table.has_weights.astype(np.int64)),
            table.total((table.operator == int(Operator.ADD)).astype(np.int64)),
            np.log2(widest),
            *means,
        ]
    )
