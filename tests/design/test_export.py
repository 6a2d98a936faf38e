"""The contract of exports: what they may write, and how it gets into a folder."""

from __future__ import annotations

import json

import pytest

from hwnas.design.export import MARK, Exported, ExportedLayer, export
from hwnas.errors import PluginError, StorageError
from tests.exported_designs import systolic

LAYERS = (ExportedLayer("conv000", 0, 1), ExportedLayer("conv002", 2, 48))


def exported(**files):
    return Exported(files or {"a.txt": "one\n", "deep/b.txt": "two\n"}, ("a note",), LAYERS)


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_all_files_and_what_they_stand_for_are_written(tmp_path):
    target = tmp_path / "new" / "export"
    written = exported().write(target, about={"tool": "mine", "design": 7})
    assert [p.relative_to(target).as_posix() for p in written] == ["a.txt", "deep/b.txt", MARK]
    assert names(tmp_path) == [f"new/export/{name}" for name in ("a.txt", "deep/b.txt", MARK)]
    assert (target / "deep" / "b.txt").read_bytes() == b"two\n"
    mark = json.loads((target / MARK).read_text())
    assert (mark["tool"], mark["design"], mark["notes"]) == ("mine", 7, ["a note"])
    assert tuple(ExportedLayer(**layer) for layer in mark["layers"]) == LAYERS


def test_an_empty_folder_will_do(tmp_path, monkeypatch):
    exported().write(tmp_path)
    assert MARK in names(tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    exported().write(".")
    assert MARK in names(here)


def test_an_export_is_replaced_as_a_whole_if_asked_to(tmp_path):
    target = tmp_path / "export"
    exported(**{"old.txt": "old\n"}).write(target)
    with pytest.raises(StorageError, match="is not empty") as caught:
        exported().write(target)
    assert "--force" in caught.value.cure
    assert names(target) == [MARK, "old.txt"]
    exported().write(target, force=True)
    assert names(target) == ["a.txt", "deep/b.txt", MARK]


@pytest.mark.parametrize("force", [False, True])
def test_what_is_somebody_elses_stays(tmp_path, force):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StorageError, match="is not empty"):
        exported().write(tmp_path, force=force)
    with pytest.raises(StorageError, match="is a file"):
        exported().write(tmp_path / "thesis.tex", force=force)
    assert names(tmp_path) == ["thesis.tex"]


def test_nothing_is_left_of_an_export_that_cannot_be_written(tmp_path):
    clash = {"a": "a file\n", "a/b": "in a file\n"}
    with pytest.raises(StorageError, match="cannot be written"):
        exported(**clash).write(tmp_path / "export")
    assert names(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "a/../../b", "", MARK])
def test_files_stay_in_their_folder(name):
    with pytest.raises(PluginError, match="must not write"):
        exported(**{name: "text"})


def test_an_unknown_tool_is_named():
    with pytest.raises(PluginError, match="no export named 'zigzak'") as caught:
        export(systolic(), "zigzak")
    assert "'zigzag'" in caught.value.cure
