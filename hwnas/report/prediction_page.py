"""How good predictors are on a table, as one HTML page that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np
import plotly.graph_objects as go

from hwnas.arrays import Floats
from hwnas.prediction.validation import LEVELS, LearningCurve, Validation
from hwnas.report.html import document, embedded, table
from hwnas.report.style import COLOURS, DASHES

_SHOWN: Final = 400
"""Examples drawn at most: more hide each other."""
_LEGEND: Final = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0}
_MARGIN: Final = {"l": 60, "r": 20, "t": 50, "b": 50}
_IDEAL: Final = {"color": "#999999", "width": 1, "dash": "dot"}


@dataclass(frozen=True, eq=False)
class Tried:
    """One predictor, as it was tried.

    Attributes:
        label: What it is called.
        options: Its options, for a person; empty where all are the usual ones.
        validation: Its cross-validation.
        curve: Its learning curve.
    """

    label: str
    options: str
    validation: Validation
    curve: LearningCurve


@dataclass(frozen=True)
class Subject:
    """What is predicted, from what.

    Attributes:
        source: The table or run.
        predicts: The metric.
        features: Names of the features.
        folds: Of the cross-validation.
        seeds: Of cross-validation and learning curve.
        left_out: How many rows were left out, and why.
    """

    source: str
    predicts: str
    features: Sequence[str]
    folds: int
    seeds: Sequence[int]
    left_out: Sequence[str]


def page(subject: Subject, tried: Sequence[Tried]) -> str:
    """The page: predicted against measured, calibration, learning curve, numbers.

    Args:
        subject: What was predicted.
        tried: The predictors, at least one.
    """
    sections = [
        ("numbers", "In numbers", _numbers(subject, tried)),
        ("points", "Predicted against measured", _points(subject, tried)),
        ("calibration", "Does it know how sure it is?", _calibration(tried)),
        ("curve", "Would more samples help?", _curve(tried)),
        ("making", "How this was measured", _making(subject, tried)),
    ]
    title = f"Predicting {escape(subject.predicts)} from {escape(subject.source)}"
    return document(title, _lead(subject, tried), sections)


def _lead(subject: Subject, tried: Sequence[Tried]) -> str:
    taus = [float(np.mean(one.validation.kendall())) for one in tried]
    boxes = [
        ("samples", f"{len(tried[0].validation):,}"),
        ("features", f"{len(subject.features):,}"),
        ("folds", str(subject.folds)),
        ("seeds", str(len(subject.seeds))),
    ]
    cards = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in boxes)
    said = "None of them predicts any order."
    if np.isfinite(taus).any():
        best = int(np.nanargmax(taus))
        said = (
            f"{escape(tried[best].label)} ranks samples that it has not seen best: Kendall's tau "
            f"{taus[best]:.3f}, the mean over seeds."
        )
    return f'<p class="lead">{said}</p><dl>{cards}</dl>'


def with_spread(values: Floats, digits: int = 3) -> str:
    """Mean and standard deviation over seeds; the mean alone of a single seed."""
    if not np.isfinite(values).all():
        return "–"
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def significant(values: Floats) -> str:
    """Mean and standard deviation over seeds, of numbers of any size."""
    mean = f"{values.mean():.4g}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.2g}"


def _numbers(subject: Subject, tried: Sequence[Tried]) -> str:
    levels = [f"in {100 * level:.0f} % interval" for level in LEVELS]
    head = ["predictor", "Kendall", "Spearman", "RMSE", *levels, "CPU s per fit"]
    rows = [
        [
            escape(one.label),
            with_spread(one.validation.kendall()),
            with_spread(one.validation.spearman()),
            significant(one.validation.rmse()),
            *(f"{100 * one.validation.coverage(level).mean():.1f} %" for level in LEVELS),
            f"{one.validation.seconds.mean():.3f}",
        ]
        for one in tried
    ]
    caption = (
        f"On samples that were held out; mean and standard deviation over {len(subject.seeds)} "
        "seeds. An interval should hold as many of the measured values as its name says."
    )
    return table(caption, head, rows)


def _points(subject: Subject, tried: Sequence[Tried]) -> str:
    figures = [
        embedded(f"points{i}", _scatter(subject, one, i), f"<b>{escape(one.label)}</b>", 400)
        for i, one in enumerate(tried)
    ]
    caption = (
        '<p class="soft">Each sample was held out once; the first seed. Bars reach one standard '
        "deviation up and down; on the dotted line predictions are right"
    )
    drawn = f"; {_SHOWN} samples are drawn" if len(tried[0].validation) > _SHOWN else ""
    return f'{caption}{drawn}.</p><div class="grid">{"".join(figures)}</div>'


def _scatter(subject: Subject, one: Tried, i: int) -> go.Figure:
    found = one.validation
    rows = np.random.default_rng(0).permutation(len(found))[:_SHOWN]
    measured, predicted = found.measured[rows], found.predicted[0, rows]
    ends = [
        float(min(measured.min(), predicted.min())),
        float(max(measured.max(), predicted.max())),
    ]
    figure = go.Figure(
        go.Scatter(x=ends, y=ends, mode="lines", line=_IDEAL, hoverinfo="skip", showlegend=False)
    )
    figure.add_trace(
        go.Scatter(
            x=measured,
            y=predicted,
            mode="markers",
            marker={"color": COLOURS[i % len(COLOURS)], "size": 5, "opacity": 0.7},
            error_y={
                "array": found.deviation[0, rows],
                "thickness": 0.7,
                "width": 0,
                "color": "rgba(128,128,128,0.45)",
            },
            hovertemplate="measured %{x:.5g}<br>predicted %{y:.5g}<extra></extra>",
            showlegend=False,
        )
    )
    name = escape(subject.predicts)
    return figure.update_layout(
        xaxis={"title": {"text": f"{name}, measured"}},
        yaxis={"title": {"text": f"{name}, predicted"}},
        margin=_MARGIN,
    )


def _calibration(tried: Sequence[Tried]) -> str:
    levels = np.linspace(0.05, 0.99, 48)
    figure = go.Figure(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=_IDEAL, hoverinfo="skip", name="ideal")
    )
    for i, one in enumerate(tried):
        shares = [float(one.validation.coverage(level).mean()) for level in levels]
        figure.add_trace(
            go.Scatter(x=levels, y=shares, mode="lines", name=escape(one.label), line=_line(i))
        )
    share = {"tickformat": ".0%", "range": [0, 1]}
    figure.update_layout(
        xaxis={"title": {"text": "central interval of what is predicted"}, **share},
        yaxis={"title": {"text": "measured values inside"}, **share},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    caption = (
        "Above the dotted line a predictor is more careful than it would have to be; below it is "
        "too sure of itself. Mean over seeds."
    )
    return embedded("coverage", figure, caption, 460)


def _curve(tried: Sequence[Tried]) -> str:
    sizes = sorted({size for one in tried for size in one.curve.sizes.tolist()})
    ticks = {"tickvals": sizes, "ticktext": [f"{size:,}" for size in sizes]}
    figures = []
    for key, title in (("kendall", "Kendall's tau"), ("rmse", "RMSE")):
        figure = go.Figure()
        for i, one in enumerate(tried):
            _band(figure, one.curve.sizes.tolist(), getattr(one.curve, key), one.label, i)
        figure.update_layout(
            xaxis={"title": {"text": "samples learnt from"}, "type": "log", **ticks},
            yaxis={"title": {"text": title}},
            legend=_LEGEND,
            margin=_MARGIN,
        )
        figures.append(embedded(f"curve-{key}", figure, "", 420))
    caption = (
        '<p class="soft">A fifth of the samples is held out and predicted from more and more of '
        "the others. Lines are means over seeds, bands reach one standard deviation up and down. "
        "A line that still climbs at its end says that more samples would help.</p>"
    )
    return f'{caption}<div class="grid wide">{"".join(figures)}</div>'


def _band(figure: go.Figure, sizes: list[int], values: Floats, label: str, i: int) -> None:
    mean, spread = values.mean(axis=0), values.std(axis=0)
    colour, name = COLOURS[i % len(COLOURS)], escape(label)
    red, green, blue = (int(colour[j : j + 2], 16) for j in (1, 3, 5))
    figure.add_trace(
        go.Scatter(
            x=[*sizes, *reversed(sizes)],
            y=np.concatenate([mean + spread, (mean - spread)[::-1]]),
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.15)",
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            legendgroup=name,
            showlegend=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=sizes, y=mean, mode="lines+markers", name=name, legendgroup=name, line=_line(i)
        )
    )


def _line(i: int) -> dict[str, object]:
    return {"color": COLOURS[i % len(COLOURS)], "width": 2, "dash": DASHES[i % len(DASHES)]}


def _making(subject: Subject, tried: Sequence[Tried]) -> str:
    seeds = ", ".join(map(str, subject.seeds))
    sentences = [
        f"Features: {', '.join(subject.features)}.",
        f"Seeds: {seeds}. A seed decides the folds, the samples of the learning curve, and what "
        "predictors draw. Samples with equal features are held out together.",
        *subject.left_out,
    ]
    rows = [[escape(one.label), escape(one.options) or "–"] for one in tried]
    text = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)
    return text + table("Options that were given", ["predictor", "options"], rows)
