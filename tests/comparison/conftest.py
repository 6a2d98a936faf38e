"""Small comparisons for tests."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from hwnas.comparison import Comparison, compare
from hwnas.testing import toys


def without_times(comparison: Comparison) -> dict:
    """The record as JSON less what a clock says."""
    data = copy.deepcopy(comparison.to_json())
    for row in data["rows"]:
        row["overhead"] = None
        for run in row["runs"]:
            run["overhead"] = None
    return data


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Comparison:
    """Two searchers and one that refuses, on the costly toy."""
    return compare(
        toys.joint(),
        ["random", "nsga2:population=6", "exhaustive:limit=3"],
        seeds=3,
        budget=20,
        directory=tmp_path_factory.mktemp("small") / "comparison",
        jobs=1,
    )


@pytest.fixture
def renamed(small):
    """The same with names that would break a page that does not escape them."""
    evil = "<script>alert(1)</script>"
    rows = tuple(replace(row, label=evil + row.label) for row in small.rows)
    return replace(small, name=evil, rows=rows, notes=(evil,))
