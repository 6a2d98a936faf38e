"""The dashboard: what it calls best."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hwnas import dashboard
from hwnas.storage.journal import DurableJournal
from tests.dashboard.studies import MAX, MIN, WIDTH, ask, best, finished, journal_with

pytest.importorskip("optuna_dashboard")


def brute_force(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[int]:
    """Numbers of the feasible, complete, non-dominated trials, by definition."""
    sign = [1 if d == MIN else -1 for d in directions]
    points = {
        i: [s * v for s, v in zip(sign, t.values, strict=True)]
        for i, t in enumerate(trials)
        if t.state == TrialState.COMPLETE
        and not any(v > 0 for k, v in t.system_attrs.items() if k.startswith("constraints:"))
    }
    return [
        i
        for i, p in points.items()
        if not any(
            q != p and all(a <= b for a, b in zip(q, p, strict=True)) for q in points.values()
        )
    ]


def test_every_mend_fits_the_installed_dashboard() -> None:
    """If this fails, optuna-dashboard changed: check whether its defects are gone, then adapt."""
    assert dashboard.mend() == []


few = st.sampled_from([0.0, 1.0, 2.0, 3.0, float("inf"), float("-inf")])


@st.composite
def histories(draw: Any) -> tuple[list[StudyDirection], list[FrozenTrial]]:
    m = draw(st.integers(2, 3))
    directions = draw(st.lists(st.sampled_from([MIN, MAX]), min_size=m, max_size=m))
    trials = []
    for values in draw(st.lists(st.none() | st.lists(few, min_size=m, max_size=m), max_size=30)):
        broken = draw(st.dictionaries(st.sampled_from("ab"), st.sampled_from([-1.0, 0.0, 1e-9])))
        trials.append(finished(values, broken))
    return directions, trials


@given(history=histories())
def test_the_front_is_the_one_by_definition(
    history: tuple[list[StudyDirection], list[FrozenTrial]],
) -> None:
    directions, trials = history
    storage = InMemoryStorage()
    study = storage.create_new_study(directions, "s")
    for trial in trials:
        storage.create_new_trial(study, trial)
    storage.create_new_trial(study)  # one that still runs
    code, answer = ask(dashboard.make_app(storage), f"/api/studies/{study}")
    assert code == 200
    assert best(answer) == brute_force(trials, directions)
    assert len(answer["trials"]) == len(trials) + 1


@pytest.mark.parametrize(
    ("directions", "expected"),
    [([MIN, MIN], [0, 1, 4]), ([MAX, MIN], [1, 4, 6]), ([MAX, MAX], [6])],
)
def test_ties_infeasible_and_failed_trials_in_a_journal(
    tmp_path: Path, directions: list[StudyDirection], expected: list[int]
) -> None:
    trials = [
        finished([0.0, 2.0]),
        finished([1.0, 1.0], {"area": 0.0}),
        finished([-5.0, -5.0], {"area": 1e-9}),  # best of all, but forbidden
        finished(None, {"area": -1.0}),
        finished([1.0, 1.0], {"area": -1.0, "power": -1.0}),  # ties with 1
        finished([9.0, -9.0], {"area": -1.0, "power": 1.0}),
        finished([2.0, 2.0]),
    ]
    path = journal_with(tmp_path / "study.journal", directions, trials)
    app = dashboard.make_app(path)
    code, listed = ask(app, "/api/studies")
    assert code == 200
    assert [s["study_name"] for s in listed["study_summaries"]] == ["s"]
    code, answer = ask(app, "/api/studies/0")
    assert code == 200
    assert best(answer) == expected
    shown = [t["constraints"] for t in answer["trials"]]
    assert shown == [[], [0.0], [1e-9], [-1.0], [-1.0, -1.0], [-1.0, 1.0], []]
    assert ask(app, "/api/studies/0", "after=6")[1]["trials"][0]["number"] == 6


def test_an_infinite_constraint_is_shown_as_a_number_that_json_has(tmp_path: Path) -> None:
    trials = [finished([1.0, 1.0], {"area": float("inf")}), finished([2.0, 2.0])]
    path = journal_with(tmp_path / "study.journal", [MIN, MIN], trials)
    code, answer = ask(dashboard.make_app(path), "/api/studies/0")
    assert code == 200
    assert best(answer) == [1]
    assert answer["trials"][0]["constraints"] == [sys.float_info.max]


def test_constraints_as_optuna_4_stores_them_count_too() -> None:
    storage = InMemoryStorage()
    study = optuna.create_study(storage=storage, directions=["minimize"] * 2)
    for value, excess in ((1.0, 1.0), (2.0, -1.0)):
        old = {"constraints": [-1.0, excess]}
        study.add_trial(create_trial(values=[value, value], system_attrs=old))
    code, answer = ask(dashboard.make_app(storage), "/api/studies/0")
    assert code == 200
    assert best(answer) == [1]
    assert [t["constraints"] for t in answer["trials"]] == [[-1.0, 1.0], [-1.0, -1.0]]


@pytest.mark.parametrize(
    ("direction", "values", "broken", "expected"),
    [
        (MIN, [3.0, 1.0, 2.0], [1], [2]),
        (MAX, [3.0, 1.0, 2.0], [0], [2]),
        (MIN, [3.0, 1.0, 2.0], [], [1]),
        (MIN, [3.0, 1.0], [0, 1], []),
    ],
)
def test_the_best_trial_of_one_objective_is_feasible(
    tmp_path: Path,
    direction: StudyDirection,
    values: list[float],
    broken: list[int],
    expected: list[int],
) -> None:
    trials = [finished([v], {"area": float(i in broken)}) for i, v in enumerate(values)]
    path = journal_with(tmp_path / "study.journal", [direction], trials)
    code, answer = ask(dashboard.make_app(path), "/api/studies/0")
    assert code == 200
    assert best(answer) == expected


def test_the_front_follows_a_study_that_runs(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "study.journal", [MIN, MIN], [finished([2.0, 2.0])])
    cached = dashboard._CachedFront()
    writer = JournalStorage(DurableJournal(path))
    reader = JournalStorage(DurableJournal(path))

    def numbers() -> list[int]:
        return [t.number for t in cached(reader.get_all_trials(0, deepcopy=False), [MIN, MIN])]

    running = writer.create_new_trial(0)
    assert numbers() == numbers() == [0]
    writer.set_trial_state_values(running, TrialState.COMPLETE, [1.0, 3.0])
    assert numbers() == [0, 1]
    writer.create_new_trial(0, finished([1.0, 1.0]))
    assert numbers() == [2]
    trials = reader.get_all_trials(0, deepcopy=False)
    assert [t.number for t in cached(trials, [MAX, MAX])] == [0, 1]


def test_a_refresh_without_news_computes_no_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [finished([1.0, 2.0]), finished([2.0, 1.0])]
    cached = dashboard._CachedFront()
    assert cached(trials, [MIN, MIN]) == trials
    monkeypatch.setattr(dashboard, "front", None)
    assert cached(list(trials), [MIN, MIN]) == trials


def test_a_refresh_reads_only_trials_that_may_have_changed() -> None:
    """The search space and the attributes agree with a full reading, at every step."""
    from optuna_dashboard._inmemory_cache import _CachedExtraStudyProperty

    assert dashboard.mend() == []
    touched: list[int] = []

    class Watched(_CachedExtraStudyProperty):
        def _update_user_attrs(self, trial: FrozenTrial) -> None:
            touched.append(trial.number)
            super()._update_user_attrs(trial)

    storage = InMemoryStorage()
    study = storage.create_new_study([MIN, MIN], "s")
    running = [-1]

    def start() -> None:
        running[0] = storage.create_new_trial(study)

    def stop() -> None:
        storage.set_trial_param(running[0], "depth", 3, WIDTH)
        storage.set_trial_user_attr(running[0], "late", "text")
        storage.set_trial_state_values(running[0], TrialState.COMPLETE, [1.0, 1.0])

    def add(name: str, value: Any) -> Callable[[], Any]:
        new = finished([1.0, 1.0], user_attrs={name: value})
        return lambda: storage.create_new_trial(study, new)

    steps = [add("a", 1), add("a", 2), start, add("b", 1), add("b", "x"), stop, add("c", 3), start]
    expected = [[0], [1], [2], [3, 2], [4, 3, 2], [4, 3, 2], [5], [6]]
    followed = Watched()
    for step, numbers in zip(steps, expected, strict=True):
        step()
        trials = storage.get_all_trials(study, deepcopy=False)
        touched.clear()
        followed.update(trials)
        assert touched == numbers
        full = _CachedExtraStudyProperty()
        full.update(trials)
        assert followed.intersection_search_space == full.intersection_search_space
        assert followed.union_search_space == full.union_search_space
        assert sorted(followed.union_user_attrs) == sorted(full.union_user_attrs)
    followed.update(trials)
    touched.clear()
    followed.update(trials)
    assert touched == [6]


def test_a_dashboard_that_changed_runs_unmended_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from optuna_dashboard import _app, _serializer

    monkeypatch.setattr(_app, "get_pareto_front_trials", lambda study: [])
    monkeypatch.delattr(_serializer, "serialize_frozen_trial")
    assert dashboard.mend() == [
        "_app.get_pareto_front_trials",
        "_serializer.serialize_frozen_trial",
    ]
    code, _ = ask(dashboard.make_app(InMemoryStorage()), "/api/studies")
    assert code == 200
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "unmended" in lines[0]
    assert "_app.get_pareto_front_trials" in lines[0]
