"""Where a training computes: on the processor, or on a graphics processor of NVIDIA's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from evaluators.torch_threads import one_thread
from hwnas.errors import ProblemError

Device = Literal["auto", "cpu", "cuda"]


def chosen(device: Device) -> str:
    """``cpu`` or ``cuda``; ``auto`` is ``cuda`` where there is one.

    Raises:
        ProblemError: There is none.
    """
    has_cuda = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ProblemError(
            "training cannot compute with cuda here",
            where="option device",
            rule="a graphics processor of NVIDIA's that the installed torch can use",
            given=f"torch {torch.__version__}, which finds none",
            cure="device: auto or cpu; or install a build of torch with CUDA",
        )
    return "cuda" if has_cuda else "cpu"


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Computes with one thread, and on a graphics processor with deterministic algorithms only."""
    if device == "cpu":
        with one_thread():
            yield
        return
    # CUDA's matrix products repeat themselves only with workspaces of a fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        with one_thread():
            yield
    finally:
        torch.use_deterministic_algorithms(before)
