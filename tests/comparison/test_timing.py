"""What a searcher itself costs: every ask and tell once, over all resumed runs."""

from __future__ import annotations

import json

import pytest

from hwnas.comparison import Entrant, prepare
from hwnas.comparison.timing import Timed
from hwnas.searchers.random import RandomSearch
from hwnas.study import Study
from hwnas.testing import toys


class Clock:
    """A clock of CPU time that moves only while the searcher works."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr("hwnas.comparison.timing.time.process_time", found)
    return found


@pytest.fixture
def slow(clock):
    """A searcher whose ask takes 3 s and whose tell takes 0.5 s for each design."""

    class Slow(RandomSearch):
        name = "slow"

        def ask(self, n):
            clock.now += 3.0
            return super().ask(n)

        def tell(self, genomes, measurements):
            clock.now += 0.5 * len(genomes)
            super().tell(genomes, measurements)

    return Slow


def test_it_times_the_searcher_and_stands_in_for_it(slow):
    study = Study(toys.zdt1(), slow, budget=8, batch=4)
    timed = Timed(study.searcher)
    assert (timed.name, timed.seed, timed.batch) == ("slow", 0, study.searcher.batch)
    assert timed.options() == study.searcher.options()
    assert timed.told is study.searcher.told
    study.searcher = timed
    for _ in study.run():
        pass
    assert timed.seconds == pytest.approx(2 * 3.0 + 8 * 0.5)


def test_seconds_add_up_over_resumed_runs_and_tell_nothing_twice(slow, tmp_path):
    def run(budget: int) -> dict:
        study = Study(toys.zdt1(), "random", budget=40, batch=4)
        entrant = Entrant(slow, {}, "slow")
        contest = prepare(
            study, [entrant], seeds=1, budget=budget, directory=tmp_path / "c", jobs=1, exact=False
        )
        for _ in contest.run():
            pass
        (run,) = contest.record()["slow"].runs
        standing = json.loads((tmp_path / "c" / "slow" / "seed-0" / "standing.json").read_text())
        assert run.overhead == pytest.approx(standing["cpu_seconds"] / standing["timed"])
        return standing

    first = run(8)
    assert (first["cpu_seconds"], first["timed"]) == (pytest.approx(2 * 3 + 8 * 0.5), 8)
    assert run(8) == first
    longer = run(20)
    assert (longer["cpu_seconds"], longer["timed"]) == (pytest.approx(5 * 3 + 20 * 0.5), 20)
    assert longer["begun_with"] == 8


def test_a_step_that_was_cut_off_counts_once(slow, tmp_path, monkeypatch):
    class Stop(BaseException):
        pass

    def prepared():
        study = Study(toys.joint(), "random", budget=16, batch=8)
        entrant = Entrant(slow, {}, "slow")
        return prepare(study, [entrant], seeds=1, directory=tmp_path / "c", jobs=1)

    keep = Study._keep

    def cut(self, block):
        keep(self, block)
        if self._steps_told == 1 and self.history.evaluations > 8:
            raise Stop

    monkeypatch.setattr(Study, "_keep", cut)
    with pytest.raises(Stop):
        list(prepared().run())
    before = json.loads((tmp_path / "c" / "slow" / "seed-0" / "standing.json").read_text())
    assert 0 < before["timed"] <= 8
    monkeypatch.setattr(Study, "_keep", keep)
    (outcome,) = prepared().run()
    assert outcome.standing.timed == outcome.standing.evaluations == 16
