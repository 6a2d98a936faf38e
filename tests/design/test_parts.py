"""Bits per cell, and the genes of a systolic array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from hwnas import BitsPerCell, Designs, Gene, SkipNet, SystolicArray
from hwnas.design import BitsPerLayer
from hwnas.errors import SpaceError
from hwnas.space import Part


def test_bits_of_an_absent_cell_are_inactive():
    space = SkipNet().space() + BitsPerCell().space()
    rows = space.sample(200, np.random.default_rng(0))
    active = Designs(space, rows).active
    cells = Designs(space, rows)["net.cells"]
    for cell in (1, 2, 3):
        for kind in ("weight_bits", "activation_bits"):
            column = space.names.index(f"quant.cell{cell}.{kind}")
            np.testing.assert_array_equal(active[:, column], cells >= cell)


def test_bits_of_rows_by_hand():
    policy = BitsPerCell(cells=2, weight_bits=(2, 4), activation_bits=(6, 8), boundary_bits=16)
    columns = {
        "quant.cell1.weight_bits": np.array([2, 4]),
        "quant.cell1.activation_bits": np.array([6, 8]),
        "quant.cell2.weight_bits": np.array([4, 4]),
        "quant.cell2.activation_bits": np.array([8, 6]),
    }
    design, cell = np.array([1, 0, 0, 1, 0]), np.array([2, 0, 1, 1, 2])
    weight, activation = policy.bits(columns, design, cell)
    assert weight.tolist() == [4, 16, 2, 4, 4]
    assert activation.tolist() == [6, 16, 6, 8, 8]


def test_without_a_gene_for_cells_all_bits_are_always_active():
    space = BitsPerCell(cells_gene="").space()
    assert space.open_conditions == ()
    assert space.size() == 25**3


@pytest.mark.parametrize("bits", [(), (1,), (8, 64)])
@pytest.mark.parametrize("option", ["weight_bits", "activation_bits"])
def test_impossible_bits_are_refused(option, bits):
    with pytest.raises(SpaceError, match=option):
        BitsPerCell(**{option: bits})


@pytest.mark.parametrize("policy", [BitsPerCell, BitsPerLayer])
@pytest.mark.parametrize("bits", [1, 33, 0])
def test_impossible_bits_of_the_boundary_are_refused(policy, bits):
    with pytest.raises(SpaceError, match=f"{policy.name} cannot have boundary_bits = {bits}"):
        policy(boundary_bits=bits)
    assert policy(boundary_bits=32).boundary_bits == 32


@pytest.mark.parametrize(("policy", "option"), [(BitsPerCell, "cells"), (BitsPerLayer, "layers")])
def test_a_policy_has_bits_for_something(policy, option):
    with pytest.raises(SpaceError, match=f"{policy.name} cannot have {option} = 0"):
        policy(**{option: 0})


@pytest.mark.parametrize(("policy", "option"), [(BitsPerCell, "cells"), (BitsPerLayer, "layers")])
def test_a_network_that_is_too_large_for_the_bits_is_refused(policy, option):
    space = SkipNet(cells=(3,)).space() + policy(**{option: 2}).space()
    with pytest.raises(SpaceError, match=f"a {option[:-1]} 3, the policy bits for 2") as caught:
        _ = Designs(space, space.sample(1, np.random.default_rng(1))).layers
    assert caught.value.cure == f"{policy.name}({option}=3)"


@dataclass(frozen=True)
class Numbered(Part):
    name: ClassVar[str] = "numbered"
    prefix: ClassVar[str] = "num"

    choices: tuple[int, ...] = (1, 2)
    label: str = "a"

    def genes(self):
        return (Gene("num.x", self.choices),)


class Bare(Part):
    name = "bare"
    prefix = "num"

    def genes(self):
        return (Gene("num.x", (1, 2)),)


def test_the_options_of_a_dataclass_are_its_fields_without_tuples():
    assert Numbered((3, 5)).options() == {"choices": [3, 5], "label": "a"}
    with pytest.raises(NotImplementedError, match="Bare is no dataclass"):
        Bare().options()


def test_only_the_dataflow_has_no_order():
    genes = SystolicArray().genes()
    assert [g.name for g in genes if not g.ordered] == ["hw.dataflow"]
    units = {g.name: g.unit for g in genes}
    assert units["hw.clock"] == "Hz"
    assert units["hw.dram_bandwidth"] == "B/s"
    assert units["hw.ifmap_sram"] == "B"


@pytest.mark.parametrize(
    "options", [{"rows": ()}, {"columns": (0,)}, {"clock": (-1.0,)}, {"dataflow": ("rs",)}]
)
def test_impossible_arrays_are_refused(options):
    with pytest.raises(SpaceError):
        SystolicArray(**options)
