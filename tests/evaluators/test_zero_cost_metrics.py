"""Training-free metrics on networks so small that they can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from evaluators.zero_cost_metrics import (  # noqa: E402
    PROXIES,
    grad_norm,
    jacob_cov,
    naswot,
    snip,
    synflow,
)


def drawn(module, seed=0):
    """The module with weights of a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=generator)
    return module


def batch(n, features, classes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, features, generator=generator, dtype=torch.float64)
    return images, torch.randint(classes, (n,), generator=generator)


def perceptron():
    layers = (nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    return drawn(nn.Sequential(*layers)).double()


def loss(module, images, labels):
    """Cross-entropy in NumPy, by its definition."""
    with torch.no_grad():
        scores = module(images).numpy()
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return -logs[np.arange(len(logs)), labels.numpy()].mean()


def finite_differences(module, images, labels, step=1e-6):
    """Weights and their gradients, layer by layer."""
    found = []
    for weight in (p for p in module.parameters() if p.dim() > 1):
        gradient = np.zeros(weight.shape)
        for at in np.ndindex(*weight.shape):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    weight[at] += sign * step
                    ends.append(loss(module, images, labels))
                    weight[at] -= sign * step
            gradient[at] = (ends[0] - ends[1]) / (2 * step)
        found.append((weight.detach().numpy(), gradient))
    return found


def test_grad_norm_is_the_sum_of_the_layers_norms():
    module, given = perceptron(), batch(6, 3, 2)
    expected = sum(np.sqrt((g**2).sum()) for _, g in finite_differences(module, *given))
    assert grad_norm(module, *given) == pytest.approx(expected, rel=1e-6)


def test_snip_sums_weight_times_gradient():
    module, given = perceptron(), batch(6, 3, 2)
    expected = sum(np.abs(w * g).sum() for w, g in finite_differences(module, *given))
    assert snip(module, *given) == pytest.approx(expected, rel=1e-6)


def test_synflow_of_a_chain_is_the_product_of_absolute_weights_once_per_layer():
    layers = [nn.Linear(3, 5, bias=False), nn.Linear(5, 4, bias=False), nn.Linear(4, 2, bias=False)]
    module = drawn(nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]))
    a, b, c = (np.abs(layer.weight.detach().double().numpy()) for layer in layers)
    # Every layer's weights have the whole flow R as their saliency (the law of conservation).
    flow = (c @ b @ a @ np.ones(3)).sum()
    given = batch(6, 3, 2)
    assert synflow(module, *given) == pytest.approx(math.log(1 + 3 * flow), rel=1e-12)


def test_synflow_leaves_out_normalisation_signs_and_the_images():
    bare = drawn(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)))
    normalised = nn.Sequential(bare[0], nn.BatchNorm2d(3), bare[1], bare[2])
    with torch.no_grad():
        normalised[1].weight.fill_(7.0)
    images = torch.randn(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(4, dtype=torch.int64)
    before = synflow(bare, images, labels)
    assert synflow(normalised, 9 * images, labels) == before
    with torch.no_grad():
        bare[0].weight.neg_()
    assert synflow(bare, images, labels) == before
    assert (bare[0].weight < 0).any()  # the module keeps its own signs
    assert not normalised[1]._forward_hooks  # and its normalisation


def test_synflow_of_a_broken_network_is_0():
    module = drawn(nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False)))
    nn.init.zeros_(module[0].weight)
    assert synflow(module, *batch(2, 3, 2)) == 0.0


class Square(nn.Module):
    """Squares, so that the gradient by the pixels is twice the pixels."""

    def forward(self, x):
        return x**2


def test_jacob_cov_is_that_of_numpys_correlations():
    images, labels = batch(5, 12, 2)
    v = np.linalg.eigvalsh(np.corrcoef(2 * images.numpy()))
    expected = -(np.log(v + 1e-5) + 1 / (v + 1e-5)).sum()
    assert jacob_cov(Square(), images, labels) == pytest.approx(expected, rel=1e-9)


def test_jacob_cov_prefers_gradients_that_do_not_go_together():
    apart = torch.tensor([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    labels = torch.zeros(2, dtype=torch.int64)
    k = 1e-5
    uncorrelated = -2 * (math.log(1 + k) + 1 / (1 + k))
    equal = -(math.log(2 + k) + 1 / (2 + k) + math.log(k) + 1 / k)
    assert jacob_cov(Square(), apart, labels) == pytest.approx(uncorrelated)
    assert jacob_cov(Square(), apart[[0, 0]], labels) == pytest.approx(equal)
    assert jacob_cov(Square(), torch.ones(2, 4), labels) == -math.inf


@pytest.mark.parametrize("inplace", [False, True])
def test_naswot_counts_agreeing_rectifiers(inplace):
    module = nn.Sequential(nn.ReLU(inplace), nn.Flatten(), nn.Linear(4, 4, bias=False), nn.ReLU())
    with torch.no_grad():
        module[2].weight.copy_(torch.eye(4))
    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, 1, 1, 1]])
    # Two layers of the same codes; agreements counted by hand.
    kernel = 2 * np.array([[4, 2, 2], [2, 4, 2], [2, 2, 4]])
    labels = torch.zeros(3, dtype=torch.int64)
    given = images.clone()
    assert naswot(module, given, labels) == pytest.approx(np.log(np.linalg.det(kernel)))


def test_naswot_by_brute_force():
    module, (images, labels) = perceptron(), batch(4, 3, 2)
    with torch.no_grad():
        first = module[0](images)
        second = module[2](module[1](first))
    codes = np.concatenate([first.numpy() > 0, second.numpy() > 0], axis=1)
    kernel = [[(a == b).sum() for b in codes] for a in codes]
    assert naswot(module, images, labels) == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-9)


def test_naswot_of_identical_codes_is_not_defined():
    module, (images, labels) = perceptron(), batch(4, 3, 2)
    assert naswot(module, images[[0, 1, 1]], labels[:3]) == -math.inf
    assert naswot(module, images[[0, 0, 0]], labels[:3]) == -math.inf


@pytest.mark.parametrize("name", PROXIES)
def test_a_layer_without_influence_counts_nothing(name):
    class Spare(nn.Module):
        def __init__(self, used):
            super().__init__()
            self.spare, self.used = nn.Linear(3, 3), used

        def forward(self, x):
            return self.used(x)

    given = batch(4, 3, 2)
    assert PROXIES[name](Spare(perceptron()).double(), *given) == PROXIES[name](
        perceptron(), *given
    )
