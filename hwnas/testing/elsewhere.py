"""What must not matter: the process that computes, its hash seed, its global random state."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
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


def random_state() -> tuple[bytes, ...]:
    """The global random states of Python, numpy and (where it is loaded) torch, to compare."""
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - the state nobody may touch
    states = [repr(random.getstate()).encode(), repr(_plain(numpy_state)).encode()]
    torch = sys.modules.get("torch")
    if torch is not None:
        states.append(torch.random.get_rng_state().numpy().tobytes())
    return tuple(states)


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _plain(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state
