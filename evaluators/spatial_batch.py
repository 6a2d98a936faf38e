"""Layer tables and accelerators as the columns that the spatial core takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluators.dataflows import SCRATCHPADS, Gemms
from evaluators.pe import PES, ProcessingElement
from evaluators.spatial_rows import Arrays, Layers
from evaluators.technology import Technology
from hwnas.arrays import Floats, Ints, Values
from hwnas.design import LayerTable
from hwnas.errors import DesignError, nearest
from hwnas.space import unique

_BYTE: Final = 8.0
_NUMBERS: Final = (
    "rows", "columns", "depth", "weight_rf", "input_rf", "output_rf", *SCRATCHPADS,
    "sram_bandwidth", "dram_bandwidth", "clock",
)  # fmt: skip
_REGISTERS: Final = ("weight_rf", "input_rf", "output_rf")


@dataclass(frozen=True)
class Sparsity:
    """What zeros among the weights are good for.

    Attributes:
        gated: Products with zeros cost no energy.
        skipped: They take no time either, and zeros are neither stored nor moved.
        index_bits: Bits that tell where a weight stands, per weight that is not zero.
    """

    gated: bool = False
    skipped: bool = False
    index_bits: int = 0

    def stored(self, bits: Floats, density: Floats) -> Floats:
        """Bits stored per weight, zeros included."""
        if not self.skipped:
            return bits
        return np.minimum(bits, np.where(density < 1.0, density * (bits + self.index_bits), bits))


@dataclass(frozen=True, eq=False)
class Widest:
    """The widest operands of each network, bits, ``(n,)`` each; 0 where there are none.

    Attributes:
        weight: Weights that are multiplied.
        activation: Activations that are multiplied.
        total: Partial sums.
        shifted: Activations that are shifted.
        difference: Differences of adder layers.
    """

    weight: Floats
    activation: Floats
    total: Floats
    shifted: Floats
    difference: Floats

    @classmethod
    def of(cls, table: LayerTable, g: Gemms) -> Widest:
        """Of all layers of each network."""

        def widest(bits: Floats, which: Floats) -> Floats:
            most = np.zeros(table.n)
            np.maximum.at(most, table.design, np.where((g.gemms > 0) & (which > 0), bits, 0.0))
            return most

        products = 1.0 - g.shifts - g.adders
        return cls(
            weight=widest(g.weight_bits, products),
            activation=widest(g.activation_bits, products),
            total=widest(g.sum_bits, np.ones(len(table))),
            shifted=widest(g.activation_bits, g.shifts),
            difference=widest(np.maximum(g.weight_bits, g.activation_bits) + 1.0, g.adders),
        )

    @classmethod
    def nothing(cls, n: int) -> Widest:
        """That of ``n`` networks without layers."""
        return cls(*(np.zeros(n) for _ in range(5)))

    def pe_area(self, pe: ProcessingElement, costs: Technology) -> Floats:
        """Area of one processing element, register files apart, m^2, ``(n,)``."""
        area = pe.area(self.weight, self.activation, self.total, costs)
        return area + costs.shifter.area * self.shifted + costs.adder.area * self.difference

    def pe_leakage(self, pe: ProcessingElement, costs: Technology) -> Floats:
        """Leakage of one, register files apart, W, ``(n,)``."""
        leakage = pe.leakage(self.weight, self.activation, self.total, costs)
        shifter, adder = costs.shifter.leakage, costs.adder.leakage
        return leakage + shifter * self.shifted + adder * self.difference


@dataclass(frozen=True, eq=False)
class Kinds:
    """The different layers of a batch of networks.

    Attributes:
        g: Them as GEMMs, ``(k,)`` each.
        tiling: Numbers of the tilings that they name, ``(k,)``.
        stay: Likewise of what stays.
        widest_weight: The widest weights of the networks that they are in, bits, ``(k,)``.
        widest_activation: Likewise for activations.
        widest_total: Likewise for partial sums.
        keys: What tells them apart, one per kind.
        of_row: The kind of each row of the table, ``(L,)``.
    """

    g: Gemms
    tiling: Floats
    stay: Floats
    widest_weight: Floats
    widest_activation: Floats
    widest_total: Floats
    keys: tuple[bytes, ...]
    of_row: Ints

    @classmethod
    def of(cls, table: LayerTable, g: Gemms, widest: Widest) -> Kinds:
        """The kinds of a table's rows.

        Args:
            table: Layers.
            g: Its rows as GEMMs.
            widest: The widest operands of its networks.
        """
        most = [getattr(widest, name)[table.design] for name in ("weight", "activation", "total")]
        columns = [table.tiling, table.stay, *(column for column in vars(g).values()), *most]
        rows = np.stack(columns, axis=1).astype(np.float64)
        codes = np.stack([np.unique(c, return_inverse=True)[1].reshape(-1) for c in rows.T], axis=1)
        first, which = unique(codes.astype(np.int64))
        return cls(
            g=g.pick(first),
            tiling=table.tiling[first].astype(np.float64),
            stay=table.stay[first].astype(np.float64),
            widest_weight=most[0][first],
            widest_activation=most[1][first],
            widest_total=most[2][first],
            keys=tuple(row.tobytes() for row in rows[first]),
            of_row=which,
        )

    def layers(self, pe: ProcessingElement, costs: Technology, zeros: Sparsity) -> Layers:
        """Them as the core takes them, for one kind of processing elements, ``(k,)`` each."""
        g = self.g
        real = g.gemms > 0
        bits = (g.weight_bits, g.activation_bits)
        built = (self.widest_weight, self.widest_activation)
        multiplying = pe.energy_per_mac(*bits, g.sum_bits, *built, self.widest_total, costs)
        summing = costs.adder.energy * g.sum_bits
        difference = costs.adder.energy * (np.maximum(*bits) + 1.0)
        shifting = costs.shifter.energy * g.activation_bits
        per_mac = np.where(
            g.shifts > 0,
            shifting + summing,
            np.where(g.adders > 0, difference + summing, multiplying),
        )
        products = 1.0 - g.shifts - g.adders
        speed = np.where(products * real > 0, pe.macs_per_cycle(*bits, *built), 1.0)
        one = np.ones(len(g.gemms))
        P, Q = np.where(real, g.lines, one), np.where(real, g.image, one)
        R = np.where(real, g.kernel, one)
        S = np.where(real, g.W / (g.kernel * g.C), one)
        spread = np.where(Q > 1, (g.line - S) / np.maximum(Q - 1.0, 1.0), 1.0)
        gated = zeros.gated or zeros.skipped
        return Layers(
            G=g.gemms,
            N=np.where(real, g.M / (P * Q), one),
            K=g.N,
            C=np.where(real, g.C, one),
            P=P,
            Q=Q,
            R=R,
            S=S,
            step=np.where(real, g.step, one),
            column_step=np.where(real, spread, one),
            height=np.where(real, g.height, one),
            width=np.where(real, g.line, one),
            weight_bits=zeros.stored(g.weight_bits, g.density),
            activation_bits=g.activation_bits,
            sum_bits=np.where(real, g.sum_bits, one),
            work=g.density if zeros.skipped else one,
            speed=speed,
            mac_energy=per_mac * g.density if gated else per_mac,
            vector_inputs=g.vector_inputs,
            vector_reads=g.vector_reads,
            vector_weights=g.vector_weights,
            vector_outputs=g.vector_outputs,
            vector_window=g.vector_window,
            tiling=self.tiling,
            stay=self.stay,
        )


def numbers_of(accelerators: Mapping[str, Values]) -> dict[str, Floats]:
    """The numeric parameters of spatial arrays, at rest, ``float64 (n,)`` each.

    Raises:
        DesignError: A parameter is missing.
    """
    for name in (*_NUMBERS, "dataflow", "pe"):
        if name not in accelerators:
            raise DesignError(
                f"the accelerators have no {name!r}, which a spatial array needs",
                rule="the parameters " + ", ".join((*_NUMBERS, "dataflow", "pe")),
                given=", ".join(accelerators),
                cure=nearest(name, accelerators),
            )
    return {name: np.asarray(accelerators[name], dtype=np.float64) for name in _NUMBERS}


def arrays_of(n: Mapping[str, Floats], costs: Technology, *, double_buffered: bool) -> Arrays:
    """Accelerators made in a technology, at a clock of 1 Hz: times come out in cycles.

    Leakage is left out, as it depends on what else an element consists of.

    Args:
        n: Parameter to values ``(n,)``; see `numbers_of`.
        costs: The technology.
        double_buffered: Half of each scratchpad is filled while the other half works.
    """
    room = _BYTE / 2.0 if double_buffered else _BYTE
    nothing = np.zeros(len(n["rows"]))
    energies = {}
    for operand, scratchpad in zip(("ifmap", "filter", "ofmap"), SCRATCHPADS, strict=True):
        energies[f"{operand}_read"] = costs.sram_read(n[scratchpad])
        energies[f"{operand}_write"] = costs.sram_write(n[scratchpad])
    for name in _REGISTERS:
        has = n[name] > 0
        energies[f"{name}_read"] = np.where(has, costs.rf_read(n[name]), 0.0)
        energies[f"{name}_write"] = np.where(has, costs.rf_write(n[name]), 0.0)
    return Arrays(
        rows=n["rows"],
        columns=n["columns"],
        depth=n["depth"],
        pes=n["rows"] * n["columns"] * n["depth"],
        ifmap_bits=n["ifmap_sram"] * room,
        filter_bits=n["filter_sram"] * room,
        ofmap_bits=n["ofmap_sram"] * room,
        input_rf=n["input_rf"] * _BYTE,
        weight_rf=n["weight_rf"] * _BYTE,
        output_rf=n["output_rf"] * _BYTE,
        sram_bandwidth=n["sram_bandwidth"] * _BYTE,
        output_bandwidth=n["sram_bandwidth"] * (2.0 * _BYTE),
        dram_bandwidth=n["dram_bandwidth"] / n["clock"],
        clock=nothing + 1.0,
        noc=nothing + costs.noc,
        dram=nothing + costs.dram_energy,
        **energies,
    )


def memory_area(n: Mapping[str, Floats], costs: Technology) -> dict[str, Floats]:
    """Area of scratchpads and of all register files, m^2, ``(n,)`` each."""
    pes = n["rows"] * n["columns"] * n["depth"]
    area = {name: costs.sram_area(n[name]) for name in SCRATCHPADS}
    files = [np.where(n[name] > 0, costs.rf_area(n[name]), 0.0) for name in _REGISTERS]
    return {**area, "registers": pes * sum(files[1:], files[0])}


def memory_leakage(n: Mapping[str, Floats], costs: Technology) -> Floats:
    """Leakage of scratchpads and of all register files, W, ``(n,)``."""
    pes = n["rows"] * n["columns"] * n["depth"]
    files = [np.where(n[name] > 0, costs.rf_leakage(n[name]), 0.0) for name in _REGISTERS]
    total = pes * sum(files[1:], files[0])
    for name in SCRATCHPADS:
        total = total + costs.sram_leakage(n[name])
    return total


def pe_named(name: str) -> ProcessingElement:
    """A kind of processing elements.

    Raises:
        DesignError: There is none of that name.
    """
    if name not in PES:
        raise DesignError(
            f"there are no processing elements {name!r}",
            where="accelerator parameter pe",
            rule="one of " + ", ".join(PES),
            cure=nearest(name, PES),
        )
    return PES[name]
