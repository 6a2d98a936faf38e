"""Reading what a study begins with: tables and runs, matched by names and values."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Gene, Infeasible, Metric, PerDesign, Problem, Reason, Space, Study, When, measures
from hwnas.errors import ProblemError, RunDirectoryError, StorageError, StudyFileError
from hwnas.metrics import Measurements
from hwnas.rundir import Mark, RunDirectory
from hwnas.studyfile import load, schema
from hwnas.testing import toys
from hwnas.warm_start import read

DEEP = When("net.deep", one_of=(True,))
SPACE = Space(
    (
        Gene("net.x", tuple(range(12))),
        Gene("net.deep", (False, True), ordered=False),
        Gene("net.extra", (0.1, 0.2, 0.3), when=(DEEP,)),
        Gene("net.kind", ("01", "1", "none"), ordered=False),
        Gene("hw.y", (1, 2, 3)),
    )
)


class Costly(PerDesign):
    """Cannot build x = 5."""

    metrics = (Metric("error"),)
    reads = frozenset({"net"})
    fidelities = (0.25, 1.0)

    def measure(self, design, fidelity=1.0):
        if design["net.x"] == 5:
            return Infeasible("too odd")
        return {"error": 1 / (1 + design["net.x"]) + design.config.get("net.extra", 0.5)}


@measures("cost", expense="free", batch=True)
def cost(designs):
    return 1.0 * (1 + designs["net.x"])


def problem(space: Space = SPACE, costly: PerDesign | None = None, *constraints: str) -> Problem:
    return Problem(space, [costly or Costly(), cost], ["error", "cost"], constraints)


def table(genomes, measured: Measurements, space: Space = SPACE) -> pd.DataFrame:
    """One row per design, sleeping genes empty."""
    configs = [d.config for d in problem(space).designs(genomes)]
    frame = pd.DataFrame(configs, columns=list(space.names))
    frame["error"] = measured["error"]
    frame["infeasible"] = ~measured.feasible
    frame["who"] = "me"
    return frame


def written(path, frame: pd.DataFrame):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


def run_of(path, study: Study, **mark: str):
    """A run directory as a session leaves it."""
    run = RunDirectory(path)
    run.begin(Mark(study.name, python="study.py", **mark), None)
    assert asdict(run.mark())["name"] == study.name
    study.attach(run.storage(None))
    for _ in study.run():
        pass
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@given(seed=st.integers(0, 10**6), n=st.integers(1, 30))
def test_a_table_is_read_as_it_was_written(tmp_path_factory, suffix, seed, n):
    rng = np.random.default_rng(seed)
    genomes = rng.integers(0, SPACE.cardinalities, size=(n, len(SPACE)))
    measured = problem().evaluate(problem().designs(genomes))
    path = tmp_path_factory.mktemp("t") / f"rows{suffix}"
    found = read([written(path, table(genomes, measured))], problem())
    assert found.sources[0].rows == n
    assert found.sources[0].left_out == {}
    np.testing.assert_array_equal(found.genomes, SPACE.canonical(genomes))
    np.testing.assert_array_equal(found.measurements["error"], measured["error"])
    np.testing.assert_array_equal(found.measurements.reason, measured.reason)


def test_a_run_is_read_as_it_is(tmp_path):
    study = Study(problem(SPACE, None, "cost <= 10"), "random", budget=20, seed=1)
    path = run_of(tmp_path / "run", study)
    journal = (path / "study.journal").read_bytes()
    found = read([path], problem())
    assert (path / "study.journal").read_bytes() == journal
    rows = study.history.rows
    kept = rows.measurements.reason != Reason.RULED_OUT
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(found.genomes, SPACE.canonical(rows.genomes[kept]))
    np.testing.assert_array_equal(found.measurements["error"], rows.measurements["error"][kept])
    assert (found.measurements.reason == rows.measurements.reason[kept]).all()
    assert "too odd" in found.measurements.notes
    assert found.sources[0].left_out == {
        "ruled out there, so nothing costly was measured": (~kept).sum()
    }
    assert str(found.sources[0]).startswith(f"{kept.sum()} of {len(kept)} rows from {path}")
    again = Study(problem(), "nsga2", budget=5)
    again.learn(found.genomes, found.measurements)
    assert again.history.learnt == len(np.unique(found.genomes, axis=0))


def test_early_measurements_are_taken_where_they_are_offered(tmp_path):
    frame = pd.DataFrame({"net.x": [1, 2, 3], "net.deep": 0, "net.kind": "1", "error": 0.5})
    frame["fidelity"] = [0.25, 0.5, None]
    found = read([written(tmp_path / "rows.csv", frame)], problem())
    assert found.measurements.fidelity.tolist() == [0.25, 1.0]
    assert found.measurements.reason.tolist() == [Reason.LOW_FIDELITY, Reason.NONE]
    assert found.sources[0].left_out == {"measured at no fidelity of 0.25, 1": 1}
    study = Study(problem(), "random", budget=5)
    assert study.learn(found.genomes, found.measurements) == 2


def test_designs_that_the_space_lacks_are_left_out_and_counted(tmp_path):
    other = Space(
        (
            Gene("net.x", (1, 3, 5, 99)),
            Gene("net.deep", (True, False), ordered=False),
            Gene("net.kind", ("1", "none", "other"), ordered=False),
            Gene("net.new", (7, 8), when=(DEEP,)),
            Gene("net.fixed", ("only",)),
            Gene("hw.z", (4, 5)),
        )
    )
    genomes = SPACE.rows()
    measured = problem().evaluate(problem().designs(genomes))
    found = read([written(tmp_path / "rows.csv", table(genomes, measured))], problem(other))
    designs = problem().designs(genomes)
    fits = (
        np.isin(designs["net.x"], (1, 3, 5))
        & ~designs["net.deep"]
        & np.isin(designs["net.kind"], ("1", "none"))
    )
    assert len(found.genomes) == fits.sum()
    new = problem(other).designs(found.genomes)
    for name in ("net.x", "net.deep", "net.kind"):
        np.testing.assert_array_equal(new[name], designs[name][fits])
    source = found.sources[0]
    assert sum(source.left_out.values()) == len(genomes) - fits.sum()
    assert {why.split(" ")[0] for why in source.left_out} == {"net.extra", "net.x", "net.kind"}
    # What no costly evaluator reads is taken as it comes: others share the measurement.
    assert set(new["hw.z"].tolist()) == {4}


def test_a_gene_that_is_new_and_awake_leaves_designs_out(tmp_path):
    other = Space((*SPACE.genes[:2], *SPACE.genes[3:], Gene("net.new", (7, 8), when=(DEEP,))))
    frame = pd.DataFrame({"net.x": 1, "net.deep": [True, False], "net.kind": "1", "error": 0.5})
    found = read([written(tmp_path / "rows.csv", frame)], problem(other))
    assert found.sources[0].left_out == {"no value of net.new": 1}
    assert problem(other).designs(found.genomes)["net.deep"].tolist() == [False]


def test_genes_of_runs_that_sleep_here_leave_designs_out(tmp_path):
    """In a table they may have any value; in a run they say that the design is another one."""
    awake = Space(tuple(Gene(g.name, g.choices, g.ordered) for g in SPACE.genes))
    path = run_of(tmp_path / "run", Study(problem(awake), "random", budget=30))
    found = read([path], problem())
    deep = problem().designs(found.genomes)["net.deep"]
    assert deep.all()
    assert found.sources[0].left_out["net.extra sleeps here"] > 0
    frame = pd.DataFrame(
        {"net.x": 1, "net.deep": False, "net.extra": 0.7, "net.kind": "1", "error": [0.5]}
    )
    assert len(read([written(tmp_path / "rows.csv", frame)], problem()).genomes) == 1


def test_where_everything_is_read_every_gene_counts(tmp_path):
    space = toys.all_costly().space
    genomes = space.rows()[:20]
    measured = toys.all_costly().evaluate(toys.all_costly().designs(genomes))
    frame = pd.DataFrame([d.config for d in toys.all_costly().designs(genomes)])
    for name in ("error", "energy"):
        frame[name] = measured[name]
    found = read([written(tmp_path / "rows.csv", frame)], toys.all_costly())
    np.testing.assert_array_equal(found.genomes, genomes)
    frame["hw.more"] = 3
    with pytest.raises(ProblemError, match="no row") as caught:
        read([written(tmp_path / "rows.csv", frame)], toys.all_costly())
    assert "20 (hw.more is no gene of the space)" in caught.value.given
    with pytest.raises(ProblemError, match="no row") as caught:
        read(
            [written(tmp_path / "rows.csv", frame.drop(columns=["hw.more", "hw.units"]))],
            toys.all_costly(),
        )
    assert "no value of hw.units" in caught.value.given


def test_rows_without_a_value_are_left_out(tmp_path):
    frame = pd.DataFrame(
        {"net.x": 1, "net.deep": False, "net.kind": ["1", "1", "01"], "error": [None, "inf", 0.5]}
    )
    found = read([written(tmp_path / "rows.csv", frame)], problem())
    assert found.sources[0].left_out == {"no value of error": 2}
    assert problem().designs(found.genomes)["net.kind"].tolist() == ["01"]


def test_several_sources_are_one(tmp_path):
    frame = pd.DataFrame({"net.x": [1, 2], "net.deep": False, "net.kind": "1", "error": 0.5})
    one = written(tmp_path / "one.csv", frame)
    other = written(tmp_path / "other.csv", frame.assign(**{"net.x": [2, 3]}, error=0.9))
    found = read([one, other], problem())
    assert len(found.genomes) == 4
    study = Study(problem(), "random", budget=5)
    assert study.learn(found.genomes, found.measurements) == 3
    assert study.history.rows.measurements["error"].tolist() == [0.5, 0.5, 0.9]


def test_designs_for_free_problems(tmp_path):
    plain = toys.zdt1()
    genomes = plain.space.rows()[5:25]
    frame = pd.DataFrame([d.config for d in plain.designs(genomes)])
    found = read([written(tmp_path / "rows.csv", frame)], plain)
    np.testing.assert_array_equal(found.genomes, genomes)
    assert Study(plain, "random", budget=5).learn(found.genomes, found.measurements) == 20


def test_an_evaluator_that_changed_since_is_mentioned(tmp_path):
    path = run_of(tmp_path / "run", Study(problem(), "random", budget=5))

    class Newer(Costly):
        version = "2"

    Newer.__name__ = "Costly"
    assert read([path], problem()).sources[0].remark == ""
    text = str(read([path], problem(SPACE, Newer())).sources[0])
    assert text.endswith("(Costly was version 1, is 2)")


def test_predictions_of_a_run_with_a_predictor_are_not_taken(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.begin(Mark("s"), {"name": "s", "surrogate": {"predicts": "error"}})
    measured = {}
    for name, x in (("s-samples", 1), ("s", 2), ("s-verified", 3)):
        pinned = SPACE.restrict({"net.x": x})
        study = Study(problem(pinned), "random", budget=4, name=name, storage=run.storage(None))
        for _ in study.run():
            pass
        measured[name] = len(study.history)
    found = read([run.path], problem())
    x = problem().designs(found.genomes)["net.x"].tolist()
    assert x == [1] * measured["s-samples"] + [3] * measured["s-verified"]


def test_a_gene_that_was_a_word_is_another_choice(tmp_path):
    words = Space((Gene("net.x", ("a", "b"), ordered=False), *SPACE.genes[1:]))

    @measures("error", reads=("net",))
    def flat(design):
        return 1.0

    study = Study(Problem(words, [flat], ["error"]), "random", budget=6)
    path = run_of(tmp_path / "run", study)
    with pytest.raises(ProblemError, match="no row") as caught:
        read([path], problem())
    assert "6 (net.x has no choice a, b)" in caught.value.given


def test_runs_that_cannot_be_read(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        read([tmp_path], problem())
    RunDirectory(tmp_path / "run").begin(Mark("s"), {})
    with pytest.raises(StorageError, match="no history"):
        read([tmp_path / "run"], problem())
    assert not (tmp_path / "run" / "study.journal").exists()
    (tmp_path / "run" / "study.journal").write_text("this is no journal\n")
    with pytest.raises(StorageError):
        read([tmp_path / "run"], problem())


GOOD = """\
name: small
space: [skipnet, systolic_array]
evaluators: [nn_mass, systolic]
objectives: ["maximize: nn_mass", "minimize: energy"]
budget: 5
"""


def plan(tmp_path, text: str):
    file = tmp_path / "sub" / "study.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return load(file)


def test_paths_start_from_the_study_file(tmp_path):
    assert "warm_start" not in plan(tmp_path, GOOD).resolved
    one = plan(tmp_path, GOOD + "warm_start: ../old\n")
    assert one.model.warm_start == [tmp_path / "old"]
    assert one.resolved["warm_start"] == one.fixed["warm_start"] == [str(tmp_path / "old")]
    two = plan(tmp_path, GOOD + f"warm_start: [../old, {tmp_path}/rows.csv]\n")
    assert two.model.warm_start == [tmp_path / "old", tmp_path / "rows.csv"]


def test_a_study_with_a_predictor_begins_with_its_own_samples(tmp_path):
    text = (
        "name: small\nspace: [skipnet, systolic_array]\nevaluators: [training, systolic]\n"
        "objectives: ['minimize: error']\nbudget: 5\nwarm_start: old\n"
        "surrogate: {predicts: error, predictor: random_forest, features: [net.*]}\n"
    )
    with pytest.raises(StudyFileError) as caught:
        plan(tmp_path, text)
    assert any(":6: warm_start" in problem for problem in caught.value.problems), caught.value


def test_the_schema_knows_it():
    found = schema()["properties"]["warm_start"]
    assert {kind["type"] for kind in found["anyOf"]} == {"string", "array"}
