"""Many networks against many systolic arrays: each different layer is costed once per array.

Costs add up over layers, and networks of one family share most of theirs, so a grid of networks
times arrays is a product of two matrices: how often each network has each layer, and what each
layer costs on each array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np

from evaluators.dataflows import OPERANDS, SCRATCHPADS, Arrays, Gemms, flows_of, numbers_of
from evaluators.systolic_costs import FLOWS, cost_of, pe_of
from evaluators.technology import Technology
from hwnas.arrays import Bools, Floats, Ints
from hwnas.design import Designs, LayerTable
from hwnas.evaluation.grid import Grid
from hwnas.space import unique

_SHAPE: Final = ("operator", "N", "K", "C", "P", "Q", "R", "S", "stride", "groups")
_BITS: Final = ("weight_bits", "activation_bits")
_KEPT: Final = ("latency", "energy", "cycles", "dram_bytes", "macs", "lacks")
_BYTES: Final = 256 << 20
"""What the costs of layers may take; beyond, they are forgotten and computed again."""
_CELLS: Final = 16_384
"""Cells costed at a time, so that the columns at work stay in the cache."""


def multisets(table: LayerTable, *, with_cells: bool) -> list[bytes]:
    """One key per design: what layers it has, in whatever order.

    Designs of equal keys have the same layers with the same bits. With cells, the keys also tell
    which cell a layer belongs to, so they stay equal under every quantization policy.

    Args:
        table: Layers of ``n`` designs.
        with_cells: Whether a layer's cell counts.
    """
    names = (*_SHAPE, *_BITS, *(("cell",) if with_cells else ()))
    rows = np.stack([getattr(table, name) for name in names], axis=1)
    first, which = unique(rows)
    order = np.lexsort((which, table.design))
    kinds, designs = which[order], table.design[order]
    new = np.r_[True, (np.diff(kinds) != 0) | (np.diff(designs) != 0)] if len(kinds) else []
    starts = np.flatnonzero(new)
    counts = np.diff(np.r_[starts, len(kinds)])
    entries = np.concatenate([rows[first[kinds[starts]]], counts[:, None]], axis=1)
    # Kinds are sorted by their rows, so equal multisets are equal sequences of entries.
    bounds = np.searchsorted(designs[starts], np.arange(table.n + 1))
    return [
        hashlib.blake2b(entries[a:b].tobytes(), digest_size=16).digest()
        for a, b in pairwise(bounds)
    ]


class SystolicGrid:
    """Measures networks against systolic arrays that were laid out before.

    Args:
        technology: What actions and components cost.
        overlap: See `evaluators.systolic_costs.layer_costs`.
        inner: ``i`` designs of the arrays alone.
        names: The metrics that are wanted.
    """

    def __init__(
        self, technology: Technology, overlap: float, inner: Designs, names: frozenset[str]
    ) -> None:
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
        self._place: dict[bytes, int] = {}
        self._tables = {name: np.empty((0, len(inner))) for name in _KEPT}

    def __call__(self, outer: Designs) -> Grid:
        """Measures ``o`` networks, bits included, on all arrays; see `against`."""
        table = outer.layers
        gemms = Gemms.of(table)
        rows = np.stack([getattr(table, name) for name in (*_SHAPE, *_BITS)], axis=1)
        first, which = unique(rows)
        places = self._costed([row.tobytes() for row in rows[first]], gemms, first)
        counts = np.bincount(table.design * len(first) + which, minlength=len(outer) * len(first))
        often = counts.reshape(len(outer), len(first)).astype(np.float64)
        pe = pe_of(table, gemms, self.technology)

        def total(name: str) -> Floats:
            summed: Floats = often @ self._tables[name][places]
            return summed

        answers: dict[str, Callable[[], Floats]] = {
            "energy": lambda: (
                total("energy")
                + total("latency") * (pe.leakage[:, None] * self.pes + self.arrays.leakage)
            ),
            "latency": lambda: total("latency"),
            "area": lambda: pe.area[:, None] * self.pes + self.sram_area,
            "cycles": lambda: total("cycles"),
            "dram_bytes": lambda: total("dram_bytes"),
            "utilization": lambda: total("macs") / np.maximum(total("cycles") * self.pes, 1.0),
        }
        columns = {name: answer() for name, answer in answers.items() if name in self.names}
        feasible: Bools = total("lacks") == 0
        for column in columns.values():
            column[~feasible] = np.nan
        return Grid(columns, feasible)

    def _costed(self, names: list[bytes], gemms: Gemms, rows: Ints) -> Ints:
        """Where the costs of some layers stand, which are computed if need be."""
        new = [j for j, name in enumerate(names) if name not in self._place]
        if new:
            each = len(_KEPT) * 8 * max(1, len(self.pes))
            if (len(self._place) + len(new)) * each > _BYTES and self._place:
                self._place.clear()
                self._tables = {k: column[:0] for k, column in self._tables.items()}
                new = list(range(len(names)))
            costs = self._costs(gemms.pick(rows[new]), len(new))
            self._tables = {k: np.concatenate([self._tables[k], costs[k]]) for k in _KEPT}
            for j in new:
                self._place[names[j]] = len(self._place)
        return np.array([self._place[name] for name in names], dtype=np.int64)

    def _costs(self, gemms: Gemms, n: int) -> dict[str, Floats]:
        found = {name: np.empty((n, len(self.pes))) for name in _KEPT}
        step = max(1, _CELLS // max(1, n))
        for code, dataflow in enumerate(FLOWS):
            alike = np.flatnonzero(self.flows == code)
            for start in range(0, len(alike), step):
                some = alike[start : start + step]
                part = cost_of(
                    gemms.pick(np.arange(n)[:, None]),
                    self.arrays.pick(some),
                    dataflow,
                    self.technology,
                    self.overlap,
                )
                dynamic = part.energy_mac + part.energy_sram + part.energy_dram
                lacks = sum(getattr(part, f"lacks_{operand}") for operand in OPERANDS)
                values = (part.latency, dynamic, part.cycles, part.dram_bytes, part.macs, lacks)
                for name, value in zip(_KEPT, values, strict=True):
                    found[name][:, some] = value
        return found
