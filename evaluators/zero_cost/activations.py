"""Training-free metrics of what a network makes of its images, one small function each.

All normalise over the minibatch, as in training.
"""

from __future__ import annotations

import copy
import math
from typing import Final

import torch
from torch import Tensor

from evaluators.zero_cost.probe import Probe, weights_of
from evaluators.zero_cost.recording import Features, Scales

_JACOBIAN_OFFSET: Final = 1e-5
"""k in `jacob_cov`: keeps logarithm and reciprocal finite for an eigenvalue of 0."""
_PERTURBATION: Final = 0.01
"""alpha in `zen`."""


def jacob_cov(probe: Probe) -> float:
    """How little the images' input gradients go together: -sum_i (log(v_i + k) + 1 / (v_i + k)).

    v are the eigenvalues of the correlation matrix between the images of the gradients of the sum
    of all scores by the pixels; k = 1e-5. Not defined where a gradient is constant.

    Source: Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", arXiv
    2006.04647 version 1, section 3.
    """
    rows = probe.pixel_gradients.flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        return -math.inf
    rows = rows / norms
    # Rounding makes eigenvalues of 0 slightly negative.
    v = torch.linalg.eigvalsh(rows @ rows.T).clamp(min=0) + _JACOBIAN_OFFSET
    return -float((v.log() + 1 / v).sum())


def naswot(probe: Probe) -> float:
    """Logarithm of det K, where K_ij counts the rectifiers that are equally on or off for i and j.

    Not defined where K is singular, e.g. where two images switch on the same rectifiers.

    Source: Mellor, Turner, Storkey, Crowley, "Neural Architecture Search without Training", ICML
    2021, section 3.
    """
    images = len(probe.images)
    agreement = torch.zeros(images, images, dtype=torch.float64)
    for code in probe.codes:
        agreement += _agreement(code.float()).double()
    values = torch.linalg.eigvalsh(agreement)
    if values[0] <= values[-1] * images * torch.finfo(values.dtype).eps:
        return -math.inf
    return float(values.log().sum())


def _agreement(code: Tensor) -> Tensor:
    """How many of the rectifiers ``(n, N)`` are equally on (1) or off (0), ``(n, n)``."""
    on = code.sum(1)
    # Both on: c c'; both off: (1 - c)(1 - c)' = N - on_i - on_j + c c'.
    return 2 * (code @ code.T) + code.shape[1] - on[:, None] - on


def zen(probe: Probe) -> float:
    """log(E abs(f(x) - f(x + alpha e))) + sum over batch normalisations of log(s).

    All weights are drawn anew from N(0, 1), as are the images x and e; f are the features before
    the global pooling, abs is the Euclidean norm for one image, E the mean over images, and alpha
    = 0.01. s is the root of the mean, over the channels that are normalised, of their variances
    in the minibatch x. Skip connections stay, though the paper takes them out. Normalisations that
    are given a constant are left out; where f does not depend on x, it is not defined.

    Source: Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV
    2021, algorithm 1.
    """
    module = copy.deepcopy(probe.module)
    generator = torch.Generator().manual_seed(probe.seed)
    scales, still, moved = Scales(), Features(), Features()
    with torch.no_grad():
        for weight in weights_of(module):
            weight.normal_(generator=generator)
        x, noise = torch.empty_like(probe.images), torch.empty_like(probe.images)
        x.normal_(generator=generator)
        noise.normal_(generator=generator)
        with scales, still:
            module(x)
        with moved:
            module(x + _PERTURBATION * noise)
    if still.features is None or moved.features is None:
        return -math.inf
    change = (still.features - moved.features).flatten(1)
    mean = float(torch.linalg.vector_norm(change, dim=1).mean())
    spreads = [float(variance.mean()) for variance in scales.variances]
    logs = [math.log(spread) / 2 for spread in spreads if spread > 0]
    return math.log(mean) + sum(logs) if mean > 0 else -math.inf
