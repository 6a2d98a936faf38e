"""Evaluations in other processes: side by side, and on a leash. Real processes, so few tests."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from hwnas import Designs, Gene, Metric, PerDesign, Problem, Reason, Space, Study
from hwnas.errors import TooManyFailuresError
from hwnas.evaluation import Joined, Parallel, Timeout

SPACE = Space((Gene("net.x", tuple(range(8))),))
ALL = Designs(SPACE, SPACE.rows(), seed=3)
HANGS, DIES, RAISES = 2, 4, 5


class Unreliable(PerDesign):
    """Answers, hangs, dies or raises; also says which process and how many threads it has."""

    metrics = (Metric("x"), Metric("process"), Metric("threads"))

    def measure(self, design, fidelity=1.0):
        x = design["net.x"]
        if x == HANGS:
            time.sleep(600)
        if x == DIES:
            os._exit(13)
        if x == RAISES:
            raise ValueError("no value")
        threads = float(os.environ.get("OMP_NUM_THREADS", "0"))
        return {"x": x * fidelity, "process": os.getpid(), "threads": threads}


class Lingering(PerDesign):
    """Hangs, but in the first design, which waits until another one hangs."""

    metrics = (Metric("x"),)

    def __init__(self, file):
        self.file = file

    def measure(self, design, fidelity=1.0):
        if design["net.x"]:
            self.file.write_text(str(os.getpid()))
            time.sleep(600)
        while not (self.file.exists() and self.file.read_text()):
            time.sleep(0.05)
        return {"x": 0.0}


class Preparing(PerDesign):
    """Takes long to get ready, which it is in every process as soon as it was in one."""

    metrics = (Metric("x"), Metric("prepared_in"))

    def __init__(self, file):
        self.file = file

    def get_ready(self, space, fidelity=1.0):
        assert (space, fidelity) == (SPACE, 1.0)
        if not self.file.exists():
            time.sleep(2.5)
            self.file.write_text(str(os.getpid()))

    def measure(self, design, fidelity=1.0):
        self.get_ready(design.space)
        return {"x": design["net.x"], "prepared_in": int(self.file.read_text())}


class Meeting(PerDesign):
    """Answers designs 0 and 1 only while both are measured at once."""

    metrics = (Metric("x"),)

    def __init__(self, folder):
        self.folder = folder

    def measure(self, design, fidelity=1.0):
        (self.folder / str(design["net.x"])).touch()
        while not all((self.folder / name).exists() for name in "01"):
            time.sleep(0.02)
        return {"x": float(design["net.x"])}


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def ends(process):
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + 20
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(process)


@pytest.fixture(scope="module")
def leash():
    wrapped = Timeout(Unreliable(), seconds=5.0)
    yield wrapped
    wrapped.close()


class TestTimeout:
    def test_what_goes_wrong_costs_its_row_only(self, leash):
        started = time.monotonic()
        measured = leash.evaluate(ALL, 0.5)
        assert time.monotonic() - started < 60  # one hang of 5 s, and three processes to start
        expected = [Reason.NONE] * 8
        expected[HANGS], expected[DIES] = Reason.TIMED_OUT, Reason.CRASHED
        expected[RAISES] = Reason.RAISED
        assert measured.reason.tolist() == expected
        assert measured["x"][measured.feasible].tolist() == [0, 0.5, 1.5, 3, 3.5]
        assert "5 s" in measured.notes[HANGS]
        assert "13" in measured.notes[DIES]
        assert measured.notes[RAISES] == "ValueError: no value"

    def test_it_is_another_process_with_one_thread_that_is_kept(self, leash):
        measured = leash.evaluate(ALL[:2])
        assert set(measured["threads"]) == {1.0}
        assert len(set(measured["process"])) == 1
        assert os.getpid() not in measured["process"]

    def test_closing_ends_the_process_and_the_next_batch_starts_one(self):
        wrapped = Timeout(Unreliable(), seconds=30)
        process = int(wrapped.evaluate(ALL[:1])["process"][0])
        assert is_alive(process)
        wrapped.close()
        assert ends(process)
        another = int(wrapped.evaluate(ALL[:1])["process"][0])
        assert another != process
        wrapped.close()

    def test_leaving_the_stream_kills_what_is_still_running(self, tmp_path):
        wrapped = Timeout(Lingering(tmp_path / "process"), seconds=600, workers=2)
        stream = wrapped.stream(ALL[:2])
        rows, measured = next(stream)
        assert (rows.tolist(), measured["x"].tolist()) == ([0], [0.0])
        stream.close()
        assert ends(int((tmp_path / "process").read_text()))

    def test_several_at_once(self, tmp_path):
        wrapped = Timeout(Meeting(tmp_path), seconds=60.0, workers=2)
        measured = wrapped.evaluate(ALL[:2])
        assert measured.reason.tolist() == [0, 0]
        assert measured["x"].tolist() == [0, 1]
        wrapped.close()


@pytest.mark.parametrize("wrap", [lambda e: Timeout(e, seconds=2.0, workers=2),
                                  lambda e: Parallel(e, workers=2)])  # fmt: skip
def test_what_is_done_once_is_done_here_and_no_time_limit_counts_for_it(wrap, tmp_path):
    wrapped = wrap(Joined([Preparing(tmp_path / "ready")]))
    assert len(wrapped.evaluate(ALL[:0])) == 0
    assert not (tmp_path / "ready").exists()
    measured = wrapped.evaluate(ALL[:3])
    assert measured.reason.tolist() == [0, 0, 0]
    assert measured["prepared_in"].tolist() == [os.getpid()] * 3
    wrapped.close()


class Unprepared(Preparing):
    """Cannot get ready."""

    def get_ready(self, space, fidelity=1.0):
        raise RuntimeError("no compiler")


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"timeout": 60.0}])
def test_who_cannot_get_ready_fails_its_rows_and_not_the_study(options, tmp_path):
    problem = Problem(SPACE, [Unprepared(tmp_path / "ready")], ["x"])
    study = Study(problem, "random", budget=2, batch=2, **options)
    with pytest.raises(TooManyFailuresError, match="RuntimeError: no compiler"):
        for _ in study.run():
            pass


class TestParallel:
    def test_answers_in_the_order_of_the_batch(self):
        designs = ALL[np.array([7, 6, 3, 1, 0, 1])]
        measured = Parallel(Unreliable(), workers=2).evaluate(designs)
        assert measured.reason.tolist() == [0] * 6
        assert measured["x"].tolist() == [7, 6, 3, 1, 0, 1]
        assert os.getpid() not in measured["process"]
        assert set(measured["threads"]) == {1.0}

    def test_streams_each_row_once(self):
        rows = [int(i) for chunk, _ in Parallel(Unreliable(), 2).stream(ALL[:2]) for i in chunk]
        assert sorted(rows) == [0, 1]

    def test_no_designs(self):
        assert len(Parallel(Unreliable(), 2).evaluate(ALL[:0])) == 0
