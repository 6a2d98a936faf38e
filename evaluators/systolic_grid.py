"""Many networks against many systolic arrays: each different layer is costed once per array.

Costs add up over layers, and networks of one family share most of theirs, so a grid of networks
times arrays is a product of two matrices: how often each network has each layer, and what each
layer costs on each array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from evaluators.dataflows import SCRATCHPADS, Arrays, Gemms, flows_of, numbers_of
from evaluators.layer_cache import LayerCache
from evaluators.layer_keys import BITS, SHAPE
from evaluators.sparsity import Sparsity
from evaluators.systolic_costs import FLOWS, LayerCosts, Work, cost_of, dynamic_power, pe_of
from evaluators.technology import Technology
from hwnas.arrays import Bools, Floats, Ints
from hwnas.design import Designs
from hwnas.evaluation.grid import Grid
from hwnas.space import unique

_NEEDS: Final = {
    "energy": ("energy", "latency"),
    "latency": ("latency",),
    "cycles": ("cycles",),
    "dram_bytes": ("dram_bytes",),
    "utilization": ("macs", "cycles"),
    "peak_power": ("power",),
}
"""The tables that each metric stands on."""
_ON_ALL: Final = ("latency", "power")
"""What depends on clock and bandwidth too, so that it is kept for every array."""
_COSTS: Final[dict[str, Callable[[LayerCosts], Floats]]] = {
    "energy": lambda part: part.energy_mac + part.energy_sram + part.energy_dram,
    "cycles": lambda part: part.cycles,
    "dram_bytes": lambda part: part.dram_bytes,
    "macs": lambda part: part.macs,
    "lacks": lambda part: part.lacks_ifmap + part.lacks_filter + part.lacks_ofmap,
}
_SPEEDS: Final = ("bandwidth", "clock", "leakage")
"""What dynamic energy, cycles and traffic do not depend on."""
_DENSE: Final = Sparsity()
_CELLS: Final = 16_384
"""Cells costed at a time, so that the columns at work stay in the cache."""


class SystolicGrid:
    """Measures networks against systolic arrays that were laid out before.

    Args:
        technology: What actions and components cost.
        overlap: See `evaluators.systolic_costs.layer_costs`.
        inner: ``i`` designs of the arrays alone.
        names: The metrics that are wanted.
        zeros: What zeros among the weights are good for.
    """

    def __init__(
        self,
        technology: Technology,
        overlap: float,
        inner: Designs,
        names: frozenset[str],
        zeros: Sparsity = _DENSE,
    ) -> None:
        self.zeros = zeros
        self.technology = technology
        self.overlap = overlap
        self.names = names
        accelerators = inner.accelerators
        numbers = numbers_of(accelerators)
        self.flows = flows_of(accelerators)
        nothing = np.zeros(len(inner))
        self.arrays = Arrays.of(numbers, nothing, technology)
        self.pes = self.arrays.rows * self.arrays.columns
        self.sram_area = sum((technology.sram_area(numbers[name]) for name in SCRATCHPADS), nothing)
        self._kept = tuple(dict.fromkeys(("lacks", *(k for n in names for k in _NEEDS.get(n, ())))))
        # Without latency, arrays that differ only in how fast they are cost the same.
        slow = [column for name, column in vars(self.arrays).items() if name not in _SPEEDS]
        _, self._first, alike = np.unique(
            np.stack([*slow, self.flows]), axis=1, return_index=True, return_inverse=True
        )
        self._alike: Ints = alike.reshape(-1)
        self._cache = LayerCache(
            {name: len(inner) if name in _ON_ALL else len(self._first) for name in self._kept}
        )

    def __call__(self, outer: Designs) -> Grid:
        """Measures ``o`` networks, bits included, on all arrays; see `against`."""
        table = outer.layers
        gemms = Gemms.of(table)
        told = [getattr(table, name) for name in (*SHAPE, *BITS)]
        if self.zeros != _DENSE:
            told.append(table.density.view(np.int64))
        rows = np.stack(told, axis=1)
        first, which = unique(rows)
        places = self._cache.places(
            [row.tobytes() for row in rows[first]],
            lambda new: self._costs(
                Work.of_gemms(gemms.pick(first[new]), self.technology, self.zeros), len(new)
            ),
        )
        counts = np.bincount(table.design * len(first) + which, minlength=len(outer) * len(first))
        often = counts.reshape(len(outer), len(first)).astype(np.float64)
        pe = pe_of(table, gemms, self.technology)
        added = [name for name in self._kept if name not in ("lacks", "power")]
        sums = {name: self._summed(often, places, name) for name in added}

        def leakage() -> Floats:
            whole: Floats = pe.leakage[:, None] * self.pes
            whole += self.arrays.leakage
            return whole

        def energy() -> Floats:
            whole = leakage()
            whole *= sums["latency"]
            whole += sums["energy"]
            return whole

        answers: dict[str, Callable[[], Floats]] = {
            "energy": energy,
            "latency": lambda: sums["latency"],
            "area": lambda: pe.area[:, None] * self.pes + self.sram_area,
            "cycles": lambda: sums["cycles"],
            "dram_bytes": lambda: sums["dram_bytes"],
            "utilization": lambda: sums["macs"] / np.maximum(sums["cycles"] * self.pes, 1.0),
            "peak_power": lambda: self._cache.highest(often, places, "power") + leakage(),
        }
        columns = {name: answer() for name, answer in answers.items() if name in self.names}
        feasible: Bools = np.ones((len(outer), len(self.pes)), dtype=np.bool_)
        lacking = self._cache["lacks"][places].any(axis=1)
        if lacking.any():
            feasible = self._summed(often[:, lacking], places[lacking], "lacks") == 0
            for column in columns.values():
                column[~feasible] = np.nan
        return Grid(columns, feasible)

    def _summed(self, often: Floats, places: Ints, name: str) -> Floats:
        """Costs summed over the layers of each network, ``(o, i)``."""
        summed = self._cache.summed(often, places, name)
        return summed if name in _ON_ALL else summed[:, self._alike]

    def _costs(self, work: Work, n: int) -> dict[str, Floats]:
        """What layers cost on the different arrays; on all of them what depends on speeds."""
        names = {*self._kept, "cycles", "dram_bytes"} - {*_ON_ALL}
        if "power" in self._kept:
            names.add("energy")
        found = {name: np.empty((n, len(self._first))) for name in names}
        step = max(1, _CELLS // max(1, n))
        for code, dataflow in enumerate(FLOWS):
            alike = np.flatnonzero(self.flows[self._first] == code)
            for start in range(0, len(alike), step):
                some = alike[start : start + step]
                part = cost_of(
                    work.pick(np.arange(n)[:, None]),
                    self.arrays.pick(self._first[some]),
                    dataflow,
                    self.technology,
                    self.overlap,
                )
                for name, column in found.items():
                    column[:, some] = _COSTS[name](part)
        if {*_ON_ALL} & {*self._kept}:
            found["latency"] = self._latency(found["cycles"], found["dram_bytes"])
        if "power" in self._kept:
            found["power"] = dynamic_power(found["energy"][:, self._alike], found["latency"])
        return {name: found[name] for name in self._kept}

    def _latency(self, cycles: Floats, traffic: Floats) -> Floats:
        """As `cost_of` has it, at the clock and the bandwidth of each array, ``(n, i)``."""
        latency = np.empty((len(cycles), len(self.pes)))
        for layer, longer in enumerate(latency):
            compute = cycles[layer, self._alike] / self.arrays.clock
            dram = traffic[layer, self._alike] / self.arrays.bandwidth
            np.maximum(compute, dram, out=longer)
            longer += (1.0 - self.overlap) * np.minimum(compute, dram)
        return latency
