"""Families as modules: each computes what an independent torch module with its weights computes.

Oracles are the module of NAS-Bench-201 that training-free metrics use, and the well-known networks
as written in `tests.design.outside.torch_networks`; numbers of parameters are those published.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from evaluators.datasets import Dataset  # noqa: E402
from evaluators.quantization import QuantizedNetwork  # noqa: E402
from evaluators.training import Training  # noqa: E402
from hwnas.design import (  # noqa: E402
    BitsPerCell,
    BitsPerLayer,
    Designs,
    FixedNetwork,
    NASBench201,
    NASBenchMacro,
    UniformBits,
)
from hwnas.design.graph import Join  # noqa: E402
from hwnas.design.networks import CONVOLUTIONAL  # noqa: E402
from hwnas.errors import ProblemError  # noqa: E402
from tests.design.outside import torch_networks  # noqa: E402
from tests.nas_bench_201_module import NASBench201Network  # noqa: E402

GENERATOR = torch.Generator().manual_seed(0)


def drawn(family, codes):
    return Designs(family.space(), np.array([codes]))[0]


def built(graph):
    return QuantizedNetwork(graph, torch.Generator().manual_seed(0))


def lived_in(reference, images):
    """The reference with scales, shifts and statistics that are not trivial."""
    with torch.no_grad():
        for module in reference.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics of these images
                module.weight.uniform_(0.5, 1.5, generator=GENERATOR)
                module.bias.uniform_(-0.5, 0.5, generator=GENERATOR)
        reference.train()(images)
    return reference.eval()


def moved_in(network, reference):
    """The network with the weights and statistics of a module that executes in the same order."""
    weighted = (m for m in reference.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    normalising = (m for m in reference.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        for computation in network.computations:
            if computation.prepared is not None:
                computation.prepared.load_state_dict(next(normalising).state_dict())
            if computation.weight is not None:
                source = next(weighted)
                computation.weight.copy_(source.weight)
                assert (computation.bias is None) == (source.bias is None)
                if computation.bias is not None:
                    computation.bias.copy_(source.bias)
            if computation.normalised is not None:
                computation.normalised.load_state_dict(next(normalising).state_dict())
    assert next(weighted, None) is next(normalising, None) is None
    return network.eval()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def assert_same_scores(network, reference, images):
    with torch.no_grad():
        found = moved_in(network, lived_in(reference, images))(images)
        expected = reference(images)
    scale = expected.abs().max().item()
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * scale)
    assert not torch.allclose(expected[0], expected[1], atol=1e-3 * scale)


# Edges 01, 02, 12, 03, 13, 23: all operators; sums of three; a node of one edge; a node of nothing
# that a convolution and pooling draw on; skips alone; a convolution that leads nowhere.
CELLS = [(3, 4, 2, 1, 3, 2), (1, 1, 1, 1, 1, 1), (0, 2, 3, 4, 4, 1), (0, 0, 1, 3, 3, 4),
         (3, 0, 0, 1, 0, 0), (4, 0, 3, 0, 2, 0)]  # fmt: skip


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cells_of_nas_bench_201_compute_what_the_module_of_the_metrics_does(cell):
    family = NASBench201(image=8, channels=2, classes=5, cells_per_stage=2, stem_channels=4)
    design = drawn(family, cell)
    reference = NASBench201Network(family, design.config, GENERATOR)
    network = built(design.graph)
    assert parameters(network) == parameters(reference)
    assert_same_scores(network, reference, torch.rand(6, 2, 8, 8, generator=GENERATOR))


def test_first_weights_are_those_of_the_module_of_the_metrics():
    design = drawn(NASBench201(cells_per_stage=1), CELLS[0])
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    reference = NASBench201Network(NASBench201(cells_per_stage=1), design.config, generators[0])
    network = QuantizedNetwork(design.graph, generators[1])
    weights = [[p for p in m.parameters() if p.dim() > 1] for m in (reference, network)]
    assert all(map(torch.equal, *weights))
    images = torch.rand(4, 3, 32, 32, generator=GENERATOR)
    assert torch.allclose(network(images), reference(images), atol=1e-5)


@pytest.mark.parametrize("cell", [(0, 0, 0, 0, 0, 0), (0, 3, 0, 0, 2, 0)], ids=str)
def test_a_cell_that_leads_nowhere_gives_every_image_the_same_scores(cell):
    family = NASBench201(image=8, cells_per_stage=1, stem_channels=4)
    design = drawn(family, cell)
    reference = NASBench201Network(family, design.config, GENERATOR)
    images = torch.rand(4, 3, 8, 8, generator=GENERATOR)
    with torch.no_grad():
        scores = moved_in(built(design.graph), lived_in(reference, images))(images)
        assert torch.allclose(scores, reference(images), atol=1e-6)
    assert torch.equal(scores, scores[:1].expand(4, -1))


def test_dead_edges_are_left_out_of_the_module_as_out_of_the_table():
    dead = (3, 0, 0, 1, 0, 3)
    graphs = [drawn(NASBench201(drop_dead_edges=drop), dead).graph for drop in (False, True)]
    skips = drawn(NASBench201(), (0, 0, 0, 1, 0, 0)).graph
    assert len(graphs[0].layers) == len(graphs[1].layers) + 2 * 15 + 15  # as many additions
    assert [layer.sources for layer in graphs[1].layers] == [s.sources for s in skips.layers]


# Operators and parameters of CIFAR-10 networks as published with NATS-Bench (MIT).
@pytest.mark.parametrize(
    ("cell", "published"),
    [((4, 2, 1, 2, 1, 1), 129_306), ((3, 3, 4, 1, 3, 1), 802_426), ((4, 1, 0, 0, 0, 1), 73_306)],
)
def test_parameters_of_nas_bench_201_are_those_published(cell, published):
    assert parameters(built(drawn(NASBench201(), cell).graph)) == published


def macro_reference(blocks, classes):
    """After the model that the authors of NAS-Bench-Macro published."""
    layers, width = [torch_networks.conv(3, 32, 3)], 32
    for block, kind in enumerate(blocks):
        first = block in (0, 2, 5)
        before, width, stride = (width, 2 * width, 2) if first else (width, width, 1)
        if kind:
            kernel, inside = (3, 3 * before) if kind == 1 else (5, 6 * before)
            layers.append(torch_networks.Inverted(before, width, kernel, stride, inside, nn.ReLU))
        elif first:
            layers.append(torch_networks.conv(before, width, 1, 2, act=None))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, classes)]
    return nn.Sequential(*layers, torch_networks.conv(width, 1280), *head)


@pytest.mark.parametrize("blocks", [(0,) * 8, (1, 2, 0, 1, 0, 2, 1, 2)], ids=str)
def test_blocks_of_nas_bench_macro_compute_what_the_published_model_does(blocks):
    family = NASBenchMacro(image=16)
    images = torch.rand(4, 3, 16, 16, generator=GENERATOR)
    network = built(drawn(family, blocks).graph)
    assert_same_scores(network, macro_reference(blocks, 10), images)


# As published with NAS-Bench-Macro (Apache-2.0).
@pytest.mark.parametrize(
    ("name", "published"), [("00000000", 387_882), ("00000002", 1_219_370), ("00000011", 1_195_306)]
)
def test_parameters_of_nas_bench_macro_are_those_published(name, published):
    blocks = [int(digit) for digit in name]
    assert parameters(built(drawn(NASBenchMacro(), blocks).graph)) == published


def test_parameters_of_a_sample_are_those_of_the_table(shared):
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(shared / "data" / "nas_bench_macro.parquet")
    for _, row in table.sample(3, random_state=2).iterrows():
        design = drawn(NASBenchMacro(), [int(digit) for digit in row["arch"]])
        assert parameters(built(design.graph)) == row["params"]


# torchvision.models.
PUBLISHED = {
    "resnet18": 11_689_512, "resnet50": 25_557_032, "mobilenet_v2": 3_504_872,
    "mobilenet_v3_large": 5_483_032, "mobilenet_v3_small": 2_542_856, "efficientnet_b0": 5_288_548,
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_well_known_networks_compute_what_their_modules_do(name):
    network = built(drawn(FixedNetwork(name, image=64), [0]).graph)
    assert parameters(network) == PUBLISHED[name]
    reference = torch_networks.NETWORKS[name]()
    images = torch.rand(4, 3, 64, 64, generator=GENERATOR)
    assert_same_scores(network, reference, images)


# --- bits and training ----------------------------------------------------------------------------


def test_layers_have_the_bits_of_their_cells():
    space = FixedNetwork("mobilenet_v3_small").space() + BitsPerLayer(layers=54).space()
    design = Designs(space, space.sample(1, np.random.default_rng(1)))[0]
    for layer in design.graph.layers:
        assert layer.weight_bits == design[f"quant.w{layer.cell}"]
        assert layer.activation_bits == design[f"quant.a{layer.cell}"]


def test_what_may_be_negative_is_rounded_on_a_signed_grid():
    """Sums, and what projections give, are signed; what was rectified is not."""
    space = NASBench201(cells_per_stage=1).space() + UniformBits((4,), (4,)).space()
    design = Designs(space, np.array([[3, 4, 2, 1, 3, 2, 0, 0]]))[0]
    network = built(design.graph)
    for computation in network.computations[1:-1]:
        layer = computation.layer
        rectified = layer.activation_before.name == "RELU"
        assert (computation.rounded.bottom < 0) == (not rectified), layer.name
        assert rectified or layer.operator.name in ("POOL", "ADD") or layer.C < layer.K
    assert network.computations[-1].rounded.bottom == 0  # means of what was rectified


def tiny(image, n=60, channels=1, classes=3):
    """Images of uniform brightness: the class is the brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    images = np.clip(
        labels[:, None, None, None] / classes + rng.uniform(0, 0.2, (n, channels, image, image)),
        0, 1,
    )  # fmt: skip
    return Dataset.of("tiny", (images, labels), (images[:30], labels[:30]))


SMALL = {"image": 8, "channels": 1, "classes": 3}


@pytest.mark.parametrize(
    ("family", "codes", "policy", "bits"),
    [
        (NASBench201(**SMALL, cells_per_stage=1, stem_channels=4), (3, 4, 2, 1, 3, 2),
         BitsPerCell(5, (3,), (4,), cells_gene=""), 10),
        (NASBenchMacro(**SMALL), (1, 1, 0, 1, 0, 1, 0, 0), UniformBits((8,), (8,)), 2),
        (FixedNetwork("mobilenet_v3_small", **SMALL), (0,), BitsPerLayer(54, (8,), (8,)), 108),
    ],
    ids=["nas_bench_201", "nas_bench_macro", "mobilenet"],
)  # fmt: skip
def test_a_quantised_network_of_each_family_is_trained(family, codes, policy, bits):
    space = family.space() + policy.space()
    designs = Designs(space, np.array([(*codes, *[0] * bits)]))
    training = Training(dataset=tiny(8), epochs=1, batch_size=20, learning_rate=0.01)
    assert 0 <= training.measure(designs[0])["error"] <= 1
    network = QuantizedNetwork(designs[0].graph, torch.Generator().manual_seed(0))
    network(torch.rand(8, 1, 8, 8)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_a_residual_network_learns_what_is_easy():
    family = NASBench201(**SMALL, cells_per_stage=1, stem_channels=4)
    space = family.space() + UniformBits((8,), (8,)).space()
    (design,) = Designs(space, np.array([(3, 0, 0, 1, 0, 3, 0, 0)]))
    training = Training(dataset=tiny(8), epochs=8, batch_size=20, learning_rate=0.01)
    assert training.measure(design)["error"] < 0.2


@pytest.mark.parametrize(
    "family", [NASBench201(), NASBenchMacro(), FixedNetwork("resnet18")], ids=lambda f: f.name
)
def test_images_of_another_size_say_what_to_give_the_networks(family):
    designs = Designs(family.space(), np.zeros((1, len(family.space())), dtype=np.int64))
    with pytest.raises(ProblemError, match="do not fit the data set 'digits'") as caught:
        list(Training().stream(designs))
    assert "channels=1, image=8, classes=10" in caught.value.cure


def test_no_family_joins_by_addition_what_others_draw_on():
    """Oracles above compare layers in order: every sum is a layer of its own."""
    for graph in (drawn(NASBench201(), CELLS[0]).graph, CONVOLUTIONAL["resnet18"](32, 3, 10)):
        sums = [layer for layer in graph.layers if layer.join is Join.ADD]
        assert sums
        assert all(layer.operator.name == "ADD" for layer in sums)
