"""ONNX files as layer tables: ONNX's own shape inference makes the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from hwnas import plugins
from hwnas.design.layers import FLOAT_BITS, LayerTable, Operator
from hwnas.design.outside.tensors import Bits, Rows, Shape, Unknown, UnknownLayerError
from hwnas.errors import DesignError

_FREE: Final = frozenset((
    "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice",
    "Identity", "Dropout", "Expand", "Tile", "Cast", "CastLike", "Pad", "Gather",
    "GatherElements", "GatherND", "ScatterND", "DepthToSpace", "SpaceToDepth", "Where",
    "Constant", "ConstantOfShape", "Shape", "Size", "Range", "Trilu", "CenterCropPad", "EyeLike",
))  # fmt: skip
_POINTWISE: Final = frozenset((
    "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu",
    "HardSigmoid", "HardSwish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "Swish",
    "Clip", "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Erf", "Sin", "Cos", "Round",
    "Floor", "Ceil", "Sign", "IsNaN", "BatchNormalization", "QuantizeLinear",
    "DequantizeLinear", "DynamicQuantizeLinear",
))  # fmt: skip
_ROUNDING: Final = frozenset(("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"))
_TRAFFIC: Final = frozenset((
    "Softmax", "LogSoftmax", "LayerNormalization", "GroupNormalization",
    "InstanceNormalization", "RMSNormalization", "MeanVarianceNormalization", "LpNormalization",
    "LRN", "Resize", "Upsample", "CumSum",
))  # fmt: skip
_BINARY: Final = frozenset((
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Mod",
))  # fmt: skip
_REDUCTIONS: Final = frozenset((
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "ReduceLogSumExp",
))  # fmt: skip
_GLOBAL: Final = frozenset(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"))
_POOLS: Final = frozenset(("MaxPool", "AveragePool", "LpPool"))
_FACTORS: Final = {
    "Conv": (0, 1), "ConvInteger": (0, 1), "QLinearConv": (0, 3),
    "MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3),
}  # fmt: skip
"""Operators that multiply, and the places of their two factors among their inputs."""
_KEEPS_BITS: Final = _FREE | {"Relu", "Clip", *_POOLS, *_GLOBAL}


def from_onnx(
    path: str | Path,
    *,
    unknown: Unknown = "error",
    fused: bool = True,
    sizes: Mapping[str, int] | None = None,
) -> LayerTable:
    """The layers of an ONNX file, as one design.

    What gets a row, and what ``unknown`` and ``fused`` mean, is as in `from_torch`. Weights are not
    read, so their files need not be there. What the file spells out, such as a normalisation in
    nine operators, costs what these do. Bits are those of QuantizeLinear and DequantizeLinear,
    of integer operators, or of the tensors' own types; 32 at most.

    Args:
        path: The file.
        unknown: ``error`` to refuse a file with operators that are not known, ``skip`` to leave
            them out.
        fused: Whether functions of one element and batch normalisation have no row.
        sizes: What to take for sizes that the file leaves open, by their names, e.g.
            ``{"sequence": 128}``. An open first size, the batch, is 1 if it is not named.

    Returns:
        One design; every layer with weights is a cell of its own.

    Raises:
        MissingExtraError: The package onnx is not installed.
        DesignError: The file is missing or is none, has unknown operators (each is named), or a
            size that stays open.
    """
    file = Path(path)
    if find_spec("onnx") is None:
        raise plugins.missing_extra("from_onnx", "onnx")
    graph = _inferred(file, dict(sizes or {}))
    tensors = _Tensors.of(graph, file)
    shapes = [tensors.shape(name) for name in tensors.inputs if tensors.shapes.get(name)]
    batch = shapes[0][0] if shapes and len(shapes[0]) > 1 else 1
    walk = _Walk(Rows(batch, unknown), tensors, fused)
    for node in graph.node:
        walk.visit(node)
    return walk.rows.table()


def _inferred(file: Path, sizes: Mapping[str, int]) -> Any:
    """The graph of a file, with its functions written out and all shapes that can be inferred."""
    import onnx
    import onnx.inliner

    try:
        model = onnx.load(str(file), load_external_data=False)
        for tensor in model.graph.input:
            for place, dim in enumerate(tensor.type.tensor_type.shape.dim):
                if dim.HasField("dim_param") or not dim.HasField("dim_value"):
                    size = sizes.get(dim.dim_param, 1 if place == 0 else 0)
                    if size:
                        dim.dim_value = size
        # What an exporter noted about inner tensors still has the open sizes.
        del model.graph.value_info[:]
        for tensor in model.graph.output:
            tensor.type.tensor_type.ClearField("shape")
        model = onnx.inliner.inline_local_functions(model)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except FileNotFoundError as error:
        raise DesignError(
            f"there is no file {file}", where=str(file), cure="check the path"
        ) from error
    except Exception as error:  # protobuf and onnx raise many kinds
        raise DesignError(
            f"{file.name} cannot be read as an ONNX file",
            where=str(file),
            given=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            cure="export it again; onnx.checker.check_model says more",
        ) from error
    return model.graph


@dataclass
class _Tensors:
    """What is known about tensors by name.

    Attributes:
        file: Where they come from.
        inputs: The inputs of the network.
        shapes: Sizes; ``None`` for one that is open.
        kinds: ONNX's element types.
        makers: The node that computes each.
        values: Constant tensors.
    """

    file: Path
    inputs: list[str] = field(default_factory=list)
    shapes: dict[str, list[int | None]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Any, file: Path) -> _Tensors:
        found = cls(file)
        for info in (*graph.input, *graph.value_info, *graph.output):
            kind = info.type.tensor_type
            found.kinds[info.name] = kind.elem_type
            if kind.HasField("shape"):
                found.shapes[info.name] = [
                    dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim
                ]
        for node in graph.node:
            found.makers.update(dict.fromkeys(node.output, node))
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        found._add(node.output[0], attribute.t)
        for tensor in graph.initializer:
            found._add(tensor.name, tensor)
        found.inputs = [info.name for info in graph.input if info.name not in found.values]
        return found

    def _add(self, name: str, tensor: Any) -> None:
        self.values[name] = tensor
        self.shapes[name] = list(tensor.dims)
        self.kinds[name] = tensor.data_type

    def shape(self, name: str) -> list[int]:
        """The sizes of a tensor.

        Raises:
            DesignError: One is open.
        """
        sizes = self.shapes.get(name)
        known = [size for size in sizes or () if size is not None]
        if sizes is None or len(known) < len(sizes):
            raise DesignError(
                f"the sizes of tensor {name!r} are not known",
                where=str(self.file),
                rule="all sizes follow from those of the inputs",
                given="unknown" if sizes is None else str(sizes),
                cure="export with fixed sizes, or give from_onnx the sizes of open ones",
            )
        return known

    def is_floating(self, name: str) -> bool:
        """Whether it holds floating-point numbers, or nobody knows what."""
        from onnx import TensorProto

        return self.kinds.get(name, 0) in (
            0, TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE
        )  # fmt: skip

    def bits(self, name: str) -> int:
        """The bits of the grid that its numbers are on."""
        start = name
        while (node := self.makers.get(name)) is not None:
            if node.op_type == "DequantizeLinear":
                return self._width(node.input[0])
            if node.op_type not in _KEEPS_BITS or not node.input:
                break
            name = node.input[0]
        return self._width(start)

    def _width(self, name: str) -> int:
        from onnx import TensorProto

        kind = TensorProto.DataType.Name(self.kinds.get(name, 0))
        digits = "".join(c if c.isdigit() else " " for c in kind).split()
        width = int(digits[0]) if digits else FLOAT_BITS  # INT8, UINT4, FLOAT8E4M3FN; FLOAT
        return min(FLOAT_BITS, width)

    def numbers(self, name: str) -> list[int]:
        """A constant vector of whole numbers."""
        from onnx import numpy_helper

        if name not in self.values:
            raise UnknownLayerError("over dimensions that are computed")
        return [int(value) for value in numpy_helper.to_array(self.values[name]).reshape(-1)]


@dataclass
class _Walk:
    """Goes through a graph; ``live`` names the tensors that depend on the network's inputs."""

    rows: Rows
    tensors: _Tensors
    fused: bool

    def __post_init__(self) -> None:
        self.live = set(self.tensors.inputs)

    def visit(self, node: Any) -> None:
        """Makes the rows of one node."""
        if not self.live.intersection(node.input):
            return
        self.live.update(node.output)
        operator, name = node.op_type, node.name or node.output[0]
        integer = not self.tensors.is_floating(node.output[0])
        is_lookup = operator == "Gather" and node.input[0] not in self.live
        if (operator in _FREE and not is_lookup) or (integer and operator not in _FACTORS):
            return
        try:
            if not self._known(operator, node, name):
                self.rows.note_unknown(operator, name)
        except UnknownLayerError as error:
            self.rows.note_unknown(f"{operator} {error}", name)

    def _known(self, operator: str, node: Any, name: str) -> bool:
        if operator in _POINTWISE:
            if not self.fused and operator not in _ROUNDING:
                self.rows.elementwise(self._out(node), self._bits(node.input[0]), name)
        elif operator in _TRAFFIC:
            self.rows.elementwise(self._out(node), self._bits(node.input[0]), name)
        elif (handler := _HANDLERS.get(operator)) is not None and node.domain in ("", "ai.onnx"):
            handler(self, node, _attributes(node), name)
        else:
            return False
        return True

    def _out(self, node: Any) -> list[int]:
        return self.tensors.shape(node.output[0])

    def _bits(self, source: str, weight: str | None = None) -> Bits:
        return Bits(
            FLOAT_BITS if weight is None else self.tensors.bits(weight), self.tensors.bits(source)
        )

    def convolution(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        source, weight = (node.input[place] for place in _FACTORS[node.op_type])
        if weight in self.live:
            raise UnknownLayerError("whose weights are computed")
        shape = self.tensors.shape(weight)
        strides = given.get("strides") or [1] * len(shape[2:])
        bits = self._bits(source, weight)
        self.rows.convolution(shape, self._out(node), strides, given.get("group", 1), bits, name)

    def matmul(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        a, b = (node.input[place] for place in _FACTORS[node.op_type])
        left, right = self.tensors.shape(a), self.tensors.shape(b)
        if a not in self.live:  # W x: its transpose is x' W'
            (a, b), (left, right) = (b, a), (_turned(right), _turned(left))
        weights = b not in self.live
        bits = self._bits(a, b if weights else None)
        self.rows.matmul(left, right, self._out(node), bits, name, weights=weights)

    def gemm(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        a, b = node.input[:2]
        left, right = self.tensors.shape(a), self.tensors.shape(b)
        left = _turned(left) if given.get("transA") else left
        right = _turned(right) if given.get("transB") else right
        weights = b not in self.live
        bits = self._bits(a, b if weights else None)
        self.rows.matmul(left, right, self._out(node), bits, name, weights=weights)

    def einsum(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        equation = given["equation"].decode()
        if len(node.input) != 2:
            raise UnknownLayerError(equation)
        a, b = node.input
        if a not in self.live:
            terms, _, result = equation.partition("->")
            equation, (a, b) = ",".join(terms.split(",")[::-1]) + "->" + result, (b, a)
        shapes = self.tensors.shape(a), self.tensors.shape(b)
        weights = b not in self.live
        bits = self._bits(a, b if weights else None)
        self.rows.einsum(equation, *shapes, bits, name, weights=weights)

    def attention(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        def heads(tensor: str, count: str) -> list[int]:
            shape = self.tensors.shape(tensor)
            if count not in given or len(shape) != 3:
                return shape
            return [shape[0], given[count], shape[1], shape[2] // given[count]]

        query, key, value = node.input[:3]
        self.rows.attention(
            heads(query, "q_num_heads"),
            heads(key, "kv_num_heads"),
            heads(value, "kv_num_heads"),
            self._bits(query),
            name,
        )

    def lookup(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        table = node.input[0]
        shape = self.tensors.shape(table)
        if len(shape) == 2 and given.get("axis", 0) == 0:
            self.rows.embedding(shape, self._out(node), Bits(self.tensors.bits(table)), name)

    def pooling(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        window = given["kernel_shape"]
        strides = given.get("strides") or [1] * len(window)
        self.rows.pooling(window, self._out(node), strides, self._bits(node.input[0]), name)

    def whole(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        before = self.tensors.shape(node.input[0])
        self.rows.reduction(before, range(2, len(before)), self._bits(node.input[0]), name)

    def reduction(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        dims = list(given.get("axes", ()))
        if len(node.input) > 1 and node.input[1]:
            dims = self.tensors.numbers(node.input[1])
        before = self.tensors.shape(node.input[0])
        self.rows.reduction(before, dims, self._bits(node.input[0]), name)

    def binary(self, node: Any, given: Mapping[str, Any], name: str) -> None:
        out = self._out(node)
        computed = [tensor for tensor in node.input if tensor in self.live]
        constant = [tensor for tensor in node.input if tensor not in self.live]
        sizes = (
            [math.prod(self.tensors.shape(tensor)) for tensor in some]
            for some in (computed, constant)
        )
        kind, bits = self.rows.binary(out, *sizes), self._bits(computed[0])
        if kind is Operator.ADD:
            self.rows.addition(out, bits, name)
        elif kind is Operator.ELEMENTWISE or not self.fused:
            self.rows.elementwise(out, bits, name)


_Handler = Callable[[_Walk, Any, Mapping[str, Any], str], None]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    **{name: _Walk.convolution for name in _FACTORS if "Conv" in name},
    **{name: _Walk.matmul for name in _FACTORS if "MatMul" in name},
    **dict.fromkeys(_BINARY, _Walk.binary),
    **dict.fromkeys(_REDUCTIONS, _Walk.reduction),
    **dict.fromkeys(_GLOBAL, _Walk.whole),
    **dict.fromkeys(_POOLS, _Walk.pooling),
    "Gemm": _Walk.gemm,
    "Einsum": _Walk.einsum,
    "Attention": _Walk.attention,
    "Gather": _Walk.lookup,
}


def _attributes(node: Any) -> dict[str, Any]:
    from onnx.helper import get_attribute_value

    return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}


def _turned(shape: Shape) -> list[int]:
    return [*shape[:-2], shape[-1], shape[-2]] if len(shape) > 1 else list(shape)
