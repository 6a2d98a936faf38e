"""Inner fronts: brute force cell by cell, edges, and the search beyond what can be enumerated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluators.counts import Macs
from evaluators.systolic import Systolic
from hwnas import Gene, Problem, Space
from hwnas.design import SkipNet, SystolicArray, UniformBits
from hwnas.exact.measuring import one_each
from hwnas.inner import InnerFronts, unique_rows
from hwnas.metrics import Measurements
from hwnas.space import When
from hwnas.testing import toys
from tests.random_problems import Table, built, problems


def brute_force(fronts, row):
    """The different losses of the inner front of one outer design, every cell on its own."""
    problem = fronts.problem
    inner = fronts.inner_space.rows() if fronts.inner_parts else np.zeros((1, 0), dtype=int)
    genomes = np.zeros((len(inner), len(problem.space)), dtype=np.int64)
    genomes[:, fronts.outer_columns] = row
    genomes[:, fronts.inner_columns] = inner
    designs = problem.designs(genomes)
    columns, usable = {}, np.ones(len(inner), dtype=bool)
    for evaluator in fronts.evaluators:
        measured = evaluator.evaluate(designs)
        columns.update(measured.columns)
        usable &= measured.feasible
    losses = np.stack(
        [
            np.broadcast_to(problem.objectives[j].values(columns) * problem.signs[j], len(inner))
            for j in fronts.objectives
        ]
        or [np.zeros(len(inner))],
        axis=1,
    )
    for j in fronts.constraints:
        usable &= problem.constraints[j].violation(columns) <= 0
    losses[~usable] = np.inf
    found = np.unique(losses[one_each(losses)], axis=0)
    return found if fronts.objectives else found[:, :0]


def assert_fronts(fronts, rows):
    for row, label in zip(rows, fronts.labels(rows), strict=True):
        front = fronts.fronts[label]
        order = np.lexsort(front.losses.T[::-1]) if len(fronts.objectives) else slice(None)
        np.testing.assert_allclose(front.losses[order], brute_force(fronts, row), rtol=1e-12)
        genomes = fronts.genomes(row, front.places)
        np.testing.assert_array_equal(genomes, fronts.problem.space.canonical(genomes))


@given(problems(), st.data())
@settings(max_examples=100, deadline=None)
def test_random_problems(parts, data):
    problem = built(parts)
    assume(problem is not None)
    inner = data.draw(st.lists(st.sampled_from(problem.space.part_names), unique=True))
    fronts = InnerFronts(problem, inner, problem.evaluators)
    assert set(fronts.inner_parts) <= set(inner)
    rows = fronts.outer_space.rows()
    assert_fronts(fronts, rows)
    assert len(fronts.fronts) <= len(rows)


def test_toy_of_network_bits_and_accelerator():
    problem = toys.joint()
    fronts = InnerFronts(problem, ["hw"], problem.free_evaluators)
    assert (fronts.outer_parts, fronts.inner_parts) == (("net", "quant"), ("hw",))
    assert (fronts.objectives, fronts.constraints) == ((1,), (0,))
    assert (fronts.size, fronts.exact) == (24, True)
    assert_fronts(fronts, fronts.outer_space.rows())


def test_labels_do_not_depend_on_what_was_asked_before():
    problem = toys.joint()
    rows = InnerFronts(problem, ["hw"], problem.free_evaluators).outer_space.rows()
    at_once = InnerFronts(problem, ["hw"], problem.free_evaluators)
    one_by_one = InnerFronts(problem, ["hw"], problem.free_evaluators)
    together = at_once.labels(rows)
    for row, label in zip(rows[::-1], together[::-1], strict=True):
        (own,) = one_by_one.labels(row[None, :])
        np.testing.assert_array_equal(one_by_one.fronts[own].places, at_once.fronts[label].places)
    assert at_once.labels(rows).tolist() == together.tolist()


def test_no_rows_have_no_labels():
    problem = toys.joint()
    fronts = InnerFronts(problem, ["hw"], problem.free_evaluators)
    nothing = np.empty((0, 3), dtype=np.int64)
    assert fronts.labels(nothing).shape == (0,)
    assert fronts.labels(nothing).dtype == np.int64
    assert fronts.classes.of(nothing).tolist() == []
    assert fronts.fronts == []


@pytest.mark.parametrize("inner", [(), ("hw",), ("net", "quant", "hw")])
def test_without_evaluators_any_inner_design_will_do(inner):
    fronts = InnerFronts(toys.joint(), inner, [])
    rows = fronts.outer_space.rows()
    assert set(fronts.labels(rows).tolist()) == {0}
    (front,) = fronts.fronts
    assert front.places.tolist() == [0]
    assert front.losses.shape == (1, 0)
    assert fronts.genomes(rows[-1], front.places).shape == (1, 6)
    assert fronts.classes.of(rows).tolist() == [0] * len(rows)


def test_without_evaluators_too_many_inner_designs_are_no_obstacle():
    fronts = InnerFronts(toys.joint(), ["hw"], [], limit=3)
    assert not fronts.exact
    assert fronts.labels(fronts.outer_space.rows()[:2]).tolist() == [0, 0]


def test_without_inner_parts_every_design_is_its_own_front():
    problem = toys.constrained()
    fronts = InnerFronts(problem, [], problem.evaluators)
    assert_fronts(fronts, problem.space.rows())
    assert {len(front.places) for front in fronts.fronts} == {0, 1}


def test_without_outer_parts_there_is_one_front():
    problem = toys.constrained()
    fronts = InnerFronts(problem, ["hw"], problem.evaluators)
    empty = np.empty((1, 0), dtype=np.int64)
    assert fronts.labels(empty).tolist() == [0]
    expected = np.unique(toys.exact_front(problem).losses, axis=0)
    np.testing.assert_array_equal(np.unique(fronts.fronts[0].losses, axis=0), expected)


def test_where_nothing_can_be_built_fronts_are_empty():
    problem = toys.infeasible()
    fronts = InnerFronts(problem, ["hw"], problem.evaluators)
    fronts.labels(np.empty((1, 0), dtype=np.int64))
    assert len(fronts.fronts[0].places) == 0
    assert fronts.fronts[0].losses.shape == (0, 2)
    assert fronts.genomes(np.empty(0, dtype=np.int64), fronts.fronts[0].places).shape == (0, 2)


def test_inner_parts_that_settle_constraints_only():
    problem = Problem(toys.joint().space, toys.joint().evaluators, ["error"], ["latency <= 10 ms"])
    fronts = InnerFronts(problem, ["hw"], problem.free_evaluators)
    rows = fronts.outer_space.rows()
    assert_fronts(fronts, rows)
    found = [fronts.fronts[i].places.tolist() for i in fronts.labels(rows)]
    assert {len(places) for places in found} == {0, 1}
    for row, places in zip(rows, found, strict=True):
        for genome in fronts.genomes(row, np.array(places, dtype=np.int64)):
            measured = toys.joint_hardware.evaluate(problem.designs(genome[None, :]))
            assert measured["latency"][0] <= 0.01


def test_inner_parts_that_outer_genes_depend_on_are_outer():
    genes = (
        Gene("hw.x", (0, 1)),
        Gene("net.a", (0, 1, 2), when=(When("hw.x", (1,)),)),
        Gene("map.m", (0, 1, 2), when=(When("net.a", (2,)),)),
    )
    problem = Problem(Space(genes), [Table(["m"], (), 5)], ["m"])
    assert InnerFronts(problem, ["hw"], problem.evaluators).inner_parts == ()
    assert InnerFronts(problem, ["hw", "net"], problem.evaluators).inner_parts == ()
    assert InnerFronts(problem, ["map"], problem.evaluators).inner_parts == ("map",)
    everything = InnerFronts(problem, ["map", "net", "hw"], problem.evaluators)
    assert everything.outer_parts == ()


def test_networks_of_equal_layers_share_one_front():
    space = SkipNet(cells=(1,), layers_per_cell=(2, 3)).space() + SystolicArray(
        rows=(4, 8), columns=(4, 8), dram_bandwidth=(4e8,), clock=(1e8,), ifmap_sram=(64, 1024),
        filter_sram=(64, 1024), ofmap_sram=(1024,),
    ).space()  # fmt: skip
    problem = Problem(space, [Macs(), Systolic()], ["macs", "energy", "latency"])
    fronts = InnerFronts(problem, ["hw"], problem.evaluators[1:])
    rows = fronts.outer_space.rows()
    labels = fronts.labels(rows)
    tables = fronts.problem.designs(np.pad(rows, ((0, 0), (0, 8)))).layers
    names = ("C", "K", "P", "Q", "R", "S", "stride", "operator")
    alike = {
        tuple(sorted(zip(*(getattr(tables, n)[tables.design == i] for n in names), strict=True)))
        for i in range(len(rows))
    }
    assert len(fronts.fronts) == len(set(labels.tolist())) == len(alike) < len(rows)
    assert_fronts(fronts, rows[::5])


# --- beyond what can be enumerated ----------------------------------------------------------------

ARRAYS = SystolicArray(ofmap_sram=(4096, 16384), ifmap_sram=(1024, 4096, 16384), clock=(1e8, 4e8))


def arrays_problem(objectives, constraints=("area <= 1 mm2",)):
    space = SkipNet().space() + UniformBits().space() + ARRAYS.space()
    return Problem(space, [Macs(), Systolic()], objectives, constraints)


@pytest.mark.parametrize("objectives", [["energy", "latency"], ["minimize: edp=energy*latency"]])
def test_searched_fronts_are_close_to_enumerated_ones(objectives):
    problem = arrays_problem(["macs", *objectives])
    systolic = problem.evaluators[1:]
    searched = InnerFronts(problem, ["hw"], systolic, limit=1000)
    exact = InnerFronts(problem, ["hw"], systolic, limit=100_000)
    assert (searched.exact, exact.exact) == (False, True)
    assert len(searched.inner_rows) < len(exact.inner_rows) / 10
    rows = searched.outer_space.sample(6, np.random.default_rng(3))
    for a, b in zip(searched.labels(rows), exact.labels(rows), strict=True):
        found, best = searched.fronts[a].losses, exact.fronts[b].losses
        assert len(found)
        assert len(best)
        # Nothing beats the exact front, and 3 % worse than each of its points something is found.
        weakly = (best[:, None, :] <= found[None, :, :] * (1 + 1e-12)).all(axis=2)
        assert weakly.any(axis=0).all()
        assert (found[None, :, :] <= 1.03 * best[:, None, :]).all(axis=2).any(axis=1).all()


def test_searched_designs_are_designs_and_follow_from_the_seed(monkeypatch):
    monkeypatch.setattr("hwnas.inner._ROUNDS", 4)
    problem = arrays_problem(["macs", "energy"])
    systolic = problem.evaluators[1:]
    one, same, other = (
        InnerFronts(problem, ["hw"], systolic, limit=1000, seed=seed) for seed in (0, 0, 1)
    )
    space = one.inner_space
    assert space.is_valid(one.inner_rows).all()
    np.testing.assert_array_equal(one.inner_rows, space.canonical(one.inner_rows))
    assert len(np.unique(one.inner_rows, axis=0)) == len(one.inner_rows)
    np.testing.assert_array_equal(one.inner_rows, same.inner_rows)
    assert not np.array_equal(one.inner_rows, other.inner_rows)
    row = one.outer_space.sample(1, np.random.default_rng(8))
    front = one.fronts[one.labels(row)[0]]
    measured = problem.evaluate(problem.designs(one.genomes(row[0], front.places)))
    assert problem.satisfied(measured).all()
    np.testing.assert_allclose(problem.losses(measured)[:, 1:], front.losses, rtol=1e-12)


def test_a_search_without_luck_ends(monkeypatch):
    monkeypatch.setattr("hwnas.inner._ROUNDS", 4)
    problem = arrays_problem(["macs", "energy"], ["area <= 1 um2"])
    fronts = InnerFronts(problem, ["hw"], problem.evaluators[1:], limit=1000)
    assert len(fronts.inner_rows)
    row = fronts.outer_space.sample(1, np.random.default_rng(0))
    assert len(fronts.fronts[fronts.labels(row)[0]].places) == 0


def test_failures_are_told():
    class Fails(Table):
        def evaluate(self, designs, fidelity=1.0):
            return Measurements.nothing(self.metrics, len(designs), 4, "no licence")

    problem = Problem(toys.joint().space, [Fails(["m"], (), 1)], ["m"])
    fronts = InnerFronts(problem, ["hw"], problem.evaluators)
    fronts.labels(fronts.outer_space.rows()[:1])
    assert fronts.failure == "RAISED: no licence"


@given(st.lists(st.tuples(st.sampled_from((0.0, 1.0)), st.sampled_from((0.0, 2.0))), max_size=9))
def test_unique_rows_are_the_first_of_each(rows):
    array = np.array(rows, dtype=np.float64).reshape(-1, 2)
    assert sorted(unique_rows(array).tolist()) == sorted(
        {row: i for i, row in reversed(list(enumerate(rows)))}.values()
    )
