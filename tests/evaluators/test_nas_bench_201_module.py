"""Torch modules of NAS-Bench-201: sizes as published; and what a cell of their oracle computes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from evaluators.quantization import QuantizedNetwork  # noqa: E402
from hwnas import Designs  # noqa: E402
from hwnas.design import NASBench201  # noqa: E402
from hwnas.design.nas_bench_201_cell import CONV1, CONV3, NONE, POOL, SKIP  # noqa: E402
from tests.nas_bench_201_module import Cell  # noqa: E402

# Operators of the edges, parameters and multiply-accumulates of CIFAR-10 networks in NATS-Bench
# 1.0 (Dong et al., TPAMI 2021): networks 4414, 14183, 11931, 13981 and 230.
PUBLISHED = [
    ((0, 4, 0, 0, 3, 2), 344346, 47104640),
    ((3, 4, 2, 0, 2, 3), 615386, 86426240),
    ((4, 2, 0, 4, 2, 4), 129306, 15647360),
    ((3, 3, 3, 1, 3, 1), 1045466, 149340800),
    ((0, 2, 3, 2, 2, 2), 428346, 58901120),
]


def network(codes, family=None, seed=0):
    family = family or NASBench201()
    design = Designs(family.space(), np.array([codes]))[0]
    return QuantizedNetwork(design.graph, torch.Generator().manual_seed(seed))


def sizes(codes, family):
    """Parameters, and multiply-accumulates as torch counts them."""
    module = network(codes, family).eval()
    images = torch.zeros(1, family.channels, family.image, family.image)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)
    return sum(p.numel() for p in module.parameters()), counter.get_total_flops() / 2


@pytest.mark.parametrize(("codes", "parameters", "macs"), PUBLISHED)
def test_sizes_are_those_published(codes, parameters, macs):
    assert sizes(codes, NASBench201()) == (parameters, macs)


@pytest.mark.parametrize(
    ("data", "family"), [("c10", NASBench201()), ("in16", NASBench201(image=16, classes=120))]
)
def test_sizes_of_a_sample_are_those_of_the_table(shared, data, family):
    table = pd.read_parquet(shared / "data" / "nb201.parquet").sample(4, random_state=1)
    genes = [f"op_e{name.removeprefix('net.e')}" for name in family.space().names]
    for _, row in table.iterrows():
        published = (row[f"params_{data}"], row[f"macs_{data}"])
        assert sizes(row[genes].to_numpy(np.int64), family) == published


def test_a_cell_sums_what_its_edges_bring():
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    # Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3.
    assert torch.equal(Cell((SKIP, NONE, SKIP, NONE, NONE, SKIP), 3)(x), x)
    assert torch.allclose(Cell((SKIP, SKIP, SKIP, SKIP, SKIP, SKIP), 3)(x), 4 * x)
    assert torch.equal(Cell((NONE, SKIP, NONE, NONE, SKIP, NONE), 3)(x), torch.zeros_like(x))
    pooled = Cell((NONE, NONE, NONE, POOL, NONE, NONE), 3)(x)
    # In the corner four pixels are averaged over four, not over nine.
    assert torch.allclose(pooled[:, :, 0, 0], x[:, :, :2, :2].mean((2, 3)))
    assert torch.allclose(pooled[:, :, 1, 1], x[:, :, :3, :3].mean((2, 3)))


@pytest.mark.parametrize("code", [CONV1, CONV3])
def test_a_convolution_rectifies_first_and_normalises_last(code):
    cell = Cell((NONE, NONE, NONE, code, NONE, NONE), 3)
    assert [type(part) for part in cell.operators["3"]] == [nn.ReLU, nn.Conv2d, nn.BatchNorm2d]
    nn.init.ones_(cell.operators["3"][1].weight)
    x = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    y = cell(x)
    assert torch.allclose(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(cell(x.clamp(min=0)), y)


def test_weights_follow_from_the_generator_alone():
    codes, images = PUBLISHED[1][0], torch.ones(2, 3, 32, 32)
    before = torch.get_rng_state()
    first, again, other = (network(codes, seed=seed)(images) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_other_sizes():
    family = NASBench201(image=8, channels=1, classes=4, cells_per_stage=1, stem_channels=4)
    assert network((3, 1, 2, 4, 1, 3), family)(torch.ones(2, 1, 8, 8)).shape == (2, 4)


def test_dead_edges_are_built_unless_the_family_drops_them():
    # Nothing enters node 1, so its convolutions to nodes 2 and 3 are dead; so is the one from 0
    # to 2, as nothing leaves node 2.
    codes, living = (NONE, CONV3, CONV1, CONV1, CONV3, NONE), (NONE, NONE, NONE, CONV1, NONE, NONE)
    dropped = NASBench201(drop_dead_edges=True)
    assert sizes(codes, dropped) == sizes(living, NASBench201()) < sizes(codes, NASBench201())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(codes, dropped)(images), network(living)(images))
