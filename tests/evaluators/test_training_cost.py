"""What a training costs: closed forms, a step-by-step oracle, and the rules of evaluators.

Also here: every evaluator that reads layers keeps its rules where genes choose the image size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.counts import BitOps, Macs
from evaluators.layer_keys import fingerprints
from evaluators.precision_schedules import Constant, Cyclic, Progressive, bits_at, schedule_of
from evaluators.spatial import Spatial
from evaluators.systolic import Systolic
from evaluators.training_cost import TrainingCost
from evaluators.training_plan import Plan
from hwnas import Designs, Problem, SkipNet, SystolicArray
from hwnas.design import (
    LayerTable,
    NetworkFamily,
    SearchedTraining,
    SpatialArray,
    UniformBits,
    UniformMapping,
)
from hwnas.errors import ProblemError
from hwnas.exact.solving import solve
from hwnas.space import Gene
from hwnas.testing import EvaluatorSubject, evaluator_checks

FAMILY = SkipNet(cells=(1, 2), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 4))
TRAINED = SearchedTraining(
    resolution=(4, 6, 8),
    keep=(0.5, 1.0),
    easy=("drop", "downsample"),
    batch_size=(30, 100),
    schedule=("constant", "cyclic", "progressive"),
    cycles=(1, 3),
    stages=((3, 8), (2, 4, 6)),
)
BITS = UniformBits(weight_bits=(2, 4, 8), activation_bits=(4, 8))
ARRAY = SystolicArray(rows=(4, 8), columns=(4,), dataflow=("ws", "os"))
SPACE = FAMILY.space() + BITS.space() + ARRAY.space() + TRAINED.space()
MAPPED = (
    FAMILY.space()
    + BITS.space()
    + UniformMapping().space()
    + SpatialArray(dataflow=("nvdla", "shidiannao"), ifmap_sram=(256, 65536)).space()
    + TRAINED.space()
)
READERS = {
    "bitops": (BitOps(), SPACE),
    "systolic": (Systolic(), SPACE),
    "spatial": (Spatial(), MAPPED),
    "training_cost": (TrainingCost(gradient_bits=8), SPACE),
}


@cache
def subject(name):
    return EvaluatorSubject(*READERS[name])


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_whoever_reads_layers_keeps_the_rules_at_all_image_sizes(name, check):
    check(subject(name))


# --- schedules ------------------------------------------------------------------------------------


def test_cycles_by_hand():
    # CPT, equation 1, with 10 steps a cycle: 3 + 2.5 (1 - cos(pi t / 10)), rounded.
    # 3, 3.12, 3.48, 4.03, 4.73, 5.5 (to the even 6, or below it), 6.27, 6.97, 7.52, 7.88.
    found = Cyclic(3, 8, 2).caps(np.arange(20), 20).tolist()
    assert found[:5] == [3, 3, 3, 4, 5]
    assert found[6:10] == [6, 7, 8, 8]
    assert found[5] in (5, 6)
    assert found[10:] == found[:10]


@given(
    lower=st.integers(2, 6),
    width=st.integers(1, 8),
    cycles=st.integers(1, 8),
    steps=st.integers(9, 40),
)
def test_cycles_stay_within_their_bounds_begin_low_and_end_high(lower, width, cycles, steps):
    upper, total = lower + width, cycles * steps
    caps = Cyclic(lower, upper, cycles).caps(np.arange(total), total)
    assert caps.min() == lower
    assert caps.max() == upper
    assert (caps[::steps] == lower).all()
    assert (caps[steps - 1 :: steps] == upper).all()
    assert sum(a > b for a, b in pairwise(caps)) == cycles - 1
    rising = caps.reshape(cycles, steps)
    assert (np.diff(rising, axis=1) >= 0).all()


@given(
    bits=st.lists(st.integers(2, 32), min_size=1, max_size=5, unique=True), each=st.integers(1, 9)
)
def test_stages_are_equally_long_and_rise(bits, each):
    stages = tuple(sorted(bits))
    total = each * len(stages)
    caps = Progressive(stages).caps(np.arange(total), total)
    assert caps.tolist() == [b for b in stages for _ in range(each)]


def test_bits_are_at_most_those_of_the_policy():
    steps = np.arange(12)[:, None]
    found = bits_at(np.array([2, 4, 32]), Progressive((3, 8)), steps, 12)
    assert found[0].tolist() == [2, 3, 32]  # single precision stays
    assert found[-1].tolist() == [2, 4, 32]
    assert bits_at(np.array([8]), Progressive((3, 8)), steps, 12).sum() == 6 * 3 + 6 * 8
    assert (bits_at(np.array([2, 4, 32]), Constant(), steps, 12) == [2, 4, 32]).all()


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ProblemError, match="no precision schedule 'cyclical'") as caught:
        schedule_of({"schedule": "cyclical"})
    assert "cyclic" in caught.value.cure


# --- plans ----------------------------------------------------------------------------------------


@given(
    images=st.integers(2, 300),
    epochs=st.integers(1, 4),
    batch=st.integers(2, 120),
    keep=st.floats(0.05, 1.0),
    downsampled=st.booleans(),
)
def test_a_plan_shows_whole_batches_spread_evenly(images, epochs, batch, keep, downsampled):
    plan = Plan(images, epochs, batch, keep, downsampled, Cyclic(3, 8, 2))
    hard = plan.hard_steps * plan.batch
    easy = plan.easy_steps * plan.batch
    assert 2 <= plan.batch <= batch
    assert hard <= plan.hard
    assert plan.hard - hard < plan.batch
    assert hard + easy <= images
    assert easy == 0 or downsampled
    assert plan.is_easy.sum() == plan.easy_steps
    assert len(plan.is_easy) * epochs == plan.steps == len(plan.caps)
    assert plan.shown.sum() == epochs * (hard + easy)
    assert plan.shown[1].sum() == epochs * easy
    quarter = plan.is_easy[: len(plan.is_easy) // 2].sum()
    assert abs(quarter - plan.easy_steps / 2) <= 1


# --- costs ----------------------------------------------------------------------------------------


def measured(evaluator, designs):
    answer = evaluator.evaluate(designs)
    assert answer.feasible.all()
    return answer


def test_without_genes_it_is_three_inferences_per_image():
    space = FAMILY.space() + BITS.space()
    designs = Designs(space, space.sample(20, np.random.default_rng(0)))
    # 2 epochs of 6 batches of 15; the last 10 images of an epoch are left out.
    cost = measured(TrainingCost(epochs=2, images=100, batch_size=15), designs)
    np.testing.assert_allclose(cost["training_macs"], 3 * 180 * measured(Macs(), designs)["macs"])
    np.testing.assert_allclose(
        cost["training_bitops"], 3 * 180 * measured(BitOps(), designs)["bitops"]
    )


@pytest.mark.parametrize("gradient_bits", [None, 8])
def test_the_cost_is_the_sum_over_steps_images_and_products(gradient_bits):
    """An oracle that goes through a training step by step, each layer by itself."""
    designs = Designs(SPACE, SPACE.sample(40, np.random.default_rng(3)))
    cost = measured(
        TrainingCost(epochs=2, images=170, batch_size=40, gradient_bits=gradient_bits), designs
    )
    for i, design in enumerate(designs):
        recipe = design.recipe
        plan = Plan.of(recipe, 170, 2, 40)
        full = design.batch.layers
        half = full
        if recipe["easy"] == "downsample":
            size = (design["train.resolution"] + 1) // 2
            config = design.config | {"train.resolution": 4}
            half = Designs(SPACE, SPACE.encode([config])).layers_at(np.array([size]))
        macs = bitops = 0
        for step in range(plan.steps):
            easy = plan.is_easy[step % len(plan.is_easy)]
            cap = int(schedule_of(recipe).caps(np.array([step]), plan.steps)[0])
            for layer_macs, w, a in zip(
                (half if easy else full).macs.tolist(),
                full.weight_bits.tolist(),
                full.activation_bits.tolist(),
                strict=True,
            ):
                w, a = min(w, cap), min(a, cap)
                products = 3 * w * a
                if gradient_bits is not None:
                    products = w * a + w * gradient_bits + a * gradient_bits
                macs += 3 * plan.batch * layer_macs
                bitops += plan.batch * layer_macs * products
        assert cost["training_macs"][i] == macs
        assert cost["training_bitops"][i] == bitops


def cheaper(genes, than):
    config = {
        "net.cells": 2, "net.width": 2, "net.skip": "add", "net.cell1.layers": 3,
        "net.cell1.skip_channels": 4, "net.cell2.layers": 2, "quant.weight_bits": 8,
        "quant.activation_bits": 8, "hw.rows": 4,
    }  # fmt: skip
    usual = {
        "train.resolution": 8, "train.keep": 1.0, "train.batch_size": 100,
        "train.schedule": "constant",
    }  # fmt: skip
    space = SPACE.restrict({g.name: g.choices[:1] for g in SPACE.genes if g.part == "hw"})
    rows = space.encode([{**fixed(space), **config, **usual, **some} for some in (genes, than)])
    cost = measured(TrainingCost(), Designs(space, rows))
    return [cost[name][0] / cost[name][1] for name in ("training_macs", "training_bitops")]


def fixed(space):
    return {g.name: g.choices[0] for g in space.genes if g.part == "hw"}


def test_what_genes_save():
    # 5 of 10 batches an epoch.
    assert cheaper({"train.keep": 0.5, "train.easy": "drop"}, {}) == [0.5, 0.5]
    slim, _ = cheaper({"train.keep": 0.5, "train.easy": "downsample", "train.easy_weight": 1.0}, {})
    # Convolutions of half the images cost a quarter, the classifier as much as ever.
    assert 0.5 + 0.5 / 4 < slim < 0.5 + 0.5 / 4 + 0.01
    macs, bitops = cheaper({"train.schedule": "progressive", "train.stages": "3-8"}, {})
    assert macs == 1
    assert bitops == pytest.approx((9 / 64 + 1) / 2)
    macs, bitops = cheaper(
        {
            "train.schedule": "cyclic",
            "train.lower_bits": 3,
            "train.upper_bits": 8,
            "train.cycles": 3,
        },
        {},
    )
    assert macs == 1
    assert 9 / 64 < bitops < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"images": 1}, "images = 1"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"gradient_bits": 0}, "gradient_bits = 0"),
        ({"gradient_bits": 33}, "gradient_bits = 33"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ProblemError, match=message):
        TrainingCost(**options)


# --- what looks alike -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Halving(NetworkFamily):
    """One layer, after a number of halvings that its row does not show."""

    image: int = 2
    name: ClassVar[str] = "halving"

    def genes(self):
        return (Gene("net.halvings", (1, 2)),)

    def layers(self, columns, n):
        size = np.maximum(1, self.image >> columns["net.halvings"].astype(np.int64))
        return LayerTable.of(n, np.arange(n), C=4, K=4, P=size, Q=size)

    def graph(self, config):
        raise NotImplementedError


@pytest.mark.parametrize(("sizes", "keys"), [((), 1), ((1, 2), 1), ((2, 8), 2)])
def test_networks_alike_at_the_familys_size_may_differ_at_another(sizes, keys):
    space = Halving().space() + SearchedTraining(resolution=sizes, batch_size=(30, 100)).space()
    nets, _ = Designs(space, space.rows()).part("net")
    found = fingerprints(nets, ("quant",))
    assert found is not None
    assert len(set(found)) == keys


def test_of_the_training_only_the_image_size_makes_layers():
    trained, _ = Designs(SPACE, SPACE.sample(400, np.random.default_rng(0))).part("train")
    keys = fingerprints(trained, ("quant",))
    assert keys is not None
    assert len(set(keys)) == 3
    plain, _ = Designs(
        FAMILY.space() + SearchedTraining(batch_size=(30, 100)).space(),
        np.zeros((1, len(FAMILY.space()) + 1), dtype=np.int64),
    ).part("train")
    assert fingerprints(plain, ("quant",)) == [b"image 0"]


def test_the_exact_front_is_that_of_all_designs():
    space = SPACE.restrict(
        {
            "net.cells": 2,
            "net.skip": "add",
            "net.cell1.layers": 3,
            "train.keep": 1.0,
            "train.lower_bits": 3,
            "train.cycles": 3,
            "train.batch_size": 100,
            **{g.name: g.choices[:2] for g in SPACE.genes if g.part == "hw"},
        }
    )
    space = space.restrict(
        {
            g.name: g.choices[0]
            for g in space.genes
            if g.part == "hw" and g.name not in ("hw.rows", "hw.dataflow")
        }
    )
    problem = Problem(
        space,
        [Systolic(), TrainingCost()],
        ["minimize: energy", "minimize: latency", "minimize: training_bitops"],
    )
    front = solve(problem)
    assert "cannot tell apart" in front.how
    rows = space.rows()
    losses = problem.losses(problem.evaluate(problem.designs(rows)))
    best = losses[[not ((losses <= own).all(1) & (losses < own).any(1)).any() for own in losses]]
    np.testing.assert_allclose(
        np.unique(front.losses.round(12), axis=0), np.unique(best.round(12), axis=0), rtol=1e-9
    )
