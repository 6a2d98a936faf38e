"""Known networks against published sizes and a peer's list of layers; bits per layer on them."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.counts import BitOps, Macs, Params
from hwnas.design import BitsPerLayer, Designs, FixedNetwork, Operator, SkipNet, SystolicArray
from hwnas.design.networks.bert import bert
from hwnas.design.rows import table_of
from hwnas.errors import DesignError, SpaceError
from hwnas.evaluation import Cached
from hwnas.testing import SpaceSubject, space_checks


def layers(network, n=1):
    return Designs(FixedNetwork(network).space(), np.zeros((n, 1), dtype=np.int64)).layers


# The published number of parameters, and what of it is no weight of a layer: two per channel of
# every batch normalisation, biases, and the positions and class token of the vision transformer.
# torchvision.models for resnet to efficientnet; timm's vit_tiny_patch16_224; the checkpoint
# google/bert_uncased_L-4_H-512_A-8. tests/design/outside/test_torch_module.py counts both there.
PUBLISHED = {
    "resnet18": (11_689_512, 2 * 4_800 + 1_000, 21),
    "resnet50": (25_557_032, 2 * 26_560 + 1_000, 54),
    "mobilenet_v2": (3_504_872, 2 * 17_056 + 1_000, 53),
    # Biases of squeeze-and-excitation; of the two last layers.
    "mobilenet_v3_large": (5_483_032, 2 * 12_200 + 5_080 + 2_280, 64),
    "mobilenet_v3_small": (2_542_856, 2 * 6_056 + 2_888 + 2_024, 54),
    "efficientnet_b0": (5_288_548, 2 * 21_008 + 9_340 + 1_000, 82),
    # 12 blocks of nine biases' and two normalisations' worth, tokens, the last normalisation.
    "vit_tiny": (5_717_416, 12 * (9 * 192 + 4 * 192) + 192 + 198 * 192 + 384 + 1_000, 74),
    "bert_small": (28_763_648, 4 * (9 * 512 + 4 * 512) + 2 * 512 + 512, 28),
}
# MACs in billions as printed: torchvision's documentation; Touvron et al. (ICML 2021), table 5;
# Jiao et al., "TinyBERT" (EMNLP 2020), table 1, has FLOPs, twice as many, see the last test here.
MACS = {
    "resnet18": "1.81", "resnet50": "4.09", "mobilenet_v2": "0.30", "mobilenet_v3_large": "0.22",
    "mobilenet_v3_small": "0.06", "efficientnet_b0": "0.39", "vit_tiny": "1.3",
}  # fmt: skip


@pytest.mark.parametrize("network", PUBLISHED)
def test_published_sizes(network):
    params, others, depth = PUBLISHED[network]
    table = layers(network)
    assert int(table.weights.sum()) + others == params
    assert FixedNetwork(network).depth == depth


@pytest.mark.parametrize("network", MACS)
def test_published_macs(network):
    digits = len(MACS[network].partition(".")[2])
    assert f"{layers(network).macs.sum() / 1e9:.{digits}f}" == MACS[network]


@pytest.mark.parametrize(
    ("network", "macs"), [("resnet18", 1_814_073_344), ("mobilenet_v2", 300_774_272)]
)
def test_macs_are_those_of_before(network, macs):
    assert int(layers(network).macs.sum()) == macs


@pytest.mark.parametrize(
    ("network", "file"),
    [("resnet18", "resnet18"), ("resnet50", "resnet50"), ("mobilenet_v2", "mobilenetv2")],
)
def test_layers_are_those_of_the_reference(shared, network, file):
    pandas = pytest.importorskip("pandas")
    expected = pandas.read_csv(shared / "reference" / f"workload_{file}.csv")
    table = layers(network)
    working = table.has_weights
    for name in ("N", "K", "C", "R", "S", "P", "Q", "stride", "groups"):
        assert getattr(table, name)[working].tolist() == expected[name].tolist(), name
    assert table.macs[working].tolist() == expected["MACs"].tolist()
    assert table.weights[working].tolist() == expected["weights"].tolist()


# Jiao et al., table 1: billions of FLOPs at 128 tokens. Embeddings have none.
@pytest.mark.parametrize(
    ("options", "flops"),
    [
        ({"depth": 12, "width": 768, "heads": 12}, 22.5),
        ({"depth": 4, "width": 312, "heads": 12, "inside": 1200}, 1.2),
        ({"depth": 6, "width": 768, "heads": 12}, 11.3),
    ],
)
def test_encoders_cost_what_was_published(options, flops):
    table = table_of(bert(tokens=128, **options))
    assert 2 * table.macs.sum() / 1e9 == pytest.approx(flops, rel=0.05)


@pytest.mark.parametrize(
    ("network", "additions"),
    [("resnet18", 8), ("resnet50", 16), ("mobilenet_v2", 10), ("vit_tiny", 25), ("bert_small", 10)],
)
def test_cells_number_the_layers_with_weights(network, additions):
    table = layers(network)
    working = table.has_weights
    assert table.cell[working].tolist() == list(range(1, FixedNetwork(network).depth + 1))
    assert (table.cell == np.maximum.accumulate(table.cell)).all()
    assert (table.operator == int(Operator.ADD)).sum() == additions


def test_each_design_has_the_layers():
    three, one = layers("resnet18", 3), layers("resnet18")
    assert np.array_equal(three.take([2]).K, one.K)
    assert np.array_equal(three.design, np.repeat([0, 1, 2], len(one)))


def test_bits_of_each_layer():
    """Layer l of design d has the bits of its genes; the maximum pooling those of layer 1."""
    space = FixedNetwork().space() + BitsPerLayer(layers=21).space()
    designs = Designs(space, space.sample(5, np.random.default_rng(1)))
    table = designs.layers
    for row in range(len(table)):
        design = designs[int(table.design[row])]
        assert table.weight_bits[row] == design[f"quant.w{table.cell[row]}"]
        assert table.activation_bits[row] == design[f"quant.a{table.cell[row]}"]
    pool = int(np.flatnonzero(table.operator == int(Operator.POOL))[0])
    assert pool == 1
    assert table.activation_bits[1] == table.activation_bits[0] == designs[0]["quant.a1"]


def test_rows_of_no_cell_have_the_bits_of_the_boundary():
    space = SkipNet(cells=(2,)).space() + BitsPerLayer(2, (4,), (6,), boundary_bits=16).space()
    table = Designs(space, space.sample(1, np.random.default_rng(1))).layers
    assert np.array_equal(table.weight_bits, np.where(table.cell == 0, 16, 4))
    assert np.array_equal(table.activation_bits, np.where(table.cell == 0, 16, 6))


def test_too_few_layers_are_refused():
    space = FixedNetwork("mobilenet_v2").space() + BitsPerLayer(layers=50).space()
    with pytest.raises(SpaceError, match="layer 53, the policy bits for 50") as caught:
        _ = Designs(space, space.sample(1, np.random.default_rng(1))).layers
    assert "layers=53" in caught.value.cure


def test_an_unknown_network_is_refused():
    with pytest.raises(SpaceError, match="no network 'resnet81'") as caught:
        FixedNetwork("resnet81")
    assert "resnet18" in caught.value.cure


@pytest.mark.parametrize(
    "options",
    [{"layers": 0}, {"weight_bits": ()}, {"activation_bits": (1,)}, {"boundary_bits": 64}],
)
def test_impossible_policies_are_refused(options):
    with pytest.raises(SpaceError, match=next(iter(options))):
        BitsPerLayer(**options)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"network": "vit_tiny"}, "transformers"),
        ({"network": "bert_small"}, "transformers"),
        ({"density": 0.5}, "which weights are zero"),
    ],
)
def test_what_cannot_be_trained_says_why(options, rule):
    family = FixedNetwork(**options)
    space = family.space()
    with pytest.raises(DesignError, match=f"{family.label} cannot be built as a graph") as caught:
        _ = Designs(space, space.rows())[0].graph
    assert rule in caught.value.rule


def test_other_images_and_classes():
    """Images of 32 x 32 leave resnet18 one pixel before its classifier of 10 classes."""
    family = FixedNetwork("resnet18", image=32, channels=1, classes=10)
    assert family.label == "resnet18-1x32x32-10"
    assert FixedNetwork(**family.options()) == family
    table, usual = family.table, FixedNetwork("resnet18").table
    convolutions = table.operator == int(Operator.CONVOLUTION)
    assert table.P[convolutions].tolist() == np.ceil(usual.P[convolutions] / 7).tolist()
    assert [table.C[0], table.R[-2], table.K[-1]] == [1, 1, 10]
    inner = slice(1, -1)
    assert np.array_equal(table.weights[inner], usual.weights[inner])


def test_genes_can_ask_a_convolutional_network_for_other_images():
    assert FixedNetwork().at(64).table.P.tolist() == FixedNetwork(image=64).table.P.tolist()
    assert FixedNetwork("vit_tiny").at(224).own_image == 224
    with pytest.raises(SpaceError, match="vit_tiny cannot be made for other images"):
        FixedNetwork("vit_tiny").at(64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "vit_tiny", "image": 32}, "vit_tiny cannot be made for other images"),
        ({"image": 0}, "image = 0"),
        ({"classes": 0}, "classes = 0"),
    ],
)
def test_impossible_images_are_refused(options, message):
    with pytest.raises(SpaceError, match=message):
        FixedNetwork(**options)


def test_a_network_of_one_choice_can_be_cached_and_measured():
    """What reads the network alone measures it once for all bits."""
    space = FixedNetwork().space() + BitsPerLayer().space() + SystolicArray().space()
    designs = Designs(space, space.sample(20, np.random.default_rng(1)))
    assert len(designs.part("net")[0]) == 1
    macs = Cached(Macs()).evaluate(designs)
    assert set(macs["macs"].tolist()) == {1_814_073_344.0}
    assert np.array_equal(Cached(Params()).evaluate(designs)["params"], np.full(20, 11_678_912.0))
    assert len(set(BitOps().evaluate(designs)["bitops"].tolist())) == 20


@pytest.mark.parametrize(
    "subject",
    [
        FixedNetwork(),
        FixedNetwork("mobilenet_v2"),
        FixedNetwork("efficientnet_b0", image=32, classes=10),
        FixedNetwork("mobilenet_v3_small"),
        FixedNetwork("vit_tiny"),
        FixedNetwork("bert_small"),
        BitsPerLayer(layers=3),
        FixedNetwork().space() + BitsPerLayer().space(),
    ],
    ids=[
        "resnet18",
        "mobilenet_v2",
        "efficientnet",
        "mobilenet_v3",
        "vit",
        "bert",
        "bits",
        "joint",
    ],
)
@pytest.mark.parametrize("check", space_checks(), ids=str)
def test_conformance(check, subject):
    check(SpaceSubject.of(subject))


def test_batches_and_zeros():
    one, four = FixedNetwork(), FixedNetwork(batch=4, density=0.5)
    assert four.label == "resnet18-batch4-density0.5"
    assert four.table.macs.sum() == 4 * one.table.macs.sum()
    assert four.table.weights.sum() == one.table.weights.sum()
    assert set(four.table.density[four.table.has_weights]) == {0.5}
    assert FixedNetwork(**four.options()) == four
    for options in ({"batch": 0}, {"density": 0.0}, {"density": 1.5}):
        with pytest.raises(SpaceError, match="cannot have batch"):
            FixedNetwork(**options)
