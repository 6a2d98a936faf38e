"""Grids of designs: what they answer is what their cells measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwnas import Designs, Gene, Space, measures
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.pairing import against, paired
from hwnas.metrics import Measurements, Reason
from hwnas.space import When
from tests.random_problems import Table, built, problems, spaces

SPACE = Space(
    (
        Gene("hw.x", (0, 1, 2)),
        Gene("net.a", (0, 1)),
        Gene("hw.y", (0, 1)),
        Gene("quant.b", (0, 1, 2)),
    )
)


def sides(space, inner):
    """All designs of the outer parts and of the inner ones."""
    outer = [part for part in space.part_names if part not in inner]
    return tuple(Designs(space.part(*some), space.part(*some).rows()) for some in (outer, inner))


def assert_cells(evaluator, space, inner_parts):
    outer, inner = sides(space, inner_parts)
    names = frozenset(metric.name for metric in evaluator.metrics)
    grid = against(evaluator, space, inner, names)(outer)
    cells = evaluator.evaluate(Designs(space, paired(space, outer, inner)))
    shape = len(outer), len(inner)
    np.testing.assert_array_equal(grid.feasible, cells.feasible.reshape(shape))
    for name in names:
        expected = np.where(grid.feasible, cells[name].reshape(shape), 0.0)
        found = np.where(grid.feasible, grid.columns[name], 0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_pairs_have_the_outer_designs_slowest():
    outer, inner = sides(SPACE, ["hw"])
    rows = paired(SPACE, outer, inner)
    assert rows.shape == (6 * 6, 4)
    assert len(np.unique(rows, axis=0)) == 36
    np.testing.assert_array_equal(rows[:6, [1, 3]], np.zeros((6, 2)))
    np.testing.assert_array_equal(rows[:6, [0, 2]], inner.genomes)
    np.testing.assert_array_equal(rows[::6, [1, 3]], outer.genomes)


@pytest.mark.parametrize("inner", [("hw",), ("net",), ("hw", "quant"), ("quant", "net")])
@pytest.mark.parametrize("reads", [(), ("hw",), ("net", "quant"), ("net", "hw")])
def test_cells_are_what_they_measure(reads, inner):
    assert_cells(Table(["m", "n"], reads, 11, cannot=4), SPACE, inner)


@given(spaces(), st.data())
@settings(max_examples=100, deadline=None)
def test_cells_are_what_they_measure_under_conditions(space, data):
    inner = data.draw(
        st.lists(st.sampled_from(space.part_names), unique=True, min_size=1).filter(
            lambda parts: len(parts) < len(space.part_names)
        )
    )
    reads = data.draw(st.lists(st.sampled_from(space.part_names), unique=True))
    assert_cells(Table(["m"], reads, data.draw(st.integers(1, 999)), cannot=5), space, inner)


def test_who_reads_one_side_is_asked_about_that_side_alone():
    class Counts(Table):
        asked: tuple[int, ...] = ()

        def evaluate(self, designs, fidelity=1.0):
            self.asked += (len(designs),)
            return super().evaluate(designs)

    outer, inner = sides(SPACE, ["hw"])
    for reads, before, after in (
        (("hw",), (6,), (6,)),
        (("net",), (), (6,)),
        (("net", "hw"), (), (36,)),
    ):
        table = Counts(["m"], reads, 3)
        measure = against(table, SPACE, inner, frozenset({"m"}))
        assert table.asked == before, reads
        measure(outer)
        assert table.asked == after, reads


def test_a_gene_that_sleeps_with_some_networks_is_measured_asleep():
    space = Space((Gene("net.a", (0, 1)), Gene("hw.x", (5, 7, 9), when=(When("net.a", (1,)),))))

    @measures("m", expense="free", reads=("hw",), batch=True)
    def m(designs):
        return designs["hw.x"].astype(float)

    outer, inner = sides(space, ["hw"])
    grid = against(m, space, inner, frozenset({"m"}))(outer)
    assert grid.columns["m"].tolist() == [[5, 5, 5], [5, 7, 9]]


def test_an_evaluator_may_know_a_shorter_way():
    class Knows(Table):
        def against(self, space, inner, names):
            assert names == {"m"}

            def measure(outer):
                shape = len(outer), len(inner)
                return Grid({"m": np.full(shape, 42.0)}, np.ones(shape, dtype=bool))

            return measure

    outer, inner = sides(SPACE, ["hw"])
    grid = against(Knows(["m"], (), 3), SPACE, inner, frozenset({"m"}))(outer)
    assert (grid.columns["m"] == 42).all()


@pytest.mark.parametrize("reads", [(), ("hw",), ("net",)])
def test_no_outer_designs_make_an_empty_grid(reads):
    outer, inner = sides(SPACE, ["hw"])
    grid = against(Table(["m"], reads, 3), SPACE, inner, frozenset({"m"}))(outer[:0])
    assert grid.feasible.shape == grid.columns["m"].shape == (0, 6)


def test_many_cells_are_measured_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("hwnas.evaluation.pairing._CELLS", 10)
    sizes = []

    class Counts(Table):
        def evaluate(self, designs, fidelity=1.0):
            sizes.append(len(designs))
            return super().evaluate(designs)

    assert_cells(Counts(["m"], (), 3), SPACE, ["hw"])
    assert sizes[:-1] == [6] * 6


@pytest.mark.parametrize("reads", [(), ("hw",), ("net",)])
def test_grids_say_why_cells_failed(reads):
    class Fails(Table):
        def evaluate(self, designs, fidelity=1.0):
            return Measurements.nothing(self.metrics, len(designs), Reason.TIMED_OUT, "too slow")

    outer, inner = sides(SPACE, ["hw"])
    bad = against(Fails(["m"], reads, 3), SPACE, inner, frozenset({"m"}))(outer)
    good = against(Table(["n"], reads, 3), SPACE, inner, frozenset({"n"}))(outer)
    assert (bad.failure, good.failure) == ("TIMED_OUT: too slow", "")
    both = good.beside(bad)
    assert both.failure == bad.failure
    assert set(both.columns) == {"m", "n"}
    assert not both.feasible.any()


@given(problems())
@settings(max_examples=30, deadline=None)
def test_fingerprints_of_tables_are_true(parts):
    """What the random problems of other tests rely on: equal keys, equal answers."""
    problem = built(parts)
    assume(problem is not None)
    for evaluator in problem.evaluators:
        designs = problem.designs(problem.space.rows())
        measured = evaluator.evaluate(designs)
        first: dict[bytes, int] = {}
        places = [first.setdefault(k, i) for i, k in enumerate(evaluator.fingerprints(designs))]
        alike = measured.take(np.array(places))
        np.testing.assert_array_equal(measured.feasible, alike.feasible)
        for name in measured.columns:
            np.testing.assert_array_equal(measured[name], alike[name])
