"""The dashboard: whom it answers, and how it starts and ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage

from hwnas import dashboard
from hwnas.errors import HwnasError, MissingExtraError, StorageError
from tests.dashboard.studies import MIN, ask, best, finished, journal_with

pytest.importorskip("optuna_dashboard")


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
