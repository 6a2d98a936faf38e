"""Training-free metrics of a torch module at its first weights, one small function each.

L is the cross-entropy of one minibatch, W_l the weights of layer l: every parameter of two or more
dimensions, so neither biases nor batch normalisation. Larger is better throughout. All but
`synflow` normalise over the minibatch, as in training. A layer without influence counts 0.

A network for which a metric is not defined gets minus infinity.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Proxy = Callable[[nn.Module, Tensor, Tensor], float]
"""Module, images ``(n, channels, h, w)`` and labels ``int64 (n,)`` to a number."""

_JACOBIAN_OFFSET: Final = 1e-5
"""k in `jacob_cov`: keeps logarithm and reciprocal finite for an eigenvalue of 0."""
_RECTIFIERS: Final = frozenset(
    (functional.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
)


def grad_norm(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over layers of the Euclidean norm of dL/dW_l: of each layer, not of all together.

    Source: Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, section 3.
    """
    _, gradients = _loss_gradients(module, images, labels)
    return sum(float(torch.linalg.vector_norm(g)) for g in gradients)


def snip(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Sum over weights of abs(w dL/dw), where w dL/dw is dL by a factor at the weight, at 1.

    Source: Lee, Ajanthan, Torr, "SNIP: Single-shot Network Pruning based on Connection
    Sensitivity", ICLR 2019, section 4.1; summed as by Abdelfattah et al., ICLR 2021.
    """
    weights, gradients = _loss_gradients(module, images, labels)
    return sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True))


def synflow(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Logarithm of 1 + sum over weights of abs(w dR/dw).

    R is the sum of the scores of the network made linear: every parameter is its absolute value,
    the input is one image of ones, and batch normalisation is left out. The logarithm and double
    precision are there because R grows by orders of magnitude with depth; 1 is added so that a
    network without a path from input to output has 0.

    Source: Tanaka, Kunin, Yamins, Ganguli, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020, sections 4 (saliency) and 6 (R).
    """
    del labels
    linear = copy.deepcopy(module).double().eval()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    for part in linear.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.register_forward_hook(lambda _, given, __: given[0])
    scores = linear(torch.ones_like(images[:1], dtype=torch.float64))
    weights = _weights(linear)
    gradients = _gradients(scores.sum(), weights)
    total = sum(
        float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True)
    )
    return math.log1p(total)


def jacob_cov(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """How little the images' input gradients go together: -sum_i (log(v_i + k) + 1 / (v_i + k)).

    v are the eigenvalues of the correlation matrix between the images of the gradients of the sum
    of all scores by the pixels; k = 1e-5. Not defined where a gradient is constant.

    Source: Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", arXiv
    2006.04647 version 1, section 3.
    """
    del labels
    module.train()
    pixels = images.clone().requires_grad_()
    (jacobian,) = _gradients(module(pixels).sum(), [pixels])
    rows = jacobian.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        return -math.inf
    rows = rows / norms
    # Rounding makes eigenvalues of 0 slightly negative.
    v = torch.linalg.eigvalsh(rows @ rows.T).clamp(min=0) + _JACOBIAN_OFFSET
    return -float((v.log() + 1 / v).sum())


def naswot(module: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Logarithm of det K, where K_ij counts the rectifiers that are equally on or off for i and j.

    Not defined where K is singular, e.g. where two images switch on the same rectifiers.

    Source: Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", ICML
    2021, section 3.
    """
    del labels
    module.train()
    counter = _Agreement(len(images))
    with torch.no_grad(), counter:
        module(images)
    values = torch.linalg.eigvalsh(counter.agreement)
    if values[0] <= values[-1] * len(images) * torch.finfo(values.dtype).eps:
        return -math.inf
    return float(values.log().sum())


PROXIES: Final[Mapping[str, Proxy]] = {
    "synflow": synflow,
    "snip": snip,
    "grad_norm": grad_norm,
    "jacob_cov": jacob_cov,
    "naswot": naswot,
}
"""Every metric by name."""


class _Agreement(TorchFunctionMode):
    """Adds up, over all rectifiers that run, for which pairs of images they agree.

    A mode and not hooks, because some rectifiers are modules and others are plain calls.
    """

    def __init__(self, images: int) -> None:
        super().__init__()
        self.agreement = torch.zeros(images, images, dtype=torch.float64)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _RECTIFIERS:
            code = (result > 0).flatten(1).float()
            on = code.sum(1)
            # Both on: c c'; both off: (1 - c)(1 - c)' = N - on_i - on_j + c c'.
            both = 2 * (code @ code.T) + code.shape[1] - on[:, None] - on
            self.agreement += both.double()
        return result


def _weights(module: nn.Module) -> list[Tensor]:
    return [parameter for parameter in module.parameters() if parameter.dim() > 1]


def _gradients(of: Tensor, by: list[Tensor]) -> tuple[Tensor, ...]:
    """Gradients; zeros where there is no influence, even on nothing at all."""
    if not of.requires_grad:
        return tuple(torch.zeros_like(b) for b in by)
    return torch.autograd.grad(of, by, allow_unused=True, materialize_grads=True)


def _loss_gradients(
    module: nn.Module, images: Tensor, labels: Tensor
) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Weights, and the gradient of the loss by each."""
    module.train()
    weights = _weights(module)
    return weights, _gradients(functional.cross_entropy(module(images), labels), weights)
