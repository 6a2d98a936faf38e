"""What a comparison finds, and what it refuses to begin."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

import numpy as np
import pytest

import hwnas
from hwnas.comparison import (
    Comparison,
    Contest,
    Entrant,
    compare,
    write_comparison,
)
from hwnas.comparison.contest import Plan
from hwnas.comparison.directory import ComparisonDirectory
from hwnas.comparison.subject import Subject
from hwnas.errors import (
    ExactRefusedError,
    HwnasError,
    PluginError,
    ProblemError,
)
from hwnas.problem import Problem
from hwnas.study import Study
from hwnas.testing import toys
from tests.comparison.conftest import without_times
from tests.comparison.contests import STUDY, TWO


@dataclass(frozen=True, eq=False)
class Known:
    losses: np.ndarray
    how: str = "every design was measured"


def solved(problem, *, measure_costly=False):
    assert not problem.costly or measure_costly
    return Known(toys.exact_front(problem).losses)


def refused(problem, *, measure_costly=False):
    raise ExactRefusedError("too large for an exact front", cure="be content")


def test_it_is_at_the_top_of_the_package():
    assert hwnas.compare is compare
    assert hwnas.Comparison is Comparison


def test_numbers_are_those_of_ordinary_studies(small):
    problem = toys.joint()
    studies = [Study(problem, "random", budget=20, seed=seed) for seed in range(3)]
    for study in studies:
        for _ in study.run():
            pass
    volumes = [small.box.hypervolume(s.history.front_losses) for s in studies]
    row = small["random"]
    assert [run.hypervolume for run in row.runs] == pytest.approx(volumes)
    shares = [v / small.target.volume for v in volumes]
    assert [run.final for run in row.runs] == pytest.approx(shares)
    assert row.relative[-1].median == pytest.approx(np.median(shares))
    assert row.relative[-1].lower == pytest.approx(np.quantile(shares, 0.25))
    assert [run.evaluations for run in row.runs] == [s.history.evaluations for s in studies]
    assert all(run.overhead > 0 for run in row.runs)
    assert row.band[-1] == row.relative[-1]
    assert small.target.exact is False


def test_one_that_refuses_has_a_row_with_its_reason(small):
    row = small["exhaustive:limit=3"]
    assert "864 designs" in row.refused
    assert row.runs == ()
    assert [test.label for test in small.tests] == ["nsga2:population=6"]
    assert small.ran


def test_nobody_can(tmp_path):
    found = compare(
        toys.joint(), ["exhaustive:limit=3"], seeds=1, budget=5, directory=tmp_path / "c", jobs=1
    )
    assert not found.ran
    assert (found.box, found.target) == (None, None)
    assert write_comparison(found, tmp_path / "out").page.is_file()


def test_side_by_side_equals_one_after_the_other(tmp_path, small):
    both = compare(
        toys.joint(),
        ["random", "nsga2:population=6", "exhaustive:limit=3"],
        seeds=3,
        budget=20,
        directory=tmp_path / "c",
        jobs=2,
    )
    assert without_times(both) == without_times(small)


def test_a_timeout_starts_processes_within_processes(tmp_path):
    subject = Subject("joint", toys.joint(), timeout=60.0)
    plan = Plan((0, 1), 3, (3,), (0.9,), 2, None)
    directory = ComparisonDirectory(tmp_path / "c")
    contest = Contest(subject, (Entrant("random"),), plan, directory)
    assert [outcome.standing.status for outcome in contest.run()] == ["complete"] * 2
    assert all(run.failures == 0 for run in contest.record()["random"].runs)


def test_every_run_is_an_ordinary_run(tmp_path):
    from hwnas.session import reopen

    file = tmp_path / "small.yaml"
    file.write_text(STUDY)
    compare(file, ["nsga2:population=8"], seeds=2, budget=24, directory=tmp_path / "c", jobs=1)
    (folder,) = (path for path in (tmp_path / "c").iterdir() if path.is_dir())
    study = reopen(folder / "seed-1").study
    assert (study.seed, study.history.evaluations) == (1, 24)
    assert study.searcher.options()["population"] == 8


def test_relative_to_the_exact_front(tmp_path):
    def found(**options) -> Comparison:
        return compare(
            toys.zdt1(), ["random"], seeds=2, budget=60, directory=tmp_path / "c", jobs=1, **options
        )

    exact = found(solve=solved)
    front = toys.exact_front(toys.zdt1()).losses
    assert exact.target.exact
    assert "every design was measured" in exact.target.how
    assert exact.target.volume == pytest.approx(exact.box.hypervolume(front))
    assert exact.target.designs == len(np.unique(front, axis=0))
    assert all(0 < run.final < 1 for run in exact["random"].runs)
    # It is stored: nobody has to find it again.
    assert found(solve=refused) == exact
    assert not found(exact=False).target.exact


def test_no_exact_front_is_noted_unless_it_was_asked_for(tmp_path):
    noted = compare(
        toys.zdt1(), ["random"], seeds=1, budget=9, directory=tmp_path / "a", jobs=1, solve=refused
    )
    assert any("too large for an exact front" in note for note in noted.notes)
    with pytest.raises(ExactRefusedError):
        compare(
            toys.zdt1(),
            ["random"],
            seeds=1,
            budget=9,
            directory=tmp_path / "b",
            jobs=1,
            exact=True,
            solve=refused,
        )


def test_costly_problems_are_solved_only_when_somebody_asks(tmp_path):
    def found(exact: bool | None) -> Comparison:
        return compare(
            toys.joint(),
            ["random"],
            seeds=1,
            budget=9,
            directory=tmp_path / "c",
            jobs=1,
            exact=exact,
            solve=solved,
        )

    assert not found(None).target.exact
    assert found(True).target.exact


def test_all_of_a_small_space_is_the_exact_front(tmp_path):
    found = compare(
        toys.tiny(), ["exhaustive"], seeds=1, budget=50, directory=tmp_path / "c", solve=solved
    )
    (run,) = found["exhaustive"].runs
    assert (run.status, run.evaluations) == ("exhausted", 9)
    assert run.final == pytest.approx(1.0)
    assert run.reached == (
        pytest.approx(run.reached[0]),
        pytest.approx(run.reached[1]),
    )
    assert max(run.reached) <= 9


def test_the_study_s_reference_is_the_corner(tmp_path):
    study = Study(
        toys.joint(), "nsga2", budget=10, reference={"error": 0.5}, options={"population": 7}
    )
    found = compare(study, ["nsga2"], seeds=1, directory=tmp_path / "c", jobs=1)
    assert found.budget == 10
    assert found.box.reference[0] == 0.5
    assert "error" in found.box_from
    assert dict(found["nsga2"].options)["population"] == "7"


def test_one_objective_is_measured_up_to_the_worst_that_was_seen(tmp_path):
    problem = Problem(toys.zdt1().space, [toys.zdt1_values], ["f2"])
    found = compare(problem, ["random"], seeds=3, budget=30, directory=tmp_path / "c", exact=False)
    finals = [run.final for run in found["random"].runs]
    assert max(finals) == pytest.approx(1.0)
    assert len(set(finals)) > 1


def test_nothing_feasible_is_nothing_found(tmp_path):
    found = compare(
        toys.infeasible(), TWO, seeds=2, budget=20, directory=tmp_path / "c", exact=False
    )
    assert found.ran
    assert found.box is None
    assert [run.final for run in found["random"].runs] == [0, 0]
    assert found.tests[0].verdict.startswith("too few seeds")
    assert write_comparison(found, tmp_path / "out").page.is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": 0}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"budget": 0}, "nothing to do"),
        ({"budget": None}, "how long"),
        ({"checkpoints": [5, 11]}, "checkpoints out of range"),
        ({"fractions": [1.5]}, "fractions out of range"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_what_makes_no_sense(tmp_path, changes, said):
    arguments = {"seeds": 1, "budget": 10, "directory": tmp_path / "c", **changes}
    with pytest.raises(ProblemError, match=said):
        compare(toys.tiny(), ["random"], **arguments)
    assert not (tmp_path / "c").exists()


def test_unknown_searchers_and_wrong_options_leave_nothing_behind(tmp_path):
    for searcher in ("nsga", "nsga2:populaton=3"):
        with pytest.raises(PluginError):
            compare(toys.tiny(), [searcher], budget=5, directory=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_study_with_a_predictor_is_refused(tmp_path):
    file = tmp_path / "small.yaml"
    (tmp_path / "table.csv").write_text("width,error\n1,0.5\n2,0.3\n")
    metrics = "{error: {column: error}}"
    table = f"{{use: tabular, path: table.csv, keys: {{net.width: width}}, metrics: {metrics}}}"
    section = "surrogate: {predicts: error, predictor: random_forest, features: [energy]}\n"
    costly = STUDY.replace("evaluators: [", f"evaluators: [{table}, ")
    file.write_text(costly.replace("objectives: [", "objectives: [minimize: error, ") + section)
    with pytest.raises(HwnasError, match="cannot be compared"):
        compare(file, ["random"], directory=tmp_path / "c")


def test_the_files_say_what_the_record_says(small, tmp_path):
    written = write_comparison(small, tmp_path)
    assert json.loads(written.json.read_text()) == json.loads(json.dumps(small.to_json()))
    rows = list(csv.DictReader(io.StringIO(written.csv.read_text())))
    assert len(rows) == 2 * 3 * len(small.checkpoints)
    last = [r for r in rows if r["searcher"] == "random" and int(r["evaluations"]) == 20]
    finals = [run.final for run in small["random"].runs]
    assert [float(r["relative_hypervolume"]) for r in last] == finals


def test_a_warm_start_does_not_apply_and_that_is_said(tmp_path):
    text = (
        "name: warm\nspace: [{use: skipnet}]\nevaluators: [params, nn_mass]\n"
        "objectives: [minimize: params, maximize: nn_mass]\nbudget: 8\n"
    )
    cold, warm = tmp_path / "cold.yaml", tmp_path / "warm.yaml"
    cold.write_text(text)
    warm.write_text(text + "warm_start: before.csv\n")
    assert not Subject.of(cold).notes
    (note,) = Subject.of(warm).notes
    assert "warm_start does not apply" in note
