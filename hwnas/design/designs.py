"""A batch of designs: genomes with lazily decoded, columnar views."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np

from hwnas.arrays import Bools, Choice, Columns, Ints, Values
from hwnas.design.graph import Graph
from hwnas.design.layers import LayerTable
from hwnas.design.parts import (
    AcceleratorTemplate,
    MappingPolicy,
    NetworkFamily,
    QuantizationPolicy,
    TrainingPolicy,
)
from hwnas.errors import DesignError, nearest
from hwnas.space import Space, unique


@dataclass(frozen=True, eq=False)
class Designs:
    """A batch of ``n`` designs.

    Attributes:
        space: The space of the genomes.
        genomes: Canonical genomes, ``int64 (n, d)`` (made canonical on construction).
        seed: The study's seed, from which stochastic evaluators derive theirs (see `seeds`).

    Raises:
        SpaceError: The genomes do not fit the space.
    """

    space: Space
    genomes: Ints
    seed: int = 0

    def __post_init__(self) -> None:
        rows = self.space.canonical(self.space.check(self.genomes))
        rows.setflags(write=False)
        object.__setattr__(self, "genomes", rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return Designs, (self.space, np.array(self.genomes), self.seed)

    def __len__(self) -> int:
        return len(self.genomes)

    def __iter__(self) -> Iterator[Design]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> Design: ...
    @overload
    def __getitem__(self, key: str) -> Values: ...
    @overload
    def __getitem__(self, key: slice | Ints | Bools) -> Designs: ...

    def __getitem__(self, key: int | str | slice | Ints | Bools) -> Design | Values | Designs:
        """One design (a number), one gene's values ``(n,)`` (a name), or some designs."""
        if isinstance(key, str):
            if key not in self.columns:
                raise DesignError(f"there is no gene {key!r}", cure=nearest(key, self.space.names))
            return self.columns[key]
        if isinstance(key, int | np.integer):
            return Design(self.space, tuple(int(i) for i in self.genomes[key]), self.seed)
        return replace(self, genomes=np.array(self.genomes[key]))

    @cached_property
    def columns(self) -> Columns:
        """Gene name to values ``(n,)``; inactive genes have their first choice (see `active`)."""
        return self.space.decode(self.genomes)

    @cached_property
    def active(self) -> Bools:
        """``bool (n, d)``: the genes whose conditions are met."""
        return self.space.active(self.genomes)

    def part(self, *parts: str) -> tuple[Designs, Ints]:
        """Projects onto some parts of the genome: what caches and surrogates stand on.

        Args:
            *parts: Part names, e.g. ``"net", "quant"``.

        Returns:
            The different projected designs, in order of first occurrence, and for every design
            of this batch its row among them, ``int64 (n,)``.
        """
        columns = self.space.columns_of(*parts)
        projected = self.genomes[:, columns]
        first, inverse = unique(projected)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        batch = Designs(self.space.part(*parts), projected[first[order]], self.seed)
        return batch, rank[inverse]

    @cached_property
    def layers(self) -> LayerTable:
        """All layers of all designs, at the policy's bit widths, mapped as the genes say.

        Without a quantization part every layer has the bits that its family gives it, which is
        single precision unless a network was imported with others.

        Raises:
            DesignError: The space has no network family.
            SpaceError: The family has no networks for images of a size that genes ask for.
        """
        return self.layers_at(self.asked_images)

    def layers_at(self, images: Ints | None) -> LayerTable:
        """All layers of all designs, were their images of other sizes; see `layers`.

        Args:
            images: Height and width of each design's images, ``int64 (n,)``; ``None``: as the
                family says.
        """
        table = _networks(_family(self.space), self.columns, len(self), images)
        policy = self.space.parts.get("quant")
        if isinstance(policy, QuantizationPolicy):
            table = table.with_bits(*policy.bits(self.columns, table.design, table.cell))
        mapping = self.space.parts.get("map")
        if isinstance(mapping, MappingPolicy):
            tiling, stay = mapping.mappings(self.columns, table.design, table.cell)
            table = replace(table, tiling=tiling, stay=stay)
        return table

    @cached_property
    def accelerators(self) -> Mapping[str, Values]:
        """One column ``(n,)`` per accelerator parameter, in units at rest.

        Raises:
            DesignError: The space has no accelerator template.
        """
        template = self.space.parts.get("hw")
        if not isinstance(template, AcceleratorTemplate):
            raise _no_part(self.space, "hw", AcceleratorTemplate.__name__)
        return template.accelerators(self.columns, len(self))

    @cached_property
    def asked_images(self) -> Ints | None:
        """The image sizes that genes ask for, ``int64 (n,)``; ``None`` where no gene does."""
        policy = _training(self.space)
        return None if policy is None else policy.images(self.columns, len(self))

    @cached_property
    def images(self) -> Ints:
        """Height and width of each design's images, ``int64 (n,)``.

        Raises:
            DesignError: The space has no network family.
            SpaceError: The family does not say for which images it is, and no gene does.
        """
        if self.asked_images is not None:
            return self.asked_images
        return np.full(len(self), _family(self.space).own_image, dtype=np.int64)

    @property
    def possible_layers(self) -> tuple[LayerTable, ...]:
        """The layers for every image size that the rest of a design may ask for.

        One table, `layers`, unless these designs are projections that lack the genes for the size.
        """
        policy = self.space.parts.get("train")
        if not isinstance(policy, TrainingPolicy) or "train" in self.space.part_names:
            return (self.layers,)
        full = np.ones(len(self), dtype=np.int64)
        return tuple(self.layers_at(size * full) for size in policy.sizes) or (self.layers,)

    @cached_property
    def recipes(self) -> Mapping[str, Values]:
        """What ``train`` genes change about the training, one column ``(n,)`` each; may be none."""
        policy = _training(self.space)
        return {} if policy is None else policy.recipes(self.columns, len(self))

    def seeds(self, *parts: str, stream: str = "") -> tuple[int, ...]:
        """One seed per design, drawn from the study's seed and the canonical genome.

        The position in the batch has no influence, nor has a gene outside the parts, so a design
        gets the same seed in every batch, process and resumed run, and designs that `part` puts
        together get one.

        Args:
            *parts: The parts of the genome that count, as far as the space has them; all if none
                is named.
            stream: Separates the streams of several users.

        Returns:
            ``n`` integers in [0, 2^63).
        """
        projected, inverse = self.part(*self.space.read_by(frozenset(parts)))
        seeds = [_seed(self.seed, stream, design.config) for design in projected]
        return tuple(seeds[i] for i in inverse)


@dataclass(frozen=True)
class Design:
    """One readable design.

    Attributes:
        space: The space of the genome.
        genome: Canonical choice indices, ``d`` of them.
        seed: The study's seed.
    """

    space: Space
    genome: tuple[int, ...]
    seed: int = 0

    @cached_property
    def batch(self) -> Designs:
        """This design as a batch of one."""
        return Designs(self.space, np.array([self.genome], dtype=np.int64), self.seed)

    @cached_property
    def config(self) -> dict[str, Choice]:
        """Name to value of the active genes."""
        active = self.batch.active[0]
        return {
            gene.name: gene.choices[index]
            for gene, index, on in zip(self.space.genes, self.genome, active, strict=True)
            if on
        }

    def __getitem__(self, name: str) -> Choice:
        """The value of an active gene."""
        if name not in self.config:
            raise DesignError(f"gene {name!r} is not active", cure=nearest(name, self.config))
        return self.config[name]

    @property
    def layers(self) -> LayerTable:
        """The layers of this design."""
        return self.batch.layers

    @cached_property
    def accelerator(self) -> dict[str, Any]:
        """The accelerator's parameters, in units at rest."""
        return {name: column[0].item() for name, column in self.batch.accelerators.items()}

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """What ``train`` genes change about the training; see `Designs.recipes`."""
        return {name: column[0].item() for name, column in self.batch.recipes.items()}

    @cached_property
    def graph(self) -> Graph:
        """The network as a graph, at the policy's bit widths.

        Raises:
            DesignError: The space has no network family.
            SpaceError: The family has no networks for images of the size that a gene asks for.
        """
        images, family = self.batch.asked_images, _family(self.space)
        graph = (family if images is None else family.at(int(images[0]))).graph(self.config)
        policy = self.space.parts.get("quant")
        if not isinstance(policy, QuantizationPolicy):
            return graph
        cells = np.array([layer.cell for layer in graph.layers], dtype=np.int64)
        weight, activation = policy.bits(self.batch.columns, np.zeros_like(cells), cells)
        layers = tuple(
            replace(layer, weight_bits=int(w), activation_bits=int(a))
            for layer, w, a in zip(graph.layers, weight, activation, strict=True)
        )
        return replace(graph, layers=layers)

    def seed_for(self, *parts: str, stream: str = "") -> int:
        """The seed of this design; see `Designs.seeds`."""
        return self.batch.seeds(*parts, stream=stream)[0]


def _family(space: Space) -> NetworkFamily:
    family = space.parts.get("net")
    if not isinstance(family, NetworkFamily):
        raise _no_part(space, "net", NetworkFamily.__name__)
    return family


def _training(space: Space) -> TrainingPolicy | None:
    """Who reads the ``train`` genes, if there are any and somebody does."""
    policy = space.parts.get("train")
    if isinstance(policy, TrainingPolicy) and "train" in space.part_names:
        return policy
    return None


def _networks(family: NetworkFamily, columns: Columns, n: int, images: Ints | None) -> LayerTable:
    """All layers of ``n`` networks, unquantised: one call of the family per image size."""
    sizes = np.unique(images) if images is not None else np.empty(0, dtype=np.int64)
    if len(sizes) < 2:
        return (family.at(int(sizes[0])) if len(sizes) else family).layers(columns, n)
    rows = [np.flatnonzero(images == size) for size in sizes]
    tables = [
        family.at(int(size)).layers({name: c[own] for name, c in columns.items()}, len(own))
        for size, own in zip(sizes, rows, strict=True)
    ]
    return LayerTable.merged(n, tables, rows)


def _no_part(space: Space, prefix: str, kind: str) -> DesignError:
    return DesignError(
        f"these designs have no {prefix!r} part that can be decoded",
        rule=f"the space carries a {kind} as part {prefix!r}",
        given="parts: " + (", ".join(space.parts) or "none"),
        cure="build the space from parts, e.g. SkipNet().space() + SystolicArray().space()",
    )


def _seed(seed: int, stream: str, config: Mapping[str, Choice]) -> int:
    text = json.dumps([seed, stream, sorted(config.items())])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
