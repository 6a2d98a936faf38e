"""What lower fidelities were worth: a table, and each rung against whole evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

from hwnas.metrics import Goal
from hwnas.report.html import embedded, table
from hwnas.report.quantity import Quantity
from hwnas.rungs import RANKS, Rungs, Standing

if TYPE_CHECKING:
    from hwnas.study import Study


_RANKINGS: Final = ("Kendall", "Spearman")


@dataclass(frozen=True)
class RungRecord:
    """One fidelity of a study.

    Attributes:
        standing: What was measured at it, and how it ranks.
        metric: The first of the costly metrics that it is judged by.
        early: Its values at this fidelity, at rest, of the settings that it is judged by.
        whole: The whole values of the same settings.
    """

    standing: Standing
    metric: Quantity
    early: tuple[float, ...]
    whole: tuple[float, ...]


def rungs(study: Study) -> tuple[RungRecord, ...]:
    """The fidelities of a study, ascending; nothing where none below 1 was used."""
    history, problem = study.history, study.problem
    found = history.rungs
    if not found:
        return ()
    kept = Rungs(problem)
    kept.add(history.rows.genomes, history.rows.measurements)
    metric = problem.metrics[kept.metrics[0]]
    shown = Quantity(metric.name, metric.unit, metric.goal)
    records = []
    for standing in found:
        early, whole = kept.judged(standing.fidelity)
        columns = (tuple(map(float, side[:, 0])) for side in (early, whole))
        records.append(RungRecord(standing, shown, *columns))
    return tuple(records)


def section(records: tuple[RungRecord, ...]) -> str:
    """The section of a report, as HTML; empty where there is nothing to say."""
    if not records:
        return ""
    rows = []
    for record in records:
        standing = record.standing
        for agreement in standing.agreements or (None,):
            cells: tuple[str, ...] = ("",) * 5
            if agreement is not None:
                ranks = (shown(agreement.kendall), shown(agreement.spearman))
                pairs = f"{agreement.pairs:,}{'*' if standing.blind else ''}"
                cells = (escape(agreement.metric), f"{standing.both:,}", pairs, *ranks)
            share = f"{standing.fidelity:g}"
            rows.append([share, f"{standing.measured:,}", *cells, escape(standing.verdict)])
    head = ["share", "measured", "metric", "both ways", "judged by", *_RANKINGS, "verdict"]
    text = (
        "A rung is a fidelity: what is measured at a share of the cost of a whole evaluation. It "
        "never counts as a result; all it has to do is to rank designs like the whole one. "
        "Measured are different settings of what is costly. A rung whose Kendall tau is below "
        f"{RANKS:g} is skipped. Where enough designs were measured whole before they were measured "
        "on a rung, it is judged by them alone (marked *): the others were chosen because of what "
        "the rung said, which can make it look worse or better than it is."
    )
    drawn = [
        embedded(f"rung-{i}", _figure(record), "", 340)
        for i, record in enumerate(records)
        if record.standing.fidelity < 1 and len(record.early) > 1
    ]
    return (
        f"<p>{text}</p>"
        + table("Rungs", head, rows)
        + (f'<div class="grid">{"".join(drawn)}</div>' if drawn else "")
    )


def shown(correlation: float | None) -> str:
    """A correlation for a person."""
    return "–" if correlation is None else f"{correlation:.2f}"


def _figure(record: RungRecord) -> Any:
    import plotly.graph_objects as go

    name, unit = escape(record.metric.name), record.metric.unit
    label = name if unit == "1" else f"{name} [{escape(unit)}]"
    arrow = " ↑" if record.metric.goal is Goal.MAXIMIZE else " ↓"
    points = go.Scatter(x=record.early, y=record.whole, mode="markers", marker={"color": "#0072B2"})
    return go.Figure(points).update_layout(
        xaxis={"title": {"text": f"{label} at a share of {record.standing.fidelity:g}"}},
        yaxis={"title": {"text": label + arrow}},
        margin={"l": 60, "r": 20, "t": 20, "b": 55},
        showlegend=False,
    )
