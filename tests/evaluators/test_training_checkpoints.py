"""Trainings that are killed go on; finished ones are kept; nothing of others is touched."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators.training import Training, evaluator  # noqa: E402
from evaluators.training.loop import Course, Recipe, Trainer, error_rate  # noqa: E402
from evaluators.training.snapshots import Snapshot  # noqa: E402
from hwnas import BitsPerCell, SkipNet, SystolicArray  # noqa: E402
from hwnas.design import SearchedTraining  # noqa: E402
from hwnas.design.designs import Designs  # noqa: E402
from hwnas.errors import DesignError, ProblemError, StudyFileError  # noqa: E402
from hwnas.evaluation import Infeasible  # noqa: E402
from hwnas.metrics import Reason  # noqa: E402
from hwnas.studyfile import load  # noqa: E402
from tests.tiny_images import FAMILY, SIZE, SPACE, blocks, drawn  # noqa: E402

DATA = blocks(shift=1, noise=0.3)


def training(folder=None, **changes):
    options = {"dataset": DATA, "epochs": 4, "batch_size": 20, **changes}
    return Training(checkpoints=folder, **options)


@pytest.fixture(scope="module")
def usual():
    """A design and its error, trained at one go."""
    design = drawn(1)[0]
    return design, training().measure(design)["error"]


class Killed(BaseException):
    """As a signal, it is no mistake that an evaluator may answer with a failed row."""


def killed_after(monkeypatch, epochs, trained=None):
    """Kills every training in the epoch after so many."""

    class Mortal(Trainer):
        def train_epoch(self):
            if self.epoch == epochs:
                raise Killed
            if trained is not None:
                trained.append(self.epoch)
            return super().train_epoch()

    monkeypatch.setattr(evaluator, "Trainer", Mortal)


@pytest.mark.parametrize("options", [{}, {"patience": 4}], ids=str)
def test_a_killed_training_goes_on_and_ends_with_the_same_error(tmp_path, monkeypatch, options):
    designs, folder = drawn(2), tmp_path / "trainings"
    whole = training(**options).evaluate(designs)["error"]
    for epochs in (1, 3):  # killed twice
        killed_after(monkeypatch, epochs)
        with pytest.raises(Killed):
            training(folder, **options).evaluate(designs)
    trained = []
    killed_after(monkeypatch, -1, trained)
    resumed = training(folder, **options)
    assert resumed.evaluate(designs)["error"].tolist() == whole.tolist()
    # Only the first design was in work: it lacks one epoch, the other all.
    assert trained == [3, 0, 1, 2, 3]
    monkeypatch.undo()
    alone = training(**options).trained(designs[0])
    for one, other in zip(
        alone.state_dict().values(), resumed.trained(designs[0]).state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_slimmed_data_and_bits_that_change_go_on_bit_for_bit(tmp_path, monkeypatch):
    genes = SearchedTraining(
        resolution=(5, 6), keep=(0.5,), easy=("downsample",), easy_weight=(0.5,),
        batch_size=(10,), schedule=("cyclic", "progressive"), cycles=(2,),
    )  # fmt: skip
    designs = drawn(2, space=SPACE + genes.space())
    whole = training().evaluate(designs)["error"]
    for i in range(2):
        with monkeypatch.context() as patch:
            killed_after(patch, 2)
            with pytest.raises(Killed):
                training(tmp_path).evaluate(designs[i : i + 1])
    resumed = training(tmp_path)
    assert resumed.evaluate(designs)["error"].tolist() == whole.tolist()
    for design in designs:
        assert resumed.curve(design) is not None
        again = resumed.trained(design).state_dict()
        for name, tensor in training().trained(design).state_dict().items():
            assert torch.equal(tensor, again[name])


def test_a_course_with_weights_goes_on_bit_for_bit():
    class Hardest(Course):
        def chosen(self, losses, epoch, epochs, rng):
            weights = np.where(np.isnan(losses), 1.0, losses)
            return rng.permutation(len(losses)), weights + rng.random(len(losses))

    def trainer():
        linear = torch.nn.Linear(36, 3)
        torch.nn.init.eye_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        module = torch.nn.Sequential(torch.nn.Flatten(), linear)
        return Trainer(module, DATA, Recipe(4, 20, 0.1, 0.01), 3, course=Hardest())

    through, first, second = trainer(), trainer(), trainer()
    losses = list(through)
    begun = [first.train_epoch() for _ in range(2)]
    second.restore(first.snapshot())
    assert begun + list(second) == losses
    assert np.array_equal(second.losses, through.losses)


def test_a_finished_training_is_not_repeated(tmp_path, monkeypatch):
    designs = drawn(2)
    whole = training(tmp_path).evaluate(designs)["error"]
    killed_after(monkeypatch, 0)
    again = training(tmp_path)
    assert again.evaluate(designs[::-1])["error"].tolist() == whole[::-1].tolist()
    network = again.trained(designs[1])
    assert not network.training
    assert error_rate(network, DATA) == whole[1]
    with pytest.raises(Killed):  # another fidelity is another training
        again.evaluate(designs, 0.5)
    with pytest.raises(Killed):  # and so is another study seed
        again.evaluate(Designs(designs.space, designs.genomes, 1))
    assert not list(tmp_path.glob("*.going"))


def test_without_a_folder_a_network_is_trained_when_it_is_asked_for(usual):
    design, error = usual
    assert error_rate(training().trained(design), DATA) == error


def test_diverged_trainings_are_kept_too(tmp_path, monkeypatch):
    design = drawn(1)[0]
    options = {"learning_rate": 1e20}
    first = training(tmp_path, **options).measure(design)
    killed_after(monkeypatch, 0)
    again = training(tmp_path, **options).measure(design)
    assert isinstance(again, Infeasible)
    assert (again.note, again.reason) == (first.note, Reason.DIVERGED)
    assert math.isnan(training(tmp_path, **options).curve(design).losses[-1])
    with pytest.raises(DesignError, match="cannot be trained") as caught:
        training(tmp_path, **options).trained(design)
    assert "mean loss nan" in caught.value.given


def test_the_curve_grows_with_the_training(tmp_path, monkeypatch):
    design = drawn(1)[0]
    watched = training(tmp_path, patience=4)
    assert watched.curve(design) is None
    killed_after(monkeypatch, 2)
    with pytest.raises(Killed):
        watched.evaluate(design.batch)
    early = watched.curve(design)
    assert len(early.losses) == len(early.errors) == 2
    monkeypatch.undo()
    watched.evaluate(design.batch)
    late = watched.curve(design)
    assert late.losses[:2] == early.losses
    assert late.losses[-1] < late.losses[0]
    assert all(0 <= error <= 1 for error in late.errors)
    with pytest.raises(ProblemError, match="no learning curve is kept"):
        training().curve(design)


def everything(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


OTHER_FAMILY = SkipNet(
    cells=(1,), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 2), base_width=8, **SIZE
)


@pytest.mark.parametrize(
    ("options", "space", "said"),
    [
        ({"epochs": 5}, SPACE, ["version", "epochs=4", "epochs=5"]),
        ({"patience": 2}, SPACE, ["version", "patience=2"]),
        ({"dataset": blocks(shift=1)}, SPACE, ["version", "blocks-"]),
        ({}, OTHER_FAMILY.space() + BitsPerCell(cells=1).space(), ["net", '"base_width": 8']),
        ({}, FAMILY.space() + BitsPerCell(cells=1, boundary_bits=4).space(), ["quant"]),
        ({}, FAMILY.space(), ["quant", "null"]),
    ],
    ids=["recipe", "patience", "data", "family", "bits", "no bits"],
)
def test_a_folder_of_other_trainings_is_refused_and_left_alone(tmp_path, options, space, said):
    training(tmp_path).evaluate(drawn(1))
    before = everything(tmp_path)
    for use in (lambda it, batch: it.evaluate(batch), lambda it, batch: it.trained(batch[0])):
        with pytest.raises(ProblemError, match="keeps other trainings") as caught:
            use(training(tmp_path, **options), drawn(1, space=space))
        for text in said:
            assert text in str(caught.value)
        assert str(tmp_path) in caught.value.where
        assert "another folder" in caught.value.cure
    assert everything(tmp_path) == before


def test_other_choices_and_accelerators_share_a_folder(tmp_path, monkeypatch, usual):
    design, error = usual
    training(tmp_path).evaluate(design.batch)
    killed_after(monkeypatch, 0)
    pinned = SPACE.restrict({name: [value] for name, value in design.config.items()})
    assert training(tmp_path).evaluate(drawn(1, space=pinned))["error"] == error
    joint = SPACE + SystolicArray().space()
    rest = np.zeros((1, len(joint) - len(SPACE)), dtype=np.int64)
    both = np.concatenate([design.batch.genomes, rest], axis=1)
    assert training(tmp_path).evaluate(Designs(joint, both))["error"] == error


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ProblemError, match="holds something else") as caught:
        training(tmp_path).evaluate(drawn(1))
    assert caught.value.given == "thesis.tex"
    assert everything(tmp_path) == {"thesis.tex": b"precious"}
    with pytest.raises(ProblemError, match="cannot be written"):
        training(tmp_path / "thesis.tex" / "deep").evaluate(drawn(1))


def test_a_damaged_mark_is_named(tmp_path):
    training(tmp_path).evaluate(drawn(0))
    (tmp_path / "trainings.json").write_text("{")
    with pytest.raises(ProblemError, match=r"damaged trainings\.json"):
        training(tmp_path).evaluate(drawn(1))


class Evil:
    def __reduce__(self):
        return print, ("called",)


def _flipped(raw):
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 255]) + raw[middle + 1 :]


DAMAGES = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[:-100],
    "flipped": _flipped,
    "pickle": lambda raw: pickle.dumps(Evil()),
    "text": lambda raw: b"no zip at all",
}


@pytest.mark.parametrize(
    ("kind", "damage"),
    [*(("npz", damage) for damage in DAMAGES), ("going", "cut"), ("going", "pickle")],
)
def test_a_damaged_file_is_named_put_aside_and_trained_anew(
    tmp_path, monkeypatch, capsys, kind, damage, usual
):
    design, error = usual
    with monkeypatch.context() as patch:
        if kind == "going":
            killed_after(patch, 2)
            with pytest.raises(Killed):
                training(tmp_path).evaluate(design.batch)
        else:
            training(tmp_path).evaluate(design.batch)
    (file,) = tmp_path.glob(f"*.{kind}")
    bad = DAMAGES[damage](file.read_bytes())
    file.write_bytes(bad)
    with pytest.warns(RuntimeWarning, match=f"{file.name} cannot be used"):
        assert training(tmp_path).measure(design)["error"] == error
    assert file.with_name(f"{file.name}.bad").read_bytes() == bad
    assert training(tmp_path).measure(design)["error"] == error
    assert "called" not in capsys.readouterr().out


def test_a_file_of_another_design_or_network_is_put_aside(tmp_path):
    one, other = drawn(2)
    evaluated = training(tmp_path)
    errors = evaluated.evaluate(drawn(2))["error"]
    files = [evaluated._folder.of(design, 1.0)._finished for design in (one, other)]
    files[1].replace(files[0])
    with pytest.warns(RuntimeWarning, match='it is of {"config"'):
        assert evaluated.measure(one)["error"] == errors[0]
    # The right owner, but arrays of another network: as if a family's code had changed.
    kept = Snapshot.read(files[0])
    cut = {name: np.atleast_1d(array)[..., :1] for name, array in kept.arrays.items()}
    Snapshot(cut, kept.facts).write(files[0])
    with pytest.warns(RuntimeWarning, match="cannot be used"):
        assert evaluated.measure(one)["error"] == errors[0]


def test_readers_never_see_half_a_file(tmp_path):
    """Several processes train one design: each replaces the file as a whole."""
    file = tmp_path / "a.npz"

    def written(number):
        Snapshot({"a": np.full(2000, number)}, {"number": number}).write(file)
        found = Snapshot.read(file)
        assert set(found.arrays["a"].tolist()) == {found.facts["number"]}

    written(0)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(written, range(200)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(tmp_path, monkeypatch, usual):
    design, error = usual
    kept = training(tmp_path)
    kept.evaluate(design.batch[:0])

    def full(self, file):
        raise OSError("No space left on device")

    monkeypatch.setattr(Snapshot, "write", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert kept.measure(design)["error"] == error


def test_checkpoints_change_no_version(tmp_path):
    assert training(tmp_path).version == training().version


STUDY = """
name: kept
space:
  - {use: skipnet, cells: [1], layers_per_cell: [2], WIDTH}
evaluators:
  - {use: training, epochs: 1, fidelities: [], checkpoints: trainings}
  - {use: macs}
objectives: [error, macs]
budget: 2
"""


def test_a_study_file_names_a_folder_beside_it_and_others_are_said_with_their_line(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("WIDTH", "base_width: 4"))
    plan = load(file)
    assert plan.problem.evaluators[0].checkpoints == tmp_path / "trainings"
    assert plan.resolved["evaluators"][0]["checkpoints"] == str(tmp_path / "trainings")
    file.write_text(STUDY.replace("WIDTH", "base_width: 8"))
    with pytest.raises(StudyFileError, match="keeps other trainings than these: net differ"):
        load(file)
