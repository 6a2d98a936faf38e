"""Sums over layers: every different (layer, accelerator) pair of a batch is costed once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from evaluators.calibrated import Terms
from evaluators.pe import ProcessingElement
from evaluators.sparsity import Sparsity
from evaluators.spatial.batch import Kinds, arrays_of, pe_named
from evaluators.spatial.costs import spatial_costs
from evaluators.spatial.mapping_choice import Conventions, Objective
from evaluators.spatial.rows import Arrays, Costs, Layers
from evaluators.spatial.stays import Stay
from evaluators.spatial.tilings import POLICIES
from evaluators.spatial.unrolled import Dataflow, dataflow_of
from evaluators.technology import Technology
from hwnas.arrays import Floats, Ints, Values

_BLOCK: Final = 4096
"""Pairs costed at a time, so that the columns at work stay in the cache."""
_DENSE: Final = 4_000_000
"""Up to so many pairs that might occur, those that do are found by marking them."""
_MANY: Final = 16_384
"""From this many pairs on, compiled code pays."""
_PLAIN: Final = Terms()
_TWINS: Final = (Stay.WEIGHTS_FOR_OUTPUTS, Stay.OUTPUTS_FOR_WEIGHTS, Stay.INPUTS_FOR_OUTPUTS)
"""With room for one element, what else the registers serve makes no difference."""


@dataclass(frozen=True)
class Model:
    """How a spatial array is costed.

    Attributes:
        technology: What actions and components cost.
        how: What is assumed.
        objective: What mappings are chosen for.
        zeros: What zeros among the weights are good for.
        double_buffered: Half of each scratchpad is filled while the other half works.
        accumulator_bits: Bits of every partial sum; ``None`` for what each layer needs.
        compiled: Large batches are costed by compiled code (`evaluators.spatial.compiled`).
        terms: What silicon does otherwise; mappings are chosen without.
    """

    technology: Technology
    how: Conventions
    objective: Objective
    zeros: Sparsity
    double_buffered: bool = True
    accumulator_bits: int | None = None
    compiled: bool = False
    terms: Terms = _PLAIN

    @property
    def overlap(self) -> float:
        """Share of the shorter of computing and DRAM traffic that hides behind the longer."""
        return self.how.overlap if self.terms == _PLAIN else 1.0 - self.terms.exposed


@dataclass(frozen=True, eq=False)
class Accelerators:
    """The different accelerators of a batch, and their kinds.

    Attributes:
        arrays: Their columns, ``(A,)`` each, in cycles: at a clock of 1 Hz.
        flow: The place of their dataflow and elements in `flows`, ``(A,)``.
        flows: Dataflow and kind of elements.
    """

    arrays: Arrays
    flow: Ints
    flows: Sequence[tuple[Dataflow, ProcessingElement]]


def accelerators_of(
    model: Model,
    numbers: Mapping[str, Floats],
    flow: Ints,
    flows: Sequence[tuple[Dataflow, ProcessingElement]],
) -> Accelerators:
    """Accelerators made in a model's technology.

    Args:
        model: How they are costed.
        numbers: Parameter to values ``(A,)``.
        flow: The place of their dataflow and elements, ``(A,)``.
        flows: Dataflow and kind of elements.
    """
    arrays = arrays_of(numbers, model.technology, double_buffered=model.double_buffered)
    return Accelerators(arrays, flow, flows)


def flows_of(dataflow: Values, pe: Values) -> tuple[Ints, list[tuple[Dataflow, ProcessingElement]]]:
    """Numbers the pairs of dataflow and kind of elements that occur.

    Args:
        dataflow: Names ``(n,)``.
        pe: Names ``(n,)``.

    Returns:
        The number of each one's pair, ``(n,)``, and the pairs.

    Raises:
        SpaceError: A dataflow is unknown.
        DesignError: A kind of elements is unknown.
    """
    which = np.full(len(dataflow), -1, dtype=np.int64)
    flows: list[tuple[Dataflow, ProcessingElement]] = []
    # There are few pairs, so this is faster than sorting text.
    while len(rest := np.flatnonzero(which < 0)):
        name, kind = dataflow[rest[0]], pe[rest[0]]
        which[(dataflow == name) & (pe == kind)] = len(flows)
        flows.append((dataflow_of(str(name)), pe_named(str(kind))))
    return which, flows


def pick(columns: Any, rows: Ints) -> Any:
    """Rows of a named tuple of columns."""
    return type(columns)(*(column[rows] for column in columns))


def pairs_of(kind: Ints, array: Ints, kinds: int, arrays: int) -> tuple[Ints, Ints, Ints]:
    """The different pairs among many.

    Args:
        kind: ``(x,)``, below ``kinds``.
        array: ``(x,)``, below ``arrays``.
        kinds: How many there are.
        arrays: How many there are.

    Returns:
        Kind and array of each different pair, ``(u,)`` each, and for each of the many its place
        among them, ``(x,)``.
    """
    code = kind * arrays + array
    if kinds * arrays <= _DENSE:
        seen = np.zeros(kinds * arrays, dtype=np.bool_)
        seen[code] = True
        found = np.flatnonzero(seen)
        place = np.empty(kinds * arrays, dtype=np.int64)
        place[found] = np.arange(len(found))
        inverse = place[code]
    else:
        found, inverse = np.unique(code, return_inverse=True)
    return found // arrays, found % arrays, inverse.reshape(-1)


def costs_of_pairs(
    model: Model,
    kinds: Kinds,
    accelerators: Accelerators,
    kind: Ints,
    array: Ints,
    names: Sequence[str] = Costs._fields,
) -> dict[str, Floats]:
    """What pairs of layer and accelerator cost, ``(u,)`` each; times in cycles.

    Cycles and energies are calibrated, times are not: see `Model.overlap` and
    `evaluators.spatial.sums.Speeds`.

    Args:
        model: How they are costed.
        kinds: Layers.
        accelerators: Accelerators.
        kind: The layer of each pair, ``(u,)``.
        array: The accelerator of each pair, ``(u,)``.
        names: Columns of `Costs` that are wanted; with `Model.terms`, those that they scale too.
    """
    columns = {name: np.empty(len(kind)) for name in names}
    given = bool((kinds.tiling > 0).any() or (kinds.stay > 0).any())
    mapped = (kinds.g.gemms > 0)[kind]
    for number, (dataflow, pe) in enumerate(accelerators.flows):
        mine = accelerators.flow[array] == number
        if not mine.any():
            continue
        layers = kinds.layers(pe, model.technology, model.zeros)
        for real in (True, False):
            rows = np.flatnonzero(mine & (mapped == real))
            pairs = _Pairs(layers, accelerators.arrays, kind, array, rows, dataflow)
            _cost(model, pairs, columns, real=real, given=given)
    if model.terms != _PLAIN:
        _calibrate(columns, model.terms)
    return columns


def _calibrate(columns: dict[str, Floats], terms: Terms) -> None:
    """Applies what of the terms goes by layer; see `evaluators.calibrated`."""
    busy = (columns["cycles"] > 0) | (columns["dram_bytes"] > 0)
    columns["cycles"] = terms.compute * columns["cycles"] + np.where(busy, terms.layer, 0.0)
    for part, scale in (
        ("mac", terms.energy_mac),
        ("register", terms.energy_mac),
        ("noc", terms.energy_sram),
        ("sram", terms.energy_sram),
        ("dram", terms.energy_dram),
    ):
        columns[f"energy_{part}"] = scale * columns[f"energy_{part}"]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Some of many pairs: those of one dataflow and kind of elements."""

    layers: Layers
    arrays: Arrays
    kind: Ints
    array: Ints
    rows: Ints
    dataflow: Dataflow


def _cost(
    model: Model, pairs: _Pairs, columns: dict[str, Floats], *, real: bool, given: bool
) -> None:
    """Costs pairs, into the columns; what the vector unit does is not mapped."""
    options: dict[str, Any] = {
        "how": model.how,
        "objective": model.objective,
        "members": len(POLICIES) if real else 1,
        "given": given and real,
    }
    every = tuple(Stay)
    compiled = model.compiled and real and len(pairs.rows) >= _MANY
    for rows in _blocks(pairs.rows, len(pairs.rows) if compiled else _BLOCK):
        g, a = pick(pairs.layers, pairs.kind[rows]), pick(pairs.arrays, pairs.array[rows])
        if compiled:
            from evaluators.spatial.compiled import compiled_costs

            found = compiled_costs(g, a, pairs.dataflow, stays=every, **options)
        else:
            stays = every if given else _differing(g, a)
            stays = stays if real else stays[:1]
            found = spatial_costs(np, g, a, pairs.dataflow, stays=stays, **options)
        for name, column in columns.items():
            column[rows] = getattr(found, name)


def _blocks(rows: Ints, size: int) -> Iterator[Ints]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _differing(g: Layers, a: Arrays) -> tuple[Stay, ...]:
    """The on-chip mappings that can differ: fewer where registers hold single elements."""
    least = max(1.0, float(min(g.weight_bits.min(), g.activation_bits.min(), g.sum_bits.min())))
    most = max(float(x.max()) for x in (a.weight_rf, a.input_rf, a.output_rf))
    if most >= 2.0 * least:
        return tuple(Stay)
    return tuple(stay for stay in _TWINS if stay != Stay.INPUTS_FOR_OUTPUTS or a.input_rf.max() > 0)


@dataclass(frozen=True, eq=False)
class Rows:
    """Layers of designs, one row per design and different layer.

    Attributes:
        design: The row's design, ``(x,)``, ascending.
        often: How often the layer occurs in its network, ``(x,)``.
        kind: The layer among the kinds, ``(x,)``.
    """

    design: Ints
    often: Floats
    kind: Ints


@dataclass(frozen=True, eq=False)
class Networks:
    """Which layers networks have, and how often.

    Attributes:
        starts: Where the layers of each network begin, ``(networks + 1,)``.
        kind: Layers, network by network, ``(y,)``.
        often: How often each occurs there, ``(y,)``.
    """

    starts: Ints
    kind: Ints
    often: Floats

    @classmethod
    def of(cls, design: Ints, kind: Ints, networks: int, kinds: int) -> Networks:
        """Counts layers.

        Args:
            design: The network of each row of a table, ``(L,)``.
            kind: The kind of each row, ``(L,)``.
            networks: How many networks there are.
            kinds: How many kinds there are.
        """
        pairs, counts = np.unique(design * max(1, kinds) + kind, return_counts=True)
        owner, which = np.divmod(pairs, max(1, kinds))
        starts = np.searchsorted(owner, np.arange(networks + 1))
        return cls(starts, which, counts.astype(np.float64))

    def rows(self, network: Ints) -> Rows:
        """The rows of designs, whose networks are given, ``(n,)``."""
        lengths = np.diff(self.starts)[network]
        before = np.cumsum(lengths) - lengths
        place = np.repeat(self.starts[network] - before, lengths) + np.arange(int(lengths.sum()))
        design = np.repeat(np.arange(len(network)), lengths)
        return Rows(design, self.often[place], self.kind[place])
