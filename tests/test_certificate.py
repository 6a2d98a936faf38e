"""The certificate of a study: asked for after every step, kept, and what it ends."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest

from hwnas import Budget, Gene, Problem, Space, Study, measures
from hwnas.errors import ProblemError, SearcherError
from hwnas.progress import Bound, Status, rounded_up
from hwnas.report import write_report
from hwnas.searchers.choice import certifying, usual
from hwnas.searchers.random import RandomSearch
from hwnas.storage import StudyStore
from hwnas.testing import toys


class Certifying(RandomSearch):
    """Says that one over the number of designs told is left, from the third step on."""

    name = "certifying"
    certifies = True
    confidence = 0.9

    def remaining(self):
        return 1 / len(self.told) if len(self.told) > 10 else None


class Boundless(Certifying):
    """Has gained nothing yet, so that there is no share of it."""

    def remaining(self):
        return math.inf


def finish(study):
    return [progress for progress in study.run() if progress.step_complete]


def certified(budget, storage=None, kind=Certifying):
    return Study(toys.joint(), kind, budget=budget, seed=3, batch=5, storage=storage)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.03151, "3.2 %"), (0.0300001, "3.1 %"), (0.03, "3 %"), (0.29, "29 %"), (2.504, "260 %"),
     (0.00912, "0.92 %"), (0.1, "10 %"), (0.07, "7 %"), (0, "0 %")],
)  # fmt: skip
def test_bounds_are_rounded_up(share, shown):
    assert rounded_up(share) == shown
    assert float(shown.removesuffix(" %")) >= 100 * share * (1 - 1e-9)


def test_every_complete_step_has_its_bound():
    study = certified(20)
    steps = finish(study)
    told = np.cumsum([0] + [(study.history.rows.step == p.step).sum() for p in steps])[1:]
    expected = [1 / n if n > 10 else math.nan for n in told]
    np.testing.assert_array_equal([p.remaining for p in steps], expected)
    assert [b.evaluations for b in study.bounds] == [
        p.evaluations for p in steps if not math.isnan(p.remaining)
    ]
    assert str(study.progress.bound).startswith("at most ")
    assert str(study.progress.bound).endswith("hypervolume left (90 %)")


def test_a_study_ends_when_too_little_is_left():
    study = certified(Budget(30, gain=1 / 17))
    steps = finish(study)
    assert study.status is Status.CONVERGED
    assert steps[-1].remaining < 1 / 17
    assert all(not p.remaining < 1 / 17 for p in steps[:-1])
    assert study.history.evaluations < 30


def test_a_larger_demand_goes_on_and_a_smaller_one_ends_at_once(tmp_path):
    file = tmp_path / "s.journal"
    finish(certified(Budget(30, gain=1 / 12), file))
    again = certified(Budget(30, gain=1 / 22), file)
    assert again.status is Status.READY
    finish(again)
    assert again.status is Status.CONVERGED
    whole = certified(Budget(30, gain=1 / 22))
    finish(whole)
    np.testing.assert_array_equal(again.history.rows.genomes, whole.history.rows.genomes)
    assert again.bounds == whole.bounds
    easier = certified(Budget(30, gain=0.5), file)
    assert easier.status is Status.CONVERGED
    assert list(easier.run()) == []


def test_bounds_survive_and_people_see_them(tmp_path):
    file = tmp_path / "s.journal"
    study = certified(20, file)
    finish(study)
    stored = StudyStore(file, "study")
    assert stored.bounds() == study.bounds
    last = study.bounds[-1]
    assert stored.study.user_attrs["remaining"] == f"{last}, after {last.evaluations} evaluations"
    again = certified(20, file)
    assert again.progress.bound == last
    in_memory = certified(20)
    finish(in_memory)
    assert in_memory.optuna.user_attrs["remaining"] == stored.study.user_attrs["remaining"]


def test_a_bound_that_was_not_stored_any_more_is_asked_for_again(tmp_path, monkeypatch):
    """A kill between the last row of a step and its bound loses nothing."""
    file = tmp_path / "s.journal"
    with monkeypatch.context() as patch:
        patch.setattr(StudyStore, "certify", lambda self, bounds: None)
        study = certified(20, file)
        finish(study)
    again = certified(20, file)
    assert again.bounds == study.bounds[-1:]
    assert StudyStore(file, "study").bounds() == study.bounds[-1:]


def test_what_is_not_finite_is_no_bound():
    study = certified(Budget(20, gain=0.5), kind=Boundless)
    finish(study)
    assert study.bounds == []
    assert math.isnan(study.progress.remaining)
    assert study.status is Status.COMPLETE
    assert str(study.progress.bound) == ""


def test_a_searcher_without_a_bound_is_refused_and_others_are_named():
    with pytest.raises(SearcherError, match="random cannot say") as caught:
        Study(toys.joint(), "random", budget=Budget(10, gain=0.01))
    assert all(name in caught.value.rule for name in certifying())
    study = Study(toys.joint(), "random", budget=10)
    with pytest.raises(SearcherError, match="random cannot say"):
        study.extend(gain=0.01)
    assert study.budget == Budget(10)
    study.extend(20)
    assert study.budget == Budget(20)


@pytest.mark.parametrize("gain", [0, 1, -0.1, 1.5, math.nan])
def test_gains_are_shares(gain):
    with pytest.raises(ProblemError, match="cannot stop"):
        Budget(10, gain=gain)


def test_a_report_says_what_is_certified(tmp_path):
    study = certified(20)
    finish(study)
    written = write_report(study, tmp_path)
    front = json.loads(written.json.read_text())
    assert front["remaining"] == study.progress.remaining
    assert [Bound(**bound) for bound in front["study"]["bounds"]] == study.bounds
    page = written.report.read_text()
    assert str(study.progress.bound) in page
    assert 'data-plot="remaining"' in page
    plain = Study(toys.joint(), "random", budget=10)
    finish(plain)
    written = write_report(plain, tmp_path / "plain")
    assert json.loads(written.json.read_text())["remaining"] is None
    assert 'data-plot="remaining"' not in written.report.read_text()


@measures("all", expense="costly", batch=True)
def reads_all(designs):
    return np.zeros(len(designs))


@measures("some", expense="costly", batch=True, reads=("net",))
def reads_some(designs):
    return np.zeros(len(designs))


@measures("free", expense="free", batch=True, reads=("net",))
def free(designs):
    return np.zeros(len(designs))


BOTH = Space((Gene("net.x", (1, 2)), Gene("hw.y", (1, 2))))
NET = Space((Gene("net.x", (1, 2)),))


@pytest.mark.parametrize(
    ("space", "evaluators", "name"),
    [
        (BOTH, [reads_some], "greybox"),
        (BOTH, [reads_all, reads_some], "greybox"),
        (BOTH, [reads_all], "nsga2"),
        (BOTH, [free], "nsga2"),
        (NET, [reads_some], "nsga2"),
    ],
)
def test_the_usual_searcher_is_grey_where_something_costly_leaves_parts_unread(
    space, evaluators, name
):
    assert usual(space, evaluators) == name
    problem = Problem(space, evaluators, [evaluators[0].metrics[0].name])
    assert Study(problem, budget=4).searcher.name == name


def test_a_function_may_build_the_searcher():
    study = Study(toys.joint(), partial(RandomSearch, batch=4), budget=8)
    assert study.batch == 4
    finish(study)
    assert study.history.evaluations == 8
