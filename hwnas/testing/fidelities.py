"""Rules of searchers that ask for lower fidelities, on a problem that has some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from hwnas.arrays import Floats, Ints
from hwnas.evaluation.interface import collect
from hwnas.history import History
from hwnas.metrics import Measurements
from hwnas.problem import Problem
from hwnas.searchers.interface import Searcher
from hwnas.space import keys
from hwnas.testing.check import require
from hwnas.testing.toys import early

_STEPS: Final = 6
_AT_ONCE: Final = 5

Build = Callable[[Problem], Searcher]


def measured_at(problem: Problem, genomes: Ints, fidelity: Floats) -> Measurements:
    """Measures designs, each at its fidelity, as a study does."""
    chunks = []
    for share in np.unique(fidelity):
        some = np.flatnonzero(fidelity == share)
        for rows, part in problem.stream(problem.designs(genomes[some]), fidelity=float(share)):
            chunks.append((some[rows], part))
    return collect(tuple(problem.metrics.values()), len(genomes), chunks)


def check_fidelities(build: Build) -> None:
    """Checks what it asks for at lower fidelities.

    They exist, the designs are new there, they cost no more than was asked for, and are asked for
    again when the history is told again.

    Args:
        build: Builds the searcher for a problem.
    """
    problem = early()
    searcher = build(problem)
    met: set[tuple[float, bytes]] = set()
    history: list[tuple[Ints, Measurements]] = []
    for step in range(_STEPS):
        genomes = searcher.ask(_AT_ONCE)
        fidelity = searcher.fidelity_of(genomes)
        require(
            fidelity.shape == (len(genomes),) and set(fidelity) <= set(problem.fidelities),
            f"fidelities are {problem.fidelities}, it asks for {fidelity}",
        )
        backwards = searcher.fidelity_of(genomes[::-1])
        require(
            np.array_equal(backwards, fidelity[::-1]),
            "the fidelity of a design depends on the order of the rows",
        )
        names = set(zip(fidelity, keys(problem.space.canonical(genomes)), strict=True))
        require(len(names) == len(genomes), f"step {step} asks for a design twice")
        require(not names & met, f"step {step} asks for what was told before")
        met |= names
        rows = measured_at(problem, genomes, fidelity)
        spent = _spent(problem, genomes, rows)
        require(spent <= _AT_ONCE + 1e-9, f"step {step} costs {spent}, {_AT_ONCE} were asked for")
        history.append((genomes, rows))
        searcher.tell(genomes, rows)
    require(bool((history[-1][1].fidelity == 1.0).any()), "it measures nothing whole")
    _check_replay(build, problem, searcher, history)


def _spent(problem: Problem, genomes: Ints, rows: Measurements) -> float:
    from hwnas.history import Block

    place = np.arange(len(genomes))
    history = History(problem)
    asked = np.full(len(genomes), _AT_ONCE)
    history.add(Block(genomes, rows, place, place, asked, asked, np.zeros(len(genomes))))
    return history.evaluations


def _check_replay(
    build: Build, problem: Problem, searcher: Searcher, history: list[tuple[Ints, Measurements]]
) -> None:
    genomes = np.concatenate([rows for rows, _ in history])
    told = Measurements.stack(part for _, part in history)
    expected = searcher.ask(_AT_ONCE)
    fidelity = searcher.fidelity_of(expected)
    for size in (len(genomes), 7):
        again = build(problem)
        for start in range(0, len(genomes), size):
            rows = slice(start, start + size)
            again.tell(genomes[rows], told.take(rows))
        require(
            np.array_equal(again.ask(_AT_ONCE), expected),
            f"told {size} rows at a time, some of a lower fidelity, it asks for others",
        )
        require(
            np.array_equal(again.fidelity_of(expected), fidelity),
            f"told {size} rows at a time, it asks for other fidelities",
        )
