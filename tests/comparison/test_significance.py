"""The paired tests, against enumeration by hand and published numbers."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata

from hwnas.comparison.significance import holm, paired_tests, signed_rank


def enumerated(differences: list[float]) -> float:
    """The exact two-sided p-value: every assignment of signs to the ranks is as likely."""
    d = np.array([x for x in differences if x])
    ranks = rankdata(np.abs(d))
    sums = np.array([ranks @ np.array(signs) for signs in product((0, 1), repeat=len(d))])
    seen = ranks @ (d > 0)
    tail = min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean())
    return min(1.0, 2 * tail)


@pytest.mark.parametrize(
    "differences",
    [
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        [0.3, -0.1, 0.7, 0.9, -0.2, 1.1, 0.4, 0.8],
        [1.0, 1.0, 1.0, -1.0, 2.0, 2.0],
        [0.0, 0.0, 1.0, -1.0, 2.0, 2.0, 3.0],
        [-0.5],
    ],
)
def test_signed_rank_is_the_exact_one_for_few_seeds(differences):
    assert signed_rank(np.array(differences)) == pytest.approx(enumerated(differences))


def test_signed_rank_of_equal_runs_is_one():
    assert signed_rank(np.zeros(7)) == 1.0


def test_signed_rank_of_the_textbook():
    # Wilcoxon (1945), table of Darwin's maize: differences in eighths of an inch, pairs 1 to 15.
    # T of the negative ranks is 24, p = 0.041 (exact).
    d = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert signed_rank(np.array(d, dtype=float)) == pytest.approx(0.04126, abs=1e-4)


def test_holm_multiplies_and_never_falls():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


def test_a_row_of_a_table():
    base = dict.fromkeys(range(8), 0.5)
    volumes = {
        "first": base,
        "up": {s: 0.5 + 0.01 * (s + 1) for s in base},
        "down": {s: 0.5 - 0.01 * (s + 1) for s in base},
        "same": dict(base),
        "mixed": {s: 0.5 + 0.01 * (-1) ** s * (s + 1) for s in base},
    }
    up, down, same, mixed = paired_tests("first", volumes)
    assert (up.wins, up.losses, up.ties, up.pairs) == (8, 0, 0, 8)
    assert up.difference == pytest.approx(0.045)
    assert up.p == pytest.approx(2 / 2**8)
    assert up.p_corrected == pytest.approx(4 * 2 / 2**8)
    assert up.p_attainable == pytest.approx(4 * 2 / 2**8)
    assert up.verdict == "better"
    assert down.verdict == "worse"
    assert (same.ties, same.p, same.verdict) == (8, 1.0, "no difference shown")
    assert mixed.verdict == "no difference shown"
    assert up.against == "first"


def test_rounding_is_no_difference():
    volumes = {"first": {0: 0.1 + 0.2, 1: 0.5}, "other": {0: 0.3, 1: 0.5}}
    (test,) = paired_tests("first", volumes)
    assert (test.ties, test.difference, test.p) == (2, 0.0, 1.0)


def test_fewer_than_six_seeds_can_show_nothing():
    seeds = range(5)
    volumes = {"first": dict.fromkeys(seeds, 0.1), "other": {s: 0.5 + s / 10 for s in seeds}}
    (test,) = paired_tests("first", volumes)
    assert (test.wins, test.losses) == (5, 0)
    assert test.p == test.p_attainable == pytest.approx(0.0625)
    assert test.verdict == "too few seeds to tell (p is at least 0.062)"
    more = {label: {**found, 5: found[4] + 0.1} for label, found in volumes.items()}
    more["other"][5] = 2.0
    assert paired_tests("first", more)[0].verdict == "better"


def test_only_seeds_that_both_have_are_pairs():
    volumes = {"first": {0: 0.1, 1: 0.2}, "other": {1: 0.4, 2: 0.9}, "lost": {7: 0.1}}
    other, lost = paired_tests("first", volumes)
    assert (other.pairs, other.difference) == (1, pytest.approx(0.2))
    assert (lost.pairs, lost.p, lost.verdict) == (0, None, "no seeds in common")


def test_the_first_one_has_not_run():
    (test,) = paired_tests("first", {"other": {0: 0.5}})
    assert test.verdict == "no seeds in common"
