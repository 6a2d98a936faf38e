"""Directories with a mark: what is ours is gone on with and removed, the rest is left alone."""

from __future__ import annotations

import json

import pytest

from hwnas.comparison.directory import ComparisonDirectory, Setting
from hwnas.errors import RunDirectoryError
from hwnas.marked_directory import replace_text
from hwnas.rundir import Mark, RunDirectory


def begin_run(path):
    RunDirectory(path).begin(Mark("mine"), {"name": "mine"})


def begin_comparison(path):
    ComparisonDirectory(path).begin({"name": "mine"}, {})


KINDS = pytest.mark.parametrize(
    ("kind", "begin", "mark"),
    [
        (RunDirectory, begin_run, "run.json"),
        (ComparisonDirectory, begin_comparison, "setting.json"),
    ],
)


@KINDS
@pytest.mark.parametrize("there", [False, True])
def test_new_and_empty_directories_are_laid_out(tmp_path, kind, begin, mark, there):
    path = tmp_path / "a" / "b"
    if there:
        path.mkdir(parents=True)
    assert not kind(path).exists
    begin(path)
    assert kind(path).exists
    assert json.loads((path / mark).read_text())["format"] == 1
    assert not [file for file in path.iterdir() if file.name.startswith(".")]


@KINDS
@pytest.mark.parametrize("what", ["a folder with a file", "a file"])
def test_something_else_is_neither_written_into_nor_removed(tmp_path, kind, begin, mark, what):
    path = tmp_path / "precious"
    thesis = path / "thesis.tex" if what == "a folder with a file" else path
    thesis.parent.mkdir(exist_ok=True)
    thesis.write_text("years of work")
    for action in (lambda: begin(path), kind(path).remove):
        with pytest.raises(RunDirectoryError, match="holds something else") as caught:
            action()
        assert mark in caught.value.rule
        assert caught.value.given == ("thesis.tex" if path.is_dir() else "a file")
        assert "--dir" in caught.value.cure
    assert thesis.read_text() == "years of work"


@KINDS
def test_what_is_ours_is_removed_as_a_whole(tmp_path, kind, begin, mark):
    path = tmp_path / "ours"
    kind(path).remove()  # nothing is there
    begin(path)
    (path / "deep").mkdir()
    (path / "deep" / "file").write_text("")
    kind(path).remove()
    assert not path.exists()
    path.mkdir()
    kind(path).remove()  # an empty one is nobody's
    assert not path.exists()


@KINDS
@pytest.mark.parametrize("text", ["", "[1]", '{"format": 1, "colour": "red"}', "\x00"])
def test_a_damaged_mark_names_its_file(tmp_path, kind, begin, mark, text):
    begin(tmp_path / "d")
    (tmp_path / "d" / mark).write_text(text)
    read = {RunDirectory: "mark", ComparisonDirectory: "read"}[kind]
    with pytest.raises(RunDirectoryError, match=f"{mark} is damaged") as caught:
        getattr(kind(tmp_path / "d"), read)()
    assert "--fresh" in caught.value.cure


@KINDS
def test_a_directory_below_a_file_cannot_be_written(tmp_path, kind, begin, mark):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be written") as caught:
        begin(tmp_path / "file" / "below")
    assert "--dir" in caught.value.cure


def test_what_changed_is_shown_line_by_line(tmp_path):
    run = RunDirectory(tmp_path)
    run.check_same(tmp_path / "s.yaml", {"name": "a", "seed": 1}, {"name": "a", "seed": 1})
    with pytest.raises(RunDirectoryError, match="is not the study") as caught:
        run.check_same(tmp_path / "s.yaml", {"name": "a", "seed": 1}, {"name": "a", "seed": 2})
    head, *lines = caught.value.given.splitlines()
    assert head == f"(- {tmp_path}, + the file)"
    assert lines == ["-seed: 1", "+seed: 2"]


def test_a_comparison_takes_more_searchers_but_no_other_ones(tmp_path):
    directory = ComparisonDirectory(tmp_path / "c")
    directory.begin({"name": "s"}, {"a": {"use": "random"}})
    both = directory.begin({"name": "s"}, {"b": {"use": "nsga2"}})
    assert both == directory.read() == Setting(
        {"name": "s"}, {"a": {"use": "random"}, "b": {"use": "nsga2"}}
    )  # fmt: skip
    with pytest.raises(RunDirectoryError, match="holds another comparison") as caught:
        directory.begin({"name": "s"}, {"b": {"use": "nsga3"}})
    assert caught.value.where == "searcher b"
    assert [line.strip() for line in caught.value.given.splitlines()[1:]] == [
        '- "use": "nsga2"', '+ "use": "nsga3"',
    ]  # fmt: skip


def test_texts_are_replaced_as_a_whole(tmp_path):
    file = tmp_path / "f"
    replace_text(file, "old")
    with file.open() as reader:
        replace_text(file, "new")
        assert reader.read() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]
