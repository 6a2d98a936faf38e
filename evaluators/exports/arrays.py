"""The accelerator of a design as an array of processing elements that unrolls loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from evaluators.exports.nests import OPERANDS
from evaluators.spatial.unrolled import dataflow_of
from hwnas.design import Design, SystolicArray
from hwnas.design.spatial_array import SpatialArray
from hwnas.errors import DesignError, nearest

_WINDOW: Final = ("C", "R", "S")
_PIXELS: Final = ("Q", "P", "N")
_SUMMED: Final = frozenset(_WINDOW)
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
        scratchpad_bandwidth: Bytes per cycle of the scratchpads of inputs and of weights, see
            `port`; None if they keep up with the array.
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

    def port(self, operand: str) -> float | None:
        """Bytes per cycle that a scratchpad delivers, and takes; None if it keeps up.

        That of outputs is twice as wide, as partial sums are.
        """
        if self.scratchpad_bandwidth is None:
            return None
        return self.scratchpad_bandwidth * (2.0 if operand == "outputs" else 1.0)

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
        template=SystolicArray.name,
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


def _spatial(values: Mapping[str, Any]) -> Array:
    dataflow = str(values["dataflow"])
    sizes = [int(values[name]) for name in ("rows", "columns", "depth")]
    axes = dataflow_of(dataflow).axes
    return Array(
        template=SpatialArray.name,
        dataflow=dataflow,
        axes=tuple(
            Axis(size, tuple((loop,) for loop in loops))
            for size, loops in zip(sizes, axes, strict=False)
        ),
        held="weights" if _SUMMED & {loop for loops in axes for loop in loops} else "outputs",
        registers={
            "weights": int(values["weight_rf"]),
            "inputs": int(values["input_rf"]),
            "outputs": int(values["output_rf"]),
        },
        scratchpads=_scratchpads(values),
        scratchpad_bandwidth=float(values["sram_bandwidth"]),
        dram_bandwidth=float(values["dram_bandwidth"]),
        clock=float(values["clock"]),
        pe=str(values["pe"]),
    )


def _scratchpads(values: Mapping[str, Any]) -> dict[str, int]:
    names = {"weights": "filter_sram", "inputs": "ifmap_sram", "outputs": "ofmap_sram"}
    return {operand: int(values[name]) for operand, name in names.items()}


TEMPLATES: Final[Mapping[str, Callable[[Mapping[str, Any]], Array]]] = {
    SystolicArray.name: _systolic,
    SpatialArray.name: _spatial,
}
"""By the name of the accelerator template."""
