"""The columns that the core of the spatial array's cost model takes and gives.

Layers are ``(L, 1)`` (or ``(L, n)``), accelerators ``(n,)``, costs ``(L, n)``: float64, numpy or
torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Array = Any
"""An array of numpy or torch, float64."""


class Layers(NamedTuple):
    """Layer rows, ``(L, 1)`` or ``(L, n)`` each.

    Attributes:
        G: Groups that come one after the other; 0 for what the vector unit does.
        N: Images.
        K: Filters of one group.
        C: Channels of one group.
        P: Output lines.
        Q: Output columns.
        R: Kernel lines.
        S: Kernel columns.
        step: Touched input lines from one output line to the next.
        column_step: Likewise for columns.
        height: Input lines touched.
        width: Input columns touched.
        weight_bits: Bits stored per weight.
        activation_bits: Bits of an input or output.
        sum_bits: Bits of a partial sum.
        work: Share of the dense steps that take time.
        speed: MACs of one element per cycle.
        mac_energy: Energy of one dense MAC, J.
        vector_inputs: Different elements that the vector unit reads.
        vector_reads: Elements that it reads from the scratchpad.
        vector_weights: Weights that it reads.
        vector_outputs: Elements that it writes.
        vector_window: Its cycles per element.
        tiling: Number of the tiling, from 1; 0 for the best (`hwnas.design.mappings.TILINGS`).
        stay: Number of what stays, from 1; 0 for the best (`hwnas.design.mappings.STAYS`).
    """

    G: Array
    N: Array
    K: Array
    C: Array
    P: Array
    Q: Array
    R: Array
    S: Array
    step: Array
    column_step: Array
    height: Array
    width: Array
    weight_bits: Array
    activation_bits: Array
    sum_bits: Array
    work: Array
    speed: Array
    mac_energy: Array
    vector_inputs: Array
    vector_reads: Array
    vector_weights: Array
    vector_outputs: Array
    vector_window: Array
    tiling: Array
    stay: Array


class Arrays(NamedTuple):
    """Accelerators, ``(n,)`` each.

    Attributes:
        rows: Rows of the array.
        columns: Its columns.
        depth: Its third dimension; 1 if it has none.
        pes: Processing elements.
        ifmap_bits: What the input scratchpad holds of a tile, bits.
        filter_bits: Likewise for weights.
        ofmap_bits: Likewise for outputs.
        input_rf: Bits of each element's register file for inputs.
        weight_rf: Likewise for weights.
        output_rf: Likewise for partial sums.
        sram_bandwidth: Bits per cycle of the scratchpads of inputs and weights.
        output_bandwidth: Bits per cycle, each way, of the scratchpad of outputs.
        dram_bandwidth: B/s.
        clock: Hz.
        ifmap_read: J per bit; likewise the following.
        ifmap_write: J per bit.
        filter_read: J per bit.
        filter_write: J per bit.
        ofmap_read: J per bit.
        ofmap_write: J per bit.
        input_rf_read: J per bit.
        input_rf_write: J per bit.
        weight_rf_read: J per bit.
        weight_rf_write: J per bit.
        output_rf_read: J per bit.
        output_rf_write: J per bit.
        noc: J per bit from a scratchpad to the array or back.
        dram: J per bit.
    """

    rows: Array
    columns: Array
    depth: Array
    pes: Array
    ifmap_bits: Array
    filter_bits: Array
    ofmap_bits: Array
    input_rf: Array
    weight_rf: Array
    output_rf: Array
    sram_bandwidth: Array
    output_bandwidth: Array
    dram_bandwidth: Array
    clock: Array
    ifmap_read: Array
    ifmap_write: Array
    filter_read: Array
    filter_write: Array
    ofmap_read: Array
    ofmap_write: Array
    input_rf_read: Array
    input_rf_write: Array
    weight_rf_read: Array
    weight_rf_write: Array
    output_rf_read: Array
    output_rf_write: Array
    noc: Array
    dram: Array


class Costs(NamedTuple):
    """What each layer costs, ``(L, n)`` each.

    Attributes:
        macs: Multiply-accumulates (or what is in their place), dense.
        busy: Cycles that elements are at work, of all elements together.
        cycles: Clock cycles without waiting for DRAM.
        compute_time: Cycles / clock, s.
        dram_time: DRAM traffic / bandwidth, s.
        latency: Both together, s.
        sram_ifmap: Inputs read by the array, B.
        sram_filter: Weights read by the array, B.
        sram_ofmap: Partial sums and results written by the array and read back, B.
        dram_ifmap: Inputs read from DRAM, B.
        dram_filter: Weights read from DRAM, B.
        dram_ofmap: Outputs written to DRAM, and partial sums written and read back, B.
        dram_bytes: All DRAM traffic, B.
        energy_mac: Arithmetic, J.
        energy_register: Register files, J.
        energy_noc: Between scratchpads and array, J.
        energy_sram: Scratchpads, J.
        energy_dram: DRAM, J.
        energy_leakage: Leakage over the latency, J; 0 until `evaluators.spatial.sums` adds it.
        power: Energy / latency, W; dynamic until then.
        lacks_ifmap: B by which the smallest tile exceeds the input scratchpad, 0 if it fits.
        lacks_filter: Likewise for the weight scratchpad.
        lacks_ofmap: Likewise for the output scratchpad.
        unfit: 1 where no mapping (or not the one that is named) fits, else 0.
        tiling: Number of the tiling that was taken, from 1; 0 if none fits.
        stay: Number of what stays, from 1; 0 if none fits.
    """

    macs: Array
    busy: Array
    cycles: Array
    compute_time: Array
    dram_time: Array
    latency: Array
    sram_ifmap: Array
    sram_filter: Array
    sram_ofmap: Array
    dram_ifmap: Array
    dram_filter: Array
    dram_ofmap: Array
    dram_bytes: Array
    energy_mac: Array
    energy_register: Array
    energy_noc: Array
    energy_sram: Array
    energy_dram: Array
    energy_leakage: Array
    power: Array
    lacks_ifmap: Array
    lacks_filter: Array
    lacks_ofmap: Array
    unfit: Array
    tiling: Array
    stay: Array

    @property
    def energy(self) -> Array:
        """All energy, J."""
        arithmetic = self.energy_mac + self.energy_register
        return (
            arithmetic + self.energy_noc + self.energy_sram + self.energy_dram + self.energy_leakage
        )
