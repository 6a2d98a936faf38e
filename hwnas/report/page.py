"""A report as one HTML page that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import combinations
from typing import Final

import numpy as np

from hwnas import units
from hwnas.arrays import Choice
from hwnas.front import FrontDesign
from hwnas.metrics import Goal
from hwnas.report import rungs
from hwnas.report.anatomy import Anatomy
from hwnas.report.contents import Record
from hwnas.report.design_page import pictures, value_of
from hwnas.report.html import document, embedded, table
from hwnas.report.quantity import Quantity, pretty

MOST_ROWS: Final = 300
_MOST_PAIRS: Final = 15
_ARROWS: Final = "↓ lower is better, ↑ higher is better."


def page(record: Record) -> str:
    """A record as HTML: figures, tables and the scripts they need, all in one text.

    All names are escaped, and a content policy keeps the page from loading anything.
    """
    alone = len(record.objectives) == 1
    sections = [
        ("front", "The best value" if alone else "The front", _front(record)),
        ("designs", "The best designs" if alone else "Designs on the front", _designs(record)),
        ("costs", "Where the cost comes from", _costs(record)),
        ("progress", "Hypervolume against evaluations", _progress(record)),
        ("rungs", "Rungs", rungs.section(record.rungs)),
        ("genes", "Which genes matter", _genes(record)),
        ("parallel", "Genes and objectives side by side", _parallel(record)),
        ("outcomes", "What became of the designs", _outcomes(record)),
        ("making", "How this was made", _making(record)),
    ]
    return document(escape(record.title), _lead(record), sections)


def _lead(record: Record) -> str:
    facts = record.facts
    front = "best" if len(record.objectives) == 1 else "on the Pareto front"
    found = (
        f"{_count(len(record.designs), 'design')} {front} of"
        if record.designs
        else "No feasible design among"
    )
    goals = ", ".join(
        f"{'lowest' if o.goal is Goal.MINIMIZE else 'highest'} {escape(o.name)}"
        for o in record.objectives
    )
    volume = f"{record.trace.hypervolume[-1]:.4g}" if record.trace.hypervolume else "–"
    boxes = [
        ("designs looked at", f"{facts.designs:,}"),
        ("evaluations spent", f"{facts.evaluations:,} of {facts.budget:,}"),
        ("failed evaluations", f"{facts.failures:,}"),
        ("infeasible designs", f"{facts.infeasible:,}"),
        ("hypervolume", volume),
        *([("certified", escape(str(facts.bound)))] if facts.bound else []),
        ("time", units.show(facts.seconds, "s") if facts.seconds < 600 else _long(facts.seconds)),
        ("state", escape(facts.status)),
    ]
    cards = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in boxes)
    return (
        f'<p class="lead">{found} {_count(facts.designs, "design")} looked at, out of '
        f"{facts.space_size:.3g} possible ones. Wanted: {goals}.</p><dl>{cards}</dl>"
    )


def _front(record: Record) -> str:
    from hwnas.report import figures

    objectives, points = record.objectives, record.points
    m = len(objectives)
    parts = [f'<p class="empty">{escape(record.why_empty)}</p>'] if record.why_empty else []
    if m == 1 and record.trace.evaluations:
        caption = "The best value so far among the designs that meet all constraints."
        drawn = figures.best(objectives, record.trace)
        parts.append(embedded("best", drawn, f"{caption} {_ARROWS}"))
    drawable = m > 1 and any(map(len, (points.front, points.feasible, points.infeasible)))
    if drawable and m == 2:
        drawn = figures.plane(objectives, points, (0, 1))
        parts.append(embedded("plane", drawn, _cloud_caption(record), 520))
    if drawable and m >= 3:
        pairs = list(combinations(range(m), 2))[:_MOST_PAIRS]
        drawn_pairs = [
            embedded(f"pair-{i}-{j}", figures.plane(objectives, points, (i, j)), "", 420)
            for i, j in pairs
        ]
        if m == 3:
            drawn_pairs.insert(0, embedded("room", figures.room(objectives, points), "", 420))
        parts.append(f'<div class="grid wide">{"".join(drawn_pairs)}</div>')
        parts.append(f'<p class="soft">{_cloud_caption(record)} {_pairs_caption(m)}</p>')
    return "".join(parts) + _best(record)


def _cloud_caption(record: Record) -> str:
    points = record.points
    texts = [_ARROWS]
    if len(points.infeasible):
        texts.append("Grey crosses violate a constraint or are infeasible.")
    if points.thinned:
        texts.append(f"{points.thinned:,} designs off the front were left out by chance.")
    if points.without_values:
        texts.append(f"{points.without_values:,} designs have no values to draw.")
    if record.designs:
        texts.append("A click on a point of the front shows its row in the table.")
    return " ".join(texts)


def _pairs_caption(objectives: int) -> str:
    text = "A design that is dominated in two objectives may be on the front by another."
    if objectives == 3:
        text += (
            " Colour is the objective that has no axis. The first figure can be turned; it needs "
            "WebGL, the others do not."
        )
    return text


def _best(record: Record) -> str:
    if not record.designs:
        return ""
    by_number = {design.number: design for design in record.designs}
    rows = []
    for objective, number in zip(record.objectives, record.best, strict=True):
        design = by_number[number]
        rows.append(
            [
                _heading(objective),
                f'<a href="#design-{number}">{number}</a>',
                *(_unbroken(o.show(design.objectives[o.name])) for o in record.objectives),
            ]
        )
    head = ["best in", "design", *(escape(o.name) for o in record.objectives)]
    return table("The ends of the front" if len(rows) > 1 else "The best", head, rows)


def _designs(record: Record) -> str:
    if not record.designs:
        return ""
    kept = _spread(record)
    shared, differing = _split(record)
    cells: list[tuple[Quantity, Callable[[FrontDesign], Choice | None]]] = [
        *((o, _getter("objectives", o.name)) for o in record.objectives),
        *((q, _getter("metrics", q.name)) for q in record.metrics),
        *((g, _getter("genes", g.name)) for g in differing),
    ]
    words = [any(isinstance(get(d), str) for d in kept) for _, get in cells]
    head = '<th scope="col"><button type="button">design</button></th>' + "".join(
        f'<th scope="col"{_class(word)}><button type="button">{_heading(q)}</button></th>'
        for (q, _), word in zip(cells, words, strict=True)
    )
    body = "".join(
        f'<tr id="design-{d.number}"><th scope="row" data-v="{d.number}">{d.number}</th>'
        + "".join(_cell(q, get(d), word) for (q, get), word in zip(cells, words, strict=True))
        + "</tr>\n"
        for d in kept
    )
    left_out = len(record.designs) - len(kept)
    note = f" {left_out:,} more are in <code>front.csv</code>." if left_out else ""
    same = (
        "<p class='soft'>The same in all of them: "
        + "; ".join(f"{escape(g.name)} = {escape(g.show(value))}" for g, value in shared)
        + ".</p>"
        if shared
        else ""
    )
    return (
        f"<p>A click on a heading sorts.{note} – means that the gene is inactive.</p>{same}"
        f'<div class="scroll tall" tabindex="0"><table class="designs"><thead><tr>{head}</tr>'
        f"</thead><tbody>\n{body}</tbody></table></div>"
    )


def _spread(record: Record) -> list[FrontDesign]:
    """The designs that the table shows: evenly over the front, the best ones among them."""
    n = len(record.designs)
    if n <= MOST_ROWS:
        return list(record.designs)
    even = set(np.linspace(0, n - 1, MOST_ROWS).round().astype(int))
    best = set(record.best)
    return [d for i, d in enumerate(record.designs) if i in even or d.number in best]


def _split(record: Record) -> tuple[list[tuple[Quantity, Choice]], list[Quantity]]:
    """Genes that have one value in all designs of a front of several, and the others."""
    shared: list[tuple[Quantity, Choice]] = []
    differing: list[Quantity] = []
    for gene in record.genes:
        values = {design.genes.get(gene.name) for design in record.designs}
        only = next(iter(values))
        if values == {None}:
            continue
        if len(values) == 1 and only is not None and len(record.designs) > 1:
            shared.append((gene, only))
        else:
            differing.append(gene)
    return shared, differing


def _getter(field: str, name: str) -> Callable[[FrontDesign], Choice | None]:
    def get(design: FrontDesign) -> Choice | None:
        value: Choice | None = getattr(design, field).get(name)
        return value

    return get


def _cell(quantity: Quantity, value: Choice | None, word: bool) -> str:
    if value is None:
        return f'<td data-v=""{_class(word)}>–</td>'
    return f'<td data-v="{escape(str(value))}"{_class(word)}>{escape(quantity.show(value))}</td>'


def _class(word: bool) -> str:
    return ' class="word"' if word else ""


def _costs(record: Record) -> str:
    """Some designs of the front in pictures."""
    shown = record.anatomies
    if not shown:
        return ""
    if not any(found.accounts for found in shown):
        return f"<p>{escape(shown[0].silence)}</p>"
    return "".join(
        f"<h3>Design {found.number}: {escape(found.chosen)}</h3>"
        f"<p>{_objectives(record, found)}</p>{pictures(found)}"
        for found in shown
    ) + (
        f'<p class="soft"><code>hwnas show DIR {shown[0].number} --html</code> writes a page like '
        "this about any design, with its layers.</p>"
    )


def _objectives(record: Record, found: Anatomy) -> str:
    values = {quantity.name: value for quantity, value in found.measured}
    texts = (f"{_heading(o)} {_unbroken(value_of(o, values[o.name]))}" for o in record.objectives)
    return ", ".join(texts)


def _progress(record: Record) -> str:
    from hwnas.report import figures

    if not record.trace.evaluations or record.facts.box is None:
        return "<p>No design has values yet, so there is nothing to measure.</p>"
    caption = (
        "The share of the box between the two corners below that the front dominates. The box was "
        "fixed when the study began; above 1 the front is better than its best corner. "
        "Objectives marked log are measured by their logarithm."
    )
    rows = [
        [
            _heading(o),
            _unbroken(o.show(ideal)),
            _unbroken(o.show(reference)),
            "log" if o.logarithmic else "linear",
        ]
        for o, ideal, reference in zip(
            record.objectives, record.facts.box.ideal, record.facts.box.reference, strict=True
        )
    ]
    head = ["objective", "best corner", "worst corner", "scale"]
    drawn = embedded("hypervolume", figures.hypervolume(record.trace), caption, 380)
    return drawn + _certified(record) + table("The hypervolume's box", head, rows)


def _certified(record: Record) -> str:
    from hwnas.report import figures

    bounds = record.facts.bounds
    if not bounds:
        return ""
    caption = (
        "At most this share of the hypervolume reached was still to be gained, as the searcher "
        f"certified at {100 * bounds[-1].confidence:.3g} % confidence after each step."
    )
    return embedded("remaining", figures.remaining(bounds), caption, 320)


def _genes(record: Record) -> str:
    from hwnas.report import figures

    parts = []
    for k, found in enumerate(record.importances):
        title = f"<h3>{escape(found.objective)}</h3>"
        if found.note:
            parts.append(f"<div>{title}<p>{escape(found.note)}</p></div>")
            continue
        text = (
            f"The model explains {found.explained:.0%} of the variance on designs it has not "
            f"seen ({found.designs:,} designs)."
        )
        drawn = embedded(f"importance-{k}", figures.importance(found), text, 330)
        parts.append(f"<div>{title}{drawn}</div>")
    how = (
        "A model of boosted trees predicts each objective from the genes. A bar says by how much "
        "the share of the variance that it explains drops when the gene is shuffled among designs "
        "that it has not seen; lines are standard deviations. The ten most important genes are "
        "shown. This holds where the search has looked: a gene on which it settled early varies "
        "little and seems to matter little."
    )
    return f'<div class="grid">{"".join(parts)}</div><p class="soft">{how}</p>'


def _parallel(record: Record) -> str:
    from hwnas.report import figures

    found = record.parallel
    if found is None:
        return ""
    text = (
        "Each line is a design: strong ones are on the front, pale ones are feasible but "
        f"dominated. {_ARROWS} Drag along an axis to pick lines; needs WebGL."
    )
    if found.genes_left_out:
        text += (
            f" Shown are the {len(found.genes)} genes that matter most; "
            f"{found.genes_left_out} others are left out."
        )
    if found.front_left_out:
        text += f" {found.front_left_out:,} designs of the front are left out."
    width = 90 * (len(found.genes) + len(found.objectives)) + 100
    return embedded("coordinates", figures.parallel(found), text, 480, width)


def _outcomes(record: Record) -> str:
    rows = [[escape(o.text), f"{o.designs:,}", escape(o.example)] for o in record.facts.outcomes]
    text = table("Designs", ["outcome", "designs", "most frequent note"], rows)
    limits = [
        [escape(limit.text), f"{limit.violated:,}", f"{limit.known:,}"]
        for limit in record.facts.limits
    ]
    if limits:
        head = ["constraint", "violated by", "designs checked"]
        text += table("Constraints", head, limits)
    return text


def _making(record: Record) -> str:
    facts = record.facts
    options = ", ".join(f"{escape(name)} = {escape(value)}" for name, value in facts.options)
    pairs = [
        ("study", escape(facts.name)),
        ("searcher", escape(facts.searcher) + (f" ({options})" if options else "")),
        ("seed", str(facts.seed)),
        ("genes", str(len(record.genes))),
        ("designs in the space", f"{facts.space_size:,}"),
    ]
    if facts.checks:
        spot = f"{facts.checks:,}, each a costly evaluation that the budget does not count"
        pairs.append(("spot checks of what evaluators read", spot))
    pairs += [
        ("objective", escape(f"{o.text or f'{o.goal.value}: {o.name}'}"))
        for o in record.objectives
        if o.goal is not None
    ]
    evaluators = [
        [
            escape(e.name),
            escape(e.version),
            escape(e.expense),
            ", ".join(f"{escape(q.name)} [{escape(pretty(q.unit))}]" for q in e.metrics),
        ]
        for e in facts.evaluators
    ]
    return table("Study", ["", ""], [list(pair) for pair in pairs]) + table(
        "Evaluators", ["evaluator", "version", "expense", "metrics"], evaluators
    )


def _heading(quantity: Quantity) -> str:
    """A name that may be broken at its dots, its arrow kept with it."""
    name = escape(quantity.name).replace(".", ".<wbr>").replace("_", "_<wbr>")
    return name + quantity.arrow.replace(" ", "&nbsp;")


def _unbroken(text: str) -> str:
    return escape(text).replace(" ", "&nbsp;")


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _long(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
