"""What wrappers know about many designs at once: which look alike, and how grids are measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.systolic import Systolic
from hwnas import BitsPerCell, Designs, SkipNet, SystolicArray
from hwnas.evaluation import Cached, Joined, Noisy, Parallel, Timeout
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.pairing import against, paired
from hwnas.testing.evaluators import (
    EvaluatorSubject,
    fingerprints_are_keys,
    fingerprints_tell_apart_what_differs,
    grids_are_what_their_cells_measure,
)
from tests.evaluation.test_pairing import SPACE, assert_cells, sides
from tests.random_problems import Table, spaces

HARDWARE = (
    SkipNet(cells=(1, 2), image=8).space() + BitsPerCell(cells=2).space() + SystolicArray().space()
)


def table(name, reads, seed, **options):
    return Table([name], reads, seed, **options)


class Knows(Table):
    """Has a way of its own to measure grids, and counts what it is asked for."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.grids = 0
        self.rows = []

    def evaluate(self, designs, fidelity=1.0):
        self.rows.append(len(designs))
        return super().evaluate(designs)

    def against(self, space, inner, names):
        def measure(outer):
            self.grids += 1
            cells = super(Knows, self).evaluate(Designs(space, paired(space, outer, inner)))
            shape = len(outer), len(inner)
            columns = {name: cells[name].reshape(shape) for name in names if name in cells.columns}
            return Grid(columns, cells.feasible.reshape(shape))

        return measure


@pytest.mark.parametrize("inner", [("hw",), ("net",), ("hw", "quant"), ("quant", "net")])
def test_grids_of_joined_ones_are_their_cells(inner):
    reads = [(), ("hw",), ("net", "quant"), ("net", "hw")]
    parts = [table(f"m{i}", r, 11 + i, cannot=5, coarse=i % 2 == 1) for i, r in enumerate(reads)]
    assert_cells(Joined(parts), SPACE, inner)
    assert_cells(Cached(Joined(parts)), SPACE, inner)


@given(spaces(), st.data())
@settings(max_examples=60, deadline=None)
def test_grids_of_joined_ones_are_their_cells_under_conditions(space, data):
    parts = st.sampled_from(space.part_names)
    proper = st.lists(parts, unique=True, min_size=1, max_size=len(space.part_names) - 1)
    inner = data.draw(proper)
    some = [
        table(f"m{i}", data.draw(st.lists(parts, unique=True)), 7 + i, cannot=4, coarse=i == 0)
        for i in range(data.draw(st.integers(1, 3)))
    ]
    assert_cells(Joined(some), space, inner)


def test_joined_ones_are_asked_about_the_side_that_they_read():
    one_side, other_side, both = (
        Knows(["a"], ("hw",), 1),
        Knows(["b"], ("net",), 2),
        Knows(["c"], (), 3),
    )
    joined = Joined([one_side, other_side, both])
    outer, inner = sides(SPACE, ["hw"])
    measure = against(joined, SPACE, inner, frozenset("abc"))
    assert (one_side.rows, other_side.rows, both.rows) == ([6], [], [])
    grid = measure(outer)
    assert (one_side.rows, other_side.rows, both.rows) == ([6], [6], [])
    assert [e.grids for e in (one_side, other_side, both)] == [0, 0, 1]
    assert set(grid.columns) == {"a", "b", "c"}


def test_a_joined_one_without_a_wanted_metric_still_decides_what_is_feasible():
    picky = Knows(["b"], (), 2, cannot=2)
    joined = Joined([Knows(["a"], (), 1), picky])
    outer, inner = sides(SPACE, ["hw"])
    grid = against(joined, SPACE, inner, frozenset("a"))(outer)
    cells = picky.evaluate(Designs(SPACE, paired(SPACE, outer, inner)))
    assert 0 < cells.feasible.sum() < len(cells)
    np.testing.assert_array_equal(grid.feasible.reshape(-1), cells.feasible)


@given(spaces(), st.data())
@settings(max_examples=60, deadline=None)
def test_joined_ones_look_alike_where_they_do_to_everyone(space, data):
    parts = st.sampled_from(space.part_names)
    some = [
        table(f"m{i}", data.draw(st.lists(parts, unique=True)), i, coarse=data.draw(st.booleans()))
        for i in range(3)
    ]
    shown = space.part(*data.draw(st.lists(parts, unique=True, min_size=1)))
    designs = Designs(shown, shown.rows())
    found = Joined(some).fingerprints(designs)
    of_each = list(zip(*(e.fingerprints(designs) for e in some), strict=True))
    pairs = {(a == b, one == two) for a, one in zip(found, of_each, strict=True)
             for b, two in zip(found, of_each, strict=True)}  # fmt: skip
    assert pairs <= {(True, True), (False, False)}
    assert Joined(some).fingerprints(designs[:0]) == []


def test_keys_beside_each_other_keep_their_ends():
    class Named(Table):
        def fingerprints(self, designs):
            names = {1: (b"a", b"ab"), 2: (b"bc", b"c")}[self.seed]
            return [names[min(i, 1)] for i in range(len(designs))]

    one, two = Joined([Named(["a"], (), 1), Named(["b"], (), 2)]).fingerprints(
        Designs(SPACE, SPACE.rows()[:2])
    )
    assert one != two


@pytest.mark.parametrize(
    "wrap",
    [Cached, lambda e: Parallel(e, 2), lambda e: Timeout(e, 5.0), lambda e: Cached(Joined([e]))],
    ids=["cached", "parallel", "timeout", "cached and joined"],
)
def test_what_changes_no_answer_passes_on_what_looks_alike(wrap):
    inner = table("m", (), 3, coarse=True)
    designs = Designs(SPACE, SPACE.rows())
    keys = inner.fingerprints(designs)
    found = wrap(inner).fingerprints(designs)
    assert len(set(zip(keys, found, strict=True))) == len(set(keys)) == len(set(found)) < len(keys)


@pytest.mark.parametrize(
    ("wrap", "passes"),
    [
        (Cached, True),
        (lambda e: Parallel(e, 2), True),
        (lambda e: Timeout(e, 5.0), False),
        (lambda e: Noisy(e, 0.1), False),
    ],
    ids=["cached", "parallel", "timeout", "noisy"],
)
def test_grids_are_passed_on_except_past_a_leash_or_noise(wrap, passes):
    inner = Knows(["m"], (), 3)
    outer, hardware = sides(SPACE, ["hw"])
    measure = wrap(inner).against(SPACE, hardware, frozenset("m"))
    if not passes:
        assert measure is None
        return
    grid = measure(outer)
    assert inner.grids == 1
    cells = inner.evaluate(Designs(SPACE, paired(SPACE, outer, hardware)))
    np.testing.assert_array_equal(grid.columns["m"].reshape(-1), cells["m"])


def test_noise_tells_apart_what_looks_alike():
    inner = table("m", (), 3, coarse=True)
    noisy = Noisy(inner, 0.5)
    designs = Designs(SPACE, SPACE.rows())
    first: dict[bytes, int] = {}
    alike = [first.setdefault(key, i) for i, key in enumerate(inner.fingerprints(designs))]
    assert len(first) < len(designs)
    assert len(set(noisy.fingerprints(designs))) == len(designs)
    measured = noisy.evaluate(designs)["m"]
    assert (measured != measured[alike]).any()
    assert_cells(noisy, SPACE, ["hw"])


@pytest.mark.parametrize(
    "wrap",
    [
        Cached,
        lambda e: Noisy(e, 0.1),
        lambda e: Joined([table("other", ("hw",), 5, cannot=7), e]),
        lambda e: Joined([e, table("other", ("net", "quant"), 5)]),
        lambda e: Cached(Joined([Noisy(table("other", (), 5), 0.1), e])),
    ],
    ids=["cached", "noisy", "joined behind", "joined before", "nested"],
)
@pytest.mark.parametrize(
    "check",
    [
        fingerprints_are_keys,
        fingerprints_tell_apart_what_differs,
        grids_are_what_their_cells_measure,
    ],
)
def test_a_wrapped_cost_model_keeps_the_contract(check, wrap):
    check(EvaluatorSubject(wrap(Systolic()), HARDWARE))
