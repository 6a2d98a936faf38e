"""The space that genes span, and the parts of the genome that give them a meaning.

Symbols: ``n`` designs, ``d`` genes, ``k`` features. A genome is a row of choice indices,
``int64 (n, d)``; everything here takes and returns whole batches.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hwnas import plugins
from hwnas.arrays import Bools, Choice, Columns, Floats, Ints
from hwnas.errors import SpaceError, nearest
from hwnas.space.conditions import Conditions
from hwnas.space.features import feature_names, features
from hwnas.space.gene import Gene, When
from hwnas.space.readable import numbered
from hwnas.space.rows import unique


class Part(ABC):
    """What gives one part of the genome its genes and its meaning.

    Network families, quantization policies and accelerator templates are parts. Subclasses are
    frozen dataclasses whose fields are their options (plain values that JSON can carry).
    """

    name: ClassVar[str]
    """The plug-in's name under the entry points ``hwnas.spaces``."""
    prefix: ClassVar[str]
    """The part of the genome it reads: ``net``, ``quant``, ``hw``."""
    shapes_others: ClassVar[bool] = False
    """Whether its genes change what other parts mean, so that these know it also by themselves.

    A projection on other parts (`Space.part`) then has no gene of this part, but still has it among
    its `Space.parts`.
    """

    @abstractmethod
    def genes(self) -> tuple[Gene, ...]:
        """The genes of this part, each named ``<prefix>.<...>``."""

    def options(self) -> dict[str, Any]:
        """What the constructor needs to build this part again, as plain JSON values.

        These are a dataclass's fields; a part that is none says them itself.
        """
        if not is_dataclass(self):
            raise NotImplementedError(f"{type(self).__name__} is no dataclass, so give it options")
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def encoding_names(self) -> tuple[str, ...]:
        """The names of the columns of `encoding`.

        Returns:
            ``k`` names; none means that the genes themselves describe a design best.
        """
        return ()

    def encoding(self, columns: Columns, n: int) -> Floats:
        """Numbers that describe what the genes mean, for predictors of costly metrics.

        They are equal for designs that mean the same however their genes are written, which the
        genes themselves cannot say.

        Args:
            columns: Gene name to values ``(n,)`` of (at least) this part's genes.
            n: Number of designs.

        Returns:
            ``float64 (n, k)``, one column per name of `encoding_names`.
        """
        return np.empty((n, 0))

    def check(self, space: Space) -> None:
        """Refuses a joint space that it does not fit in; called where a problem is posed.

        Args:
            space: The joint space, restricted as the problem is.

        Raises:
            SpaceError: Another part cannot go with it.
        """
        del space

    def space(self) -> Space:
        """The space of this part alone. Conditions on other parts' genes count as met there."""
        return Space(self.genes(), {self.prefix: self})


@dataclass(frozen=True)
class Space:
    """An ordered tuple of genes, and the parts that read them.

    Spaces add up: ``network + quantization + accelerator``. A condition on a gene that the space
    does not have counts as met (see `open_conditions`), so that parts can be looked at alone.

    Attributes:
        genes: The ``d`` genes, in the order of the genome's columns.
        parts: Part name to what reads it; may lack parts that nobody decodes.

    Raises:
        SpaceError: Two genes of one name, or conditions that go round in a circle.
    """

    genes: tuple[Gene, ...]
    parts: Mapping[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "genes", tuple(self.genes))
        object.__setattr__(self, "parts", dict(self.parts))
        counts: dict[str, int] = {}
        for gene in self.genes:
            counts[gene.name] = counts.get(gene.name, 0) + 1
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise SpaceError(f"gene {twice[0]!r} occurs twice", rule="names of genes differ")
        _ = self._conditions  # raises on a circle

    def __reduce__(self) -> tuple[Any, ...]:
        return Space, (self.genes, dict(self.parts))

    def __add__(self, other: Space) -> Space:
        """The joint space: this space's genes, then the other's."""
        both = set(self.parts) & set(other.parts)
        if both:
            raise SpaceError(
                f"part {min(both)!r} is in both spaces", rule="each part of a genome once"
            )
        return Space(self.genes + other.genes, {**self.parts, **other.parts})

    def __len__(self) -> int:
        """The number of genes, ``d``."""
        return len(self.genes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the genes, in the order of the columns."""
        return tuple(gene.name for gene in self.genes)

    @cached_property
    def cardinalities(self) -> Ints:
        """The number of choices of each gene, ``(d,)``."""
        return np.array([len(gene.choices) for gene in self.genes], dtype=np.int64)

    @cached_property
    def ordered(self) -> Bools:
        """Which genes are ordered, ``(d,)``."""
        return np.array([gene.ordered for gene in self.genes], dtype=np.bool_)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: j for j, name in enumerate(self.names)}

    @cached_property
    def _conditions(self) -> Conditions:
        return Conditions(self.genes)

    @property
    def open_conditions(self) -> tuple[When, ...]:
        """Conditions on genes that this space does not have; they count as met."""
        return tuple(w for gene in self.genes for w in gene.when if w.gene not in self._index)

    @cached_property
    def part_names(self) -> tuple[str, ...]:
        """The parts that the genes belong to, in the order of first occurrence."""
        return tuple(dict.fromkeys(gene.part for gene in self.genes))

    def columns_of(self, *parts: str) -> Ints:
        """The columns of some parts, ``(j,)``, in the order of the genome.

        Raises:
            SpaceError: The space has no gene of such a part.
        """
        for part in parts:
            if part not in self.part_names:
                raise SpaceError(
                    f"the space has no part {part!r}",
                    rule="a part that some gene's name starts with",
                    given=repr(part),
                    cure=nearest(part, self.part_names),
                )
        return np.array([j for j, g in enumerate(self.genes) if g.part in parts], dtype=np.int64)

    def read_by(self, reads: frozenset[str]) -> tuple[str, ...]:
        """The parts of this space that count for somebody who reads some parts.

        Args:
            reads: Part names; empty means all. Parts that the space does not have do not vary
                in it, so they do not count.
        """
        return tuple(part for part in self.part_names if not reads or part in reads)

    def part(self, *parts: str) -> Space:
        """The space of some parts of the genome only; see also `Part.shapes_others`."""
        columns = self.columns_of(*parts)
        return Space(
            tuple(self.genes[j] for j in columns),
            {name: p for name, p in self.parts.items() if name in parts or p.shapes_others},
        )

    def check(self, genomes: Any) -> Ints:
        """Returns genomes as ``int64 (n, d)``.

        Raises:
            SpaceError: Another shape or kind, or an index that no choice has.
        """
        rows = np.asarray(genomes)
        if rows.ndim != 2 or rows.shape[1] != len(self):
            raise SpaceError(
                "genomes have the wrong shape",
                where="argument genomes",
                rule=f"(n, {len(self)}): one row per design, one column per gene",
                given=str(rows.shape),
            )
        if not np.issubdtype(rows.dtype, np.integer) and rows.size:
            raise SpaceError(
                "genomes are choice indices", rule="whole numbers", given=str(rows.dtype)
            )
        rows = rows.astype(np.int64, copy=False)
        bad = np.flatnonzero(~self.is_valid(rows))
        if bad.size:
            row = rows[bad[0]]
            j = int(np.flatnonzero((row < 0) | (row >= self.cardinalities))[0])
            raise SpaceError(
                f"gene {self.names[j]!r} has no choice number {row[j]}",
                where=f"row {bad[0]} of {len(rows)}",
                rule=f"0 to {self.cardinalities[j] - 1}",
                given=str(row[j]),
            )
        return rows

    def is_valid(self, genomes: Ints) -> Bools:
        """``bool (n,)``: rows whose indices all name a choice."""
        inside = (genomes >= 0) & (genomes < self.cardinalities)
        return np.asarray(inside.all(axis=1), dtype=np.bool_)

    def sample(self, n: int, rng: np.random.Generator) -> Ints:
        """Draws ``n`` canonical genomes, each gene uniformly.

        Uniform genes are not uniform designs: where genes are conditional, many rows canonicalise
        to the same design, and a small network is drawn more often than each large one.

        Returns:
            ``int64 (n, d)``.
        """
        return self.canonical(rng.integers(0, self.cardinalities, size=(n, len(self))))

    def active(self, genomes: Ints) -> Bools:
        """``bool (n, d)``: the genes whose conditions are met."""
        return self._conditions.active(genomes)

    def canonical(self, genomes: Ints) -> Ints:
        """Sets inactive genes to 0, so that equal designs are equal rows. Idempotent.

        Returns:
            ``int64 (n, d)``.
        """
        return np.where(self.active(genomes), genomes, 0)

    def decode(self, genomes: Ints) -> Columns:
        """Gene name to values ``(n,)``; inactive genes have their first choice."""
        return {
            gene.name: np.array(gene.choices)[genomes[:, j]] for j, gene in enumerate(self.genes)
        }

    def encode(self, configs: Iterable[Mapping[str, Choice]]) -> Ints:
        """Turns readable designs into canonical genomes, ``int64 (n, d)``.

        Args:
            configs: Gene name to value; inactive genes may be left out.

        Raises:
            SpaceError: An unknown gene, a value that is no choice, or an active gene left out.
        """
        rows = list(configs)
        genomes = numbered(self.genes, rows)
        for i, j in np.argwhere(self.active(genomes)):
            if self.names[j] not in rows[i]:
                raise SpaceError(
                    f"gene {self.names[j]!r} is active but has no value",
                    where=f"design {i}",
                    cure="give it a value",
                )
        return self.canonical(genomes)

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of `features`, ``k`` of them."""
        return feature_names(self.genes)

    def features(self, genomes: Ints) -> Floats:
        """Numbers for a predictor.

        An ordered gene is its rank in [0, 1]; others are one-hot; a conditional gene adds a column
        that is 1 where it is active, and its other columns are 0 where it is not.

        Returns:
            ``float64 (n, k)``.
        """
        return features(self.genes, genomes, self.active(genomes))

    def neighbours(self, row: Ints) -> Ints:
        """The designs that differ from one in one active gene.

        Ordered genes move one step, others to any choice. The relation is not symmetric where
        genes are conditional (a gene that wakes up starts at its first choice), but every design
        can be reached from every other.

        Args:
            row: A genome, ``(d,)``.

        Returns:
            Canonical, distinct rows other than the one given, ``int64 (j, d)``.
        """
        row = self.canonical(row[None, :])[0]
        moved: list[Ints] = []
        for j in np.flatnonzero(self.active(row[None, :])[0]):
            steps = (row[j] - 1, row[j] + 1) if self.ordered[j] else range(self.cardinalities[j])
            for index in steps:
                if index != row[j] and 0 <= index < self.cardinalities[j]:
                    neighbour = row.copy()
                    neighbour[j] = index
                    moved.append(neighbour)
        if not moved:
            return np.empty((0, len(self)), dtype=np.int64)
        candidates = self.canonical(np.stack(moved))
        rows = candidates[unique(candidates)[0]]
        others: Ints = rows[(rows != row).any(axis=1)]
        return others

    def size(self) -> int:
        """The exact number of different designs (canonical genomes)."""
        return self._conditions.size()

    def rows(self) -> Ints:
        """All designs, canonical and distinct, ``int64 (size, d)``. Ask `size` first."""
        return self._conditions.settings(frozenset(range(len(self))))

    def restrict(self, allowed: Mapping[str, Choice | Iterable[Choice]]) -> Space:
        """A space in which some genes have fewer choices; one value pins a gene.

        Indices change with the choices: `translate` carries genomes over.

        Args:
            allowed: Gene name to the choices (or the one choice) that stay.

        Raises:
            SpaceError: An unknown gene, or a value that is no choice of it.
        """
        kept: dict[str, tuple[Choice, ...]] = {}
        for name, given in allowed.items():
            if name not in self._index:
                raise SpaceError(f"there is no gene {name!r}", cure=nearest(name, self.names))
            choices = self.genes[self._index[name]].choices
            is_one = isinstance(given, str | int | float)
            wanted = (given,) if isinstance(given, str | int | float) else tuple(given)
            strange = [value for value in wanted if value not in choices]
            if strange:
                raise SpaceError(
                    f"gene {name!r} has no choice {strange[0]!r}",
                    rule="one of " + ", ".join(map(repr, choices)),
                    given=repr(given) if is_one else ", ".join(map(repr, wanted)),
                )
            kept[name] = tuple(choice for choice in choices if choice in wanted)
        genes = tuple(replace(g, choices=kept.get(g.name, g.choices)) for g in self.genes)
        return Space(genes, self.parts)

    def translate(self, genomes: Ints, to: Space) -> tuple[Ints, Bools]:
        """Carries genomes over to another space by names and values.

        Genes that only the other space has get their first choice.

        Returns:
            The rows in the other space, ``int64 (n, d')``, and ``bool (n,)``: which rows lost
            nothing (an active gene's value, or the gene, may be missing over there).
        """
        active = self.active(genomes)
        rows = np.zeros((len(genomes), len(to)), dtype=np.int64)
        exact = np.ones(len(genomes), dtype=np.bool_)
        for j, gene in enumerate(self.genes):
            there = to._index.get(gene.name)
            choices = to.genes[there].choices if there is not None else ()
            table = np.array([choices.index(c) if c in choices else -1 for c in gene.choices])
            index = table[genomes[:, j]]
            exact &= ~active[:, j] | (index >= 0)
            if there is not None:
                rows[:, there] = np.maximum(index, 0)
        awake = to.active(rows)
        for j, gene in enumerate(self.genes):
            if gene.name in to._index:
                exact &= ~active[:, j] | awake[:, to._index[gene.name]]
        return to.canonical(rows), exact

    def to_json(self) -> dict[str, Any]:
        """The space as plain JSON values."""
        return {
            "genes": [gene.to_json() for gene in self.genes],
            "parts": {
                prefix: {"use": part.name, "options": part.options()}
                for prefix, part in self.parts.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Space:
        """Builds a space from `to_json`; parts are resolved through the entry points.

        Raises:
            SpaceError: Something is missing or breaks a rule.
            PluginError: A part's plug-in is not installed.
        """
        try:
            genes = tuple(Gene.from_json(gene) for gene in data["genes"])
            parts = {
                prefix: plugins.load("hwnas.spaces", spec["use"])(**spec["options"])
                for prefix, spec in data["parts"].items()
            }
        except (KeyError, TypeError) as error:
            raise SpaceError(
                "this is no space", given=f"{type(error).__name__}: {error}"
            ) from error
        return cls(genes, parts)
