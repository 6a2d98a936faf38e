"""The genes of an array of processing elements that unrolls two or three loops of a layer."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Final

from hwnas.design.parts import AcceleratorTemplate
from hwnas.errors import SpaceError, nearest
from hwnas.space import Gene
from hwnas.units import Unit

LOOPS: Final = "GNKCPQRS"
"""The loops of a layer: groups, and the dimensions of the layer table."""
NAMED_DATAFLOWS: Final = {
    "nvdla": "K|C",
    "shidiannao": "P|Q",
    "row_stationary": "R|P",
}
"""Dataflows that the field has names for, and what they unroll along rows and columns."""
_SRAM_SIZES: Final = tuple(1024 * k for k in (8, 16, 32, 64, 128, 256))
_UNITS: Final = {
    **dict.fromkeys(
        ("weight_rf", "input_rf", "output_rf", "ifmap_sram", "filter_sram", "ofmap_sram"), "B"
    ),
    "sram_bandwidth": "B",
    "dram_bandwidth": "B/s",
    "clock": "Hz",
}
_UNORDERED: Final = ("dataflow", "pe")
_PES: Final = ("fixed", "weight_serial", "activation_serial", "bit_serial", "composable")


def unrolled(dataflow: str) -> tuple[str, ...]:
    """The loops that a dataflow unrolls, along rows, columns and (if any) depth.

    Args:
        dataflow: A name of `NAMED_DATAFLOWS`, or loops with bars between, e.g. ``K|C`` or
            ``K|C|P``.

    Raises:
        SpaceError: It is neither.
    """
    loops = NAMED_DATAFLOWS.get(dataflow, dataflow)
    letters = tuple(loops.split("|"))
    if not re.fullmatch(rf"[{LOOPS}](\|[{LOOPS}]){{1,2}}", loops) or len(set(letters)) < len(
        letters
    ):
        raise SpaceError(
            f"a spatial array has no dataflow {dataflow!r}",
            where="option dataflow",
            rule=f"{', '.join(NAMED_DATAFLOWS)}, or two or three different loops of {LOOPS} with "
            "bars between, e.g. K|C",
            given=repr(dataflow),
            cure=nearest(dataflow, NAMED_DATAFLOWS),
        )
    return letters


@dataclass(frozen=True)
class SpatialArray(AcceleratorTemplate):
    """Processing elements with register files, fed from three scratchpads.

    Each element computes one step of the loops at a time; rows, columns and depth of the array are
    neighbouring iterations of the loops that the dataflow unrolls.

    Attributes:
        rows: Rows of the array to choose from.
        columns: Columns of the array to choose from.
        depth: Its third dimension, for dataflows of three loops (others leave all but one idle).
        dataflow: ``nvdla`` (K|C), ``shidiannao`` (P|Q), ``row_stationary`` (Eyeriss), or loops
            with bars between, e.g. ``K|P``: along rows, columns, depth.
        weight_rf: Register file for weights of each element to choose from, B; 0 for none.
        input_rf: Likewise for inputs.
        output_rf: Likewise for partial sums.
        ifmap_sram: Sizes of the input scratchpad to choose from, B.
        filter_sram: Sizes of the weight scratchpad to choose from, B.
        ofmap_sram: Sizes of the output scratchpad to choose from, B.
        sram_bandwidth: What the input and the weight scratchpad each deliver per cycle, B; that
            of outputs delivers and takes twice as much, as partial sums are wider.
        dram_bandwidth: DRAM bandwidths to choose from, B/s.
        clock: Clock frequencies to choose from, Hz.
        pe: What the elements do with narrow operands: ``fixed``, ``weight_serial``,
            ``activation_serial``, ``bit_serial`` or ``composable``.
    """

    rows: tuple[int, ...] = (8, 16, 32)
    columns: tuple[int, ...] = (8, 16, 32)
    depth: tuple[int, ...] = (1,)
    dataflow: tuple[str, ...] = ("nvdla", "shidiannao")
    weight_rf: tuple[Annotated[int, Unit("B")], ...] = (4,)
    input_rf: tuple[Annotated[int, Unit("B")], ...] = (4,)
    output_rf: tuple[Annotated[int, Unit("B")], ...] = (16,)
    ifmap_sram: tuple[Annotated[int, Unit("B")], ...] = _SRAM_SIZES
    filter_sram: tuple[Annotated[int, Unit("B")], ...] = _SRAM_SIZES
    ofmap_sram: tuple[Annotated[int, Unit("B")], ...] = _SRAM_SIZES
    sram_bandwidth: tuple[Annotated[int, Unit("B")], ...] = (32,)
    dram_bandwidth: tuple[Annotated[float, Unit("B/s")], ...] = (0.4e9, 0.8e9, 1.6e9, 3.2e9, 6.4e9)
    clock: tuple[Annotated[float, Unit("Hz")], ...] = (100e6, 200e6, 400e6, 800e6)
    pe: tuple[str, ...] = ("fixed",)

    name: ClassVar[str] = "spatial_array"

    def __post_init__(self) -> None:
        for option, values in asdict(self).items():
            object.__setattr__(self, option, tuple(values))
            least = 0 if option.endswith("_rf") else 1
            if not values or (option not in _UNORDERED and min(values) < least):
                raise SpaceError(
                    f"spatial_array cannot have {option} = {list(values)}",
                    rule=f"at least one choice, each at least {least}",
                )
        for dataflow in self.dataflow:
            unrolled(dataflow)
        strange = [pe for pe in self.pe if pe not in _PES]
        if strange:
            raise SpaceError(
                f"a spatial array has no processing elements {strange[0]!r}",
                where="option pe",
                rule=", ".join(_PES),
                cure=nearest(strange[0], _PES),
            )

    def genes(self) -> tuple[Gene, ...]:
        """One gene per parameter; dataflow and kind of element have no order."""
        return tuple(
            Gene(
                f"hw.{name}",
                values,
                ordered=name not in _UNORDERED,
                unit=_UNITS.get(name, "1"),
            )
            for name, values in asdict(self).items()
        )
