"""The genes of a systolic array with three scratchpads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar

from hwnas.design.parts import AcceleratorTemplate
from hwnas.errors import SpaceError
from hwnas.space import Gene
from hwnas.units import Unit

DATAFLOWS = ("os", "ws", "is")
"""Output, weight and input stationary."""

_SRAM_SIZES = tuple(1024 * k for k in (1, 2, 4, 8, 16, 32, 64))


@dataclass(frozen=True)
class SystolicArray(AcceleratorTemplate):
    """A grid of multiply-accumulate units fed from three scratchpads.

    Attributes:
        rows: Rows of the array to choose from.
        columns: Columns of the array to choose from.
        dataflow: ``os``, ``ws``, ``is`` (output, weight, input stationary) to choose from.
        ifmap_sram: Sizes of the input scratchpad to choose from, B.
        filter_sram: Sizes of the weight scratchpad to choose from, B.
        ofmap_sram: Sizes of the output scratchpad to choose from, B.
        dram_bandwidth: DRAM bandwidths to choose from, B/s.
        clock: Clock frequencies to choose from, Hz.
    """

    rows: tuple[int, ...] = (4, 8, 16, 32)
    columns: tuple[int, ...] = (4, 8, 16, 32)
    dataflow: tuple[str, ...] = DATAFLOWS
    ifmap_sram: tuple[Annotated[int, Unit("B")], ...] = _SRAM_SIZES
    filter_sram: tuple[Annotated[int, Unit("B")], ...] = _SRAM_SIZES
    ofmap_sram: tuple[Annotated[int, Unit("B")], ...] = _SRAM_SIZES
    dram_bandwidth: tuple[Annotated[float, Unit("B/s")], ...] = (0.4e9, 0.8e9, 1.6e9, 3.2e9, 6.4e9)
    clock: tuple[Annotated[float, Unit("Hz")], ...] = (100e6, 200e6, 400e6, 800e6)

    name: ClassVar[str] = "systolic_array"

    def __post_init__(self) -> None:
        for option, values in asdict(self).items():
            object.__setattr__(self, option, tuple(values))
            if not values or (option != "dataflow" and min(values) <= 0):
                raise SpaceError(
                    f"systolic_array cannot have {option} = {list(values)}",
                    rule="at least one choice, each greater than 0",
                )
        strange = [d for d in self.dataflow if d not in DATAFLOWS]
        if strange:
            raise SpaceError(
                f"a systolic array has no dataflow {strange[0]!r}", rule=", ".join(DATAFLOWS)
            )

    def genes(self) -> tuple[Gene, ...]:
        """One gene per parameter; the dataflow is the only one without an order."""
        units = {
            "ifmap_sram": "B",
            "filter_sram": "B",
            "ofmap_sram": "B",
            "dram_bandwidth": "B/s",
            "clock": "Hz",
        }
        return tuple(
            Gene(f"hw.{name}", values, ordered=name != "dataflow", unit=units.get(name, "1"))
            for name, values in asdict(self).items()
        )
