"""ONNX files of trained networks: what is in them, and what onnxruntime computes with them."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, numpy_helper  # noqa: E402

from evaluators import datasets  # noqa: E402
from evaluators.exports.onnx_qdq import OnnxQDQ, qdq_model  # noqa: E402
from evaluators.ladder import Ladder, Rung  # noqa: E402
from evaluators.quantization.frozen import frozen  # noqa: E402
from evaluators.quantization.integer import IntegerNetwork  # noqa: E402
from evaluators.torch_threads import one_thread  # noqa: E402
from evaluators.training import Training  # noqa: E402
from evaluators.training.loop import error_rate  # noqa: E402
from hwnas.design import from_onnx  # noqa: E402
from hwnas.design.export import MARK, export  # noqa: E402
from hwnas.design.graph import Activation, Graph, Join, Layer, Source  # noqa: E402
from hwnas.design.layers import Operator  # noqa: E402
from hwnas.errors import DesignError  # noqa: E402
from tests.quantized_networks import (  # noqa: E402
    GENES,
    all_kinds,
    as_if_trained,
    design_of,
    network_of,
)


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def scores(model, images, optimised_file="", **options):
    """What onnxruntime answers, on one thread."""
    onnxruntime = pytest.importorskip("onnxruntime")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.optimized_model_filepath = optimised_file
    for name, value in options.items():
        setattr(settings, name, getattr(onnxruntime.GraphOptimizationLevel, value))
    session = onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else model.SerializeToString(),
        settings,
        providers=["CPUExecutionProvider"],
    )
    return session.run(["scores"], {"images": images})[0]


def with_products(bits):
    """A graph with a product of two sources and every activation function."""
    usual = {
        "join": Join.CONCATENATE, "C": 4, "K": 4, "kernel": 1, "stride": 1, "groups": 1,
        "image": 8, "weight_bits": bits, "activation_bits": bits, "cell": 1, "normalised": True,
    }  # fmt: skip
    layers = [
        Layer("stem", Operator.CONVOLUTION, (Source(-1),), activation=Activation.RELU,
              **{**usual, "C": 1}),
    ]  # fmt: skip
    for i, activation in enumerate(Activation):
        conv = (Source(len(layers) - 1),)
        layers.append(Layer(f"c{i}", Operator.CONVOLUTION, conv, activation=activation, **usual))
    changes = {"join": Join.MULTIPLY, "normalised": False}
    both = (Source(1), Source(4))
    layers.append(
        Layer("product", Operator.ELEMENTWISE, both, activation=Activation.NONE,
              **{**usual, **changes})
    )  # fmt: skip
    changes = {"K": 10, "image": 1, "kernel": 8, "normalised": False}
    last = (Source(len(layers) - 1),)
    layers.append(
        Layer("head", Operator.CONVOLUTION, last, activation=Activation.NONE, padding=0,
              **{**usual, **changes})
    )  # fmt: skip
    return Graph(tuple(layers), 8, 1, 10)


CASES = {
    "8 bits": lambda: network_of(GENES, weights=8, activations=8),
    "few bits": lambda: network_of({**GENES, "net.skip": "add"}, weights=3, activations=4),
    "many bits": lambda: network_of(GENES, weights=12, activations=16),
    "floats": lambda: network_of(GENES, weights=32, activations=32),
    "all kinds": lambda: as_if_trained(all_kinds(5)),
    "all kinds, 8 bits": lambda: as_if_trained(all_kinds(8)),
    "products": lambda: as_if_trained(with_products(6)),
}


@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_answers_what_torch_does(case):
    network = CASES[case]()
    images = datasets.load("digits").test_images[:300]
    model = qdq_model(network)
    with torch.inference_mode():
        expected = network(torch.tensor(images)).numpy()
    plain = scores(model, images, graph_optimization_level="ORT_DISABLE_ALL")
    # A number beside the middle between two neighbours may be rounded to either, in few images.
    assert np.mean(np.abs(plain - expected).max(axis=1) < 1e-4 * np.abs(expected).max()) > 0.95
    optimised = scores(model, images)
    assert np.mean(optimised.argmax(axis=1) == expected.argmax(axis=1)) >= 0.995


def test_integer_kernels_are_taken_if_asked_for(tmp_path):
    network = CASES["8 bits"]()
    images = datasets.load("digits").test_images[:300]
    with torch.inference_mode():
        expected = network(torch.tensor(images)).numpy()
    for asked, kinds in ((False, set()), (True, {"QLinearConv"})):
        file = str(tmp_path / f"{asked}.onnx")
        model = qdq_model(network, integer_kernels=asked)
        level = "ORT_ENABLE_EXTENDED"
        answers = scores(model, images, file, graph_optimization_level=level)
        assert np.mean(answers.argmax(axis=1) == expected.argmax(axis=1)) > 0.95
        nodes = onnx.load(file).graph.node
        assert {node.op_type for node in nodes} & {"QLinearConv"} == kinds


def test_weights_and_steps_in_the_file_are_those_of_the_network():
    network = network_of(GENES, weights=3, activations=4)
    model = qdq_model(network)
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    for layer in frozen(network):
        name = layer.layer.name
        assert constants[f"{name}.step"] == pytest.approx(layer.grid.step)
        if layer.weight is None:
            continue
        integers = constants[f"{name}.weight.integers"]
        assert integers.dtype == np.int8
        assert np.array_equal(integers, layer.weight.numpy())  # all scales are above 0
        steps = (layer.weight_steps * layer.after.scale).numpy()
        assert constants[f"{name}.weight.steps"] == pytest.approx(steps)
        if layer.layer.cell:
            assert np.abs(integers).max() == 3
            assert constants[f"{name}.levels.high"] == pytest.approx(15 * layer.grid.step)
    assert {constants[f"{layer.layer.name}.zero"].dtype for layer in frozen(network)} == {
        np.dtype(np.uint8)
    }


def test_a_negative_and_a_missing_gain_are_in_the_integers():
    network = network_of(GENES, weights=8, activations=8)
    with torch.no_grad():
        normalised = network.computations[0].normalised
        normalised.weight[0], normalised.weight[1] = -normalised.weight[0], 0.0
    layer = frozen(network)[0]
    model = qdq_model(network)
    constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    integers, steps = (constants[f"stem.weight.{name}"] for name in ("integers", "steps"))
    assert (steps > 0).all()
    assert np.array_equal(integers[0], -layer.weight[0].numpy())
    assert not integers[1].any()
    images = datasets.load("digits").test_images[:100]
    with torch.inference_mode():
        expected = network(torch.tensor(images)).numpy()
    assert np.mean(scores(model, images).argmax(1) == expected.argmax(1)) > 0.98


def test_the_file_is_read_back_as_the_layers_of_the_design(tmp_path):
    design = design_of(GENES, weights=8, activations=8)
    onnx.save(qdq_model(network_of(GENES, weights=8, activations=8)), tmp_path / "model.onnx")
    table = from_onnx(tmp_path / "model.onnx", sizes={"n": 1})
    assert table.macs.sum() == design.layers.macs.sum()
    weighted = table.weights > 0
    assert set(table.weight_bits[weighted]) == {8}


def test_bits_without_a_container_are_refused():
    with pytest.raises(DesignError, match=r"'cell1\.layer1' cannot be written to ONNX") as caught:
        qdq_model(network_of(GENES, weights=8, activations=20))
    assert "20 activation bits" in caught.value.given


def test_the_format_is_the_oldest_that_has_the_integers():
    few, many = (qdq_model(network_of(GENES, weights=8, activations=bits)) for bits in (8, 16))
    assert [model.opset_import[0].version for model in (few, many)] == [19, 21]
    kinds = [{c.data_type for c in model.graph.initializer} for model in (few, many)]
    whole = {TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT8}  # floats, channels, weights
    assert kinds == [whole | {TensorProto.UINT8}, whole | {TensorProto.INT16}]


class Once(Training):
    """Keeps the one network that it trains."""

    def trained(self, design):
        if not hasattr(self, "kept"):
            self.kept = super().trained(design)
        return self.kept


def test_a_design_is_trained_as_its_study_did_and_exported(tmp_path):
    training = Once(epochs=1, batch_size=100)
    design = design_of(GENES, weights=4, activations=4)
    recorded = training.measure(design)["error"]
    exported = OnnxQDQ().files_with(design, [object(), training])
    dataset = datasets.load("digits")
    answers = scores(exported.files["model.onnx"], dataset.test_images).argmax(axis=1)
    assert np.mean(answers != dataset.test_labels) == pytest.approx(recorded, abs=0.005)
    network = training.trained(design)
    assert error_rate(network, dataset) == recorded
    notes = " ".join(exported.notes)
    assert f"Error on the 2391 test images of digits: {recorded:.4f} as trained" in notes
    assert f"In integers only: {error_rate(IntegerNetwork(network), dataset):.4f}" in notes
    rows = design.layers
    for layer, exported_layer in zip(design.graph.layers, exported.layers, strict=True):
        assert rows.K[exported_layer.row] == layer.K
        assert rows.C[exported_layer.row] == layer.C
    exported.write(tmp_path / "export")
    assert json.loads((tmp_path / "export" / MARK).read_text())["notes"] == list(exported.notes)
    assert (tmp_path / "export" / "model.onnx").read_bytes() == exported.files["model.onnx"]
    ladder = Ladder(rungs=[Rung(training, fidelity=0.5), Rung(training)])
    assert OnnxQDQ().files_with(design, [ladder]).files == exported.files


def test_a_design_that_nobody_trains_is_refused():
    design = design_of(GENES, weights=8, activations=8)
    with pytest.raises(DesignError, match="no trained weights"):
        export(design, "onnx")
