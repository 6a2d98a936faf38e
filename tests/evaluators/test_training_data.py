"""From files to a trained network, and what cannot be trained on, said before the study runs."""

from __future__ import annotations

import io
import math
import pickle
import tarfile
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators import datasets  # noqa: E402
from evaluators.dataset_files import DataFiles, cifar10  # noqa: E402
from evaluators.training import Training  # noqa: E402
from hwnas import BitsPerCell, SkipNet  # noqa: E402
from hwnas.design.designs import Designs  # noqa: E402
from hwnas.errors import ProblemError, StudyFileError  # noqa: E402
from hwnas.metrics import Reason  # noqa: E402
from hwnas.studyfile import load  # noqa: E402
from tests.tiny_images import FAMILY, blocks, drawn  # noqa: E402

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
IMAGES = 20
"""Per batch; the published ones have 10,000."""


def published(file, *, protocol):
    """CIFAR-10's archive for Python as published: a folder of seven pickles and a text.

    Source: https://www.cs.toronto.edu/~kriz/cifar.html: ``data``, one row of 3,072 bytes per image,
    1,024 red, 1,024 green, 1,024 blue, row by row; ``labels``, a list; in the files themselves
    also ``batch_label`` and ``filenames``; ``batches.meta`` with ``label_names``.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 10
    red = np.zeros((IMAGES, 3, 32, 32), dtype=np.uint8)
    red[np.arange(IMAGES), 0, 3 * labels] = 255  # a red row whose place is the class
    red += rng.integers(0, 20, red.shape, dtype=np.uint8) * (red == 0)
    parts = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    contents = {
        "batches.meta": {
            b"num_cases_per_batch": 10000, b"num_vis": 3072,
            b"label_names": [name.encode() for name in NAMES],
        },
        **{
            part: {
                b"batch_label": b"training batch 1 of 5" if part != "test_batch" else b"testing",
                b"labels": labels.tolist(),
                b"data": red.reshape(IMAGES, 3072),
                b"filenames": [f"{NAMES[k]}_s_{i:06}.png".encode() for i, k in enumerate(labels)],
            }
            for part in parts
        },
    }  # fmt: skip
    raw = {name: pickle.dumps(value, protocol=protocol) for name, value in contents.items()}
    raw["readme.html"] = b'<meta HTTP-EQUIV="REFRESH" content="0; url=http://www.cs.toronto.edu">'
    with tarfile.open(file, "w:gz") as tar:
        folder = tarfile.TarInfo("cifar-10-batches-py")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name in ("data_batch_4", "readme.html", "test_batch", "data_batch_3", "batches.meta",
                     "data_batch_2", "data_batch_5", "data_batch_1"):  # fmt: skip
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(raw[name])
            tar.addfile(member, io.BytesIO(raw[name]))
    return red, labels


@pytest.mark.parametrize("protocol", [0, 2])
def test_cifar10_as_published_is_read_and_trained_on(tmp_path, monkeypatch, protocol):
    file = tmp_path / "cifar-10" / "cifar-10-python.tar.gz"
    file.parent.mkdir()
    images, labels = published(file, protocol=protocol)
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
    named, given = cifar10(), DataFiles(file).read()
    assert (named.classes, named.channels, named.image) == (10, 3, 32)
    assert named.train_images.shape == (5 * IMAGES, 3, 32, 32)
    assert np.array_equal(np.rint(named.test_images * 255), images)
    assert named.train_labels.tolist() == [*labels] * 5
    assert np.array_equal(given.train_images, named.train_images)
    if protocol == 2:
        family = SkipNet(cells=(1,), layers_per_cell=(2,), widths=(1,), image=32, channels=3)
        training = Training(dataset=DataFiles(file), epochs=1, batch_size=25)
        answer = training.evaluate(drawn(1, space=family.space()))
        assert 0.0 <= answer["error"][0] <= 1.0


def picture_folder(folder, data):
    image = pytest.importorskip("PIL.Image")
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("test", data.test_images, data.test_labels),
    ):
        for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            place = folder / part / f"class_{label}"
            place.mkdir(parents=True, exist_ok=True)
            picture = image.fromarray(np.rint(pixels[0] * 255).astype(np.uint8))
            picture.save(place / f"{i:03}.png")
    return folder


def test_folders_of_images_as_torchvision_has_them_are_trained_on(tmp_path):
    data = blocks()
    folder = picture_folder(tmp_path / "pictures", data)
    errors = [
        Training(dataset=source, epochs=6, batch_size=20).evaluate(drawn(1))["error"]
        for source in (DataFiles(folder), _by_class(data))
    ]
    assert errors[0].tolist() == errors[1].tolist()
    assert errors[0].min() < 0.5


def _by_class(data):
    """The arrays in the order of a folder, at the precision of its pictures."""
    train, test = (
        np.argsort(labels, kind="stable") for labels in (data.train_labels, data.test_labels)
    )
    pixels = [
        np.rint(images * 255).astype(np.uint8)
        for images in (data.train_images[train], data.test_images[test])
    ]
    return datasets.Dataset.of(
        "by_class", (pixels[0], data.train_labels[train]), (pixels[1], data.test_labels[test])
    )


STUDY = """
name: bad
space:
  - {use: skipnet, image: 6, channels: 1, classes: 3, cells: [1], layers_per_cell: [2]}
  - {use: bits_per_cell, cells: 1, weight_bits: [BITS]}
evaluators:
  - {use: training, epochs: 1, fidelities: [], dataset: {path: DATA}}
  - {use: macs}
objectives: [error, macs]
budget: 2
"""


def _npz(folder, labels):
    images = blocks(len(labels)).train_images[:, 0]
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(folder / "data.npz", **arrays)
    return "data.npz"


def _mixed_sizes(folder):
    picture_folder(folder / "data", blocks(30))
    image = pytest.importorskip("PIL.Image")
    image.new("L", (7, 7)).save(folder / "data" / "train" / "class_1" / "larger.png")
    return "data"


@pytest.mark.parametrize(
    ("made", "bits", "line", "said"),
    [
        (lambda folder: _npz(folder, np.arange(30) % 3 - 1), 4, 7, "labels out of range"),
        (lambda folder: _npz(folder, np.zeros(30, dtype=int)), 4, 7, "one class only"),
        (_mixed_sizes, 4, 7, "another size"),
        (lambda folder: _npz(folder, np.arange(30) % 3), 1, 5, "each 2 to 32"),
    ],
    ids=["labels", "one class", "mixed sizes", "bits"],
)
def test_bad_input_is_named_with_its_line_before_anything_runs(tmp_path, made, bits, line, said):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("DATA", made(tmp_path)).replace("BITS", str(bits)))
    with pytest.raises(StudyFileError) as caught:
        load(file)
    assert said in str(caught.value)
    assert f"study.yaml:{line}:" in str(caught.value)
    assert len(caught.value.problems) == 1


@dataclass(frozen=True)
class Binary(BitsPerCell):
    """Somebody's own policy, whose cells have one bit."""

    name: ClassVar[str] = "binary"

    def bits(self, columns, design, cell):
        return tuple(np.where(cell > 0, 1, bits) for bits in super().bits(columns, design, cell))


def test_bits_that_the_quantiser_cannot_do_are_named():
    space = FAMILY.space() + Binary(cells=1).space()
    nothing = Designs(space, np.zeros((0, len(space)), dtype=np.int64))
    with pytest.raises(ProblemError, match="1 weight bits, which training cannot") as caught:
        Training(dataset=blocks()).evaluate(nothing)  # as a study file is checked
    assert "at least 2 bits" in caught.value.rule
    answer = Training(dataset=blocks()).evaluate(drawn(1, space=space))
    assert "so few bits" in answer.notes[0]


def test_losses_that_are_no_numbers_lose_one_design_and_no_other():
    designs = drawn(2)
    calm = Training(dataset=blocks(), epochs=2, batch_size=20).evaluate(designs)

    class Wild(Training):
        def _network(self, design):
            network = super()._network(design)
            if design.genome == designs[0].genome:
                torch.nn.init.constant_(next(network.parameters()), math.nan)
            return network

    wild = Wild(dataset=blocks(), epochs=2, batch_size=20).evaluate(designs)
    assert wild.feasible.tolist() == [False, True]
    assert wild.reason.tolist() == [Reason.DIVERGED, Reason.NONE]
    assert "nan" in wild.notes[0]
    assert wild["error"][1] == calm["error"][1]
