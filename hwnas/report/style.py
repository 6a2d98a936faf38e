"""How a report looks and what it does when it is clicked: colours, style sheet and script."""

from __future__ import annotations

from typing import Final

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
"""Told apart by colour-blind people (M. Okabe, K. Ito, "Color Universal Design", 2008)."""

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")
"""Lines say the same as their colours."""

CSS: Final = """
:root { color-scheme: light dark; --ink: #222; --soft: #5c5c5c; --paper: #fff; --card: #f6f6f4;
  --rule: #d5d5d2; --accent: #0063a0; --mark: #ffe9b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #dedede; --soft: #a6a6a6; --paper: #181818;
  --card: #222; --rule: #444; --accent: #6cb8ec; --mark: #57430f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 3vw, 2.5rem) 4rem; max-width: 1500px;
  font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .6rem; border-top: 1px solid var(--rule);
  padding-top: 1.2rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
h4 { font-size: .95rem; margin: 1rem 0 .3rem; color: var(--soft); }
p, figcaption, li, dd { overflow-wrap: anywhere; }
p, figcaption { max-width: 75ch; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; list-style: none; }
.lead { font-size: 1.05rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .7rem; }
dl div { background: var(--card); border-radius: 6px; padding: .5rem .8rem; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-size: 1.1rem; }
dl.small { grid-template-columns: repeat(auto-fill, minmax(135px, auto)); gap: .4rem; }
dl.small dt { overflow-wrap: anywhere; }
.small div { padding: .2rem .6rem; }
.small dd { font-size: .95rem; }
figure { margin: 0 0 1rem; min-width: 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 1rem; }
.wide { grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); }
.narrow { grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); }
.scroll { overflow-x: auto; max-width: 100%; }
.tall { max-height: 34rem; overflow-y: auto; }
.plot { width: 100%; }
.empty { background: var(--card); border-left: 4px solid #d55e00; padding: .8rem 1rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
table { margin-top: .8rem; border-collapse: collapse; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; }
thead th { vertical-align: bottom; background: var(--paper); }
.designs thead th { position: sticky; top: 0; z-index: 1; }
.designs td, .designs th { text-align: right; white-space: nowrap; }
.designs thead th { white-space: normal; min-width: 4.6rem; }
.designs td.word, .designs th.word { text-align: left; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:hover, th button:focus-visible { color: var(--accent); text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " ▲"; font-size: .7em; }
th[aria-sort=descending] button::after { content: " ▼"; font-size: .7em; }
tr.chosen td, tr.chosen th { background: var(--mark); }
@media print { .tall { max-height: none; } nav { display: none; } }
"""

JS: Final = """
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const ink = dark.matches ? "#dedede" : "#222", rule = dark.matches ? "#444" : "#ddd";
    const clear = "rgba(0,0,0,0)";
    const axis = {gridcolor: rule, zerolinecolor: rule, linecolor: rule, automargin: true};
    const wall = {...axis, backgroundcolor: clear, showbackground: false};
    return {layout: {font: {color: ink, family: "system-ui, sans-serif", size: 12},
      paper_bgcolor: clear, plot_bgcolor: clear, xaxis: axis, yaxis: axis,
      scene: {xaxis: wall, yaxis: wall, zaxis: wall, bgcolor: clear},
      modebar: {bgcolor: clear, color: rule, activecolor: ink}}};
  };
  const choose = number => {
    const row = document.getElementById("design-" + number);
    document.querySelectorAll("tr.chosen").forEach(old => old.classList.remove("chosen"));
    if (!row) return;
    row.classList.add("chosen");
    row.scrollIntoView({block: "center", behavior: "smooth"});
  };
  const draw = () => document.querySelectorAll("script[data-plot]").forEach(source => {
    const place = document.getElementById(source.dataset.plot);
    const {data, layout} = JSON.parse(source.textContent);
    const known = place.classList.contains("js-plotly-plot");
    if (layout.scene && place.clientWidth < 480)
      for (const axis of "xyz") layout.scene.camera.eye[axis] *= 1.25;
    const buttons = ["toImage", ...(layout.scene ? ["resetCameraDefault3d"] : [])];
    Plotly.react(place, data, {...layout, template: theme()},
      {responsive: true, displaylogo: false, modeBarButtons: [buttons]});
    if (known) return;
    place.on("plotly_click", event => choose(event.points[0].customdata));
    new ResizeObserver(() => Plotly.Plots.resize(place)).observe(place);
  });
  const sort = button => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const column = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
    const key = row => row.cells[column].dataset.v;
    const compare = (a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    };
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...[...body.rows].sort(compare));
  };
  document.querySelectorAll("th button").forEach(button =>
    button.addEventListener("click", () => sort(button)));
  dark.addEventListener("change", draw);
  draw();
})();
"""
