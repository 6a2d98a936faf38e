"""The page of a comparison: it shows the record, escapes names, and needs no network."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from hwnas.comparison.page import curves, page
from hwnas.comparison.record import reached


def test_the_figure_draws_the_record(small):
    figure = curves(small)
    medians = [trace for trace in figure.data if trace.name]
    assert [trace.name for trace in medians] == ["random", "nsga2:population=6"]
    for trace, row in zip(medians, small.rows, strict=False):
        assert list(trace.x) == list(small.points)
        assert np.allclose(trace.y, [spread.median for spread in row.band])
    bands = [trace for trace in figure.data if not trace.name]
    for i, row in enumerate(small.rows[:2]):
        upper, lower = bands[2 * i : 2 * i + 2]
        assert np.allclose(upper.y, [spread.upper for spread in row.band])
        assert np.allclose(lower.y, [spread.lower for spread in row.band])
        assert lower.fill == "tonexty"


def test_the_page_says_what_the_record_says(small):
    text = page(small)
    row = small["nsga2:population=6"]
    assert f"{100 * row.relative[-1].median:.1f}&nbsp;%" in text
    assert "864 designs" in text
    assert small.tests[0].verdict in text
    assert "numbers of all others fall" in text


def test_every_place_has_its_own_id(small):
    text = page(small).partition("</main>")[0]
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'data-plot="([^"]+)"', text)) <= set(ids)


def test_names_are_escaped_and_nothing_is_loaded(renamed):
    text = page(renamed).partition("</main>")[0]
    assert "<script>alert" not in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)


def test_an_exact_front_is_named(small):
    exact = replace(small, target=replace(small.target, exact=True, how="the exact front (all)"))
    assert "numbers of all others fall" not in page(exact)
    assert curves(exact).layout.yaxis.title.text == "HV / HV*"


def test_seeds_that_never_reach_a_fraction_are_infinitely_late():
    assert reached(0.9, [10, None, 30]).evaluations == 30
    assert reached(0.9, [10, None]).evaluations is None
    assert reached(0.9, [10, 20, 40, None]).evaluations == 30
    assert reached(0.9, [None, None]) == reached(0.9, [None, None])
    assert reached(0.9, [None, None]).evaluations is None
    assert (reached(0.9, [10, None]).seeds, reached(0.9, []).evaluations) == (1, None)
