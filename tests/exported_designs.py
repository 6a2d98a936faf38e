"""Designs for tests of exports: layers of all kinds on systolic and on spatial arrays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from hwnas.design import Design, Designs, ImportedNetwork, LayerTable, Operator, SystolicArray
from hwnas.design.parts import AcceleratorTemplate
from hwnas.space import Gene

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


@dataclass(frozen=True)
class SpatialStandIn(AcceleratorTemplate):
    """The genes of a spatial array, one choice each."""

    rows: tuple[int, ...] = (16,)
    columns: tuple[int, ...] = (8,)
    dataflow: tuple[str, ...] = ("nvdla",)
    weight_rf: tuple[int, ...] = (16,)
    input_rf: tuple[int, ...] = (12,)
    output_rf: tuple[int, ...] = (32,)
    ifmap_sram: tuple[int, ...] = (8192,)
    filter_sram: tuple[int, ...] = (8192,)
    ofmap_sram: tuple[int, ...] = (8192,)
    sram_bandwidth: tuple[int, ...] = (16,)
    dram_bandwidth: tuple[float, ...] = (1.6e9,)
    clock: tuple[float, ...] = (400e6,)

    name: ClassVar[str] = "spatial_array"

    def genes(self) -> tuple[Gene, ...]:
        return tuple(Gene(f"hw.{name}", choices) for name, choices in asdict(self).items())


@dataclass(frozen=True)
class DeepStandIn(SpatialStandIn):
    """The same with a third axis."""

    depth: tuple[int, ...] = (2,)


def on(accelerator: AcceleratorTemplate, layers: LayerTable | None = None) -> Design:
    layers = table() if layers is None else layers
    space = ImportedNetwork.of(layers, "mine").space() + accelerator.space()
    return Designs(space, np.zeros((1, len(space)), dtype=np.int64))[0]


def systolic(layers: LayerTable | None = None, **parameters: object) -> Design:
    usual = {"rows": 16, "columns": 8, "dataflow": "ws", "dram_bandwidth": 1.6e9, "clock": 400e6}
    usual |= dict.fromkeys(("ifmap_sram", "filter_sram", "ofmap_sram"), 8192)
    return on(SystolicArray(**{k: (v,) for k, v in (usual | parameters).items()}), layers)


def spatial(layers: LayerTable | None = None, **parameters: object) -> Design:
    kind = DeepStandIn if str(parameters.get("dataflow")).count("|") == 2 else SpatialStandIn
    return on(kind(**{k: (v,) for k, v in parameters.items()}), layers)


def design_of(dataflow: str) -> Design:
    """The layers of all kinds at a dataflow."""
    return (systolic if dataflow in SYSTOLIC else spatial)(dataflow=dataflow)
