"""The dashboard: optuna-dashboard, mended where it misleads and closed to other machines.

optuna-dashboard 0.21 does not know the constraints that Optuna 5 stores by name: it calls
infeasible trials the best, and computes the front of three objectives in a quadratic loop at
every refresh. The mends replace private functions of it, so each is applied only where the
function it replaces is as we know it; otherwise the dashboard runs unmended and says so.

It has no password, and its users may delete studies. So it listens on loopback addresses only, and
answers only browsers that were pointed at this machine: a page elsewhere whose name resolves to
127.0.0.1 (DNS rebinding) is refused.
"""

from __future__ import annotations

import importlib.util
import inspect
import ipaddress
import operator
import re
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import moocore
import numpy as np
import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hwnas import plugins
from hwnas.errors import HwnasError, StorageError
from hwnas.storage import without_password
from hwnas.storage.journal import DurableJournal

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_LARGEST: Final = float(np.finfo(np.float64).max)
_THIS_MACHINE: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.I)
_STUDIES_KEPT: Final = 4
_SHOWN: ContextVar[BaseStorage | None] = ContextVar("_SHOWN", default=None)
"""The storage that the request in this thread is about."""


def serve(
    storage: str | Path | BaseStorage,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    artifact_dir: Path | None = None,
) -> None:
    """Shows a storage in the browser until Ctrl-C.

    Args:
        storage: A journal file, a storage URL of Optuna's, or a storage.
        host: A loopback address.
        port: 0 takes any free one.
        artifact_dir: Where the studies keep their artifacts.

    Raises:
        HwnasError: The host is not a loopback address, or the port is taken.
        StorageError: The storage cannot be opened.
        MissingExtraError: optuna-dashboard is not installed.
    """
    address = loopback(host)
    server = bind(make_app(storage, artifact_dir), address, port)
    with server:
        sys.stdout.write(f"The dashboard is at {url(server)}. Ctrl-C ends it.\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.stdout.write("\n")


def make_app(
    storage: str | Path | BaseStorage, artifact_dir: Path | None = None
) -> WSGIApplication:
    """Makes the WSGI application that `serve` serves.

    Args:
        storage: A journal file, a storage URL of Optuna's, or a storage.
        artifact_dir: Where the studies keep their artifacts.

    Raises:
        StorageError: The storage cannot be opened.
        MissingExtraError: optuna-dashboard is not installed.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise plugins.missing_extra("hwnas dashboard", "optuna_dashboard")
    import optuna_dashboard

    missing = mend()
    if missing:
        sys.stderr.write(
            f"warning: optuna-dashboard {optuna_dashboard.__version__} is not as hwnas knows it "
            f"and runs unmended; infeasible trials may look best. Changed: {', '.join(missing)}\n"
        )
    opened = _open(storage)
    artifacts = None
    if artifact_dir is not None:
        artifacts = optuna.artifacts.FileSystemArtifactStore(artifact_dir)
    return _this_machine_only(optuna_dashboard.wsgi(opened, artifact_store=artifacts), opened)


def _open(storage: str | Path | BaseStorage) -> BaseStorage:
    if isinstance(storage, BaseStorage):
        return storage
    if "://" not in str(storage):
        _refuse_missing(Path(storage))
        return JournalStorage(DurableJournal(storage))
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        address = make_url(str(storage))
        if address.drivername.startswith("sqlite") and address.database:
            _refuse_missing(Path(address.database))
        return optuna.storages.get_storage(str(storage))
    except (OSError, ValueError, ImportError, RuntimeError, SQLAlchemyError) as error:
        raise StorageError(
            "the storage cannot be opened",
            where=without_password(str(storage)),
            given=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            cure="check the URL, and that the database's driver is installed",
        ) from error


def _refuse_missing(file: Path) -> None:
    """Opening would create it."""
    if not file.is_file():
        raise StorageError(
            "there is no such study to look at",
            where=str(file),
            rule="the journal file that a study writes, or a storage URL such as sqlite:///FILE",
            cure="name the file of a study that was started",
        )


# ------------------------------------------------------------------ the server


class Server(ThreadingMixIn, WSGIServer):
    """The threaded server of the standard library."""

    daemon_threads = True


class Server6(Server):
    """The same for ``::1``."""

    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has there
        """Says nothing: the dashboard asks every ten seconds."""


def loopback(host: str) -> str:
    """The loopback address of a host.

    Raises:
        HwnasError: It is none.
    """
    name = host.strip("[]")
    try:
        if name == "localhost" or ipaddress.ip_address(name).is_loopback:
            return "127.0.0.1" if name == "localhost" else name
    except ValueError:
        pass
    raise HwnasError(
        "the dashboard listens on this machine only",
        where="host",
        rule="a loopback address: it has no password, and who reaches it may delete studies",
        given=host,
        cure="leave it at 127.0.0.1 and come from the other machine through a tunnel: "
        "ssh -L 8080:127.0.0.1:8080 THIS-MACHINE, then open http://localhost:8080/ there",
    )


def bind(app: WSGIApplication, address: str, port: int) -> Server:
    """Binds a server to a loopback address; ``serve_forever`` runs it.

    Raises:
        HwnasError: The port is taken, forbidden or none.
    """
    kind = Server6 if ":" in address else Server
    try:
        return make_server(address, port, app, kind, _Silent)
    except (OSError, OverflowError) as error:
        raise HwnasError(
            f"the dashboard cannot listen on port {port}",
            where="port",
            rule="0 to 65535, used by nobody else, from 1024 on for ordinary users",
            given=f"{address}:{port}: {getattr(error, 'strerror', None) or error}",
            cure="take another port, or 0 for any free one; perhaps a dashboard runs already",
        ) from error


def url(server: Server) -> str:
    """Where a bound server answers."""
    host, port = server.server_address[:2]
    return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"


def _this_machine_only(app: WSGIApplication, storage: BaseStorage) -> WSGIApplication:
    """Refuses requests to another name, and those that a page of another origin sent."""

    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")
        origin = environ.get("HTTP_ORIGIN", f"http://{host}")
        if _THIS_MACHINE.fullmatch(host) and origin == f"http://{host}":
            _SHOWN.set(storage)
            return app(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"This dashboard answers under the name localhost only.\n"]

    return guarded


# ------------------------------------------------------------------ the mends


def _constraints(trial: FrozenTrial) -> list[float]:
    """By name, as Optuna 5 stores them, after those in a list, as Optuna 4 does."""
    attributes = trial.system_attrs
    named = [v for key, v in attributes.items() if key.startswith("constraints:")]
    return [*(attributes.get("constraints") or ()), *named]


def _is_feasible(trial: FrozenTrial) -> bool:
    return all(c <= 0 for c in _constraints(trial))


def front(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """The complete, feasible trials that no other of them dominates; ties all stay.

    Args:
        trials: ``n`` trials.
        directions: The ``m`` directions.

    Returns:
        The front, in the order of the trials.
    """
    kept = [t for t in trials if t.state == TrialState.COMPLETE and _is_feasible(t)]
    if not kept:
        return []
    values = np.array([t.values for t in kept], dtype=np.float64)
    # Dominance asks for the order only, and moocore 0.3 answers wrongly, or crashes, on infinities.
    ranks = np.column_stack([np.unique(v, return_inverse=True)[1] for v in values.T])
    maximise = [d == StudyDirection.MAXIMIZE for d in directions]
    best = moocore.is_nondominated(ranks.astype(np.float64), maximise=maximise, keep_weakly=True)
    return [kept[i] for i in np.flatnonzero(best)]


class _CachedFront:
    """Remembers the fronts of the studies seen last: most refreshes bring nothing new.

    Trials are compared by identity. Optuna's storages never change one in place.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[list[FrozenTrial], list[StudyDirection], list[FrozenTrial]]]
        self._seen = deque(maxlen=_STUDIES_KEPT)
        self._lock = threading.Lock()

    def __call__(
        self, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        with self._lock:
            for entry in self._seen:
                old, old_directions, answer = entry
                same = len(old) == len(trials) and all(map(operator.is_, old, trials))
                if same and old_directions == list(directions):
                    return list(answer)
            answer = front(trials, directions)
            self._seen.append((list(trials), list(directions), answer))
            return list(answer)


def _mended_front(_: Callable[..., Any]) -> Callable[..., Any]:
    cached = _CachedFront()

    def get_pareto_front_trials(
        trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
    ) -> list[FrozenTrial]:
        return cached(trials, directions)

    return get_pareto_front_trials


def _mended_trial(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def serialize_frozen_trial(study_id: int, trial: FrozenTrial, attrs: Any) -> dict[str, Any]:
        serialized: dict[str, Any] = stock(study_id, trial, attrs)
        # JSON has no infinity.
        serialized["constraints"] = [
            float(np.clip(c, -_LARGEST, _LARGEST)) for c in _constraints(trial)
        ]
        return serialized

    return serialize_frozen_trial


def _mended_detail(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def serialize_study_detail(study: Any, best_trials: list[FrozenTrial], *rest: Any) -> Any:
        if not all(map(_is_feasible, best_trials)):  # one objective, and the best is forbidden
            storage = _SHOWN.get()
            trials = storage.get_all_trials(study._study_id, deepcopy=False) if storage else []
            best_trials = front(trials, study.directions)[:1]
        return stock(study, best_trials, *rest)

    return serialize_study_detail


def _mended_update(stock: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(stock)
    def update(self: Any, trials: Sequence[FrozenTrial]) -> None:
        stock(self, trials)
        # It should go on from the first trial that may still change; it starts over every time.
        running = (t.number for t in trials if not t.state.is_finished())
        self._cursor = next(running, len(trials))

    return update


_MENDS: Final = (
    ("_app", "get_pareto_front_trials", ["trials", "directions"], _mended_front),
    (
        "_serializer",
        "serialize_frozen_trial",
        ["study_id", "trial", "study_system_attrs"],
        _mended_trial,
    ),
    ("_app", "serialize_study_detail", ["study", "best_trials", "trials"], _mended_detail),
    ("_inmemory_cache", "_CachedExtraStudyProperty.update", ["self", "trials"], _mended_update),
)


def mend() -> list[str]:
    """Mends optuna-dashboard in this process, once.

    Returns:
        What could not be mended because it is not as we know it; empty if all is well.
    """
    missing = []
    for module, path, parameters, make in _MENDS:
        *owners, name = path.split(".")
        try:
            owner: Any = import_module(f"optuna_dashboard.{module}")
            for step in owners:
                owner = getattr(owner, step)
            stock = getattr(owner, name)
            if getattr(stock, "_mended_by_hwnas", False):
                continue
            if list(inspect.signature(stock).parameters)[: len(parameters)] != parameters:
                raise AttributeError
        except (ImportError, AttributeError):
            missing.append(f"{module}.{path}")
            continue
        mended: Any = make(stock)
        mended._mended_by_hwnas = True
        setattr(owner, name, mended)
    return missing
