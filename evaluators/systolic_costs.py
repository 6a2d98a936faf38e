"""What layers cost on systolic arrays: cycles, traffic, energy; and what the arrays consist of.

See `evaluators.systolic` for what is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from evaluators.arithmetic import Widest, energy_per_mac, widest
from evaluators.dataflows import DATAFLOWS, Arrays, Gemms, Shapes, flows_of, numbers_of
from evaluators.pe import PES
from evaluators.sparsity import Sparsity
from evaluators.technology import Technology
from hwnas.arrays import Floats, Values
from hwnas.design import LayerTable

_BYTE: Final = 8.0
_LEAST: Final = float(np.finfo(np.float64).tiny)
_DENSE: Final = Sparsity()
_FIXED: Final = PES["fixed"]
FLOWS: Final = tuple(DATAFLOWS)
"""The dataflows, in the order of their codes."""


@dataclass(frozen=True, eq=False)
class LayerCosts:
    """What each layer row costs, ``float64 (L,)`` each, in the order of the layer table.

    Attributes:
        gemms: GEMMs that the row consists of: its groups; 0 for what the vector unit does.
        macs: Multiply-accumulates, or what takes their place; those with zeros included.
        cycles: Clock cycles without stalls, counted from 1.
        pes: Processing elements of the row's array.
        sram_ifmap: Elements read from the input scratchpad by the array, as SCALE-Sim counts.
        sram_filter: Elements read from the weight scratchpad by the array.
        sram_ofmap: Results and partial sums written to the output scratchpad by the array.
        dram_ifmap: Inputs read from DRAM, B.
        dram_filter: Weights read from DRAM, B.
        dram_ofmap: Outputs written to DRAM, and partial sums written and read back, B.
        compute_time: Cycles / clock, s.
        dram_time: DRAM traffic / bandwidth, s.
        latency: Both together, s.
        energy_mac: Multipliers (or shifters), adders and registers, J.
        energy_sram: Accesses of the array, filling and draining, J.
        energy_dram: DRAM traffic, J.
        energy_leakage: Leakage of array and scratchpads over the latency, J.
        lacks_ifmap: B by which the input scratchpad is too small for its half to hold one array
            load; 0 if it is not.
        lacks_filter: Likewise for the weight scratchpad.
        lacks_ofmap: Likewise for the output scratchpad.
    """

    gemms: Floats
    macs: Floats
    cycles: Floats
    pes: Floats
    sram_ifmap: Floats
    sram_filter: Floats
    sram_ofmap: Floats
    dram_ifmap: Floats
    dram_filter: Floats
    dram_ofmap: Floats
    compute_time: Floats
    dram_time: Floats
    latency: Floats
    energy_mac: Floats
    energy_sram: Floats
    energy_dram: Floats
    energy_leakage: Floats
    lacks_ifmap: Floats
    lacks_filter: Floats
    lacks_ofmap: Floats

    @property
    def dram_bytes(self) -> Floats:
        """All DRAM traffic, B."""
        return self.dram_ifmap + self.dram_filter + self.dram_ofmap

    @property
    def energy(self) -> Floats:
        """All energy, J."""
        return self.energy_mac + self.energy_sram + self.energy_dram + self.energy_leakage

    @property
    def dynamic_power(self) -> Floats:
        """Average power without leakage, W; 0 where nothing is done."""
        return dynamic_power(self.energy_mac + self.energy_sram + self.energy_dram, self.latency)

    @property
    def power(self) -> Floats:
        """Average power, W; 0 where nothing is done."""
        return dynamic_power(self.energy, self.latency)

    @property
    def utilization(self) -> Floats:
        """Share of the PEs' cycles that are spent on MACs, stalls not counted."""
        return self.macs / (self.cycles * self.pes)

    @property
    def scalesim_cycles(self) -> Floats:
        """Compute cycles as SCALE-Sim 3.0.0 prints them: the number of the last one, from 0."""
        return self.cycles - self.gemms


def dynamic_power(energy: Floats, latency: Floats) -> Floats:
    """Energy (J) over latency (s), W; 0 where both are 0. The two broadcast."""
    return np.asarray(energy / np.maximum(latency, _LEAST))


@dataclass(frozen=True, eq=False)
class Work(Shapes):
    """GEMMs on arrays that make so much of zeros, in a technology, ``(L,)`` each.

    Weight bits are those stored per weight, and density is the share of products that take time.

    Attributes:
        mac_energy: What a product and its sum cost, or what takes their place, zeros averaged in;
            registers apart, J.
    """

    mac_energy: Floats

    @classmethod
    def of_gemms(cls, g: Gemms, costs: Technology, zeros: Sparsity) -> Self:
        """What layers ask for.

        Args:
            g: They as GEMMs, with the bits and the density of their weights.
            costs: What actions cost.
            zeros: What zeros among the weights are good for.
        """
        bits = (g.weight_bits, g.activation_bits, g.sum_bits)
        energy = energy_per_mac(g, _FIXED.energy_per_mac(*bits, *bits, costs), costs)
        columns = {field.name: getattr(g, field.name) for field in fields(Shapes)}
        columns["weight_bits"] = zeros.stored(g.weight_bits, g.density)
        columns["density"] = zeros.work(g.density)
        return cls(**columns, mac_energy=zeros.spent(energy, g.density))


def cost_of(g: Work, a: Arrays, dataflow: str, costs: Technology, overlap: float) -> LayerCosts:
    """Costs of layer rows against accelerators of one dataflow; the two broadcast."""
    gemm = DATAFLOWS[dataflow](g, a)
    macs = g.gemms * g.M * g.N * g.W
    results = g.gemms * g.M * g.N + g.vector_outputs
    steps = np.ceil(g.vector_outputs / a.columns) * g.vector_window
    cycles = g.gemms * g.density * gemm.cycles + steps
    sram_ifmap = g.gemms * gemm.sram_ifmap + g.vector_reads
    sram_filter = g.gemms * gemm.sram_filter + g.vector_weights

    ifmap_bits = (g.gemms * gemm.dram_ifmap + g.vector_inputs) * g.activation_bits
    filter_bits = (g.gemms * gemm.dram_filter + g.vector_weights) * g.weight_bits
    result_bits = results * g.activation_bits
    spilled_bits = g.gemms * gemm.spilled * g.sum_bits
    returned_bits = g.gemms * gemm.returned * g.sum_bits
    traffic = (ifmap_bits + filter_bits + result_bits + 2.0 * spilled_bits) / _BYTE

    compute_time, dram_time = cycles / a.clock, traffic / a.bandwidth
    longer, shorter = np.maximum(compute_time, dram_time), np.minimum(compute_time, dram_time)
    latency = longer + (1.0 - overlap) * shorter

    # The array reads operands, writes and re-reads sums; DRAM fills operands, drains results.
    sram = (
        sram_ifmap * g.activation_bits * a.ifmap_read
        + ifmap_bits * a.ifmap_write
        + sram_filter * g.weight_bits * a.filter_read
        + filter_bits * a.filter_write
        + (result_bits + returned_bits + spilled_bits) * (a.ofmap_write + a.ofmap_read)
    )
    per_mac = g.mac_energy + costs.register.energy * gemm.register_bits
    return LayerCosts(
        gemms=g.gemms,
        macs=macs,
        cycles=cycles,
        pes=a.rows * a.columns,
        sram_ifmap=sram_ifmap,
        sram_filter=sram_filter,
        sram_ofmap=g.gemms * gemm.sram_ofmap + g.vector_outputs,
        dram_ifmap=ifmap_bits / _BYTE,
        dram_filter=filter_bits / _BYTE,
        dram_ofmap=(result_bits + 2.0 * spilled_bits) / _BYTE,
        compute_time=compute_time,
        dram_time=dram_time,
        latency=latency,
        energy_mac=macs * per_mac,
        energy_sram=sram,
        energy_dram=traffic * (_BYTE * costs.dram_energy),
        energy_leakage=latency * a.leakage,
        lacks_ifmap=_lacking(gemm.ifmap_load, a.ifmap_bits),
        lacks_filter=_lacking(gemm.filter_load, a.filter_bits),
        lacks_ofmap=_lacking(gemm.ofmap_load, a.ofmap_bits),
    )


def _lacking(load: Floats, half: Floats) -> Floats:
    """Bytes that are missing of a scratchpad whose half has to hold a load of so many bits."""
    missing: Floats = np.maximum(load - half, 0.0) * (2.0 / _BYTE)
    return missing


def layer_costs(
    layers: LayerTable,
    accelerators: Mapping[str, Values],
    costs: Technology,
    overlap: float = 1.0,
    zeros: Sparsity = _DENSE,
) -> LayerCosts:
    """Costs every layer row on its design's accelerator.

    Args:
        layers: ``L`` rows of ``n`` designs.
        accelerators: One column ``(n,)`` per parameter of `SystolicArray`, at rest.
        costs: What actions and components cost.
        overlap: Share in [0, 1] of the shorter of computing and DRAM traffic that hides behind
            the longer.
        zeros: What zeros among the weights are good for.

    Returns:
        One value per row, in their order.

    Raises:
        DesignError: A parameter is missing, or a dataflow is unknown.
    """
    numbers, flows = numbers_of(accelerators), flows_of(accelerators)
    gemms = Gemms.of(layers)
    arrays = Arrays.of(numbers, pe_of(layers, gemms, costs).leakage, costs)
    work = Work.of_gemms(gemms, costs, zeros)
    columns = {field.name: np.zeros(len(layers)) for field in fields(LayerCosts)}
    for place, dataflow in enumerate(FLOWS):
        rows = np.flatnonzero(flows[layers.design] == place)
        part = cost_of(work.pick(rows), arrays.pick(layers.design[rows]), dataflow, costs, overlap)
        for name, column in columns.items():
            column[rows] = getattr(part, name)
    return LayerCosts(**columns)


@dataclass(frozen=True, eq=False)
class Pe:
    """Area (m^2) and leakage (W) of one processing element per network, ``(n,)`` each."""

    area: Floats
    leakage: Floats


def pe_of(table: LayerTable, gemms: Gemms, costs: Technology) -> Pe:
    """The processing elements that networks need: as wide as their widest layers.

    Shift layers ask for a shifter, adder layers for a second adder; operands pass through registers
    whatever is done with them.

    Args:
        table: Layers of ``n`` networks.
        gemms: They as GEMMs, with the bits of their weights.
        costs: What components cost.
    """
    most = Widest.of(table, gemms)
    weight, activation = most.weight, most.activation
    real = gemms.gemms > 0
    strange = real & (gemms.shifts + gemms.adders > 0)
    # What `Widest` leaves out of the registers: operands that are never multiplied.
    more = np.maximum(widest(table, gemms.weight_bits, strange) - weight, 0.0)
    more += np.maximum(widest(table, gemms.activation_bits, strange) - activation, 0.0)
    return Pe(
        most.pe_area(_FIXED, costs) + costs.register.area * more,
        most.pe_leakage(_FIXED, costs) + costs.register.leakage * more,
    )
