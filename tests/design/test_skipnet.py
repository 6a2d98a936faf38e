"""Skip-connected networks, counted by hand; the layer table against the graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Designs, SkipNet
from hwnas.design import Join, Operator
from hwnas.errors import SpaceError

FAMILY = SkipNet()
SPACE = FAMILY.space()


def design(**config):
    named = {f"net.{name.replace('__', '.')}": value for name, value in config.items()}
    return Designs(SPACE, SPACE.encode([named]))[0]


def test_a_dense_network_by_hand():
    """One cell of width 4 and three layers; the third also sees the 4 channels of the first."""
    layers = design(cells=1, width=1, skip="concat", cell1__layers=3, cell1__skip_channels=4).layers
    assert layers.C.tolist() == [1, 4, 4, 8, 4, 4]
    assert layers.K.tolist() == [4, 4, 4, 4, 4, 10]
    assert layers.P.tolist() == [8, 8, 8, 8, 1, 1]
    assert layers.R.tolist() == [3, 3, 3, 3, 8, 1]
    # Weights K C 9, MACs weights x 64; the classifier 4 x 10; pooling none.
    assert layers.weights.tolist() == [36, 144, 144, 288, 0, 40]
    assert layers.macs.tolist() == [2304, 9216, 9216, 18432, 0, 40]
    assert layers.total(layers.weights).tolist() == [652]
    assert layers.total(layers.macs).tolist() == [39_208]


def test_a_residual_network_by_hand():
    """Two cells of widths 8 and 16; two layers of the second add up to 16 channels (of 32)."""
    layers = design(
        cells=2, width=2, skip="add", cell1__layers=2, cell2__layers=4, cell2__skip_channels=32
    ).layers
    conv, linear = int(Operator.CONVOLUTION), int(Operator.LINEAR)
    pool, add = int(Operator.POOL), int(Operator.ADD)
    assert layers.operator.tolist() == [conv] * 5 + [add, conv, add, conv, pool, linear]
    assert layers.C.tolist() == [1, 8, 8, 8, 16, 16, 16, 16, 16, 16, 16]
    assert layers.K.tolist() == [8, 8, 8, 16, 16, 16, 16, 16, 16, 16, 10]
    assert layers.P.tolist() == [8, 8, 8, 4, 4, 4, 4, 4, 4, 1, 1]
    assert layers.stride.tolist() == [1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1]
    assert layers.cell.tolist() == [0, 1, 1, 2, 2, 2, 2, 2, 2, 0, 0]
    # 72;  2 x 8 x 8 x 9;  16 x 8 x 9;  3 x 16 x 16 x 9;  160
    assert layers.total(layers.weights).tolist() == [72 + 2 * 576 + 1152 + 3 * 2304 + 160]
    assert layers.total(layers.macs).tolist() == [
        72 * 64 + 2 * 576 * 64 + 1152 * 16 + 3 * 2304 * 16 + 160
    ]
    assert layers.total(layers.macs).tolist() == [207_520]


def test_a_cell_of_few_layers_has_no_skip_gene():
    config = {"net.cells": 1, "net.width": 1, "net.skip": "add", "net.cell1.layers": 2}
    assert Designs(SPACE, SPACE.encode([config]))[0].config == config


def test_odd_images_are_rounded_up():
    space = SkipNet(image=7, cells=(3,), layers_per_cell=(2,)).space()
    layers = Designs(space, space.rows()[:1]).layers
    assert layers.P.tolist() == [7, 7, 7, 4, 4, 2, 2, 1, 1]
    assert layers.R.tolist()[-2] == 2


@given(
    st.integers(2, 7),
    st.integers(1, 12),
    st.integers(1, 40),
    st.sampled_from([Join.CONCATENATE, Join.ADD]),
)
def test_borrowed_channels(layer, width, wanted, join):
    """min(t_c, (i-1) w) channels, at most w where they are added, none of the predecessor."""
    sources = FAMILY.skip_sources(1, layer, width, wanted, join)
    most = (layer - 1) * width
    count = min(wanted, most if join is Join.CONCATENATE else min(most, width))
    assert sum(len(channels) for channels in sources.values()) == count
    assert all(0 <= earlier <= layer - 2 for earlier in sources)
    for channels in sources.values():
        assert list(channels) == sorted(set(channels))
        assert 0 <= channels[0] <= channels[-1] < width


@pytest.mark.parametrize("layer", [0, 1])
def test_the_first_two_layers_borrow_nothing(layer):
    assert FAMILY.skip_sources(1, layer, 8, 32, Join.CONCATENATE) == {}


def test_one_genome_is_one_network():
    config = Designs(SPACE, SPACE.sample(1, np.random.default_rng(3)))[0].config
    assert FAMILY.graph(config) == SkipNet().graph(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cells": ()}, "cells"),
        ({"cells": (0, 1)}, "cells"),
        ({"layers_per_cell": (0,)}, "layers_per_cell"),
        ({"widths": (0,)}, "widths"),
        ({"skip_channels": (-1,)}, "skip_channels"),
        ({"skips": ()}, "skip connection"),
        ({"skips": ("sum",)}, "'sum'"),
        ({"cells": (1, 5), "image": 8}, "too small for 5 cells"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(SpaceError, match=message):
        SkipNet(**options)


def test_lists_are_accepted_and_options_are_json():
    family = SkipNet(cells=[1, 2], skips=["add"])
    assert family == SkipNet(cells=(1, 2), skips=("add",))
    assert family.options()["cells"] == [1, 2]
