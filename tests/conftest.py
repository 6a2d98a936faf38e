"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Examples are drawn from a fixed seed and without deadlines: machines differ, results must not.
settings.register_profile("hwnas", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("hwnas")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real tables and peers' outputs: `HWNAS_DATA`, or `shared` beside us."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("HWNAS_DATA", default))
    if not (folder / "reference").is_dir():
        pytest.skip("reference data is not here: set HWNAS_DATA to its folder")
    return folder
