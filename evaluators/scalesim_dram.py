"""DRAM reads as SCALE-Sim 3.0.0 counts them in its CALC mode: a check, not a model to search with.

The tool feeds each scratchpad the addresses that the array asks for, cycle by cycle, and counts
those that are not there. What is there is decided by one rule (its
``memory/read_buffer_estimate_bw.py``): a scratchpad keeps every different address that it met until
50 floor(words / 100) of them have arrived, and is then emptied completely. Folds are visited with
the column folds outside and the row folds inside; within a fold, lane ``c`` of a streamed operand
asks for its element of step ``t`` in cycle ``t + c``, and a stationary operand is loaded from its
last row to its first. All of this is emulated here exactly, a window of the stream at a time.

The tool's words have one byte, whatever the layer's bits; it knows neither batches nor groups (a
depthwise layer is one channel, times its channels). Our own DRAM traffic is that of
`evaluators.dataflows`, a closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluators.dataflows import flows_of, numbers_of
from evaluators.systolic_costs import FLOWS
from hwnas.arrays import Floats, Ints, Values
from hwnas.design import LayerTable
from hwnas.errors import DesignError

_WINDOW: Final = 2
"""Accesses looked at together, in multiples of the addresses that a scratchpad keeps."""
_LEAST: Final = 4096
"""And at least so many."""

Stream = Iterator[Ints]
"""Addresses in the order in which they are asked for, one array per fold."""


@dataclass(frozen=True, eq=False)
class DramReads:
    """Elements that SCALE-Sim reads from DRAM per layer row, ``(L,)`` each.

    Attributes:
        ifmap: Inputs.
        filter: Weights.
    """

    ifmap: Floats
    filter: Floats


@dataclass(frozen=True)
class _Gemm:
    """A layer as the array sees it.

    Attributes:
        pixels: Address of the first input of each output pixel, ``(M,)``.
        window: How far each element of its window is from there, ``(W,)``.
        filters: Address of the first weight of each filter, ``(N,)``.
        taps: How far each weight is from there, ``(W,)``.
        rows: Rows of the array.
        columns: Columns of the array.
    """

    pixels: Ints
    window: Ints
    filters: Ints
    taps: Ints
    rows: int
    columns: int


def dram_reads(layers: LayerTable, accelerators: Mapping[str, Values]) -> DramReads:
    """Counts the DRAM reads of every layer row on its design's accelerator.

    About a second per ten million SRAM reads; rows that are equal are counted once.

    Args:
        layers: ``L`` rows of ``n`` designs, one image each; those without MACs read nothing.
        accelerators: One column ``(n,)`` per parameter of `SystolicArray`, at rest; a scratchpad
            has as many words as bytes.

    Returns:
        One number per row and operand, in elements.

    Raises:
        DesignError: A parameter is missing, a dataflow is unknown, a layer has several images, or
            a scratchpad has fewer than 100 words, with which the tool does not end.
    """
    numbers, flows = numbers_of(accelerators), flows_of(accelerators)
    design = layers.design
    keys = np.column_stack(
        [
            flows[design],
            *(numbers[name][design] for name in ("rows", "columns", "ifmap_sram", "filter_sram")),
            *(layers.K // layers.groups, layers.C // layers.groups),
            *(layers.P, layers.Q, layers.R, layers.S, layers.stride),
        ]
    ).astype(np.int64)
    _refuse(layers, keys)
    works = np.flatnonzero(layers.macs > 0)
    different, inverse = np.unique(keys[works], axis=0, return_inverse=True)
    once = np.array([_count(*map(int, key)) for key in different], np.float64).reshape(-1, 2)
    reads = np.zeros((len(layers), 2))
    reads[works] = once[inverse.ravel()] * layers.groups[works, None]
    return DramReads(ifmap=reads[:, 0], filter=reads[:, 1])


def _refuse(layers: LayerTable, keys: Ints) -> None:
    for row in np.flatnonzero((layers.macs > 0) & (layers.N > 1))[:1]:
        raise DesignError(
            f"layer row {row} has a batch of {layers.N[row]} images",
            rule="SCALE-Sim 3.0.0 simulates one image",
            cure="count the network with batch size 1",
        )
    for row in np.flatnonzero((layers.macs > 0) & (keys[:, 3:5].min(axis=1) < 100))[:1]:
        raise DesignError(
            f"the scratchpads of layer row {row} are too small for SCALE-Sim's rule",
            rule="at least 100 words each: it keeps 50 floor(words / 100)",
            given=f"{keys[row, 3]} and {keys[row, 4]} words",
        )


def _count(
    flow: int, rows: int, columns: int, ifmap: int, weights: int,
    K: int, C: int, P: int, Q: int, R: int, S: int, stride: int,
) -> tuple[int, int]:  # fmt: skip
    """DRAM reads of inputs and weights of one GEMM; the operands lie channel by channel."""
    width = (Q - 1) * stride + S
    first = stride * (np.arange(P)[:, None] * width + np.arange(Q)) * C
    window = (np.arange(R)[:, None] * width + np.arange(S))[:, :, None] * C + np.arange(C)
    taps = np.arange(R * S * C)
    gemm = _Gemm(first.ravel(), window.ravel(), np.arange(K) * len(taps), taps, rows, columns)
    of_inputs, of_weights = _STREAMS[FLOWS[flow]]
    inputs = (int(first.max()) + int(window.max())) + 1
    return (
        misses(of_inputs(gemm), 50 * (ifmap // 100), inputs),
        misses(of_weights(gemm), 50 * (weights // 100), K * len(taps)),
    )


def misses(stream: Stream, capacity: int, addresses: int) -> int:
    """Counts the addresses of a stream that are not there when they are asked for.

    Between two emptyings every different address misses once, so it is enough to find its first
    occurrence: that of the capacity-th different one ends the period.

    Args:
        stream: Arrays of addresses, in order.
        capacity: As many different addresses are kept; with the last of them, all are dropped.
        addresses: They are 0 to this number, exclusive.
    """
    met = np.full(addresses, -1, np.int64)
    """The period in which an address was last asked for."""
    period, kept, total = 0, 0, 0
    window = max(_WINDOW * capacity, _LEAST)
    for fold in stream:
        start = 0
        while start < len(fold):
            part = fold[start : start + window]
            absent = np.flatnonzero(met[part] != period)
            first = absent[np.sort(np.unique(part[absent], return_index=True)[1])]
            end = len(part)
            if kept + len(first) >= capacity:
                first = first[: capacity - kept]
                end = int(first[-1]) + 1
            met[part[first]] = period
            kept, total = kept + len(first), total + len(first)
            if kept == capacity:
                period, kept = period + 1, 0
            start += end
    return total


def _folds(values: Ints, size: int) -> list[Ints]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _skewed(steps: Ints, lanes: Ints) -> Ints:
    """Lane ``c`` asks for step ``t`` in cycle ``t + c``; within a cycle, lanes go in order."""
    cycle = np.arange(len(steps) + len(lanes) - 1)[:, None]
    lane = np.arange(len(lanes))
    step = cycle - lane
    asked = (step >= 0) & (step < len(steps))
    return (steps[np.where(asked, step, 0)] + lanes)[asked]


def _loaded(steps: Ints, lanes: Ints) -> Ints:
    """What stays in the array goes in with its last row first."""
    return np.add.outer(steps[::-1], lanes).ravel()


def _os_inputs(g: _Gemm) -> Stream:
    streams = [_skewed(g.window, pixels) for pixels in _folds(g.pixels, g.rows)]
    for _ in _folds(g.filters, g.columns):
        yield from streams


def _os_weights(g: _Gemm) -> Stream:
    for filters in _folds(g.filters, g.columns):
        stream = _skewed(g.taps, filters)
        for _ in _folds(g.pixels, g.rows):
            yield stream


def _ws_inputs(g: _Gemm) -> Stream:
    for _ in _folds(g.filters, g.columns):
        for window in _folds(g.window, g.rows):
            yield _skewed(g.pixels, window)


def _ws_weights(g: _Gemm) -> Stream:
    for filters in _folds(g.filters, g.columns):
        for taps in _folds(g.taps, g.rows):
            yield _loaded(taps, filters)


def _is_inputs(g: _Gemm) -> Stream:
    for pixels in _folds(g.pixels, g.columns):
        for window in _folds(g.window, g.rows):
            yield _loaded(window, pixels)


def _is_weights(g: _Gemm) -> Stream:
    for _ in _folds(g.pixels, g.columns):
        for taps in _folds(g.taps, g.rows):
            yield _skewed(g.filters, taps)


_STREAMS: Final[Mapping[str, tuple[Callable[[_Gemm], Stream], Callable[[_Gemm], Stream]]]] = {
    "os": (_os_inputs, _os_weights),
    "ws": (_ws_inputs, _ws_weights),
    "is": (_is_inputs, _is_weights),
}
"""By dataflow: the streams of inputs and of weights."""
