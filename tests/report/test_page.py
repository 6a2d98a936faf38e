"""The page: it parses, loads nothing, escapes everything, and says what the record says."""

from __future__ import annotations

import dataclasses
import json
from html import unescape
from html.parser import HTMLParser
from typing import Any

import plotly.graph_objects
import pytest

import hwnas
from hwnas import Designs, Metric, Problem, Study
from hwnas.report import figure, record
from hwnas.report.page import MOST_ROWS, embedded, page
from tests.report.toy import recorded, run

VOID = {"meta", "link", "img", "br", "wbr", "hr", "input"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background", "ping"}


class Reader(HTMLParser):
    """Keeps tags, scripts and text, and checks that what opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)

    def plots(self) -> dict[str, Any]:
        return {
            str(attributes["data-plot"]): json.loads(text)
            for attributes, text in self.scripts
            if "data-plot" in attributes
        }


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without the library, which takes long to parse."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly.js v0 */")


def hostile() -> Study:
    """A study whose names try to break out of the page."""
    attack = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"

    @hwnas.measures(Metric("error"), reads=("net",), version=attack)
    def error(design: Any) -> float:
        if design["net.width"] == 1:
            raise ValueError(attack)
        return 1.0 / design["net.width"] + (design["net.word"] == "b")

    @hwnas.measures(Metric("size"), expense="free", batch=True)
    def size(designs: Designs) -> Any:
        return 1.0 * designs["net.width"] * designs["net.cells"]

    network = hwnas.SkipNet(skips=("concat",)).space()
    genes = (*network.genes, hwnas.Gene("net.word", (attack, "b"), ordered=False))
    space = hwnas.Space(genes)
    problem = Problem(space, [error, size], ["error", "minimize: cost = 2 * error"], ["error <= 9"])
    study = Study(problem, "random", budget=40, name=attack)
    for _ in study.run():
        pass
    return study


@pytest.mark.usefixtures("light")
def test_it_parses_and_loads_nothing(each: Study) -> None:
    found = Reader(page(recorded(each)))
    for tag, attributes in found.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not LOADS & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        if tag == "a":
            assert str(attributes["href"]).startswith("#")
    policy = [a["content"] for t, a in found.tags if a.get("http-equiv") is not None]
    assert policy[0] is not None
    assert policy[0].startswith("default-src 'none';")
    assert "http" not in policy[0]
    ids = [str(a["id"]) for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = {str(a["href"])[1:] for t, a in found.tags if t == "a"}
    assert links <= set(ids)
    assert {"front", "designs", "progress", "genes", "parallel", "outcomes", "making"} <= links
    libraries = [text for _, text in found.scripts if "plotly.js v" in text]
    assert len(libraries) == 1


def test_the_library_is_inlined_once(three: Study) -> None:
    from plotly.offline import get_plotlyjs

    found = Reader(page(recorded(three)))
    assert [text for _, text in found.scripts].count(get_plotlyjs()) == 1


@pytest.mark.usefixtures("light")
def test_figures_have_their_places(each: Study) -> None:
    found = Reader(page(recorded(each)))
    places = {str(a["id"]) for _, a in found.tags if a.get("class") == "plot"}
    plots = found.plots()
    assert set(plots) == places
    m = len(each.problem.objectives)
    wanted = {
        1: {"best"},
        2: {"plane"},
        3: {"room", "pair-0-1", "pair-0-2", "pair-1-2"},
        4: {f"pair-{i}-{j}" for i in range(4) for j in range(i + 1, 4)},
    }
    assert wanted[m] == {k for k in plots if k in {"best", "plane", "room"} or "pair" in k}
    assert {"hypervolume", "coordinates"} <= set(plots)
    assert all("template" not in plot["layout"] for plot in plots.values())


@pytest.mark.usefixtures("light")
def test_all_designs_of_the_front_are_in_the_table(three: Study) -> None:
    shown = recorded(three)
    found = Reader(page(shown))
    rows = [a["id"] for t, a in found.tags if t == "tr" and "id" in a]
    assert rows == [f"design-{design.number}" for design in shown.designs]
    text = " ".join(found.text)
    for design in shown.designs:
        assert hwnas.units.show(design.objectives["energy"], "J") in text
        assert hwnas.units.show(design.metrics["area"], "m^2") in text


@pytest.mark.usefixtures("light")
def test_a_long_front_is_cut_with_both_ends_and_the_best(three: Study) -> None:
    shown = recorded(three)
    one = shown.designs[0]
    many = tuple(dataclasses.replace(one, number=i) for i in range(5000))
    long = dataclasses.replace(shown, designs=many, best=(0, 1234, 4999))
    text = page(long)
    found = Reader(text)
    rows = [str(a["id"]) for t, a in found.tags if t == "tr" and "id" in a]
    assert MOST_ROWS <= len(rows) <= MOST_ROWS + 3
    assert {"design-0", "design-1234", "design-4999"} <= set(rows)
    assert f"{5000 - len(rows):,} more are in" in text


@pytest.mark.usefixtures("light")
def test_names_cannot_break_out() -> None:
    study = hostile()
    text = page(record(study))
    found = Reader(text)
    tame = Reader(page(record(study, "tame")))
    assert [t for t, _ in found.tags] == [t for t, _ in tame.tags]
    assert not any(tag in {"img", "b"} for tag, _ in found.tags)
    assert study.name in "".join(found.text)
    code = [script for attributes, script in found.scripts if "data-plot" not in attributes]
    assert len(code) == 2
    assert not any("alert(" in script for script in code)
    for plot in found.plots().values():
        for word in strings(plot):
            # Plotly reads tags: they must be escaped once more within its texts.
            assert "<img" not in word
            assert "<script" not in word
    labels = [unescape(word) for word in strings(found.plots()["coordinates"])]
    assert any("<img src=x" in label for label in labels)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [word for inner in value.values() for word in strings(inner)]
    return [word for inner in value for word in strings(inner)] if isinstance(value, list) else []


@pytest.mark.usefixtures("light")
def test_an_empty_front_says_why(hopeless: Study, unbegun: Study) -> None:
    text = page(recorded(hopeless))
    found = Reader(text)
    assert "error <= 0.01 violated by" in "".join(found.text)
    assert "No feasible design among" in text
    assert "designs" not in {a.get("id") for _, a in found.tags}
    assert "plane" in found.plots()
    text = page(recorded(unbegun))
    assert "nothing was measured yet" in text
    assert Reader(text).plots() == {}


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_figure_for_notebooks(m: int) -> None:
    study = run(m, 30, constraints=("area <= 0.5 mm2",))
    drawn = figure(study)
    kinds = {trace.type for trace in drawn.data}
    assert kinds == ({"scatter3d"} if m == 3 else {"scatter"})
    front = [trace for trace in drawn.data if trace.name == "front"]
    if m > 1:
        assert len(front) == {2: 1, 3: 1, 4: 6}[m]
        assert all(len(trace.x) == len(study.history.front) for trace in front)
        assert set(front[0].customdata) == set(study.history.front)


def test_axes_have_units_and_natural_direction() -> None:
    study = run(2, 40)
    drawn = figure(study)
    assert drawn.layout.xaxis.title.text == "error ↓"
    title = drawn.layout.yaxis.title.text
    assert title.startswith("rate [")
    assert title.endswith("Hz] ↑")
    size = hwnas.units.scale(title[len("rate [") : -len("] ↑")])
    front = next(trace for trace in drawn.data if trace.name == "front")
    rate = study.history.rows.measurements["rate"]
    assert [y * size for y in front.y] == pytest.approx(list(rate[list(front.customdata)]))
    assert min(front.y) > 0
    # The edge of what the front dominates: error is minimised, so it runs to the right first.
    assert front.line.shape == "hv"
    assert list(front.x) == sorted(front.x)


def test_logarithmic_axes_follow_the_yardstick() -> None:
    study = run(3, 40)
    assert study.yardstick is not None
    drawn = figure(study)
    scene = drawn.layout.scene
    kinds = [scene.xaxis.type, scene.yaxis.type, scene.zaxis.type]
    assert kinds == ["log" if log else "linear" for log in study.yardstick.logarithmic]
    assert "log" in kinds
    assert "linear" in kinds


def test_data_cannot_end_its_script() -> None:
    drawn = plotly.graph_objects.Figure(layout_title_text="</script><!--<script>")
    text = embedded("key", drawn, "")
    assert "</script><" not in text.removesuffix("</script>")
    assert "<!--" not in text
    assert Reader(text).plots()["key"]["layout"]["title"]["text"] == "</script><!--<script>"
