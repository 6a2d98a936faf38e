"""A comparison as one HTML page that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import plotly.graph_objects as go

from hwnas.comparison.record import Comparison, Row, Spread
from hwnas.comparison.words import (
    corrected,
    difference,
    goal,
    overhead,
    percent,
    reached,
    target,
)
from hwnas.report.html import document, embedded
from hwnas.report.html import table as html_table
from hwnas.report.style import COLOURS, DASHES

_LEGEND: Final = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0}


def page(comparison: Comparison) -> str:
    """A comparison as HTML: the curves, the tables, and the scripts they need, all in one text."""
    sections = [
        ("curves", "Hypervolume against evaluations", _curves(comparison)),
        ("numbers", "In numbers", _numbers(comparison)),
        ("tests", "Is it more than chance?", _tests(comparison)),
        ("making", "How this was measured", _making(comparison)),
    ]
    title = f"{escape(comparison.name)}: searchers compared"
    return document(title, _lead(comparison), sections)


def curves(comparison: Comparison) -> go.Figure:
    """Medians over seeds as lines, quartiles as bands, for every searcher that ran.

    Two buttons turn the axis of evaluations linear or logarithmic.
    """
    figure = go.Figure()
    ran = [row for row in comparison.rows if row.band]
    for i, row in enumerate(ran):
        _draw(figure, comparison.points, row, i)
    buttons = [
        {"label": kind, "method": "relayout", "args": [{"xaxis.type": kind}]}
        for kind in ("linear", "log")
    ]
    menu = {
        "type": "buttons",
        "direction": "right",
        "buttons": buttons,
        "x": 1,
        "xanchor": "right",
        "y": 1.0,
        "yanchor": "bottom",
        "pad": {"b": 6},
        "bgcolor": "rgba(128,128,128,0.15)",
        "showactive": False,
    }
    exact = comparison.target is not None and comparison.target.exact
    volume = "HV / HV*" if exact else "HV / HV of the best known front"
    return figure.update_layout(
        xaxis={"title": {"text": "evaluations"}},
        yaxis={"title": {"text": volume}},
        legend=_LEGEND,
        updatemenus=[menu],
        hovermode="x unified",
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
    )


def _draw(figure: go.Figure, points: Sequence[int], row: Row, i: int) -> None:
    colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
    name = escape(row.label)
    red, green, blue = (int(colour[j : j + 2], 16) for j in (1, 3, 5))
    band: dict[str, Any] = {
        "x": list(points),
        "mode": "lines",
        "line": {"width": 0, "shape": "hv"},
        "legendgroup": name,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    figure.add_trace(go.Scatter(y=[spread.upper for spread in row.band], **band))
    figure.add_trace(
        go.Scatter(
            y=[spread.lower for spread in row.band],
            fill="tonexty",
            fillcolor=f"rgba({red},{green},{blue},0.18)",
            **band,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=list(points),
            y=[spread.median for spread in row.band],
            name=name,
            legendgroup=name,
            mode="lines",
            line={"color": colour, "width": 2, "dash": dash, "shape": "hv"},
            hovertemplate="%{y:.4f}",
        )
    )


def _lead(comparison: Comparison) -> str:
    ran = [row for row in comparison.rows if row.runs]
    best = max(ran, key=lambda row: row.relative[-1].median, default=None)
    boxes = [
        ("searchers", f"{len(ran)} of {len(comparison.rows)}"),
        ("seeds", f"{len(comparison.seeds):,}"),
        ("evaluations per run", f"{comparison.budget:,}"),
        ("measured against", "exact front" if _is_exact(comparison) else "best known front"),
    ]
    cards = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in boxes)
    said = "None of them could search this problem."
    if best is not None:
        said = (
            f"After {comparison.budget:,} evaluations {escape(best.label)} has the largest median "
            f"hypervolume, {percent(best.relative[-1].median)} of that of the "
            f"{'exact' if _is_exact(comparison) else 'best known'} front."
        )
    return f'<p class="lead">{said}</p><dl>{cards}</dl>'


def _is_exact(comparison: Comparison) -> bool:
    return comparison.target is not None and comparison.target.exact


def _curves(comparison: Comparison) -> str:
    if comparison.box is None:
        return '<p class="empty">No run found a feasible design, so there is nothing to draw.</p>'
    caption = (
        "Lines are medians over seeds, bands reach from the lower to the upper quartile. A run "
        "that ended early keeps what it had. A click on a name hides its line."
    )
    return embedded("hypervolume", curves(comparison), caption, 520)


def _numbers(comparison: Comparison) -> str:
    marks = [f"{mark:,}" for mark in comparison.checkpoints]
    head = ["searcher", *marks]
    rows = [
        [escape(row.label), *(_spread(spread) for spread in row.relative)]
        if row.runs
        else [escape(row.label), *["refused"] * len(marks)]
        for row in comparison.rows
    ]
    text = html_table("Hypervolume after so many evaluations: median (quartiles)", head, rows)
    goals = [f"to {goal(fraction)}" for fraction in comparison.fractions]
    late = [
        [
            escape(row.label),
            *(escape(reached(found, len(row.runs))) for found in row.reached),
            escape(overhead(row.overhead)),
            str(len(row.failed) or "–"),
        ]
        for row in comparison.rows
        if row.runs
    ]
    head = ["searcher", *goals, "CPU per evaluation", "failed runs"]
    caption = (
        "Evaluations to a fraction of the target: median over seeds (how many reached it), one "
        "that never did counting as infinitely late. CPU is the searcher's own, in ask and tell."
    )
    reasons = [
        f'<p class="empty">{escape(row.label)} refused: {escape(row.refused)}</p>'
        for row in comparison.rows
        if row.refused
    ]
    return text + html_table(caption, head, late) + "".join(reasons)


def _spread(spread: Spread) -> str:
    text = (
        f"{percent(spread.median)} <span class='soft'>({100 * spread.lower:.1f} – "
        f"{100 * spread.upper:.1f})</span>"
    )
    return text.replace(" ", "&nbsp;").replace("<span&nbsp;", "<span ")


def _tests(comparison: Comparison) -> str:
    rows = [
        [
            escape(test.label),
            escape(test.verdict),
            difference(test.difference),
            f"{test.wins} / {test.losses} / {test.ties}",
            corrected(test.p),
            corrected(test.p_corrected),
        ]
        for test in comparison.tests
    ]
    if not rows:
        return ""
    first = escape(comparison.rows[0].label)
    head = ["searcher", "verdict", "median difference", "won / lost / equal", "p", "p, corrected"]
    caption = (
        f"Against {first}, on the final hypervolume, seed by seed: Wilcoxon's signed-rank test, "
        "two-sided, with Holm's correction. A difference counts as shown where the corrected p is "
        "at most 0.05."
    )
    return html_table(caption, head, rows)


def _making(comparison: Comparison) -> str:
    parts = [f"<p>{escape(text)}</p>" for text in _sentences(comparison)]
    if comparison.box is not None:
        box = comparison.box
        signs = [1.0 if q.arrow == " ↓" else -1.0 for q in comparison.objectives]
        rows = [
            [
                escape(q.name) + q.arrow,
                escape(q.show(sign * ideal)),
                escape(q.show(sign * worst)),
                "log" if log else "linear",
            ]
            for q, sign, ideal, worst, log in zip(
                comparison.objectives,
                signs,
                box.ideal,
                box.reference,
                box.logarithmic,
                strict=True,
            )
        ]
        head = ["objective", "best corner", "worst corner", "scale"]
        parts.append(html_table("The box of the hypervolume", head, rows))
    options = [
        [escape(row.label), escape(row.searcher), _options(row.options)] for row in comparison.rows
    ]
    parts.append(html_table("Searchers", ["label", "searcher", "options"], options))
    return "".join(parts)


def _options(options: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{escape(name)} = {escape(value)}" for name, value in options) or "–"


def _sentences(comparison: Comparison) -> Iterable[str]:
    if comparison.target is not None:
        yield f"Relative to {target(comparison.target)}."
        yield (
            f"The box is the same for all runs; it was fixed when the first comparison here was "
            f"complete, from {comparison.box_from}."
        )
        if not comparison.target.exact:
            yield (
                "A searcher or a budget that is added later does not move the box; where it finds "
                "better designs it moves the best known front, and the numbers of all others fall."
            )
    yield f"Seeds: {', '.join(map(str, comparison.seeds))}."
    yield from comparison.notes
