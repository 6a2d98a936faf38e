"""Study files: what is in order is understood; else every mistake is named with its line."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import StudyFileError
from hwnas.metrics import Goal
from hwnas.studyfile import load, schema
from hwnas.studyfile.document import read, write

GOOD = """\
name: small
space:
  - use: skipnet
    cells: [1, 2]
    skips: [concat]
  - use: bits_per_cell
    cells: 2
  - use: systolic_array
    clock: [100 MHz, 0.2 GHz]
    ifmap_sram: [4 KiB, 8192]
evaluators:
  - nn_mass
  - use: systolic
objectives:
  - maximize: nn_mass
  - minimize: edp = energy * latency
constraints:
  - area <= 1 mm2
budget: 50
"""


def _load(tmp_path: Path, text: str, **changes: Any):
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, changes or None)


def _problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(StudyFileError) as caught:
        _load(tmp_path, text)
    return [p.removeprefix(str(tmp_path / "study.yaml")) for p in caught.value.problems]


def test_a_good_file_is_understood(tmp_path):
    plan = _load(tmp_path, GOOD)
    assert [o.name for o in plan.problem.objectives] == ["nn_mass", "edp"]
    assert plan.problem.objectives[0].goal is Goal.MAXIMIZE
    assert plan.budget.evaluations == 50
    genes = {gene.name: gene.choices for gene in plan.problem.space.genes}
    assert genes["hw.clock"] == (100e6, 200e6)
    assert genes["hw.ifmap_sram"] == (4096, 8192)


def test_the_resolved_study_says_everything_and_is_the_same_study(tmp_path):
    plan = _load(tmp_path, GOOD)
    assert plan.resolved["searcher"] == {"use": "nsga2", "population": None, "crossover": 0.9}
    assert plan.resolved["seed"] == 0
    assert plan.resolved["space"][0]["base_width"] == 4
    again = _load(tmp_path, write(plan.resolved))
    assert again.resolved == plan.resolved
    assert again.problem.space == plan.problem.space


def test_changes_replace_values(tmp_path):
    plan = _load(tmp_path, GOOD, budget={"evaluations": 7}, seed=3, searcher={"use": "random"})
    assert (plan.budget.evaluations, plan.model.seed) == (7, 3)
    assert plan.model.searcher.use == "random"
    assert "budget" not in plan.fixed


def test_restrict_pins_genes(tmp_path):
    pinned = GOOD + "restrict:\n  hw.dataflow: ws\n  net.width: [1, 2]\n"
    genes = {gene.name: gene.choices for gene in _load(tmp_path, pinned).problem.space.genes}
    assert genes["hw.dataflow"] == ("ws",)
    assert genes["net.width"] == (1, 2)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("name: small", "name: two words", 1, "name"),
        ("name: small", "nam: small", 1, "did you mean 'name'"),
        ("use: skipnet", "use: skipnett", 3, "did you mean 'skipnet'"),
        ("cells: [1, 2]", "cells: []", 3, "at least one choice"),
        ("cells: [1, 2]", "cels: [1, 2]", 4, "did you mean 'cells'"),
        ("cells: [1, 2]", "cells: [1, many]", 4, "valid integer"),
        ("100 MHz", "100 m", 9, "does not fit"),
        ("100 MHz", "100 Mhz", 9, "unknown unit"),
        ("  - nn_mass", "  - nn_mas", 12, "did you mean 'nn_mass'"),
        ("maximize: nn_mass", "maximize: nn_mas", 15, "nobody measures 'nn_mas'"),
        ("maximize: nn_mass", "maximise: nn_mass", 15, "minimize: ... or maximize: ..."),
        ("edp = energy * latency", "edp = energy *", 16, "cannot read the objective"),
        ("edp = energy * latency", "edp = energy + latency", 16, "units do not fit"),
        ("area <= 1 mm2", "area <= 1", 18, "units do not fit"),
        ("area <= 1 mm2", "area < 1 mm2", 18, "cannot read the constraint"),
        ("budget: 50", "budget: 0", 19, "greater than or equal to 1"),
        ("budget: 50", "budget: {evaluations: 5, time: 3 kg}", 19, "does not fit"),
        ("budget: 50", "budget: 50\nreference: {edpp: 3}", 20, "edpp"),
        ("budget: 50", "budget: 50\ntimeout: 0", 20, "greater than 0"),
        ("budget: 50", "budget: 50\nrestrict: {hw.flow: ws}", 20, "did you mean 'hw.dataflow'"),
        ("budget: 50", "budget: 50\nbudget: 60", 20, "duplicate key"),
        ("budget: 50", "budget: [50", 20, "no YAML"),
        ("budget: 50", "budget: &a 50\nseed: *a", 20, "aliases"),
        ("budget: 50", "budget: !!python/object/apply:os.system ['true']", 19, "no YAML"),
    ],
)  # fmt: skip
def test_one_mistake_is_named_with_line_rule_and_cure(tmp_path, old, new, line, said):
    assert old in GOOD
    problems = _problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(problem.startswith(f":{line}:") and said in problem for problem in problems), (
        problems
    )


def test_all_mistakes_are_named_at_once(tmp_path):
    text = GOOD.replace("name: small", "name: '-'").replace("cells: [1, 2]", "cels: 1")
    text = text.replace("  - nn_mass", "  - nn_mas").replace("budget: 50", "budget: -1\nsed: 3")
    lines = sorted({int(p.split(":")[1]) for p in _problems(tmp_path, text)})
    assert lines == [1, 4, 12, 19, 20]


def test_contradictory_constraints_are_refused(tmp_path):
    text = GOOD.replace("  - area <= 1 mm2", "  - area <= 1 mm2\n  - area >= 2 mm2")
    assert any("contradict" in problem for problem in _problems(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("no", "no"), ("on", "on"), ("010", 10), ("1:30", "1:30"), ("0.5", 0.5)],
)
def test_yaml_is_read_as_version_1_2(tmp_path, text, value):
    file = tmp_path / "v.yaml"
    file.write_text(f"value: {text}\n")
    assert read(file).values["value"] == value


@pytest.mark.parametrize(
    "text", ["", "- a\n", "just text\n", "name: \x00\n", "\ufeff{", "a: " + "[" * 5000]
)
def test_what_is_no_study_is_refused(tmp_path, text):
    assert _problems(tmp_path, text)


def test_binary_and_huge_files_are_refused(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_bytes(bytes(range(256)))
    with pytest.raises(StudyFileError):
        load(file)
    file.write_text("a: 1\n" * 300_000)
    with pytest.raises(StudyFileError, match="characters"):
        load(file)


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=4),
    st.sampled_from(["use", "energy", "4 mm2", "systolic", "1e308", "net.width"]),
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_nonsense_never_gives_a_traceback(tmp_path_factory, data):
    """A good study with one value replaced by anything: understood, or refused with a message."""
    folder = tmp_path_factory.mktemp("nonsense")
    file = folder / "good.yaml"
    file.write_text(GOOD)
    values = copy.deepcopy(read(file).values)
    target: Any = values
    while True:
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = data.draw(st.sampled_from(keys))
        deeper = isinstance(target[key], dict | list) and target[key]
        if not deeper or data.draw(st.booleans()):
            target[key] = data.draw(_VALUES)
            break
        target = target[key]
    try:
        file.write_text(write(values), encoding="utf-8")
    except (UnicodeEncodeError, ValueError):
        return
    with contextlib.suppress(StudyFileError):
        load(file)  # any other exception fails the test


def test_the_schema_knows_every_key_and_plugin_option(tmp_path):
    made = json.loads(json.dumps(schema()))
    assert set(made["properties"]) >= set(_load(tmp_path, GOOD).resolved)
    skipnet = next(
        kind
        for kind in made["$defs"]["hwnas.spaces"]["anyOf"]
        if kind.get("properties", {}).get("use", {}).get("const") == "skipnet"
    )
    assert {"cells", "widths", "skips"} <= set(skipnet["properties"])


TRAINED = GOOD.replace("  - nn_mass\n", "  - training\n").replace("nn_mass", "error")


@pytest.fixture
def certified(monkeypatch):
    """Lets random search certify, whether or not another searcher does."""
    monkeypatch.setattr("hwnas.searchers.random.RandomSearch.certifies", True)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (GOOD, "nsga2"),
        (GOOD + "searcher: random\n", "random"),
        (GOOD + "searcher: {use: random, batch: 3}\n", "random"),
    ],
)
def test_a_searcher_that_is_left_out_is_the_usual_one(tmp_path, text, name):
    plan = _load(tmp_path, text)
    assert plan.searcher == plan.resolved["searcher"]["use"] == name
    # The resolved file says it, so a run goes on with it whatever the usual one is then.
    again = tmp_path / "again.yaml"
    again.write_text(write(plan.resolved))
    assert load(again).resolved == plan.resolved


def test_the_usual_searcher_of_something_costly_and_of_its_predictor(tmp_path):
    pytest.importorskip("torch")
    costly = TRAINED.replace("maximize: error", "minimize: error")
    assert _load(tmp_path, costly).searcher == "greybox"
    predicted = (
        costly
        + """
surrogate: {predicts: error, predictor: gaussian_process, features: [net.*]}
"""
    )
    # With the predictor in place of the training, everything is free.
    assert _load(tmp_path, predicted).searcher == "nsga2"
    problems = _problems(
        tmp_path,
        predicted.replace("budget: 50", "budget: {evaluations: 50, stop_when_gain_below: 1 %}"),
    )
    assert "predictor cannot end by" in problems[0]


@pytest.mark.parametrize("given", ["1 %", "1%", "0.01", 0.01, " 1.0 % "])
def test_the_least_gain_is_a_share(tmp_path, certified, given):
    budget = f"budget: {{evaluations: 50, stop_when_gain_below: {given!r}}}"
    text = GOOD.replace("budget: 50", budget) + "searcher: random\n"
    plan = _load(tmp_path, text)
    assert plan.budget.gain == pytest.approx(0.01, rel=1e-12)
    assert plan.resolved["budget"]["stop_when_gain_below"] == plan.budget.gain


@pytest.mark.parametrize(
    "given",
    ["0", "1", "2", "-0.1", "100 %", "200 %", "-1 %", "0 %", ".nan", "one", "1 s", "true", "[1]",
     "{a: 1}"],
)  # fmt: skip
def test_other_gains_are_named_with_their_line(tmp_path, given):
    text = GOOD.replace(
        "budget: 50", f"budget:\n  evaluations: 50\n  stop_when_gain_below: {given}"
    )
    (problem,) = _problems(tmp_path, text)
    line = text.splitlines().index(f"  stop_when_gain_below: {given}") + 1
    assert problem.startswith(f":{line}: budget.stop_when_gain_below: a share above 0 and below 1")


def test_no_gain_is_none(tmp_path):
    text = GOOD.replace("budget: 50", "budget: {evaluations: 50, stop_when_gain_below: null}")
    assert _load(tmp_path, text).budget.gain is None


def test_a_package_that_only_a_library_imports_is_missed_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("hwnas.plugins.find_spec", lambda module: None)
    text = GOOD + "searcher: gp\n"
    (problem,) = _problems(tmp_path, text)
    line = text.splitlines().index("searcher: gp") + 1
    assert problem.startswith(f":{line}: searcher.use: searcher 'gp' needs the package 'torch'")
    assert "pip install 'hwnas[torch]'" in problem


def test_a_searcher_without_a_bound_is_named_with_the_line_of_the_gain(tmp_path):
    text = GOOD.replace("budget: 50", "budget:\n  evaluations: 50\n  stop_when_gain_below: 1 %")
    (problem,) = _problems(tmp_path, text)
    line = text.splitlines().index("  stop_when_gain_below: 1 %") + 1
    assert problem.startswith(f":{line}: budget.stop_when_gain_below: searcher nsga2 cannot say")


def test_what_is_given_anew_of_a_budget(tmp_path, certified):
    """Evaluations given anew lift the old time limit; a gain alone leaves both as they are."""
    text = GOOD.replace("budget: 50", "budget: {evaluations: 50, time: 1 min}")
    text += "searcher: random\n"
    gain = _load(tmp_path, text, budget={"stop_when_gain_below": 0.02}).budget
    assert (gain.evaluations, gain.seconds, gain.gain) == (50, 60, 0.02)
    more = _load(tmp_path, text, budget={"evaluations": 70}).budget
    assert (more.evaluations, more.seconds, more.gain) == (70, None, None)
    plain = GOOD + "searcher: random\n"
    assert _load(tmp_path, plain, budget={"stop_when_gain_below": 0.02}).budget.evaluations == 50
    kept = text.replace("time: 1 min", "stop_when_gain_below: 3 %")
    assert _load(tmp_path, kept, budget={"evaluations": 70}).budget.gain == 0.03


def test_paths_start_from_the_folder_of_the_study_file(tmp_path, monkeypatch):
    folder, elsewhere = tmp_path / "studies", tmp_path / "elsewhere"
    for place in (folder / "data", elsewhere):
        place.mkdir(parents=True)
    (folder / "data" / "table.csv").write_text("units,found\n" + "8,1.0\n16,2.0\n")
    text = """\
name: table
space: [{use: systolic_array, rows: [8, 16]}]
evaluators:
  - use: tabular
    path: data/table.csv
    keys: {hw.rows: units}
    metrics: {found: {column: found}}
    expense: free
objectives: ["minimize: found"]
budget: 5
"""
    monkeypatch.chdir(elsewhere)
    file = folder / "study.yaml"
    file.write_text(text)
    for path in (file, Path("..") / "studies" / "study.yaml"):
        plan = load(path)
        table = str((folder / "data" / "table.csv").resolve())
        assert plan.resolved["evaluators"][0]["path"] == table
    # A run keeps the resolved study in its own folder, where it means the same.
    kept = elsewhere / "study.yaml"
    kept.write_text(write(plan.resolved))
    assert load(kept).resolved == plan.resolved


def test_an_evaluator_that_cannot_read_the_space_says_so_before_anything_runs(tmp_path):
    (tmp_path / "table.csv").write_text("bits,error\n2,0.5\n4,0.3\n")
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: wrong\n"
        "space:\n  - {use: uniform_bits, weight_bits: [2, 4], activation_bits: [8]}\n"
        "evaluators:\n"
        "  - use: tabular\n    path: table.csv\n    keys: {quant.weight_bit: bits}\n"
        "    metrics: {error: {column: error}}\n"
        "objectives: [minimize: error]\nbudget: 2\n"
    )
    with pytest.raises(StudyFileError) as refused:
        load(file)
    text = str(refused.value)
    assert "study.yaml:5" in text
    assert "quant.weight_bit" in text
    assert "quant.weight_bits" in text


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("predicts: accuracy, features: [nn_degree]", "predicts"),
        ("predicts: error, features: [nn_degre]", "features"),
    ],
)
def test_a_predictor_that_does_not_fit_is_refused_before_samples_are_paid_for(
    tmp_path, section, key
):
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: wrong\nspace: [{use: skipnet}]\n"
        "evaluators: [{use: params}, {use: nn_degree}, {use: tabular, path: t.csv, "
        "keys: {net.width: width}, metrics: {error: {column: error}}}]\n"
        "objectives: [minimize: error, minimize: params]\nbudget: 20\n"
        f"surrogate: {{predictor: {{use: random_forest}}, {section}}}\n"
    )
    (tmp_path / "t.csv").write_text("width,error\n1,0.5\n2,0.3\n")
    with pytest.raises(StudyFileError, match=f"surrogate.{key}") as refused:
        load(file)
    assert "study.yaml:6" in str(refused.value)


def test_a_part_that_does_not_fit_the_others_is_named_once_with_its_line(tmp_path):
    text = GOOD.replace(
        "  - use: systolic_array\n",
        "  - use: searched_training\n    resolution: [8, 1]\n  - use: systolic_array\n",
    )
    (problem,) = _problems(tmp_path, text)
    assert problem.startswith(":8: space.2: the networks do not fit the images")
    assert "train.resolution = 1" in problem
    plan = _load(tmp_path, text + "restrict:\n  train.resolution: 8\n")
    assert "train.resolution" in plan.problem.space.names
