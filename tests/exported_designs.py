"""Designs for tests of exports: layers of all kinds on systolic and on spatial arrays."""

from __future__ import annotations

import numpy as np

from hwnas.design import (
    Design,
    Designs,
    ImportedNetwork,
    LayerTable,
    Operator,
    SpatialArray,
    SystolicArray,
)
from hwnas.design.parts import AcceleratorTemplate

SYSTOLIC = ("os", "ws", "is")
SPATIAL = ("nvdla", "shidiannao", "row_stationary", "K|C", "G|K", "K|P", "Q|R", "C|K|P")
ALL = (*SYSTOLIC, *SPATIAL)
"""Dataflows; the last one has three axes."""

_C, _L, _M = Operator.CONVOLUTION, Operator.LINEAR, Operator.MATMUL
_ROWS = [
    # operator, N, K, C, P, Q, R, S, stride, groups, weight bits
    (_C, 1, 24, 3, 9, 8, 7, 7, 2, 1, 4),
    (_C, 1, 32, 24, 9, 9, 1, 1, 2, 1, 8),
    (_C, 1, 48, 48, 7, 7, 3, 3, 1, 48, 8),
    (Operator.POOL, 1, 48, 48, 1, 1, 7, 7, 7, 1, 8),
    (_C, 2, 16, 8, 5, 4, 3, 1, 2, 4, 3),
    (_L, 1, 10, 48, 5, 1, 1, 1, 1, 1, 2),
    (_M, 2, 32, 48, 6, 1, 1, 1, 1, 4, 8),
    (Operator.ADD, 1, 10, 10, 1, 1, 1, 1, 1, 1, 8),
]
_NAMES = ("operator", "N", "K", "C", "P", "Q", "R", "S", "stride", "groups", "weight_bits")


def table(rows=_ROWS) -> LayerTable:
    columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(_NAMES)}
    return LayerTable.of(1, np.zeros(len(rows), dtype=np.int64), activation_bits=8, **columns)


def only(operator: Operator) -> LayerTable:
    """One layer of an operator."""
    return table([(operator, 1, 4, 4, 3, 3, 1, 1, 1, 1, 8)])


def on(accelerator: AcceleratorTemplate, layers: LayerTable | None = None) -> Design:
    layers = table() if layers is None else layers
    space = ImportedNetwork.of(layers, "mine").space() + accelerator.space()
    return Designs(space, np.zeros((1, len(space)), dtype=np.int64))[0]


def systolic(layers: LayerTable | None = None, **parameters: object) -> Design:
    usual = {"rows": 16, "columns": 8, "dataflow": "ws", "dram_bandwidth": 1.6e9, "clock": 400e6}
    usual |= dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 8192)
    return on(SystolicArray(**{k: (v,) for k, v in (usual | parameters).items()}), layers)


def spatial(layers: LayerTable | None = None, **parameters: object) -> Design:
    usual = {"rows": 16, "columns": 8, "depth": 2, "dataflow": "nvdla", "sram_bandwidth": 16}
    usual |= {"weight_rf": 16, "input_rf": 12, "output_rf": 32, "pe": "fixed"}
    usual |= {"dram_bandwidth": 1.6e9, "clock": 400e6}
    usual |= dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 8192)
    return on(SpatialArray(**{k: (v,) for k, v in (usual | parameters).items()}), layers)


def design_of(dataflow: str) -> Design:
    """The layers of all kinds at a dataflow."""
    return (systolic if dataflow in SYSTOLIC else spatial)(dataflow=dataflow)
