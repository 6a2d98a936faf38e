"""What must not matter: the process that computes, its hash seed, its global random state."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import cloudpickle
import numpy as np

_PROGRAM: Final = """
import os, sys
out = os.dup(1)
os.dup2(2, 1)  # what plug-ins print must not end up in the answer
import cloudpickle
function, arguments = cloudpickle.loads(sys.stdin.buffer.read())
with os.fdopen(out, "wb") as pipe:
    pipe.write(cloudpickle.dumps(function(*arguments)))
"""


def elsewhere(function: Callable[..., Any], *arguments: Any, hash_seed: int = 20250) -> Any:
    """Calls a function in a fresh interpreter under another hash seed.

    Args:
        function: What cloudpickle can carry.
        *arguments: What cloudpickle can carry.
        hash_seed: ``PYTHONHASHSEED`` over there.

    Returns:
        What the function returned.

    Raises:
        AssertionError: It raised, or the process died; the message ends with its last lines.
    """
    environment = {
        **os.environ,
        "PYTHONHASHSEED": str(hash_seed),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
    }
    finished = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=cloudpickle.dumps((function, arguments)),
        capture_output=True,
        env=environment,
        check=False,
    )
    if finished.returncode:
        last = "\n".join(finished.stderr.decode(errors="replace").splitlines()[-5:])
        raise AssertionError(f"another process ended with code {finished.returncode}:\n{last}")
    # The bytes come through a pipe from a process that was started here, never from a disk.
    return cloudpickle.loads(finished.stdout)


@contextmanager
def global_random_state_untouched() -> Iterator[None]:
    """Watches the global random states of Python, numpy and (where it is loaded) torch.

    They are moved on first, so that seeding them with what they had before is noticed too, and
    are afterwards as they were.

    Raises:
        AssertionError: One of them changed within the block.
    """
    torch: Any = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - this one is watched
    other = torch.random.get_rng_state() if torch is not None else None
    try:
        random.random()
        np.random.random()  # noqa: NPY002
        if torch is not None:
            torch.rand(1)
        before = _fingerprint(torch)
        yield
        if _fingerprint(torch) != before:
            raise AssertionError("a global random state (random, numpy, torch) changed")
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch is not None:
            torch.random.set_rng_state(other)


def _fingerprint(torch: Any) -> tuple[bytes, ...]:
    state: Any = np.random.get_state()  # noqa: NPY002
    _, keys, *rest = state
    states = [repr(random.getstate()).encode(), keys.tobytes(), repr(rest).encode()]
    if torch is not None:
        states.append(torch.random.get_rng_state().numpy().tobytes())
    return tuple(states)
