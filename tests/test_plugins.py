"""The door for plug-ins."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest

from hwnas import plugins
from hwnas.errors import MissingExtraError, PluginError


def foreign(monkeypatch, **values):
    """Lets the entry points be these, as if foreign packages were installed."""
    points = [EntryPoint(name, value, "hwnas.searchers") for name, value in values.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


def test_built_in_plugins_come_through_the_same_door():
    from hwnas.design import SkipNet
    from hwnas.searchers.nsga2 import NSGA2

    assert plugins.load("hwnas.spaces", "skipnet") is SkipNet
    assert plugins.load("hwnas.searchers", "nsga2") is NSGA2
    names = list(plugins.available("hwnas.spaces"))
    assert names == sorted(names)
    assert {"bits_per_cell", "skipnet", "systolic_array"} <= set(names)


@pytest.mark.parametrize("group", ["hwnas.spaces", "hwnas.searchers", "hwnas.exports"])
def test_names_are_those_that_the_classes_say(group):
    for name in plugins.available(group):
        if name == "gp" and find_spec("torch") is None:
            continue
        assert plugins.load(group, name).name == name


def test_foreign_plugins_come_through_it_too(monkeypatch):
    foreign(monkeypatch, mine="collections:OrderedDict")
    from collections import OrderedDict

    assert plugins.load("hwnas.searchers", "mine") is OrderedDict


class Sleepy:
    """Needs a package that only a library imports, when it is too late."""

    needs = ("optuna_dashboard",)


def test_what_a_plugin_needs_is_known_before_it_is_used(monkeypatch):
    foreign(monkeypatch, sleepy=f"{__name__}:Sleepy")
    there = {"optuna_dashboard": object()}
    monkeypatch.setattr(plugins, "find_spec", there.get)
    assert plugins.load("hwnas.searchers", "sleepy") is Sleepy
    there.clear()
    with pytest.raises(MissingExtraError, match="searcher 'sleepy' needs the package") as caught:
        plugins.load("hwnas.searchers", "sleepy")
    assert "hwnas[dashboard]" in caught.value.cure


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(PluginError, match="no searcher named 'randon'") as caught:
        plugins.load("hwnas.searchers", "randon")
    assert "'random'" in caught.value.cure
    assert "hwnas.searchers" in caught.value.rule


def test_no_plugins_at_all(monkeypatch):
    foreign(monkeypatch)
    with pytest.raises(PluginError) as caught:
        plugins.load("hwnas.searchers", "any")
    assert caught.value.cure == "there are none"


def test_a_plugin_that_cannot_be_imported(monkeypatch):
    foreign(monkeypatch, broken="no_such_package.module:Thing")
    with pytest.raises(PluginError, match="searcher 'broken' cannot be imported") as caught:
        plugins.load("hwnas.searchers", "broken")
    assert not isinstance(caught.value, MissingExtraError)
    assert "no_such_package" in caught.value.given


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "torch"),
        ("xgboost", "xgboost"),
        ("optuna_dashboard", "dashboard"),
        ("onnx", "onnx"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, module, extra):
    class Absent(EntryPoint):
        def load(self):
            raise ModuleNotFoundError(f"No module named {module!r}", name=f"{module}.nn")

    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [Absent("deep", "a:B", "hwnas.searchers")]
    )
    with pytest.raises(MissingExtraError, match=f"needs the package '{module}'") as caught:
        plugins.load("hwnas.searchers", "deep")
    assert f"pip install 'hwnas[{extra}]'" in caught.value.cure


def test_looking_does_not_import(monkeypatch):
    foreign(monkeypatch, broken="no_such_package.module:Thing")
    assert list(plugins.available("hwnas.searchers")) == ["broken"]


def test_a_strangers_package_of_our_name_is_refused(tmp_path):
    stranger = tmp_path / "evaluators"
    stranger.mkdir()
    ours = Path(plugins.__file__).parents[1] / "evaluators"
    (stranger / "__init__.py").write_text("")
    (stranger / "counts.py").write_text((ours / "counts.py").read_text())
    code = "from hwnas import plugins; plugins.load('hwnas.evaluators', 'macs')"
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is not the one of hwnas" in finished.stderr
    assert str(stranger) in finished.stderr
