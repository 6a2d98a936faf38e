"""hwnas predict: tables and runs in, scores, pages, predictors and predictions out."""

from __future__ import annotations

import csv
import io
import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from hwnas.session import reopen, start

STUDY = """\
name: small
space:
  - {use: nas_bench_macro}
  - {use: uniform_bits, weight_bits: [4, 8], activation_bits: [8]}
  - {use: systolic_array, rows: [8, 16], columns: [8], clock: [100 MHz, 200 MHz]}
restrict: {net.b1: identity, net.b2: identity, net.b3: identity, net.b4: identity}
evaluators:
  - use: tabular
    path: error.csv
    keys: {net.b5: b5, net.b6: b6, net.b7: b7, net.b8: b8, quant.weight_bits: bits}
    metrics: {error: {column: error}}
  - systolic
objectives: [minimize: error, minimize: energy]
searcher: random
budget: 50
"""


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"bits": rng.integers(2, 9, 50), "width": rng.random(50)})
    frame["kind"] = np.where(rng.random(50) < 0.5, "add", "concat")
    noise = 0.02 * rng.standard_normal(50)
    frame["error"] = 2.0 ** -frame["bits"] - 0.5 * frame["width"] + 1.0 + noise
    frame.loc[7, "width"] = np.nan
    frame["below"] = -1.0 - frame["bits"]
    path = tmp_path / "measured.csv"
    frame.to_csv(path, index=False)
    return path


SURROGATE = """\
surrogate:
  predicts: error
  predictor: {use: boosted_trees, rounds: 10, monotonic: {quant.*: falling}}
  features: [net.*, quant.*]
  samples: 20
  verify: 0
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run, one with a surrogate, and the table that both look errors up in."""
    folder = tmp_path_factory.mktemp("runs")
    blocks = ("identity", "mbconv_e3_k3", "mbconv_e6_k5")
    rows = [
        (*cell, bits, 0.5 - 0.05 * sum(map(blocks.index, cell)) + 0.3 / bits)
        for *cell, bits in product(*[blocks] * 4, (4, 8))
    ]
    frame = pd.DataFrame(rows, columns=["b5", "b6", "b7", "b8", "bits", "error"])
    frame.to_csv(folder / "error.csv", index=False)
    for name, text in (("plain", STUDY), ("predicted", STUDY + SURROGATE)):
        (folder / f"{name}.yaml").write_text(text)
        for phase in start(folder / f"{name}.yaml", directory=folder / name).phases():
            for _ in phase.study.run():
                pass
    return folder


def test_score_prints_a_table_or_json(hwnas, table):
    asked = ("predict", "score", table, "--predicts", "error", "--predictor", "ridge,isotonic")
    options = ("-o", "isotonic.column=bits", "--folds", 4, "--seeds", 2)
    refused = hwnas(*asked, *options)
    assert refused.code == 2
    assert "column" in refused.err
    options = ("-o", "isotonic.column=0", "--folds", 4, "--seeds", 2)
    answer = hwnas(*asked, *options)
    assert answer.code == 0, answer.err
    for word in ("ridge", "isotonic", "Kendall", "49 samples", "5 features", "in 95 %"):
        assert word in answer.out
    assert "rows left out: 1 without a feature" in answer.out
    assert "ridge: 4 folds, 2 seeds" in answer.err
    data = json.loads(hwnas(*asked, *options, "--json", "-q").out)
    assert data["left_out"] == {"without a feature": 1}
    assert data["features"] == ["bits", "width", "kind=add", "kind=concat", "below"]
    ridge, isotonic = data["predictors"]["ridge"], data["predictors"]["isotonic"]
    assert len(ridge["kendall"]["of_seeds"]) == 2
    assert ridge["kendall"]["mean"] > 0.7 > isotonic["kendall"]["mean"]
    assert set(ridge["coverage"]) == {"0.68", "0.95"}
    assert ridge["coverage"]["0.95"]["mean"] > 0.8


def test_report_writes_a_page(hwnas, table, tmp_path):
    page = tmp_path / "new" / "page.html"
    answer = hwnas(
        "predict", "report", table, "--predicts", "error", "--predictor", "ridge", "--seeds", 2,
        "-o", "target=normal", "--html", page, "-q",
    )  # fmt: skip
    assert (answer.code, answer.out, answer.err) == (0, f"{page}\n", "")
    text = page.read_text(encoding="utf-8")
    for word in ("Predicting error from", "target=normal", "1 without a feature", "kind=concat"):
        assert word in text
    assert "http-equiv" in text


def test_fit_and_apply(hwnas, table, tmp_path):
    fitted, out = tmp_path / "fitted", tmp_path / "out.csv"
    asked = ("predict", "fit", table, "--predicts", "error", "--to", fitted)
    answer = hwnas(*asked, "-o", "monotonic={bits: falling, width: falling}", "-o", "rounds=20")
    assert answer.code == 0, answer.err
    assert "boosted_trees of error, 49 samples, 5 features" in answer.out
    assert hwnas("predict", "apply", fitted, table, "--out", out).code == 0
    answer = hwnas("predict", "apply", fitted, table)
    assert answer.out == out.read_text()
    assert "1 of 50 rows lack a feature" in answer.err
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert [row["row"] for row in rows] == [str(i + 1) for i in range(50)]
    assert rows[7]["error"] == ""
    measured = pd.read_csv(table)["error"].drop(7)
    predicted = pd.read_csv(out)["error"].drop(7)
    assert kendalltau(predicted, measured).statistic > 0.8
    assert hwnas(*asked).code == 2
    again = json.loads(hwnas(*asked, "--predictor", "ridge", "--force", "--json").out)
    assert again["predictor"] == "ridge"
    assert again["options"]["target"] == "plain"


def test_the_history_of_a_run(hwnas, runs, tmp_path):
    run = runs / "plain"
    asked = ("predict", "score", run, "--predicts", "error", "--predictor", "ridge", "--seeds", 1)
    data = json.loads(hwnas(*asked, "--json", "-q").out)
    # As many as there are different networks at different bits: accelerators do not count.
    history = pd.read_csv(runs / "error.csv")
    assert 30 < data["samples"] <= min(60, len(history))
    assert data["predictors"]["ridge"]["kendall"]["mean"] > 0.9
    assert any(name.startswith("net.b5") for name in data["features"])
    assert not any(name.startswith("hw.") for name in data["features"])
    assert "energy" not in data["features"]
    words = json.loads(hwnas(*asked, "--features", "metrics,quant.*", "--json", "-q").out)
    assert {"energy", "quant.weight_bits"} <= set(words["features"])
    assert not any(name.startswith("net.") for name in words["features"])
    assert hwnas("predict", "fit", run, "--predicts", "error", "--to", tmp_path / "p").code == 0
    rows = list(csv.DictReader(io.StringIO(hwnas("predict", "apply", tmp_path / "p", run).out)))
    assert list(rows[0]) == ["design", "error", "error_std"]
    first = json.loads(hwnas("show", run, rows[0]["design"], "--json").out)
    assert float(rows[0]["error"]) == pytest.approx(first["metrics"]["error"], abs=0.05)
    assert "did you mean 'error'" in hwnas(*asked[:3], "--predicts", "erro").err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--predicts", "eror"), "did you mean 'error'"),
        (("--predicts", "kind"), "text where a number should be"),
        (("--predicts", "error", "--predictor", "rigde"), "did you mean 'ridge'"),
        (("--predicts", "error", "--predictor", ","), "no predictor is named"),
        (("--predicts", "error", "--features", "widht"), "did you mean 'width'"),
        (("--predicts", "error", "--folds", 50), "49 different examples"),
        (("--predicts", "error", "--seeds", 0), "at least 1"),
        (("--predicts", "error", "-o", "rounds=many"), "boosted_trees does not take"),
        (("--predicts", "error", "-o", "ridge.target=normal"), "whose option"),
        (("--predicts", "error", "-o", "monotonic={*: rising}"), "cannot be read"),
        (("--predicts", "error", "-o", "monotonic={b: rising}"), "names of features"),
        (("--predicts", "error", "--predictor", "isotonic"), "one feature"),
        (
            ("--predicts", "error", "--predictor", "saturating_curve", "--features", "below"),
            "SaturatingCurve cannot learn from these",
        ),
    ],
)
def test_what_is_wrong_is_exit_code_2(hwnas, table, options, said):
    answer = hwnas("predict", "score", table, *options)
    assert answer.code == 2, answer.out
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_sources_and_directories_that_are_none(hwnas, tmp_path, table):
    answer = hwnas("predict", "score", tmp_path / "none.csv", "--predicts", "error")
    assert (answer.code, "there is no table" in answer.err) == (2, True)
    answer = hwnas("predict", "score", tmp_path, "--predicts", "error")
    assert (answer.code, "holds no run" in answer.err) == (2, True)
    answer = hwnas("predict", "apply", tmp_path, table)
    assert (answer.code, "holds no predictor" in answer.err) == (2, True)
    flat = tmp_path / "flat.csv"
    flat.write_text("x,y\n1,2\n2,2\n3,2\n")
    answer = hwnas("predict", "fit", flat, "--predicts", "y", "--to", tmp_path / "p")
    assert (answer.code, "targets that differ" in answer.err) == (2, True)
    assert not (tmp_path / "p").exists()


def test_a_study_says_by_name_which_way_its_surrogate_goes(hwnas, runs):
    run = runs / "predicted"
    (evaluator,) = [e for e in reopen(run).study.problem.evaluators if e.name.endswith("of error")]
    names = evaluator.features.names(evaluator.space)
    expected = [-1 if name.startswith("quant.") else 0 for name in names]
    assert -1 in expected
    assert evaluator.predictor.monotonic == expected
    # The samples of such a search are what can be learnt from.
    scored = hwnas("predict", "score", run, "--predicts", "error", "--json", "-q")
    assert json.loads(scored.out)["samples"] <= 20
