"""Gemmini, a systolic array in RTL: cycles of a layer under a given mapping, to be calibrated.

Gemmini (Genc et al., "Gemmini: enabling systematic deep-learning architecture evaluation via
full-stack integration", DAC 2021) was measured in RTL on FireSim for the DOSA data set (Hong et
al., MICRO 2023). The processor walks over the tiles that the mapping's DRAM loops make, in their
order, and hands each to the accelerator with one call: it moves the tile's inputs and weights into
the scratchpad, computes with weights held still, and moves the outputs out when the tile's sums are
complete. Nothing is kept from one call to the next. So what is counted is, per call: its weight
tiles, the rows that stream through each, and the rows that the DMA moves. What is known from the
program that took the measurements (ucb-bar/gemmini-rocc-tests, gemmini-data-collection), or follows
from how it calls the array:

* The array's edge is the smallest power of two, from 4, that the mapping's spatial factors of C
  and K fit; the rows of the data set come from several arrays.
* Images are square, as high as P, padded by R // 2 on every side; so even kernels make one more
  output row and column.
* Layers of one column and a 1 x 1 kernel run as matrix products, whose tiles are counted in whole
  sixteens of the mapping's tile, each an edge long; the others run as convolutions.
* Where a tile at the image's border has more padding than inputs, a 16-bit counter wraps (12 of the
  1,567 rows, up to 100 times as slow as they would be).

The sizes of cache and bus and the least rows of an instruction are not in the data set; they are
the powers of two that fit it best. Everything is ``float64``, one value per row. Symbols as in the
layer table; operands have 8 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluators.loop_nest import DIMENSIONS
from evaluators.timeloop_mapping import parse_mappings
from hwnas.arrays import Bools, Floats
from hwnas.errors import ProblemError
from hwnas.evaluation.calibration import Calibratable, Column, Constant, Rows
from hwnas.metrics import Metric

_DIMENSIONS: Final = "KCPQRS"
_LINE: Final = 64.0
"""Bytes of a cache line, and of the DMA's largest request."""
_BEAT: Final = 8.0
"""Bytes that the bus moves at once."""
_CACHE: Final = 512.0 * 1024
"""Bytes of the cache before DRAM."""
_LEAST_ROWS: Final = 8.0
"""No instruction takes fewer rows than this or the array's edge, whichever is less."""
_LEAST_EDGE: Final = 4.0
_SIXTEEN: Final = 16.0
_WRAP: Final = 65536.0
_BORDER: Final = 3
"""Tiles from the border that padding can reach."""


def _per(name: str, start: float, guess: float, unit: str, meaning: str) -> Constant:
    return Constant(name, start, 0.0, 1e4, unit, meaning, guess)


class Gemmini(Calibratable):
    """Cycles of a mapped layer on Gemmini: calls, weight-stationary steps, DMA rows and bytes.

    The processor's calls, the array, the loads and the stores run side by side: the longest counts
    whole, of the others the share ``exposed``. See the module for what is counted.
    """

    name = "gemmini"
    version = "1"
    columns = (
        *(
            Column(dimension, "size of the layer", shape=True, aliases=(f"prob.{dimension}",))
            for dimension in _DIMENSIONS
        ),
        Column("N", "batch size, 1", default=1.0, aliases=("prob.N",)),
        Column("stride", "stride of the layer", shape=True, default=1.0, aliases=("prob.Hstride",)),
        Column(
            "mapping",
            "loops per level from DRAM inwards, spatial ones marked X: "
            "L3[WIO] K8 Q28 - L2[WI] N1 K4X - L1[O] K2 P7 C3X - L0[W] P16",
            text=True,
            aliases=("mapping.mapping",),
        ),
    )
    metrics = (Metric("cycles"),)
    constants = (
        _per("layer", 0.0, 500.0, "cycles", "once per layer"),
        _per("conv_call", 0.0, 200.0, "cycles", "issuing a tile of a convolution"),
        _per("matmul_call", 0.0, 100.0, "cycles", "issuing a tile of a matrix product"),
        _per("step", 1.0, 1.0, "cycles", "a row that streams through the array"),
        _per("input_byte", 1.0 / _BEAT, 0.1, "cycles/B", "moving inputs, in whole beats"),
        _per("missed_byte", 0.0, 0.05, "cycles/B", "inputs that come from DRAM, not the cache"),
        _per("weight_row", 0.0, 0.5, "cycles", "a row of weights, per 16 of the array's edge"),
        _per("weight_byte", 1.0 / _BEAT, 0.1, "cycles/B", "moving weights, in whole beats"),
        _per("missed_line", 0.0, 5.0, "cycles", "a line of weights that falls out of the cache"),
        _per("output_row", 1.0, 5.0, "cycles", "a row of outputs that is moved out"),
        _per("wrapped", 0.0, 1.5, "cycles", "an element of padding after a counter wrapped"),
        Constant("exposed", 0.0, 0.0, 1.0, "1", "share of all but the longest that shows", 0.2),
    )

    def counts(self, rows: Rows) -> Mapping[str, Floats]:
        """Calls, steps, rows and bytes of every row; see `Calibratable.counts`.

        Raises:
            DesignError: A mapping cannot be read.
            ProblemError: A mapping does not cover its layer, or the batch is not 1.
        """
        tiles = _Tiles(rows)
        product = tiles.product
        conv, matmul = _convolution(tiles), _matrix_product(tiles)
        counts = {name: np.where(product, matmul[name], conv[name]) for name in conv}
        calls = counts.pop("calls")
        counts["conv_calls"] = np.where(product, 0.0, calls)
        counts["matmul_calls"] = np.where(product, calls, 0.0)
        return counts

    def predict(
        self, counts: Mapping[str, Floats], constants: Mapping[str, float]
    ) -> dict[str, Floats]:
        """Cycles per row; see `Calibratable.predict`."""
        c, k = counts, constants
        engines = np.stack(
            [
                k["conv_call"] * c["conv_calls"] + k["matmul_call"] * c["matmul_calls"],
                k["step"] * c["steps"],
                k["input_byte"] * c["input_bytes"]
                + k["missed_byte"] * c["missed_bytes"]
                + k["weight_row"] * c["weight_rows"]
                + k["weight_byte"] * c["weight_bytes"]
                + k["missed_line"] * c["missed_lines"]
                + k["wrapped"] * c["wrapped"],
                k["output_row"] * c["output_rows"],
            ]
        )
        longest = engines.max(axis=0)
        rest = engines.sum(axis=0) - longest
        return {"cycles": k["layer"] + longest + k["exposed"] * rest}


class _Tiles:
    """Layers, their tiles below DRAM, and the array, ``(n,)`` each."""

    def __init__(self, rows: Rows) -> None:
        sizes = {d: np.asarray(rows[d], dtype=np.float64) for d in _DIMENSIONS}
        if (np.asarray(rows["N"]) != 1).any():
            raise ProblemError(
                "gemmini rows are of batch size 1",
                where=f"column N, row {int(np.flatnonzero(np.asarray(rows['N']) != 1)[0])}",
                rule="N = 1: larger batches were not measured",
            )
        inside, spatial = _below_dram(np.asarray(rows["mapping"]).astype(np.str_), sizes)
        self.tile, self.stride = inside, np.asarray(rows["stride"], dtype=np.float64)
        self.size = dict(sizes)
        self.edge = np.maximum(2.0 ** np.ceil(np.log2(spatial)), _LEAST_EDGE)
        self.product: Bools = (sizes["Q"] == 1) & (sizes["R"] == 1) & (sizes["S"] == 1)
        self.pad = np.floor(sizes["R"] / 2.0)
        image = np.floor((sizes["P"] * self.stride - sizes["R"] + 2.0 * self.pad) / self.stride) + 1
        self.image = sizes["P"] * self.stride
        self.size["P"] = np.where(self.product, sizes["P"], image)
        self.size["Q"] = np.where(self.product, 1.0, image)
        self.parts = {d: np.ceil(self.size[d] / inside[d]) for d in _DIMENSIONS}

    def blocks(self, elements: Floats) -> Floats:
        """Array edges that elements take up."""
        return np.asarray(np.ceil(elements / self.edge))


def _convolution(t: _Tiles) -> dict[str, Floats]:
    """Counts of rows that run as convolutions; tiles at the border are taken as average ones."""
    parts, tile, size = t.parts, t.tile, t.size
    K, C, R, S = (tile[d] for d in "KCRS")
    calls = np.prod([parts[d] for d in _DIMENSIONS], axis=0)
    columns, lines = size["P"] / parts["P"], size["Q"] / parts["Q"]
    weights = R * S * t.blocks(K) * t.blocks(C)
    pixels = (columns * t.stride + R - 1.0) * (lines * t.stride + S - 1.0)
    inputs = calls * pixels * _beats(C)
    whole = size["C"] * t.image**2
    complete = calls / (parts["C"] * parts["R"] * parts["S"])
    border = _wraps(t, "P", "R") * parts["Q"] * parts["S"] * (lines * t.stride + S - 1.0)
    border = border + _wraps(t, "Q", "S") * parts["P"] * parts["R"] * (columns * t.stride + R - 1.0)
    return {
        "calls": calls,
        "steps": calls * weights * lines * _rows(t, columns),
        "input_bytes": inputs,
        "missed_bytes": np.where(whole > _CACHE, inputs, whole),
        **_weights(t, calls, R * S * C, K),
        "output_rows": complete * columns * lines * t.blocks(K),
        "wrapped": _WRAP * parts["K"] * parts["C"] * border,
    }


def _matrix_product(t: _Tiles) -> dict[str, Floats]:
    """Counts of rows that run as products of P x C and C x K matrices."""
    P, C = t.size["P"], t.size["C"]
    blocks = {d: t.blocks(t.size[d]) for d in "PCK"}
    taken = {d: np.maximum(1.0, np.floor(t.tile[d] / _SIXTEEN)) for d in "PCK"}
    parts = {d: np.ceil(blocks[d] / taken[d]) for d in "PCK"}
    calls = parts["P"] * parts["C"] * parts["K"]
    deep, wide = (np.minimum(np.minimum(taken[d], blocks[d]) * t.edge, t.size[d]) for d in "CK")
    inputs = P * parts["K"] * parts["C"] * _beats(deep)
    return {
        "calls": calls,
        "steps": blocks["C"] * blocks["K"] * _rows(t, P),
        "input_bytes": inputs,
        "missed_bytes": np.where(C * P > _CACHE, inputs, C * P),
        **_weights(t, calls, deep, wide),
        "output_rows": P * blocks["K"],
        "wrapped": np.zeros(len(P)),
    }


def _weights(t: _Tiles, calls: Floats, rows: Floats, width: Floats) -> dict[str, Floats]:
    """DMA of weights: ``rows`` rows of ``width`` bytes per call, K bytes apart in memory.

    Rows far apart share the cache's sets, so a tile whose rows span more than the cache keeps none
    of its lines for the neighbouring tile. Otherwise each line comes from DRAM once, if all weights
    are more than the cache holds.
    """
    lines = np.ceil(width / _LINE)
    whole = t.size["K"] * t.size["C"] * t.size["R"] * t.size["S"]
    once = np.where(whole > _CACHE, whole / _LINE, 0.0)
    spans = rows * t.size["K"] > _CACHE
    requests = calls * rows * np.ceil(width / np.maximum(_LINE, t.edge))
    return {
        "weight_rows": requests * t.edge / _SIXTEEN,
        "weight_bytes": calls * rows * _beats(width),
        "missed_lines": np.where(spans, calls * rows * lines, once),
    }


def _rows(t: _Tiles, columns: Floats) -> Floats:
    """Rows that a line of pixels takes: an instruction per edge, each no shorter than it can be."""
    least = np.minimum(t.edge, _LEAST_ROWS)
    return np.asarray(np.maximum(columns, t.blocks(columns) * least))


def _beats(width: Floats) -> Floats:
    """Bytes of a row in whole beats of the bus."""
    return np.asarray(np.ceil(width / _BEAT) * _BEAT)


def _wraps(t: _Tiles, image: str, kernel: str) -> Floats:
    """How many pairs of an image tile and a kernel tile lie wholly in the padding and beyond."""
    tile, steps = t.tile[image], t.tile[kernel]
    count = t.parts[image]
    places = [np.minimum(float(i), count - 1.0) for i in range(_BORDER)]
    places += [np.maximum(count - 1.0 - i, 0.0) for i in range(_BORDER)]
    found = np.zeros(len(tile))
    for i, place in enumerate(places):
        new = np.all([place != other for other in places[:i]], axis=0)
        for k in range(int(t.parts[kernel].max(initial=0.0))):
            on = new & (k < t.parts[kernel])
            outputs = np.minimum(tile, t.size[image] - place * tile)
            extent = outputs * t.stride + np.minimum(steps, t.size[kernel] - k * steps) - 1.0
            first = place * tile * t.stride + k * steps - t.pad
            before = np.maximum(0.0, -first)
            after = np.maximum(0.0, first + extent - t.image)
            found += on & (extent - before - after < 0.0)
    return found


def _below_dram(
    mappings: NDArray[np.str_], sizes: Mapping[str, Floats]
) -> tuple[dict[str, Floats], Floats]:
    """Extents of the tiles below DRAM, and the largest spatial factor, ``(n,)`` each."""
    nest = parse_mappings(mappings)
    places = {d: DIMENSIONS.index(d) for d in _DIMENSIONS}
    for d, place in places.items():
        broken = np.flatnonzero(nest.extents[:, place] != sizes[d])
        if len(broken):
            row = int(broken[0])
            raise ProblemError(
                "a mapping does not cover its layer",
                where=f"row {row}, dimension {d}",
                rule="the loops of a dimension multiply to its size",
                given=f"{nest.extents[row, place]} for {sizes[d][row]:g}: {mappings[row]}",
            )
    inside = nest.within(nest.depth - 2).astype(np.float64)
    return {d: inside[:, p] for d, p in places.items()}, nest.spatial.max(axis=(1, 2)).astype(float)
