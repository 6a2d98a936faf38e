"""The steps of a training that others hook into: images, their weights, what is done on the way."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators import datasets  # noqa: E402
from evaluators.training.loop import Course, Recipe, Trainer, error_rate, train  # noqa: E402

RECIPE = Recipe(epochs=2, batch_size=10, learning_rate=0.05, weight_decay=0.0)


def blocks(n=60, **changes):
    """A square's place on a 6 x 6 image is its class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = 0.2 * rng.random((n, 1, 6, 6), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] += 0.7
    return datasets.Dataset.of("blocks", (images, labels), (images[:30], labels[:30]), **changes)


def module(seed=0):
    linear = torch.nn.Linear(36, 3)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        linear.weight.normal_(0.0, 0.1, generator=generator)
        linear.bias.zero_()
    return torch.nn.Sequential(torch.nn.Flatten(), linear)


class Weighted(Course):
    """Every image in order, with given weights."""

    def __init__(self, weights):
        self.weights = weights

    def count(self, images, epoch, epochs):
        return len(self.weights)

    def chosen(self, losses, epoch, epochs, rng):
        return np.arange(len(self.weights)), np.asarray(self.weights, dtype=float)


def test_a_module_learns():
    network = module()
    before = error_rate(network, blocks())
    losses = list(train(network, blocks(), RECIPE, 0))
    assert losses[1] < losses[0]
    assert error_rate(network, blocks()) < before


def test_images_of_weight_0_are_as_good_as_absent():
    """The oracle: one step on ten images of weight 2, 0, 2, 0, ... is one on five of weight 1."""
    few = Recipe(epochs=1, batch_size=10, learning_rate=0.05, weight_decay=0.0)
    both = module(), module()
    list(Trainer(both[0], blocks(10), few, 0, course=Weighted([2, 0] * 5)))
    half = blocks(10)
    rows = np.arange(0, 10, 2)
    part = datasets.Dataset(
        "half", half.train_images[rows], half.train_labels[rows], half.test_images,
        half.test_labels, 3,
    )  # fmt: skip
    list(Trainer(both[1], part, few, 0, course=Weighted([1] * 5)))
    for first, second in zip(both[0].parameters(), both[1].parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-6)


def test_a_course_that_slims_takes_fewer_steps_and_knows_the_losses():
    seen = []

    class Slim(Course):
        def count(self, images, epoch, epochs):
            return images if epoch == 0 else images // 2

        def chosen(self, losses, epoch, epochs, rng):
            seen.append(losses.copy())
            hardest = np.argsort(-losses, kind="stable")
            return hardest[: self.count(len(losses), epoch, epochs)], np.ones(len(losses))

        def before_step(self, module, step, steps):
            seen.append((step, steps))

    trainer = Trainer(module(), blocks(), RECIPE, 0, course=Slim())
    list(trainer)
    assert trainer.steps == [6, 3]
    assert [item for item in seen if isinstance(item, tuple)] == [(i, 9) for i in range(9)]
    first, second = (item for item in seen if not isinstance(item, tuple))
    assert np.isnan(first).all()
    assert np.isfinite(second).all()
    # Each image's own loss, in the order of the images and not of the epoch.
    assert len(set(second.tolist())) == 60


def test_weights_of_1_are_the_usual_training():
    class Ones(Course):
        def chosen(self, losses, epoch, epochs, rng):
            return rng.permutation(len(losses)), np.ones(len(losses))

    usual, weighted = (
        list(Trainer(module(), blocks(shift=1, noise=0.1), RECIPE, 3, course=course))
        for course in (None, Ones())
    )
    assert usual == pytest.approx(weighted, rel=1e-5)


def test_batches_are_at_most_what_an_epoch_shows():
    trainer = Trainer(module(), blocks(), RECIPE, 0, course=Weighted([1.0] * 4))
    assert (trainer.batch, trainer.steps) == (4, [1, 1])
    assert len(list(trainer)) == 2
