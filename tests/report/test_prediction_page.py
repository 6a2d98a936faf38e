"""The page about predictors: what it draws and says."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from hwnas.prediction.validation import cross_validate, learning_curve
from hwnas.report.prediction_page import Subject, Tried, page, with_spread
from predictors.ridge import Ridge


@pytest.fixture(scope="module")
def html():
    rng = np.random.default_rng(0)
    X = rng.random((450, 2))
    y = X[:, 0] + 0.1 * rng.standard_normal(450)
    tried = [
        Tried(
            name,
            options,
            cross_validate(model, X, y, seeds=(0, 1)),
            learning_curve(model, X, y, sizes=(10, 100), seeds=(0, 1)),
        )
        for name, options, model in (
            ("ridge", "", Ridge()),
            ("<b>", "target=normal", Ridge(target="normal")),
        )
    ]
    subject = Subject("t<.csv", "error", ("x<0", "x1"), 5, (0, 1), ("rows left out: 3",))
    return page(subject, tried)


def figures(html: str) -> dict[str, dict]:
    found = re.findall(r'<script type="application/json" data-plot="([^"]+)">(.*?)</script>', html)
    return {key: json.loads(text) for key, text in found}


def test_every_figure_has_a_place_of_its_own(html):
    drawn = figures(html)
    assert list(drawn) == ["points0", "points1", "coverage", "curve-kendall", "curve-rmse"]
    places = re.findall(r' id="([^"]+)"', html)
    assert len(places) == len(set(places))
    assert set(drawn) <= set(places)


def test_points_have_bars_and_are_thinned(html):
    _, points = figures(html)["points0"]["data"]
    assert "400 samples are drawn" in html
    assert points["error_y"]["array"]["dtype"] == "f8"


def test_curves_start_at_the_sizes_asked_for(html):
    data = figures(html)["curve-kendall"]["data"]
    lines = [trace for trace in data if trace["mode"] == "lines+markers"]
    assert [trace["x"] for trace in lines] == [[10, 100]] * 2
    assert figures(html)["curve-kendall"]["layout"]["xaxis"]["tickvals"] == [10, 100]


def test_what_it_says_is_escaped(html):
    assert "rows left out: 3" in html
    assert "ranks samples that it has not seen best" in html
    own = html.split("<script>")[0]  # what follows are plotly and the script of the page
    for text in ("<b></", "t<.csv", "x<0"):
        assert text not in own
    for text in ("&lt;b&gt;", "t&lt;.csv", "x&lt;0"):
        assert text in own


def test_spreads():
    assert with_spread(np.array([0.5])) == "0.500"
    assert with_spread(np.array([0.4, 0.6])) == "0.500 ± 0.141"
    assert with_spread(np.array([0.4, np.nan])) == "–"
