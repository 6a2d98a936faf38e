"""Trained networks as ONNX files with QuantizeLinear and DequantizeLinear (QDQ).

Every layer of the file computes with rounded numbers:

    join, Clip, QuantizeLinear, DequantizeLinear, Conv (weights from DequantizeLinear), Relu

with one step per activation tensor and one per output channel of the weights. Batch normalisation
after a layer is folded into the steps of its weights (a sign into the integers) and into its bias.
Zero points are 0. Integers lie in int8 up to 8 bits and in int16 up to 16, activations without
sign where there is none; Clip keeps activations within their levels where these have more. Layers
of 24 bits and more are not rounded in training, nor in the file.

onnxruntime rounds the bias of a convolution between rounded numbers to the unit of its
accumulators, and takes kernels that round again: usual arithmetic at 8 bits, but not what was
trained, and at few bits far from it. So biases are nodes of their own, which it leaves alone,
unless integer kernels are asked for.

Up to 8 bits the format is opset 19: from opset 21 on, which has 4 and 16 bits, onnxruntime 1.31
refuses graphs with signed zero points in front of pools. Files with 16 bits have no zero points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import hwnas
from evaluators.datasets import Dataset
from evaluators.ladder import Ladder
from evaluators.quantization import QuantizedNetwork
from evaluators.quantization.frozen import Affine, FrozenLayer, Grid, frozen
from evaluators.quantization.integer import IntegerNetwork
from evaluators.torch_threads import one_thread
from evaluators.training import Training
from evaluators.training.loop import error_rate
from hwnas.arrays import Floats
from hwnas.design import Design
from hwnas.design.export import Export, Exported, ExportedLayer
from hwnas.design.graph import Activation, Join, Layer, Pooling, Source
from hwnas.design.layers import Operator
from hwnas.errors import DesignError
from hwnas.evaluation.wrappers import unwrapped

FILE: Final = "model.onnx"
_VERSIONS: Final = {8: (19, 9), 16: (21, 10)}
"""Bits of the widest integer to opset and IR version, the oldest that have it."""
_IMAGES: Final = "images"
_SCORES: Final = "scores"
_SIGNED: Final = {8: TensorProto.INT8, 16: TensorProto.INT16}
_UNSIGNED: Final = {8: TensorProto.UINT8, 16: TensorProto.UINT16}
_INT8: Final = 8
_LARGEST_BIAS: Final = 2.0**30
"""In units of the accumulators, which have 32 bits."""
_ACTIVATIONS: Final[Mapping[Activation, tuple[str, dict[str, float]]]] = {
    Activation.RELU: ("Relu", {}),
    Activation.SIGMOID: ("Sigmoid", {}),
    Activation.HARD_SIGMOID: ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    Activation.HARD_SWISH: ("HardSwish", {}),
}
_JOINS: Final = {Join.ADD: "Add", Join.MULTIPLY: "Mul"}


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
            evaluators: One of them is `Training`, or a `Ladder` that ends with it.

        Raises:
            DesignError: None of them is, or the design diverges in training, or has a layer that
                cannot be written.
        """
        training = _training(evaluators)
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
                *_errors(network, training.tested_on(design)),
                "One step per activation tensor and per output channel of weights; batch "
                "normalisation is folded into these and into biases.",
            ),
            layers=tuple(
                ExportedLayer(layer.name, row, 1)
                for layer, row in zip(design.graph.layers, rows, strict=True)
            ),
        )


def qdq_model(network: QuantizedNetwork, *, integer_kernels: bool = False) -> onnx.ModelProto:
    """A trained network as an ONNX model, checked by ONNX's own checker.

    Args:
        network: After training; its weights are those of the file.
        integer_kernels: Whether biases are part of their convolutions, so that engines may compute
            these with integers of 8 bits; the engine's answers may then differ from the network's.

    Raises:
        DesignError: A layer has 17 to 23 bits, for which QuantizeLinear has no type.
    """
    layers = frozen(network)
    widest = max(_container(layer) for layer in layers)
    graph, writer = network.graph, _Writer(has_zeros=widest == _INT8, apart=not integer_kernels)
    opset, ir_version = _VERSIONS[widest]
    channels = [graph.channels, *(layer.layer.K for layer in layers)]
    outputs = [_IMAGES]
    for layer in layers:
        outputs.append(writer.layer(layer, outputs, channels))
    writer.node("Flatten", [outputs[-1]], _SCORES, axis=1)
    shape: list[str | int | None] = ["n", graph.channels, graph.image, graph.image]
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
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _training(evaluators: Sequence[object]) -> Training | None:
    for evaluator in evaluators:
        found = evaluator
        if isinstance(found, Ladder):  # its last rung is the real thing
            (found,) = unwrapped([found.rungs[-1].evaluator])
        if isinstance(found, Training):
            return found
    return None


def _rows(design: Design) -> list[int]:
    """The row of ``design.layers`` of each layer of the graph."""
    operators = design.layers.operator
    if len(operators) == len(design.graph.layers):
        return list(range(len(operators)))
    return np.flatnonzero(operators != Operator.ADD).tolist()  # they are joins in the graph


def _errors(network: QuantizedNetwork, dataset: Dataset) -> list[str]:
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
    """Collects nodes and constants.

    Args:
        has_zeros: Whether zero points are written; types are said otherwise if not.
        apart: Whether biases are nodes of their own.
    """

    def __init__(self, *, has_zeros: bool, apart: bool) -> None:
        self.has_zeros = has_zeros
        self.apart = apart
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
        """Adds one layer; returns the name of its output.

        Args:
            frozen: The layer.
            outputs: The names of the images and of the outputs of all layers before.
            channels: How many channels each of these has.
        """
        layer, name = frozen.layer, frozen.layer.name
        x = self.joined(layer, outputs, channels)
        if not frozen.before.is_identity:
            x = self.scaled(f"{name}.before", x, frozen.before)
        if frozen.grid is not None:
            x = self.rounded(frozen, frozen.grid, x)
        if layer.operator is Operator.POOL:
            x = self.pooled(layer, x)
        elif frozen.weight is not None:
            x = self.multiplied(frozen, x)
        if frozen.weight is None and not frozen.after.is_identity:
            return self.scaled(f"{name}.after", x, frozen.after)
        return self.activated(f"{name}.activation", x, frozen.after.activation)

    def scaled(self, name: str, x: str, affine: Affine) -> str:
        """What batch normalisation has become, and what follows."""
        for operator, numbers in (("Mul", affine.scale), ("Add", affine.shift)):
            along = numbers.numpy().astype(np.float32).reshape(-1, 1, 1)
            operand = self.constant(f"{name}.{operator}.by", along)
            x = self.node(operator, [x, operand], f"{name}.{operator}")
        return self.activated(f"{name}.activation", x, affine.activation)

    def activated(self, name: str, x: str, activation: Activation) -> str:
        if activation is Activation.NONE:
            return x
        if activation is Activation.SILU:
            return self.node("Mul", [x, self.node("Sigmoid", [x], f"{name}.sigmoid")], name)
        if activation is Activation.RELU6:
            return self.clipped(name, x, 0.0, 6.0)
        operator, attributes = _ACTIVATIONS[activation]
        return self.node(operator, [x], name, **attributes)

    def clipped(self, name: str, x: str, low: float, high: float) -> str:
        limits = [
            self.constant(f"{name}.{end}", np.array(limit, np.float32))
            for end, limit in (("low", low), ("high", high))
        ]
        return self.node("Clip", [x, *limits], name)

    def joined(self, layer: Layer, outputs: list[str], channels: list[int]) -> str:
        parts = [
            self.gathered(f"{layer.name}.source{i}", source, outputs[source.layer + 1])
            for i, source in enumerate(layer.sources)
        ]
        if len(parts) == 1:
            return parts[0]
        if layer.join is Join.CONCATENATE:
            return self.node("Concat", parts, f"{layer.name}.concat", axis=1)
        other = parts[1]
        if len(parts) > 2:
            other = self.node("Concat", parts[1:], f"{layer.name}.skips", axis=1)
        count = sum(
            channels[s.layer + 1] if s.channels is None else len(s.channels)
            for s in layer.sources[1:]
        )
        if layer.join is Join.ADD and count < layer.C:
            ends = np.array([0, 0, 0, 0, 0, layer.C - count, 0, 0], dtype=np.int64)
            pads = self.constant(f"{layer.name}.pads", ends)
            other = self.node("Pad", [other, pads], f"{layer.name}.padded")
        return self.node(_JOINS[layer.join], [parts[0], other], f"{layer.name}.joined")

    def gathered(self, name: str, source: Source, output: str) -> str:
        if source.zero:
            nothing = self.constant(f"{name}.zero", np.array(0.0, np.float32))
            output = self.node("Mul", [output, nothing], f"{name}.nothing")
        if source.channels is None:
            return output
        index = self.constant(f"{name}.channels", np.array(source.channels, dtype=np.int64))
        return self.node("Gather", [output, index], name, axis=1)

    def rounded(self, frozen: FrozenLayer, grid: Grid, x: str) -> str:
        """Clip where the container has more levels, then QuantizeLinear and DequantizeLinear."""
        name, size = frozen.layer.name, _container(frozen)
        kind = (_SIGNED if grid.bottom < 0 else _UNSIGNED)[size]
        step = [self.constant(f"{name}.step", np.array(grid.step, np.float32))]
        if grid.bottom < 0 or grid.top < 2**size - 1:
            x = self.clipped(f"{name}.levels", x, grid.bottom * grid.step, grid.top * grid.step)
        typed = {} if self.has_zeros else {"output_dtype": kind}
        step += self.zeros(f"{name}.zero", np.zeros(()), kind)
        x = self.node("QuantizeLinear", [x, *step], f"{name}.integers", **typed)
        return self.node("DequantizeLinear", [x, *step], f"{name}.rounded")

    def zeros(self, name: str, numbers: NDArray[Any], kind: int) -> list[str]:
        return [self.integers(name, numbers, kind)] if self.has_zeros else []

    def pooled(self, layer: Layer, x: str) -> str:
        operator = "MaxPool" if layer.pooling is Pooling.MAXIMUM else "AveragePool"
        return self.node(
            operator, [x], f"{layer.name}.output", kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2, pads=[layer.pad] * 4,
        )  # fmt: skip

    def multiplied(self, frozen: FrozenLayer, x: str) -> str:
        layer, name = frozen.layer, f"{frozen.layer.name}.output"
        weight, units = self.weights(frozen)
        shift = frozen.after.shift.numpy()
        inside = frozen.grid is None or (
            not self.apart and bool((np.abs(shift) < _LARGEST_BIAS * units).all())
        )
        inputs = [x, weight]
        if inside:
            inputs.append(self.constant(f"{layer.name}.bias", shift.astype(np.float32)))
        if layer.operator is Operator.LINEAR:
            inputs[0] = self.node("Flatten", [x], f"{layer.name}.flat", axis=1)
            product = self.node("Gemm", inputs, f"{layer.name}.product", transB=1)
            axes = self.constant(f"{layer.name}.axes", np.array([2, 3], dtype=np.int64))
            x = self.node("Unsqueeze", [product, axes], name)
        else:
            x = self.node(
                "Conv", inputs, name, kernel_shape=[layer.kernel] * 2,
                strides=[layer.stride] * 2, pads=[layer.pad] * 4, group=layer.groups,
            )  # fmt: skip
        if inside:
            return x
        bias = self.constant(f"{layer.name}.bias", shift.astype(np.float32).reshape(-1, 1, 1))
        return self.node("Add", [x, bias], f"{layer.name}.biased")

    def weights(self, frozen: FrozenLayer) -> tuple[str, Floats]:
        """The weights, with the scale of batch normalisation in their steps.

        Returns:
            Their name, and the units of the accumulators, ``(K,)``; 0 where there are none.
        """
        assert frozen.weight is not None
        name = f"{frozen.layer.name}.weight"
        weight, scale = frozen.weight.numpy(), frozen.after.scale.numpy()
        if frozen.weight_steps is None or frozen.grid is None:
            steps = (
                1.0 if frozen.weight_steps is None else _along(frozen.weight_steps.numpy(), weight)
            )
            floats = (_along(scale, weight) * steps * weight).astype(np.float32)
            return self.constant(name, floats), np.zeros(len(scale))
        steps = (frozen.weight_steps.numpy() * np.abs(scale)).astype(np.float32)
        signs = np.where(steps > 0, np.sign(scale), 0.0)  # a step of 0 is against the rules
        steps[steps == 0] = 1.0
        kind = _SIGNED[_container(frozen)]
        inputs = [
            self.integers(f"{name}.integers", _along(signs, weight) * weight, kind),
            self.constant(f"{name}.steps", steps),
            *self.zeros(f"{name}.zeros", np.zeros(len(steps)), kind),
        ]
        units = steps.astype(np.float64) * frozen.grid.step
        return self.node("DequantizeLinear", inputs, name, axis=0), units


def _along(numbers: Floats, weight: Floats) -> Floats:
    """One number per output channel, shaped to multiply weights with."""
    return numbers.reshape(-1, *(1,) * (weight.ndim - 1))


def _container(frozen: FrozenLayer) -> int:
    """The bits of the integers that hold the weights and activations of a layer.

    Raises:
        DesignError: There are none.
    """
    layer = frozen.layer
    rounded = [layer.activation_bits] if frozen.grid is not None else []
    rounded += [layer.weight_bits] if frozen.weight_steps is not None else []
    for size in _SIGNED:
        if size >= max(rounded, default=0):
            return size
    raise DesignError(
        f"layer {layer.name!r} cannot be written to ONNX",
        rule=f"at most {max(_SIGNED)} bits, or 24 and more, which are not rounded",
        given=f"{layer.weight_bits} weight bits, {layer.activation_bits} activation bits",
    )
