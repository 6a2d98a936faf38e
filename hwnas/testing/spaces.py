"""The conformance suite of spaces and of the parts that make them.

Under pytest:

    @pytest.mark.parametrize("check", space_checks(), ids=str)
    def test_conformance(check):
        check(SpaceSubject.of(MyNetworks()))
"""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.space import Part, Space, keys
from hwnas.testing import layers
from hwnas.testing.check import Check, nothing_to_check, require

_SMALL = 20_000
_GRAPH = 2_000


@dataclass(frozen=True)
class SpaceSubject:
    """A space.

    Attributes:
        space: The space.
        rows: How many designs are drawn.
        seed: Of the designs drawn.
    """

    space: Space
    rows: int = 64
    seed: int = 1

    @classmethod
    def of(cls, subject: Part | Space) -> SpaceSubject:
        """A subject from a space, or from a part: its space."""
        return cls(subject.space() if isinstance(subject, Part) else subject)

    @property
    def raw(self) -> Ints:
        """Random genomes as a searcher may hold them: sleeping genes have any value."""
        rng = np.random.default_rng(self.seed)
        return rng.integers(0, self.space.cardinalities, size=(self.rows, len(self.space)))

    @cached_property
    def designs(self) -> Designs:
        """The same as designs."""
        return Designs(self.space, self.raw)

    @cached_property
    def small(self) -> Space:
        """The space with fewer choices, so that all its genomes can be written down."""
        return restricted(self.space, _SMALL)


def restricted(space: Space, limit: int) -> Space:
    """A space with fewer choices, of at most so many genomes.

    Genes keep choices from end to end, so that most conditions can be met and not met; where two
    choices each are too many, genes are pinned to their last choice, the last gene first.

    Args:
        space: The space.
        limit: The largest number of genomes, sleeping genes counted.
    """
    kept = dict.fromkeys(space.names, int(space.cardinalities.max(initial=1)))
    counts = dict(zip(space.names, map(int, space.cardinalities), strict=True))
    pinned = list(space.names)
    while math.prod(min(kept[name], counts[name]) for name in counts) > limit:
        most = max(min(kept[name], counts[name]) for name in counts)
        if most > 2:
            kept = {name: min(number, most - 1) for name, number in kept.items()}
        else:
            kept[pinned.pop()] = 1
    chosen = {}
    for gene in space.genes:
        last = len(gene.choices) - 1
        number = min(kept[gene.name], len(gene.choices))
        places = np.unique(np.linspace(last if number == 1 else 0, last, number).round())
        chosen[gene.name] = [gene.choices[int(i)] for i in places]
    return space.restrict(chosen)


def all_genomes(space: Space) -> Ints:
    """Every genome of a small space, sleeping genes counted, in the order of an odometer."""
    number = np.arange(math.prod(map(int, space.cardinalities)))
    genomes = np.empty((len(number), len(space)), dtype=np.int64)
    for j in reversed(range(len(space))):
        number, genomes[:, j] = np.divmod(number, space.cardinalities[j])
    return genomes


def checks() -> tuple[Check[SpaceSubject], ...]:
    """The suite: one check per rule of the contract."""
    own = (
        parts_name_their_genes,
        parts_are_rebuilt_from_their_options,
        samples_are_valid_and_canonical,
        canonical_is_idempotent,
        canonical_clears_sleeping_genes_only,
        size_counts_designs,
        survives_json,
        survives_pickling,
        configurations_are_encoded_back,
        features_have_their_shape,
        features_tell_designs_apart,
        neighbours_differ_in_one_gene,
        every_design_can_be_reached,
        restrictions_translate_back,
    )
    return (
        *(Check[SpaceSubject].of(function) for function in own),
        *(Check[Designs].of(function).on(_designs) for function in layers.CHECKS),
    )


def _designs(subject: SpaceSubject) -> Designs:
    return subject.designs


def parts_name_their_genes(subject: SpaceSubject) -> None:
    """A part has a name, and its genes are named after its prefix."""
    if not subject.space.parts:
        nothing_to_check("the space has no parts")
    for prefix, part in subject.space.parts.items():
        require(prefix == part.prefix, f"part {part.name!r} is kept as {prefix!r}")
        require(isinstance(part.name, str) and part.name, f"its name is {part.name!r}")
        strange = [gene.name for gene in part.genes() if gene.part != part.prefix]
        require(not strange, f"genes {strange} do not start with {part.prefix!r}")


def parts_are_rebuilt_from_their_options(subject: SpaceSubject) -> None:
    """Options are plain JSON values, from which the constructor builds an equal part."""
    if not subject.space.parts:
        nothing_to_check("the space has no parts")
    for part in subject.space.parts.values():
        options = json.loads(json.dumps(part.options()))
        again = type(part)(**options)
        require(again == part, f"{part} became {again}")
        require(again.genes() == part.genes(), f"the genes of {part.name} changed")


def samples_are_valid_and_canonical(subject: SpaceSubject) -> None:
    """Samples are int64 (n, d), valid, canonical, and the same for the same stream."""
    space = subject.space
    for n in (0, 1, subject.rows):
        rows = space.sample(n, np.random.default_rng(subject.seed))
        require(rows.shape == (n, len(space)), f"sample({n}) has shape {rows.shape}")
        require(rows.dtype == np.int64, f"samples are {rows.dtype}")
        require(space.is_valid(rows).all(), "a sample names a choice that does not exist")
        require(np.array_equal(rows, space.canonical(rows)), "a sample is not canonical")
        again = space.sample(n, np.random.default_rng(subject.seed))
        require(np.array_equal(rows, again), "the same stream gives different samples")


def canonical_is_idempotent(subject: SpaceSubject) -> None:
    """The canonical form of a canonical genome is itself, and the same genes are active."""
    once = subject.space.canonical(subject.raw)
    require(np.array_equal(once, subject.space.canonical(once)), "canonical is not idempotent")
    active = subject.space.active(subject.raw)
    require(np.array_equal(active, subject.space.active(once)), "other genes became active")


def canonical_clears_sleeping_genes_only(subject: SpaceSubject) -> None:
    """The canonical form has 0 in inactive genes, and active ones unchanged."""
    raw = subject.raw
    active, canonical = subject.space.active(raw), subject.space.canonical(raw)
    require((canonical[~active] == 0).all(), "an inactive gene is not 0")
    require(np.array_equal(canonical[active], raw[active]), "an active gene was changed")


def size_counts_designs(subject: SpaceSubject) -> None:
    """Size is the number of different canonical genomes, and rows writes them all down."""
    space = subject.small
    expected = np.unique(space.canonical(all_genomes(space)), axis=0)
    require(space.size() == len(expected), f"size {space.size()} for {len(expected)} designs")
    rows = space.rows()
    require(len(rows) == len(expected), f"{len(rows)} rows for {len(expected)} designs")
    require(np.array_equal(np.unique(rows, axis=0), expected), "rows are not the canonical genomes")


def survives_json(subject: SpaceSubject) -> None:
    """The space is the same after writing it as JSON and reading it; its parts are registered."""
    space = subject.space
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    require(again.genes == space.genes, "the genes changed")
    require(again.parts == space.parts, f"the parts became {again.parts}")


def survives_pickling(subject: SpaceSubject) -> None:
    """The space is the same in another process."""
    again = pickle.loads(pickle.dumps(subject.space))  # noqa: S301 - our own bytes
    require(again == subject.space, "the space changed")


def configurations_are_encoded_back(subject: SpaceSubject) -> None:
    """The configuration of a design, active genes only, gives its genome back."""
    configs = [design.config for design in subject.designs]
    again = subject.space.encode(configs)
    require(np.array_equal(again, subject.designs.genomes), "the genomes changed")


def features_have_their_shape(subject: SpaceSubject) -> None:
    """Features are float64 (n, k), one name per column, between 0 and 1."""
    space = subject.space
    for n in (0, 1, subject.rows):
        features = space.features(subject.raw[:n])
        require(
            features.shape == (n, len(space.feature_names)) and features.dtype == np.float64,
            f"features are {features.dtype} {features.shape}",
        )
        require(((features >= 0) & (features <= 1)).all(), "a feature lies outside 0 to 1")
    require(len(set(space.feature_names)) == len(space.feature_names), "a name occurs twice")


def features_tell_designs_apart(subject: SpaceSubject) -> None:
    """Equal designs have equal features, and different designs different ones."""
    space, raw = subject.space, subject.raw
    require(
        np.array_equal(space.features(raw), space.features(space.canonical(raw))),
        "a sleeping gene changes the features",
    )
    rows = subject.small.rows()
    different = len(np.unique(subject.small.features(rows), axis=0))
    require(different == len(rows), f"{len(rows)} designs have {different} different features")


def neighbours_differ_in_one_gene(subject: SpaceSubject) -> None:
    """Neighbours are canonical and distinct, and differ in one gene that is active in both."""
    space = subject.space
    for row in subject.raw:
        own = space.canonical(row[None, :])[0]
        rows = space.neighbours(row)
        require(
            rows.shape[1:] == own.shape and rows.dtype == np.int64, f"{rows.dtype} {rows.shape}"
        )
        require(space.is_valid(rows).all(), "a neighbour names a choice that does not exist")
        require(np.array_equal(rows, space.canonical(rows)), "a neighbour is not canonical")
        require(len(set(keys(rows))) == len(rows), "a neighbour occurs twice")
        both = space.active(own[None, :]) & space.active(rows)
        moved = ((rows != own) & both).sum(axis=1)
        require((moved == 1).all(), f"neighbours of {own} differ in {moved} active genes")


def every_design_can_be_reached(subject: SpaceSubject) -> None:
    """Going from neighbour to neighbour, every design leads to every other."""
    space = restricted(subject.space, _GRAPH)
    rows = space.rows()
    place = {key: i for i, key in enumerate(keys(rows))}
    edges = [(i, place[key]) for i, row in enumerate(rows) for key in keys(space.neighbours(row))]
    start, stop = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    graph = csr_array((np.ones(len(edges)), (start, stop)), shape=(len(rows), len(rows)))
    count, _ = connected_components(graph, directed=True, connection="strong")
    require(count == 1, f"{len(rows)} designs fall into {count} groups")


def restrictions_translate_back(subject: SpaceSubject) -> None:
    """Genomes of a restricted space are the same after going to the whole space and back."""
    space = subject.space
    genomes = math.prod(map(int, space.cardinalities))
    small = restricted(space, max(1, min(_SMALL, genomes // 2)))
    rows = small.sample(subject.rows, np.random.default_rng(subject.seed))
    there, exact = small.translate(rows, space)
    require(exact.all(), "a design of the restricted space is lost in the whole one")
    ours, theirs = Designs(small, rows), Designs(space, there)
    require(
        [d.config for d in ours] == [d.config for d in theirs], "a translated design is another one"
    )
    back, exact = space.translate(there, small)
    require(exact.all() and np.array_equal(back, rows), "the way back gives another design")
    _, exact = space.translate(subject.raw, small)
    allowed = {gene.name: set(gene.choices) for gene in small.genes}
    expected = [
        all(value in allowed[name] for name, value in design.config.items())
        for design in subject.designs
    ]
    require(exact.tolist() == expected, "it says wrongly which designs lose something")
