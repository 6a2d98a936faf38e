"""What comparisons are tried on."""

from __future__ import annotations

from pathlib import Path

TWO = ["random", "nsga2:population=6"]


STUDY = """\
name: small
space:
  - {use: skipnet, skips: [concat]}
  - bits_per_cell
  - systolic_array
evaluators: [nn_mass, systolic]
objectives: [maximize: nn_mass, minimize: energy]
constraints: [area <= 1 mm2]
searcher: {use: nsga2, population: 16}
budget: {evaluations: 250, time: 1 h}
"""


def histories(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*.journal")}
