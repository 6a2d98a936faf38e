"""Networks of inverted residual blocks against one written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.design import BitsPerCell, BitsPerLayer, Designs, Join, MBConv, Operator, SystolicArray
from hwnas.errors import SpaceError
from hwnas.testing import SpaceSubject, space_checks

FAMILY = MBConv(
    channels_per_stage=(4, 6), strides=(1, 2), depths=(1, 2), widths=(0.5, 1.0), stem=4, head=10
)
SPACE = FAMILY.space()
CONV, LINEAR, POOL, ADD = 0, 1, 2, 3

BY_HAND = {
    "net.stage1.depth": 1, "net.stage1.width": 1.0,
    "net.stage1.block1.kernel": 5, "net.stage1.block1.expansion": 1,
    "net.stage2.depth": 2, "net.stage2.width": 0.5,
    "net.stage2.block1.kernel": 3, "net.stage2.block1.expansion": 3,
    "net.stage2.block2.kernel": 5, "net.stage2.block2.expansion": 2,
}  # fmt: skip


def by_hand():
    return Designs(SPACE, SPACE.encode([BY_HAND]))


def test_layers_of_one_network_by_hand():
    """Stem; 4 to 4 without an expansion, added; 4, 12, 3 at half the image; 3, 6, 3, added."""
    layers = by_hand().layers
    ops = [CONV, CONV, CONV, ADD, *[CONV] * 6, ADD, CONV, POOL, LINEAR]
    assert layers.operator.tolist() == ops
    assert layers.C.tolist() == [1, 4, 4, 4, 4, 12, 12, 3, 6, 6, 3, 3, 10, 10]
    assert layers.K.tolist() == [4, 4, 4, 4, 12, 12, 3, 6, 6, 3, 3, 10, 10, 10]
    assert layers.P.tolist() == [8, 8, 8, 8, 8, 4, 4, 4, 4, 4, 4, 4, 1, 1]
    assert layers.R.tolist() == [3, 5, 1, 1, 1, 3, 1, 1, 5, 1, 1, 1, 4, 1]
    assert layers.stride.tolist() == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert layers.groups.tolist() == [1, 4, 1, 1, 1, 12, 1, 1, 6, 1, 1, 1, 1, 1]
    assert layers.cell.tolist() == [0, 1, 1, 1, *[2] * 7, 0, 0, 0]
    assert layers.weights.sum() == 36 + 100 + 16 + 48 + 108 + 36 + 18 + 150 + 18 + 30 + 100


def test_graph_of_one_network_by_hand():
    graph = by_hand()[0].graph
    layers = {layer.name: layer for layer in graph.layers}
    assert list(layers) == [
        "stem",
        "stage1.block1.narrow.depthwise", "stage1.block1.narrow.project", "stage1.block1.sum",
        "stage2.block1.expand", "stage2.block1.depthwise", "stage2.block1.project",
        "stage2.block2.expand", "stage2.block2.depthwise", "stage2.block2.project",
        "stage2.block2.sum", "head", "pool", "classifier",
    ]  # fmt: skip
    joined = layers["stage2.block2.sum"]
    assert joined.operator is Operator.ADD
    assert joined.join is Join.ADD
    assert [source.layer for source in joined.sources] == [6, 9]
    activated = {name for name, layer in layers.items() if layer.activated}
    wide = {f"stage2.block{b}.{part}" for b in (1, 2) for part in ("expand", "depthwise")}
    assert activated == wide | {"stem", "head", "stage1.block1.narrow.depthwise"}
    bare = {name for name, layer in layers.items() if not layer.normalised}
    assert bare == {"stage1.block1.sum", "stage2.block2.sum", "pool", "classifier"}


def test_a_block_that_changes_width_or_image_adds_nothing():
    family = MBConv(channels_per_stage=(4, 4), strides=(2, 1), depths=(1,), widths=(1, 2), stem=4)
    space = family.space()
    designs = Designs(space, space.rows())
    sums = designs.layers.total(designs.layers.operator == ADD)
    kept = designs["net.stage1.width"] == designs["net.stage2.width"]
    assert np.array_equal(sums, kept)  # stage 1 halves the image, so only stage 2 may add


@pytest.mark.parametrize(("cell_of", "cells"), [("stage", 3), ("block", 9), ("layer", 30)])
def test_cells_are_what_is_asked_for(cell_of, cells):
    family = MBConv(cell_of=cell_of)
    space = family.space()
    largest = Designs(space, np.array([[len(gene.choices) - 1 for gene in space.genes]]))
    numbers = set(largest.layers.cell.tolist())
    assert family.cells == cells
    assert numbers == set(range(1 if cell_of == "layer" else 0, cells + 1))
    if cell_of == "layer":  # a cell of its own for every layer with weights
        own = largest.layers.cell[largest.layers.has_weights]
        assert own.tolist() == list(range(1, 31))


def test_bits_of_absent_blocks_are_asleep():
    family = MBConv(cell_of="block", depths=(1, 2))
    policy = BitsPerCell(cells=family.cells, exists=family.blocks)
    space = family.space() + policy.space()
    designs = Designs(space, space.sample(200, np.random.default_rng(0)))
    columns = [space.names.index(f"quant.cell{cell}.weight_bits") for cell in range(1, 7)]
    depths = np.stack([designs[f"net.stage{stage}.depth"] for stage in (1, 2, 3)], axis=1)
    there = depths[:, :, None] >= np.array([1, 2])
    assert np.array_equal(designs.active[:, columns], there.reshape(200, 6))


def test_the_encoding_tells_networks_apart_and_sizes_are_in_order():
    encoding = FAMILY.encoding(SPACE.decode(SPACE.rows()), SPACE.size())
    assert encoding.shape == (SPACE.size(), len(set(FAMILY.encoding_names())))
    assert encoding.min() == 0
    assert encoding.max() == 1
    assert len(np.unique(encoding, axis=0)) == SPACE.size()
    table = Designs(SPACE, SPACE.rows()).layers
    weights = table.total(table.weights)
    assert np.array_equal(np.argsort(encoding[:, -2]), np.argsort(weights))


@pytest.mark.parametrize(
    "options",
    [
        {"strides": (1, 2)},
        {"kernels": (3, 4)},
        {"widths": (0.1,)},
        {"widths": ()},
        {"depths": (0, 1)},
        {"expansions": ()},
        {"cell_of": "net"},
        {"image": 0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(SpaceError, match=next(iter(options))):
        MBConv(**options)


def test_conditions_for_another_number_of_cells_are_refused():
    with pytest.raises(SpaceError, match="conditions for 9"):
        BitsPerCell(cells=3, exists=MBConv().blocks)


BLOCKS = MBConv(cell_of="block", depths=(1, 2), image=7, channels=3, stem_stride=2)
LAYERS = MBConv(cell_of="layer", channels_per_stage=(4,), strides=(1,), stem=4)


@pytest.mark.parametrize(
    "space",
    [
        MBConv().space() + BitsPerCell(cells_gene="").space() + SystolicArray().space(),
        BLOCKS.space() + BitsPerCell(BLOCKS.cells, exists=BLOCKS.blocks).space(),
        LAYERS.space() + BitsPerLayer(layers=LAYERS.cells).space(),
    ],
    ids=["stages", "blocks", "layers"],
)
@pytest.mark.parametrize("check", space_checks(), ids=str)
def test_conformance(check, space):
    check(SpaceSubject.of(space))
