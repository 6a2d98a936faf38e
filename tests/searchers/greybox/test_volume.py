"""The quasi-random hypervolume against moocore's, and expectations against sampling."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.inner import InnerFront
from hwnas.problem import nondominated
from hwnas.searchers.greybox.volume import Masks, Volume

FEW = settings(max_examples=25, deadline=None)


def volume_with(rng, free, uncertain, designs, inner=3, points=4096):
    """A volume with some designs taken in, and all their losses, free first."""
    volume = Volume(free, uncertain, points=points, seed=0)
    losses = np.empty((0, free + uncertain))
    for _ in range(designs):
        front, own = rng.random((inner, free)), rng.random(uncertain)
        volume.add(volume.mask(front), own)
        losses = np.concatenate([losses, np.hstack([front, np.tile(own, (inner, 1))])])
    return volume, losses


@pytest.mark.parametrize(("free", "uncertain"), [(2, 1), (1, 2), (0, 3), (1, 1), (3, 1), (0, 1)])
def test_the_share_is_the_hypervolume(free, uncertain):
    rng = np.random.default_rng(free + 10 * uncertain)
    volume, losses = volume_with(rng, free, uncertain, designs=6)
    front = losses[nondominated(losses)]
    exact = moocore.hypervolume(front, ref=np.ones(free + uncertain))
    assert volume.share() == pytest.approx(exact, abs=0.01)


@FEW
@given(st.integers(0, 10_000))
def test_a_gain_is_the_hypervolume_that_is_added(seed):
    rng = np.random.default_rng(seed)
    volume, losses = volume_with(rng, 1, 2, designs=4)
    front, own = rng.random((3, 1)), rng.random(2)
    more = np.concatenate([losses, np.hstack([front, np.tile(own, (3, 1))])])
    before, after = (
        moocore.hypervolume(some[nondominated(some)], ref=np.ones(3)) for some in (losses, more)
    )
    gained = volume.gained(volume.mask(front)[None, :], own[None, :])
    assert gained[0] == pytest.approx(after - before, abs=0.012)
    volume.add(volume.mask(front), own)
    assert volume.gained(volume.mask(front)[None, :], own[None, :])[0] == 0.0


@pytest.mark.parametrize(("free", "uncertain"), [(2, 1), (1, 2), (0, 3)])
def test_an_expectation_is_the_mean_over_samples(free, uncertain):
    rng = np.random.default_rng(3)
    volume, _ = volume_with(rng, free, uncertain, designs=3, points=256)
    masks = np.stack([volume.mask(rng.random((2, free))) for _ in range(4)])
    mean, deviation = rng.random((4, uncertain)), rng.uniform(0.05, 0.3, (4, uncertain))
    expected = volume.expected(masks, mean, deviation)
    drawn = mean + deviation * rng.standard_normal((20_000, 4, uncertain))
    sampled = np.mean([volume.gained(masks, some) for some in drawn[:4000]], axis=0)
    np.testing.assert_allclose(expected, sampled, rtol=0.08, atol=2e-4)


def test_a_bound_is_what_all_gain_together():
    rng = np.random.default_rng(4)
    volume, _ = volume_with(rng, 1, 2, designs=3)
    masks = np.stack([volume.mask(rng.random((2, 1))) for _ in range(5)])
    losses = rng.random((5, 2))
    bound, before = volume.bound(masks, losses), volume.share()
    for mask, own in zip(masks, losses, strict=True):
        volume.add(mask, own)
    assert bound == pytest.approx(volume.share() - before, abs=1e-12)
    assert volume.bound(masks, losses) == 0.0


def test_who_reaches_as_far_as_the_front():
    volume = Volume(1, 1, points=64, seed=0)
    masks = np.stack([volume.mask(np.array([[x]])) for x in (0.0, 0.5, 0.5)])
    losses = np.array([[0.5], [0.2], [0.7]])
    for mask, own in zip(masks, losses, strict=True):
        volume.add(mask, own)
    assert volume.supports(masks, losses).tolist() == [True, True, False]


@FEW
@given(st.integers(0, 10_000), st.integers(0, 3))
def test_a_mask_says_which_points_some_inner_design_reaches(seed, free):
    rng = np.random.default_rng(seed)
    volume = Volume(free, 2, points=64, seed=seed)
    fronts = [rng.uniform(-0.3, 1.3, size=(rng.integers(0, 6), free)) for _ in range(4)]
    for front in fronts:
        front[:1] = volume.points[rng.integers(64), :free]  # exactly there counts as reached
    masks = volume.masks(fronts)
    for mask, front in zip(masks, fronts, strict=True):
        expected = [any(all(row <= point[:free]) for row in front) for point in volume.points]
        assert mask.tolist() == expected


@FEW
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_no_expectation_grows_beyond_its_bound(seed, uncertain):
    rng = np.random.default_rng(seed)
    volume, _ = volume_with(rng, 1, uncertain, designs=2, points=64)
    masks = volume.masks([rng.random((2, 1)) for _ in range(6)])
    mean, deviation = rng.random((2, 6, uncertain))
    now, most = volume.expected_at_most(masks, mean, deviation)
    assert (now <= most).all()
    volume.add(masks[0], mean[0])
    later = volume.expected(masks, mean, deviation * rng.random((6, uncertain)))
    assert (later <= most * (1 + 1e-9)).all()


def test_masks_are_made_once_per_front():
    volume = Volume(2, 1, points=64, seed=0)
    masks = Masks(volume, np.zeros(2), np.full(2, 2.0))
    fronts = [InnerFront(np.array([0]), np.array([[0.0, 0.0]]))]
    assert masks.of(np.array([0, 0]), fronts).all()
    fronts.append(InnerFront(np.array([0]), np.array([[3.0, 0.0]])))
    assert masks.of(np.array([1, 0]), fronts).any(axis=1).tolist() == [False, True]


def test_objectives_that_span_decades_are_seen_by_their_logarithm():
    rng = np.random.default_rng(3)
    volume = Volume(2, 1, points=256, seed=0)
    low, high = np.array([1e-6, 2.0]), np.array([1e-2, 5.0])
    losses = [np.stack([10 ** rng.uniform(-6, -2, 4), rng.uniform(2, 5, 4)], axis=1) for _ in "abc"]
    fronts = [InnerFront(np.arange(4), one) for one in losses]
    logs = [InnerFront(np.arange(4), np.stack([np.log10(one[:, 0]), one[:, 1]], axis=1))
            for one in losses]  # fmt: skip
    seen = np.array([-6.0, 2.0]), np.array([-2.0, 5.0])
    labels = np.arange(3)
    raw = Masks(volume, low, high).of(labels, fronts)
    np.testing.assert_array_equal(raw, Masks(volume, *seen).of(labels, logs))
    linear = [volume.mask((one - low) / (high - low)) for one in losses]
    assert not np.array_equal(raw, np.stack(linear))
