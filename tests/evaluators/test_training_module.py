"""The module that is trained: every operation against plain torch, every rounding against a grid.

Oracles are torch's own functions on tensors put together by hand, torch's own fake quantisation,
and for steps the closed form of the quantisation error of a normal distribution.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from evaluators.quantization.network import QuantizedNetwork  # noqa: E402
from evaluators.quantization.rounding import (  # noqa: E402
    RoundedActivations,
    RoundedWeights,
    normal_step,
)
from hwnas import BitsPerCell, SkipNet  # noqa: E402
from hwnas.design.designs import Designs  # noqa: E402
from hwnas.design.graph import Activation, Graph, Join, Layer, Source  # noqa: E402
from hwnas.design.layers import Operator  # noqa: E402
from hwnas.errors import DesignError  # noqa: E402

CONVOLUTION = Layer(
    "convolution", Operator.CONVOLUTION, (Source(-1),), Join.CONCATENATE,
    C=2, K=4, kernel=3, stride=1, groups=1, image=6, weight_bits=32, activation_bits=32,
    cell=1, normalised=True, activation=Activation.RELU,
)  # fmt: skip
POOL = dataclasses.replace(
    CONVOLUTION, name="pool", operator=Operator.POOL, C=4, kernel=6, image=1, normalised=False,
    activation=Activation.NONE,
)  # fmt: skip
LINEAR = dataclasses.replace(
    CONVOLUTION, name="linear", operator=Operator.LINEAR, C=4, K=3, kernel=1, image=1,
    normalised=False, activation=Activation.NONE,
)  # fmt: skip


def layer(like, name, *sources, **changes):
    """A layer like another, drawing on some sources: a number, or a number and its channels."""
    drawn = tuple(Source(*s) if isinstance(s, tuple) else Source(s) for s in sources)
    return dataclasses.replace(like, name=name, sources=drawn, **changes)


def network(*layers, image=6, channels=2):
    """The module of a graph, with random weights, statistics, scales and shifts."""
    graph = Graph(tuple(layers), image, channels, layers[-1].K)
    generator = torch.Generator().manual_seed(7)
    module = QuantizedNetwork(graph, generator)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.dim() == 1 and tensor.is_floating_point():
                tensor.copy_(torch.rand(len(tensor), generator=generator) + 0.5)
                if name.endswith(("bias", "running_mean")):
                    tensor.sub_(1.0)
    return module.eval()


def images(n=3, channels=2, image=6):
    return torch.rand(n, channels, image, image, generator=torch.Generator().manual_seed(5))


def normalised(x, computation):
    """Oracle: batch normalisation by its formula, then rectification."""
    bn = computation.normalised
    mean, variance, gain, shift = (
        v[:, None, None] for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
    )
    return torch.relu((x - mean) / torch.sqrt(variance + bn.eps) * gain + shift)


def convolved(x, computation, stride=1, groups=1):
    out = functional.conv2d(x, computation.weight, stride=stride, padding=1, groups=groups)
    return normalised(out, computation)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_chain_with_stride_pool_and_classifier_is_plain_torch():
    net = network(
        layer(CONVOLUTION, "a", -1),
        layer(CONVOLUTION, "b", 0, C=4, K=6, stride=2, image=3),
        layer(POOL, "pool", 1, C=6, K=6, kernel=3),
        layer(LINEAR, "head", 2, C=6),
    )
    a, b, _, head = net.computations
    x = images()
    pooled = convolved(convolved(x, a), b, stride=2).mean(dim=(2, 3))
    assert close(net(x), pooled @ head.weight.T + head.bias)


@pytest.mark.parametrize("chosen", [(0, 3), (1,), (0, 1, 2, 3), None])
def test_concatenation_puts_chosen_channels_behind_the_first_source(chosen):
    taken = 4 if chosen is None else len(chosen)
    net = network(
        layer(CONVOLUTION, "a", -1),
        layer(CONVOLUTION, "b", 0, C=4, K=3),
        layer(CONVOLUTION, "c", 1, (0, chosen), (-1, (1,)), C=3 + taken + 1),
    )
    a, b, c = net.computations
    x = images()
    first = convolved(x, a)
    second = convolved(first, b)
    picked = first if chosen is None else torch.stack([first[:, k] for k in chosen], dim=1)
    joined = torch.cat([second, picked, x[:, 1:2]], dim=1)
    assert close(net(x).view(3, 4, 6, 6), convolved(joined, c))


def test_addition_goes_onto_the_leading_channels_one_source_after_the_other():
    net = network(
        layer(CONVOLUTION, "a", -1),
        layer(CONVOLUTION, "b", 0, C=4),
        layer(CONVOLUTION, "c", 1, (0, (1, 2)), (-1, (1,)), C=4, join=Join.ADD),
    )
    a, b, c = net.computations
    x = images()
    first = convolved(x, a)
    joined = convolved(first, b).clone()
    joined[:, 0] += first[:, 1]
    joined[:, 1] += first[:, 2]
    joined[:, 2] += x[:, 1]
    assert close(net(x).view(3, 4, 6, 6), convolved(joined, c))


def test_groups_do_not_mix():
    net = network(layer(CONVOLUTION, "a", -1), layer(CONVOLUTION, "depthwise", 0, C=4, groups=4))
    a, depthwise = net.computations
    x = images()
    assert depthwise.weight.shape == (4, 1, 3, 3)
    first = convolved(x, a)
    each = [
        functional.conv2d(first[:, k : k + 1], depthwise.weight[k : k + 1], padding=1)
        for k in range(4)
    ]
    expected = normalised(torch.cat(each, dim=1), depthwise)
    assert close(net(x).view(3, 4, 6, 6), expected)


def drawn(n, seed=0):
    space = SkipNet().space() + BitsPerCell().space()
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


def test_module_and_layer_table_describe_the_same_network():
    for design in drawn(25):
        net = QuantizedNetwork(design.graph, torch.Generator().manual_seed(0)).eval()
        table = design.layers
        rows = np.flatnonzero(table.operator != Operator.ADD)
        outputs = [torch.rand(2, 1, 8, 8)]
        for computation in net.computations:
            outputs.append(computation(outputs))
        assert torch.equal(net(outputs[0]), outputs[-1].flatten(1))
        expected = [(2, table.K[r], table.P[r], table.Q[r]) for r in rows]
        assert [tuple(output.shape) for output in outputs[1:]] == expected
        for computation, r in zip(net.computations, rows, strict=True):
            if computation.weight is not None:
                kernel = (table.R[r], table.S[r]) if computation.weight.dim() == 4 else ()
                shape = (table.K[r], table.C[r] // table.groups[r], *kernel)
                assert computation.weight.shape == shape
        # An addition borrows as many channels as its row has, and belongs to the next row.
        added = [c.joined.borrowed for c in net.computations if c.joined.adds and c.joined.borrowed]
        assert added == table.K[table.operator == Operator.ADD].tolist()


def test_trainable_numbers_are_the_weights_and_what_the_docstring_adds():
    for design in drawn(25, seed=1):
        net = QuantizedNetwork(design.graph, torch.Generator().manual_seed(0))
        weights = design.layers.total(design.layers.weights)[0]
        normalisation = sum(2 * layer.K for layer in design.graph.layers if layer.normalised)
        biases = design.graph.classes
        assert sum(p.numel() for p in net.parameters()) == weights + normalisation + biases


@pytest.mark.parametrize("levels", [1, 3, 7, 15, 31, 127])
def test_steps_have_the_least_error_for_a_normal_distribution(levels):
    def error(step):
        """Closed form: E[(x - k step)^2] over each cell of the half-normal, in pieces."""
        edges = np.r_[0.0, (np.arange(levels) + 0.5) * step, np.inf]
        total = 0.0
        for k in range(levels + 1):
            a, b, q = edges[k], edges[k + 1], k * step
            mass = norm.cdf(b) - norm.cdf(a)
            first = norm.pdf(a) - norm.pdf(b)
            second = mass + a * norm.pdf(a) - (b * norm.pdf(b) if np.isfinite(b) else 0.0)
            total += second - 2 * q * first + q * q * mass
        return total

    best = minimize_scalar(error, bounds=(1.0 / levels, 8.0 / levels), method="bounded")
    step = normal_step(levels)
    # The minimum is flat: half a percent of the step is nothing in the error.
    assert step == pytest.approx(best.x, rel=0.02)
    assert error(step) == pytest.approx(best.fun, rel=1e-3)


@pytest.mark.parametrize(("levels", "table"), [(1, 1.2240), (3, 0.6508)])
def test_steps_are_those_of_max(levels, table):
    # J. Max, "Quantizing for Minimum Distortion", 1960, table II: 3 and 7 equally spaced levels.
    assert normal_step(levels) == pytest.approx(table, rel=0.005)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("shape", [(5, 40, 3, 3), (5, 300)])
def test_rounded_weights_lie_on_one_symmetric_grid_per_channel(bits, shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    weight *= torch.logspace(-3, 3, 5).view(5, *(1,) * (len(shape) - 1))
    rounded = RoundedWeights(bits, shape)(weight)
    levels = 2 ** (bits - 1) - 1
    for before, after in zip(weight, rounded, strict=True):
        values = torch.unique(after)
        assert 2 < len(values) <= 2 * levels + 1
        step = float(before.square().mean().sqrt()) * normal_step(levels)
        index = values / step
        assert torch.allclose(index, index.round(), atol=1e-3 * levels)
        assert index.abs().max() <= levels + 1e-3
        inside = before.abs() < levels * step
        assert (after - before)[inside].abs().max() <= step * 0.5001


def test_at_two_bits_statistics_beat_the_largest_weight():
    weight = torch.randn(8, 16, 3, 3, generator=torch.Generator().manual_seed(0))
    by_maximum = torch.fake_quantize_per_channel_affine(
        weight, weight.abs().amax(dim=(1, 2, 3)), torch.zeros(8, dtype=torch.int32), 0, -1, 1
    )
    rounded = RoundedWeights(2, weight.shape)(weight)
    assert (rounded - weight).square().mean() < 0.5 * (by_maximum - weight).square().mean()


def test_weights_of_zero_stay_zero():
    rounded = RoundedWeights(2, (3, 4))(torch.zeros(3, 4))
    assert torch.equal(rounded, torch.zeros(3, 4))


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("signed", [False, True])
def test_rounded_activations_are_those_of_torch(bits, signed):
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    x = (x if signed else x.relu()).requires_grad_()
    rounding = RoundedActivations(bits, signed=signed).train()
    answer = rounding(x)
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    step = float(x.detach().square().mean().sqrt()) * normal_step(top)
    other = x.detach().clone().requires_grad_()
    bottom = -top if signed else 0
    expected = torch.fake_quantize_per_tensor_affine(other, step, 0, bottom, top)
    assert torch.allclose(answer, expected, atol=1e-4 * step)
    assert len(torch.unique(answer)) <= top - bottom + 1
    # The gradient passes inside the range and stops outside. Torch's own range ends half a step
    # later, where rounding leads back inside.
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    answer.backward(upstream)
    expected.backward(upstream)
    sure = (x.detach().abs() < top * step) | (x.detach().abs() > (top + 0.5) * step)
    sure &= x.detach() != bottom * step
    assert (x.detach().abs() > (top + 0.5) * step).any() or bits > 4
    assert torch.equal(x.grad[sure], other.grad[sure])


def test_the_step_follows_training_and_rests_in_testing():
    rounding = RoundedActivations(4, signed=False).train()
    first, second = torch.full((2, 3), 2.0), torch.full((2, 3), 4.0)
    rounding(first)
    assert rounding.mean_square == pytest.approx(4.0)
    rounding(second)
    assert rounding.mean_square == pytest.approx(0.9 * 4.0 + 0.1 * 16.0)
    rounding.eval()
    rounding(100.0 * second)
    assert rounding.mean_square == pytest.approx(0.9 * 4.0 + 0.1 * 16.0)


def test_negative_inputs_are_rounded_on_a_signed_grid():
    bits = {"weight_bits": 4, "activation_bits": 4}
    net = network(
        layer(
            CONVOLUTION,
            "linear bottleneck",
            -1,
            normalised=False,
            activation=Activation.NONE,
            **bits,
        ),
        layer(CONVOLUTION, "next", 0, C=4, **bits),
        layer(POOL, "pool", 0, **bits),
        layer(LINEAR, "head", 2, **bits),
    )
    bottoms = [computation.rounded.bottom for computation in net.computations]
    assert bottoms == [0, -7, -7, -7]
    kept = net.computations[1].rounded(torch.tensor([[-1.0, 1.0]]))
    assert kept[0, 0] == -kept[0, 1] < 0


def test_what_is_computed_is_rounded_input_times_rounded_weights():
    net = network(layer(CONVOLUTION, "a", -1, weight_bits=3, activation_bits=4))
    (a,) = net.computations
    x = images()
    out = functional.conv2d(a.rounded(x), a.rounded_weights(a.weight), padding=1)
    assert close(net(x).view(3, 4, 6, 6), normalised(out, a))
    assert not close(net(x).view(3, 4, 6, 6), convolved(x, a))


def test_wide_enough_numbers_are_not_rounded():
    net = network(layer(CONVOLUTION, "a", -1, weight_bits=24, activation_bits=32))
    (a,) = net.computations
    assert a.rounded is None
    assert a.rounded_weights is None


def test_gradients_reach_every_weight_through_two_bits():
    for design in drawn(4, seed=2):
        layers = tuple(
            dataclasses.replace(layer, weight_bits=2, activation_bits=2)
            for layer in design.graph.layers
        )
        net = QuantizedNetwork(
            dataclasses.replace(design.graph, layers=layers), torch.Generator().manual_seed(0)
        )
        x = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        functional.cross_entropy(net(x), torch.arange(64) % 10).backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert (parameter.grad != 0).any(), name


def test_first_weights_follow_from_the_generator_alone():
    (design,) = drawn(1)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, same, other = (
        QuantizedNetwork(design.graph, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    stem = [net.computations[0].weight for net in (one, same, other)]
    assert torch.equal(stem[0], stem[1])
    assert not torch.equal(stem[0], stem[2])


@pytest.mark.parametrize(
    ("faulty", "named"),
    [
        (layer(CONVOLUTION, "wide", 0, (0, (1,)), C=4), "wide"),
        (layer(CONVOLUTION, "narrow", 0, C=3), "narrow"),
        (layer(CONVOLUTION, "crowded", 0, 0, -1, C=4, join=Join.ADD), "crowded"),
        (layer(CONVOLUTION, "one bit", 0, C=4, weight_bits=1), "one bit"),
        (layer(CONVOLUTION, "sum", 0, C=4, operator=Operator.ADD), "sum"),
        (layer(CONVOLUTION, "scores", 0, C=4, operator=Operator.MATMUL), "scores"),
        (layer(CONVOLUTION, "shifts", 0, C=4, operator=Operator.SHIFT), "shifts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_graph_that_contradicts_itself_is_refused_by_name(faulty, named):
    with pytest.raises(DesignError, match=f"'{named}'"):
        network(layer(CONVOLUTION, "a", -1), faulty)
