"""One design as HTML: a page of its own, or a part of a report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import numpy as np

from hwnas.arrays import Floats
from hwnas.design.mappings import STAYS, TILINGS
from hwnas.report.anatomy import Account, Anatomy, Breakdown
from hwnas.report.html import document, embedded
from hwnas.report.quantity import Quantity

_PANEL_HEIGHT: Final = 170
_BAR_HEIGHT: Final = 38
_LAYER_WIDTH: Final = 4
_SHOWN: Final = (
    Quantity("latency", "s"),
    Quantity("energy", "J"),
    Quantity("utilization"),
    Quantity("dram_bytes", "B"),
)
"""The columns of evaluators that the table of layers shows."""
_MAPPED: Final = {
    name: tuple(word.replace("_", " ") for word in words)
    for name, words in {"tiling": TILINGS, "stay": STAYS}.items()
}
"""Columns with the numbers of mappings, from 1; 0 where there is none."""


def design_page(found: Anatomy, study: str) -> str:
    """A design as a page that opens anywhere, without a network.

    Args:
        found: The design.
        study: The name of its study.
    """
    sections = [
        ("costs", "Where its cost comes from", pictures(found)),
        ("genes", "Its genes", _genes(found)),
        ("layers", "Its layers", _layers(found)),
    ]
    return document(f"Design {found.number} of {escape(study)}", _lead(found), sections)


def _lead(found: Anatomy) -> str:
    state = (
        f'<p class="empty">This design is not feasible: {escape(found.state)}.</p>'
        if found.state
        else ""
    )
    cards = "".join(
        f"<div><dt>{escape(q.name)}{q.arrow}</dt><dd>{escape(value_of(q, value))}</dd></div>"
        for q, value in found.measured
    )
    return f"{state}<dl>{cards}</dl>"


def value_of(quantity: Quantity, value: float | None) -> str:
    """A measured value with its unit."""
    return "not measured" if value is None else quantity.show(value)


def _genes(found: Anatomy) -> str:
    by_part: dict[str, list[str]] = {}
    for gene, value in found.genes:
        part, _, name = gene.name.rpartition(".")
        card = f"<div><dt>{escape(name)}</dt><dd>{escape(gene.show(value))}</dd></div>"
        by_part.setdefault(part, []).append(card)
    return "".join(
        (f"<h3>{escape(part)}</h3>" if part else "") + f'<dl class="small">{"".join(cards)}</dl>'
        for part, cards in by_part.items()
    )


def pictures(found: Anatomy) -> str:
    """What evaluators say of a design, one after the other; a sentence where none says anything."""
    if not found.accounts:
        return f"<p>{escape(found.silence)}</p>"
    several = len(found.accounts) > 1
    return "".join(
        (f"<h4>{escape(account.evaluator)}</h4>" if several else "") + _account(account, found, k)
        for k, account in enumerate(found.accounts)
    )


def _account(account: Account, found: Anatomy, k: int) -> str:
    name = escape(account.evaluator)
    if account.note:
        return f"<p>What {name} says cannot be shown: {escape(account.note)}.</p>"
    key = f"{found.number}-{k}"
    parts = [_breakdowns(account, key), _roofline(account, found, key), _bars(account, found, key)]
    return "".join(parts) or f"<p>{name} says nothing about this design.</p>"


def _breakdowns(account: Account, key: str) -> str:
    from hwnas.report import anatomy_figures as figures

    if not account.breakdowns:
        return ""
    most = max(len(found.components) for found in account.breakdowns)
    drawn = "".join(
        embedded(
            f"parts-{key}-{i}",
            figures.breakdown(found),
            _breakdown_caption(found),
            _BAR_HEIGHT * most + 70,
        )
        for i, found in enumerate(account.breakdowns)
    )
    return f'<div class="grid narrow">{drawn}</div>'


def _breakdown_caption(found: Breakdown) -> str:
    name, total = escape(found.quantity.name), escape(found.quantity.show(found.total))
    if found.adds_up:
        return f"The parts of {name} add up to {total}."
    return f"The parts of {name} overlap; all in all it is {total}."


def _roofline(account: Account, found: Anatomy, key: str) -> str:
    from hwnas.report import anatomy_figures as figures

    roof = account.roofline
    if roof is None:
        return ""
    latency = account.columns.get("latency")
    drawn = figures.roofline(roof, found.lines, latency)
    if drawn is None:
        return "<p>No layer of the network multiplies, so there is no roofline.</p>"
    left = (roof.intensity <= 0) | (roof.attained <= 0)
    texts = [
        "Each marker is a layer"
        + (", its area the layer's share of the latency." if latency is not None else "."),
        f"Left of the ridge point, at {roof.ridge:.3g} multiply-accumulates per byte, the DRAM "
        "bandwidth bounds a layer, right of it the array. What lies far below the bounds leaves "
        "both partly idle, e.g. because its shape does not fill the array.",
    ]
    if left.any():
        texts.append(_left_out(left, latency))
    return embedded(f"roofline-{key}", drawn, " ".join(texts), 460)


def _left_out(left: Any, latency: Floats | None) -> str:
    n = int(left.sum())
    text = "1 layer without" if n == 1 else f"{n:,} layers without"
    text += " multiply-accumulates "
    text += "has" if n == 1 else "have"
    text += " no place in it"
    if latency is not None and latency.sum() > 0:
        text += f" ({100 * float(latency[left].sum() / latency.sum()):.3g} % of the latency)"
    return text + "."


def _bars(account: Account, found: Anatomy, key: str) -> str:
    from hwnas.report import anatomy_figures as figures

    if not found.lines:
        return "<p>The design has no layers.</p>" if found.table is not None else ""
    drawn = figures.layers(account, found.lines)
    if drawn is None:
        return ""
    columns = account.columns
    texts = ["Pointing at a layer shows what it is; dragging enlarges, a double click restores."]
    if {"compute_time", "dram_time"} <= set(columns):
        bound = columns["dram_time"] > columns["compute_time"]
        texts.insert(
            0,
            f"{int(bound.sum()):,} of {len(bound):,} layers move data longer than they compute.",
        )
    panels = sum(name.startswith("yaxis") for name in drawn.to_plotly_json()["layout"])
    height = _PANEL_HEIGHT * panels + 100
    width = _LAYER_WIDTH * len(found.lines)
    return embedded(f"layers-{key}", drawn, " ".join(texts), height, width)


def _layers(found: Anatomy) -> str:
    if found.table is None:
        return "<p>The space of this study has no networks that can be laid out.</p>"
    if not found.lines:
        return "<p>The network has no layers.</p>"
    columns = [*_shapes(found), *_costs(found)]
    head = "".join(
        f'<th scope="col"{_word(word)}><button type="button">{escape(name)}</button></th>'
        for name, word, _ in columns
    )
    body = "".join(
        "<tr>" + "".join(_cell(word, *cells[i]) for _, word, cells in columns) + "</tr>\n"
        for i in range(len(found.lines))
    )
    return (
        "<p>A click on a heading sorts.</p>"
        '<div class="scroll tall" tabindex="0"><table class="designs"><thead><tr>'
        f"{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


_Column = tuple[str, bool, Sequence[tuple[object, str]]]
"""Heading, whether it holds words, and per layer what is sorted by and what is shown."""


def _shapes(found: Anatomy) -> list[_Column]:
    layers = found.table
    assert layers is not None
    weights = np.where(layers.has_weights, layers.weight_bits, 0)
    numbers: list[tuple[str, Any]] = [
        ("C", layers.C),
        ("K", layers.K),
        ("P", layers.P),
        ("Q", layers.Q),
        ("R", layers.R),
        ("S", layers.S),
        ("stride", layers.stride),
        ("groups", layers.groups),
        ("weight bits", weights),
        ("activation bits", layers.activation_bits),
        ("MACs", layers.macs),
        ("weights", layers.weights),
    ]
    shown: list[_Column] = [
        ("layer", False, [(line.number, str(line.number)) for line in found.lines]),
        ("operator", True, [(line.kind, line.kind) for line in found.lines]),
    ]
    return shown + [
        (name, False, [(v, f"{v:,}" if v or name != "weight bits" else "–") for v in row.tolist()])
        for name, row in numbers
    ]


def _costs(found: Anatomy) -> list[_Column]:
    several = sum(not account.note for account in found.accounts) > 1
    shown: list[_Column] = []
    for account in found.accounts:
        columns = account.columns
        for quantity in _SHOWN:
            if quantity.name not in columns:
                continue
            name = f"{account.evaluator} {quantity.name}" if several else quantity.name
            values = columns[quantity.name].tolist()
            shown.append((name, False, [(v, _short(quantity, v)) for v in values]))
        for column, names in _MAPPED.items():
            if column in columns and found.table is not None:
                name = f"{account.evaluator} {column}" if several else column
                places = np.where(found.table.macs > 0, columns[column], 0).astype(np.int64)
                words = ("–", *names)
                shown.append((name, True, [(words[p], words[p]) for p in places.tolist()]))
    return shown


def _short(quantity: Quantity, value: float) -> str:
    return f"{100 * value:.3g} %" if quantity.name == "utilization" else quantity.show(value)


def _cell(word: bool, key: object, text: str) -> str:
    return f'<td data-v="{escape(str(key))}"{_word(word)}>{escape(text)}</td>'


def _word(word: bool) -> str:
    return ' class="word"' if word else ""
