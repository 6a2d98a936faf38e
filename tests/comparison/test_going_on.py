"""Comparisons that are left, killed, extended or refused, and runs that fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hwnas.comparison import (
    Comparison,
    Entrant,
    compare,
    prepare,
)
from hwnas.errors import (
    RunDirectoryError,
)
from hwnas.evaluation import measures
from hwnas.problem import Problem
from hwnas.searchers.random import RandomSearch
from hwnas.space import Gene, Space
from hwnas.testing import toys
from tests.comparison.conftest import without_times
from tests.comparison.contests import STUDY, TWO, histories


def test_again_runs_nothing(tmp_path):
    def again() -> Comparison:
        return compare(toys.joint(), TWO, seeds=2, budget=12, directory=tmp_path / "c", jobs=1)

    first, before = again(), histories(tmp_path / "c")
    assert again() == first
    assert histories(tmp_path / "c") == before


@pytest.mark.parametrize("jobs", [1, 2])
def test_left_half_way_and_gone_on_with(tmp_path, jobs):
    arguments = {"seeds": 2, "budget": 16, "jobs": jobs}
    whole = compare(toys.joint(), TWO, directory=tmp_path / "whole", **arguments)
    runs = prepare(toys.joint(), TWO, directory=tmp_path / "cut", **arguments).run()
    next(runs)
    runs.close()
    assert json.loads((tmp_path / "cut" / "setting.json").read_text())["box"] is None
    assert without_times(
        compare(toys.joint(), TWO, directory=tmp_path / "cut", **arguments)
    ) == without_times(whole)


def test_killed_half_way_and_gone_on_with(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(STUDY)
    arguments = {"seeds": 2, "jobs": 2, "exact": False}
    whole = compare(file, ["nsga2", "random"], directory=tmp_path / "whole", **arguments)
    code = (
        "from hwnas.comparison import compare\n"
        f"compare({str(file)!r}, ['nsga2', 'random'], directory={str(tmp_path / 'cut')!r}, "
        "seeds=2, jobs=2, exact=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    cut = tmp_path / "cut"
    deadline = time.monotonic() + 120
    while sum(map(len, histories(cut).values())) < 150_000:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    standings = [json.loads(p.read_text()) for p in cut.rglob("standing.json")]
    assert not all(s["status"] == "complete" for s in standings)
    again = compare(file, ["nsga2", "random"], directory=cut, **arguments)
    assert without_times(again) == without_times(whole)
    assert any("3600 s does not apply" in note for note in again.notes)
    assert dict(again["nsga2"].options)["population"] == "16"
    for run in again["nsga2"].runs:
        assert run.overhead == pytest.approx(whole["nsga2"].runs[run.seed].overhead, rel=20)


def test_a_larger_budget_goes_on_and_more_seeds_are_added(tmp_path):
    directory = tmp_path / "c"
    short = compare(toys.conditional(), TWO, seeds=2, budget=20, directory=directory, jobs=1)
    before = histories(directory)
    longer = compare(toys.conditional(), TWO, seeds=3, budget=40, directory=directory, jobs=1)
    assert longer.box == short.box
    assert longer.budget == 40
    assert [run.evaluations for run in longer["random"].runs] == [40, 40, 40]
    after = histories(directory)
    assert all(after[name].startswith(text) for name, text in before.items())
    assert len(after) == 6
    # The shorter comparison is still in there, but for what is best known by now.
    shorter = compare(toys.conditional(), TWO, seeds=2, budget=20, directory=directory, jobs=1)
    assert without_times(shorter) == without_times(short)


def test_one_who_comes_later_does_not_move_the_box(tmp_path):
    def added(searchers: list[str]) -> Comparison:
        return compare(
            toys.conditional(), searchers, seeds=2, budget=60, directory=tmp_path / "c", jobs=1
        )

    alone = added(["random"])
    joined = added(["random", "nsga2:population=10"])
    assert joined.box == alone.box
    assert joined.box_from == alone.box_from
    assert joined.target.volume >= alone.target.volume
    for before, now in zip(alone["random"].runs, joined["random"].runs, strict=True):
        assert now.hypervolume == pytest.approx(before.hypervolume)
        assert now.final <= before.final + 1e-12
    assert added(["random"])["random"].runs == alone["random"].runs


@measures("x", reads=("net",))
def broken(design):
    raise RuntimeError("no card")


def test_failing_evaluators_are_reported_and_tried_again(tmp_path):
    problem = Problem(Space((Gene("net.a", tuple(range(50))),)), [broken], ["x"])
    found = compare(problem, ["random"], seeds=2, budget=40, directory=tmp_path / "c", jobs=1)
    assert not found.ran
    for run in found["random"].runs:
        assert run.status == "failed"
        assert "evaluations in a row failed" in run.error
        assert run.failures == 10
    assert any("2 of 2 runs failed" in note for note in found.notes)


class Clumsy(RandomSearch):
    """Random search with a fault."""

    name = "clumsy"

    def tell(self, genomes, measurements):
        super().tell(genomes, measurements)
        if len(self.told) > 5 and self.seed == 1:
            raise ZeroDivisionError("one division too many")


def test_a_fault_of_one_searcher_does_not_end_the_others(tmp_path):
    searchers = [Entrant(Clumsy, {}, "clumsy"), "random"]
    for _ in range(2):  # when it goes on, the fault comes while the history is told again
        found = compare(
            toys.zdt1(), searchers, seeds=2, budget=20, directory=tmp_path / "c", exact=False
        )
        statuses = [run.status for run in found["clumsy"].runs]
        assert statuses == ["complete", "failed"]
        assert "ZeroDivisionError: one division too many" in found["clumsy"].runs[1].error
        assert [run.status for run in found["random"].runs] == ["complete"] * 2
        assert found.ran


def test_another_comparison_is_refused_with_the_difference(tmp_path):
    directory = tmp_path / "c"
    compare(toys.tiny(), ["random"], seeds=1, budget=3, directory=directory, exact=False)
    with pytest.raises(RunDirectoryError, match="error"):
        compare(
            Problem(toys.tiny().space, [toys.tiny_values], ["gain"]),
            ["random"],
            seeds=1,
            budget=3,
            directory=directory,
            exact=False,
        )
    four, six = (Entrant("nsga2", {"population": n}, "mine") for n in (4, 6))
    compare(toys.tiny(), [four], seeds=1, budget=3, directory=directory, exact=False)
    with pytest.raises(RunDirectoryError, match="population"):
        compare(toys.tiny(), [six], seeds=1, budget=3, directory=directory, exact=False)
    compare(toys.joint(), ["random"], seeds=1, budget=3, directory=directory, fresh=True)


@pytest.mark.parametrize("fresh", [False, True])
def test_something_else_is_left_alone(tmp_path, fresh):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunDirectoryError, match="something else"):
        compare(toys.tiny(), ["random"], seeds=1, budget=3, directory=tmp_path, fresh=fresh)
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_one_process_at_a_time(tmp_path):
    contest = prepare(toys.tiny(), ["random"], seeds=2, budget=3, directory=tmp_path / "c", jobs=1)
    first = contest.run()
    next(first)
    with pytest.raises(RunDirectoryError, match="another process runs the comparison"):
        next(contest.run())
    assert len(list(first)) == 1
    assert len(list(contest.run())) == 2


def test_a_run_that_was_being_laid_out_when_it_was_killed(tmp_path):
    half = tmp_path / "c" / "random" / "seed-0"
    contest = prepare(toys.tiny(), ["random"], seeds=1, budget=3, directory=tmp_path / "c", jobs=1)
    half.mkdir(parents=True)
    (half / "study.yaml").write_text("name: half\n")
    assert [outcome.standing.status for outcome in contest.run()] == ["complete"]
