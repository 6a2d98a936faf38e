"""Cost of networks on a systolic array: cycles, traffic, energy, area; closed forms, vectorised.

Cycles and SRAM counts are those of SCALE-Sim 3.0.0 exactly; DRAM traffic, energy and area are our
own and aware of every layer's bits. What is assumed, so that nobody has to guess:

* Layers run one after the other, from DRAM to DRAM; nothing stays on chip between them.
* Half of each scratchpad works while the other half is filled, so half its bytes count. What does
  not fit is fetched again (see `evaluators.dataflows`); partial sums that do not fit go to DRAM
  and back. Scratchpads keep up with the array at any clock; voltage does not follow the clock.
* Every processing element has a multiplier for the network's widest weights and widest
  activations. Narrower layers switch fewer bits (energy in proportion) but run no faster.
* A partial sum has weight bits + activation bits + ceil(log2 W) bits. Values are packed: elements
  x bits / 8 bytes. Single-precision layers count as 32-bit integers.
* Zeros among the weights are good for nothing unless asked for. Skipped zeros shorten a layer's
  cycles, fill and drain of the array included, in proportion: the best that skipping could do.
* A product of two activations is a GEMM whose second factor takes the place of the weights, in the
  weight scratchpad, with activation bits; every group of every image has one of its own. An array
  has multipliers for it: activation bits times activation bits.
* Shift and adder layers run on the same array, in as many cycles; its elements then have a shifter
  or a second adder besides.
* Pooling, additions, softmax, normalisation and the like run on a vector unit as wide as the
  array's columns, one element per lane and cycle; so do embeddings, of which the rows that are
  looked up are moved. They pay for memory traffic; the unit's own area and energy are left out.
* Area is that of array and scratchpads; wires, control and the DRAM interface are left out. Peak
  power is that of the layer of highest average power.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np

from evaluators import technology as technologies
from evaluators.calibrated import Terms
from evaluators.dataflows import (
    DATAFLOWS,
    OPERANDS,
    SCRATCHPADS,
    Arrays,
    Gemms,
    flows_of,
    numbers_of,
)
from evaluators.layer_keys import fingerprints
from evaluators.sparsity import SPARSITIES
from evaluators.systolic_calibration import SystolicRows, adjusted
from evaluators.systolic_costs import FLOWS, LayerCosts, Work, cost_of, layer_costs, pe_of
from evaluators.systolic_grid import SystolicGrid
from hwnas.arrays import Floats, Ints
from hwnas.design import Design, Designs
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibration
from hwnas.evaluation.explanation import Explanation, Roofline
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.space import Space

_BLOCK: Final = 8192
"""Layer rows computed at a time, so that the columns at work stay in the cache."""
_MANY: Final = 64
"""From this many designs of one network on, its layers are laid against accelerators as a grid."""
_ENERGIES: Final = ("mac", "sram", "dram", "leakage")
_AREAS: Final = ("array", *SCRATCHPADS)
_LACKS: Final = tuple(f"lacks_{operand}" for operand in OPERANDS)
_SUMMED: Final = (
    "macs", "cycles", "compute_time", "dram_time", "latency", "dram_bytes",
    *(f"energy_{part}" for part in _ENERGIES),
    *_LACKS,
)  # fmt: skip


def _note(lacks: dict[str, float]) -> str:
    small = {name: missing for name, missing in lacks.items() if missing > 0}
    missing = ", ".join(f"{np.ceil(amount):.0f}" for amount in small.values())
    return f"{', '.join(small)} too small by {missing} B: half of it must hold one array load"


def _blocks(flows: Ints, network: Ints, lengths: Ints) -> Iterator[tuple[Ints, bool]]:
    """Splits a batch into blocks of one dataflow that fit the cache.

    Args:
        flows: Dataflow per design, ``(n,)``.
        network: Network per design, ``(n,)``.
        lengths: Layer rows per network.

    Yields:
        Designs, and whether they all have the same network.
    """
    order = np.lexsort((network, lengths[network], flows))
    changed = np.diff(flows[order]).astype(np.bool_) | np.diff(network[order]).astype(np.bool_)
    starts = np.r_[0, np.flatnonzero(changed) + 1, len(order)] if len(order) else np.zeros(1, int)
    sizes = np.diff(starts)
    many = sizes >= _MANY
    for start, size in zip(starts[:-1][many], sizes[many], strict=True):
        step = max(1, _BLOCK // max(1, int(lengths[network[order[start]]])))
        for first in range(start, start + size, step):
            yield order[first : min(first + step, start + size)], True
    rest = order[np.repeat(~many, sizes)]
    for code in range(len(DATAFLOWS)):
        some = rest[flows[rest] == code]
        rows = np.maximum(lengths[network[some]], 1)
        first = 0
        while first < len(some):
            # Sorted by length, so the block's longest network is its last one.
            reach = min(first + _BLOCK // int(rows[first]), len(some) - 1)
            step = max(1, _BLOCK // int(rows[reach]))
            yield some[first : first + step], False
            first += step


def _sum(values: Floats) -> Floats:
    """Sums over layers (axis 0) in their order, so that a batch of any size rounds alike."""
    if values.shape[1] == 1:
        return np.asarray(np.cumsum(values, axis=0)[-1], dtype=np.float64)
    return np.asarray(values.sum(axis=0), dtype=np.float64)


class Systolic(Evaluator):
    """A systolic array with three scratchpads, after SCALE-Sim, aware of bits.

    See the module for what is assumed. A design whose scratchpads cannot hold one array load of
    some layer is infeasible.

    Args:
        technology: The table of energies, areas and leakages, e.g. ``aladdin40``, or a file of
            your own that ends in ``.json``; `hwnas list tables` shows them.
        dram: A type of DRAM in place of the table's own, e.g. ``hbm2``, or a file.
        node_nm: The node that the table's logic is scaled to, nm; memories are not scaled.
        overlap: Share in [0, 1] of the shorter of computing and DRAM traffic that hides behind
            the longer: 1 takes the maximum of the two per layer, 0 their sum.
        sparsity: What zeros among weights are good for: ``dense`` (nothing), ``gated`` (no energy)
            or ``skipped`` (neither time nor traffic, for 4 bits of index each).
        calibration: A file that ``hwnas calibrate --template systolic`` wrote; its constants count,
            also for the overlap, which must stay 1 here.

    Raises:
        PluginError: There is no technology or DRAM of that name.
        ProblemError: The calibration cannot be used, the overlap is not in [0, 1], a file of a
            table is not in order, or the table cannot be scaled to the node.
        UnitError: A number of a file has no unit, or one that does not fit.
    """

    metrics = (
        Metric("energy", "J"),
        Metric("latency", "s"),
        Metric("area", "m^2"),
        Metric("cycles"),
        Metric("dram_bytes", "B"),
        Metric("utilization", goal=Goal.MAXIMIZE, worst=0.0, best=1.0),
        Metric("peak_power", "W"),
    )
    reads = frozenset({"net", "quant", "hw", "train"})
    expense = Expense.FREE

    def __init__(
        self,
        *,
        technology: technologies.TableName = "aladdin40",
        dram: technologies.TableName | None = None,
        node_nm: float | None = None,
        overlap: float = 1.0,
        sparsity: Literal["dense", "gated", "skipped"] = "dense",
        calibration: Path | None = None,
    ) -> None:
        if not 0.0 <= overlap <= 1.0:
            raise ProblemError(
                "systolic cannot hide that share of the DRAM traffic",
                where="argument overlap",
                rule="0 (nothing hides) to 1 (the longer of computing and traffic counts)",
                given=repr(overlap),
            )
        self.technology = technologies.load(technology, dram, node_nm)
        self.overlap = float(overlap)
        self.zeros = SPARSITIES[sparsity]
        self.version = f"1+{self.technology.label}+overlap{self.overlap:g}"
        if sparsity != "dense":
            self.version += f"+{sparsity}"
        self.terms: Terms | None = None
        if calibration is not None:
            if self.overlap != 1.0:
                raise ProblemError(
                    "a calibration says itself how much of the DRAM traffic hides",
                    where="argument overlap",
                    rule="1, or no calibration",
                    given=repr(overlap),
                    cure="leave the overlap out",
                )
            table = Calibration.read(Path(calibration), SystolicRows.of(self.technology))
            self.terms = Terms.of(table.values)
            self.version += f"+calibration{table.version}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`.

        Raises:
            DesignError: The designs lack networks or systolic arrays.
        """
        total = self._totals(designs)
        nothing = np.zeros(len(designs))
        columns = {
            "energy": sum((total[f"energy_{part}"] for part in _ENERGIES), nothing),
            "latency": total["latency"],
            "area": sum((total[f"area_{part}"] for part in _AREAS), nothing),
            "cycles": total["cycles"],
            "dram_bytes": total["dram_bytes"],
            "utilization": total["macs"] / np.maximum(total["cycles"] * total["pes"], 1.0),
            "peak_power": total["power"] + total["leakage"],
        }
        lacks = {pad: total[f"lacks_{x}"] for pad, x in zip(SCRATCHPADS, OPERANDS, strict=True)}
        unfit = np.any([column > 0 for column in lacks.values()], axis=0)
        for column in columns.values():
            column[unfit] = np.nan
        reason = np.where(unfit, int(Reason.INFEASIBLE), int(Reason.NONE))
        notes = [""] * len(designs)
        for row in np.flatnonzero(unfit):
            notes[row] = _note({pad: float(column[row]) for pad, column in lacks.items()})
        return Measurements.of(self.metrics, columns, reason=reason, notes=notes)

    def fingerprints(self, designs: Designs) -> list[bytes]:
        """Which layers a network has, in whatever order; see `Evaluator.fingerprints`."""
        return fingerprints(designs, ("quant",)) or super().fingerprints(designs)

    def against(
        self, space: Space, inner: Designs, names: frozenset[str]
    ) -> Callable[[Designs], Grid] | None:
        """Costs each different layer once per array; see `Evaluator.against`."""
        if inner.space.part_names != ("hw",) or self.terms is not None:
            return super().against(space, inner, names)
        return SystolicGrid(self.technology, self.overlap, inner, names, self.zeros)

    def breakdown(self, designs: Designs) -> dict[str, dict[str, Floats]]:
        """Where energy, latency and area come from, per design.

        The parts of energy and area add up to the metric; those of latency overlap.

        Args:
            designs: ``n`` designs.

        Returns:
            Metric to part to values ``(n,)`` in the metric's unit; also for infeasible designs.
        """
        total = self._totals(designs)
        return {
            "energy": {part: total[f"energy_{part}"] for part in _ENERGIES},
            "latency": {part: total[f"{part}_time"] for part in ("compute", "dram")},
            "area": {part: total[f"area_{part}"] for part in _AREAS},
        }

    def layers(self, designs: Designs) -> LayerCosts:
        """What each row of ``designs.layers`` costs."""
        layers, accelerators = designs.layers, designs.accelerators
        part = layer_costs(layers, accelerators, self.technology, self.overlap, self.zeros)
        if self.terms is None:
            return part
        clock = np.asarray(accelerators["clock"], dtype=np.float64)[layers.design]
        return adjusted(part, clock, self.terms)

    def explain(self, design: Design) -> Explanation | None:
        """Energy, area and time by component and layer, and a roofline; see `Evaluator.explain`.

        The peak is that of all processing elements at work in every cycle, at the density of the
        layer that runs fastest where zeros are skipped; overlapped or not, computing and DRAM
        traffic both keep a layer below it.
        """
        batch = design.batch
        if not self.evaluate(batch).feasible[0]:
            return None
        costs = self.layers(batch)
        numbers = numbers_of(batch.accelerators)
        columns = (
            "latency", "energy", "utilization", "macs", "dram_bytes", "compute_time", "dram_time",
            "power",
        )  # fmt: skip
        peak = float((numbers["rows"] * numbers["columns"] * numbers["clock"])[0])
        roofline = Roofline(
            peak=peak * float(np.max(costs.utilization, initial=1.0)),
            bandwidth=float(numbers["dram_bandwidth"][0]),
            intensity=costs.macs / costs.dram_bytes,
            attained=costs.macs / costs.latency,
        )
        return Explanation(
            {
                metric: {part: float(values[0]) for part, values in parts.items()}
                for metric, parts in self.breakdown(batch).items()
            },
            {name: getattr(costs, name) for name in columns},
            roofline,
        )

    def _totals(self, designs: Designs) -> dict[str, Floats]:
        """Sums over layers per design, ``(n,)`` each, and what designs have as a whole.

        ``power`` is the highest of a layer's dynamic power, ``leakage`` the array's, W.
        Each different network is laid out once, however many accelerators it meets.
        """
        parts = designs.space.read_by(frozenset({"net", "quant", "train"}))
        networks, network = (
            designs.part(*parts) if parts else (designs, np.arange(len(designs), dtype=np.int64))
        )
        table = networks.layers
        numbers, flows = numbers_of(designs.accelerators), flows_of(designs.accelerators)
        gemms = Gemms.of(table)
        pe = pe_of(table, gemms, self.technology)
        arrays = Arrays.of(numbers, pe.leakage[network], self.technology)
        work = Work.of_gemms(gemms, self.technology, self.zeros).padded()
        starts = np.searchsorted(table.design, np.arange(table.n + 1))
        lengths = np.diff(starts)
        total = {name: np.zeros(len(designs)) for name in _SUMMED}
        power = np.zeros(len(designs))
        for block, alike in _blocks(flows, network, lengths):
            own = network[block[:1]] if alike else network[block]
            place = np.arange(max(1, int(lengths[own].max())))[:, None]
            rows = np.where(place < lengths[own], starts[own] + place, len(table))
            dataflow = FLOWS[flows[block[0]]]
            part = cost_of(
                work.pick(rows), arrays.pick(block), dataflow, self.technology, self.overlap
            )
            if self.terms is not None:
                part = adjusted(part, arrays.clock[block], self.terms)
            for name, column in total.items():
                values = getattr(part, name)
                worst = name in _LACKS
                column[block] = values.max(axis=0) if worst else _sum(values)
            power[block] = part.dynamic_power.max(axis=0)
        total["power"] = power
        scale = 1.0 if self.terms is None else self.terms.energy_leakage
        total["leakage"] = arrays.leakage * scale
        total["pes"] = arrays.rows * arrays.columns
        total["area_array"] = pe.area[network] * total["pes"]
        for name in SCRATCHPADS:
            total[f"area_{name}"] = self.technology.sram_area(numbers[name])
        return total
