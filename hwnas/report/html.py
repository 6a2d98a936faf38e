"""Pages that open anywhere, without a network: what reports and comparisons share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hwnas.report.style import CSS, JS

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
"""What a page may do: run its own scripts, and load nothing."""


def document(title: str, lead: str, sections: Iterable[tuple[str, str, str]]) -> str:
    """A whole page, with the scripts that its figures need.

    Args:
        title: Escaped already.
        lead: HTML that stands under the title.
        sections: Key, heading and HTML of each; those without HTML are left out.
    """
    from plotly.offline import get_plotlyjs

    shown = [(key, heading, body) for key, heading, body in sections if body]
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, heading, _ in shown)
    bodies = "".join(
        f'<section id="{key}"><h2>{heading}</h2>{body}</section>\n' for key, heading, body in shown
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">
<title>{title}</title>
<style>{CSS}</style>
</head>
<body>
<header><h1>{title}</h1>{lead}</header>
<nav aria-label="Contents"><ul>{links}</ul></nav>
<noscript><p class="empty">The figures need JavaScript; the tables do not.</p></noscript>
<main>
{bodies}</main>
<script>{get_plotlyjs()}</script>
<script>{JS}</script>
</body>
</html>
"""


def embedded(key: str, figure: Any, caption: str, height: int = 420, width: int = 0) -> str:
    """A figure's place and its data as HTML; the script at the end of the page draws it.

    Args:
        key: The id of the place.
        figure: A plotly figure; its theme is left out.
        caption: HTML; empty for none.
        height: In pixels.
        width: The least width, in pixels; narrower screens scroll.
    """
    drawn = json.loads(figure.to_json())
    drawn["layout"].pop("template", None)
    # "<" would end the script where a name says so.
    data = json.dumps(drawn, separators=(",", ":")).replace("<", "\\u003c")
    least = f"min-width:{width}px;" if width else ""
    text = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure><div class="scroll"><div class="plot" id="{key}" '
        f'style="{least}height:{height}px"></div></div>{text}</figure>'
        f'<script type="application/json" data-plot="{key}">{data}</script>'
    )


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are escaped already."""
    tops = "".join(f'<th scope="col">{cell}</th>' for cell in head) if any(head) else ""
    top = f"<thead><tr>{tops}</tr></thead>" if tops else ""
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{caption}</caption>{top}'
        f"<tbody>{body}</tbody></table></div>"
    )
