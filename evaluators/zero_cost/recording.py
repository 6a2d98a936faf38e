"""What runs inside a torch module, noted while it runs.

Function modes and not hooks, because some layers are modules and others are plain calls. Modes can
be entered together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_RECTIFIERS: Final = frozenset(
    (functional.relu, functional.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
)
_POOLINGS: Final = frozenset(
    (functional.avg_pool2d, functional.adaptive_avg_pool2d, Tensor.mean, torch.mean)
)


class _Mode(TorchFunctionMode):
    """Calls what is called, and looks at it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.call(func, args, dict(kwargs or {}))

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Layer:
    """One call of a convolution or a fully connected layer.

    Attributes:
        given: Its input.
        weight: Its weights.
        output: What it returned, ``(n, K, h, w)`` or ``(n, K)``.
        options: ``stride``, ``padding``, ``dilation`` and ``groups``, empty if fully connected.
    """

    given: Tensor
    weight: Tensor
    output: Tensor
    options: dict[str, Any]


class Layers(_Mode):
    """Notes convolutions and fully connected layers in ``seen``.

    Args:
        as_leaves: Whether gradients are wanted by their outputs though by nothing before them.
    """

    def __init__(self, *, as_leaves: bool = False) -> None:
        super().__init__()
        self.as_leaves = as_leaves
        self.seen: list[Layer] = []

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Notes one call."""
        result = func(*args, **options)
        if func is functional.conv2d or func is functional.linear:
            if self.as_leaves and not result.requires_grad:
                result.requires_grad_()
            bound = _bound(*args, **options)
            given, weight = bound.pop("input"), bound.pop("weight")
            self.seen.append(
                Layer(given, weight, result, bound if func is functional.conv2d else {})
            )
        return result


def _bound(
    input: Tensor,  # noqa: A002 - the names are torch's
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> dict[str, Any]:
    del bias
    return {
        "input": input,
        "weight": weight,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


class Rectifiers(_Mode):
    """Notes in ``codes`` which rectifiers are on, ``bool (n, rectifiers)`` for each call."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[Tensor] = []

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Notes one call, at once: what it returned may be overwritten later."""
        result = func(*args, **options)
        if func in _RECTIFIERS or (
            # Torch hands itself all but tensors by name.
            func is functional.hardtanh and options.get("min_val") == 0
        ):
            self.codes.append(_rows(result > 0))
        return result


def _rows(x: Tensor) -> Tensor:
    """``(n, numbers)``, in the order in which they are stored, so that nothing is copied."""
    return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).flatten(1)


class Scales(_Mode):
    """Notes the variance of each channel that is normalised, in ``variances``, ``(c,)`` a call."""

    def __init__(self) -> None:
        super().__init__()
        self.variances: list[Tensor] = []

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Notes one call."""
        if func is functional.batch_norm:
            self.variances.append(_statistics(args[0])[1])
        return func(*args, **options)


class Features(_Mode):
    """Notes what the classifier is made from.

    Attributes:
        features: The input of the last pooling over whole images or, where there is none, of the
            last fully connected layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pooled: Tensor | None = None
        self.connected: Tensor | None = None

    @property
    def features(self) -> Tensor | None:
        """See the class; ``None`` where neither pooling nor a fully connected layer ran."""
        return self.connected if self.pooled is None else self.pooled

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Notes one call."""
        result = func(*args, **options)
        if func in _POOLINGS and args[0].dim() == 4 and result.shape[2:].numel() == 1:
            self.pooled = args[0]
        elif func is functional.linear:
            self.connected = args[0]
        return result


class ConstantStatistics(_Mode):
    """Batch normalisation with the minibatch's statistics, taken for constants.

    The scores are those of training, and the loss of an image depends on that image alone.
    """

    def call(self, func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Replaces batch normalisation, and nothing else."""
        if func is not functional.batch_norm:
            return func(*args, **options)
        return _normalised(*args, **options)


def _normalised(
    input: Tensor,  # noqa: A002 - the names are torch's
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    del running_mean, running_var, training, momentum
    mean, variance = _statistics(input)
    return functional.batch_norm(input, mean, variance, weight, bias, training=False, eps=eps)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel of ``(n, c, ...)``, constants, ``(c,)`` each."""
    # Torch's variances alone take ten times as long as its normalisation, which finds them too.
    _, mean, reciprocal = torch.native_batch_norm(
        x.detach(), None, None, None, None, True, 0.0, 0.0
    )
    return mean, torch.where(reciprocal > 0, reciprocal**-2, 0.0)
