"""ONNX files: written by hand, operator by operator, and exported by PyTorch."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

from evaluators.systolic import Systolic  # noqa: E402
from hwnas.design import (  # noqa: E402
    BitsPerLayer,
    Designs,
    FixedNetwork,
    Operator,
    SystolicArray,
    from_onnx,
)
from hwnas.errors import DesignError, MissingExtraError, SpaceError  # noqa: E402
from hwnas.space import Space  # noqa: E402
from hwnas.testing import SpaceSubject, space_checks  # noqa: E402

FLOAT = TensorProto.FLOAT


def written(tmp_path, nodes, inputs, constants=(), output="y", name="net.onnx"):
    """A file of some nodes; constants are shapes of floats, or arrays."""
    tensors = []
    for key, value in dict(constants).items():
        array = value if isinstance(value, np.ndarray) else np.zeros(value, np.float32)
        tensors.append(onnx.numpy_helper.from_array(array, key))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(key, FLOAT, shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        tensors,
    )
    opset = [helper.make_opsetid("", 21)]
    path = tmp_path / name
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))
    return path


def node(operator, inputs, output="y", **attributes):
    return helper.make_node(operator, inputs.split(), output.split(), name=f"the_{output}",
                            **attributes)  # fmt: skip


def rows(table, *names):
    return [
        (Operator(table.operator[i]).name, *(int(getattr(table, n)[i]) for n in names))
        for i in range(len(table))
    ]


SHAPE = ("N", "C", "K", "P", "Q", "R", "S", "stride", "groups")
IMAGE = {"x": [2, 4, 8, 6]}
TOKENS = {"x": [2, 3, 5]}
SINGLE = [
    (node("Conv", "x w", strides=[2, 2], pads=[1, 1, 1, 1], group=2), IMAGE, {"w": (6, 2, 3, 3)},
     ("CONVOLUTION", 2, 4, 6, 4, 3, 3, 3, 2, 2)),
    (node("Conv", "x w"), {"x": [2, 4, 8]}, {"w": (6, 4, 3)},
     ("CONVOLUTION", 2, 4, 6, 6, 1, 3, 1, 1, 1)),
    (node("Gemm", "x w", transB=1), {"x": [2, 5]}, {"w": (7, 5)},
     ("LINEAR", 2, 5, 7, 1, 1, 1, 1, 1, 1)),
    (node("Gemm", "x w", transA=1), {"x": [5, 2]}, {"w": (5, 7)},
     ("LINEAR", 1, 5, 7, 2, 1, 1, 1, 1, 1)),
    (node("MatMul", "x w"), TOKENS, {"w": (5, 7)}, ("LINEAR", 2, 5, 7, 3, 1, 1, 1, 1, 1)),
    (node("MatMul", "w x"), TOKENS, {"w": (7, 3)}, ("LINEAR", 2, 3, 7, 5, 1, 1, 1, 1, 1)),
    (node("MatMul", "x z"), {"x": [2, 4, 3, 5], "z": [2, 4, 5, 7]}, {},
     ("MATMUL", 2, 20, 28, 3, 1, 1, 1, 1, 4)),
    (node("Einsum", "x z", equation="bhqd,bhkd->bhqk"), {"x": [2, 4, 3, 5], "z": [2, 4, 7, 5]}, {},
     ("MATMUL", 2, 20, 28, 3, 1, 1, 1, 1, 4)),
    (node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2]), IMAGE, {},
     ("POOL", 2, 4, 4, 3, 3, 3, 2, 2, 1)),
    (node("GlobalAveragePool", "x"), IMAGE, {}, ("POOL", 2, 4, 4, 1, 1, 8, 6, 1, 1)),
    (node("ReduceMean", "x axes", keepdims=0), IMAGE, {"axes": np.array([2, 3])},
     ("POOL", 2, 4, 4, 1, 1, 8, 6, 1, 1)),
    (node("Add", "x x"), IMAGE, {}, ("ADD", 2, 4, 4, 8, 6, 1, 1, 1, 1)),
    (node("Mul", "x z"), {**IMAGE, "z": [2, 4, 1, 1]}, {},
     ("ELEMENTWISE", 2, 4, 4, 8, 6, 1, 1, 1, 1)),
    (node("Softmax", "x"), TOKENS, {}, ("ELEMENTWISE", 2, 5, 5, 3, 1, 1, 1, 1, 1)),
    (node("LayerNormalization", "x w"), TOKENS, {"w": (5,)},
     ("ELEMENTWISE", 2, 5, 5, 3, 1, 1, 1, 1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("single", "inputs", "constants", "expected"), SINGLE, ids=[n.op_type for n, *_ in SINGLE]
)
def test_each_operator_by_hand(tmp_path, single, inputs, constants, expected):
    path = written(tmp_path, [single], inputs, constants)
    assert rows(from_onnx(path), *SHAPE) == [expected]


def test_embeddings_are_looked_up(tmp_path):
    nodes = [node("Cast", "x", "i", to=TensorProto.INT64), node("Gather", "w i")]
    table = from_onnx(written(tmp_path, nodes, {"x": [2, 3]}, {"w": (50, 8)}))
    assert rows(table, "N", "C", "K", "P") == [("EMBEDDING", 2, 50, 8, 3)]


def test_what_is_computed_on_the_way_has_no_row(tmp_path):
    nodes = [
        node("Conv", "x w", "a"), node("BatchNormalization", "a s s s s", "b"),
        node("Add", "b s4", "c"), node("Relu", "c", "d"), node("Flatten", "d", "e"),
        node("Mul", "e two"),
    ]  # fmt: skip
    constants = {"w": (6, 4, 1, 1), "s": (6,), "s4": (6, 1, 1), "two": (1,)}
    path = written(tmp_path, nodes, IMAGE, constants)
    assert [r[0] for r in rows(from_onnx(path))] == ["CONVOLUTION"]
    assert [r[0] for r in rows(from_onnx(path, fused=False))] == ["CONVOLUTION"] + 4 * [
        "ELEMENTWISE"
    ]


def test_quantize_and_dequantize_tell_bits(tmp_path):
    """Activations of 8, weights of 4 bits; then weights as they are, behind a reshape."""
    nodes = [
        node("QuantizeLinear", "x scale zero", "xq"),
        node("DequantizeLinear", "xq scale zero", "xd"),
        node("DequantizeLinear", "wq scale", "w"), node("Conv", "xd w", "a"),
        node("QuantizeLinear", "a scale zero", "aq"),
        node("DequantizeLinear", "aq scale zero", "ad"),
        node("Flatten", "ad", "f"), node("MatMul", "f v"),
    ]  # fmt: skip
    four = helper.make_tensor("wq", TensorProto.INT4, (6, 4, 1, 1), [1] * 24)
    constants = {"scale": np.ones((), np.float32), "zero": np.zeros((), np.uint8), "v": (288, 5)}
    path = written(tmp_path, nodes, IMAGE, constants)
    model = onnx.load(str(path))
    model.graph.initializer.append(four)
    onnx.save(model, str(path))
    table = from_onnx(path)
    assert table.weight_bits.tolist() == [4, 32]
    assert table.activation_bits.tolist() == [8, 8]


def test_integer_operators_tell_bits(tmp_path):
    nodes = [node("DynamicQuantizeLinear", "x", "q s z"), node("ConvInteger", "q w", "i"),
             node("Cast", "i", to=FLOAT)]  # fmt: skip
    path = written(tmp_path, nodes, IMAGE, {"w": np.zeros((6, 4, 3, 3), np.int8)})
    table = from_onnx(path)
    assert rows(table, "K", "weight_bits", "activation_bits") == [("CONVOLUTION", 6, 8, 8)]


def test_sizes_left_open_are_given_by_name(tmp_path):
    path = written(tmp_path, [node("MatMul", "x w")], {"x": ["batch", "tokens", 5]}, {"w": (5, 7)})
    with pytest.raises(DesignError, match="sizes of tensor 'x' are not known") as caught:
        from_onnx(path)
    assert "sizes of open ones" in caught.value.cure
    assert rows(from_onnx(path, sizes={"tokens": 9}), "N", "P") == [("LINEAR", 1, 9)]
    network = FixedNetwork(file=path, sizes={"tokens": 9})
    assert network.table.P.tolist() == [9]
    assert FixedNetwork(**network.options()) == network
    both = from_onnx(path, sizes={"tokens": 9, "batch": 4})
    assert rows(both, "N", "P") == [("LINEAR", 4, 9)]


def test_unknown_operators_are_named(tmp_path):
    nodes = [node("ConvTranspose", "x w", "up"), node("Conv", "up v", "c"), node("Det", "c")]
    path = written(tmp_path, nodes, {"x": [1, 4, 5, 5]}, {"w": (4, 6, 1, 1), "v": (2, 6, 1, 1)})
    with pytest.raises(DesignError, match="cost is not known") as caught:
        from_onnx(path)
    assert "ConvTranspose (the_up); Det (the_y)" in caught.value.what
    assert [r[0] for r in rows(from_onnx(path, unknown="skip"))] == ["CONVOLUTION"]


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DesignError, match="there is no file"):
        from_onnx(tmp_path / "nowhere.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_text("no protobuf")
    with pytest.raises(DesignError, match="cannot be read as an ONNX file"):
        from_onnx(broken)
    strange = written(tmp_path, [node("Conv", "x w", strides=[1, 2])], IMAGE, {"w": (6, 4, 3, 3)})
    with pytest.raises(DesignError, match=r"Conv with strides 1 x 2 \(the_y\)"):
        from_onnx(strange)


def test_without_onnx_the_extra_is_named(monkeypatch, tmp_path):
    from hwnas.design.outside import onnx_file

    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="from_onnx needs the package 'onnx'"):
        from_onnx(tmp_path / "net.onnx")


# --- exported by PyTorch --------------------------------------------------------------------------


def exported(module, example, path):
    import torch

    pytest.importorskip("onnxscript")
    torch.onnx.export(module, example, str(path), dynamo=True, verbose=False)
    return path


def small_networks():
    import torch

    from tests.design.outside.torch_networks import Block, Inverted, Squeeze, conv

    def squeeze(inside):
        return Squeeze(inside, 4, torch.nn.ReLU, torch.nn.Hardsigmoid)

    image = torch.zeros(1, 3, 16, 16)
    mobile = torch.nn.Sequential(
        conv(3, 8, 3, 2, act=torch.nn.Hardswish),
        Inverted(8, 8, 5, 1, 16, torch.nn.Hardswish, squeeze),
        torch.nn.MaxPool2d(3, 2, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    )  # fmt: skip
    block = Block(12, 3, 24, first=True, written_out=True)
    return {"mobile": (mobile.eval(), image), "block": (block.eval(), torch.zeros(1, 7, 12))}


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.parametrize("name", ["mobile", "block"])
def test_exported_networks_are_those_that_torch_traces(name, tmp_path):
    pytest.importorskip("torch")
    from hwnas.design import from_torch

    module, example = small_networks()[name]
    found = from_onnx(exported(module, (example,), tmp_path / "net.onnx"))
    expected = from_torch(module, example)
    for column in fields(expected):
        if column.name != "n":
            left, right = getattr(found, column.name), getattr(expected, column.name)
            np.testing.assert_array_equal(left, right, err_msg=column.name)


# --- as a part of a space -------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    nodes = [node("Conv", "x w", "a"), node("GlobalAveragePool", "a", "p"),
             node("Flatten", "p", "f"), node("Gemm", "f v")]  # fmt: skip
    constants = {"w": (6, 4, 3, 3), "v": (6, 10)}
    return written(tmp_path, nodes, {"x": [1, 4, 8, 8]}, constants, name="mine.onnx")


def test_bits_and_accelerators_are_searched_for_a_file(file):
    network = FixedNetwork(file=file)
    assert (network.network, network.depth) == ("mine", 2)
    with pytest.raises(SpaceError, match="is made for images of one size only"):
        network.at(16)
    with pytest.raises(SpaceError, match="a file cannot be made for other images"):
        FixedNetwork(file=file, image=16)
    space = network.space() + BitsPerLayer(layers=2).space() + SystolicArray().space()
    designs = Designs(space, space.sample(30, np.random.default_rng(1)))
    assert set(designs.layers.weight_bits.tolist()) == {2, 3, 4, 6, 8}
    found = Systolic().evaluate(designs)
    assert len(set(found["energy"][found.feasible].tolist())) > 5


def test_a_file_that_changed_is_another_network(file, tmp_path):
    before = FixedNetwork(file=file).space()
    assert before.genes[0].choices[0].startswith("mine-")
    wider = {"w": (8, 4, 3, 3)}
    written(tmp_path, [node("Conv", "x w")], {"x": [1, 4, 8, 8]}, wider, name="mine.onnx")
    assert FixedNetwork(file=file).space() != before
    with pytest.raises(SpaceError):
        Space.from_json(before.to_json()).check(np.array([[1]]))


@pytest.mark.parametrize(
    "check", [c for c in space_checks() if "graphs" not in c.name], ids=str
)  # fmt: skip
def test_conformance(file, check):
    check(SpaceSubject.of(FixedNetwork(file=file)))


def test_a_network_and_a_file_are_too_much(file):
    with pytest.raises(SpaceError, match="a network and a file"):
        FixedNetwork("resnet50", file=file)


def test_study_files_name_onnx_files(file):
    from hwnas.studyfile.loading import load

    study = file.with_name("study.yaml")
    study.write_text(
        "name: mine\n"
        "space:\n"
        "  - {use: fixed_network, file: mine.onnx}\n"
        "  - {use: bits_per_layer, layers: 2}\n"
        "  - {use: systolic_array}\n"
        "evaluators: [{use: systolic}]\n"
        "objectives: [energy, latency]\n"
        "searcher: {use: random}\n"
        "budget: 5\n"
    )
    plan = load(study)
    assert plan.problem.space.parts["net"].file == file
