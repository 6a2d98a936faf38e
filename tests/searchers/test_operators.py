"""Crossover and mutation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Gene, Space, When
from hwnas.space.operators import crossover, mutate, perturb, recombine
from tests.space.strategies import spaces_with_genomes


@given(spaces_with_genomes(n=20), st.integers(0, 99), st.sampled_from((0.0, 0.5, 1.0)))
def test_mutants_are_genomes_whose_sleeping_genes_are_inherited(drawn, seed, share):
    space, raw = drawn
    before = raw.copy()
    mutants = mutate(raw, space, np.random.default_rng(seed), share)
    np.testing.assert_array_equal(raw, before)
    assert mutants.shape == raw.shape
    assert mutants.dtype == np.int64
    assert space.is_valid(mutants).all()
    asleep = ~space.active(raw)
    np.testing.assert_array_equal(mutants[asleep], raw[asleep])


@given(spaces_with_genomes(n=20), st.integers(0, 99))
def test_steps_of_ordered_genes_go_one_choice_far(drawn, seed):
    space, raw = drawn
    moved = np.abs(mutate(raw, space, np.random.default_rng(seed), 1.0) - raw)
    assert (moved[:, space.ordered] <= 1).all()


WIDE = Space(tuple(Gene(f"net.g{i}", tuple(range(9)), ordered=i % 2 == 0) for i in range(10)))


def test_about_one_gene_changes():
    rows = WIDE.sample(20_000, np.random.default_rng(0))
    changed = (mutate(rows, WIDE, np.random.default_rng(1)) != rows).sum(axis=1)
    # Each of ten genes with probability 1/10: mean 1, variance 0.9.
    assert abs(changed.mean() - 1.0) < 0.03
    assert abs(changed.var() - 0.9) < 0.05


def test_the_rate_counts_active_genes_with_a_choice_only():
    sleeping = tuple(Gene(f"net.s{i}", (1, 2), when=When("net.n", one_of=(2,))) for i in range(10))
    space = Space((Gene("net.n", (1,)), Gene("net.x", (1, 2, 3)), *sleeping))
    rows = np.zeros((500, len(space)), dtype=np.int64)
    mutants = mutate(rows, space, np.random.default_rng(0))
    assert (mutants[:, 1] != 0).all()  # the one gene that can change always does
    assert not np.delete(mutants, 1, axis=1).any()


def test_every_other_choice_is_as_likely():
    space = Space((Gene("net.x", tuple("abcde"), ordered=False),))
    rows = np.full((40_000, 1), 2)
    counts = np.bincount(mutate(rows, space, np.random.default_rng(0))[:, 0], minlength=5)
    assert counts[2] == 0
    assert np.abs(counts[[0, 1, 3, 4]] / 10_000 - 1).max() < 0.05


@pytest.mark.parametrize(("start", "expected"), [(0, {1}), (4, {3}), (2, {1, 3})])
def test_steps_stay_in_range(start, expected):
    space = Space((Gene("net.x", tuple(range(5))),))
    rows = np.full((200, 1), start)
    assert set(mutate(rows, space, np.random.default_rng(0), 1.0)[:, 0].tolist()) == expected


def test_a_space_without_alternatives_stays_as_it_is():
    space = Space((Gene("net.x", (1,)),))
    rows = np.zeros((5, 1), dtype=np.int64)
    np.testing.assert_array_equal(mutate(rows, space, np.random.default_rng(0)), rows)


@given(spaces_with_genomes(n=20), st.integers(0, 99), st.floats(0, 1))
def test_children_have_every_gene_from_a_parent(drawn, seed, probability):
    _, raw = drawn
    a, b = raw[:10], raw[10:]
    children = crossover(a, b, np.random.default_rng(seed), probability)
    assert ((children == a) | (children == b)).all()


def test_crossing_halves_the_genes_and_not_crossing_copies_the_first():
    a, b = np.zeros((20_000, 10), dtype=np.int64), np.ones((20_000, 10), dtype=np.int64)
    children = crossover(a, b, np.random.default_rng(0), 0.7)
    copied = (children == 0).all(axis=1)
    assert abs(copied.mean() - 0.3) < 0.02
    assert abs(children[~copied].mean() - 0.5) < 0.02
    np.testing.assert_array_equal(crossover(a, b, np.random.default_rng(0), 0.0), a)


@given(spaces_with_genomes(n=20), st.integers(0, 99), st.sampled_from((0.0, 0.6, 1.0)))
def test_recombined_pairs_share_what_they_take(drawn, seed, probability):
    space, raw = drawn
    a, b = raw[:10], raw[10:]
    children = recombine(a, b, space, np.random.default_rng(seed), probability)
    assert children.dtype == np.int64
    assert children.shape == (20, len(space))
    assert ((children >= 0) & (children < space.cardinalities)).all()
    first, second = children[:10], children[10:]
    plain = ~space.ordered
    # An unordered gene is never anything between its parents: what one child takes from a parent,
    # the other one takes from the other parent.
    taken = ((first == a) & (second == b)) | ((first == b) & (second == a))
    assert taken[:, plain].all()
    assert taken[a == b].all()
    if probability == 0.0:
        np.testing.assert_array_equal(children, raw)


LONG = Space((Gene("net.x", tuple(range(1001))),))


def test_simulated_binary_crossover_has_its_spread():
    a, b = np.full((200_000, 1), 450), np.full((200_000, 1), 550)
    children = recombine(a, b, LONG, np.random.default_rng(0), 1.0, index=3.0)[:, 0]
    first, second = children[:200_000], children[200_000:]
    assert np.abs(first + second - 1000).max() <= 1  # the middle stays, up to rounding
    crossed = ~np.isin(first, (450, 550))
    # P(|child distance| <= parent distance) is 1/2 by construction (Deb and Agrawal, equation 4);
    # the spread factor is below c with probability c^4 / 2.
    spread = np.abs(first - second) / 100
    half = spread[crossed]
    for c in (0.7, 0.9):
        assert abs((half < c).mean() - c**4 / 2) < 0.02
    for c in (1.1, 1.5):
        assert abs((half > c).mean() - c**-4 / 2) < 0.02


def test_far_children_stop_at_the_bounds():
    a, b = np.zeros((5_000, 1), dtype=np.int64), np.full((5_000, 1), 1000)
    children = recombine(a, b, LONG, np.random.default_rng(0), 1.0, index=1.0)
    assert children.min() == 0
    assert children.max() == 1000
    # Half of the genes are not crossed, and half of the crossed ones want to leave.
    assert abs(np.isin(children, (0, 1000)).mean() - 0.75) < 0.02


@given(spaces_with_genomes(n=20), st.integers(0, 99))
def test_perturbed_rows_are_genomes_whose_sleeping_genes_are_inherited(drawn, seed):
    space, raw = drawn
    before = raw.copy()
    moved = perturb(raw, space, np.random.default_rng(seed))
    np.testing.assert_array_equal(raw, before)
    assert moved.dtype == np.int64
    assert space.is_valid(moved).all()
    asleep = ~space.active(raw)
    np.testing.assert_array_equal(moved[asleep], raw[asleep])
    np.testing.assert_array_equal(moved, perturb(raw, space, np.random.default_rng(seed)))


@pytest.mark.parametrize("start", [0, 300, 1000])
def test_polynomial_mutation_has_its_distribution(start):
    rows = np.full((200_000, 1), start)
    steps = (perturb(rows, LONG, np.random.default_rng(0), index=3.0)[:, 0] - start) / 1000
    low, high = start / 1000, 1 - start / 1000

    def cumulated(step):
        """P(step <= s): half the draws go down, each side's density is (1 - |s|)^3, cut off."""
        if step < 0:
            at_bound = (1 - low) ** 4
            drawn = 0.5 * ((1 + step) ** 4 - at_bound) / (1 - at_bound)
        else:
            at_bound = (1 - high) ** 4
            drawn = 1 - 0.5 * ((1 - step) ** 4 - at_bound) / (1 - at_bound)
        return 0.9 * drawn + 0.1 * (step >= 0)  # one row in ten is not drawn

    for step in (-0.4, -0.2, -0.1, 0.1, 0.2, 0.4):
        if -low < step < high:
            assert abs((steps <= step).mean() - cumulated(step + 0.0005)) < 0.01
    assert (steps >= -low).all()
    assert (steps <= high).all()


def test_unordered_genes_are_perturbed_to_every_other_choice_alike():
    space = Space((Gene("net.x", tuple("abcde"), ordered=False),))
    moved = perturb(np.full((50_000, 1), 2), space, np.random.default_rng(0))[:, 0]
    counts = np.bincount(moved, minlength=5)
    assert np.ptp(counts[[0, 1, 3, 4]]) / counts[0] < 0.06


def test_a_space_without_alternatives_is_not_perturbed():
    space = Space((Gene("net.x", (1,)),))
    rows = np.zeros((5, 1), dtype=np.int64)
    np.testing.assert_array_equal(perturb(rows, space, np.random.default_rng(0)), rows)
