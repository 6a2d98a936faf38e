"""Trainings that end in seconds: they learn, repeat themselves, give up, and name mistakes."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators import datasets  # noqa: E402
from evaluators.training import Training, evaluator, loop  # noqa: E402
from hwnas import BitsPerCell, SkipNet, SystolicArray, plugins  # noqa: E402
from hwnas.design.designs import Designs  # noqa: E402
from hwnas.errors import DesignError, HwnasError, ProblemError, StudyFileError  # noqa: E402
from hwnas.evaluation import Infeasible, Parallel  # noqa: E402
from hwnas.metrics import Reason  # noqa: E402
from hwnas.studyfile import load  # noqa: E402
from hwnas.testing.elsewhere import elsewhere, global_random_state_untouched  # noqa: E402

SMALL = SkipNet(cells=(1, 2), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 4))
SPACE = SMALL.space() + BitsPerCell(cells=2).space()
FIXED = {
    "net.cells": 1, "net.width": 2, "net.skip": "concat",
    "net.cell1.layers": 3, "net.cell1.skip_channels": 4,
}  # fmt: skip


def drawn(n, seed=0, space=SPACE, study=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)), study)


def with_bits(bits, *, study=0, weight_bits=None, **genes):
    """One small network at the same bits everywhere but in stem and head."""
    config = {
        **FIXED,
        "quant.cell1.weight_bits": weight_bits or bits,
        "quant.cell1.activation_bits": bits,
        **genes,
    }
    row = [
        gene.choices.index(config[gene.name]) if gene.name in config else 0 for gene in SPACE.genes
    ]
    return Designs(SPACE, np.array([row]), study)


def test_a_network_of_8_bits_learns():
    answer = Training(epochs=4).evaluate(with_bits(8))
    # Chance is 0.9 with a standard error of 0.006.
    assert answer["error"][0] < 0.65


def test_longer_training_and_higher_fidelity_err_less():
    design = with_bits(8)[0]
    half, whole = (Training(epochs=6).measure(design, fidelity)["error"] for fidelity in (0.5, 1.0))
    assert whole < half - 0.05
    # Half the fidelity is the whole cycle in half the epochs.
    assert half == Training(epochs=3).measure(design)["error"]


def test_more_bits_err_less_on_average():
    def mean_error(bits):
        errors = [
            Training(epochs=5).evaluate(with_bits(bits, study=seed))["error"] for seed in range(3)
        ]
        return float(np.mean(errors))

    two, eight = mean_error(2), mean_error(8)
    assert eight < two - 0.05


def test_the_same_design_errs_the_same_in_any_batch_process_and_hash_seed():
    evaluator, designs = Training(epochs=1), drawn(3)
    together = evaluator.evaluate(designs)["error"]
    assert evaluator.evaluate(designs[2:])["error"][0] == together[2]
    assert evaluator.evaluate(designs[::-1])["error"].tolist() == together[::-1].tolist()
    assert elsewhere(_errors, evaluator, designs, hash_seed=1) == together.tolist()


def _errors(evaluator, designs):
    return evaluator.evaluate(designs)["error"].tolist()


def test_another_study_seed_is_another_training():
    first, second = (
        Training(epochs=1).evaluate(with_bits(8, study=seed))["error"][0] for seed in (0, 1)
    )
    assert first != second


def test_the_accelerator_has_no_influence():
    space = SPACE + SystolicArray().space()
    part = drawn(1).genomes
    rest = space.sample(2, np.random.default_rng(0))[:, part.shape[1] :]
    genomes = np.concatenate([np.repeat(part, 2, axis=0), rest], axis=1)
    assert (genomes[0] != genomes[1]).any()
    errors = Training(epochs=1).evaluate(Designs(space, genomes))["error"]
    assert errors[0] == errors[1] == Training(epochs=1).evaluate(drawn(1))["error"][0]


def test_networks_without_bits_are_trained_in_single_precision():
    space = SMALL.space()
    answer = Training(epochs=2).evaluate(drawn(1, space=space))
    assert 0.0 < answer["error"][0] < 0.9


@pytest.mark.parametrize(
    ("rate", "said"), [(1e20, "mean loss nan in epoch 2 of 40"), (1e3, "in epoch 21 of 40")]
)
def test_a_training_that_diverges_is_given_up(monkeypatch, rate, said):
    _ten_images(monkeypatch)
    answer = Training(epochs=40, learning_rate=rate).evaluate(with_bits(4))
    assert answer.reason.tolist() == [Reason.DIVERGED]
    assert math.isnan(answer["error"][0])
    assert said in answer.notes[0]


def test_a_training_that_stays_at_chance_is_given_up(monkeypatch):
    _ten_images(monkeypatch)
    answer = Training(epochs=40, learning_rate=1e-12).measure(with_bits(8)[0])
    assert isinstance(answer, Infeasible)
    assert answer.reason is Reason.DIVERGED
    assert "in epoch 21 of 40, chance is 2.303" in answer.note


def _ten_images(monkeypatch):
    whole = datasets.load("digits")
    first = [int(np.flatnonzero(whole.train_labels == k)[0]) for k in range(10)]
    few = datasets.Dataset(
        "digits",
        whole.train_images[first],
        whole.train_labels[first],
        whole.test_images[:10],
        whole.test_labels[:10],
        classes=10,
    )
    monkeypatch.setattr(datasets, "load", lambda name: few)


def test_ten_images_can_be_learnt_by_heart(monkeypatch):
    _ten_images(monkeypatch)
    few = datasets.load("digits")
    losses = []

    class Spy(evaluator.Trainer):
        def train_epoch(self):
            losses.append(super().train_epoch())
            return losses[-1]

    monkeypatch.setattr(evaluator, "Trainer", Spy)
    Training(epochs=60, batch_size=64).measure(with_bits(8)[0])
    assert len(few.train_labels) == 10
    assert len(losses) == 60
    assert losses[-1] < 0.1 < 2.0 < losses[0]


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        ({"classes": 7}, "1 channel(s) of 8 x 8 pixels, 7 classes"),
        ({"image": 16}, "1 channel(s) of 16 x 16 pixels, 10 classes"),
        ({"channels": 3}, "3 channel(s) of 8 x 8 pixels, 10 classes"),
    ],
)
def test_networks_that_do_not_fit_the_images_are_a_mistake_of_the_study(change, shape):
    space = SkipNet(**change).space() + BitsPerCell().space()
    with pytest.raises(ProblemError) as caught:
        Training().evaluate(drawn(2, space=space))
    assert shape in str(caught.value)
    assert "digits: 1 channel(s) of 8 x 8 pixels, 10 classes" in str(caught.value)
    assert "channels=1, image=8, classes=10" in caught.value.cure


def test_a_space_without_networks_is_a_mistake_of_the_study():
    with pytest.raises(DesignError, match="'net'"):
        Training().evaluate(drawn(1, space=SystolicArray().space()))


def test_a_fidelity_that_is_not_offered_is_refused():
    with pytest.raises(ProblemError, match=r"fidelity 0\.3"):
        Training().evaluate(drawn(1), 0.3)


@pytest.mark.parametrize(
    "option",
    [
        {"dataset": "imagenet"},
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
        {"learning_rate": math.nan},
        {"weight_decay": -1e-4},
    ],
    ids=str,
)
def test_options_out_of_range_are_named(option):
    (name,) = option
    with pytest.raises(HwnasError) as caught:
        Training(**option)
    assert name.replace("dataset", "data set") in caught.value.what
    assert caught.value.rule
    assert str(option[name]) in caught.value.given


def test_every_option_changes_the_version():
    changes = (
        {},
        {"epochs": 9},
        {"batch_size": 99},
        {"learning_rate": 0.03},
        {"weight_decay": 0.0},
    )
    assert len({Training(**change).version for change in changes}) == len(changes)
    assert Training().version == Training().version


def test_no_global_state_is_left_changed():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with global_random_state_untouched():
            Training(epochs=1).evaluate(drawn(1))
        assert torch.get_num_threads() == 2
        assert torch.is_grad_enabled()
        assert not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)


def test_one_thread_computes(monkeypatch):
    seen = []

    class Spy(evaluator.QuantizedNetwork):
        def forward(self, images):
            seen.append(torch.get_num_threads())
            return super().forward(images)

    monkeypatch.setattr(evaluator, "QuantizedNetwork", Spy)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        Training(epochs=1, batch_size=500).evaluate(drawn(1))
    finally:
        torch.set_num_threads(threads)
    assert set(seen) == {1}


def test_test_images_do_not_help_each_other(monkeypatch):
    # Statistics of the batch would let the images of a test batch help each other.
    answers = []
    for size in (10, 400):
        monkeypatch.setattr(loop, "_TEST_BATCH", size)
        answers.append(Training(epochs=1).evaluate(drawn(1))["error"][0])
    assert answers[0] == pytest.approx(answers[1], abs=0.002)


def test_several_processes_answer_what_one_does_and_keep_it_in_one_folder(tmp_path):
    designs = drawn(2)[np.array([0, 1, 0])]
    alone = Training(epochs=1, batch_size=500).evaluate(designs)
    kept = Training(epochs=1, batch_size=500, checkpoints=tmp_path)
    beside = Parallel(kept, 2).evaluate(designs)
    assert beside["error"].tolist() == alone["error"].tolist()
    assert len(list(tmp_path.iterdir())) == 3  # the mark, and two trainings
    assert [len(kept.curve(design).losses) for design in designs] == [1, 1, 1]


def test_it_travels_without_the_data_set():
    assert len(pickle.dumps(Training())) < 1000


def test_the_entry_point_names_it():
    assert plugins.load("hwnas.evaluators", "training") is Training


def test_without_torch_the_missing_extra_is_named_and_data_sets_still_load():
    program = """
import sys
class NoTorch:
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from evaluators import datasets
assert len(datasets.load("digits").train_labels) == 1000
from hwnas import plugins
from hwnas.errors import MissingExtraError
try:
    plugins.load("hwnas.evaluators", "training")
except MissingExtraError as error:
    assert "hwnas[torch]" in str(error), error
else:
    raise SystemExit("it was imported")
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_lower_fidelities_are_those_that_are_asked_for():
    assert Training().fidelities == (0.5, 1.0)
    assert Training(fidelities=(0.25, 0.125)).fidelities == (0.125, 0.25, 1.0)
    assert Training(fidelities=()).fidelities == (1.0,)
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ProblemError, match="lower fidelity"):
            Training(fidelities=(share,))


def _tiny(**changes):
    """A square's place on a 6 x 6 image of two channels is its class."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = 0.2 * rng.random((60, 2, 6, 6), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] += 0.7
    return datasets.Dataset.of("tiny", (images, labels), (images[:30], labels[:30]), **changes)


TINY_SPACE = SkipNet(image=6, channels=2, classes=3, cells=(1,)).space() + BitsPerCell().space()


def test_networks_are_trained_on_arrays_of_ones_own():
    evaluator = Training(dataset=_tiny(), epochs=6, batch_size=20)
    designs = drawn(2, space=TINY_SPACE)
    errors = evaluator.evaluate(designs)["error"]
    assert errors.min() < 0.2  # chance is 0.67
    assert Parallel(evaluator, 2).evaluate(designs)["error"].tolist() == errors.tolist()


def test_the_version_has_a_digest_of_the_data():
    versions = {Training(dataset=_tiny(**change)).version for change in ({}, {"shift": 1})}
    assert len(versions) == 2
    assert Training(dataset=_tiny()).version in versions
    assert Training().version.startswith("1 digits epochs=8 ")


def test_own_images_of_another_shape_say_what_to_give_the_networks():
    with pytest.raises(ProblemError, match="do not fit the data set 'tiny'") as caught:
        Training(dataset=_tiny()).evaluate(drawn(1))
    assert "channels=2, image=6, classes=3" in caught.value.cure


STUDY = """
name: tiny
space:
  - {use: skipnet, image: 6, channels: 2, classes: 3, cells: [1], layers_per_cell: [2]}
evaluators:
  - {use: training, epochs: 1, fidelities: [], dataset: {path: tiny.npz, OPTION}}
  - {use: macs}
objectives: [error, macs]
budget: 2
"""


def _study(folder, option):
    tiny = _tiny()
    arrays = (tiny.train_images, tiny.train_labels, tiny.test_images, tiny.test_labels)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(folder / "tiny.npz", **dict(zip(names, arrays, strict=True)))
    file = folder / "study.yaml"
    file.write_text(STUDY.replace("OPTION", option))
    return file


def test_a_study_file_names_files_beside_it(tmp_path):
    plan = load(_study(tmp_path, "subset: 50"))
    evaluator = plan.problem.evaluators[0]
    assert evaluator.dataset.path == tmp_path / "tiny.npz"
    assert f"1 tiny-{datasets.load(evaluator.dataset).digest} epochs=1" in evaluator.version
    written = plan.resolved["evaluators"][0]["dataset"]
    assert (written["path"], written["subset"]) == (str(tmp_path / "tiny.npz"), 50)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("subset: 61", "subset = 61"),
        ("subsets: 1", "subsets"),
        ("name: digits", "needs a path or a name"),
        ("classes: 2", "labels out of range"),
        ("subset: many", "subset"),
    ],
)
def test_mistakes_in_a_study_files_data_set_are_named_with_their_line(tmp_path, option, said):
    with pytest.raises(StudyFileError) as caught:
        load(_study(tmp_path, option))
    assert said in str(caught.value)
    assert "study.yaml:6:" in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_mismatch_is_said_before_the_study_runs(tmp_path):
    file = _study(tmp_path, "subset: 50")
    file.write_text(file.read_text().replace("image: 6", "image: 8"))
    with pytest.raises(StudyFileError, match="channels=2, image=6, classes=3"):
        load(file)
