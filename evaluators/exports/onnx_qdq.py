"""Trained networks as ONNX files with QuantizeLinear and DequantizeLinear (QDQ).

Every layer of the file is a convolution, product or pool between rounded numbers:

    join -> Clip -> QuantizeLinear -> DequantizeLinear -> Conv(weights from DequantizeLinear) -> Relu

with one step per activation tensor and one per output channel of the weights. Batch normalisation
is folded into the steps of the weights (their sign into the integers) and into a bias, which stays
a float, as the network is trained. Zero points are 0.

Integers lie in the smallest of int4, int8 and int16 (activations: int8, int16, without sign where
there is none) that has all levels; Clip keeps what is rounded within the levels where the
container has more. Layers of 24 bits and more are not rounded in training, nor in the file. The
format is opset 21, the first with 4 and 16 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import hwnas
from evaluators import datasets
from evaluators.quantization import QuantizedNetwork
from evaluators.quantization.frozen import FrozenLayer, Grid, frozen
from evaluators.quantization.integer import IntegerNetwork
from evaluators.torch_threads import one_thread
from evaluators.training import Training
from evaluators.training.loop import error_rate
from hwnas.arrays import Floats
from hwnas.design import Design
from hwnas.design.export import Export, Exported, ExportedLayer
from hwnas.design.graph import Join, Layer, Source
from hwnas.design.layers import Operator
from hwnas.errors import DesignError

FILE: Final = "model.onnx"
_OPSET: Final = 21
_IR_VERSION: Final = 10
"""The IR version that came with opset 21: older runtimes read it."""
_IMAGES: Final = "images"
_SCORES: Final = "scores"
_SIGNED: Final = {4: TensorProto.INT4, 8: TensorProto.INT8, 16: TensorProto.INT16}
_UNSIGNED: Final = {8: TensorProto.UINT8, 16: TensorProto.UINT16}
_OPERATORS: Final = (Operator.CONVOLUTION, Operator.LINEAR, Operator.POOL)
_JOINS: Final = (Join.CONCATENATE, Join.ADD)


class OnnxQDQ(Export):
    """ONNX with QDQ: the trained network, for onnxruntime and other inference engines."""

    name: ClassVar[str] = "onnx"

    def files(self, design: Design) -> Exported:
        """Refuses: a design alone does not say how it is trained.

        Raises:
            DesignError: Always; see `files_with`.
        """
        return self.files_with(design, ())

    def files_with(self, design: Design, evaluators: Sequence[object]) -> Exported:
        """Trains the design as its study did, and writes the network that came of it.

        The accelerator has no influence. The test error of the network is among the notes, also
        in integers only (`evaluators.quantization.integer`) where every layer has integers.

        Args:
            design: With a network; its seed is the study's.
            evaluators: One of them is `Training`.

        Raises:
            DesignError: None of them is, or the design diverges in training, or has a layer that
                cannot be written.
        """
        training = next((e for e in evaluators if isinstance(e, Training)), None)
        if training is None:
            raise DesignError(
                "there are no trained weights to export",
                where="export onnx",
                rule="one evaluator of the study is training",
                cure="from Python: evaluators.exports.onnx_qdq.qdq_model(network)",
            )
        network = training.trained(design)
        model = qdq_model(network)
        rows = _rows(design)
        return Exported(
            files={FILE: model.SerializeToString(deterministic=True)},
            notes=(
                f"Input {_IMAGES}: float32 (n, channels, image, image), 0 to 1. Output {_SCORES}: "
                "the class is the highest.",
                *_errors(network, training),
                "Steps of activations are one per tensor, of weights one per output channel; "
                "batch normalisation is folded into them and into biases, which stay floats.",
            ),
            layers=tuple(
                ExportedLayer(layer.name, row, 1)
                for layer, row in zip(design.graph.layers, rows, strict=True)
            ),
        )


def qdq_model(network: QuantizedNetwork) -> onnx.ModelProto:
    """A trained network as an ONNX model, checked by ONNX's own checker.

    Args:
        network: After training; its weights are those of the file.

    Raises:
        DesignError: A layer has 17 to 23 bits, for which QuantizeLinear has no type, or an
            operator or a join that cannot be written here.
    """
    layers = frozen(network)
    graph, writer = network.graph, _Writer()
    outputs = [_IMAGES]
    for layer in layers:
        outputs.append(writer.layer(layer, outputs, [graph.channels, *_widths(layers)]))
    writer.node("Flatten", [outputs[-1]], _SCORES, axis=1)
    shape = ["n", graph.channels, graph.image, graph.image]
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            "hwnas",
            [helper.make_tensor_value_info(_IMAGES, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(_SCORES, TensorProto.FLOAT, ["n", graph.classes])],
            writer.constants,
        ),
        producer_name="hwnas",
        producer_version=hwnas.__version__,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _widths(layers: Sequence[FrozenLayer]) -> list[int]:
    return [frozen.layer.K for frozen in layers]


def _rows(design: Design) -> list[int]:
    """The row of ``design.layers`` of each layer of the graph."""
    operators = design.layers.operator
    if len(operators) == len(design.graph.layers):
        return list(range(len(operators)))
    return np.flatnonzero(operators != Operator.ADD).tolist()  # they are joins in the graph


def _errors(network: QuantizedNetwork, training: Training) -> list[str]:
    dataset = datasets.load(training.dataset)
    images = f"{len(dataset.test_labels)} test images of {dataset.name}"
    with one_thread():
        notes = [
            f"Error on the {images}: {error_rate(network, dataset):.4f} as trained, with fake "
            "quantisation."
        ]
        try:
            integer = IntegerNetwork(network)
        except DesignError as error:
            return [*notes, f"No error in integers only: {error.what}."]
        widest = max(integer.accumulator_bits)
        notes.append(
            f"In integers only: {error_rate(integer, dataset):.4f}, with accumulators of at most "
            f"{widest} bits."
        )
    return notes


class _Writer:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, numbers: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(numbers), name))
        return name

    def integers(self, name: str, numbers: NDArray[Any], kind: int) -> str:
        flat = numbers.astype(np.int64).ravel().tolist()
        self.constants.append(helper.make_tensor(name, kind, numbers.shape, flat))
        return name

    def layer(self, frozen: FrozenLayer, outputs: list[str], channels: list[int]) -> str:
        """Adds one layer; returns the name of its output."""
        _check(frozen.layer)
        name = frozen.layer.name
        x = self.joined(frozen.layer, outputs, channels)
        if frozen.grid is not None:
            x = self.rounded(name, x, frozen.grid, frozen.layer.activation_bits)
        x = self.computed(frozen, x)
        return self.node("Relu", [x], f"{name}.relu") if frozen.low == 0.0 else x

    def joined(self, layer: Layer, outputs: list[str], channels: list[int]) -> str:
        parts = [
            self.gathered(f"{layer.name}.source{i}", source, outputs[source.layer + 1])
            for i, source in enumerate(layer.sources)
        ]
        if len(parts) == 1:
            return parts[0]
        if layer.join is Join.CONCATENATE:
            return self.node("Concat", parts, f"{layer.name}.concat", axis=1)
        added = parts[1]
        if len(parts) > 2:
            added = self.node("Concat", parts[1:], f"{layer.name}.skips", axis=1)
        count = sum(
            channels[s.layer + 1] if s.channels is None else len(s.channels)
            for s in layer.sources[1:]
        )
        if count < layer.C:
            ends = np.array([0, 0, 0, 0, 0, layer.C - count, 0, 0], dtype=np.int64)
            pads = self.constant(f"{layer.name}.pads", ends)
            added = self.node("Pad", [added, pads], f"{layer.name}.padded")
        return self.node("Add", [parts[0], added], f"{layer.name}.sum")

    def gathered(self, name: str, source: Source, output: str) -> str:
        if source.channels is None:
            return output
        index = self.constant(f"{name}.channels", np.array(source.channels, dtype=np.int64))
        return self.node("Gather", [output, index], name, axis=1)

    def rounded(self, name: str, x: str, grid: Grid, bits: int) -> str:
        """Clip where the container has more levels, then QuantizeLinear and DequantizeLinear."""
        kinds = _SIGNED if grid.bottom < 0 else _UNSIGNED
        size = _container(name, bits, [size for size in kinds if size >= 8])
        step = self.constant(f"{name}.step", np.float32(grid.step))
        zero = self.integers(f"{name}.zero", np.zeros(()), kinds[size])
        if grid.bottom < 0 or bits < size:
            limits = [
                self.constant(f"{name}.{end}", np.float32(level * grid.step))
                for end, level in (("lowest", grid.bottom), ("highest", grid.top))
            ]
            x = self.node("Clip", [x, *limits], f"{name}.clipped")
        x = self.node("QuantizeLinear", [x, step, zero], f"{name}.integers")
        return self.node("DequantizeLinear", [x, step, zero], f"{name}.rounded")

    def computed(self, frozen: FrozenLayer, x: str) -> str:
        layer = frozen.layer
        name = f"{layer.name}.output"
        if frozen.weight is None:
            size, stride = [layer.kernel] * 2, [layer.stride] * 2
            return self.node("AveragePool", [x], name, kernel_shape=size, strides=stride)
        bias = self.constant(f"{layer.name}.bias", frozen.shift.numpy().astype(np.float32))
        inputs = [x, self.weights(frozen), bias]
        if layer.operator is Operator.LINEAR:
            inputs[0] = self.node("Flatten", [x], f"{layer.name}.flat", axis=1)
            product = self.node("Gemm", inputs, f"{layer.name}.product", transB=1)
            axes = self.constant(f"{layer.name}.axes", np.array([2, 3], dtype=np.int64))
            return self.node("Unsqueeze", [product, axes], name)
        padding = (layer.kernel - 1) // 2
        return self.node(
            "Conv", inputs, name, kernel_shape=[layer.kernel] * 2, strides=[layer.stride] * 2,
            pads=[padding] * 4, group=layer.groups,
        )  # fmt: skip

    def weights(self, frozen: FrozenLayer) -> str:
        """The weights, with the scale of batch normalisation in their steps."""
        assert frozen.weight is not None
        name = f"{frozen.layer.name}.weight"
        weight, scale = frozen.weight.numpy(), frozen.scale.numpy()
        if frozen.weight_steps is None:
            return self.constant(name, (_along(scale, weight) * weight).astype(np.float32))
        steps = (frozen.weight_steps.numpy() * np.abs(scale)).astype(np.float32)
        signs = np.where(steps > 0, np.sign(scale), 0.0)  # a step of 0 is against the rules
        steps[steps == 0] = 1.0
        size = _container(frozen.layer.name, frozen.layer.weight_bits, list(_SIGNED))
        kind = _SIGNED[size]
        integers = self.integers(f"{name}.integers", _along(signs, weight) * weight, kind)
        step = self.constant(f"{name}.steps", steps)
        zero = self.integers(f"{name}.zeros", np.zeros(len(steps)), kind)
        return self.node("DequantizeLinear", [integers, step, zero], name, axis=0)


def _along(numbers: Floats, weight: Floats) -> Floats:
    """One number per output channel, shaped to multiply weights with."""
    return numbers.reshape(-1, *(1,) * (weight.ndim - 1))


def _container(name: str, bits: int, sizes: Sequence[int]) -> int:
    fitting = [size for size in sizes if size >= bits]
    if fitting:
        return fitting[0]
    raise DesignError(
        f"layer {name!r} cannot be written to ONNX",
        rule="at most 16 bits, or 24 and more, which are not rounded",
        given=f"{bits} bits",
    )


def _check(layer: Layer) -> None:
    if layer.operator not in _OPERATORS or layer.join not in _JOINS:
        raise DesignError(
            f"layer {layer.name!r} cannot be written to ONNX",
            rule="operators "
            + ", ".join(operator.name for operator in _OPERATORS)
            + "; joins "
            + ", ".join(join.value for join in _JOINS),
            given=f"{layer.operator.name}, {layer.join.value}",
        )
