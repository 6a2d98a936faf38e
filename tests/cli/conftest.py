"""Calling the command line in this process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from hwnas.cli import main

STUDY = """\
name: small
space:
  - use: skipnet
    skips: [concat]
  - use: bits_per_cell
  - use: systolic_array
evaluators: [nn_mass, systolic]
objectives:
  - maximize: nn_mass
  - minimize: energy
constraints:
  - area <= 1 mm2
searcher: {use: nsga2, population: 16}
budget: 64
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def hwnas(monkeypatch, capfd):
    """Runs ``hwnas ARGUMENTS`` and gives exit code, standard output and standard error."""

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr("sys.argv", ["hwnas", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def study_file(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(STUDY)
    return file
