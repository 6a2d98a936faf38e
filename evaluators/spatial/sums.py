"""Sums over the layers of designs with spatial arrays: from pairs costed once to totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluators.arithmetic import Widest
from evaluators.dataflows import Gemms
from evaluators.pe import FixedWidth, ProcessingElement
from evaluators.spatial.batch import Kinds, memory_area, memory_leakage, numbers_of
from evaluators.spatial.mapping_choice import Objective
from evaluators.spatial.rows import Costs
from evaluators.spatial.totals import (
    Accelerators,
    Model,
    Networks,
    accelerators_of,
    costs_of_pairs,
    flows_of,
    pairs_of,
    pick,
)
from evaluators.spatial.unrolled import Dataflow
from hwnas.arrays import Bools, Floats, Ints, Values
from hwnas.design import LayerTable
from hwnas.space import unique

PARTS: Final = ("mac", "register", "noc", "sram", "dram")
"""Where dynamic energy goes."""
_LACKS: Final = ("lacks_ifmap", "lacks_filter", "lacks_ofmap")
_SCRATCHPADS: Final = ("ifmap_sram", "filter_sram", "ofmap_sram")
ENERGIES: Final = tuple(f"energy_{part}" for part in PARTS)
"""Those columns of `Costs`."""
_SUMMED: Final = ("macs", "busy", "cycles", "dram_bytes")
_PARTS: Final = (*ENERGIES, "compute_time", "dram_time")
_NAMES: Final = (*_SUMMED, *ENERGIES, "unfit", *_LACKS)
_ROWS: Final = 200_000
"""Rows summed at a time, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Speeds:
    """What turns cycles and bytes into seconds, per design, ``(n,)`` each: Hz and B/s."""

    clock: Floats
    bandwidth: Floats

    @classmethod
    def of(cls, numbers: Mapping[str, Floats], model: Model) -> Speeds:
        """Those of accelerators, as far as they are reached.

        Args:
            numbers: Parameter to values ``(n,)``.
            model: How they are costed.
        """
        return cls(numbers["clock"], numbers["dram_bandwidth"] / model.terms.dram)


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of designs, laid out to be costed.

    Attributes:
        kinds: The different layers.
        networks: Which networks have them.
        network: The network of each design, ``(n,)``.
        accelerators: The different accelerators, as far as cycles and energies go.
        array: The accelerator of each design, ``(n,)``.
        speeds: How fast they are.
        pes: Processing elements, ``(n,)``.
        area: Component to m^2, ``(n,)``.
        leakage: W, ``(n,)``.
    """

    kinds: Kinds
    networks: Networks
    network: Ints
    accelerators: Accelerators
    array: Ints
    speeds: Speeds
    pes: Floats
    area: dict[str, Floats]
    leakage: Floats

    @classmethod
    def of(
        cls,
        table: LayerTable,
        network: Ints,
        columns: Mapping[str, Values],
        model: Model,
    ) -> Batch:
        """Lays out designs.

        Args:
            table: The layers of all networks.
            network: The network of each design, ``(n,)``.
            columns: Accelerator parameter to values ``(n,)``.
            model: How they are costed.

        Raises:
            DesignError: A parameter is missing, or a kind of elements is unknown.
            SpaceError: A dataflow is unknown.
        """
        numbers = numbers_of(columns)
        flow, flows = flows_of(columns["dataflow"], columns["pe"])
        widest, kinds = kinds_of(table, model, flows)
        first, array = alike(numbers, flow, model.objective)
        some = {name: column[first] for name, column in numbers.items()}
        accelerators = accelerators_of(model, some, flow[first], flows)
        pes = numbers["rows"] * numbers["columns"] * numbers["depth"]
        leakage = memory_leakage(numbers, model.technology)
        elements = np.zeros(len(network))
        for number, (_, pe) in enumerate(flows):
            mine = flow == number
            leaks = widest.pe_leakage(pe, model.technology)[network[mine]]
            leakage[mine] += pes[mine] * leaks
            elements[mine] = pes[mine] * widest.pe_area(pe, model.technology)[network[mine]]
        return cls(
            kinds=kinds,
            networks=Networks.of(table.design, kinds.of_row, table.n, len(kinds.keys)),
            network=network,
            accelerators=accelerators,
            array=array,
            speeds=Speeds.of(numbers, model),
            pes=pes,
            area={"array": elements, **memory_area(numbers, model.technology)},
            leakage=leakage * model.terms.energy_leakage,
        )

    def pairs(self, kind: Ints, array: Ints) -> tuple[Ints, Ints, Ints]:
        """The different pairs of layer and accelerator; see `pairs_of`."""
        return pairs_of(kind, array, len(self.kinds.keys), len(self.accelerators.flow))


def alike(numbers: Mapping[str, Floats], flow: Ints, objective: Objective) -> tuple[Ints, Ints]:
    """Accelerators that cost the same cycles and energies, however fast they are.

    Args:
        numbers: Parameter to values ``(n,)``.
        flow: Numbers of dataflow and kind of elements, ``(n,)``.
        objective: What mappings are chosen for; for energy, bandwidth makes no difference.

    Returns:
        The first of those alike, and each one's place among them, ``(n,)``.
    """
    told = {name: column for name, column in numbers.items() if name != "clock"}
    bandwidth = told.pop("dram_bandwidth") / numbers["clock"]
    if objective is not Objective.ENERGY:
        told["bandwidth"] = bandwidth
    codes = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in told.values()]
    return unique(np.stack([*codes, flow], axis=1))


def kinds_of(
    table: LayerTable, model: Model, flows: Sequence[tuple[Dataflow, ProcessingElement]]
) -> tuple[Widest, Kinds]:
    """The widest operands of networks, and their different layers.

    Args:
        table: The layers of all networks.
        model: How they are costed.
        flows: The dataflows and kinds of elements that they meet.
    """
    g = Gemms.of(table)
    if model.accumulator_bits is not None:
        g = g.with_sums(float(model.accumulator_bits))
    widest = Widest.of(table, g)
    # Elements of fixed width do with narrow operands the same, whatever they are built for.
    built = any(not isinstance(pe, FixedWidth) for _, pe in flows)
    return widest, Kinds.of(table, g, widest if built else Widest.nothing(table.n))


@dataclass(frozen=True, eq=False)
class Sums:
    """Totals per design, ``(n,)`` each; times in s, energies in J.

    Attributes:
        columns: Those of `Costs` that add up, dynamic energy, latency, and ``power``, the highest
            of a layer's dynamic power, W; with the parts of energy and latency if they are wanted.
        pes: Processing elements.
        area: Component to m^2.
        leakage: W.
        lacks: Scratchpad to the bytes that it lacks.
        unfit: Whether some layer does not fit.
    """

    columns: dict[str, Floats]
    pes: Floats
    area: dict[str, Floats]
    leakage: Floats
    lacks: dict[str, Floats]
    unfit: Bools


def sums_of(b: Batch, model: Model, *, parts: bool = False) -> Sums:
    """Costs a batch.

    Args:
        b: Designs.
        model: How they are costed.
        parts: Whether the parts of energy and latency are wanted, too.
    """
    n = len(b.network)
    names = (*_SUMMED, "energy", "latency", "power", "unfit", *_LACKS)
    total = {name: np.zeros(n) for name in (*names, *(_PARTS if parts else ()))}
    lengths = np.diff(b.networks.starts)[b.network]
    before = np.cumsum(lengths) - lengths
    for designs in np.split(np.arange(n), np.flatnonzero(np.diff(before // _ROWS)) + 1):
        _add(b, model, designs, total)
    lacks = dict(zip(_SCRATCHPADS, (total.pop(name) for name in _LACKS), strict=True))
    unfit = total.pop("unfit") > 0
    return Sums(total, b.pes, b.area, b.leakage, lacks, unfit)


def _add(b: Batch, model: Model, designs: Ints, total: dict[str, Floats]) -> None:
    rows = b.networks.rows(b.network[designs])
    if not len(rows.kind):
        return
    owner = designs[rows.design]
    kind, array, place = b.pairs(rows.kind, b.array[owner])
    costs = costs_of_pairs(model, b.kinds, b.accelerators, kind, array, _NAMES)
    costs["energy"] = sum((costs[name] for name in ENERGIES), np.zeros(len(kind)))
    compute = costs["cycles"][place] / b.speeds.clock[owner]
    dram = costs["dram_bytes"][place] / b.speeds.bandwidth[owner]
    latency = blended(compute, dram, model.overlap)
    times = {"latency": latency, "compute_time": compute, "dram_time": dram}
    first, count = designs[0], len(designs)
    span = slice(first, first + count)
    energy = costs["energy"][place]
    for name in (*_SUMMED, "energy", "latency", *_PARTS):
        if name in total:
            values = times.get(name, energy) if name in (*times, "energy") else costs[name][place]
            weights = values * rows.often
            total[name][span] = np.bincount(rows.design, weights=weights, minlength=count)
    most = {"power": energy / np.where(latency > 0, latency, 1.0)}
    if costs["unfit"].any():
        most |= {name: costs[name][place] for name in ("unfit", *_LACKS)}
    starts = np.flatnonzero(np.r_[True, np.diff(rows.design) > 0])
    for name, column in most.items():
        total[name][designs[rows.design[starts]]] = np.maximum.reduceat(column, starts)


def blended(one: Floats, other: Floats, overlap: float) -> Floats:
    """The longer of two times, and the share of the shorter that does not hide behind it."""
    longer = np.maximum(one, other)
    return longer if overlap == 1.0 else longer + (1.0 - overlap) * np.minimum(one, other)


def costs_of_rows(b: Batch, model: Model, owner: Ints) -> Costs:
    """What each layer row of a batch costs, with times in s and with leakage, ``(L,)`` each.

    Args:
        b: Designs, each with a network of its own.
        model: How they are costed.
        owner: The design of each row, ``(L,)``.
    """
    kind, array, place = b.pairs(b.kinds.of_row, b.array[owner])
    found = Costs(**costs_of_pairs(model, b.kinds, b.accelerators, kind, array))
    return at_rest(pick(found, place), b.speeds, owner, model.overlap, b.leakage)


def at_rest(costs: Costs, speeds: Speeds, owner: Ints, overlap: float, leakage: Floats) -> Costs:
    """Costs of layer rows with times in s, and with leakage.

    Args:
        costs: Of rows, ``(L,)`` each, in cycles.
        speeds: Of designs.
        owner: The design of each row, ``(L,)``.
        overlap: See `Conventions`.
        leakage: Of designs, W, ``(n,)``.
    """
    compute = costs.cycles / speeds.clock[owner]
    dram = costs.dram_bytes / speeds.bandwidth[owner]
    latency = blended(compute, dram, overlap)
    lost = latency * leakage[owner]
    dynamic = sum((getattr(costs, name) for name in ENERGIES), np.zeros(len(owner)))
    return costs._replace(
        compute_time=compute,
        dram_time=dram,
        latency=latency,
        energy_leakage=lost,
        power=(dynamic + lost) / np.where(latency > 0, latency, 1.0),
    )
