"""Genes and conditions."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Gene, When
from hwnas.errors import SpaceError


@pytest.mark.parametrize(
    "name", ["width", "", "net.", ".width", "net.3x3", "net width.x", "net..x"]
)
def test_a_name_has_a_part_and_identifiers(name):
    with pytest.raises(SpaceError, match="cannot name a gene"):
        Gene(name, (1, 2))


def test_the_part_is_what_comes_before_the_first_dot():
    assert Gene("net.cell1.width", (1,)).part == "net"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ((), "no choices"),
        ((1, 2, 1), "a choice twice"),
        ((1, "a"), "mixes kinds"),
        ((True, 2), "mixes kinds"),
        ((1, float("nan")), "cannot be stored"),
        ((1.0, float("inf")), "cannot be stored"),
        ((None,), "cannot be stored"),
        (((1, 2),), "cannot be stored"),
    ],
)
def test_choices_are_of_one_storable_kind(choices, message):
    with pytest.raises(SpaceError, match=message) as caught:
        Gene("net.x", choices)
    assert "net.x" in str(caught.value)


def test_numbers_may_be_whole_or_not():
    assert Gene("net.x", [1, 2.5]).choices == (1, 2.5)


@pytest.mark.parametrize("given", [{}, {"one_of": (1,), "at_least": 1}])
def test_a_condition_is_either_one_of_or_at_least(given):
    with pytest.raises(SpaceError, match="unclear"):
        When("net.x", **given)


def test_one_of_is_met_by_its_values():
    met = When("net.x", one_of=("a", "c")).met_by(("a", "b", "c"))
    np.testing.assert_array_equal(met, [True, False, True])


def test_at_least_is_met_from_its_value_on_in_any_order_of_choices():
    met = When("net.x", at_least=2).met_by((3, 1, 2, 1.5))
    np.testing.assert_array_equal(met, [True, False, True, False])


def test_at_least_zero_is_a_condition():
    np.testing.assert_array_equal(When("net.x", at_least=0).met_by((-1, 0)), [False, True])


def test_at_least_needs_numbers():
    with pytest.raises(SpaceError, match="needs numbers"):
        When("net.x", at_least=2).met_by(("a", "b"))


def test_one_condition_may_be_given_bare():
    condition = When("net.y", at_least=1)
    assert Gene("net.x", (1,), when=condition).when == (condition,)
