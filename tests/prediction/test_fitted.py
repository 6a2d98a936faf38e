"""Predictors in directories: the same one comes back, and no code of theirs is run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hwnas.errors import PluginError, ProblemError, RunDirectoryError
from hwnas.prediction.examples import Examples, Table
from hwnas.prediction.fitted import load, save
from predictors.boosted_trees import BoostedTrees


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    depth, kind = rng.random(40) / 3, np.where(rng.random(40) < 0.5, "conv", "pool")
    y = depth + (kind == "conv") + 0.01 * rng.standard_normal(40)
    return Table("t.csv", {"depth": depth, "kind": kind, "accuracy": y})


OPTIONS = {"rounds": 15, "monotonic": {"depth": "rising"}, "random_state": 3}


def test_what_comes_back_is_what_went(table, tmp_path):
    examples = Examples.of(table, "accuracy")
    first = save(tmp_path / "p", table, examples, "boosted_trees", OPTIONS)
    again = load(tmp_path / "p")
    for one, other in zip(first.predict(table), again.predict(table), strict=True):
        np.testing.assert_array_equal(one, other)
    direct = BoostedTrees(rounds=15, monotonic=[1, 0, 0], random_state=3)
    np.testing.assert_array_equal(
        again.predict(table)[0], direct.fit(examples.X, examples.y).predict(examples.X)
    )
    assert again.is_same
    assert {path.name for path in (tmp_path / "p").iterdir()} == {"predictor.json", "examples.csv"}


def test_rows_that_lack_something_are_nan(table, tmp_path):
    save(tmp_path / "p", table, Examples.of(table, "accuracy"), "ridge", {})
    asked = Table("n", {"kind": np.array(["conv", "skip", "pool"]),
                        "depth": np.array([0.1, 0.1, np.nan])})  # fmt: skip
    mean, std = load(tmp_path / "p").predict(asked)
    assert np.isfinite(mean).tolist() == np.isfinite(std).tolist() == [True, False, False]
    with pytest.raises(ProblemError, match="there is no column 'kind'"):
        load(tmp_path / "p").predict(Table("n", {"depth": np.array([0.1])}))


def test_nothing_is_replaced_unasked(table, tmp_path):
    examples = Examples.of(table, "accuracy")
    save(tmp_path / "p", table, examples, "ridge", {})
    with pytest.raises(RunDirectoryError, match="holds a predictor already"):
        save(tmp_path / "p", table, examples, "isotonic", {"column": 0})
    save(tmp_path / "p", table, examples, "isotonic", {"column": 0}, force=True)
    assert load(tmp_path / "p").recipe.predictor == "isotonic"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("precious")
    with pytest.raises(RunDirectoryError, match="something else"):
        save(tmp_path / "other", table, examples, "ridge", {}, force=True)


def test_a_predictor_that_answers_otherwise_says_so(table, tmp_path):
    save(tmp_path / "p", table, Examples.of(table, "accuracy"), "ridge", {})
    mark = tmp_path / "p" / "predictor.json"
    said = json.loads(mark.read_text())
    said["probes"][3] += 0.1
    mark.write_text(json.dumps(said))
    found = load(tmp_path / "p")
    assert not found.is_same
    assert found.drift == pytest.approx(0.1 / np.ptp(table.columns["accuracy"]))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"predictor": "os.system"}, PluginError, "no predictor named"),
        ({"rows": 41}, RunDirectoryError, "examples.csv is damaged"),
        ({"options": {"ruonds": 1}}, ProblemError, "ruonds"),
        ({"colour": "red"}, RunDirectoryError, "damaged"),
    ],
)
def test_what_was_damaged_is_refused(table, tmp_path, change, kind, message):
    save(tmp_path / "p", table, Examples.of(table, "accuracy"), "ridge", {})
    mark = tmp_path / "p" / "predictor.json"
    mark.write_text(json.dumps({**json.loads(mark.read_text()), **change}))
    with pytest.raises(kind, match=message):
        load(tmp_path / "p")
    with pytest.raises(RunDirectoryError, match="holds no predictor"):
        load(tmp_path)


def test_who_finds_a_damaged_predictor_is_told_what_helps(table, tmp_path):
    save(tmp_path / "p", table, Examples.of(table, "accuracy"), "ridge", {})
    (tmp_path / "p" / "predictor.json").write_text('{"x')
    with pytest.raises(RunDirectoryError, match="is damaged") as caught:
        load(tmp_path / "p")
    assert "--force" in caught.value.cure
