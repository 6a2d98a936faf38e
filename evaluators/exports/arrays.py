"""The accelerator of a design as an array of processing elements that unrolls loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from evaluators.exports.nests import LOOPS, OPERANDS
from hwnas.design import Design
from hwnas.errors import DesignError, nearest

_WINDOW: Final = ("C", "R", "S")
_PIXELS: Final = ("Q", "P", "N")
FIXED: Final = "fixed"
"""Multipliers that are as fast with few bits as with many, which is what other tools have."""


@dataclass(frozen=True)
class Axis:
    """One direction of the array.

    Attributes:
        size: Processing elements along it.
        loops: The loops that it unrolls, in groups: the first group takes what it can, the next
            one what is left.
    """

    size: int
    loops: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Array:
    """An accelerator.

    Attributes:
        template: The plug-in it is from.
        dataflow: The value of its dataflow.
        axes: Rows, columns and, if there is one, depth.
        held: The operand that stays while the others move.
        registers: Operand to bytes per processing element; 0 where an operand has none of its own.
        scratchpads: Operand to bytes.
        scratchpad_bandwidth: Bytes per cycle of each scratchpad; None if it keeps up with the
            array.
        dram_bandwidth: B/s.
        clock: Hz.
        pe: What its multipliers do with few bits.
    """

    template: str
    dataflow: str
    axes: tuple[Axis, ...]
    held: str
    registers: Mapping[str, int]
    scratchpads: Mapping[str, int]
    scratchpad_bandwidth: float | None
    dram_bandwidth: float
    clock: float
    pe: str = FIXED

    @property
    def pes(self) -> int:
        """Processing elements."""
        product = 1
        for axis in self.axes:
            product *= axis.size
        return product

    @property
    def systolic(self) -> bool:
        """Whether operands move from element to element, one per cycle."""
        return self.scratchpad_bandwidth is None

    @property
    def dram_bits_per_cycle(self) -> int:
        """Whole bits per cycle, at least 1: other tools count in cycles."""
        return max(1, int(self.dram_bandwidth * 8.0 / self.clock + 1e-9))

    def pe_note(self) -> tuple[str, ...]:
        """What is lost by multipliers of one speed, if anything."""
        if self.pe == FIXED:
            return ()
        return (f"Processing elements are {self.pe}; there a MAC takes one cycle at all bits.",)

    def bandwidth_note(self) -> tuple[str, ...]:
        """What is lost by whole bits per cycle, if anything."""
        exact = self.dram_bandwidth * 8.0 / self.clock
        if abs(exact - self.dram_bits_per_cycle) <= 1e-6 * exact:
            return ()
        return (
            f"DRAM moves {self.dram_bits_per_cycle} bits per cycle there, {exact:.6g} in our own "
            "figures.",
        )


def array_of(design: Design, tool: str) -> Array:
    """The accelerator of a design.

    Args:
        design: With an accelerator.
        tool: Whom it is for, for the messages.

    Raises:
        DesignError: The design has no accelerator, or one of a template that is not known here.
    """
    accelerator = design.accelerator
    template = type(design.space.parts["hw"]).name
    if template not in TEMPLATES:
        raise DesignError(
            f"the accelerator {template} cannot be exported to {tool}",
            where="part hw",
            rule="one of " + ", ".join(TEMPLATES),
            given=template,
            cure=nearest(template, TEMPLATES),
        )
    return TEMPLATES[template](accelerator)


_SYSTOLIC: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...], str]]] = {
    "os": (_PIXELS, ("K",), "outputs"),
    "ws": (_WINDOW, ("K",), "weights"),
    "is": (_WINDOW, _PIXELS, "inputs"),
}
"""Loops along the rows, along the columns, and what stays."""


def _systolic(values: Mapping[str, Any]) -> Array:
    rows, columns, held = _SYSTOLIC[values["dataflow"]]
    return Array(
        template="systolic_array",
        dataflow=values["dataflow"],
        axes=(Axis(int(values["rows"]), (rows,)), Axis(int(values["columns"]), (columns,))),
        held=held,
        registers=dict.fromkeys(OPERANDS, 0),
        scratchpads=_scratchpads(values),
        scratchpad_bandwidth=None,
        dram_bandwidth=float(values["dram_bandwidth"]),
        clock=float(values["clock"]),
        pe=str(values.get("pe", FIXED)),
    )


_NAMED: Final[Mapping[str, tuple[tuple[tuple[tuple[str, ...], ...], ...], str]]] = {
    "nvdla": (((("K",),), (("C",),)), "weights"),
    "shidiannao": (((("P",),), (("Q",),)), "outputs"),
    # Rows of a kernel; where several sets of them fit, sets of other channels and filters.
    "row_stationary": (((("R",), ("C", "K")), (("P",),)), "weights"),
}
"""Loops along rows and columns, and what stays."""


def _spatial(values: Mapping[str, Any]) -> Array:
    dataflow = str(values["dataflow"])
    sizes = [int(values["rows"]), int(values["columns"]), int(values.get("depth", 1))]
    if dataflow in _NAMED:
        unrolled, held = _NAMED[dataflow]
    else:
        letters = dataflow.split("|")
        strange = [letter for letter in letters if letter not in LOOPS]
        if strange or not 2 <= len(letters) <= len(sizes):
            raise DesignError(
                f"a spatial array has no dataflow {dataflow!r}",
                rule="one of " + ", ".join(_NAMED) + ", or two or three loops such as K|C",
                cure=f"loops are {', '.join(LOOPS)}",
            )
        unrolled = tuple(((letter,),) for letter in letters)
        held = "weights" if {"C", "R", "S"} & set(letters) else "outputs"
    return Array(
        template="spatial_array",
        dataflow=dataflow,
        axes=tuple(Axis(size, loops) for size, loops in zip(sizes, unrolled, strict=False)),
        held=held,
        registers={
            "weights": int(values["weight_rf"]),
            "inputs": int(values["input_rf"]),
            "outputs": int(values["output_rf"]),
        },
        scratchpads=_scratchpads(values),
        scratchpad_bandwidth=float(values["sram_bandwidth"]),
        dram_bandwidth=float(values["dram_bandwidth"]),
        clock=float(values["clock"]),
        pe=str(values.get("pe", FIXED)),
    )


def _scratchpads(values: Mapping[str, Any]) -> dict[str, int]:
    names = {"weights": "filter_sram", "inputs": "ifmap_sram", "outputs": "ofmap_sram"}
    return {operand: int(values[name]) for operand, name in names.items()}


TEMPLATES: Final[Mapping[str, Callable[[Mapping[str, Any]], Array]]] = {
    "systolic_array": _systolic,
    "spatial_array": _spatial,
}
"""By the name of the accelerator template."""
