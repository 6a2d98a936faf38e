"""The genes of spatial arrays and of mappings."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.spatial.stays import ROLES, Stay
from evaluators.spatial.tilings import POLICIES
from hwnas import Designs
from hwnas.design import FixedNetwork, MappingPerLayer, SpatialArray, UniformMapping
from hwnas.design.mappings import STAYS, TILINGS
from hwnas.design.spatial_array import unrolled
from hwnas.errors import SpaceError


def test_dataflows_have_names():
    assert unrolled("nvdla") == ("K", "C")
    assert unrolled("shidiannao") == ("P", "Q")
    assert unrolled("row_stationary") == ("R", "P")
    assert unrolled("N|G|S") == ("N", "G", "S")


@pytest.mark.parametrize("strange", ["K", "K|K", "K|X", "K|C|P|Q", "nvdl", "", "k|c"])
def test_strange_dataflows_are_refused(strange):
    with pytest.raises(SpaceError, match="no dataflow"):
        SpatialArray(dataflow=(strange,))


def test_the_core_and_the_cost_model_speak_of_the_same_mappings():
    assert tuple(POLICIES) == TILINGS
    assert tuple(stay.name.lower() for stay in Stay) == STAYS
    assert set(ROLES) == set(Stay)


def test_genes_have_units_and_orders():
    genes = {gene.name: gene for gene in SpatialArray().genes()}
    assert genes["hw.ifmap_sram"].unit == "B"
    assert genes["hw.dram_bandwidth"].unit == "B/s"
    assert not genes["hw.dataflow"].ordered
    assert genes["hw.rows"].ordered


def test_mappings_reach_the_layer_table():
    space = FixedNetwork().space() + UniformMapping(tiling=("best", "inputs")).space()
    designs = Designs(space, space.sample(30, np.random.default_rng(0)))
    tiling = designs["map.tiling"][designs.layers.design]
    np.testing.assert_array_equal(
        designs.layers.tiling, np.where(tiling == "inputs", TILINGS.index("inputs") + 1, 0)
    )


def test_mappings_per_layer_belong_to_their_layers():
    space = FixedNetwork().space() + MappingPerLayer(layers=21).space()
    designs = Designs(space, space.sample(5, np.random.default_rng(0)))
    table = designs.layers
    for row in range(len(table)):
        cell = table.cell[row]
        name = STAYS[table.stay[row] - 1]
        assert designs[f"map.stay{cell}"][table.design[row]] == name


def test_a_network_with_more_layers_than_mappings_is_refused():
    space = FixedNetwork().space() + MappingPerLayer(layers=3).space()
    with pytest.raises(SpaceError, match="mappings for 3"):
        Designs(space, space.sample(1, np.random.default_rng(0))).layers  # noqa: B018
    with pytest.raises(SpaceError, match="layers = 0"):
        MappingPerLayer(layers=0)
