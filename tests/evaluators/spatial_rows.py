"""Layers and arrays as the spatial core takes them, from the columns of reference tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from evaluators.spatial.rows import Arrays, Layers


def layers_of(rows: pd.DataFrame, *, bits: int = 8, sum_bits: int = 16, **columns: Any) -> Layers:
    """Rows of layers; K and C count all groups."""
    n = len(rows)
    one, zero = np.ones((n, 1)), np.zeros((n, 1))

    def column(name: str) -> Any:
        return rows[name].to_numpy(dtype=np.float64)[:, None]

    groups = column("groups") if "groups" in rows else one
    images = column("N") if "N" in rows else one
    P, Q, R, S, stride = (column(name) for name in ("P", "Q", "R", "S", "stride"))
    step, column_step = np.minimum(stride, R), np.minimum(stride, S)
    told: dict[str, Any] = {
        "G": groups,
        "N": images,
        "K": column("K") / groups,
        "C": column("C") / groups,
        "P": P,
        "Q": Q,
        "R": R,
        "S": S,
        "step": step,
        "column_step": column_step,
        "height": (P - 1) * step + R,
        "width": (Q - 1) * column_step + S,
        "weight_bits": bits * one,
        "activation_bits": bits * one,
        "sum_bits": sum_bits * one,
        "work": one,
        "speed": one,
        "mac_energy": one,
        **columns,
    }
    return Layers(**{name: told.get(name, zero) for name in Layers._fields})


def arrays_of(**columns: Any) -> Arrays:
    """One array; by default that of the ZigZag runs (weight stationary, 32 x 32).

    64 KiB of scratchpad each, with ports of 32 elements (sums: 16 bits), a register of 8 bits for
    a weight in every element and of 16 bits for a sum in every column, DRAM of 64 bits per cycle.
    Energies per bit in units of a MAC: a register access 1, a scratchpad 6 and DRAM 200 per word
    of 8 bits, where ZigZag counts a register of 16 bits as one word.
    """
    kib = 8.0 * 1024.0
    scratchpads = dict.fromkeys(
        ("ifmap_read", "ifmap_write", "filter_read", "filter_write", "ofmap_read", "ofmap_write"),
        6.0 / 8.0,
    )
    registers = dict.fromkeys(
        ("input_rf_read", "input_rf_write", "weight_rf_read", "weight_rf_write"), 1.0 / 8.0
    )
    told: dict[str, Any] = {
        "rows": 32.0,
        "columns": 32.0,
        "depth": 1.0,
        "ifmap_bits": 64 * kib,
        "filter_bits": 64 * kib,
        "ofmap_bits": 64 * kib,
        "input_rf": 0.0,
        "weight_rf": 8.0,
        "output_rf": 16.0,
        "sram_bandwidth": 256.0,
        "output_bandwidth": 512.0,
        "dram_bandwidth": 8.0,
        "clock": 1.0,
        **scratchpads,
        **registers,
        "output_rf_read": 1.0 / 16.0,
        "output_rf_write": 1.0 / 16.0,
        "noc": 0.0,
        "dram": 200.0 / 8.0,
        **columns,
    }
    told.setdefault("pes", told["rows"] * told["columns"] * told["depth"])
    return Arrays(**{name: np.atleast_1d(np.float64(value)) for name, value in told.items()})
