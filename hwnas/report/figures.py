"""The figures of a report. They draw what a record holds; nothing is computed here.

Colours are told apart by colour-blind people (M. Okabe, K. Ito, "Color Universal Design", 2008;
cividis), and shapes say the same as colours. No theme is set, so that a notebook's theme holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import combinations
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hwnas.metrics import Goal
from hwnas.progress import Bound
from hwnas.report.importance import Importance
from hwnas.report.parallel import SLEEPING, GeneAxis, Parallel
from hwnas.report.points import Cloud, Points
from hwnas.report.quantity import Quantity, Scale
from hwnas.report.trace import Trace

FRONT: Final = "#D55E00"
FEASIBLE: Final = "#56B4E9"
INFEASIBLE: Final = "#999999"
LINE: Final = "#0072B2"
_MOST_BARS: Final = 10
_MOST_TICKS: Final = 12
_MANY_DECADES: Final = 500
_PLAIN: Final = (1e-4, 1e6)
_LEGEND: Final = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0}


def front(objectives: Sequence[Quantity], points: Points, trace: Trace) -> go.Figure:
    """The front as one figure, whatever the number of objectives.

    Args:
        objectives: One: its best value against evaluations; two: a plane; three: a room; more:
            every pair of them.
        points: The designs.
        trace: How the study came on.
    """
    if len(objectives) == 1:
        return best(objectives, trace)
    if len(objectives) == 2:
        return plane(objectives, points, (0, 1))
    if len(objectives) == 3:
        return room(objectives, points)
    return matrix(objectives, points)


def plane(objectives: Sequence[Quantity], points: Points, pair: tuple[int, int]) -> go.Figure:
    """Two objectives against each other.

    Of two objectives the front is drawn as the edge of what it dominates; of three it is coloured
    by the third.
    """
    figure = go.Figure(_plane_traces(objectives, points, pair))
    for name, j in zip(("xaxis", "yaxis"), pair, strict=True):
        figure.update_layout({name: _points_axis(objectives, points, j)})
    return figure.update_layout(
        legend=_LEGEND, showlegend=True, margin={"l": 60, "r": 20, "t": 40, "b": 55}
    )


def matrix(objectives: Sequence[Quantity], points: Points) -> go.Figure:
    """Every pair of objectives, as the lower half of a matrix."""
    m = len(objectives)
    gap = 0.15 / m
    figure = make_subplots(m - 1, m - 1, horizontal_spacing=gap, vertical_spacing=gap)
    for i, j in combinations(range(m), 2):
        for drawn in _plane_traces(objectives, points, (i, j)):
            drawn.showlegend = drawn.showlegend is not False and (i, j) == (0, 1)
            drawn.legendgroup = drawn.name
            figure.add_trace(drawn, row=j, col=i + 1)
        x, y = _points_axis(objectives, points, i), _points_axis(objectives, points, j)
        if j < m - 1:
            x |= {"title": None, "showticklabels": False}
        if i > 0:
            y |= {"title": None, "showticklabels": False}
        figure.update_xaxes(x, row=j, col=i + 1).update_yaxes(y, row=j, col=i + 1)
    size = 200 * (m - 1) + 120
    return figure.update_layout(legend=_LEGEND, height=size, width=size + 80)


def room(objectives: Sequence[Quantity], points: Points) -> go.Figure:
    """Three objectives as a room that can be turned; needs WebGL."""
    scales = [_scale(objectives, points, j) for j in range(3)]
    looks = (
        ("infeasible", points.infeasible, {"color": INFEASIBLE, "size": 2, "symbol": "x"}),
        ("feasible", points.feasible, {"color": FEASIBLE, "size": 2.5, "opacity": 0.6}),
        ("front", points.front, {"color": FRONT, "size": 4, "symbol": "diamond"}),
    )
    axes = ("x", "y", "z")
    figure = go.Figure()
    for name, cloud, marker in looks:
        if not len(cloud):
            continue
        columns = {
            axis: _column(cloud, j, scale)
            for j, (axis, scale) in enumerate(zip(axes, scales, strict=True))
        }
        figure.add_trace(
            go.Scatter3d(
                **columns,
                name=name,
                mode="markers",
                marker=marker,
                customdata=np.array(cloud.numbers),
                hovertemplate=_hover(axes, objectives, scales),
            )
        )
    scene: dict[str, Any] = {
        f"{axis}axis": _points_axis(objectives, points, j) for j, axis in enumerate(axes)
    }
    camera = {"eye": {"x": 1.5, "y": 1.5, "z": 0.9}, "center": {"x": 0, "y": 0, "z": -0.12}}
    return figure.update_layout(
        scene=scene | {"camera": camera, "aspectmode": "cube"},
        legend=_LEGEND | {"itemsizing": "constant"},
        margin={"l": 0, "r": 0, "t": 30, "b": 0},
    )


def hypervolume(trace: Trace) -> go.Figure:
    """The hypervolume against evaluations."""
    figure = go.Figure(
        go.Scatter(
            x=np.array(trace.evaluations),
            y=np.array(trace.hypervolume),
            mode="lines",
            line={"shape": "hv", "color": LINE, "width": 2},
            hovertemplate="after %{x} evaluations: %{y:.4f}<extra></extra>",
        )
    )
    return figure.update_layout(
        xaxis={"title": {"text": "evaluations"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "hypervolume"}, "rangemode": "tozero"},
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
    )


def remaining(bounds: Sequence[Bound]) -> go.Figure:
    """What was left to be gained at most against evaluations, in percent."""
    figure = go.Figure(
        go.Scatter(
            x=np.array([bound.evaluations for bound in bounds]),
            y=np.array([100 * bound.remaining for bound in bounds]),
            mode="lines",
            line={"shape": "hv", "color": LINE, "width": 2},
            hovertemplate="after %{x} evaluations: at most %{y:.3g} %<extra></extra>",
        )
    )
    return figure.update_layout(
        xaxis={"title": {"text": "evaluations"}},
        yaxis={"title": {"text": "left to be gained, %"}, "rangemode": "tozero"},
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
    )


def best(objectives: Sequence[Quantity], trace: Trace) -> go.Figure:
    """The best value of the first objective against evaluations."""
    objective = objectives[0]
    values = [found[0] for found in trace.best]
    scale = Scale.fitting((v for v in values if v is not None), objective)
    figure = go.Figure(
        go.Scatter(
            x=np.array(trace.evaluations),
            y=[None if v is None else v / scale.size for v in values],
            mode="lines",
            line={"shape": "hv", "color": FRONT, "width": 2},
            hovertemplate=f"after %{{x}} evaluations: %{{y:.4g}} {_text(scale.unit)}"
            "<extra></extra>",
        )
    )
    return figure.update_layout(
        xaxis={"title": {"text": "evaluations"}, "rangemode": "tozero"},
        yaxis=_axis(objective, scale, [v for v in values if v is not None]),
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
    )


def importance(found: Importance) -> go.Figure:
    """The genes that matter most to one objective, as bars."""
    bars = found.genes[:_MOST_BARS][::-1]
    names = [_text(bar.gene) for bar in bars]
    figure = go.Figure(
        go.Bar(
            x=[max(bar.drop, 0.0) for bar in bars],
            y=names,
            orientation="h",
            marker={"color": LINE},
            error_x={"array": [bar.spread for bar in bars], "color": INFEASIBLE, "thickness": 1},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )
    )
    return figure.update_layout(
        xaxis={"title": {"text": "drop of explained variance"}, "rangemode": "nonnegative"},
        yaxis={"automargin": True},
        margin={"l": 10, "r": 20, "t": 30, "b": 45},
    )


def parallel(found: Parallel) -> go.Figure:
    """Parallel coordinates; dragging along an axis picks lines. Needs WebGL."""
    lines = np.array([*found.others, *found.front])
    genes = len(found.genes)
    dimensions = [_gene_dimension(axis, lines[:, j]) for j, axis in enumerate(found.genes)]
    dimensions += [
        _objective_dimension(objective, lines[:, genes + j])
        for j, objective in enumerate(found.objectives)
    ]
    on_front = [0] * len(found.others) + [1] * len(found.front)
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={
                "color": on_front,
                "colorscale": [[0, "rgba(140,170,190,0.35)"], [1, FRONT]],
                "cmin": 0,
                "cmax": 1,
            },
            labelangle=-20,
        )
    )
    return figure.update_layout(margin={"l": 70, "r": 70, "t": 110, "b": 30})


def _plane_traces(
    objectives: Sequence[Quantity], points: Points, pair: tuple[int, int]
) -> list[Any]:
    scales = [_scale(objectives, points, j) for j in pair]
    shown = [objectives[j] for j in pair]
    third = next((j for j in range(3) if j not in pair), None) if len(objectives) == 3 else None
    looks: tuple[tuple[str, Cloud, dict[str, Any]], ...] = (
        (
            "infeasible",
            points.infeasible,
            {"color": INFEASIBLE, "size": 5, "symbol": "x-thin-open"},
        ),
        (
            "feasible",
            points.feasible,
            {"color": FEASIBLE, "size": 5, "symbol": "circle-open", "opacity": 0.7},
        ),
        ("front", points.front, {"color": FRONT, "size": 8, "symbol": "diamond"}),
    )
    traces = []
    for name, cloud, marker in looks:
        if not len(cloud):
            continue
        is_front = name == "front"
        x, y = (_column(cloud, j, scale) for j, scale in zip(pair, scales, strict=True))
        customdata = np.array(cloud.numbers)
        line = None
        if is_front and third is not None:
            marker = marker | _coloured(objectives, points, third)
        if is_front and len(objectives) == 2:
            order = np.argsort(x, kind="stable")
            x, y, customdata = x[order], y[order], customdata[order]
            # Between two points the edge keeps the level of the one that is better in x.
            shape = "hv" if shown[0].goal is Goal.MINIMIZE else "vh"
            line = {"shape": shape, "width": 1.5, "color": FRONT}
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                name=name,
                mode="markers" if line is None else "lines+markers",
                line=line,
                marker=marker,
                customdata=customdata,
                hovertemplate=_hover(("x", "y"), shown, scales),
            )
        )
    return traces


def _coloured(objectives: Sequence[Quantity], points: Points, third: int) -> dict[str, Any]:
    """Markers coloured by the objective that has no axis."""
    objective, scale = objectives[third], _scale(objectives, points, third)
    values = _column(points.front, third, scale)
    bar: dict[str, Any] = {
        "title": {"text": _text(scale.title(objective)), "side": "right"},
        "thickness": 12,
        "outlinewidth": 0,
    }
    if objective.logarithmic and (values > 0).all():
        values = np.log10(values)
        places = _decades(float(values.min()), float(values.max()))
        bar |= {"tickvals": places, "ticktext": [_number(10**place) for place in places]}
    return {
        "color": values,
        "colorscale": "Cividis",
        "colorbar": bar,
        "line": {"width": 0.8, "color": "#888888"},
    }


def _decades(low: float, high: float) -> list[float]:
    """Places of ticks between two logarithms: round numbers, 3 to 8 of them."""
    steps: Iterable[Sequence[float]] = ((1,), (1, 3), (1, 2, 5), range(1, 10))
    ticks: list[float] = []
    for digits in steps:
        ticks = [
            place
            for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)
            for digit in digits
            if low <= (place := power + float(np.log10(digit))) <= high
        ]
        if len(ticks) >= 3:
            return ticks[:: -(-len(ticks) // 8)]
    return ticks if len(ticks) > 1 else [low, high]


def _scale(objectives: Sequence[Quantity], points: Points, objective: int) -> Scale:
    # One unit for all figures, whichever points they show.
    drawn = points.front if len(points.front) else points.infeasible
    return Scale.fitting(drawn.column(objective), objectives[objective])


def _points_axis(objectives: Sequence[Quantity], points: Points, objective: int) -> dict[str, Any]:
    clouds = (points.front, points.feasible, points.infeasible)
    values = [v for cloud in clouds for v in cloud.column(objective)]
    return _axis(objectives[objective], _scale(objectives, points, objective), values)


def _column(cloud: Cloud, objective: int, scale: Scale) -> Any:
    return np.array(cloud.column(objective)) / scale.size


def _axis(quantity: Quantity, scale: Scale, values: Iterable[float] = ()) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "title": {"text": _text(scale.title(quantity))},
        "type": "log" if quantity.logarithmic else "linear",
        "exponentformat": "power",
    }
    sizes = [abs(v) / scale.size for v in values if v]
    if quantity.logarithmic and sizes:
        # Ticks at 1, 2, 5, or whole decades where there are many.
        axis["dtick"] = "D2" if max(sizes) / min(sizes) < _MANY_DECADES else 1
        if _PLAIN[0] < min(sizes) and max(sizes) < _PLAIN[1]:
            axis["tickformat"] = ".3~r"
    return axis


def _number(value: float) -> str:
    """A tick's number, without an exponent where it is easily read without."""
    return f"{value:.0f}" if 100 <= abs(value) < _PLAIN[1] else f"{value:.3g}"


def _hover(axes: Sequence[str], quantities: Sequence[Quantity], scales: Sequence[Scale]) -> str:
    lines = [
        f"{_text(quantity.name)}: %{{{axis}:.4g}} {_text(scale.unit)}"
        for axis, quantity, scale in zip(axes, quantities, scales, strict=True)
    ]
    return "<br>".join(["design %{customdata}", *lines])


def _gene_dimension(axis: GeneAxis, places: Any) -> dict[str, Any]:
    step = -(-len(axis.choices) // _MOST_TICKS)
    ticks = list(range(0, len(axis.choices), step))
    labels = [_text(axis.choices[i]) for i in ticks]
    lowest = 0.0
    if axis.sleeps:
        ticks, labels, lowest = [int(SLEEPING), *ticks], ["inactive", *labels], SLEEPING
    return {
        "label": _text(axis.name),
        "values": places,
        "tickvals": ticks,
        "ticktext": labels,
        "range": [lowest, max(len(axis.choices) - 1.0, lowest + 1.0)],
    }


def _objective_dimension(objective: Quantity, values: Any) -> dict[str, Any]:
    scale = Scale.fitting(values, objective)
    label = _text(scale.title(objective))
    values = values / scale.size
    if not (objective.logarithmic and (values > 0).all()):
        return {"label": label, "values": values}
    places = np.log10(values)
    ticks = _decades(float(places.min()), float(places.max()))
    return {
        "label": label,
        "values": places,
        "tickvals": ticks,
        "ticktext": [_number(10**tick) for tick in ticks],
    }


def _text(text: str) -> str:
    """Text that plotly, which reads some HTML, shows as it is."""
    return escape(text, quote=False)
