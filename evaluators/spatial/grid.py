"""Many networks against many spatial arrays: each different layer is costed once per array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from evaluators.arithmetic import Widest
from evaluators.layer_cache import LayerCache
from evaluators.spatial.batch import Kinds, memory_area, memory_leakage, numbers_of
from evaluators.spatial.sums import ENERGIES, Speeds, alike, blended, kinds_of
from evaluators.spatial.totals import Accelerators, Model, accelerators_of, costs_of_pairs, flows_of
from hwnas.arrays import Bools, Floats, Ints
from hwnas.design import Designs
from hwnas.evaluation.grid import Grid

_ON_ALL: Final = ("latency", "power")
"""What depends on clock and bandwidth too, so that it is kept for every array."""


_NEEDS: Final = {
    "energy": ("energy", "latency"),
    "latency": ("latency",),
    "cycles": ("cycles",),
    "dram_bytes": ("dram_bytes",),
    "utilization": ("busy", "cycles"),
    "peak_power": ("power",),
}
"""The tables that each metric stands on."""


class SpatialGrid:
    """Measures networks against spatial arrays that were laid out before.

    Args:
        model: How they are costed.
        inner: ``i`` designs of the arrays alone.
        names: The metrics that are wanted.
    """

    def __init__(self, model: Model, inner: Designs, names: frozenset[str]) -> None:
        columns = inner.accelerators
        numbers = numbers_of(columns)
        self._model, self._names = model, names
        self._flow, self._flows = flows_of(columns["dataflow"], columns["pe"])
        first, self._alike = alike(numbers, self._flow, model.objective)
        some = {name: column[first] for name, column in numbers.items()}
        self._arrays: Accelerators = accelerators_of(model, some, self._flow[first], self._flows)
        self._speeds = Speeds.of(numbers, model)
        self._pes = numbers["rows"] * numbers["columns"] * numbers["depth"]
        self._memory_area = sum(
            memory_area(numbers, model.technology).values(), np.zeros(len(inner))
        )
        self._memory_leakage = memory_leakage(numbers, model.technology)
        kept = {"unfit", *(table for name in names for table in _NEEDS.get(name, ()))}
        self._cache = LayerCache(
            {name: len(inner if name in _ON_ALL else first) for name in sorted(kept)}
        )

    def __call__(self, outer: Designs) -> Grid:
        """Measures ``o`` networks, bits included, on all arrays; see `Evaluator.against`."""
        table = outer.layers
        widest, kinds = kinds_of(table, self._model, self._flows)
        places = self._cache.places(kinds.keys, lambda new: self._costs(kinds, new))
        counts = np.bincount(
            table.design * len(kinds.keys) + kinds.of_row, minlength=len(outer) * len(kinds.keys)
        )
        often = counts.reshape(len(outer), len(kinds.keys)).astype(np.float64)

        def summed(name: str) -> Floats:
            total = self._cache.summed(often, places, name)
            return total if name in _ON_ALL else total[:, self._alike]

        elements = self._elements(widest)
        answers: dict[str, Callable[[], Floats]] = {
            "energy": lambda: summed("energy") + summed("latency") * elements[1],
            "latency": lambda: summed("latency"),
            "area": lambda: elements[0],
            "cycles": lambda: summed("cycles"),
            "dram_bytes": lambda: summed("dram_bytes"),
            "utilization": lambda: summed("busy") / np.maximum(summed("cycles") * self._pes, 1.0),
            "peak_power": lambda: self._cache.highest(often, places, "power") + elements[1],
        }
        columns = {name: answer() for name, answer in answers.items() if name in self._names}
        feasible: Bools = summed("unfit") == 0
        for column in columns.values():
            column[~feasible] = np.nan
        return Grid(columns, feasible)

    def _elements(self, widest: Widest) -> tuple[Floats, Floats]:
        """Area (m^2) and leakage (W) of everything, ``(o, i)`` each."""
        shape = len(widest.weight), len(self._pes)
        area, leakage = np.empty(shape), np.empty(shape)
        for number, (_, pe) in enumerate(self._flows):
            mine = self._flow == number
            area[:, mine] = widest.pe_area(pe, self._model.technology)[:, None]
            leakage[:, mine] = widest.pe_leakage(pe, self._model.technology)[:, None]
        leakage = leakage * self._pes + self._memory_leakage
        return area * self._pes + self._memory_area, leakage * self._model.terms.energy_leakage

    def _costs(self, kinds: Kinds, new: Ints) -> dict[str, Floats]:
        arrays = np.arange(len(self._arrays.flow))
        kind, array = np.repeat(new, len(arrays)), np.tile(arrays, len(new))
        names = ("cycles", "dram_bytes", "busy", "unfit")
        costs = costs_of_pairs(self._model, kinds, self._arrays, kind, array, (*names, *ENERGIES))
        shape = len(new), len(arrays)
        energy = sum((costs[name] for name in ENERGIES), np.zeros(len(kind)))
        found = {name: costs[name].reshape(shape) for name in names}
        found["energy"] = energy.reshape(shape)
        compute = found["cycles"][:, self._alike] / self._speeds.clock
        dram = found["dram_bytes"][:, self._alike] / self._speeds.bandwidth
        latency = blended(compute, dram, self._model.overlap)
        found["latency"] = latency
        found["power"] = found["energy"][:, self._alike] / np.where(latency > 0, latency, 1.0)
        return found
