"""Choices of quantisers: each against its definition, and what a study may ask for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators import datasets  # noqa: E402
from evaluators.quantization import Quantization, QuantizedNetwork  # noqa: E402
from evaluators.quantization.calibration import calibrate  # noqa: E402
from evaluators.quantization.integer import IntegerNetwork  # noqa: E402
from evaluators.quantization.learned import LearnedActivations, LearnedWeights  # noqa: E402
from evaluators.quantization.network import Computation  # noqa: E402
from evaluators.quantization.ranges import LargestWeights, PercentileActivations  # noqa: E402
from evaluators.torch_threads import one_thread  # noqa: E402
from evaluators.training import Training  # noqa: E402
from evaluators.training.loop import error_rate  # noqa: E402
from hwnas.design import SkipNet  # noqa: E402
from hwnas.design.designs import Designs  # noqa: E402
from hwnas.design.parts import QuantizationPolicy  # noqa: E402
from hwnas.errors import DesignError, ProblemError, StudyFileError  # noqa: E402
from hwnas.space import Gene  # noqa: E402
from hwnas.studyfile import load  # noqa: E402
from tests.quantized_networks import GENES, design_of, network_of  # noqa: E402

USUAL = "1 digits epochs=8 batch_size=100 learning_rate=0.04 weight_decay=0.0001"
PTQ = Quantization(activations="percentile", mode="ptq")


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_usual_quantisers_answer_what_they_always_did():
    assert Training().version == USUAL
    small = {**GENES, "net.width": 1, "net.cells": 1}
    error = Training(epochs=2).measure(design_of(small, weights=4, activations=4))["error"]
    # Measured before there was a choice of quantisers. Exact on the machine that measured it, but
    # processors round sums differently.
    assert error == pytest.approx(1847 / 2391, abs=0.03)


def test_every_choice_is_another_version():
    changes = (
        {"weights": "max"},
        {"weights": "learned"},
        {"activations": "percentile"},
        {"activations": "percentile", "percentile": 99.0},
        {"mode": "ptq"},
        {"mode": "ptq", "calibration_images": 100},
    )
    versions = {Training(quantization=Quantization(**change)).version for change in changes}
    assert len(versions) == len(changes)
    assert all(version.startswith(USUAL + " quantization: ") for version in versions)
    assert Training(quantization=Quantization()).version == USUAL


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_largest_weight_of_each_channel_is_the_highest_level(bits):
    weight = drawn(5, 40, 3, 3) * torch.logspace(-3, 3, 5).view(5, 1, 1, 1)
    rounding = LargestWeights(bits, weight.shape)
    levels = 2 ** (bits - 1) - 1
    expected = weight.abs().amax(dim=(1, 2, 3)) / levels
    assert torch.allclose(rounding.steps(weight), expected)
    codes = rounding(weight) / expected.view(5, 1, 1, 1)
    assert torch.allclose(codes, codes.round(), atol=1e-3)
    assert torch.equal(codes.abs().amax(dim=(1, 2, 3)).round(), torch.full((5,), float(levels)))
    assert torch.equal(LargestWeights(bits, (2, 3))(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("percentile", [50.0, 99.0, 99.9, 100.0])
@pytest.mark.parametrize("signed", [False, True])
def test_a_percentile_of_the_activations_is_the_highest_level(percentile, signed):
    x = drawn(4, 3, 9, 9) if signed else drawn(4, 3, 9, 9).abs()
    rounding = PercentileActivations(4, signed=signed, percentile=percentile).train()
    rounded = rounding(x)
    highest = np.percentile(np.abs(x.numpy()), percentile, method="inverted_cdf")
    top = 7 if signed else 15
    assert rounding.present_step() == pytest.approx(highest / top)
    assert float(rounded.abs().max()) == pytest.approx(highest)
    assert len(rounded.unique()) <= (15 if signed else 16)
    rounding(2.0 * x)
    assert rounding.present_step() * top == pytest.approx(highest * (0.9 + 0.1 * 2.0))


def of_the_paper(v, s, bottom, top):
    """Esser et al., ICLR 2020, equations 1 to 3: what is rounded, and its derivative by s."""
    ratio = v / s
    derivative = np.where(
        ratio <= bottom, bottom, np.where(ratio >= top, top, np.rint(ratio) - ratio)
    )
    return np.rint(np.clip(ratio, bottom, top)) * s, derivative


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_learned_steps_of_weights_have_the_gradients_of_the_paper(bits):
    weight = drawn(6, 5, 3, 3).requires_grad_()
    rounding = LearnedWeights(bits, weight.shape)
    top = 2 ** (bits - 1) - 1
    first = 2.0 * weight.detach().abs().mean(dim=(1, 2, 3)) / top**0.5
    upstream = drawn(6, 5, 3, 3, seed=1)
    rounding(weight).backward(upstream)
    assert torch.allclose(rounding.first, first)
    for k in range(6):
        v, s = weight.detach()[k].numpy(), first[k].item()
        rounded, derivative = of_the_paper(v, s, -top, top)
        assert np.allclose(rounding(weight)[k].detach(), rounded, atol=1e-6)
        scaled = float((upstream[k].numpy() * derivative).sum()) / (45 * top) ** 0.5
        # The parameter is the logarithm of the step: times s.
        assert rounding.log_factor.grad[k].item() == pytest.approx(scaled * s, rel=1e-3, abs=1e-6)
        inside = np.abs(v / s) < top
        straight = np.where(inside, upstream[k].numpy(), 0.0)
        assert np.allclose(weight.grad[k].numpy(), straight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_learned_steps_of_activations_have_the_gradients_of_the_paper(signed):
    x = drawn(8, 3, 4, 4) if signed else drawn(8, 3, 4, 4).relu()
    rounding = LearnedActivations(3, signed=signed)
    upstream = drawn(8, 3, 4, 4, seed=1)
    rounding(x).backward(upstream)
    bottom, top = (-3, 3) if signed else (0, 7)
    s = 2.0 * float(x.abs().mean()) / top**0.5
    rounded, derivative = of_the_paper(x.numpy(), s, bottom, top)
    assert rounding.present_step() == pytest.approx(s)
    assert np.allclose(rounding(x).detach(), rounded, atol=1e-6)
    scaled = float((upstream.numpy() * derivative).sum()) / (48 * top) ** 0.5
    assert rounding.log_factor.grad.item() == pytest.approx(scaled * s, rel=1e-3)
    with torch.no_grad():
        rounding.log_factor.fill_(np.log(2.0))
    assert rounding.present_step() == pytest.approx(2 * s)


def test_learning_a_step_finds_a_better_one():
    weight = drawn(4, 200)
    rounding = LearnedWeights(3, weight.shape)
    optimiser = torch.optim.Adam(rounding.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = (rounding(weight) - weight).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    best = min(
        float((torch.fake_quantize_per_tensor_affine(weight, s, 0, -3, 3) - weight).square().mean())
        for s in np.linspace(0.2, 2.0, 100)
    )
    assert losses[-1] < 0.95 * losses[0]
    assert losses[-1] < 1.05 * best


def test_until_it_is_calibrated_a_network_computes_in_floating_point():
    waiting = network_of(GENES, weights=3, activations=3, quantization=PTQ)
    floats = network_of(GENES, weights=32, activations=32, quantization=Quantization())
    x = torch.tensor(datasets.load("digits").test_images[:50])
    cells = [c for c in waiting.computations if c.layer.cell]
    with torch.inference_mode():
        for a, b in zip(cells, [c for c in floats.computations if c.layer.cell], strict=True):
            assert torch.equal(a.weight, b.weight)
        outputs = [x]
        for computation in waiting.computations:
            outputs.append(computation(outputs))
    calls = []
    for computation in cells:
        computation.rounded.register_forward_pre_hook(lambda _, given: calls.append(given[0]))
    before = {name: p.clone() for name, p in waiting.named_parameters()}
    statistics = waiting.computations[0].normalised.running_mean.clone()
    calibrate(waiting, [x[:20], x[20:40]])
    assert torch.equal(statistics, waiting.computations[0].normalised.running_mean)
    assert all(torch.equal(before[name], p) for name, p in waiting.named_parameters())
    for i, computation in enumerate(cells):
        given = [np.abs(calls[i + batch * len(cells)].numpy()) for batch in range(2)]
        highest = [np.percentile(g, 99.9, method="inverted_cdf") for g in given]
        assert computation.rounded.present_step() == pytest.approx(np.mean(highest) / 7)
    with torch.inference_mode():
        codes = cells[0].rounded(cells[0].joined(outputs[:2])) / cells[0].rounded.present_step()
        weights = cells[0].rounded_weights(cells[0].weight)
    assert set(codes.round().unique().tolist()) <= set(range(8))
    assert torch.allclose(codes, codes.round(), atol=1e-4)
    assert max(len(channel.unique()) for channel in weights) <= 7
    again = QuantizedNetwork(waiting.graph, torch.Generator().manual_seed(3), PTQ).eval()
    again.load_state_dict(waiting.state_dict())
    with torch.inference_mode():
        assert torch.equal(again(x), waiting(x))


SMALL = {**GENES, "net.width": 1, "net.cells": 1}


@pytest.mark.parametrize(
    "quantization",
    [
        Quantization(weights="learned", activations="learned"),
        Quantization(weights="max", activations="percentile"),
        PTQ,
    ],
    ids=lambda quantization: quantization.label,
)
def test_networks_are_trained_with_every_quantiser_and_computed_in_integers(quantization):
    design = design_of(SMALL, weights=4, activations=4)
    training = Training(epochs=2, quantization=quantization)
    dataset = datasets.load("digits")
    network = training.trained(design)
    fake = error_rate(network, dataset)
    assert fake < 0.88  # chance is 0.9
    assert error_rate(IntegerNetwork(network), dataset) == pytest.approx(fake, abs=0.005)


def test_a_calibrated_network_comes_back_from_its_checkpoint(tmp_path):
    design = design_of(SMALL, weights=4, activations=4)
    training = Training(epochs=1, batch_size=500, quantization=PTQ, checkpoints=tmp_path / "kept")
    recorded = training.measure(design)["error"]
    assert error_rate(training.trained(design), datasets.load("digits")) == recorded


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"weights": "lsq"}, "weights = lsq"),
        ({"activations": "max"}, "activations = max"),
        ({"mode": "later"}, "mode = later"),
        ({"percentile": 0.0}, "percentile = 0.0"),
        ({"percentile": 100.1}, "percentile = 100.1"),
        ({"percentile": float("nan")}, "percentile = nan"),
        ({"calibration_images": 0}, "calibration_images = 0"),
        ({"mode": "ptq", "weights": "learned"}, "mode = ptq with learned steps"),
        ({"mode": "ptq", "activations": "learned"}, "mode = ptq with learned steps"),
    ],
    ids=str,
)
def test_mistakes_are_named(option, said):
    with pytest.raises(ProblemError, match="cannot be quantised") as caught:
        Quantization(**option)
    assert said in caught.value.what
    assert caught.value.rule


STUDY = """
name: small
space:
  - {use: skipnet, cells: [1], layers_per_cell: [2]}
  - {use: uniform_bits, weight_bits: [4]}
evaluators:
  - {use: training, quantization: {OPTIONS}}
  - {use: macs}
objectives: [error, macs]
budget: 2
"""


def test_a_study_file_says_how_networks_are_quantised(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(STUDY.replace("OPTIONS", "activations: percentile, mode: ptq"))
    assert load(file).problem.evaluators[0].quantization == PTQ
    for option in ("mode: ptq, weights: learned", "weight: max", "percentile: 0"):
        file.write_text(STUDY.replace("OPTIONS", option))
        with pytest.raises(StudyFileError) as caught:
            load(file)
        assert "study.yaml:7:" in str(caught.value)
        assert option.split()[0].rstrip(":") in str(caught.value)


@dataclass(frozen=True)
class OneBit(QuantizationPolicy):
    """A policy of somebody else's, with 1 bit."""

    name: ClassVar[str] = "one_bit"

    def genes(self):
        return (Gene("quant.bits", (8, 1, 4)),)

    def bits(self, columns, design, cell):
        chosen = columns["quant.bits"].astype(np.int64)[design]
        return np.where(cell > 0, chosen, 8), np.full(len(design), 8)


def test_bits_that_cannot_be_rounded_to_are_a_mistake_of_the_study():
    space = SkipNet(cells=(1,)).space() + OneBit().space()
    nothing = Designs(space, np.zeros((0, len(space)), dtype=np.int64))
    with pytest.raises(ProblemError, match="offers 1 weight bits") as caught:
        Training().evaluate(nothing)
    assert caught.value.where == "space, part quant"
    space = space.restrict({"quant.bits": [8, 4]})
    assert len(Training().evaluate(Designs(space, nothing.genomes))) == 0
    layer = design_of(GENES, weights=4, activations=4).graph.layers[0]
    with pytest.raises(DesignError, match="so few bits"):
        Computation(dataclasses.replace(layer, activation_bits=1), [1], signed=False)
