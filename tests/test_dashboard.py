"""The dashboard: what it calls best, whom it answers, and how it starts and ends."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hwnas import dashboard
from hwnas.errors import HwnasError, MissingExtraError, StorageError
from hwnas.storage.journal import DurableJournal

pytest.importorskip("optuna_dashboard")

MIN, MAX = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
WIDTH = optuna.distributions.IntDistribution(1, 64)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def finished(
    values: Sequence[float] | None, constraints: dict[str, float] | None = None, **options: Any
) -> FrozenTrial:
    """A complete trial, or a failed one where there are no values."""
    return create_trial(
        values=values,
        state=TrialState.COMPLETE if values is not None else TrialState.FAIL,
        params={"width": 8},
        distributions={"width": WIDTH},
        system_attrs={f"constraints:{k}": c for k, c in (constraints or {}).items()},
        **options,
    )


def journal_with(
    path: Path, directions: list[StudyDirection], trials: Sequence[FrozenTrial]
) -> Path:
    backend = DurableJournal(path)
    storage = JournalStorage(backend)
    with backend.batch():
        study = storage.create_new_study(directions, "s")
        for trial in trials:
            storage.create_new_trial(study, trial)
    return path


def ask(
    app: Any, path: str, query: str = "", method: str = "GET", **headers: str
) -> tuple[int, Any]:
    """Calls a WSGI application as a browser on this machine would."""
    environ: dict[str, Any] = {
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "HTTP_HOST": "localhost:8080",
        "wsgi.input": io.BytesIO(),
    }
    environ.update({f"HTTP_{name}": value for name, value in headers.items() if value is not None})
    setup_testing_defaults(environ)
    status: list[str] = []
    body = b"".join(app(environ, lambda line, headers, error=None: status.append(line)))
    code = int(status[0].split()[0])
    return code, json.loads(body, parse_constant=pytest.fail) if body[:1] in (b"{", b"[") else body


def best(answer: dict[str, Any]) -> list[int]:
    return [trial["number"] for trial in answer["best_trials"]]


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


# ---------------------------------------------------------------- what is best


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


# ---------------------------------------------------------------- whom it answers


@pytest.fixture(scope="module")
def app() -> Any:
    return dashboard.make_app(InMemoryStorage())


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:8080", "127.0.0.1", "127.0.0.1:1", "127.8.9.10:80", "[::1]:80"]
)
def test_browsers_of_this_machine_are_answered(app: Any, host: str) -> None:
    assert ask(app, "/api/studies", HOST=host)[0] == 200
    assert ask(app, "/api/studies", HOST=host, ORIGIN=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example",
        "localhost:8080@evil.example", "localhost:8080\n", "localhost:", "[::1", "0.0.0.0",
        "192.168.1.2", "",
    ],
)  # fmt: skip
def test_other_names_are_refused(app: Any, host: str) -> None:
    for method in ("GET", "DELETE"):
        code, body = ask(app, "/api/studies", method=method, HOST=host)
        assert code == 403
        assert b"localhost" in body


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:3000", "https://localhost:8080"]
)
def test_pages_of_other_origins_may_not_ask(origin: str) -> None:
    storage = InMemoryStorage()
    study = storage.create_new_study([MIN], "s")
    app = dashboard.make_app(storage)
    assert ask(app, f"/api/studies/{study}", method="DELETE", ORIGIN=origin)[0] == 403
    assert len(storage.get_all_studies()) == 1
    own = "http://localhost:8080"
    assert ask(app, f"/api/studies/{study}", method="DELETE", ORIGIN=own)[0] == 204
    assert storage.get_all_studies() == []


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "", "::", "192.168.1.2", "example.org", "localhost.evil.example"]
)
def test_only_loopback_addresses_are_bound(host: str, tmp_path: Path) -> None:
    with pytest.raises(HwnasError, match="this machine only") as caught:
        dashboard.serve(tmp_path / "never opened", host=host)
    assert "ssh -L" in caught.value.cure


def test_loopback_addresses() -> None:
    assert dashboard.loopback("localhost") == dashboard.loopback("127.0.0.1") == "127.0.0.1"
    assert dashboard.loopback("127.1.2.3") == "127.1.2.3"
    assert dashboard.loopback("::1") == dashboard.loopback("[::1]") == "::1"


# ---------------------------------------------------------------- storages


@pytest.mark.parametrize("storage", ["missing.journal", "sqlite:///missing.db"])
def test_a_storage_that_is_not_there_is_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="no such study"):
        dashboard.make_app(storage)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_that_cannot_be_opened_is_named_without_its_password() -> None:
    with pytest.raises(StorageError) as caught:
        dashboard.make_app("nosuchdatabase://me:secret@localhost/db")
    assert "secret" not in str(caught.value)


def test_sqlite_is_shown_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    study = optuna.create_study(storage=url, study_name="s", directions=["minimize"] * 2)
    study.add_trial(finished([1.0, 1.0], {"area": 1.0}))
    study.add_trial(finished([2.0, 2.0]))
    code, answer = ask(dashboard.make_app(url), "/api/studies/1")
    assert code == 200
    assert best(answer) == [1]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(MissingExtraError, match="hwnas dashboard") as caught:
        dashboard.make_app(InMemoryStorage())
    assert "hwnas[dashboard]" in caught.value.cure


def test_artifacts_are_served_from_their_folder(tmp_path: Path) -> None:
    app = dashboard.make_app(InMemoryStorage(), tmp_path)
    assert ask(app, "/api/meta")[1]["artifact_is_available"] is True
    assert ask(dashboard.make_app(InMemoryStorage()), "/api/meta")[1] != ask(app, "/api/meta")[1]


# ---------------------------------------------------------------- sockets


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_round_trip_over_a_socket(tmp_path: Path, address: str) -> None:
    if address == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    path = journal_with(tmp_path / "study.journal", [MIN, MIN], [finished([1.0, 1.0])])
    server = dashboard.bind(dashboard.make_app(path), address, 0)
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(dashboard.url(server) + "api/studies/0") as reply:
                assert best(json.load(reply)) == [0]
            with urllib.request.urlopen(dashboard.url(server)) as reply:
                assert reply.url.endswith("/dashboard")
                assert b"<html" in reply.read()
            evil = urllib.request.Request(dashboard.url(server), headers={"Host": "evil.example"})
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(evil)
            assert caught.value.code == 403
            caught.value.close()
        finally:
            server.shutdown()
            thread.join()


def test_a_port_that_is_taken_or_none_is_a_friendly_error(app: Any) -> None:
    with dashboard.bind(app, "127.0.0.1", 0) as server:
        taken = server.server_address[1]
        for port in (taken, 70_000):
            with pytest.raises(HwnasError, match=f"port {port}") as caught:
                dashboard.bind(app, "127.0.0.1", port)
            assert "another port" in caught.value.cure


SERVE = "import sys; from hwnas.dashboard import serve; serve(sys.argv[1], port=0)"


def test_serve_prints_its_address_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "study.journal", [MIN, MIN], [finished([1.0, 1.0])])
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(address[0] + "api/studies") as reply:
            assert len(json.load(reply)["study_summaries"]) == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""
