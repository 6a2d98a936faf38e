"""Training-free metrics of gradients by weights, one small function each.

L is the mean cross-entropy of the minibatch, L_n that of image n, and W_l the weights of layer l:
every parameter of two or more dimensions, so neither biases nor batch normalisation. All but
`synflow` and `gradsign` normalise over the minibatch, as in training. A layer without influence
counts 0.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluators.zero_cost.probe import Probe, gradients, weights_of
from evaluators.zero_cost.recording import ConstantStatistics, Layer, Layers

_MINIBATCHES: Final = 2
_TOGETHER: Final = 8
"""Images whose gradients are computed at once: few, so that what is unfolded stays in the cache."""


def grad_norm(probe: Probe) -> float:
    """Sum over layers of the Euclidean norm of dL/dW_l: of each layer, not of all together.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 3.
    """
    return sum(float(torch.linalg.vector_norm(g.detach())) for g in probe.weight_gradients)


def snip(probe: Probe) -> float:
    """Sum over weights of abs(w dL/dw), where w dL/dw is dL by a factor at the weight, at 1.

    Source: Lee, Ajanthan, Torr, "SNIP: Single-shot Network Pruning based on Connection
    Sensitivity", ICLR 2019, section 4.1; summed as by Abdelfattah et al., ICLR 2021.
    """
    return _saliency(probe.weights, probe.weight_gradients)


def fisher(probe: Probe) -> float:
    """Sum over channels c of 1/(2N) sum_n (sum_hw a dL_n/da)^2, a the output of a layer.

    a is what a convolution or a fully connected layer returns, before normalisation; in training
    L_n also depends on the other images through it, and is meant to: the derivative is that of the
    sum of all L_n. Channels count alike, whatever the number of their weights.

    Source: Theis, Korshunova, Tejani, Huszar, "Faster gaze prediction with dense networks and
    Fisher pruning", arXiv 1801.05787 (the saliency of a channel); Turner et al., "BlockSwap:
    Fisher-guided Block Substitution for Network Compression on a Budget", ICLR 2020 (its sum as
    the score of a network).
    """
    images = len(probe.images)
    total = 0.0
    for output, gradient in probe.outputs:
        # L is a mean, so its gradient is that of the sum of all L_n over N.
        product = output.detach() * gradient.detach() * images
        sums = product.sum((2, 3)) if product.dim() == 4 else product
        total += float(sums.square().sum()) / (2 * images)
    return total


def grasp(probe: Probe) -> float:
    """Minus the sum over weights of w (H g), with the gradient g and the Hessian H of L.

    Source: Wang, Zhang, Grosse, "Picking Winning Tickets Before Training by Preserving Gradient
    Flow", ICLR 2020, section 4 (-w H g of each weight); summed as by Abdelfattah et al., ICLR 2021.
    """
    found = probe.weight_gradients
    square = torch.stack([(g * g.detach()).sum() for g in found]).sum()
    products = gradients(square, probe.weights, again="jacob_cov" in probe.metrics)
    pairs = zip(probe.weights, products, strict=True)
    return -sum(float((w.detach() * h).sum()) for w, h in pairs)


def synflow(probe: Probe) -> float:
    """Logarithm of 1 + sum over weights of abs(w dR/dw).

    R is the sum of the scores of the network made linear: every parameter is its absolute value,
    the input is one image of ones, and batch normalisation is left out. The logarithm and double
    precision are there because R grows by orders of magnitude with depth; 1 is added so that a
    network without a path from input to output has 0.

    Source: Tanaka, Kunin, Yamins, Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, sections 4 (saliency) and 6 (R).
    """
    linear = copy.deepcopy(probe.module).double().eval()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    for part in linear.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.register_forward_hook(lambda _, given, __: given[0])
    scores = linear(torch.ones_like(probe.images[:1], dtype=torch.float64))
    weights = weights_of(linear)
    return math.log1p(_saliency(weights, gradients(scores.sum(), weights)))


def zico(probe: Probe) -> float:
    """Sum over layers of log(sum over weights of mean(abs(g)) / deviation(g)).

    g are the gradients of L on minibatches: the images' first and second half, each of which is
    normalised by itself. The deviation is the standard deviation of g over them, with divisor 2.
    Weights with deviation 0 are left out, and layers of which all are.

    Source: Li, Yang, Bhardwaj, Marculescu, "ZiCo: Zero-shot NAS via Inverse Coefficient of
    Variation on Gradients", ICLR 2023, section 3; the deviation is that of the released code,
    which is of g and not of abs(g).
    """
    of_each = []
    halves = zip(probe.images.chunk(_MINIBATCHES), probe.labels.chunk(_MINIBATCHES), strict=True)
    for images, labels in halves:
        loss = functional.cross_entropy(probe.module(images), labels)
        of_each.append(gradients(loss, probe.weights))
    total = 0.0
    for layer in zip(*of_each, strict=True):
        g = torch.stack(layer)
        deviation = g.std(0, correction=0)
        varies = deviation > 0
        if bool(varies.any()):
            total += float((g.abs().mean(0)[varies] / deviation[varies]).sum().log())
    return total


def gradsign(probe: Probe) -> float:
    """Sum over weights of abs(sum over images of sign(dL_n/dw)).

    With batch normalisation the loss of one image is not defined in training, where it depends on
    the others. Here the minibatch's means and variances are taken for constants: scores are those
    of training, and L_n is a function of image n and of the weights. Layers must not share weights.

    Source: Zhang, Jia, "GradSign: Model Performance Inference with Theoretical Insights", ICLR
    2022, algorithm 1.
    """
    kept = [weight.requires_grad for weight in probe.weights]
    try:
        for weight in probe.weights:
            weight.requires_grad_(False)
        layers = Layers(as_leaves=True)
        with ConstantStatistics(), layers:
            scores = probe.module(probe.images)
        loss = functional.cross_entropy(scores, probe.labels, reduction="sum")
        found = gradients(loss, [layer.output for layer in layers.seen])
    finally:
        for weight, required in zip(probe.weights, kept, strict=True):
            weight.requires_grad_(required)
    total = 0.0
    with torch.no_grad():
        for layer, gradient in zip(layers.seen, found, strict=True):
            signs = sum(part.sign_().sum(0) for part in _by_weights(layer, gradient))
            assert isinstance(signs, Tensor)
            total += float(signs.abs().sum())
    return total


def _by_weights(layer: Layer, gradient: Tensor) -> Iterator[Tensor]:
    """The gradient of each image's loss by a layer's weights, some images at a time.

    Args:
        layer: The layer.
        gradient: The gradient by its output.

    Yields:
        ``(images, groups, K / groups, C R S / groups)``.
    """
    given = layer.given.detach()
    for start in range(0, len(given), _TOGETHER):
        x, g = given[start : start + _TOGETHER], gradient[start : start + _TOGETHER]
        if not layer.options:
            yield (g[:, :, None] * x[:, None, :])[:, None]
            continue
        groups = layer.options["groups"]
        windows = _windows(x, layer)
        n, pixels = windows.shape[:2]
        rows = g.permute(0, 2, 3, 1).reshape(n, pixels, groups, -1).permute(0, 2, 3, 1)
        columns = windows.reshape(n, pixels, -1, groups, layer.weight.shape[1])
        yield rows @ columns.permute(0, 3, 1, 2, 4).reshape(n, groups, pixels, -1)


def _windows(x: Tensor, layer: Layer) -> Tensor:
    """What each pixel of the output is computed from, ``(n, pixels, R S, C)``.

    `torch.nn.functional.unfold` does the same for channels first, and takes several times as long.
    """
    R, S = layer.weight.shape[2:]
    strides, padding, dilation = (
        _pair(layer.options[name]) for name in ("stride", "padding", "dilation")
    )
    x = functional.pad(x.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], *(2 * padding[:1])))
    n, rows, columns, channels = x.stride()
    shape = (len(x), *layer.output.shape[2:], R, S, x.shape[3])
    steps = (rows * strides[0], columns * strides[1], rows * dilation[0], columns * dilation[1])
    return x.as_strided(shape, (n, *steps, channels)).reshape(len(x), -1, R * S, x.shape[3])


def _pair(option: Any) -> tuple[int, int]:
    """An option of a convolution by rows and by columns."""
    return (option, option) if isinstance(option, int) else tuple(option)


def _saliency(weights: list[Tensor], found: tuple[Tensor, ...]) -> float:
    """Sum of abs(w g)."""
    pairs = zip(weights, found, strict=True)
    return sum(float((w.detach() * g.detach()).abs().sum()) for w, g in pairs)
