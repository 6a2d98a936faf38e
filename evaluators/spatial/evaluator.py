"""Cost of networks on arrays that unroll loops: dataflow templates, mappings, bits; vectorised.

What is assumed, so that nobody has to guess:

* Layers run one after the other, from DRAM to DRAM; nothing stays on chip between them.
* Each layer is mapped best of a small family: which operand stays in the scratchpads, in which
  order tiles are walked (module `tilings`), and which operand stays in the register files (module
  `stays`). The choice is made for dynamic energy, latency or their product, or by ``map`` genes.
* Half of each scratchpad works while the other half is filled. Registers are filled while the
  array computes, as far as the scratchpads' ports keep up.
* Elements are built for the network's widest operands; what narrower ones save depends on the kind
  of element (`evaluators.pe`). Values are packed: elements x bits / 8 bytes. Partial sums have as
  many bits as they need: weight bits + activation bits + ceil(log2 of the window).
* Shift and adder layers run on the same array, in as many steps; its elements then have a shifter
  or a second adder besides. Pooling, element-wise work and embeddings run on a vector unit as wide
  as the array's columns, and pay for traffic.
* Area is that of elements, register files and scratchpads; wires, control, vector unit and the
  DRAM interface are left out. Peak power is that of the layer of highest average power.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from evaluators import technology as technologies
from evaluators.calibrated import Terms
from evaluators.layer_keys import fingerprints
from evaluators.sparsity import SPARSITIES
from evaluators.spatial.batch import numbers_of
from evaluators.spatial.calibration import SpatialRows
from evaluators.spatial.grid import SpatialGrid
from evaluators.spatial.mapping_choice import Conventions, Objective
from evaluators.spatial.rows import Costs
from evaluators.spatial.sums import PARTS, Batch, Sums, costs_of_rows, sums_of
from evaluators.spatial.totals import Model
from hwnas.arrays import Floats
from hwnas.design import Design, Designs
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibration
from hwnas.evaluation.explanation import Explanation, Roofline
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.plugins import missing_extra
from hwnas.space import Space


class Spatial(Evaluator):
    """An array of processing elements with register files and three scratchpads.

    See the module for what is assumed. A design whose scratchpads cannot hold the smallest tile of
    some layer is infeasible.

    Args:
        technology: The table of energies, areas and leakages, e.g. ``aladdin40``, or a file of
            your own that ends in ``.json``; `hwnas list tables` shows them.
        dram: A type of DRAM in place of the table's own, e.g. ``hbm2``, or a file.
        node_nm: The node that the table's logic is scaled to, nm; memories are not scaled.
        mapping: What layers are mapped for: ``energy``, ``latency`` or ``edp`` (their product).
        overlap: Share in [0, 1] of the shorter of computing and DRAM traffic that hides behind
            the longer: 1 takes the maximum of the two per layer, 0 their sum.
        sparsity: What zeros among weights are good for: ``dense`` (nothing), ``gated`` (no energy)
            or ``skipped`` (neither time nor traffic, for 4 bits of index each).
        double_buffered: Half of each scratchpad is filled while the other half works.
        fills_hidden: Registers are filled while the array computes; else it waits for weights.
        lines_kept: Input lines under two tiles that follow each other stay on the chip.
        accumulator_bits: Bits of every partial sum, in place of what each layer needs.
        compiled: Cost large batches by code that torch compiles at first use, which takes minutes
            and a C++ compiler: for many millions of designs.
        calibration: A file that ``hwnas calibrate --template spatial`` wrote; its constants count,
            also for the overlap, which must stay 1 here. Layers are mapped as without it.

    Raises:
        PluginError: There is no technology or DRAM of that name.
        ProblemError: The calibration cannot be used, the overlap is not in [0, 1], a file of a
            table is not in order, or the table cannot be scaled to the node.
        UnitError: A number of a file has no unit, or one that does not fit.
        MissingExtraError: Compiled code is wanted, but torch is not installed.
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
    reads = frozenset({"net", "quant", "hw", "map", "train"})
    expense = Expense.FREE

    def __init__(
        self,
        *,
        technology: technologies.TableName = "aladdin40",
        dram: technologies.TableName | None = None,
        node_nm: float | None = None,
        mapping: Literal["energy", "latency", "edp"] = "edp",
        overlap: float = 1.0,
        sparsity: Literal["dense", "gated", "skipped"] = "dense",
        double_buffered: bool = True,
        fills_hidden: bool = True,
        lines_kept: bool = True,
        accumulator_bits: int | None = None,
        compiled: bool = False,
        calibration: Path | None = None,
    ) -> None:
        if not 0.0 <= overlap <= 1.0:
            raise ProblemError(
                "spatial cannot hide that share of the DRAM traffic",
                where="argument overlap",
                rule="0 (nothing hides) to 1 (the longer of computing and traffic counts)",
                given=repr(overlap),
            )
        if accumulator_bits is not None and not 1 <= accumulator_bits <= 128:
            raise ProblemError(
                "spatial cannot have such partial sums",
                where="argument accumulator_bits",
                rule="1 to 128 bits",
                given=repr(accumulator_bits),
            )
        if compiled and find_spec("torch") is None:
            raise missing_extra("spatial with compiled: true", "torch")
        self.technology = technologies.load(technology, dram, node_nm)
        self.model = Model(
            technology=self.technology,
            how=Conventions(
                lines_kept=lines_kept, fills_hidden=fills_hidden, overlap=float(overlap)
            ),
            objective=Objective(mapping),
            zeros=SPARSITIES[sparsity],
            double_buffered=double_buffered,
            accumulator_bits=accumulator_bits,
            compiled=compiled,
        )
        options = (mapping, f"{overlap:g}", sparsity, double_buffered, fills_hidden, lines_kept)
        self.version = f"1+{self.technology.label}+" + "+".join(
            map(str, (*options, accumulator_bits))
        )
        if calibration is not None:
            self._calibrate(Path(calibration))

    def _calibrate(self, path: Path) -> None:
        if self.model.how.overlap != 1.0:
            raise ProblemError(
                "a calibration says itself how much of the DRAM traffic hides",
                where="argument overlap",
                rule="1, or no calibration",
                given=repr(self.model.how.overlap),
                cure="leave the overlap out",
            )
        template = SpatialRows.of(self.model)
        table = Calibration.read(path, template)
        template.refuse_other_cycles(table, str(path))
        self.model = replace(self.model, terms=Terms.of(table.values))
        self.version += f"+calibration{table.version}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch; see `Evaluator.evaluate`.

        Raises:
            DesignError: The designs lack networks or spatial arrays.
        """
        s = self._sums(designs)
        total = s.columns
        columns = {
            "energy": total["energy"] + s.leakage * total["latency"],
            "latency": total["latency"],
            "area": sum(s.area.values(), np.zeros(len(designs))),
            "cycles": total["cycles"],
            "dram_bytes": total["dram_bytes"],
            "utilization": total["busy"] / np.maximum(total["cycles"] * s.pes, 1.0),
            "peak_power": total["power"] + s.leakage,
        }
        for column in columns.values():
            column[s.unfit] = np.nan
        reason = np.where(s.unfit, int(Reason.INFEASIBLE), int(Reason.NONE))
        notes = [""] * len(designs)
        for row in np.flatnonzero(s.unfit):
            notes[row] = _note({name: float(lack[row]) for name, lack in s.lacks.items()})
        return Measurements.of(self.metrics, columns, reason=reason, notes=notes)

    def fingerprints(self, designs: Designs) -> list[bytes]:
        """Which layers a network has, in whatever order; see `Evaluator.fingerprints`."""
        return fingerprints(designs, ("quant", "map")) or super().fingerprints(designs)

    def against(
        self, space: Space, inner: Designs, names: frozenset[str]
    ) -> Callable[[Designs], Grid] | None:
        """Costs each different layer once per array; see `Evaluator.against`."""
        if inner.space.part_names != ("hw",):
            return super().against(space, inner, names)
        return SpatialGrid(self.model, inner, names)

    def layers(self, designs: Designs) -> Costs:
        """What each row of ``designs.layers`` costs; times in s, energies in J, ``(L,)`` each."""
        own = np.arange(len(designs))
        batch = Batch.of(designs.layers, own, designs.accelerators, self.model)
        return costs_of_rows(batch, self.model, designs.layers.design)

    def explain(self, design: Design) -> Explanation | None:
        """Energy, area and time by component and layer, and a roofline; see `Evaluator.explain`.

        The peak is that of all elements at work in every cycle, at the bits of the layer that runs
        fastest.
        """
        batch = design.batch
        if not self.evaluate(batch).feasible[0]:
            return None
        costs = self.layers(batch)
        numbers = numbers_of(batch.accelerators)
        pes = float((numbers["rows"] * numbers["columns"] * numbers["depth"])[0])
        clock = float(numbers["clock"][0])
        # MACs of one element per cycle.
        products = costs.macs > 0
        speeds = costs.macs[products] / costs.busy[products]
        fastest = float(np.max(speeds)) if products.any() else 1.0
        return Explanation(
            {
                metric: {part: float(values[0]) for part, values in parts.items()}
                for metric, parts in self.breakdown(batch).items()
            },
            {
                "latency": costs.latency,
                "compute_time": costs.compute_time,
                "dram_time": costs.dram_time,
                "energy": costs.energy,
                "utilization": costs.busy / np.maximum(costs.cycles * pes, 1.0),
                "macs": costs.macs,
                "dram_bytes": costs.dram_bytes,
                "power": costs.power,
                "tiling": costs.tiling,
                "stay": costs.stay,
            },
            Roofline(
                peak=pes * clock * fastest,
                bandwidth=float(numbers["dram_bandwidth"][0]),
                intensity=costs.macs / costs.dram_bytes,
                attained=costs.macs / costs.latency,
            ),
        )

    def breakdown(self, designs: Designs) -> dict[str, dict[str, Floats]]:
        """Where energy, latency and area come from, per design; see `Systolic.breakdown`."""
        s = self._sums(designs, parts=True)
        energy = {part: s.columns[f"energy_{part}"] for part in PARTS}
        return {
            "energy": {**energy, "leakage": s.leakage * s.columns["latency"]},
            "latency": {part: s.columns[f"{part}_time"] for part in ("compute", "dram")},
            "area": s.area,
        }

    def _sums(self, designs: Designs, *, parts: bool = False) -> Sums:
        outer = designs.space.read_by(self.reads - {"hw"})
        networks, network = (
            designs.part(*outer) if outer else (designs, np.arange(len(designs), dtype=np.int64))
        )
        batch = Batch.of(networks.layers, network, designs.accelerators, self.model)
        return sums_of(batch, self.model, parts=parts)


def _note(lacks: dict[str, float]) -> str:
    """Which scratchpads are too small for the smallest tile of some layer, and by how much."""
    small = [f"{name} by {bytes_:.0f} B" for name, bytes_ in lacks.items() if bytes_ > 0]
    if small:
        return f"too small for one tile of some layer: {', '.join(small)}"
    return "the mapping of some layer does not fit"
