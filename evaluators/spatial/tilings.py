"""Which part of a layer stays on the chip: a small family of off-chip tilings and loop orders.

A layer's loops over filters (K), channels (C) and output pixels (X: images, rows, columns) are cut
into tiles that fit the scratchpads; the kernel's loops stay whole, groups come one after the
other. Every member of the family cuts tiles as large as the scratchpads allow under one policy,
and walks them in one order. An operand that fits as a whole is fetched once, whatever the order
(each operand has a scratchpad of its own). Off-chip traffic follows in closed form, as in the
off-chip step of Marvel (Chatarasi et al., arXiv 2002.07752); the best member is taken per layer.

Everything broadcasts: layers ``(L, 1)`` against accelerators ``(n,)``. ``xp`` is numpy or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hwnas.design.mappings import TILINGS

Array = Any
"""An array of numpy or torch, float64, ``(L, n)`` or what broadcasts to it."""
Library = Any
"""The module numpy or torch: the functions that the core calls have the same names there."""


@dataclass(frozen=True, eq=False)
class Loops:
    """One group of each layer, unrolled over an array.

    Attributes:
        K: Steps over filters: filters / those unrolled, rounded up.
        C: Steps over channels.
        N: Steps over images.
        P: Steps over output lines.
        Q: Steps over output columns.
        lines: Output lines.
        columns: Output columns.
        kernel_lines: R.
        kernel_columns: S.
        step: Touched input lines from one output line to the next.
        column_step: Likewise for columns.
        height: Input lines touched by a whole plane.
        width: Input columns touched by a whole plane.
        unrolled_lines: Output lines that are computed at once.
        unrolled_columns: Output columns that are computed at once.
        least_lines: Input lines under the lines that are computed at once.
        filter_room: (K, C) chunks that the weight scratchpad holds, a chunk being the weights of
            all unrolled filters and channels.
        sums_room: (K, X) chunks that the output scratchpad holds.
        input_room: Elements per channel chunk that the input scratchpad holds.
    """

    K: Array
    C: Array
    N: Array
    P: Array
    Q: Array
    lines: Array
    columns: Array
    kernel_lines: Array
    kernel_columns: Array
    step: Array
    column_step: Array
    height: Array
    width: Array
    unrolled_lines: Array
    unrolled_columns: Array
    least_lines: Array
    filter_room: Array
    sums_room: Array
    input_room: Array


@dataclass(frozen=True, eq=False)
class Tiling:
    """What one member of the family moves and holds.

    Attributes:
        k: Steps over filters within a tile.
        c: Steps over channels within a tile.
        x: Steps over pixels within a tile.
        pixel_tiles: Tiles of pixels.
        filter_tiles: Tiles of filters.
        channel_tiles: Tiles of channels.
        filters: How often each weight is fetched.
        ifmap: Input elements fetched per channel, all images.
        passes: How often partial sums come back for more: 1 if never.
        fits: Whether a tile fits.
    """

    k: Array
    c: Array
    x: Array
    pixel_tiles: Array
    filter_tiles: Array
    channel_tiles: Array
    filters: Array
    ifmap: Array
    passes: Array
    fits: Array


@dataclass(frozen=True, eq=False)
class _Pixels:
    """A tile of ``x`` steps over pixels, cut to whole images, or whole output lines of one."""

    x: Array
    tiles: Array
    line_tiles: Array
    column_tiles: Array
    fits: Array

    def fetched(self, loops: Loops, kept: Array) -> Array:
        """Input elements per channel of one image: lines under two tiles count once if kept."""
        line_tiles = 1.0 + (self.line_tiles - 1.0) * (1.0 - kept)
        high = (loops.lines - line_tiles) * loops.step + line_tiles * loops.kernel_lines
        wide = (
            loops.columns - self.column_tiles
        ) * loops.column_step + self.column_tiles * loops.kernel_columns
        return high * wide


def _pixels(xp: Library, loops: Loops, x: Array) -> _Pixels:
    one = xp.asarray(1.0)
    images = xp.maximum(xp.floor(x / (loops.P * loops.Q)), one)
    lines = xp.maximum(xp.minimum(loops.P, xp.floor(x / loops.Q)), one)
    columns = xp.maximum(xp.minimum(loops.Q, x), one)
    line_tiles, column_tiles = xp.ceil(loops.P / lines), xp.ceil(loops.Q / columns)
    return _Pixels(
        x=images * lines * columns,
        tiles=xp.ceil(loops.N / images) * line_tiles * column_tiles,
        line_tiles=line_tiles,
        column_tiles=column_tiles,
        fits=x >= 1.0,
    )


def _reach(xp: Library, loops: Loops, channels: Array) -> Array:
    """Steps over pixels whose inputs fit, with so many channel chunks; 0 if not even one."""
    room = loops.input_room / channels
    high = xp.floor(room / loops.width)
    lines = _steps(xp, high, loops.kernel_lines, loops.step, loops.lines, loops.unrolled_lines)
    wide = xp.floor(room / loops.least_lines)
    columns = _steps(
        xp,
        wide,
        loops.kernel_columns,
        loops.column_step,
        loops.columns,
        loops.unrolled_columns,
    )
    lines, columns = xp.minimum(lines, loops.P), xp.minimum(columns, loops.Q)
    images = xp.minimum(loops.N, xp.floor(room / (loops.height * loops.width)))
    # Where whole lines fit, whole columns do; where whole images fit, whole lines do.
    part = xp.maximum(xp.maximum(lines * loops.Q, columns), xp.asarray(0.0))
    return xp.maximum(images * (loops.P * loops.Q), part)


def _steps(
    xp: Library, inputs: Array, kernel: Array, step: Array, all_of_them: Array, unrolled: Array
) -> Array:
    """Steps over output lines (or columns) under which so many inputs are."""
    outputs = xp.floor((inputs - kernel) / step) + 1.0
    # The last step of all needs no more than is there.
    return xp.floor((outputs + (outputs >= all_of_them) * unrolled) / unrolled)


def _made(
    xp: Library, loops: Loops, k: Array, c: Array, pixels: _Pixels, whole: _Whole, order: _Order
) -> Tiling:
    """Cuts tiles of the sizes given and walks them in an order."""
    one = xp.asarray(1.0)
    fits = (k >= 1.0) & pixels.fits
    k = xp.maximum(k, one)
    filter_tiles, channel_tiles = xp.ceil(loops.K / k), xp.ceil(loops.C / c)
    filters, again, passes, kept = order(
        xp, loops, whole, _Tiles(k, c, pixels, filter_tiles, channel_tiles)
    )
    fetched = pixels.fetched(loops, kept * whole.lines_kept)
    return Tiling(
        k=k,
        c=c,
        x=pixels.x,
        pixel_tiles=pixels.tiles,
        filter_tiles=filter_tiles,
        channel_tiles=channel_tiles,
        filters=filters,
        ifmap=(fetched + whole.fits * (loops.height * loops.width - fetched)) * again,
        passes=passes,
        fits=fits,
    )


@dataclass(frozen=True, eq=False)
class _Whole:
    """How many steps over pixels fit with all channels, and with one chunk of them.

    Attributes:
        all_channels: Steps that fit with all channels.
        one_chunk: Steps that fit with one chunk of channels.
        pixels: All steps over pixels.
        fits: Whether all inputs fit.
        most_pixels: The most pixels that fit with one chunk of channels.
        filters_beside: Steps over filters whose sums fit beside those.
        lines_kept: 1 if lines under two tiles can stay, else 0.
    """

    all_channels: Array
    one_chunk: Array
    pixels: Array
    fits: Array
    most_pixels: _Pixels
    filters_beside: Array
    lines_kept: float


@dataclass(frozen=True, eq=False)
class _Tiles:
    k: Array
    c: Array
    pixels: _Pixels
    filter_tiles: Array
    channel_tiles: Array


_Order = Callable[[Library, Loops, _Whole, _Tiles], tuple[Array, Array, Array, Array]]
"""How often weights and inputs are fetched, partial sums come by, and whether lines are kept."""


def _one(xp: Library, met: Array, value: Array) -> Array:
    """1 where a condition is met, else the value, which is at least 1."""
    return xp.maximum(value * ~met, xp.asarray(1.0))


def _filters_first(xp: Library, s: Loops, whole: _Whole, t: _Tiles) -> tuple[Array, ...]:
    """K outside, then C, pixels inside: weights once, inputs for every tile of filters."""
    inputs = _one(xp, whole.fits, t.filter_tiles)
    held = t.k * whole.pixels <= s.sums_room
    passes = _one(xp, held, t.channel_tiles)
    return 1.0, inputs, passes, 1.0


def _pixels_first(xp: Library, s: Loops, _: _Whole, t: _Tiles) -> tuple[Array, ...]:
    """Pixels outside, then C, K inside: inputs once, weights for every tile of pixels."""
    filters = _one(
        xp,
        (s.filter_room >= s.K * s.C) | (t.filter_tiles * t.channel_tiles == 1.0),
        t.pixels.tiles,
    )
    held = s.K * t.pixels.x <= s.sums_room
    passes = _one(xp, held | (t.filter_tiles == 1.0), t.channel_tiles)
    return filters, 1.0, passes, (t.channel_tiles == 1.0) * 1.0


def _sums_of_filters(xp: Library, s: Loops, whole: _Whole, t: _Tiles) -> tuple[Array, ...]:
    """K outside, then pixels, C inside: every sum is finished before the next begins."""
    kept = xp.floor(s.filter_room / s.C) >= t.k
    filters = _one(xp, kept, t.pixels.tiles)
    inputs = _one(xp, whole.fits, t.filter_tiles)
    return filters, inputs, 1.0, (t.channel_tiles == 1.0) * 1.0


def _sums_of_pixels(xp: Library, s: Loops, whole: _Whole, t: _Tiles) -> tuple[Array, ...]:
    """Pixels outside, then K, C inside."""
    filters = _one(
        xp,
        (s.filter_room >= s.K * s.C) | (t.filter_tiles * t.channel_tiles == 1.0),
        t.pixels.tiles,
    )
    inputs = _one(xp, (whole.all_channels >= t.pixels.x) | (t.channel_tiles == 1.0), t.filter_tiles)
    return filters, inputs, 1.0, (t.channel_tiles == 1.0) * 1.0


def _weights(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many filters as fit with all their channels, then pixels."""
    k = xp.minimum(s.K, xp.floor(s.filter_room / s.C))
    x = xp.minimum(whole.all_channels, xp.floor(s.sums_room / xp.maximum(k, xp.asarray(1.0))))
    return _made(xp, s, k, s.C, _pixels(xp, s, x), whole, _filters_first)


def _inputs(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many pixels as fit with all their channels, then filters."""
    pixels = _pixels(xp, s, xp.minimum(whole.all_channels, s.sums_room))
    room = xp.minimum(xp.floor(s.filter_room / s.C), xp.floor(s.sums_room / pixels.x))
    return _made(xp, s, xp.minimum(s.K, room), s.C, pixels, whole, _pixels_first)


def _outputs_of_filters(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many filters as fit with few of their channels, then pixels; channels inside."""
    k = xp.minimum(s.K, xp.minimum(s.filter_room, s.sums_room))
    x = xp.minimum(whole.one_chunk, xp.floor(s.sums_room / xp.maximum(k, xp.asarray(1.0))))
    return _made(xp, s, k, s.C / s.C, _pixels(xp, s, x), whole, _sums_of_filters)


def _outputs_of_pixels(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many pixels as fit with few of their channels, then filters; channels inside."""
    k = xp.minimum(s.K, xp.minimum(s.filter_room, whole.filters_beside))
    return _made(xp, s, k, s.C / s.C, whole.most_pixels, whole, _sums_of_pixels)


def _outputs_by(xp: Library, s: Loops, whole: _Whole, share: float) -> Tiling:
    """As many pixels as fit with a share of their channels, then filters; channels inside."""
    c = xp.ceil(s.C * share)
    pixels = _pixels(xp, s, xp.minimum(_reach(xp, s, c), s.sums_room))
    room = xp.minimum(xp.floor(s.filter_room / c), xp.floor(s.sums_room / pixels.x))
    return _made(xp, s, xp.minimum(s.K, room), c, pixels, whole, _sums_of_pixels)


def _outputs_by_halves(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many pixels as fit with half of their channels, then filters."""
    return _outputs_by(xp, s, whole, 1.0 / 2.0)


def _outputs_by_eighths(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many pixels as fit with an eighth of their channels, then filters."""
    return _outputs_by(xp, s, whole, 1.0 / 8.0)


def _weights_in_parts(xp: Library, s: Loops, whole: _Whole) -> Tiling:
    """As many filters as fit, with as many channels as still fit; partial sums come back."""
    one = xp.asarray(1.0)
    k = xp.minimum(s.K, s.filter_room)
    c = xp.maximum(xp.minimum(s.C, xp.floor(s.filter_room / xp.maximum(k, one))), one)
    x = xp.minimum(_reach(xp, s, c), xp.floor(s.sums_room / xp.maximum(k, one)))
    return _made(xp, s, k, c, _pixels(xp, s, x), whole, _filters_first)


_Policy = Callable[[Library, Loops, _Whole], Tiling]
_MEMBERS: Final[tuple[_Policy, ...]] = (
    _weights,
    _inputs,
    _outputs_of_filters,
    _outputs_of_pixels,
    _outputs_by_halves,
    _outputs_by_eighths,
    _weights_in_parts,
)
POLICIES: Final = dict(zip(TILINGS, _MEMBERS, strict=True))
"""The family, by what stays on the chip longest."""


def tilings(
    xp: Library, loops: Loops, *, lines_kept: bool = True, members: int = len(_MEMBERS)
) -> list[Tiling]:
    """The members of the family, in the order of `POLICIES`.

    Args:
        xp: numpy or torch.
        loops: The layers on their arrays.
        members: How many of them.
        lines_kept: Whether input lines under two tiles that follow each other stay on the chip.
    """
    all_channels, one_chunk = _reach(xp, loops, loops.C), _reach(xp, loops, xp.asarray(1.0))
    pixels = loops.N * loops.P * loops.Q
    most = _pixels(xp, loops, xp.minimum(one_chunk, loops.sums_room))
    whole = _Whole(
        all_channels=all_channels,
        one_chunk=one_chunk,
        pixels=pixels,
        fits=all_channels >= pixels,
        most_pixels=most,
        filters_beside=xp.floor(loops.sums_room / most.x),
        lines_kept=float(lines_kept),
    )
    return [policy(xp, loops, whole) for policy in _MEMBERS[:members]]
