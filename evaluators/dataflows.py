"""What a layer moves through a systolic array under each dataflow; closed forms, vectorised.

A layer is an im2col GEMM of M = N P Q output pixels, N = K filters and a window of W = R S C
elements (channels fastest), once per group. Array rows and columns hold two of the three, time
runs over the third.
Cycles and SRAM counts are those of SCALE-Sim 3.0.0 (Samajdar et al., ISPASS 2020; its folds:
column folds outside, row folds inside). The DRAM traffic is our own: an operand is fetched again
for every fold that needs it, unless it, or the part that is used again, fits half its scratchpad.

Symbols as in the layer table; everything is ``float64``, so counts below 2^53 are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from evaluators.technology import Technology
from hwnas.arrays import Floats, Ints, Values
from hwnas.design import LayerTable, Operator
from hwnas.errors import DesignError, nearest

OPERANDS: Final = ("ifmap", "filter", "ofmap")
SCRATCHPADS: Final = tuple(f"{operand}_sram" for operand in OPERANDS)
_NUMBERS: Final = ("rows", "columns", *SCRATCHPADS, "dram_bandwidth", "clock")
_BYTE: Final = 8.0


class Struct:
    """Columns of one shape, picked by row."""

    def pick(self, rows: Ints) -> Self:
        """The rows of an index of any shape; the columns take its shape."""
        return replace(self, **{k: column[rows] for k, column in vars(self).items()})  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class Shapes(Struct):
    """What of layer rows decides what they move, ``(L,)`` each.

    Attributes:
        gemms: How many there are in the row, one after the other: its groups, of each image where
            two activations are multiplied; 0 for what the vector unit does, where M = N = W = 1
            stand in.
        M: Output pixels, all images (of one, where two activations are multiplied).
        N: Filters of one group.
        W: Elements of one window.
        C: Channels of one group.
        plane: Input elements touched per channel, of the same images. Padding counts; elements
            that a stride longer than the kernel jumps over do not.
        height: Input lines touched of one image.
        line: Input elements touched per line and channel.
        kernel: Lines of the kernel.
        step: Touched input lines from one output line to the next.
        image: Output pixels per line.
        lines: Output lines.
        weight_bits: Bits of a weight, or of the second factor.
        activation_bits: Bits of an input or output.
        sum_bits: Bits of a partial sum.
        vector_reads: Elements that the vector unit reads.
        vector_inputs: Different elements among them.
        vector_outputs: Elements that the vector unit writes.
        vector_weights: Weights that it reads: those of embeddings that are looked up.
        vector_window: Its cycles per element.
        density: Share of weights that are not zero; in `evaluators.systolic_costs.Work`, share of
            products that take time.
    """

    gemms: Floats
    M: Floats
    N: Floats
    W: Floats
    C: Floats
    plane: Floats
    height: Floats
    line: Floats
    kernel: Floats
    step: Floats
    image: Floats
    lines: Floats
    weight_bits: Floats
    activation_bits: Floats
    sum_bits: Floats
    vector_reads: Floats
    vector_inputs: Floats
    vector_outputs: Floats
    vector_weights: Floats
    vector_window: Floats
    density: Floats

    def padded(self) -> Self:
        """The same rows and one more at the end that costs nothing."""
        nothing = ("gemms", "vector_reads", "vector_inputs", "vector_outputs", "vector_weights")
        bits = ("weight_bits", "activation_bits", "sum_bits")
        ends = {
            name: np.append(column, 0.0 if name in nothing + bits else 1.0)
            for name, column in vars(self).items()
        }
        return replace(self, **ends)


@dataclass(frozen=True, eq=False)
class Gemms(Shapes):
    """Layer rows as GEMMs, ``(L,)`` each.

    Attributes:
        shifts: 1 where shifts take the place of products, else 0.
        adders: 1 where differences take the place of products, else 0.
    """

    shifts: Floats
    adders: Floats

    @classmethod
    def of(cls, table: LayerTable) -> Gemms:
        """The GEMMs of a layer table, row by row; shift and adder layers count as such too."""
        mac = table.accumulations > 0
        looked_up = table.operator == int(Operator.EMBEDDING)
        product = table.operator == int(Operator.MATMUL)
        shape = (table.N, table.P, table.Q, table.R, table.S, table.stride, table.C, table.groups)
        N, P, Q, R, S, stride, channels, groups = (c.astype(np.float64) for c in shape)
        C = channels / groups
        step = np.minimum(stride, R)
        height, line = (P - 1.0) * step + R, (Q - 1.0) * np.minimum(stride, S) + S
        # Each image has a second factor of its own, so it is a GEMM of its own.
        images = np.where(product, 1.0, N)
        window, plane = R * S, images * height * line
        # ceil(log2 W) is the number of binary digits of W - 1, which frexp gives exactly.
        growth = np.where(mac, np.frexp(np.maximum(window * C - 1.0, 0.0))[1], 0.0)
        weight_bits = table.operand_bits.astype(np.float64)
        activation_bits = table.activation_bits.astype(np.float64)
        two = np.where(table.operator == int(Operator.ADD), 2.0, 1.0)
        lane = np.where(mac, 0.0, 1.0)
        outputs = lane * (N * table.K * P * Q)
        reads, inputs = outputs * window * two, lane * plane * channels * two
        return cls(
            gemms=np.where(mac, groups * np.where(product, N, 1.0), 0.0),
            M=np.where(mac, images * P * Q, 1.0),
            N=np.where(mac, table.K / groups, 1.0),
            W=np.where(mac, window * C, 1.0),
            C=C,
            plane=plane,
            height=height,
            line=line,
            kernel=R,
            step=step,
            image=Q,
            lines=P,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            sum_bits=weight_bits + activation_bits + growth,
            vector_reads=np.where(looked_up, N * P * Q, reads),
            vector_inputs=np.where(looked_up, N * P * Q, inputs),
            vector_outputs=outputs,
            vector_weights=np.where(looked_up, outputs, 0.0),
            vector_window=window,
            shifts=(table.operator == int(Operator.SHIFT)).astype(np.float64),
            adders=(table.operator == int(Operator.ADDER)).astype(np.float64),
            density=table.density,
        )

    def with_sums(self, bits: float) -> Gemms:
        """The same rows with partial sums of so many bits, whatever they need."""
        return replace(self, sum_bits=np.where(self.gemms > 0, bits, self.sum_bits))


@dataclass(frozen=True, eq=False)
class Arrays(Struct):
    """Accelerators, ``(n,)`` each.

    Attributes:
        rows: Rows of the array.
        columns: Columns of the array.
        ifmap_bits: What half the input scratchpad holds, bits: the other half is being filled.
        filter_bits: Likewise for the weight scratchpad.
        ofmap_bits: Likewise for the output scratchpad.
        ifmap_read: Energy of reading the input scratchpad, J per bit.
        ifmap_write: Energy of writing it.
        filter_read: Likewise for the weight scratchpad.
        filter_write: Likewise for the weight scratchpad.
        ofmap_read: Likewise for the output scratchpad.
        ofmap_write: Likewise for the output scratchpad.
        bandwidth: DRAM bandwidth, B/s.
        clock: Hz.
        leakage: Array and scratchpads, W.
    """

    rows: Floats
    columns: Floats
    ifmap_bits: Floats
    filter_bits: Floats
    ofmap_bits: Floats
    ifmap_read: Floats
    ifmap_write: Floats
    filter_read: Floats
    filter_write: Floats
    ofmap_read: Floats
    ofmap_write: Floats
    bandwidth: Floats
    clock: Floats
    leakage: Floats

    @classmethod
    def of(cls, numbers: Mapping[str, Floats], pe: Floats, costs: Technology) -> Arrays:
        """Accelerators made in a technology.

        Args:
            numbers: Parameter to values ``(n,)``; see `numbers_of`.
            pe: Leakage of one processing element, W, ``(n,)``.
            costs: The technology.
        """
        columns: dict[str, Floats] = {}
        leakage = numbers["rows"] * numbers["columns"] * pe
        for operand, scratchpad in zip(OPERANDS, SCRATCHPADS, strict=True):
            size = numbers[scratchpad]
            columns[f"{operand}_bits"] = size * (_BYTE / 2.0)
            columns[f"{operand}_read"] = costs.sram_read(size)
            columns[f"{operand}_write"] = costs.sram_write(size)
            leakage = leakage + costs.sram_leakage(size)
        return cls(
            rows=numbers["rows"],
            columns=numbers["columns"],
            bandwidth=numbers["dram_bandwidth"],
            clock=numbers["clock"],
            leakage=leakage,
            **columns,
        )


def numbers_of(accelerators: Mapping[str, Values]) -> dict[str, Floats]:
    """The numeric parameters of systolic arrays, at rest, ``float64 (n,)`` each.

    Raises:
        DesignError: A parameter is missing.
    """
    for name in (*_NUMBERS, "dataflow"):
        if name not in accelerators:
            raise DesignError(
                f"the accelerators have no {name!r}, which a systolic array needs",
                rule="the parameters " + ", ".join((*_NUMBERS, "dataflow")),
                given=", ".join(accelerators),
                cure=nearest(name, accelerators),
            )
    return {name: np.asarray(accelerators[name], dtype=np.float64) for name in _NUMBERS}


def flows_of(accelerators: Mapping[str, Values]) -> Ints:
    """The place in `DATAFLOWS` of each accelerator's dataflow, ``(n,)``.

    Raises:
        DesignError: A dataflow is unknown.
    """
    given = accelerators["dataflow"]
    flows = np.full(len(given), -1, dtype=np.int64)
    for place, name in enumerate(DATAFLOWS):
        flows[given == name] = place
    if (flows < 0).any():
        strange = str(given[flows < 0][0])
        raise DesignError(
            f"a systolic array has no dataflow {strange!r}",
            where="accelerator parameter dataflow",
            rule="one of " + ", ".join(DATAFLOWS),
            cure=nearest(strange, DATAFLOWS),
        )
    return flows


@dataclass(frozen=True, eq=False)
class Motion:
    """What one GEMM moves, in elements unless said otherwise; the shape of its arguments.

    Attributes:
        cycles: Clock cycles without stalls, counted from 1.
        sram_ifmap: Inputs that the array reads.
        sram_filter: Weights that the array reads.
        sram_ofmap: Results and partial sums that the array writes.
        dram_ifmap: Inputs fetched from DRAM.
        dram_filter: Weights fetched from DRAM.
        returned: Partial sums that come back from the output scratchpad to be added to.
        spilled: Those of them that were in DRAM in between.
        register_bits: Bits latched in a processing element per MAC, those with zeros included.
        ifmap_load: Bits that half the input scratchpad has to hold to load the array once.
        filter_load: Likewise for the weight scratchpad.
        ofmap_load: Likewise for the output scratchpad, to unload it.
    """

    cycles: Floats
    sram_ifmap: Floats
    sram_filter: Floats
    sram_ofmap: Floats
    dram_ifmap: Floats
    dram_filter: Floats
    returned: Floats | float
    spilled: Floats | float
    register_bits: Floats
    ifmap_load: Floats
    filter_load: Floats
    ofmap_load: Floats


def _lines_under(pixels: Floats, g: Shapes) -> Floats:
    """Input elements in all lines that some consecutive output pixels look at."""
    outputs = np.minimum(g.lines, np.ceil(pixels / g.image) + 1.0)
    return np.minimum(g.height, (outputs - 1.0) * g.step + g.kernel) * g.line * g.C


def _output_stationary(g: Shapes, a: Arrays) -> Motion:
    """Rows hold pixels, columns filters; time runs over the window.

    Every column fold needs the whole input again: whole or, line by line, without repeats if the
    lines under one row fold fit. Every row fold needs the column fold's filters again.
    """
    row_folds, column_folds = np.ceil(g.M / a.rows), np.ceil(g.N / a.columns)
    ifmap, stream = g.plane * g.C, g.M * g.W
    once = np.where(_lines_under(a.rows, g) * g.activation_bits <= a.ifmap_bits, ifmap, stream)
    held = ifmap * g.activation_bits <= a.ifmap_bits
    filters = np.minimum(g.N, a.columns)
    kept = filters * g.W * g.weight_bits <= a.filter_bits
    pixels = np.minimum(g.M, a.rows)
    return Motion(
        cycles=row_folds * column_folds * (g.W + a.rows + a.columns - 2.0),
        sram_ifmap=stream * column_folds,
        sram_filter=g.W * g.N * row_folds,
        sram_ofmap=g.M * g.N,
        dram_ifmap=np.where(held, ifmap, once * column_folds),
        dram_filter=g.W * g.N * np.where(kept, 1.0, row_folds),
        returned=0.0,
        spilled=0.0,
        register_bits=g.weight_bits + g.density * (g.activation_bits + g.sum_bits),
        ifmap_load=pixels * g.activation_bits,
        filter_load=filters * g.weight_bits,
        ofmap_load=pixels * filters * g.activation_bits,
    )


def _weight_stationary(g: Shapes, a: Arrays) -> Motion:
    """Rows hold the window, columns filters; time runs over the pixels.

    Weights are read once. Every column fold needs the whole input again; a row fold touches at
    most as many channels as it has rows, each once if the lines under the kernel fit. A column
    fold's partial sums, of all pixels, are summed up over its row folds.
    """
    row_folds, column_folds = np.ceil(g.W / a.rows), np.ceil(g.N / a.columns)
    ifmap, stream = g.plane * g.C, g.M * g.W
    channels = np.minimum(g.C, a.rows)
    fits = g.kernel * g.line * channels * g.activation_bits <= a.ifmap_bits
    once = np.where(fits, np.minimum(stream, row_folds * g.plane * channels), stream)
    held = ifmap * g.activation_bits <= a.ifmap_bits
    filters = np.minimum(g.N, a.columns)
    sums = filters * g.sum_bits
    returned = g.M * g.N * (row_folds - 1.0)
    return Motion(
        cycles=row_folds * column_folds * (g.M + 2.0 * a.rows + a.columns - 2.0),
        sram_ifmap=stream * column_folds,
        sram_filter=g.W * g.N,
        sram_ofmap=g.M * g.N * row_folds,
        dram_ifmap=np.where(held, ifmap, once * column_folds),
        dram_filter=g.W * g.N,
        returned=returned,
        spilled=np.where(g.M * sums <= a.ofmap_bits, 0.0, returned),
        register_bits=g.density * (g.activation_bits + g.sum_bits),
        ifmap_load=np.minimum(g.W, a.rows) * g.activation_bits,
        filter_load=np.minimum(g.W, a.rows) * filters * g.weight_bits,
        ofmap_load=sums,
    )


def _input_stationary(g: Shapes, a: Arrays) -> Motion:
    """Rows hold the window, columns pixels; time runs over the filters.

    Inputs are read once, without repeats if they or the lines under one column fold fit. Every
    column fold needs all filters again. A column fold's partial sums, of all filters, are summed
    up over its row folds.
    """
    row_folds, column_folds = np.ceil(g.W / a.rows), np.ceil(g.M / a.columns)
    ifmap, stream = g.plane * g.C, g.M * g.W
    lines = _lines_under(a.columns, g)
    held = g.W * g.N * g.weight_bits <= a.filter_bits
    pixels = np.minimum(g.M, a.columns)
    sums = pixels * g.sum_bits
    returned = g.M * g.N * (row_folds - 1.0)
    return Motion(
        cycles=row_folds * column_folds * (g.N + 2.0 * a.rows + a.columns - 2.0),
        sram_ifmap=stream,
        sram_filter=g.W * g.N * column_folds,
        sram_ofmap=g.M * g.N * row_folds,
        dram_ifmap=np.where(lines * g.activation_bits <= a.ifmap_bits, ifmap, stream),
        dram_filter=g.W * g.N * np.where(held, 1.0, column_folds),
        returned=returned,
        spilled=np.where(g.N * sums <= a.ofmap_bits, 0.0, returned),
        register_bits=g.weight_bits + g.density * g.sum_bits,
        ifmap_load=np.minimum(g.W, a.rows) * pixels * g.activation_bits,
        filter_load=np.minimum(g.W, a.rows) * g.weight_bits,
        ofmap_load=sums,
    )


DATAFLOWS: Final[Mapping[str, Callable[[Shapes, Arrays], Motion]]] = {
    "os": _output_stationary,
    "ws": _weight_stationary,
    "is": _input_stationary,
}
"""By the values of the accelerator parameter ``dataflow``."""
