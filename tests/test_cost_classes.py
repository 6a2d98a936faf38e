"""Cost classes against the definition, design by design, and the order of those that are alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evaluators.systolic import Systolic
from hwnas import Gene, Space
from hwnas.cost_classes import CostClasses
from hwnas.design import BitsPerCell, Designs, SkipNet
from hwnas.inner import InnerFronts
from hwnas.space import When, unique
from tests.random_problems import Table, built, problems


def by_definition(space, parts, evaluators, row):
    """All that makes one outer design what it is to evaluators."""
    outer = space.part(*parts)
    (row,) = outer.canonical(row[None, :])
    seen = []
    for part in parts:
        own = Designs(outer.part(part), row[None, outer.columns_of(part)])
        seen.append(tuple(e.fingerprints(own)[0] for e in evaluators))
    (active,) = outer.active(row[None, :])
    part_of = {gene.name: gene.part for gene in space.genes}
    for gene in space.genes:
        for when in gene.when:
            if part_of[when.gene] != gene.part and when.gene in outer.names:
                j = outer.names.index(when.gene)
                seen.append((int(row[j]), bool(active[j])))
    return tuple(seen)


def assert_classes(found, expected):
    """Equal where expected is equal and nowhere else, counted in the order of occurrence."""
    number = {}
    assert found.tolist() == [number.setdefault(each, len(number)) for each in expected]


@given(problems(), st.data())
@settings(max_examples=100, deadline=None)
def test_random_spaces(parts, data):
    problem = built(parts)
    assume(problem is not None)
    space, evaluators = problem.space, problem.evaluators
    inner = data.draw(st.lists(st.sampled_from(space.part_names), unique=True))
    outer = InnerFronts(problem, inner, evaluators).outer_parts
    own = space.part(*outer)
    seed = data.draw(st.integers(0, 99))
    # Sleeping genes may have any choice.
    rows = np.random.default_rng(seed).integers(0, own.cardinalities, size=(20, len(own)))
    classes = CostClasses(space, outer, evaluators)
    expected = [by_definition(space, outer, evaluators, row) for row in rows]
    together = classes.of(rows.astype(np.int8))
    assert_classes(together, expected)
    assert together.dtype == np.int64
    assert [int(classes.of(row[None, :])[0]) for row in rows] == together.tolist()
    one_by_one = CostClasses(space, outer, evaluators)
    assert_classes(np.concatenate([one_by_one.of(row[None, :]) for row in rows]), expected)


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
def test_networks_on_systolic_arrays(monkeypatch, at_once):
    monkeypatch.setattr("hwnas.cost_classes._AT_ONCE", at_once)
    net = SkipNet(
        cells=(1, 2), layers_per_cell=(2, 3), skip_channels=(0, 4), skips=("concat", "add")
    )
    space = net.space() + BitsPerCell(cells=2, weight_bits=(2, 8), activation_bits=(4,)).space()
    rows = space.rows()
    evaluators = [Systolic(), Table(["m"], ("quant",), 3, coarse=True)]
    classes = CostClasses(space, space.part_names, evaluators)
    expected = [by_definition(space, space.part_names, evaluators, row) for row in rows]
    assert 1 < len(set(expected)) < len(rows)
    assert_classes(classes.of(rows), expected)


def test_evaluators_are_asked_once_per_setting_of_a_part():
    asked = []

    class Counted(Table):
        def fingerprints(self, designs):
            asked.extend((designs.space.part_names, *row) for row in designs.genomes.tolist())
            return super().fingerprints(designs)

    space = Space((Gene("net.a", tuple(range(300))), Gene("quant.b", (0, 1, 2))))
    classes = CostClasses(space, ("net", "quant"), [Counted(["m"], (), 1)])
    rows = space.rows()
    assert len(set(classes.of(rows[:500]).tolist())) == 500
    assert len(set(classes.of(rows).tolist())) == 900  # 300 choices do not fit into one byte
    assert len(asked) == len(set(asked)) == 303


def test_without_evaluators_all_are_alike():
    space = Space((Gene("net.a", (0, 1)), Gene("hw.x", (0, 1), when=(When("net.a", (1,)),))))
    classes = CostClasses(space, ("net",), ())
    assert classes.of(np.array([[0], [1]])).tolist() == [0, 0]
    assert CostClasses(space, (), ()).of(np.empty((3, 0), dtype=np.int64)).tolist() == [0, 0, 0]


def test_without_outer_parts_there_is_one_class():
    space = Space((Gene("hw.x", (0, 1)),))
    classes = CostClasses(space, (), [Table(["m"], (), 1)])
    assert classes.of(np.empty((2, 0), dtype=np.int64)).tolist() == [0, 0]
    assert classes.grouped(np.array([0])).tolist() == [0]


def test_classes_are_grouped_by_the_part_with_the_fewest_settings():
    space = Space((Gene("net.a", tuple(range(9))), Gene("quant.b", (0, 1, 2))))
    rows = np.random.default_rng(1).permutation(space.rows())
    classes = CostClasses(space, ("net", "quant"), [Table(["m"], (), 1)])
    numbers = classes.of(rows)
    order = classes.grouped(numbers)
    assert sorted(order.tolist()) == list(range(len(rows)))
    bits = rows[order][:, 1]
    assert np.count_nonzero(np.diff(bits)) == 2
    # Some of the classes: of 4 networks and 2 bits here, so bits come first there, too.
    some = np.flatnonzero((rows[:, 0] < 4) & (rows[:, 1] < 2))
    bits = rows[some][classes.grouped(numbers[some])][:, 1]
    assert np.count_nonzero(np.diff(bits)) == 1
    assert len(unique(numbers[some][:, None])[0]) == 8
