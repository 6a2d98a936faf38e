"""Forms of layers beyond skipnet's as modules: every one against plain torch written by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from evaluators.quantization.network import QuantizedNetwork  # noqa: E402
from hwnas.design.graph import Activation, Graph, Join, Layer, Pooling, Source  # noqa: E402
from hwnas.design.layers import Operator  # noqa: E402
from hwnas.errors import DesignError  # noqa: E402

SIZES = {"C": 3, "K": 3, "kernel": 1, "stride": 1, "groups": 1, "image": 5, "cell": 1}
FORMS = {
    Activation.NONE: nn.Identity(),
    Activation.RELU: nn.ReLU(),
    Activation.RELU6: nn.ReLU6(),
    Activation.SIGMOID: nn.Sigmoid(),
    Activation.HARD_SIGMOID: nn.Hardsigmoid(),
    Activation.SILU: nn.SiLU(),
    Activation.HARD_SWISH: nn.Hardswish(),
}


def layer(operator, *sources, bits=32, **changes):
    """A layer of three channels at 5 x 5 that is followed by nothing."""
    drawn = tuple(s if isinstance(s, Source) else Source(s) for s in sources)
    form = {"join": Join.CONCATENATE, "normalised": False, "activation": Activation.NONE}
    given = {**SIZES, **form, **changes}
    return Layer("layer", operator, drawn, weight_bits=bits, activation_bits=bits, **given)


def network(*layers):
    """Its module, trained on one batch so that no scale and no statistic is trivial."""
    last = layers[-1]
    module = QuantizedNetwork(Graph(layers, 5, 3, last.K), torch.Generator().manual_seed(0))
    module(images(seed=9))
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() == 1:
                parameter.copy_(torch.linspace(0.5, 1.5, len(parameter)))
                parameter.sub_(1.0 if name.endswith("bias") else 0.0)
    return module.eval()


def images(seed=1):
    return torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 4


def outputs(module, x):
    computed = [x]
    for computation in module.computations:
        computed.append(computation(computed))
    return computed[1:]


def close(a, b):
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5)


def norm(x, bn):
    return functional.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)


@pytest.mark.parametrize("form", Activation)
def test_activations_before_and_after_are_those_of_torch(form):
    net = network(
        layer(Operator.CONVOLUTION, -1, activation_before=form),
        layer(Operator.CONVOLUTION, -1, activation=form),
    )
    x = images()
    first, second = outputs(net, x)
    one, two = net.computations
    assert close(first, functional.conv2d(FORMS[form](x), one.weight, one.bias))
    assert close(second, FORMS[form](functional.conv2d(x, two.weight, two.bias)))


@pytest.mark.parametrize("before", [False, True])
def test_normalisation_needs_no_activation(before):
    which = {"normalised_before": True} if before else {"normalised": True}
    net = network(layer(Operator.CONVOLUTION, -1, biased=False, **which))
    (only,) = net.computations
    assert only.bias is None
    x = images()
    expected = functional.conv2d(norm(x, only.prepared) if before else x, only.weight)
    assert close(outputs(net, x)[0], expected if before else norm(expected, only.normalised))
    assert (expected < 0).any()


def test_what_others_draw_on_is_not_changed_by_an_activation():
    rectifying = layer(Operator.POOL, -1, activation_before=Activation.RELU)
    net = network(rectifying, layer(Operator.ADD, -1, 0, join=Join.ADD, activation=Activation.RELU))
    x = images()
    kept = x.clone()
    first, second = outputs(net, x)
    assert torch.equal(x, kept)
    assert torch.equal(first, x.relu())
    assert torch.equal(second, (x + x.relu()).relu())


def test_sums_are_layers_that_several_draw_on():
    net = network(
        layer(Operator.CONVOLUTION, -1),
        layer(Operator.ADD, 0, -1, join=Join.ADD),
        layer(Operator.ADD, 1, 0, join=Join.ADD),
        layer(Operator.ADD, 2, 1, join=Join.ADD),
    )
    x = images()
    y, *_, last = outputs(net, x)
    assert close(last, 3 * y + 2 * x)


def test_an_edge_of_zeros_brings_nothing_but_keeps_the_shape():
    net = network(
        layer(Operator.ADD, -1, Source(-1, zero=True), join=Join.ADD),
        layer(Operator.CONVOLUTION, Source(-1, zero=True), normalised=True),
    )
    x = images()
    same, shifts = outputs(net, x)
    assert torch.equal(same, x)
    assert torch.equal(shifts, norm(torch.zeros_like(x), net.computations[1].normalised))


@pytest.mark.parametrize("kind", Pooling)
@pytest.mark.parametrize(("padding", "stride", "image"), [(None, 1, 3), (1, 1, 5), (1, 2, 3)])
def test_pooling_window_by_window(kind, padding, stride, image):
    net = network(
        layer(
            Operator.POOL, -1, kernel=3, stride=stride, image=image, padding=padding, pooling=kind
        )
    )
    x = images()
    (pooled,) = outputs(net, x)
    pad = padding or 0
    for row in range(image):
        for column in range(image):
            top, left = row * stride - pad, column * stride - pad
            window = x[:, :, max(top, 0) : top + 3, max(left, 0) : left + 3]
            inside = window.mean((2, 3)) if kind is Pooling.AVERAGE else window.amax((2, 3))
            assert close(pooled[:, :, row, column], inside)


@pytest.mark.parametrize("whole", [False, True])
def test_a_product_scales_elements_or_channels(whole):
    pool = layer(Operator.POOL, -1, kernel=5, image=1)
    scales = 0 if whole else -1
    net = network(pool, layer(Operator.ELEMENTWISE, -1, scales, join=Join.MULTIPLY))
    x = images()
    assert close(outputs(net, x)[1], x * (x.mean((2, 3), keepdim=True) if whole else x))


def test_signs_of_what_is_rounded_are_known():
    relu, swish = Activation.RELU, Activation.HARD_SWISH
    net = network(
        layer(Operator.CONVOLUTION, -1, bits=4, normalised=True),
        layer(Operator.CONVOLUTION, 0, bits=4, activation_before=relu, activation=swish),
        layer(Operator.POOL, 1, bits=4, activation=relu),
        layer(Operator.ADD, 2, -1, join=Join.ADD, bits=4),
        layer(Operator.ADD, 2, 1, join=Join.ADD, bits=4),
        layer(Operator.ADD, 2, Source(1, zero=True), join=Join.ADD, bits=4),
        layer(Operator.ADD, 5, 2, join=Join.ADD, bits=4, normalised_before=True),
    )
    signed = [computation.rounded.bottom < 0 for computation in net.computations]
    assert signed == [False, False, True, False, True, False, True]


@pytest.mark.parametrize(
    "faulty",
    [
        layer(Operator.ADD, -1, -1),
        layer(Operator.ADD, -1, join=Join.ADD),
        layer(Operator.ADD, -1, Source(-1, (0, 1)), join=Join.ADD),
        layer(Operator.ELEMENTWISE, -1),
        layer(Operator.ELEMENTWISE, -1, Source(-1, (0,)), join=Join.MULTIPLY),
        layer(Operator.EMBEDDING, -1),
    ],
    ids=["concatenation", "one source", "narrow", "softmax", "one channel", "embedding"],
)
def test_layers_that_make_no_sense_are_refused_by_name(faulty):
    with pytest.raises(DesignError, match="'layer'"):
        network(faulty)
