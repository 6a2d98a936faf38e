"""The exact front as a searcher."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Problem
from hwnas.errors import SearcherError
from hwnas.searchers.exact import Exact
from hwnas.space import keys
from hwnas.testing import SearcherSubject, searcher_checks, toys
from hwnas.testing.searchers import measure, search
from hwnas.testing.toys import exact_front


@pytest.mark.parametrize("check", searcher_checks(), ids=str)
def test_conformance(check):
    check(SearcherSubject(Exact))


@pytest.mark.parametrize("name", ["plain", "constrained", "tiny", "maximised", "one design"])
def test_proposes_the_front_and_nothing_else(name):
    problem = toys.PROBLEMS[name]()
    history = search(Exact(problem), steps=99, n=4)
    asked = np.concatenate([rows for rows, _ in history])
    losses = problem.losses(measure(problem, asked))
    expected = np.unique(exact_front(problem).losses, axis=0)
    np.testing.assert_array_equal(np.unique(losses, axis=0), expected)
    assert len(asked) == len(expected)


def test_leaves_out_what_was_told():
    problem = toys.tiny()
    searcher = Exact(problem)
    first = searcher.ask(2)
    searcher.tell(first, measure(problem, first))
    rest = searcher.ask(100)
    assert len(rest) == len(searcher.front) - 2
    assert not set(keys(rest)) & set(keys(first))


def test_costly_problems_are_refused_with_the_reason():
    with pytest.raises(SearcherError, match="cannot be computed") as refused:
        Exact(toys.joint())
    assert "joint_error" in refused.value.given
    assert "another searcher" in refused.value.cure


def test_the_limit_is_an_option():
    with pytest.raises(SearcherError) as refused:
        Exact(toys.conditional(), limit=1000)
    assert "at most 1,000" in refused.value.rule
    assert Exact(toys.tiny(), limit=9).options() == {"limit": 9}


def test_an_empty_front_is_told():
    with pytest.raises(SearcherError, match="none of 256 designs") as refused:
        Exact(toys.infeasible())
    assert "speed >= 1 GHz" in refused.value.given
    free = Problem(toys.tiny().space, toys.tiny().evaluators, ["error"], ["gain >= 99"])
    with pytest.raises(SearcherError, match="none of 9 designs"):
        Exact(free)
