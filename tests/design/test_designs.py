"""Batches of designs: projection, columns, seeds, single designs."""

from __future__ import annotations

import pickle

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import BitsPerCell, Designs, Gene, SkipNet, Space, SystolicArray, When
from hwnas.errors import DesignError, SpaceError
from tests.space.strategies import spaces_with_genomes

SPACE = Space(
    (
        Gene("net.depth", (1, 2, 3)),
        Gene("net.kernel", (3, 5), when=When("net.depth", at_least=2)),
        Gene("quant.bits", (4, 8)),
        Gene("quant.head_bits", (4, 8), when=When("net.depth", at_least=3)),
        Gene("hw.units", (8, 16)),
    )
)
JOINT = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()


def test_genomes_become_canonical_and_cannot_be_written():
    designs = Designs(SPACE, [[0, 1, 1, 1, 0]])
    np.testing.assert_array_equal(designs.genomes, [[0, 0, 1, 0, 0]])
    with pytest.raises(ValueError, match="read-only"):
        designs.genomes[0, 0] = 1


def test_what_was_given_is_not_held_on_to():
    given_rows = np.zeros((2, 5), dtype=np.int64)
    designs = Designs(SPACE, given_rows)
    given_rows[:] = 1
    assert not designs.genomes.any()


def test_genomes_that_do_not_fit_are_refused():
    with pytest.raises(SpaceError, match="no choice number 3"):
        Designs(SPACE, [[3, 0, 0, 0, 0]])


def test_columns_are_values():
    designs = Designs(SPACE, [[2, 1, 0, 1, 1], [0, 1, 1, 1, 0]])
    assert designs["net.depth"].tolist() == [3, 1]
    assert designs["net.kernel"].tolist() == [5, 3]  # the sleeping one has its first choice
    with pytest.raises(DesignError, match=r"no gene 'net\.dept'") as caught:
        designs["net.dept"]
    assert "net.depth" in caught.value.cure


def test_some_designs_of_a_batch():
    designs = Designs(SPACE, SPACE.rows(), seed=7)
    none = np.empty(0, dtype=np.int64)
    for key in (slice(2, 9, 3), np.array([4, 4, 1]), np.arange(len(designs)) % 2 == 0, none):
        some = designs[key]
        assert isinstance(some, Designs)
        assert some.seed == 7
        np.testing.assert_array_equal(some.genomes, designs.genomes[key])
    assert designs[-1].genome == tuple(designs.genomes[-1])
    assert [d.genome for d in designs] == [tuple(row) for row in designs.genomes.tolist()]


def test_a_single_design_is_readable():
    design = Designs(SPACE, [[1, 1, 0, 1, 1]])[0]
    assert design.config == {"net.depth": 2, "net.kernel": 5, "quant.bits": 4, "hw.units": 16}
    assert design["net.kernel"] == 5
    assert type(design["net.depth"]) is int
    with pytest.raises(DesignError, match=r"'quant\.head_bits' is not active"):
        design["quant.head_bits"]


@given(spaces_with_genomes(n=12), st.data())
def test_the_projection_is_undone_by_its_inverse(drawn, data):
    space, raw = drawn
    designs = Designs(space, raw, seed=3)
    parts = data.draw(st.lists(st.sampled_from(space.part_names), min_size=1, unique=True))
    projected, inverse = designs.part(*parts)
    columns = space.columns_of(*parts)
    assert projected.seed == 3
    assert projected.space == space.part(*parts)
    np.testing.assert_array_equal(projected.genomes[inverse], designs.genomes[:, columns])
    different = [tuple(row) for row in projected.genomes.tolist()]
    assert len(set(different)) == len(different)
    firsts = [inverse.tolist().index(i) for i in range(len(projected))]
    assert firsts == sorted(firsts)


def test_the_projection_of_no_designs():
    projected, inverse = Designs(SPACE, np.empty((0, 5))).part("quant")
    assert (len(projected), inverse.shape, inverse.dtype) == (0, (0,), np.dtype(np.int64))


def test_designs_pickle():
    for dumps in (pickle.dumps, cloudpickle.dumps):
        designs = Designs(JOINT, JOINT.sample(5, np.random.default_rng(0)), seed=9)
        _ = designs.columns, designs.layers
        again = pickle.loads(dumps(designs))
        assert again.seed == 9
        assert again.space == designs.space
        np.testing.assert_array_equal(again.genomes, designs.genomes)
        assert not again.genomes.flags.writeable


class TestSeeds:
    def test_are_the_same_in_every_batch_and_order(self):
        rows = SPACE.rows()
        whole = np.array(Designs(SPACE, rows, seed=5).seeds())
        order = np.random.default_rng(0).permutation(len(rows))
        assert Designs(SPACE, rows[order], seed=5).seeds() == tuple(whole[order])
        assert tuple(d.seed_for() for d in Designs(SPACE, rows, seed=5)) == tuple(whole)

    def test_differ_between_designs_seeds_and_streams(self):
        rows = SPACE.rows()
        seeds = set()
        for seed in (0, 1):
            for stream in ("", "noise"):
                seeds.update(Designs(SPACE, rows, seed).seeds(stream=stream))
        assert len(seeds) == 4 * len(rows)
        assert all(0 <= s < 2**63 for s in seeds)

    def test_ignore_genes_outside_the_parts(self):
        designs = Designs(SPACE, [[0, 0, 1, 0, 0], [0, 0, 1, 0, 1], [1, 1, 1, 0, 1]], seed=1)
        one, two, three = designs.seeds("net", "quant")
        assert one == two != three
        one, two, three = designs.seeds("hw")
        assert one != two == three

    def test_ignore_foreign_genes_that_put_own_genes_to_sleep(self):
        # net.depth 2 and 3 differ in whether quant.head_bits is active, but quant is the same.
        designs = Designs(SPACE, [[1, 0, 1, 0, 0], [2, 0, 1, 0, 0]], seed=1)
        assert designs.part("quant")[1].tolist() == [0, 0]
        assert len(set(designs.seeds("quant"))) == 1

    def test_are_those_of_the_projection(self):
        designs = Designs(SPACE, SPACE.rows(), seed=2)
        projected, inverse = designs.part("net", "quant")
        assert np.array(projected.seeds())[inverse].tolist() == list(designs.seeds("net", "quant"))

    def test_follow_the_values_so_that_a_restricted_space_gives_the_same(self):
        pinned = SPACE.restrict({"net.depth": 3})
        rows, _ = pinned.translate(pinned.rows(), SPACE)
        assert Designs(pinned, pinned.rows()).seeds() == Designs(SPACE, rows).seeds()

    def test_do_not_change_between_versions(self):
        # Written down when the first version was made: a resumed study draws the same again.
        seeds = Designs(SPACE, [[2, 1, 1, 0, 0]], seed=11).seeds("net", stream="s")
        assert seeds == (1921248565494612805,)


def test_layers_need_a_network_and_accelerators_a_template():
    designs = Designs(SPACE, SPACE.rows()[:2])
    with pytest.raises(DesignError, match="no 'net' part"):
        _ = designs.layers
    with pytest.raises(DesignError, match="no 'hw' part"):
        _ = designs.accelerators
    with pytest.raises(DesignError, match="no 'net' part"):
        _ = designs[0].graph


def test_layers_carry_the_bits_of_the_policy():
    space = SkipNet().space() + BitsPerCell().space()
    config = {
        "net.cells": 2, "net.width": 1, "net.skip": "concat",
        "net.cell1.layers": 2, "net.cell2.layers": 3, "net.cell2.skip_channels": 4,
        "quant.cell1.weight_bits": 2, "quant.cell1.activation_bits": 3,
        "quant.cell2.weight_bits": 4, "quant.cell2.activation_bits": 6,
    }  # fmt: skip
    design = Designs(space, space.encode([config]))[0]
    assert design.config == config
    assert design.layers.cell.tolist() == [0, 1, 1, 2, 2, 2, 0, 0]
    assert design.layers.weight_bits.tolist() == [8, 2, 2, 4, 4, 4, 8, 8]
    assert design.layers.activation_bits.tolist() == [8, 3, 3, 6, 6, 6, 8, 8]
    assert [layer.weight_bits for layer in design.graph.layers] == [8, 2, 2, 4, 4, 4, 8, 8]


def test_layers_without_a_policy_are_single_precision():
    space = SkipNet().space()
    layers = Designs(space, space.sample(4, np.random.default_rng(0))).layers
    assert set(layers.weight_bits.tolist()) == set(layers.activation_bits.tolist()) == {32}


def test_the_policy_must_cover_every_cell():
    space = SkipNet(cells=(3,)).space() + BitsPerCell(cells=2).space()
    with pytest.raises(SpaceError, match="cell 3, the policy bits for 2"):
        _ = Designs(space, space.sample(1, np.random.default_rng(0))).layers


def test_accelerators_are_columns_at_rest():
    space = SystolicArray().space()
    config = {
        "hw.rows": 8, "hw.columns": 32, "hw.dataflow": "is", "hw.ifmap_sram": 1024,
        "hw.filter_sram": 2048, "hw.ofmap_sram": 65536, "hw.dram_bandwidth": 3.2e9,
        "hw.clock": 4e8,
    }  # fmt: skip
    design = Designs(space, space.encode([config]))[0]
    assert design.accelerator == {k.removeprefix("hw."): v for k, v in config.items()}
    assert design.batch.accelerators["clock"].tolist() == [4e8]
