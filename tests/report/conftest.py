"""Small studies, run once."""

from __future__ import annotations

import pytest

from hwnas import Study
from tests.report.toy import run


@pytest.fixture(scope="session")
def three() -> Study:
    return run(3)


@pytest.fixture(scope="session", params=[1, 2, 3, 4])
def each(request: pytest.FixtureRequest) -> Study:
    """One study per number of objectives."""
    return run(request.param)


@pytest.fixture(scope="session")
def hopeless() -> Study:
    """No design is feasible."""
    return run(2, constraints=("error <= 0.01", "area <= 0.5 mm2"))


@pytest.fixture(scope="session")
def unbegun() -> Study:
    return run(2, budget=0)
