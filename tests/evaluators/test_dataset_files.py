"""Data sets from files: what is written comes back, what is broken is named."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import sys
import tarfile
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from evaluators import datasets
from evaluators.dataset_files import DataFiles, cifar10, fashion_mnist
from evaluators.datasets import Dataset
from evaluators.image_files import read_idx
from hwnas.errors import MissingExtraError, ProblemError
from tests.idx_files import idx, write_idx_folder

RNG = np.random.default_rng(5)
X, Y = RNG.integers(0, 256, (12, 6, 6), dtype=np.uint8), np.arange(12, dtype=np.uint8) % 10
XT, YT = X[::-1][:4].copy(), Y[::-1][:4].copy()


def idx_folder(folder, *, packed=True, images=X, labels=Y):
    return write_idx_folder(folder, (images, labels), (XT, YT), packed=packed)


def is_written(dataset, *, channels=1):
    assert dataset.train_images.shape == (12, channels, 6, 6)
    assert dataset.train_images.dtype == np.float32
    for channel in range(channels):
        assert np.array_equal(np.rint(dataset.train_images[:, channel] * 255), X)
    assert dataset.train_labels.tolist() == Y.tolist()
    assert np.array_equal(np.rint(dataset.test_images[:, 0] * 255), XT)
    assert dataset.test_labels.tolist() == YT.tolist()
    assert dataset.classes == 10


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_come_back(tmp_path, packed):
    is_written(DataFiles(idx_folder(tmp_path, packed=packed)).read())


def test_fashion_mnist_is_found_in_the_named_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
    idx_folder(tmp_path / "fashion-mnist")
    is_written(fashion_mnist())


@pytest.mark.parametrize(("load", "get"), [(fashion_mnist, "apt install"), (cifar10, "toronto")])
def test_a_missing_data_set_says_where_it_was_looked_for(tmp_path, monkeypatch, load, get):
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
    monkeypatch.setattr("evaluators.dataset_files._SHIPPED", tmp_path / "shipped")
    with pytest.raises(ProblemError, match="not on this machine") as caught:
        load()
    assert str(tmp_path / "shipped") in caught.value.where
    assert caught.value.where.count(str(tmp_path)) == 2
    assert get in caught.value.cure


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"", "bytes with 3 axes"),
        (idx(X, kind=9), "bytes with 3 axes"),
        (idx(Y), "bytes with 3 axes"),
        (idx(X)[:9], "3 axes of 4 bytes"),
        (idx(X)[:-1], "432 bytes for the shape"),
        (idx(X) + b"0", "432 bytes for the shape"),
    ],
)
def test_broken_idx_files_are_refused(tmp_path, raw, rule):
    for name, data in (("a", raw), ("a.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ProblemError) as caught:
            read_idx(tmp_path / name, 3)
        assert rule in caught.value.rule
    (tmp_path / "b.gz").write_bytes(gzip.compress(idx(X))[:-20])
    with pytest.raises(ProblemError, match="cannot be read"):
        read_idx(tmp_path / "b.gz", 3)


def test_a_missing_idx_file_is_named(tmp_path):
    (idx_folder(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ProblemError) as caught:
        DataFiles(tmp_path).read()
    assert "t10k-labels-idx1-ubyte.gz" in caught.value.rule


@pytest.mark.parametrize(
    "names",
    ["x_train y_train x_test y_test", "train_images train_labels test_images test_labels"],
)
def test_npz_files_come_back(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names.split(), (X, Y, XT, YT), strict=True)))
    is_written(DataFiles(tmp_path / "a.npz").read())


def test_one_set_is_split_without_overlap_and_always_the_same_way(tmp_path):
    images = np.repeat(X, 10, axis=0)
    images[:, 0, 0] = np.arange(120)
    np.savez(tmp_path / "a.npz", images=images, labels=np.repeat(Y, 10))
    dataset, again = (DataFiles(tmp_path / "a.npz", test_share=0.25).read() for _ in range(2))
    assert len(dataset.test_labels) == 30
    parts = dataset.train_images, dataset.test_images
    places = [np.rint(part[:, 0, 0, 0] * 255).astype(int).tolist() for part in parts]
    assert sorted(places[0] + places[1]) == list(range(120))
    assert dataset.train_labels.tolist() == np.repeat(Y, 10)[places[0]].tolist()
    assert dataset.digest == again.digest


def test_objects_in_npz_files_are_refused(tmp_path):
    images = np.array([object()] * 2)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(2))
    (tmp_path / "b.npz").write_bytes(b"no zip")
    np.savez(tmp_path / "c.npz", pictures=X)
    for name in "ab":
        with pytest.raises(ProblemError, match="cannot be read"):
            DataFiles(tmp_path / f"{name}.npz").read()
    with pytest.raises(ProblemError, match="no images and labels") as caught:
        DataFiles(tmp_path / "c.npz").read()
    assert caught.value.given == "pictures"


def image_folder(folder, *, mode="L"):
    image = pytest.importorskip("PIL.Image")
    for part, images, labels in (("train", X, Y), ("test", XT, YT)):
        for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            (folder / part / f"c{label}").mkdir(parents=True, exist_ok=True)
            picture = image.fromarray(pixels).convert(mode)
            picture.save(folder / part / f"c{label}" / f"{i}.png")
    return folder


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_image_folders_come_back(tmp_path, mode, channels):
    dataset = DataFiles(image_folder(tmp_path, mode=mode)).read()
    order = np.argsort(Y, kind="stable")
    assert dataset.train_labels.tolist() == Y[order].tolist()
    assert dataset.train_images.shape == (12, channels, 6, 6)
    assert np.array_equal(np.rint(dataset.train_images[:, -1] * 255), X[order])
    turned = np.argsort(YT, kind="stable")
    assert dataset.test_labels.tolist() == YT[turned].tolist()
    assert np.array_equal(np.rint(dataset.test_images[:, 0] * 255), XT[turned])


def test_folders_without_train_are_split(tmp_path):
    image_folder(tmp_path)
    for file in sorted((tmp_path / "train").glob("*/*.png")):
        (file.parent / f"again_{file.name}").write_bytes(file.read_bytes())
    dataset = DataFiles(tmp_path / "train", test_share=0.05).read()
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    assert len(dataset.test_labels) == 2  # of 24, rounded up
    assert sorted(labels) == sorted([*Y, *Y])


def test_an_image_of_another_size_is_named(tmp_path):
    image = pytest.importorskip("PIL.Image")
    image_folder(tmp_path)
    image.new("L", (6, 7)).save(tmp_path / "test" / "c1" / "odd.png")
    with pytest.raises(ProblemError, match=r"odd\.png.*another size") as caught:
        DataFiles(tmp_path).read()
    assert caught.value.given == "6 x 7 pixels"


def test_broken_folders_are_named(tmp_path):
    file = image_folder(tmp_path) / "train" / "c1" / "1.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ProblemError, match=r"'1\.png' cannot be read"):
        DataFiles(tmp_path).read()
    file.unlink()
    (tmp_path / "train" / "c1" / "11.png").unlink(missing_ok=True)
    with pytest.raises(ProblemError, match="'c1' has no image"):
        DataFiles(tmp_path).read()
    (tmp_path / "train" / "c1").rmdir()
    with pytest.raises(ProblemError, match="'c1' has test images but no training images"):
        DataFiles(tmp_path).read()


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    image_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match="'PIL'") as caught:
        DataFiles(tmp_path).read()
    assert "hwnas[images]" in caught.value.cure


def cifar_batches(protocol=2):
    images = RNG.integers(0, 256, (10, 3072), dtype=np.uint8)
    labels = list(range(10))
    batch = pickle.dumps({b"data": images, b"labels": labels}, protocol=protocol)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return images, dict.fromkeys(names, batch)


def in_folder(folder, batches):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in batches.items():
        (folder / name).write_bytes(raw)


def in_archive(file, batches, folder="cifar-10-batches-py"):
    with tarfile.open(file, "w:gz") as tar:
        for name, raw in batches.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(raw)
            tar.addfile(member, io.BytesIO(raw))


def is_cifar(dataset, images):
    assert dataset.train_images.shape == (50, 3, 32, 32)
    assert np.array_equal(np.rint(dataset.test_images.reshape(10, 3072) * 255), images)
    assert dataset.test_labels.tolist() == list(range(10))


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar_comes_back_packed_and_unpacked(tmp_path, monkeypatch, protocol):
    images, batches = cifar_batches(protocol)
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
    in_folder(tmp_path / "cifar-10" / "cifar-10-batches-py", batches)
    is_cifar(cifar10(), images)
    in_archive(tmp_path / "cifar-10-python.tar.gz", batches)
    is_cifar(DataFiles(tmp_path / "cifar-10-python.tar.gz").read(), images)


def test_pickles_of_python_2_are_read(tmp_path):
    """As the archive's own: no marker of bytes, the old module's name; written by hand here."""
    images, _ = cifar_batches()
    raw = images.tobytes()
    labels = b"".join(b"K" + bytes([i]) for i in range(10))
    batch = (
        b"\x80\x02}(U\x04data" + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x0aM\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", len(raw)) + raw + b"tbU\x06labels](" + labels + b"eu."
    )  # fmt: skip
    in_folder(tmp_path, dict.fromkeys(cifar_batches()[1], batch))
    is_cifar(DataFiles(tmp_path).read(), images)


def test_the_binary_archive_of_cifar_is_read(tmp_path):
    images, batches = cifar_batches()
    records = np.column_stack([np.arange(10, dtype=np.uint8), images]).tobytes()
    in_archive(tmp_path / "cifar-10-binary.tar.gz", {f"{name}.bin": records for name in batches})
    is_cifar(DataFiles(tmp_path).read(), images)


class _Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "thing",
    [
        _Evil(os.system, "touch evil"),
        _Evil(eval, "open('evil', 'w')"),
        _Evil(np.load, "evil"),
        _Evil(np.ndarray, (2,), "O"),
        _Evil(getattr, _Evil(np.dtype, "u1"), "__class__"),
        np.array([1.5]),
        np.array([{}], dtype=object),
        {1},
    ],
    ids=lambda thing: str(getattr(thing, "call", thing)),
)
def test_a_pickle_that_asks_for_more_than_bytes_is_refused(tmp_path, monkeypatch, thing):
    monkeypatch.chdir(tmp_path)
    for protocol in (0, 2, 5):
        bad = pickle.dumps({b"data": thing, b"labels": list(range(10))}, protocol=protocol)
        in_folder(tmp_path / "cifar-10-batches-py", cifar_batches()[1] | {"data_batch_3": bad})
        with pytest.raises(ProblemError, match="batch data_batch_3 that cannot be read"):
            DataFiles(tmp_path).read()
        assert not (tmp_path / "evil").exists()


def test_a_damaged_cifar_is_refused(tmp_path):
    _, batches = cifar_batches()
    folder = tmp_path / "cifar-10-batches-py"
    in_folder(folder, batches)
    (folder / "data_batch_2").write_bytes(batches["test_batch"][:-900])
    with pytest.raises(ProblemError, match="data_batch_2 that cannot be read"):
        DataFiles(tmp_path).read()
    (folder / "data_batch_2").unlink()
    with pytest.raises(ProblemError, match="lacks the batch data_batch_2"):
        DataFiles(tmp_path).read()
    archive = tmp_path / "cifar-10-python.tar.gz"
    in_archive(archive, batches)
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(ProblemError, match="cannot be unpacked"):
        DataFiles(archive).read()


FLOATS = (X / 255).astype(np.float64)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (X[:0], Y[:0], "no training image"),
        (X, Y[:-1], "not one label for each training image"),
        (X, Y.astype(float), "labels that are no classes"),
        (X, Y * 0, "one class only"),
        (X, Y.astype(int) - 1, "training labels out of range"),
        (X, np.where(Y == 3, 4, Y), "no training image of class 3"),
        (X, Y % 5, "test labels out of range"),
        (np.where(X[3, 3, 3] == X, np.nan, FLOATS), Y, "numbers out of range"),
        (FLOATS * 255, Y, "numbers out of range"),
        (X.astype(int) - 1, Y, "numbers out of range"),
        (X[:, :, :5], Y, "a shape that cannot be used"),
        (X[:, 0], Y, "a shape that cannot be used"),
        (X.astype(str), Y, "are no numbers"),
        (X[:, 1:, 1:], Y, "test images of another size"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused(images, labels, said):
    with pytest.raises(ProblemError, match=said) as caught:
        Dataset.of("mine", (images, labels), (XT, YT), where="here")
    assert caught.value.where == "here"
    assert caught.value.rule


def test_channels_may_come_last():
    last = np.stack([X] * 3, axis=3)
    dataset = Dataset.of("mine", (last, Y[:, None]), (last[:4], Y[:4]))
    assert dataset.train_images.shape == (12, 3, 6, 6)
    first = np.moveaxis(last, 3, 1)
    assert dataset.digest == Dataset.of("mine", (first, Y), (first[:4], Y[:4])).digest


def test_every_number_changes_the_digest():
    whole = Dataset.of("mine", (X, Y), (XT, YT))
    one = X.copy()
    one[3, 3, 3] ^= 1
    turned = Y[::-1].copy()
    others = [
        Dataset.of("mine", (one, Y), (XT, YT)),
        Dataset.of("mine", (X, turned), (XT, YT)),
        Dataset.of("mine", (X, Y), (XT[::-1], YT)),
        Dataset.of("mine", (X, Y), (XT, YT[::-1])),
        Dataset.of("mine", (X, Y), (XT, YT), shift=1),
        Dataset.of("mine", (X, Y), (XT, YT), noise=0.1),
    ]
    assert len({dataset.digest for dataset in (whole, *others)}) == 7


def test_a_subset_of_a_named_data_set_keeps_its_distortions():
    whole = datasets.load("digits")
    some = datasets.load(DataFiles(name="digits", subset=200, test_subset=50))
    assert (len(some.train_labels), len(some.test_labels)) == (200, 50)
    assert (some.shift, some.noise, some.classes) == (whole.shift, whole.noise, 10)
    known = {image.tobytes() for image in whole.train_images}
    assert all(image.tobytes() in known for image in some.train_images)
    assert datasets.load(DataFiles(name="digits", subset=200, test_subset=50)) is some
    assert datasets.load(DataFiles(name="digits", shift=0, noise=0.0)).noise == 0.0


@pytest.mark.parametrize(
    "options",
    [{}, {"name": "digits", "path": "x"}, {"name": "digits", "subset": 0},
     {"name": "digits", "subset": 1001}, {"name": "digits", "subset": 5},
     {"name": "digits", "noise": float("nan")}, {"name": "digits", "test_share": 1.0},
     {"name": "digit"}, {"path": "nowhere"}],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ProblemError) as caught:
        DataFiles(**options).read()
    assert caught.value.rule


def own():
    """Four squares."""
    return Dataset.of("own", (X[:4], Y[:4]), (X[:4], Y[:4]))


def test_a_package_of_ones_own_names_its_function(monkeypatch):
    points = [EntryPoint("owned", f"{__name__}:own", "hwnas.datasets")]
    monkeypatch.setattr("hwnas.plugins.entry_points", lambda group: points)
    assert datasets.load("owned").digest == own().digest
    with pytest.raises(ProblemError) as caught:
        datasets.load("own")
    assert "'owned'" in caught.value.cure


def test_a_folder_of_something_else_lists_what_is_read(tmp_path):
    with pytest.raises(ProblemError, match="holds no data set that is known") as caught:
        DataFiles(tmp_path).read()
    assert "CIFAR-10" in caught.value.rule
