"""Early ends: patience on held-out images, the beginning of a training as a lower fidelity."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators.training import Training, evaluator, run  # noqa: E402
from evaluators.training.loop import Recipe, Trainer  # noqa: E402
from evaluators.training.run import Curve, Run, split  # noqa: E402
from hwnas.errors import ProblemError  # noqa: E402
from hwnas.evaluation import Infeasible  # noqa: E402
from hwnas.metrics import Reason  # noqa: E402
from tests.tiny_images import blocks, drawn  # noqa: E402

DATA = blocks(shift=1, noise=0.3)


def training(folder=None, **changes):
    options = {"dataset": DATA, "epochs": 4, "batch_size": 20, **changes}
    return Training(checkpoints=folder, **options)


class Scripted(Trainer):
    """Its only weight is the number of finished epochs."""

    def __init__(self, epochs):
        super().__init__(torch.nn.Linear(1, 1), DATA, Recipe(epochs, 20, 0.1, 0.0), 0)

    def train_epoch(self):
        self.epoch += 1
        torch.nn.init.constant_(self.module.weight, self.epoch)
        return 1.0 / self.epoch


@pytest.mark.parametrize(
    ("errors", "patience", "ended", "best"),
    [
        ([0.5, 0.4, 0.45, 0.47, 0.1], 2, 4, 2),
        ([0.5, 0.4, 0.45, 0.47, 0.1], 3, 5, 5),
        ([0.5, 0.5, 0.5], 1, 2, 1),  # as good is no better
        ([0.5, 0.4, 0.3], 1, 3, 3),
        ([0.2, 0.4, 0.3], 5, 3, 1),
    ],
)
def test_patience_ends_a_training_and_the_best_weights_stay(
    monkeypatch, errors, patience, ended, best
):
    answers = iter(errors)
    monkeypatch.setattr(run, "error_rate", lambda *_: next(answers))
    watched = Run(Scripted(len(errors)), DATA)
    while not watched.is_over:
        watched.advance()
        if watched.has_stalled(patience):
            break
    assert len(watched.curve.errors) == ended
    assert watched.curve.best == best
    watched.settle()
    assert watched.trainer.module.weight.item() == best


def test_without_held_out_images_the_last_weights_stay():
    watched = Run(Scripted(3))
    for _ in range(3):
        watched.advance()
    watched.settle()
    assert watched.trainer.module.weight.item() == 3
    assert not watched.has_stalled(1)
    assert watched.curve == Curve((1.0, 1 / 2, 1 / 3), ())


def test_a_training_that_learns_nothing_is_ended_by_patience(tmp_path):
    design = drawn(1)[0]
    idle = training(tmp_path, learning_rate=1e-12, patience=1, validation=0.2)
    answer = idle.measure(design)
    assert 0.0 <= answer["error"] <= 1.0
    assert len(idle.curve(design).losses) < 4
    assert idle.measure(design) == answer
    assert not list(tmp_path.glob("*.going"))


def test_held_out_images_are_not_trained_on_and_always_the_same():
    data = blocks()
    kept, watched = split(data, 0.2)
    places = [
        {image.tobytes() for image in images} for images in (kept.train_images, watched.test_images)
    ]
    assert (len(kept.train_labels), len(watched.test_labels)) == (48, 12)
    assert not places[0] & places[1]
    assert places[0] | places[1] == {image.tobytes() for image in data.train_images}
    label_of = {
        image.tobytes(): label
        for image, label in zip(data.train_images, data.train_labels, strict=True)
    }
    for images, labels in (
        (kept.train_images, kept.train_labels),
        (watched.test_images, watched.test_labels),
    ):
        assert [label_of[image.tobytes()] for image in images] == labels.tolist()
    # What is tested in the end is not what is watched.
    assert kept.test_images is data.test_images
    assert split(blocks(), 0.2)[1].digest == watched.digest
    # Where training images are distorted, the held-out ones are, as test images would be.
    assert len(split(DATA, 0.2)[1].test_labels) == 36


@pytest.mark.parametrize("share", [0.001, 0.99])
def test_nothing_to_watch_or_to_train_on_is_a_mistake_of_the_study(share):
    with pytest.raises(ProblemError, match="cannot be held out") as caught:
        training(patience=1, validation=share).evaluate(drawn(0))
    assert caught.value.given == f"{share:g}"


@pytest.mark.parametrize(
    "option", [{"patience": 0}, {"validation": 0.0}, {"validation": 1.0}, {"validation": math.nan}]
)
def test_options_out_of_range_are_named(option):
    (name,) = option
    with pytest.raises(ProblemError, match=name):
        training(**option)


def test_options_that_change_answers_change_the_version():
    changes = ({}, {"patience": 1}, {"patience": 1, "validation": 0.2}, {"lower": "beginning"})
    assert len({training(**change).version for change in changes}) == len(changes)
    assert training(validation=0.2).version == training().version


def test_a_beginning_is_the_full_trainings_loss_after_these_epochs(tmp_path):
    designs = drawn(3)
    whole = training(tmp_path)
    errors = whole.evaluate(designs)["error"]
    begun = training(tmp_path / "new", fidelities=(0.25, 0.5), lower="beginning")
    for fidelity, epochs in ((0.25, 1), (0.5, 2)):
        losses = [whole.curve(design).losses[epochs - 1] for design in designs]
        expected = [1 - math.exp(-loss) for loss in losses]
        assert begun.evaluate(designs, fidelity)["error"] == pytest.approx(expected, rel=1e-12)
    assert begun.evaluate(designs)["error"].tolist() == errors.tolist()
    # A folder of full trainings serves both kinds of lower fidelities.
    assert training(tmp_path, lower="beginning").evaluate(designs)["error"].tolist() == [*errors]


def test_a_promoted_design_goes_on_where_its_lower_fidelity_ended(tmp_path, monkeypatch):
    trained = []

    class Spy(Trainer):
        def train_epoch(self):
            trained.append(self.epoch)
            return super().train_epoch()

    monkeypatch.setattr(evaluator, "Trainer", Spy)
    designs = drawn(1)
    options = {"fidelities": (0.25, 0.5), "lower": "beginning"}
    alone = [training(**options).evaluate(designs, f)["error"][0] for f in (0.25, 0.5, 1.0)]
    trained.clear()
    ladder = training(tmp_path, **options)
    assert [ladder.evaluate(designs, f)["error"][0] for f in (0.25, 0.5, 1.0)] == alone
    assert trained == [0, 1, 2, 3]
    assert ladder.curve(designs[0], 0.25) == ladder.curve(designs[0])
    # From above as well: what is finished answers all that is below.
    assert [ladder.evaluate(designs, f)["error"][0] for f in (0.5, 0.25)] == alone[1::-1]
    assert trained == [0, 1, 2, 3]


@pytest.mark.parametrize("folder", [True, False])
def test_who_diverges_late_has_begun_well(tmp_path, folder):
    """Of 8 epochs, a loss as bad as chance counts from the fifth on."""
    options = {"learning_rate": 1e-12, "epochs": 8, "lower": "beginning"}
    idle = training(tmp_path if folder else None, fidelities=(0.5, 0.625), **options)
    designs = drawn(1)
    for _ in range(2 if folder else 1):
        early, late, end = (idle.evaluate(designs, f) for f in (0.5, 0.625, 1.0))
        assert 0.5 < early["error"][0] < 1.0
        assert late.reason.tolist() == end.reason.tolist() == [Reason.DIVERGED]
        assert late.notes == end.notes


def test_curves_say_when_nothing_will_come_of_them():
    chance = math.log(3)
    assert Curve((2.0, 1.0)).diverged(2, chance) is None
    assert Curve((1.0, 2.0)).diverged(4, chance) is None  # early
    for losses, epochs in (((1.0, math.nan), 9), ((math.inf,), 9), ((1.0, 1.0, chance), 4)):
        found = Curve(losses).diverged(epochs, chance)
        assert isinstance(found, Infeasible)
        assert found.reason is Reason.DIVERGED
        assert f"in epoch {len(losses)} of {epochs}" in found.note


def test_the_device_is_named_where_it_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training(device="auto").device == "cpu"
    assert training(device="auto").version == training().version
    with pytest.raises(ProblemError, match="cuda") as caught:
        training(device="cuda")
    assert "device: auto or cpu" in caught.value.cure


def test_another_device_is_another_version(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training(device="auto").version == training(device="cuda").version
    assert training(device="cuda").version == training().version + " device=cuda"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics processor")
def test_a_graphics_processor_repeats_itself_and_learns():
    designs = drawn(2)
    errors = [training(device="cuda", epochs=8).evaluate(designs)["error"] for _ in range(2)]
    assert errors[0].tolist() == errors[1].tolist()
    assert np.min(errors[0]) < 0.5
    assert not torch.are_deterministic_algorithms_enabled()
