"""The figures of one design: roofline, breakdowns, layers. They draw what a record holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from hwnas import units
from hwnas.arrays import Bools, Floats
from hwnas.evaluation.explanation import Roofline
from hwnas.report.anatomy import Account, Breakdown, Line
from hwnas.report.quantity import Quantity, Scale

_LOOKS: Final[Mapping[str, tuple[str, str]]] = {
    "convolution": ("#0072B2", "circle"),
    "depthwise": ("#D55E00", "diamond"),
    "linear": ("#009E73", "square"),
    "matmul": ("#CC79A7", "triangle-up"),
    "grouped": ("#882255", "pentagon"),
    "shift": ("#44AA99", "hexagon"),
    "adder": ("#999933", "star"),
    "embedding": ("#332288", "circle"),
    "elementwise": ("#DDCC77", "circle"),
    "pool": ("#666666", "circle"),
    "add": ("#BBBBBB", "circle"),
}
"""Colour and marker by kind of layer, told apart by colour-blind people: M. Okabe, K. Ito, "Color
Universal Design", 2008, and P. Tol, "Colour schemes", 2021."""
_OTHER: Final = ("#999999", "circle")
_BAR: Final = "#0072B2"
_BOUND: Final = "#888888"
_LARGEST: Final = 26.0
_SMALLEST: Final = 6.0
_MOST_ALIKE: Final = 6
_MOST_TICKS: Final = 40
_LEGEND: Final = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0}
_TIMES: Final = (
    ("compute_time", "computing", "#E69F00"),
    ("dram_time", "DRAM traffic", "#56B4E9"),
)
_SECONDS: Final = Quantity("time", "s")
_JOULES: Final = Quantity("energy", "J")
_GAP: Final = 0.05
_MANY_BARS: Final = 100
_ROOM: Final = 3.0
"""How far the axes of a roofline go beyond what is drawn, as a factor."""


def roofline(found: Roofline, layers: Sequence[Line], latency: Floats | None) -> go.Figure | None:
    """Layers under the bounds of their accelerator, both axes logarithmic.

    Args:
        found: The roofline; layers without multiply-accumulates have no place in it.
        layers: Its layers.
        latency: Per layer, ``(L,)``: the areas of the markers; ``None`` for equal ones.
    """
    drawn = (found.intensity > 0) & (found.attained > 0)
    if not drawn.any():
        return None
    scale = _rate(found.peak)
    low = min(float(found.intensity[drawn].min()), found.ridge) / _ROOM
    high = max(float(found.intensity[drawn].max()), found.ridge) * _ROOM
    least = min(float(found.attained[drawn].min()), low * found.bandwidth * _ROOM)
    bottom, top = least / scale.size / _ROOM, found.peak / scale.size * _ROOM
    figure = go.Figure(_bounds(found, scale, low, high, bottom))
    total = float(latency.sum()) if latency is not None else 0.0
    share = latency / total if latency is not None and total else np.ones(len(layers))
    for kind in dict.fromkeys(line.kind for line in layers):
        rows = np.array([line.kind == kind for line in layers], np.bool_) & drawn
        if rows.any():
            figure.add_trace(_markers(kind, found, layers, rows, share, scale, bool(total)))
    return figure.update_layout(
        xaxis=_decades("intensity [MAC per byte of DRAM traffic]", low, high),
        yaxis=_decades(f"attained [{scale.unit}]", bottom, top),
        legend=_LEGEND | {"itemsizing": "constant"},
        annotations=_labels(found, scale, low, high, bottom),
        margin={"l": 65, "r": 20, "t": 40, "b": 50},
    )


def _rate(peak: float) -> Scale:
    power = min(12, 3 * math.floor(math.log10(peak) / 3))
    size = 10.0 ** max(power, 0)
    return Scale(size, units.show(size, "MAC/s").partition(" ")[2])


def _bounds(found: Roofline, scale: Scale, low: float, high: float, bottom: float) -> list[Any]:
    def at(intensity: float) -> float:
        return min(found.peak, intensity * found.bandwidth) / scale.size

    roof = go.Scatter(
        x=[low, found.ridge, high],
        y=[at(low), at(found.ridge), at(high)],
        mode="lines",
        line={"color": _BOUND, "width": 2.5},
        name="bounds",
        showlegend=False,
        hoverinfo="skip",
    )
    ridge = go.Scatter(
        x=[found.ridge, found.ridge],
        y=[bottom, at(found.ridge)],
        mode="lines",
        line={"color": _BOUND, "width": 1, "dash": "dot"},
        name="ridge point",
        showlegend=False,
        hoverinfo="skip",
    )
    return [roof, ridge]


def _labels(
    found: Roofline, scale: Scale, low: float, high: float, bottom: float
) -> list[dict[str, Any]]:
    peak = found.peak / scale.size
    middle = math.sqrt(low * found.ridge)
    common = {"showarrow": False, "font": {"size": 11}}
    return [
        common
        | {
            "x": math.log10(high),
            "y": math.log10(peak),
            "xanchor": "right",
            "yanchor": "bottom",
            "text": f"peak {_text(units.show(found.peak, 'MAC/s'))}",
        },
        common
        | {
            "x": math.log10(middle),
            "y": math.log10(middle * found.bandwidth / scale.size),
            "xanchor": "right",
            "yanchor": "bottom",
            "text": f"DRAM {_text(units.show(found.bandwidth, 'B/s'))} ",
        },
        common
        | {
            "x": math.log10(found.ridge),
            "y": math.log10(bottom),
            "xanchor": "left" if found.ridge < math.sqrt(low * high) else "right",
            "yanchor": "bottom",
            "text": f" ridge point {found.ridge:.3g} MAC/B ",
        },
    ]


def _markers(
    kind: str,
    found: Roofline,
    layers: Sequence[Line],
    rows: Bools,
    share: Floats,
    scale: Scale,
    is_timed: bool,
) -> go.Scatter:
    colour, symbol = _LOOKS.get(kind, _OTHER)
    area = share[rows] / max(float(share.max()), np.finfo(np.float64).tiny)
    marker: dict[str, Any] = {
        "color": colour,
        "symbol": symbol,
        "opacity": 0.75,
        "line": {"width": 1, "color": "#ffffff"},
        "size": np.maximum(_SMALLEST, _LARGEST * np.sqrt(area)).round(1) if is_timed else 11,
    }
    picked = [line for line, on in zip(layers, rows, strict=True) if on]
    texts = [
        f"{_numbers(line)}: {line.text}" + (f"<br>{100 * part:.3g} % of the latency" * is_timed)
        for line, part in zip(picked, share[rows], strict=True)
    ]
    return go.Scatter(
        x=_short(found.intensity[rows]),
        y=_short(found.attained[rows] / scale.size),
        name=kind,
        mode="markers",
        marker=marker,
        text=texts,
        hovertemplate="%{text}<br>%{x:.3g} MAC/B, %{y:.3g} " + scale.unit + "<extra></extra>",
    )


def _numbers(line: Line) -> str:
    if len(line.alike) == 1:
        return f"layer {line.number}"
    others = [str(number) for number in line.alike if number != line.number]
    more = ", …" if len(others) > _MOST_ALIKE else ""
    return f"layer {line.number} (alike: {', '.join(others[:_MOST_ALIKE])}{more})"


def _decades(title: str, low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with plain numbers, at 1, 2, 5 where few decades are shown."""
    return {
        "title": {"text": _text(title)},
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "dtick": "D2" if high / low < 300 else 1,
        "tickformat": ".3~r" if low > 1e-4 and high < 1e6 else None,
        "exponentformat": "power",
    }


def breakdown(found: Breakdown) -> go.Figure:
    """The components of one metric as bars, with values and shares."""
    components = found.components[::-1]
    scale = Scale.fitting([component.value for component in components], found.quantity)
    values = [component.value / scale.size for component in components]
    texts = [
        found.quantity.show(component.value) + shares(component.share) for component in components
    ]
    names = [_text(component.name) for component in components]
    figure = go.Figure(
        go.Bar(
            x=values,
            y=names,
            orientation="h",
            marker={"color": _BAR},
            text=[_text(text) for text in texts],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    # Room for the texts beside the bars.
    reach = 1.8 * max([*values, 0.0]) or 1.0
    unit = f" [{scale.unit}]" if scale.unit else ""
    return figure.update_layout(
        xaxis={"title": {"text": _text(found.quantity.name + unit)}, "range": [0, reach]},
        yaxis={"automargin": True, "type": "category"},
        bargap=0.3,
        margin={"l": 10, "r": 20, "t": 10, "b": 45},
    )


def shares(share: float | None) -> str:
    """A share in brackets; empty where there is none."""
    if share is None:
        return ""
    percent = 100 * share
    return f" ({percent:.0f} %)" if percent >= 10 else f" ({percent:.1f} %)"


def layers(account: Account, lines: Sequence[Line]) -> go.Figure | None:
    """Time, energy and utilisation of each layer as bars, in the order of execution.

    They share one axis, so that pointing at a layer shows all that is known of it. ``None`` where
    nothing is.
    """
    columns = account.columns
    rows = [panel for draw in _PANELS if (panel := draw(columns, lines)) is not None]
    if not rows:
        return None
    figure = go.Figure()
    each = 1.0 / len(rows)
    for row, panel in enumerate(rows):
        name = "" if row == 0 else str(row + 1)
        bottom = 1.0 - (row + 1) * each
        domain = [bottom + (_GAP if row < len(rows) - 1 else 0.0), bottom + each]
        figure.update_layout({f"yaxis{name}": panel.axis | {"domain": domain, "anchor": "x"}})
        for trace in panel.traces:
            figure.add_trace(trace.update(xaxis="x", yaxis=f"y{name}"))
    seen: set[str] = set()
    for trace in figure.data:
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)
    return figure.update_layout(
        xaxis={
            "title": {"text": "layer, in order of execution"},
            **({"dtick": 1} if len(lines) <= _MOST_TICKS else {"nticks": _MOST_TICKS}),
            "range": [-0.6, len(lines) - 0.4],
            "anchor": "y" if len(rows) == 1 else f"y{len(rows)}",
            "hoverformat": "d",
        },
        barmode="group",
        hovermode="x unified",
        hoversubplots="axis",
        legend=_LEGEND | {"y": 1.01},
        margin={"l": 65, "r": 20, "t": 50, "b": 50},
    )


@dataclass(frozen=True, eq=False)
class _Panel:
    """Bars over the layers, and their axis."""

    traces: Sequence[go.Bar]
    axis: dict[str, Any]


def _times(columns: Mapping[str, Floats], lines: Sequence[Line]) -> _Panel | None:
    shown = [(name, text, colour) for name, text, colour in _TIMES if name in columns]
    if not shown and "latency" in columns:
        shown = [("latency", "latency", _BAR)]
    if not shown:
        return None
    scale = Scale.fitting([float(columns[name].max()) for name, _, _ in shown], _SECONDS)
    texts = [_text(line.text) for line in lines]
    width = _width(lines)
    traces = [
        go.Bar(
            y=_short(columns[name] / scale.size),
            name=text,
            width=width / len(shown),
            offset=width * (place / len(shown) - 0.5),
            marker={"color": colour},
            text=texts if place == 0 else None,
            textposition="none",
            hovertemplate=("%{text}<br>" if place == 0 else "")
            + f"{text}: %{{y:.3g}} {scale.unit}<extra></extra>",
        )
        for place, (name, text, colour) in enumerate(shown)
    ]
    return _Panel(traces, _upward(f"time [{scale.unit}]"))


def _energy(columns: Mapping[str, Floats], lines: Sequence[Line]) -> _Panel | None:
    if "energy" not in columns:
        return None
    scale = Scale.fitting([float(columns["energy"].max())], _JOULES)
    traces = _by_kind(columns["energy"] / scale.size, lines, f"energy: %{{y:.3g}} {scale.unit}")
    return _Panel(traces, _upward(f"energy [{scale.unit}]"))


def _utilization(columns: Mapping[str, Floats], lines: Sequence[Line]) -> _Panel | None:
    if "utilization" not in columns:
        return None
    traces = _by_kind(100.0 * columns["utilization"], lines, "utilisation: %{y:.3g} %")
    return _Panel(traces, _upward("utilisation [%]") | {"range": [0, 100]})


_PANELS: Final = (_times, _energy, _utilization)


def _by_kind(values: Floats, lines: Sequence[Line], text: str) -> list[go.Bar]:
    """Bars coloured by what the layers compute, side by side with none."""
    traces = []
    for kind in dict.fromkeys(line.kind for line in lines):
        rows = np.array([line.number for line in lines if line.kind == kind])
        traces.append(
            go.Bar(
                x=rows,
                y=_short(values[rows]),
                name=kind,
                legendgroup=kind,
                width=_width(lines),
                offset=-0.5 * _width(lines),
                marker={"color": _LOOKS.get(kind, _OTHER)[0]},
                hovertemplate=f"{text}<extra></extra>",
            )
        )
    return traces


def _width(lines: Sequence[Line]) -> float:
    """What the bars of a layer take of its place."""
    return 0.8 if len(lines) < _MANY_BARS else 1.0


def _upward(title: str) -> dict[str, Any]:
    return {"title": {"text": _text(title)}, "rangemode": "tozero", "exponentformat": "power"}


def _short(values: Floats) -> Floats:
    """Six digits, in half the bytes: enough for a picture."""
    return np.asarray(values, dtype=np.float32)


def _text(text: str) -> str:
    """Text that plotly, which reads some HTML, shows as it is."""
    return escape(text, quote=False)
