"""Trainings as genes ask for them: which images, at which size, at how many bits, at what cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from evaluators import datasets  # noqa: E402
from evaluators.image_complexity import by_complexity, spatial_information  # noqa: E402
from evaluators.precision_schedules import EXACT_BITS, Constant, Cyclic, limited  # noqa: E402
from evaluators.quantization import QuantizedNetwork  # noqa: E402
from evaluators.torch_threads import one_thread  # noqa: E402
from evaluators.training import Training  # noqa: E402
from evaluators.training.genes import PlannedCourse, planned, resized, resized_for_tests  # noqa: E402
from evaluators.training.loop import Course, Recipe, Trainer  # noqa: E402
from evaluators.training.range_test import range_test  # noqa: E402
from evaluators.training_cost import TrainingCost  # noqa: E402
from evaluators.training_plan import Plan  # noqa: E402
from hwnas import Designs, SkipNet  # noqa: E402
from hwnas.design import NASBench201, Operator, SearchedTraining, UniformBits  # noqa: E402
from hwnas.errors import ProblemError  # noqa: E402

FAMILY = SkipNet(cells=(1, 2), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 4))
BITS = UniformBits(weight_bits=(2, 4, 8), activation_bits=(4, 8))
TRAINED = SearchedTraining(
    resolution=(5, 8),
    keep=(0.5, 1.0),
    easy=("drop", "downsample"),
    easy_weight=(0.5,),
    batch_size=(20, 30),
    schedule=("constant", "cyclic", "progressive"),
    cycles=(2,),
)
SPACE = FAMILY.space() + BITS.space() + TRAINED.space()
NET = {
    "net.cells": 2,
    "net.width": 1,
    "net.skip": "add",
    "net.cell1.layers": 3,
    "net.cell1.skip_channels": 4,
    "net.cell2.layers": 2,
    "quant.weight_bits": 4,
    "quant.activation_bits": 8,
}
PLAIN = {
    "train.resolution": 8,
    "train.keep": 1.0,
    "train.batch_size": 30,
    "train.schedule": "constant",
}
SLIM = {"train.keep": 0.5, "train.easy": "downsample", "train.easy_weight": 0.5}
CYCLIC = {
    "train.schedule": "cyclic",
    "train.lower_bits": 3,
    "train.upper_bits": 8,
    "train.cycles": 2,
}
RECIPE = Recipe(epochs=2, batch_size=25, learning_rate=0.02, weight_decay=0.0)


def design_of(**genes):
    return Designs(SPACE, SPACE.encode([NET | PLAIN | genes]))[0]


def few(n=130):
    """The first digits, undistorted in number and kind."""
    whole = datasets.load("digits")
    return replace(
        whole,
        train_images=whole.train_images[:n],
        train_labels=whole.train_labels[:n],
        test_images=whole.test_images[:100],
        test_labels=whole.test_labels[:100],
    )


def network_of(graph, seed=0):
    return QuantizedNetwork(graph, torch.Generator().manual_seed(seed))


# --- bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8, 12])
def test_a_limited_network_is_that_of_fewer_bits(bits):
    graph = design_of().graph
    fewer = replace(
        graph,
        layers=tuple(
            replace(
                layer,
                weight_bits=min(layer.weight_bits, bits),
                activation_bits=min(layer.activation_bits, bits),
            )
            for layer in graph.layers
        ),
    )
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    limited_, other = network_of(graph).train(), network_of(fewer).train()
    limited_.limit(bits)
    torch.testing.assert_close(limited_(x), other(x), rtol=0, atol=0)


def test_evaluation_lifts_the_limit():
    graph = design_of().graph
    x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    one, other = network_of(graph).train(), network_of(graph).train()
    one(x), other(x)
    one.limit(2)
    assert not torch.equal(one(x), other(x))
    one.load_state_dict(other.state_dict())
    torch.testing.assert_close(one.eval()(x), other.eval()(x), rtol=0, atol=0)
    other.limit(2)
    assert not torch.equal(one.train()(x), other.train()(x))


def test_layers_in_single_precision_stay_so():
    space = FAMILY.space()
    graph = Designs(space, space.rows()[:1])[0].graph
    x = torch.rand(4, 1, 8, 8)
    one, other = network_of(graph).train(), network_of(graph).train()
    one.limit(2)
    torch.testing.assert_close(one(x), other(x), rtol=0, atol=0)
    assert limited(np.array([EXACT_BITS - 1, EXACT_BITS, 32]), 2).tolist() == [2, 24, 32]


# --- images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family", [FAMILY, SkipNet(image=9, cells=(3,)), NASBench201(image=16, cells_per_stage=1)]
)
def test_smaller_images_pass_through_the_layers_of_the_table(family):
    space = family.space()
    designs = Designs(space, space.sample(4, np.random.default_rng(0)))
    half = designs.layers_at(-(-designs.images // 2))
    for i, design in enumerate(designs):
        network = network_of(design.graph).eval()
        channels, image = design.graph.channels, -(-design.graph.image // 2)
        outputs = [torch.rand(2, channels, image, image)]
        for computation in network.computations:
            outputs.append(computation(outputs))
        sizes = [output.shape[-1] for output in outputs[1:]]
        rows = half.take([i])
        inside = [layer.operator is not Operator.ADD for layer in design.graph.layers]
        found = [size for size, counts in zip(sizes, inside, strict=True) if counts]
        assert rows.P[rows.operator != int(Operator.ADD)].tolist() == found


def test_spatial_information_by_hand():
    flat = np.full((1, 3, 4, 4), 0.7, dtype=np.float32)
    edge = np.zeros((1, 1, 5, 6), dtype=np.float32)
    edge[..., 3:] = 1.0
    # Columns 2 and 3 of 6 have a gradient of 1 + 2 + 1.
    corner = np.zeros((1, 1, 3, 3), dtype=np.float32)
    corner[0, 0, 0, 0] = 1.0
    assert spatial_information(flat)[0] == pytest.approx(0, abs=1e-12)
    assert spatial_information(edge)[0] == pytest.approx(2 * 4 / 6)
    assert spatial_information(edge.swapaxes(2, 3))[0] == pytest.approx(2 * 4 / 6)
    # By the kernel: 3 across and along in the corner, (1, 3) beside it, (1, 1) across the centre.
    exact = (np.hypot(3, 3) + 2 * np.hypot(1, 3) + np.hypot(1, 1)) / 9
    assert spatial_information(corner)[0] == pytest.approx(exact)
    assert spatial_information(np.repeat(edge, 3, axis=1))[0] == pytest.approx(2 * 4 / 6)
    assert spatial_information(flat[:0]).shape == (0,)


def test_easy_images_of_every_class_come_last():
    data = datasets.load("digits")
    scores, labels = spatial_information(data.train_images), data.train_labels
    order = by_complexity(data)
    assert sorted(order.tolist()) == list(range(1000))
    for label in range(10):
        own = order[labels[order] == label]
        assert (np.diff(scores[own]) <= 0).all()
    for hard in (100, 250, 500, 750):
        kept, whole = np.bincount(labels[order[:hard]]), np.bincount(labels)
        np.testing.assert_allclose(kept, whole * hard / 1000, atol=1)


def test_a_course_shows_hard_images_whole_and_easy_ones_small():
    data = few()
    design = design_of(**SLIM)
    recipe, course = planned(design, RECIPE, data)
    assert isinstance(course, PlannedCourse)
    rows, weights = course.chosen(np.zeros(130), 0, 2, np.random.default_rng(0))
    hard = set(by_complexity(data)[:65].tolist())
    # 65 and 65 images in batches of 30: two each, alternating, the rest is left out.
    assert recipe.batch_size == 30
    assert len(rows) == course.count(130, 0, 2) == 120
    assert len(set(rows.tolist())) == 120
    easy = np.repeat(course.plan.is_easy, 30)
    assert easy.sum() == 60
    assert (np.isin(rows, list(hard)) == ~easy).all()
    assert weights.tolist() == np.where(easy, 0.5, 1.0).tolist()
    again, _ = course.chosen(np.zeros(130), 0, 2, np.random.default_rng(0))
    assert again.tolist() == rows.tolist()
    x = torch.rand(3, 1, 8, 8)
    sizes = [course.seen(x, step).shape[-1] for step in range(8)]
    assert sizes == [4 if e else 8 for e in course.plan.is_easy] * 2


def test_statistics_are_those_of_hard_images():
    """Test images have the size of hard ones, so small ones must leave no trace in statistics."""
    data, design = few(), design_of(**SLIM)
    _, course = planned(design, RECIPE, data)
    network = network_of(design.graph).train()
    x = torch.rand(30, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for step in range(4):
        before = {name: tensor.clone() for name, tensor in network.named_buffers()}
        course.before_step(network, step, 8)
        network(course.seen(x * (step + 1) / 4, step))
        same = [
            torch.equal(tensor, before[name])
            for name, tensor in network.named_buffers()
            if name.endswith(("running_mean", "running_var", "mean_square"))
        ]
        assert all(same) if course.plan.is_easy[step] else not any(same)


def test_dropped_images_are_never_shown():
    data = few()
    _, course = planned(design_of(**{"train.keep": 0.5, "train.easy": "drop"}), RECIPE, data)
    rows, weights = course.chosen(np.zeros(130), 0, 2, np.random.default_rng(0))
    assert set(rows.tolist()) <= set(by_complexity(data)[:65].tolist())
    assert weights is None


def test_without_genes_the_course_is_the_usual_one():
    space = FAMILY.space() + BITS.space()
    recipe, course = planned(Designs(space, space.rows()[:1])[0], RECIPE, few())
    assert recipe == RECIPE
    assert type(course) is Course


def test_resizing_keeps_means_and_bounds():
    x = torch.rand(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    assert resized(x, 8) is x
    small = resized(x, 4)
    assert small.shape == (5, 2, 4, 4)
    assert 0 <= small.min() <= small.max() <= 1
    torch.testing.assert_close(
        resized(torch.full((1, 1, 8, 8), 0.3), 5), torch.full((1, 1, 5, 5), 0.3)
    )
    data = few()
    assert resized_for_tests(data, 8) is data
    assert resized_for_tests(data, 5).test_images.shape == (100, 1, 5, 5)
    assert resized_for_tests(data, 5).train_images is data.train_images
    assert resized_for_tests(data, 5) is resized_for_tests(data, 5)


# --- trainings ------------------------------------------------------------------------------------


class Recorded(QuantizedNetwork):
    """Notes down what it computes: images, their size, and each layer's product of bits."""

    def __init__(self, graph, generator):
        super().__init__(graph, generator)
        self.seen = []

    def forward(self, images):
        bits = [_weight_bits(c) * _activation_bits(c.rounded) for c in self.computations]
        self.seen.append((len(images), images.shape[-1], bits))
        return super().forward(images)


def _weight_bits(computation):
    """Bits of -(2^(b-1) - 1) to 2^(b-1) - 1; pooling has no weights and no MACs."""
    rounding = computation.rounded_weights
    return 0 if rounding is None else int(np.log2(rounding.levels + 1)) + 1


def _activation_bits(rounding):
    return int(np.log2(rounding.top + 1)) + (rounding.bottom < 0)


@pytest.mark.parametrize(
    "genes",
    [{}, SLIM, CYCLIC, SLIM | CYCLIC | {"train.resolution": 5, "train.batch_size": 20}],
    ids=["plain", "slim", "cyclic", "all"],
)
def test_a_training_costs_what_the_metric_says(genes):
    """Every step of a real training: its images, their layers' MACs, and the weights' bits."""
    data, design = few(), design_of(**genes)
    recipe, course = planned(design, RECIPE, data)
    network = Recorded(design.graph, torch.Generator().manual_seed(0))
    with one_thread():
        losses = list(Trainer(network, data, recipe, 0, course=course))
    assert np.isfinite(losses).all()
    cost = TrainingCost(epochs=2, images=130, batch_size=25).evaluate(design.batch)
    macs = bitops = 0
    for n, size, bits in network.seen:
        table = design.batch.layers_at(np.array([size]))
        kept = table.operator != int(Operator.ADD)
        macs += 3 * n * int(table.macs.sum())
        bitops += 3 * n * sum(np.multiply(table.macs[kept], bits).tolist())
    assert cost["training_macs"][0] == macs
    assert cost["training_bitops"][0] == bitops


def test_answers_differ_by_genes_and_are_repeated():
    training = Training(dataset=few(), epochs=2, batch_size=25)
    rows = [
        NET | PLAIN | genes
        for genes in ({}, {"train.resolution": 5}, {"train.batch_size": 20}, SLIM, CYCLIC)
    ]
    designs = Designs(SPACE, SPACE.encode(rows))
    answer = training.evaluate(designs)
    assert answer.feasible.all()
    again = training.evaluate(designs[::-1])
    np.testing.assert_array_equal(answer["error"], again["error"][::-1])
    assert ((answer["error"] >= 0) & (answer["error"] <= 1))[answer.feasible].all()


def test_held_out_images_are_seen_at_the_resolution_too():
    training = Training(dataset=few(), epochs=2, batch_size=25, patience=2, validation=0.2)
    assert training.evaluate(design_of(**{"train.resolution": 5}).batch).feasible.all()


def test_networks_of_other_channels_are_refused_at_any_resolution():
    space = replace(FAMILY, channels=3).space() + SearchedTraining(resolution=(5, 8)).space()
    with pytest.raises(ProblemError, match="do not fit"):
        Training(dataset=few()).evaluate(Designs(space, space.rows()[:1]))


# --- range test -----------------------------------------------------------------------------------


def test_the_range_test_stops_at_the_first_bits_that_learn():
    graph, data = design_of().graph, few(200)
    easy = range_test(graph, data, RECIPE, bits=(3, 2, 8), share=1e-6)
    assert easy.lowest == min(b for b, loss in easy.losses.items() if loss < np.log(10))
    hard = range_test(graph, data, RECIPE, bits=(2, 8), share=0.999)
    assert hard.lowest is None
    assert list(hard.losses) == [2, 8]
    assert hard.losses[8] < hard.losses[2]
    again = range_test(graph, data, RECIPE, bits=(8,), share=0.999)
    assert again.losses[8] == hard.losses[8]


@pytest.mark.parametrize("options", [{"bits": ()}, {"bits": (1, 2)}, {"share": 0.0}])
def test_an_impossible_range_test_is_refused(options):
    with pytest.raises(ProblemError, match="no range test"):
        range_test(design_of().graph, few(), RECIPE, **options)


def test_plans_say_their_bits_once():
    plan = Plan(130, 2, 25, schedule=Cyclic(3, 8, 2))
    assert plan.caps.tolist() == Cyclic(3, 8, 2).caps(np.arange(10), 10).tolist()
    assert set(Plan(130, 2, 25, schedule=Constant()).caps.tolist()) == {32}
