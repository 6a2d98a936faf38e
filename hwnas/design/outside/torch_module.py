"""PyTorch modules as layer tables: `torch.export` traces them, their shapes make the rows.

Nothing is computed: tracing runs on shapes alone, so a module and its input may be on the device
``meta`` and as large as they like.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from hwnas import plugins
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.outside.tensors import Bits, Rows, Shape, Unknown, UnknownLayerError
from hwnas.errors import DesignError

_FREE: Final = frozenset((
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "mT", "movedim",
    "swapaxes", "contiguous", "clone", "expand", "expand_as", "repeat", "repeat_interleave",
    "unsqueeze", "squeeze", "slice", "select", "narrow", "chunk", "split", "split_with_sizes",
    "unbind", "cat", "stack", "detach", "alias", "lift_fresh_copy", "to", "_to_copy", "type_as",
    "dropout", "feature_dropout", "identity", "getitem", "roll", "flip", "pad",
    "constant_pad_nd", "_unsafe_view", "view_as", "pixel_shuffle", "pixel_unshuffle", "unfold",
    "index", "index_select", "gather", "masked_fill", "where", "tril", "triu", "copy",
    "slice_scatter", "select_scatter", "channel_shuffle", "native_channel_shuffle",
    "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full",
    "_assert_tensor_metadata", "atleast_2d", "meshgrid",
))  # fmt: skip
"""They move or name values, and are done with while these are moved anyhow."""
_POINTWISE: Final = frozenset((
    "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "sigmoid", "tanh", "silu", "gelu",
    "elu", "celu", "selu", "leaky_relu", "prelu", "rrelu", "softplus", "mish", "log_sigmoid",
    "hardshrink", "threshold", "clamp", "clamp_min", "clamp_max", "abs", "neg", "exp", "log",
    "sqrt", "rsqrt", "pow", "square", "reciprocal", "sign", "erf", "sin", "cos", "round",
    "floor", "ceil", "bernoulli", "nan_to_num", "batch_norm",
    "_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm",
    "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine",
    "quantize_per_tensor", "quantize_per_channel", "dequantize_per_tensor",
    "dequantize_per_channel",
))  # fmt: skip
"""Functions of one element, and batch normalisation, which is one once trained."""
_TRAFFIC: Final = frozenset((
    "softmax", "_softmax", "log_softmax", "layer_norm", "native_layer_norm", "group_norm",
    "native_group_norm", "instance_norm", "rms_norm", "local_response_norm", "normalize",
    "cumsum", "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d",
    "upsample_nearest1d", "upsample_linear1d", "glu",
))  # fmt: skip
_BINARY: Final = frozenset((
    "add", "sub", "rsub", "mul", "div", "maximum", "minimum", "true_divide", "fmod",
    "remainder", "atan2", "lerp", "addcmul",
))  # fmt: skip
_REDUCTIONS: Final = frozenset((
    "mean", "sum", "amax", "amin", "max", "min", "var", "std", "var_mean", "norm",
))  # fmt: skip
_CONVOLUTIONS: Final = frozenset((
    "conv1d", "conv2d", "conv3d", "convolution",
))  # fmt: skip
_PRODUCTS: Final = {
    "matmul": ("self", "other"), "mm": ("self", "mat2"), "bmm": ("self", "mat2"),
    "mv": ("self", "vec"), "addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"),
}  # fmt: skip
_POOLS: Final = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
_ADAPTIVE: Final = (
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d"
)  # fmt: skip
_KEEPS_BITS: Final = _FREE | {"relu", "relu6", "hardtanh", *_POOLS, *_ADAPTIVE}
"""Their results have the bits of their inputs: integer hardware rounds means to these."""


def from_torch(
    module: Any, example_input: Any, *, unknown: Unknown = "error", fused: bool = True
) -> LayerTable:
    """The layers of a PyTorch module, as one design.

    Convolutions (one or two dimensions), fully connected layers, products of activations,
    attention, embeddings, pooling and reductions, additions, softmax and normalisation get a row
    each, in order of execution. What only moves values, and what is constant, has none. A layer
    that is called twice has two rows, so its weights count twice. Padding counts as input; dilation
    does not (a dilated kernel is laid out as if it were not).

    Bits are those of fake quantisation: modules of ``torch.ao.quantization``, or PyTorch's
    functions of that name. A row has the bits of its weights and of its (first) input; 32 where
    they are not quantised.

    Args:
        module: A ``torch.nn.Module``. It is traced as it is: call ``eval()`` before if that
            matters. It is not changed.
        example_input: What it is called with: a tensor, a tuple of arguments, or a dictionary of
            named ones. The first size of the first tensor is the batch size.
        unknown: ``error`` to refuse a module with operators that are not known, ``skip`` to leave
            them out.
        fused: Whether functions of one element and batch normalisation are computed while the
            layer before writes its results, so that they have no row. They get one if not.

    Returns:
        One design; every layer with weights is a cell of its own, see `hwnas.design.rows.table_of`.

    Raises:
        MissingExtraError: torch is not installed.
        DesignError: The module cannot be traced, has unknown operators (each is named, with its
            module), or a layer of a size that cannot be.

    Example:
        >>> import torch  # doctest: +SKIP
        >>> from_torch(torch.nn.Linear(8, 4), torch.empty(1, 8)).macs  # doctest: +SKIP
        array([32])
    """
    if find_spec("torch") is None:
        raise plugins.missing_extra("from_torch", "torch")
    program, batch = _traced(module, example_input)
    walk = _Walk(Rows(batch, unknown), fused, set(program.graph_signature.user_inputs))
    for node in program.graph.nodes:
        walk.visit(node)
    return walk.rows.table()


def _traced(module: Any, example_input: Any) -> tuple[Any, int]:
    """The exported program, and the batch size."""
    import torch

    named = example_input if isinstance(example_input, Mapping) else {}
    given = () if named else example_input
    arguments = tuple(given) if isinstance(given, tuple | list) else (given,)
    tensors = [v for v in (*arguments, *named.values()) if isinstance(v, torch.Tensor)]
    if not isinstance(module, torch.nn.Module) or not tensors:
        raise DesignError(
            "from_torch cannot call that",
            rule="a torch.nn.Module, and an example input with at least one tensor",
            given=f"{type(module).__name__}, {type(example_input).__name__}",
        )
    try:
        with torch.no_grad():
            program = torch.export.export(
                _with_plain_rounding(module), arguments, dict(named), strict=False
            )
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise DesignError(
            f"PyTorch cannot trace {type(module).__name__}",
            rule="torch.export.export(module, (example_input,), strict=False) succeeds",
            given=f"{type(error).__name__}: {lines[0]}",
            cure="mend what it names: most often control flow that depends on values, or an "
            "example input that does not fit",
        ) from error
    first = tensors[0].shape
    return program, max(1, int(first[0])) if len(first) > 1 else 1


def _with_plain_rounding(module: Any) -> Any:
    """The module with fake quantisation that can be traced: without observers."""
    import torch
    from torch.ao.quantization import FakeQuantizeBase

    class Rounding(torch.nn.Module):
        def __init__(self, lowest: int, highest: int) -> None:
            super().__init__()
            self.lowest, self.highest = lowest, highest

        def forward(self, x: Any) -> Any:
            return torch.fake_quantize_per_tensor_affine(x, 1.0, 0, self.lowest, self.highest)

    def plain(quantizer: Any) -> Any:
        if not bool(quantizer.fake_quant_enabled.flatten()[0]):
            return torch.nn.Identity()
        limits = quantizer if hasattr(quantizer, "quant_min") else quantizer.activation_post_process
        return Rounding(int(limits.quant_min), int(limits.quant_max))

    if not any(isinstance(inner, FakeQuantizeBase) for inner in module.modules()):
        return module
    copied = copy.deepcopy(module)
    for parent in list(copied.modules()):
        for name, inner in list(parent.named_children()):
            if isinstance(inner, FakeQuantizeBase):
                setattr(parent, name, plain(inner))
    return copied


@dataclass
class _Walk:
    """Goes through a traced graph; ``live`` names what depends on the example input."""

    rows: Rows
    fused: bool
    live: set[str]

    def visit(self, node: Any) -> None:
        """Makes the rows of one node."""
        if node.op != "call_function" or not self._is_live(node.all_input_nodes):
            return
        self.live.add(node.name)
        value, operator, place = node.meta.get("val"), _operator(node), _place(node)
        first = value[0] if isinstance(value, tuple | list) and value else value
        if not hasattr(first, "shape") or not first.dtype.is_floating_point or operator in _FREE:
            return
        name = f"{place}.{operator}" if place else operator
        try:
            if not self._known(operator, node, name):
                self.rows.note_unknown(operator, place)
        except UnknownLayerError as error:
            self.rows.note_unknown(f"{operator} {error}", place)

    def _known(self, operator: str, node: Any, name: str) -> bool:
        out = _shape(node)
        if operator in _POINTWISE:
            if not self.fused and not operator.startswith(("fake_quantize", "quant", "dequant")):
                self.rows.elementwise(out, self._bits(self._first(node)), name)
        elif operator in _TRAFFIC:
            self.rows.elementwise(out, self._bits(self._first(node)), name)
        elif operator in _PRODUCTS:
            arguments = _arguments(node)
            a, b = (arguments[argument] for argument in _PRODUCTS[operator])
            self._product(a, b, out, name)
        elif (handler := _HANDLERS.get(operator)) is not None:
            handler(self, _arguments(node), out, name)
        else:
            return False
        return True

    def _is_live(self, nodes: Any) -> bool:
        return any(node.name in self.live for node in nodes)

    def _first(self, node: Any) -> Any:
        """The first input that depends on the network's input."""
        return next(source for source in node.all_input_nodes if source.name in self.live)

    def _is_constant(self, node: Any) -> bool:
        return node.name not in self.live

    def _bits(self, node: Any, weight: Any = None) -> Bits:
        return Bits(FLOAT_BITS if weight is None else _bits_of(weight), _bits_of(node))

    def convolution(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        source, weight = given["input"], given["weight"]
        if given.get("transposed"):
            raise UnknownLayerError("transposed")
        if not self._is_constant(weight):
            raise UnknownLayerError("whose weights are computed")
        bits = self._bits(source, weight)
        self.rows.convolution(_shape(weight), out, given["stride"], given["groups"], bits, name)

    def linear(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        source, weight = given["input"], given["weight"]
        K, C = _shape(weight)
        if self._is_constant(weight):
            self.rows.linear(C, K, out, self._bits(source, weight), name)
        else:
            self.rows.product((1, math.prod(out) // K, C, K), self._bits(source), name)

    def _product(self, a: Any, b: Any, out: Shape, name: str) -> None:
        left, right = _shape(a), _shape(b)
        if self._is_constant(a):  # W x: its transpose is x' W'
            (a, b), (left, right) = (b, a), (_turned(right), _turned(left))
        weights = self._is_constant(b)
        bits = self._bits(a, b if weights else None)
        self.rows.matmul(left, right, out, bits, name, weights=weights)

    def einsum(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        equation, tensors = given["equation"], given["tensors"]
        if len(tensors) != 2:
            raise UnknownLayerError(equation)
        a, b = tensors
        if self._is_constant(a):
            terms, _, result = equation.partition("->")
            equation, (a, b) = ",".join(terms.split(",")[::-1]) + "->" + result, (b, a)
        weights = self._is_constant(b)
        bits = self._bits(a, b if weights else None)
        self.rows.einsum(equation, _shape(a), _shape(b), bits, name, weights=weights)

    def attention(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        query, key, value = (given[part] for part in ("query", "key", "value"))
        self.rows.attention(_shape(query), _shape(key), _shape(value), self._bits(query), name)

    def embedding(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        table = given["weight"]
        self.rows.embedding(_shape(table), out, Bits(_bits_of(table)), name)

    def pooling(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        window = _list(given["kernel_size"])
        strides = _list(given["stride"]) or window
        rank = len(out) - 2
        window, strides = (
            sizes * rank if len(sizes) == 1 else sizes for sizes in (window, strides)
        )
        self.rows.pooling(window, out, strides, self._bits(given["self"]), name)

    def adaptive(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        before = _shape(given["self"])[2:]
        window = [math.ceil(size / to) for size, to in zip(before, out[2:], strict=True)]
        strides = [size // to for size, to in zip(before, out[2:], strict=True)]
        self.rows.pooling(window, out, strides, self._bits(given["self"]), name)

    def reduction(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        if given.get("other") is not None:  # the larger, or smaller, of two
            self.binary(given, out, name)
            return
        dims = _list(given.get("dim"))
        self.rows.reduction(_shape(given["self"]), dims, self._bits(given["self"]), name)

    def binary(self, given: Mapping[str, Any], out: Shape, name: str) -> None:
        tensors = [value for value in given.values() if hasattr(value, "meta")]
        computed = [tensor for tensor in tensors if not self._is_constant(tensor)]
        constant = [tensor for tensor in tensors if self._is_constant(tensor)]
        sizes = ([math.prod(_shape(tensor)) for tensor in some] for some in (computed, constant))
        kind, bits = self.rows.binary(out, *sizes), self._bits(computed[0])
        if kind is Operator.ADD:
            self.rows.addition(out, bits, name)
        elif kind is Operator.ELEMENTWISE or not self.fused:
            self.rows.elementwise(out, bits, name)


_Handler = Callable[[_Walk, Mapping[str, Any], Shape, str], None]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    **dict.fromkeys(_CONVOLUTIONS, _Walk.convolution),
    **dict.fromkeys(_BINARY, _Walk.binary),
    **dict.fromkeys(_REDUCTIONS, _Walk.reduction),
    **dict.fromkeys(_POOLS, _Walk.pooling),
    **dict.fromkeys(_ADAPTIVE, _Walk.adaptive),
    "linear": _Walk.linear,
    "einsum": _Walk.einsum,
    "scaled_dot_product_attention": _Walk.attention,
    "embedding": _Walk.embedding,
}


def _operator(node: Any) -> str:
    """The operator's name, the same for its in-place form."""
    packet = getattr(node.target, "overloadpacket", node.target)
    name = str(getattr(packet, "__name__", packet))
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


def _place(node: Any) -> str:
    """The module that the node comes from."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def _arguments(node: Any) -> dict[str, Any]:
    """Arguments by name, defaults filled in."""
    given: dict[str, Any] = {}
    for i, argument in enumerate(node.target._schema.arguments):
        if i < len(node.args):
            given[argument.name] = node.args[i]
        else:
            given[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return given


def _shape(node: Any) -> list[int]:
    value = node.meta["val"]
    return [int(size) for size in (value[0] if isinstance(value, tuple | list) else value).shape]


def _turned(shape: list[int]) -> list[int]:
    return [*shape[:-2], shape[-1], shape[-2]] if len(shape) > 1 else shape


def _list(sizes: Any) -> list[int]:
    if sizes is None:
        return []
    return [int(size) for size in sizes] if isinstance(sizes, tuple | list) else [int(sizes)]


def _bits_of(node: Any) -> int:
    """Bits of the fake quantisation that a tensor comes from, or of its numbers without."""
    value = node.meta["val"]
    while hasattr(node, "op") and node.op == "call_function":
        operator = _operator(node)
        if operator.startswith(("fake_quantize", "quantize_per", "dequantize_per")):
            given = _arguments(node)
            return min(FLOAT_BITS, (int(given["quant_max"]) - int(given["quant_min"])).bit_length())
        if operator not in _KEEPS_BITS or not node.all_input_nodes:
            break
        node = node.all_input_nodes[0]
    return min(FLOAT_BITS, 8 * int(value.dtype.itemsize))
