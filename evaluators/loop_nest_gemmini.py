"""Gemmini's memories as DOSA describes them to Timeloop, and their energies fitted to its rows.

Gemmini (Genc et al., DAC 2021) is a square array of multipliers that keep their weight; a column
adds its sums into an accumulator of its own, a scratchpad serves all. Levels, the innermost
first: weight registers, accumulators, scratchpad, DRAM. Bandwidths (elements per cycle: DRAM 8,
scratchpad two per column, accumulator 2) and DRAM's block of 64 elements are those of DOSA's
architecture file (Hong et al., "DOSA: differentiable model-based one-loop search for DNN
accelerators", MICRO 2023; BSD-2), which the rows' own columns repeat except for DRAM.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from evaluators.loop_nest import LoopNest
from evaluators.loop_nest_costs import Memories, costs_of
from evaluators.loop_nest_traffic import TIMELOOP, traffic
from hwnas.arrays import Floats, Ints

KEEPS: Final = ("W", "O", "WI", "WIO")
"""What each level keeps."""

_DRAM_BANDWIDTH: Final = 8.0
_BLOCKS: Final = np.array([1.0, 1.0, 1.0, 64.0])
_ACCUMULATOR_BANDWIDTH: Final = 2.0
_KIB: Final = 1024.0


@dataclass(frozen=True, eq=False)
class GemminiArrays:
    """Configurations, ``(m,)`` each.

    Attributes:
        side: Rows and columns of the array.
        accumulator: Capacity of one column's accumulator, B.
        scratchpad: Capacity of the scratchpad, B.
    """

    side: Ints
    accumulator: Ints
    scratchpad: Ints

    def pick(self, rows: Ints) -> GemminiArrays:
        """The configurations of some rows."""
        return GemminiArrays(self.side[rows], self.accumulator[rows], self.scratchpad[rows])


@dataclass(frozen=True)
class GemminiEnergies:
    """Energies per access, J; those of SRAM grow linearly with its capacity.

    Attributes:
        mac: One MAC together with the reading of its weight register, which always go together.
        register: Writing a weight register.
        accumulator: Reading or writing an element of an accumulator, were it empty.
        accumulator_kib: What every KiB of the accumulator adds.
        scratchpad: Reading or writing an element of the scratchpad, were it empty.
        scratchpad_kib: What every KiB of the scratchpad adds.
        dram: Reading or writing an element of DRAM.
    """

    mac: float
    register: float
    accumulator: float
    accumulator_kib: float
    scratchpad: float
    scratchpad_kib: float
    dram: float

    @classmethod
    def fitted(cls, nest: LoopNest, arrays: GemminiArrays, energy: Floats) -> Self:
        """The energies that explain rows best: non-negative least squares of relative errors.

        Args:
            nest: ``m`` mappings.
            arrays: What they ran on.
            energy: What they took, J, ``(m,)``.
        """
        from scipy.optimize import nnls

        relative = access_columns(nest, arrays) / energy[:, None]
        scale = relative.max(axis=0)
        scale[scale == 0] = 1.0
        found, _ = nnls(relative / scale, np.ones(len(energy)))
        return cls(*(found / scale).tolist())

    def memories(self, arrays: GemminiArrays) -> Memories:
        """The hierarchies of some configurations."""
        m = len(arrays.side)
        access = np.empty((m, 4, 1))
        access[:, 0, 0] = 0.0
        access[:, 1, 0] = self.accumulator + self.accumulator_kib * arrays.accumulator / _KIB
        access[:, 2, 0] = self.scratchpad + self.scratchpad_kib * arrays.scratchpad / _KIB
        access[:, 3, 0] = self.dram
        write = access.copy()
        write[:, 0, 0] = self.register
        bandwidth = np.empty((m, 4))
        bandwidth[:, 0] = np.inf
        bandwidth[:, 1] = _ACCUMULATOR_BANDWIDTH
        bandwidth[:, 2] = 2.0 * arrays.side
        bandwidth[:, 3] = _DRAM_BANDWIDTH
        return Memories(access, write, bandwidth, self.mac, _BLOCKS)


def access_columns(nest: LoopNest, arrays: GemminiArrays) -> Floats:
    """What each of the energies is multiplied by, ``(m, 7)``, in the order of their fields."""
    moved, columns = traffic(nest, TIMELOOP), []
    for place in range(len(fields(GemminiEnergies))):
        unit = GemminiEnergies(*np.eye(len(fields(GemminiEnergies)))[place].tolist())
        columns.append(costs_of(nest, moved, unit.memories(arrays)).energy)
    return np.stack(columns, axis=1)
