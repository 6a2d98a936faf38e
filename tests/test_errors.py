"""Errors: what they say, and that they survive the way between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from hwnas import errors
from hwnas.errors import HwnasError, StudyFileError, nearest

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, HwnasError) and kind.__module__ == "hwnas.errors"
]


def test_an_error_says_five_things():
    error = HwnasError("it broke", where="here", rule="this", given="that", cure="do so")
    assert str(error).splitlines() == [
        "it broke",
        "  where: here",
        "  rule:  this",
        "  given: that",
        "  cure:  do so",
    ]


def test_what_is_not_known_is_left_out():
    assert str(HwnasError("it broke", rule="this")) == "it broke\n  rule:  this"
    assert str(HwnasError("it broke")) == "it broke"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind):
    error = kind("it broke", where="here")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.where == "here"


def test_a_study_file_error_lists_every_problem():
    error = StudyFileError("2 problems", ["line 3: a", "line 9: b"], where="study.yaml")
    assert str(error).splitlines()[-2:] == ["  - line 3: a", "  - line 9: b"]
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_exit_codes_tell_what_to_do():
    codes = {kind.__name__: kind.exit_code for kind in KINDS}
    special = {"StorageError": 3, "TooManyFailuresError": 4, "NothingFeasibleError": 5}
    assert {name: code for name, code in codes.items() if code != 2} == special


def test_the_tree_at_the_top_of_the_file_names_every_error():
    drawn = inspect.getdoc(errors)
    assert [kind.__name__ for kind in KINDS if kind.__name__ not in drawn] == []


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("latancy", ["latency", "energy"], "did you mean 'latency'?"),
        ("latency", ["latency_a", "latency_b"], "did you mean 'latency_a' or 'latency_b'?"),
        ("xyz", ["b", "a"], "use one of: a, b"),
        ("xyz", [], "there are none"),
    ],
)
def test_nearest_names(name, known, expected):
    found = nearest(name, known)
    assert sorted(found.split("'")) == sorted(expected.split("'"))
