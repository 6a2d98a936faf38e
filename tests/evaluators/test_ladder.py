"""A ladder of evaluators: its rungs, what stands in for what, and how a study file says it."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.counts import Params
from evaluators.ladder import Ladder, Rung
from evaluators.nn_mass import NNMass
from hwnas import BitsPerCell, Goal, Metric, PerDesign, Problem, SkipNet, Study, SystolicArray
from hwnas.errors import ProblemError, StudyFileError
from hwnas.evaluation import Joined
from hwnas.metrics import Reason
from hwnas.studyfile import load, schema
from hwnas.testing import EvaluatorSubject, evaluator_checks

JOINT = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
ERROR = Metric("error", worst=1.0, best=0.0)


class Truth(PerDesign):
    """An error that follows from width and bits, also early."""

    metrics = (ERROR,)
    reads = frozenset({"net", "quant"})
    fidelities = (0.25, 1.0)

    def measure(self, design, fidelity=1.0):
        bits = design["quant.cell1.weight_bits"]
        return {"error": 0.3 / design["net.width"] + 0.1 * 2.0**-bits + 0.1 * (1 - fidelity)}


class Scores(PerDesign):
    """Two made-up scores: the one on record, and another one."""

    metrics = (Metric("score", goal=Goal.MAXIMIZE), Metric("other"))
    reads = frozenset({"net"})

    def measure(self, design, fidelity=1.0):
        return {"score": 1e6 * design["net.width"] - 3e6, "other": 7.0}


def ladder():
    truth = Truth()
    return Ladder(
        rungs=[
            Rung(NNMass(), share=0.01),
            Rung(Scores(), share=0.05, stands_in="score"),
            Rung(truth, fidelity=0.25),
            Rung(truth),
        ]
    )


SUBJECT = EvaluatorSubject(ladder(), JOINT, 8)


@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance(check):
    check(SUBJECT)


def test_it_is_its_last_rung_and_offers_the_others():
    found = ladder()
    assert found.metrics == (ERROR,)
    assert found.fidelities == (0.01, 0.05, 0.25, 1.0)
    assert found.reads == {"net", "quant"}
    designs = Problem(JOINT, [found], ["error"]).designs(JOINT.sample(9, np.random.default_rng(0)))
    truth = Truth()
    for fidelity in (0.25, 1.0):
        answer = found.evaluate(designs, fidelity)
        np.testing.assert_array_equal(answer["error"], truth.evaluate(designs, fidelity)["error"])
    mass = NNMass().evaluate(designs)["nn_mass"]
    standing_in = found.evaluate(designs, 0.01)["error"]
    # More mass is better, so less of what stands in for the error; written out once more.
    logarithm = -np.log(mass + np.sqrt(mass**2 + 1))
    np.testing.assert_allclose(standing_in, 0.5 + 0.5 * logarithm / (1 + np.abs(logarithm)))


@given(
    st.lists(
        st.floats(-1e300, 1e300).filter(lambda x: x == 0 or abs(x) > 1e-6),
        min_size=2,
        max_size=20,
        unique=True,
    ),
    st.sampled_from(Goal),
    st.sampled_from([ERROR, Metric("error"), Metric("error", goal=Goal.MAXIMIZE, best=2.0)]),
)
def test_what_stands_in_keeps_the_order_and_the_range(values, goal, wanted):
    from evaluators.ladder import _moved

    x = np.sort(np.array(values))
    x = x[np.concatenate([[True], np.diff(x) > 1e-6 * np.abs(x[1:])])]
    moved = _moved(x, Metric("x", goal=goal), wanted)
    better = -1 if goal is Goal.MAXIMIZE else 1
    if wanted.goal is Goal.MAXIMIZE:
        better = -better
    assert (np.diff(moved) * better > 0).all()
    assert np.ptp(moved) <= 1
    if wanted.best is not None:
        away = (moved - wanted.best) * (1 if wanted.goal is Goal.MINIMIZE else -1)
        assert ((away > 0) & (away < 1)).all()


def test_infeasible_on_a_rung_is_infeasible_there():
    class Picky(Truth):
        fidelities = (1.0,)
        metrics = (Metric("quality", goal=Goal.MAXIMIZE),)

        def measure(self, design, fidelity=1.0):
            from hwnas.evaluation import Infeasible

            return Infeasible("no path") if design["net.width"] == 1 else {"quality": 1.0}

    found = Ladder(rungs=[Rung(Picky(), share=0.1), Rung(Truth())])
    designs = Problem(JOINT, [found], ["error"]).designs(JOINT.sample(40, np.random.default_rng(1)))
    low, whole = found.evaluate(designs, 0.1), found.evaluate(designs)
    narrow = designs["net.width"] == 1
    assert narrow.any()
    assert ((low.reason == Reason.INFEASIBLE) == narrow).all()
    assert whole.feasible.all()


def test_only_the_rung_that_is_asked_gets_ready():
    seen = []

    class Slow(Truth):
        def get_ready(self, space, fidelity=1.0):
            seen.append((space, fidelity))

    slow = Ladder(rungs=[Rung(NNMass(), share=0.01), Rung(Slow(), fidelity=0.25), Rung(Slow())])
    slow.get_ready(JOINT, 0.01)
    slow.get_ready(JOINT, 0.25)
    assert seen == [(JOINT, 0.25)]
    Joined([slow]).get_ready(JOINT)
    assert seen[1:] == [(JOINT, 1.0)]


def test_a_study_climbs_it_and_counts_shares():
    problem = Problem(JOINT, [ladder()], ["error"])
    study = Study(problem, "greybox", budget=12, seed=0)
    for _ in study.run():
        pass
    shares = study.history.rows.measurements.fidelity
    assert (shares == 0.01).any()
    assert study.history.evaluations == pytest.approx(shares.sum())


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        (lambda: [Rung(Truth())], "too few rungs"),
        (lambda: [Rung(NNMass()), Rung(Truth())], "do not ascend"),
        (lambda: [Rung(Truth(), 0.5, 0.25), Rung(NNMass(), 0.1), Rung(Truth())], "do not ascend"),
        (lambda: [Rung(NNMass(), float("nan")), Rung(Truth())], "do not ascend"),
        (lambda: [Rung(NNMass(), -0.1), Rung(Truth())], "do not ascend"),
        (lambda: [Rung(NNMass(), 0.1), Rung(Truth(), fidelity=0.25)], "not the whole evaluation"),
        (lambda: [Rung(Truth(), fidelity=0.3), Rung(Truth())], "not offered at fidelity 0.3"),
        (lambda: [Rung(Scores(), 0.1), Rung(Truth())], "nothing to say about 'error'"),
        (lambda: [Rung(Scores(), 0.1, stands_in="scare"), Rung(Truth())], "nothing to say"),
        (lambda: [Rung(NNMass(), 0.1), Rung(Scores())], "nothing to say about 'score'"),
    ],
)
def test_what_is_no_ladder_is_refused(rungs, said):
    with pytest.raises(ProblemError, match=said):
        Ladder(rungs=rungs())


def test_the_same_name_with_another_goal_is_refused():
    class Upside(Truth):
        metrics = (Metric("error", goal=Goal.MAXIMIZE),)

    with pytest.raises(ProblemError, match="another 'error'"):
        Ladder(rungs=[Rung(Upside(), 0.1), Rung(Truth())])


def test_of_several_metrics_some_may_be_left_out():
    found = Ladder(rungs=[Rung(NNMass(), 0.1), Rung(Scores())], metrics=("score",))
    assert [m.name for m in found.metrics] == ["score"]
    both = Ladder(
        rungs=[
            Rung(Params(), 0.1, stands_in={"score": "params", "other": "params"}),
            Rung(Scores()),
        ]
    )
    assert [m.name for m in both.metrics] == ["score", "other"]
    with pytest.raises(ProblemError, match="does not measure 'scare'"):
        Ladder(rungs=[Rung(NNMass(), 0.1), Rung(Scores())], metrics=("scare",))


STUDY = {
    "name": "climb",
    "space": ["skipnet", "bits_per_cell", "systolic_array"],
    "evaluators": [
        {
            "use": "ladder",
            "rungs": [
                {"use": "params", "share": 0.1},
                {"use": "nn_mass"},
            ],
        }
    ],
    "objectives": ["nn_mass"],
    "budget": 12,
}


def written(folder, rungs=None):
    study = copy.deepcopy(STUDY)
    if rungs is not None:
        study["evaluators"][0]["rungs"] = rungs
    file = folder / "study.yaml"
    file.write_text(json.dumps(study, indent=1))
    return file


def test_a_study_file_nests_its_rungs_and_says_all_their_options(tmp_path):
    plan = load(written(tmp_path))
    (found,) = plan.problem.evaluators
    assert found.fidelities == (0.1, 1.0)
    low, last = plan.resolved["evaluators"][0]["rungs"]
    assert low["use"] == "params"
    assert low["share"] == 0.1
    assert last["use"] == "nn_mass"
    assert last["fidelity"] == 1.0
    # What is kept with a run is read again when it goes on.
    again = load(written(tmp_path, [low, last]))
    assert again.resolved == plan.resolved
    assert again.problem.evaluators[0].version == found.version


def test_paths_in_rungs_start_from_the_study_file(tmp_path, monkeypatch):
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path / "far")
    rows = "width,score\n" + "".join(f"{w},{w / 10}\n" for w in (1, 2, 4))
    (tmp_path / "early.csv").write_text(rows)
    table = {
        "use": "tabular", "path": "early.csv", "keys": {"net.width": "width"},
        "metrics": {"score": {"column": "score", "goal": "maximize"}}, "share": 0.05,
    }  # fmt: skip
    plan = load(written(tmp_path, [table, "nn_mass"]))
    assert plan.resolved["evaluators"][0]["rungs"][0]["path"] == str(tmp_path / "early.csv")
    assert plan.problem.fidelities == (0.05, 1.0)


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        ([{"use": "paramz", "share": 0.1}, "nn_mass"], "did you mean 'params'"),
        ([{"use": "params", "shar": 0.1}, "nn_mass"], "did you mean 'share'"),
        ([{"use": "params", "share": "much"}, "nn_mass"], "valid number"),
        ([{"share": 0.1}, "nn_mass"], "a rung names an evaluator"),
        ([{"use": "params", "fidelity": 0.5}, "nn_mass"], "not offered at fidelity 0.5"),
        (["nn_mass"], "too few rungs"),
    ],
)
def test_mistakes_in_rungs_are_named_with_their_line(tmp_path, rungs, said):
    with pytest.raises(StudyFileError) as refused:
        load(written(tmp_path, rungs))
    (problem,) = refused.value.problems
    assert said in problem
    file, line = problem.split(":")[:2]
    assert file.endswith("study.yaml")
    assert int(line) >= 6


def test_an_evaluator_is_told_which_fidelity_to_offer(tmp_path):
    pytest.importorskip("torch")
    study = copy.deepcopy(STUDY)
    study["evaluators"][0]["rungs"] = [
        {"use": "zero_cost", "metric": "naswot", "share": 0.02},
        {"use": "supernet", "share": 0.05},
        {"use": "training", "fidelity": 0.125},
        {"use": "training"},
    ]
    study["objectives"] = ["error"]
    file = tmp_path / "trained.yaml"
    file.write_text(json.dumps(study, indent=1))
    plan = load(file)
    assert plan.problem.fidelities == (0.02, 0.05, 0.125, 1.0)
    assert plan.resolved["evaluators"][0]["rungs"][2]["fidelities"] == [0.125]


def test_the_schema_knows_rungs():
    kinds = schema()["$defs"]["hwnas.evaluators"]["anyOf"]
    found = next(k for k in kinds if k.get("properties", {}).get("use") == {"const": "ladder"})
    assert set(found["properties"]["rungs"]["items"]["properties"]) >= {"use", "share", "fidelity"}
