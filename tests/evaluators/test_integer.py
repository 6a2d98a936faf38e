"""Integer-only arithmetic: against fake quantisation, and against rational and 64-bit integers."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402

from evaluators import datasets  # noqa: E402
from evaluators.quantization import QuantizedNetwork, integer  # noqa: E402
from evaluators.quantization.frozen import frozen  # noqa: E402
from evaluators.quantization.integer import IntegerNetwork  # noqa: E402
from evaluators.torch_threads import one_thread  # noqa: E402
from evaluators.training.loop import Recipe, error_rate, train  # noqa: E402
from hwnas.design.graph import Activation  # noqa: E402
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


@pytest.mark.parametrize("skip", ["concat", "add"])
def test_integers_err_as_often_as_fake_quantisation_after_training(skip):
    dataset = datasets.load("digits")
    network = QuantizedNetwork(
        design_of({**GENES, "net.skip": skip, "net.width": 1}, weights=4, activations=4).graph,
        torch.Generator().manual_seed(0),
    )
    list(train(network, dataset, Recipe(2, 100, 0.04, 1e-4), seed=0))
    fake, exact = error_rate(network, dataset), error_rate(IntegerNetwork(network), dataset)
    assert fake < 0.85  # it has learnt something; chance is 0.9
    assert exact == pytest.approx(fake, abs=0.005)


@pytest.mark.parametrize("skip", ["concat", "add"])
@pytest.mark.parametrize(("weights", "activations"), [(2, 2), (3, 8), (8, 3), (8, 8), (12, 16)])
def test_scores_are_those_of_fake_quantisation(skip, weights, activations):
    network = network_of({**GENES, "net.skip": skip}, weights=weights, activations=activations)
    x = torch.tensor(datasets.load("digits").test_images[:64])
    computed = IntegerNetwork(network)
    with torch.inference_mode():
        expected, scores = network(x).double(), computed(x)
    assert scores.dtype == torch.int64
    head = frozen(network)[-1]
    unit = float(head.weight_steps.max()) * head.grid.step / 2**16
    # A number beside the middle between two neighbours may be rounded to either.
    same = (scores * unit - expected).abs().amax(dim=1) < 1e-3 * expected.abs().max()
    assert same.float().mean() > 0.9
    assert (scores.argmax(1) == expected.argmax(1)).float().mean() > 0.95


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_every_kind_of_layer_is_rounded_where_fake_quantisation_rounds(bits):
    network = as_if_trained(all_kinds(bits))
    computed = IntegerNetwork(network)
    x = torch.tensor(datasets.load("digits").test_images[:16])
    outputs, accumulators = [x], [x.double()]
    with torch.inference_mode():
        for computation, gather, sums in zip(
            network.computations, computed.inputs, computed.sums, strict=True
        ):
            codes = gather(accumulators)
            given = computation.joined(outputs)
            if computation.prepared is not None:
                given = computation.prepared(given)
            if computation.prepare is not None:
                given = computation.prepare(given)
            step = computation.rounded.present_step()
            expected = (computation.rounded(given).double() / step).round()
            off = (codes - expected).abs()
            assert off.max() <= 1, computation.layer.name
            assert (off > 0).double().mean() < 0.01, computation.layer.name
            assert len(codes.unique()) > 2
            # So that differences do not add up, the next layer is given what is computed here.
            accumulators.append(sums(codes))
            outputs.append(computation(outputs))
            scale = sums.units * sums.after.scale.view(-1, 1, 1)
            real = accumulators[-1] * scale + sums.after.shift.view(-1, 1, 1)
            if computation.activate is not None:
                real = computation.activate(real)
            near = (real - outputs[-1]).abs() <= 1e-4 * (1 + outputs[-1].abs())
            outputs[-1] = real.float()
            assert near.double().mean() > 0.9, computation.layer.name
        assert len(outputs) == 12


@pytest.mark.parametrize(
    "change",
    [{"activation": Activation.SILU}, {"activation_before": Activation.SIGMOID}],
    ids=str,
)
def test_activation_functions_without_integers_are_refused(change):
    graph = all_kinds(8)
    layers = (dataclasses.replace(graph.layers[0], **change), *graph.layers[1:])
    with pytest.raises(DesignError, match="'stem' has no integer form") as caught:
        IntegerNetwork(as_if_trained(dataclasses.replace(graph, layers=layers)))
    (value,) = change.values()
    assert caught.value.given == value.value


def rational(affine, accumulators, unit):
    """Oracle: what the next layer is given, computed with fractions; and how far from a tie."""
    value = Fraction(affine.scale.item()) * accumulators + Fraction(affine.shift.item())
    exact = max(value, Fraction(0)) / Fraction(unit)
    rounded = (exact + Fraction(1, 2)).__floor__()
    return rounded, abs(exact + Fraction(1, 2) - round(exact + Fraction(1, 2)))


def test_one_multiplication_one_addition_and_one_shift_round_like_fractions():
    network = network_of(GENES, weights=8, activations=8)
    layers = frozen(network)
    rescaled = IntegerNetwork(network).inputs[1].rescaled[0]
    rng = np.random.default_rng(0)
    accumulators = torch.tensor(rng.integers(-(10**5), 10**5, (50, layers[0].layer.K, 1, 1)))
    answer = rescaled(accumulators)
    step = layers[1].grid.step
    checked = 0
    for k in range(layers[0].layer.K):
        one = dataclasses.replace(
            layers[0].after,
            scale=layers[0].after.scale[k] * layers[0].weight_steps[k] * layers[0].grid.step,
            shift=layers[0].after.shift[k],
        )
        for row in range(50):
            expected, distance = rational(one, int(accumulators[row, k]), step)
            if distance > Fraction(1, 2**12):
                assert int(answer[row, k]) == expected
                checked += 1
    assert checked > 40 * layers[0].layer.K


def test_accumulators_are_exact():
    network = network_of(GENES, weights=8, activations=8)
    for layer, accumulation in zip(frozen(network), IntegerNetwork(network).sums, strict=True):
        shape = (2, layer.layer.C, layer.layer.image * layer.layer.stride)
        if layer.weight is None or layer.weight.dim() != 4:
            continue
        x = torch.randint(layer.grid.bottom, layer.grid.top + 1, (*shape, shape[2]))
        windows = functional.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
        windows = windows[:, :, :: layer.layer.stride, :: layer.layer.stride].numpy()
        expected = np.einsum("nchwrs,kcrs->nkhw", windows, layer.weight.long().numpy())
        assert expected.dtype == np.int64
        assert np.array_equal(accumulation(x).numpy(), expected)


def test_accumulators_have_the_bits_that_the_worst_image_needs():
    network = network_of(GENES, weights=3, activations=4)
    computed = IntegerNetwork(network)
    for layer, accumulation, bits in zip(
        frozen(network), computed.sums, computed.accumulator_bits, strict=True
    ):
        if layer.layer.kernel != 3:
            continue
        k = int(layer.weight.abs().flatten(1).sum(1).argmax())
        worst = torch.zeros(1, layer.layer.C, 3, 3, dtype=torch.int64)
        worst[0] = torch.where(layer.weight[k] > 0, layer.grid.top, layer.grid.bottom)
        image = functional.pad(worst, (0, layer.layer.stride - 1, 0, layer.layer.stride - 1))
        reached = int(accumulation(image)[0, k].abs().max())
        assert reached < 2 ** (bits - 1)
        whole = layer.grid.top * int(layer.weight[k].abs().sum())
        assert 2 ** (bits - 2) <= whole < 2 ** (bits - 1)


def test_channels_of_negative_or_no_gain_are_right():
    network = network_of(GENES, weights=8, activations=8)
    with torch.no_grad():
        normalised = network.computations[0].normalised
        normalised.weight[0], normalised.weight[1] = -normalised.weight[0], 0.0
        normalised.bias[:2] = 1.0
    computed = IntegerNetwork(network)
    x = torch.tensor(datasets.load("digits").test_images[:64])
    with torch.inference_mode():
        same = (network(x).argmax(1) == computed(x).argmax(1)).float().mean()
        outputs = [x]
        outputs.append(network.computations[0](outputs))
        rounded = network.computations[1].rounded(network.computations[1].joined(outputs))
        images = x.double()
        codes = computed.inputs[1]([images, computed.sums[0](computed.inputs[0]([images]))])
    step = network.computations[1].rounded.present_step()
    off = (codes - (rounded.double() / step).round()).abs()
    assert off.max() <= 1
    assert (off > 0).float().mean() < 0.01
    assert (codes[:, 0] > 0).any()
    assert len(codes[:, 1].unique()) == 1
    assert same > 0.95


def test_networks_in_floating_point_are_refused_by_the_name_of_the_layer():
    with pytest.raises(DesignError, match=r"'cell1\.layer1' has no integers") as caught:
        IntegerNetwork(network_of(GENES, weights=32, activations=8))
    assert "32 weight bits, 8 activation bits" in caught.value.given
    with pytest.raises(DesignError, match="has no integers"):
        IntegerNetwork(network_of(GENES, weights=8, activations=24))


def test_accumulators_that_would_not_be_exact_are_refused(monkeypatch):
    network = network_of(GENES, weights=16, activations=16)
    widest = max(IntegerNetwork(network).accumulator_bits) - 1
    assert 32 < widest < 53
    monkeypatch.setattr(integer, "_EXACT", widest)
    IntegerNetwork(network)
    monkeypatch.setattr(integer, "_EXACT", widest - 1)
    with pytest.raises(DesignError, match="too wide to be exact"):
        IntegerNetwork(network)
