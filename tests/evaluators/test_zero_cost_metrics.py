"""Training-free metrics on networks so small that they can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from evaluators.zero_cost.metrics import PROXIES  # noqa: E402
from evaluators.zero_cost.probe import Probe  # noqa: E402


def alone(name):
    """A metric as a function of module, images and labels."""
    return lambda module, images, labels, seed=0: PROXIES[name](
        Probe(module, images, labels, [name], seed=seed)
    )


synflow, snip, grad_norm = alone("synflow"), alone("snip"), alone("grad_norm")
fisher, grasp, gradsign, zico = alone("fisher"), alone("grasp"), alone("gradsign"), alone("zico")
jacob_cov, naswot, zen = alone("jacob_cov"), alone("naswot"), alone("zen")


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


def convolutions():
    """Strides, groups, dilation and padding that differ by axis."""
    layers = (
        nn.Conv2d(2, 4, 3, stride=2, padding=(1, 2)),
        nn.ReLU(),
        nn.Conv2d(4, 6, 2, groups=2, dilation=(2, 1), padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(3),
    )
    module = nn.Sequential(*layers).double()
    module(torch.zeros(1, 2, 6, 5, dtype=torch.float64))
    return drawn(module)


def pictures(n=5, size=(2, 6, 5), classes=3):
    images, labels = batch(n, math.prod(size), classes)
    return images.reshape(n, *size), labels


@pytest.mark.parametrize(
    ("module", "given"), [(perceptron(), batch(6, 3, 2)), (convolutions(), pictures())]
)
def test_fisher_is_the_derivative_by_the_scale_of_a_channel(module, given):
    images, labels = given
    step, expected = 1e-6, 0.0
    layers = [layer for layer in module if hasattr(layer, "weight")]
    for layer in layers:
        for channel in range(len(layer.weight)):
            for n in range(len(images)):
                ends = []
                for sign in (1, -1):
                    with torch.no_grad():
                        kept = [p[channel].clone() for p in layer.parameters()]
                        for p in layer.parameters():
                            p[channel] *= 1 + sign * step
                        ends.append(loss(module, images[[n]], labels[[n]]))
                        for p, value in zip(layer.parameters(), kept, strict=True):
                            p[channel] = value
                expected += ((ends[0] - ends[1]) / (2 * step)) ** 2 / (2 * len(images))
    assert fisher(module, images, labels) == pytest.approx(expected, rel=1e-6)


def test_grasp_by_the_whole_hessian():
    module, (images, labels) = perceptron(), batch(6, 3, 2)
    names = [name for name, p in module.named_parameters() if p.dim() > 1]
    values = [dict(module.named_parameters())[name].detach() for name in names]

    def of(*weights):
        scores = torch.func.functional_call(module, dict(zip(names, weights, strict=True)), images)
        return nn.functional.cross_entropy(scores, labels)

    blocks = torch.autograd.functional.hessian(of, tuple(values))
    leaves = [value.clone().requires_grad_() for value in values]
    gradient = torch.autograd.grad(of(*leaves), leaves)
    expected = torch.zeros((), dtype=torch.float64)
    for w, row in zip(values, blocks, strict=True):
        for g, block in zip(gradient, row, strict=True):
            expected -= w.flatten() @ block.detach().reshape(w.numel(), -1) @ g.flatten()
    assert float(expected) != 0
    assert grasp(module, images, labels) == pytest.approx(float(expected), rel=1e-9)


def test_grasp_of_weights_that_are_normalised_is_their_squared_gradient():
    # Their scale has no influence: w H of them is minus their gradient, and nothing elsewhere.
    layers = (nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3, eps=1e-12), nn.AdaptiveAvgPool2d(2))
    module = nn.Sequential(*layers, nn.ReLU(), nn.Flatten())
    nn.init.normal_(module[0].weight, generator=torch.Generator().manual_seed(0))
    images, labels = pictures(classes=12)
    found = grasp(module.double(), images, labels)
    assert found == pytest.approx(grad_norm(module, images, labels) ** 2, rel=1e-9)


def by_image(module, images, labels):
    """GradSign by a loop over images: each through the network alone."""
    weights = [p for p in module.parameters() if p.dim() > 1]
    signs = [torch.zeros_like(w) for w in weights]
    for n in range(len(images)):
        value = nn.functional.cross_entropy(module(images[[n]]), labels[[n]])
        for sign, g in zip(signs, torch.autograd.grad(value, weights), strict=True):
            sign += g.sign()
    return float(sum(sign.abs().sum() for sign in signs))


@pytest.mark.parametrize(
    ("module", "given"), [(perceptron(), batch(11, 3, 2)), (convolutions(), pictures(11))]
)
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
def test_gradsign_image_by_image(module, given, form):
    images, labels = given
    if images.dim() == 4:
        module, images = module.to(memory_format=form), images.to(memory_format=form)
    assert gradsign(module, images, labels) == by_image(module, images, labels) > 0
    assert all(p.requires_grad for p in module.parameters())


def test_gradsign_takes_statistics_for_constants():
    images, labels = pictures(7)
    first = drawn(nn.Conv2d(2, 3, 3)).double()
    module = nn.Sequential(first, nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))
    module = module.double()
    found = gradsign(module, images, labels)
    maps = first(images).detach().numpy()
    module.eval()
    module[1].running_mean.copy_(torch.tensor(maps.mean((0, 2, 3))))
    module[1].running_var.copy_(torch.tensor(maps.var((0, 2, 3))))
    assert found == by_image(module, images, labels) > 0


def test_zico_by_finite_differences():
    module, (images, labels) = perceptron(), batch(7, 3, 2)
    halves = [finite_differences(module, images[r], labels[r]) for r in (slice(4), slice(4, 7))]
    expected = 0.0
    for (_, a), (_, b) in zip(*halves, strict=True):
        # Two numbers deviate by half of their distance.
        varies = np.abs(a - b) > 1e-8
        if varies.any():
            expected += np.log(((np.abs(a) + np.abs(b))[varies] / np.abs(a - b)[varies]).sum())
    assert zico(module, images, labels) == pytest.approx(expected, rel=1e-4)


def test_zico_of_equal_minibatches_is_0():
    module, (images, labels) = perceptron(), batch(3, 3, 2)
    assert zico(module, torch.cat([images] * 2), torch.cat([labels] * 2)) == 0


def test_zen_of_a_wide_layer_is_that_of_random_matrices():
    # A change of 0.01 e in 400 numbers becomes one of 0.01 W e in 300, of squared norm 400 * 300
    # in the mean; normalisation divides it by the root of the variance 400, which is added again.
    def of(*layers):
        module = nn.Sequential(nn.Linear(400, 300, bias=False), *layers, nn.Linear(300, 2))
        return zen(module.double(), *batch(64, 400, 2), seed=1)

    expected = math.log(0.01 * math.sqrt(400 * 300))
    assert of() == pytest.approx(expected, abs=0.02)
    assert of(nn.BatchNorm1d(300)) == pytest.approx(expected, abs=0.02)
    assert of(nn.BatchNorm1d(300), nn.BatchNorm1d(300)) == pytest.approx(expected, abs=0.02)


def test_zen_in_numpy():
    module = nn.Sequential(
        nn.Conv2d(2, 3, 1, bias=False), nn.BatchNorm2d(3, eps=1e-12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2),
    ).double()  # fmt: skip
    images, labels = pictures()
    found = zen(module, images, labels, seed=3)
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.empty(shape, dtype=torch.float64).normal_(generator=generator).numpy()

    weight, _, x, noise = draw(3, 2, 1, 1), draw(2, 3), draw(*images.shape), draw(*images.shape)

    def features(x):
        maps = np.einsum("kc,nchw->nkhw", weight[:, :, 0, 0], x)
        mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3))
        normal = (maps - mean[:, None, None]) / np.sqrt(variance)[:, None, None]
        return np.maximum(normal, 0), variance

    (before, variance), (after, _) = features(x), features(x + 0.01 * noise)
    change = np.sqrt(((before - after) ** 2).sum((1, 2, 3))).mean()
    assert found == pytest.approx(np.log(change) + np.log(np.sqrt(variance.mean())), rel=1e-9)
    assert zen(module, images, labels, seed=4) != found


def test_zen_leaves_out_normalisations_of_constants():
    class Constant(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor, self.normal = factor, nn.BatchNorm1d(3)

        def forward(self, x):
            return self.factor * x + self.normal(torch.zeros_like(x))

    given = batch(6, 3, 2)
    plain = zen(nn.Sequential(nn.Linear(3, 2)).double(), *given)
    assert zen(nn.Sequential(Constant(1.0), nn.Linear(3, 2)).double(), *given) == plain
    assert zen(nn.Sequential(Constant(0.0), nn.Linear(3, 2)).double(), *given) == -math.inf


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


@pytest.mark.parametrize("rectifier", [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()])
def test_naswot_counts_agreeing_rectifiers(rectifier):
    module = nn.Sequential(rectifier, nn.Flatten(), nn.Linear(4, 4, bias=False), nn.ReLU())
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


# zen draws weights anew, so a spare layer gives the others different ones.
@pytest.mark.parametrize("name", sorted(set(PROXIES) - {"zen"}))
def test_a_layer_without_influence_counts_nothing(name):
    class Spare(nn.Module):
        def __init__(self, used):
            super().__init__()
            self.spare, self.used = nn.Linear(3, 3), used

        def forward(self, x):
            return self.used(x)

    given = batch(4, 3, 2)
    assert alone(name)(Spare(perceptron()).double(), *given) == alone(name)(perceptron(), *given)
