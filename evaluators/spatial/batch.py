"""Layer tables and accelerators as the columns that the spatial core takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluators.arithmetic import Widest, energy_per_mac
from evaluators.dataflows import SCRATCHPADS, Gemms
from evaluators.pe import PES, ProcessingElement
from evaluators.sparsity import Sparsity
from evaluators.spatial.rows import Arrays, Layers
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
        per_mac = energy_per_mac(g, multiplying, costs)
        products = 1.0 - g.shifts - g.adders
        speed = np.where(products * real > 0, pe.macs_per_cycle(*bits, *built), 1.0)
        one = np.ones(len(g.gemms))
        P, Q = np.where(real, g.lines, one), np.where(real, g.image, one)
        R = np.where(real, g.kernel, one)
        S = np.where(real, g.W / (g.kernel * g.C), one)
        spread = np.where(Q > 1, (g.line - S) / np.maximum(Q - 1.0, 1.0), 1.0)
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
            work=zeros.work(g.density),
            speed=speed,
            mac_energy=zeros.spent(per_mac, g.density),
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
