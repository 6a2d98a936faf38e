"""Checks, outcomes, and other processes."""

from __future__ import annotations

import os
import random
import sys
import unittest

import numpy as np
import pytest

from hwnas.testing import Check, Outcome, run
from hwnas.testing.check import nothing_to_check, require
from hwnas.testing.elsewhere import elsewhere, global_random_state_untouched


def is_even(number):
    """Numbers are even.

    More about it.
    """
    if number == 0:
        nothing_to_check("zero is nothing")
    require(number % 2 == 0, f"{number} is odd")


def is_a_multiple(number, other):
    """Numbers are multiples."""
    require(number % other == 0, f"{number} is no multiple of {other}")


def test_a_check_is_named_after_its_function():
    check = Check.of(is_even)
    assert (check.name, check.rule, str(check)) == ("is even", "Numbers are even.", "is even")
    assert Check.of(is_a_multiple, 3, label="three").name == "is a multiple [three]"


def test_a_check_raises_what_pytest_understands():
    check = Check.of(is_even)
    check(4)
    with pytest.raises(AssertionError, match="3 is odd"):
        check(3)
    with pytest.raises(unittest.SkipTest, match="zero is nothing"):
        check(0)


def test_a_check_can_be_made_of_a_part_of_the_subject():
    check = Check.of(is_a_multiple, 3).on(len)
    check("abc")
    with pytest.raises(AssertionError, match="4 is no multiple of 3"):
        check("abcd")


def test_running_checks_gives_one_outcome_each():
    checks = [Check.of(is_even), Check.of(is_a_multiple, 5), Check.of(is_a_multiple, 0)]
    rule = "Numbers are multiples."
    assert run(checks, 0) == [
        Outcome("is even", "Numbers are even.", True, "zero is nothing", skipped=True),
        Outcome("is a multiple", rule, True),
        Outcome("is a multiple", rule, False, "ZeroDivisionError: integer modulo by zero"),
    ]
    assert [outcome.passed for outcome in run(checks, 3)] == [False, False, False]


def describe_process(text):
    sys.stdout.write("this must not end up in the answer")
    return os.getpid(), hash(text), os.environ["OMP_NUM_THREADS"]


def test_elsewhere_is_another_process_under_another_hash_seed():
    one = elsewhere(describe_process, "text", hash_seed=1)
    other = elsewhere(describe_process, "text", hash_seed=2)
    assert len({one[0], other[0], os.getpid()}) == 3
    assert one[1] != other[1]
    assert one[2] == "1"


def test_what_fails_elsewhere_is_told():
    with pytest.raises(AssertionError, match="ended with code 1") as caught:
        elsewhere(is_a_multiple, 3, 0)
    assert "ZeroDivisionError" in str(caught.value)
    with pytest.raises(AssertionError, match="ended with code 7"):
        elsewhere(sys.exit, 7)


def test_the_global_random_states_are_watched_and_restored():
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with global_random_state_untouched():
        np.random.default_rng(0).random()
        random.Random(0).random()
    for touch in (
        random.random,
        np.random.random,
        lambda: random.setstate(states[0]),
        lambda: np.random.seed(0),  # noqa: NPY002 - what must be noticed
    ):
        with pytest.raises(AssertionError, match="changed"), global_random_state_untouched():
            touch()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002
