"""PyTorch modules become the layers that other code counts, with the bits they are rounded to."""

from __future__ import annotations

import math
from dataclasses import fields
from types import MappingProxyType

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from hwnas.design import FixedNetwork, Operator, from_torch  # noqa: E402
from hwnas.errors import DesignError, MissingExtraError  # noqa: E402
from tests.design.outside import torch_networks  # noqa: E402
from tests.design.outside.torch_networks import Attention, ViT  # noqa: E402

# torchvision.models (resnet to efficientnet), timm's vit_tiny_patch16_224, and the checkpoint
# google/bert_uncased_L-4_H-512_A-8 with its pooler.
PUBLISHED = MappingProxyType(
    {
        "resnet18": 11_689_512,
        "resnet50": 25_557_032,
        "mobilenet_v2": 3_504_872,
        "mobilenet_v3_large": 5_483_032,
        "mobilenet_v3_small": 2_542_856,
        "efficientnet_b0": 5_288_548,
        "vit_tiny": 5_717_416,
        "bert_small": 28_763_648,
    }
)


def operators(table):
    return [Operator(code).name for code in table.operator.tolist()]


def one(module, *sizes, **options):
    """The only row of a module's table, as a dictionary."""
    table = from_torch(module, torch.zeros(sizes, device="meta"), **options)
    assert len(table) == 1
    return {f.name: getattr(table, f.name).tolist()[0] for f in fields(table) if f.name != "n"}


@pytest.mark.parametrize("name", torch_networks.NETWORKS)
def test_built_in_networks_are_those_of_torch(name):
    network, example = torch_networks.on_no_device(name)
    found, expected = from_torch(network, example), FixedNetwork(name).table
    for column in fields(expected):
        if column.name != "n":
            left, right = getattr(found, column.name), getattr(expected, column.name)
            np.testing.assert_array_equal(left, right, err_msg=column.name)


@pytest.mark.parametrize("name", torch_networks.NETWORKS)
def test_weights_and_macs_are_those_that_torch_counts(name):
    network, example = torch_networks.on_no_device(name)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]
    weights = [
        p.numel()
        for key, p in network.named_parameters()
        if p.dim() > 1 and key not in ("token", "position")
    ]
    table = FixedNetwork(name).table
    assert int(table.weights.sum()) == sum(weights)
    with FlopCounterMode(display=False) as counter:
        network(*(example if isinstance(example, tuple) else (example,)))
    assert 2 * int(table.macs.sum()) == counter.get_total_flops()


class Functions(nn.Module):
    def __init__(self, function, *sizes):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.zeros(sizes, device="meta"))

    def forward(self, x):
        return self.function(x, self.weight)


PRODUCTS = [
    (lambda x, w: x @ w, (5, 7), (2, 3, 5), "LINEAR"),
    (lambda x, w: torch.einsum("btc,ck->btk", x, w), (5, 7), (2, 3, 5), "CONVOLUTION"),
    (lambda x, w: torch.einsum("ck,btc->btk", w, x), (5, 7), (2, 3, 5), "CONVOLUTION"),
    (lambda x, w: torch.einsum("bgtc,gck->bgtk", x, w), (4, 5, 7), (2, 4, 3, 5), "CONVOLUTION"),
    (lambda x, w: w @ x, (7, 5), (2, 5, 3), "LINEAR"),
    (lambda x, w: torch.addmm(w[0], x, w), (5, 7), (6, 5), "LINEAR"),
    (lambda x, w: x @ w, (4, 5, 7), (2, 4, 3, 5), "CONVOLUTION"),
    (lambda x, w: x @ x.mT, (1,), (2, 3, 5), "MATMUL"),
    (lambda x, w: torch.bmm(x, x.mT), (1,), (2, 3, 5), "MATMUL"),
    (lambda x, w: torch.einsum("bhqd,bhkd->bhqk", x, x), (1,), (2, 4, 3, 5), "MATMUL"),
    (lambda x, w: nn.functional.linear(x, x), (1,), (6, 5), "MATMUL"),
    (lambda x, w: nn.functional.conv1d(x, w, stride=2, groups=2), (6, 2, 3), (2, 4, 9),
     "CONVOLUTION"),
    (lambda x, w: nn.functional.conv2d(x, w, padding="same"), (6, 4, 3, 1), (2, 4, 9, 5),
     "CONVOLUTION"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "weight", "sizes", "operator"), PRODUCTS)
def test_products_have_the_macs_that_torch_counts(function, weight, sizes, operator):
    module = Functions(function, *weight)
    row = from_torch(module, torch.zeros(sizes, device="meta"))
    assert operators(row) == [operator]
    assert row.weights[0] == (0 if operator == "MATMUL" else math.prod(weight))
    x = torch.zeros(sizes)
    with FlopCounterMode(display=False) as counter:
        out = function(x, torch.zeros(weight))
    assert row.outputs[0] == out.numel()
    convolves = "conv" in str(function.__code__.co_names)
    if not convolves:  # conv1d is not among what it counts
        assert 2 * row.macs[0] == counter.get_total_flops()
    window = math.prod(weight[1:]) if convolves else None
    if window:
        assert row.macs[0] == out.numel() * window


def test_pooling_by_hand():
    pool = one(nn.MaxPool2d((3, 2), (2, 2), padding=1), 2, 4, 9, 9)
    assert [pool[k] for k in ("N", "C", "K", "P", "Q", "R", "S", "stride")] == [
        2,
        4,
        4,
        5,
        5,
        3,
        2,
        2,
    ]
    pool = one(nn.AvgPool2d(2), 1, 4, 8, 6)
    assert [pool[k] for k in ("P", "Q", "R", "S", "stride")] == [4, 3, 2, 2, 2]
    assert one(nn.AdaptiveAvgPool2d(2), 1, 4, 8, 8)["R"] == 4
    mean = one(Functions(lambda x, w: x.mean((2, 3)), 1), 2, 5, 8, 6)
    assert [mean[k] for k in ("N", "C", "P", "R", "S")] == [2, 5, 1, 8, 6]
    tokens = one(Functions(lambda x, w: x.mean(1), 1), 2, 7, 5)
    assert [tokens[k] for k in ("N", "C", "R", "S")] == [2, 5, 7, 1]


ELEMENTWISE = [
    (lambda x, w: x + x, (1,), ["ADD"]),
    (lambda x, w: x * x.sigmoid(), (1,), ["ADD"]),
    (lambda x, w: x * x.amax((2, 3), keepdim=True), (1,), ["POOL", "ELEMENTWISE"]),
    (lambda x, w: torch.max(x, x.relu()), (1,), ["ADD"]),
    (lambda x, w: 2**x, (1,), []),
    (lambda x, w: x + w, (4, 6, 6), ["ADD"]),
    (lambda x, w: (x + w) * 3 - 1, (4, 1, 1), []),
    (lambda x, w: x.softmax(-1), (1,), ["ELEMENTWISE"]),
    (lambda x, w: nn.functional.group_norm(x, 2), (1,), ["ELEMENTWISE"]),
    (lambda x, w: (x.relu().flatten(2).transpose(1, 2)[:, 1:] ** 2).clamp(0, 1), (1,), []),
]


@pytest.mark.parametrize(("function", "weight", "expected"), ELEMENTWISE)
def test_element_wise_work(function, weight, expected):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), Functions(function, *weight)).to("meta")
    table = from_torch(module, torch.zeros(1, 4, 6, 6, device="meta"))
    assert operators(table) == ["CONVOLUTION", *expected]
    assert (table.macs[1:] == 0).all()


def test_what_is_not_fused_has_a_row():
    module = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.GELU())
    x = torch.zeros(1, 3, 5, 5)
    assert operators(from_torch(module, x)) == ["CONVOLUTION"]
    apart = from_torch(module, x, fused=False)
    assert operators(apart) == ["CONVOLUTION", "ELEMENTWISE", "ELEMENTWISE"]
    assert apart.outputs.tolist() == [100, 100, 100]


def test_attention_is_the_same_however_it_is_written():
    x = torch.zeros(2, 6, 8, device="meta")
    tables = [from_torch(Attention(8, 2, out).to("meta"), x) for out in (False, True)]
    rows = [[Operator.LINEAR] * 3, Operator.MATMUL, Operator.ELEMENTWISE, Operator.MATMUL]
    names = [o.name for o in (*rows[0], *rows[1:], Operator.LINEAR)]
    for table in tables:
        assert operators(table) == names
        assert table.groups.tolist() == [1, 1, 1, 2, 1, 2, 1]
    np.testing.assert_array_equal(tables[0].macs, tables[1].macs)
    assert tables[0].macs[3] == tables[0].macs[5] == 2 * 2 * 6 * 6 * 4
    theirs = nn.MultiheadAttention(8, 2, batch_first=True, device="meta")
    table = from_torch(theirs, {"query": x, "key": x, "value": x, "need_weights": False})
    assert table.macs.sum() == tables[0].macs.sum()


def quantized(bits, low=0):
    from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver

    return FakeQuantize(MovingAverageMinMaxObserver, quant_min=low, quant_max=low + 2**bits - 1,
                        dtype=torch.qint8 if low else torch.quint8)  # fmt: skip


def test_bits_are_those_of_fake_quantisation():
    from torch.ao.nn import qat
    from torch.ao.quantization import QConfig

    config = QConfig(lambda **_: quantized(8), lambda **_: quantized(3, -4))
    module = nn.Sequential(
        quantized(4), nn.Flatten(2), nn.Unflatten(2, (6, 6)), qat.Conv2d(3, 8, 3, qconfig=config),
        nn.ReLU(), nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip
    before = {name: type(inner) for name, inner in module.named_modules()}
    table = from_torch(module, torch.zeros(1, 3, 6, 6))
    assert table.weight_bits.tolist() == [3, 32]
    assert table.activation_bits.tolist() == [4, 32]
    assert {name: type(inner) for name, inner in module.named_modules()} == before
    pooled = nn.Sequential(quantized(5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    assert from_torch(pooled, torch.zeros(1, 3, 6, 6)).activation_bits.tolist() == [5, 5]
    module[0].disable_fake_quant()
    assert from_torch(module, torch.zeros(1, 3, 6, 6)).activation_bits.tolist() == [32, 32]


def test_half_precision_has_sixteen_bits():
    table = from_torch(nn.Linear(3, 4).half(), torch.zeros(1, 3).half())
    assert (table.weight_bits[0], table.activation_bits[0]) == (16, 16)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.up = nn.Linear(4, 4), nn.ConvTranspose2d(1, 2, 2, 2)
        self.thick = nn.Conv3d(2, 2, 1)

    def forward(self, x):
        y = self.up(self.first(x)[None, None])
        return self.thick(torch.sort(y).values[None].transpose(1, 2)[:, :2])


def test_unknown_operators_are_named_with_their_module():
    x = torch.zeros(4, 4)
    with pytest.raises(DesignError, match="cost is not known") as caught:
        from_torch(Recurrent(), x)
    for name in ("conv_transpose2d", "(up)", "sort", "conv3d in 3 dimensions (thick)"):
        assert name in caught.value.what
    assert "unknown='skip'" in caught.value.cure
    assert operators(from_torch(Recurrent(), x, unknown="skip")) == ["LINEAR"]


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "example", "options", "message"),
    [
        (Branching(), torch.zeros(2, 2), {}, "cannot trace Branching"),
        (nn.Linear(3, 2), torch.zeros(2, 5), {}, "cannot trace Linear"),
        (nn.Linear(3, 2), 5, {}, "from_torch cannot call that"),
        ("no module", torch.zeros(1), {}, "from_torch cannot call that"),
        (nn.ReLU(), torch.zeros(1), {}, "no layer"),
        (nn.Linear(3, 2), torch.zeros(1, 3), {"unknown": "ignore"}, "cannot be 'ignore'"),
        (nn.Conv2d(1, 1, 3, (1, 2)), torch.zeros(1, 1, 9, 9), {}, "with strides 1 x 2"),
        (nn.Linear(3, 2), torch.zeros(0, 3), {}, "cannot have P = 0"),
    ],
)
def test_what_cannot_be_a_table_is_refused(module, example, options, message):
    with pytest.raises(DesignError, match=message):
        from_torch(module, example, **options)


def test_without_torch_the_extra_is_named(monkeypatch):
    from hwnas.design.outside import torch_module

    monkeypatch.setattr(torch_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="from_torch needs the package 'torch'"):
        from_torch(nn.Linear(1, 1), torch.zeros(1, 1))


def test_other_sizes_than_the_published_ones():
    """A transformer of another size, in a batch: MACs in proportion, weights as before."""
    with torch.device("meta"):
        network = ViT(depth=2, width=24, heads=3, patch=8, image=32)
    single = from_torch(network, torch.zeros(1, 3, 32, 32, device="meta"))
    batch = from_torch(network, torch.zeros(4, 3, 32, 32, device="meta"))
    np.testing.assert_array_equal(batch.macs, 4 * single.macs)
    np.testing.assert_array_equal(batch.outputs, 4 * single.outputs)
    np.testing.assert_array_equal(batch.weights, single.weights)
    assert (batch.N == 4).all()
