"""Genes of the training: which sleep, what they mean, and what image sizes do to the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from evaluators.counts import Macs
from hwnas import BitsPerCell, Designs, Problem, SkipNet
from hwnas.arrays import Columns, Values
from hwnas.design import (
    FixedNetwork,
    ImportedNetwork,
    LayerTable,
    NASBench201,
    SearchedTraining,
    TrainingPolicy,
    UniformBits,
)
from hwnas.errors import SpaceError
from hwnas.space import Gene

WHOLE = SearchedTraining(
    resolution=(4, 6, 8),
    keep=(0.5, 1.0),
    easy=("drop", "downsample"),
    easy_weight=(0.5, 1.0),
    batch_size=(50, 100),
    schedule=("constant", "cyclic", "progressive"),
    lower_bits=(2, 3),
    cycles=(2, 4),
    stages=((3, 8), (3, 4, 6, 8)),
)
IMPORTED = ImportedNetwork.of(FixedNetwork("resnet18").table, "mine")
SMALL = SkipNet(cells=(1, 2), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 4))


def designs_of(space, n=40, seed=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


def test_what_has_no_choices_has_no_gene():
    assert [gene.name for gene in SearchedTraining(batch_size=(50,)).genes()] == [
        "train.batch_size"
    ]
    names = [gene.name for gene in SearchedTraining(keep=(1.0,), schedule=("constant",)).genes()]
    assert names == ["train.keep", "train.schedule"]


def test_sleeping_genes_by_hand():
    space = WHOLE.space()
    # Three sizes, two batch sizes; slimming: off, dropped, or shown with one of two weights; bits:
    # constant, 2 lower x 1 upper x 2 cycles, or 2 lists of stages.
    assert space.size() == 3 * 2 * (1 + 1 + 2) * (1 + 4 + 2)


def test_settings_of_sleeping_genes_are_neutral():
    space = WHOLE.space()
    raw = np.random.default_rng(0).integers(0, space.cardinalities, size=(300, len(space)))
    asleep, canonical = space.decode(raw), space.decode(space.canonical(raw))
    before, after = WHOLE.recipes(asleep, 300), WHOLE.recipes(canonical, 300)
    assert before.keys() == after.keys()
    for name, column in before.items():
        np.testing.assert_array_equal(column, after[name], err_msg=name)


def test_the_recipe_of_one_design():
    space = WHOLE.space()
    config = {
        "train.resolution": 6,
        "train.keep": 0.5,
        "train.easy": "downsample",
        "train.easy_weight": 0.5,
        "train.batch_size": 50,
        "train.schedule": "progressive",
        "train.stages": "3-8",
    }
    design = Designs(space, space.encode([config]))[0]
    assert design.config == config
    assert design.recipe == {
        "keep": 0.5,
        "easy": "downsample",
        "easy_weight": 0.5,
        "batch_size": 50,
        "schedule": "progressive",
        "lower_bits": 32,
        "upper_bits": 32,
        "cycles": 1,
        "stages": "3-8",
    }
    assert Designs(SMALL.space(), SMALL.space().rows()[:1])[0].recipe == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "searches nothing"),
        ({"resolution": [0]}, "resolution"),
        ({"keep": [0.0, 1.0]}, "keep"),
        ({"keep": [1.5]}, "keep"),
        ({"keep": [0.5], "easy": ["shrink"]}, "easy"),
        ({"keep": [0.5], "easy": []}, "easy"),
        ({"keep": [0.5], "easy_weight": [-1]}, "easy_weight"),
        ({"batch_size": [1]}, "batch_size"),
        ({"schedule": ["cosine"]}, "schedule"),
        ({"schedule": ["cyclic"], "lower_bits": [1]}, "lower_bits"),
        ({"schedule": ["cyclic"], "lower_bits": [3, 8]}, "lower_bits"),
        ({"schedule": ["cyclic"], "cycles": [0]}, "cycles"),
        ({"schedule": ["progressive"], "stages": [[8, 3]]}, "stages"),
        ({"schedule": ["progressive"], "stages": [[]]}, "stages"),
    ],
)
def test_impossible_choices_are_refused(options, message):
    with pytest.raises(SpaceError, match=message):
        SearchedTraining(**options)


# --- image sizes ----------------------------------------------------------------------------------


def test_layers_at_a_resolution_are_those_of_the_family_at_that_size():
    joint = SMALL.space() + UniformBits().space() + SearchedTraining(resolution=(5, 6, 8)).space()
    designs = designs_of(joint)
    for i, design in enumerate(designs):
        own = replace(SMALL, image=int(design["train.resolution"])).space() + UniformBits().space()
        config = {k: v for k, v in design.config.items() if not k.startswith("train.")}
        alone = Designs(own, own.encode([config]))[0]
        for name, column in vars(alone.layers).items():
            if name != "n":
                np.testing.assert_array_equal(
                    getattr(designs.layers.take([i]), name), column, err_msg=name
                )
        assert design.graph == alone.graph
    assert designs.images.tolist() == designs["train.resolution"].tolist()
    assert designs.layers.n == len(designs)


def test_without_a_resolution_images_are_the_familys():
    joint = SMALL.space() + SearchedTraining(batch_size=(50, 100)).space()
    designs = designs_of(joint)
    assert designs.images.tolist() == [8] * len(designs)
    alone, inverse = designs.part("net")
    np.testing.assert_array_equal(designs.layers.macs, alone.layers.take(inverse.tolist()).macs)


def test_other_sizes_can_be_asked_for():
    designs = designs_of(SMALL.space())
    half = designs.layers_at(np.full(len(designs), 4))
    own = replace(SMALL, image=4).space()
    np.testing.assert_array_equal(half.macs, Designs(own, designs.genomes).layers.macs)


def test_a_projection_knows_the_sizes_that_it_may_get():
    joint = SMALL.space() + SearchedTraining(resolution=(4, 8)).space()
    nets, _ = designs_of(joint).part("net")
    four, eight = nets.possible_layers
    np.testing.assert_array_equal(eight.macs, nets.layers.macs)
    assert (four.macs <= eight.macs).all()
    assert nets.recipes == {}
    assert len(designs_of(SMALL.space()).possible_layers) == 1
    assert len(designs_of(joint).possible_layers) == 1


@pytest.mark.parametrize(
    ("family", "options", "what"),
    [
        (SkipNet(), {"resolution": (8, 3)}, "too small for 3 cells"),
        (SkipNet(), {"keep": (0.5,), "easy": ("downsample",), "resolution": (8, 7)}, None),
        (SkipNet(), {"keep": (0.5,), "easy": ("downsample",), "resolution": (8, 6)}, "3 x 3"),
        (
            SkipNet(image=8, cells=(4,)),
            {"keep": (0.5,), "easy": ("downsample",)},
            "too small for 4 cells",
        ),
        (NASBench201(), {"resolution": (32, 30)}, "cannot have an image of 30 x 30"),
        (NASBench201(), {"keep": (0.5,), "easy": ("downsample",), "resolution": (20,)}, "10 x 10"),
        (FixedNetwork(), {"resolution": (112,)}, None),
        (FixedNetwork("vit_tiny"), {"resolution": (112,)}, "vit_tiny cannot be made for other"),
        (IMPORTED, {"resolution": (112,)}, "images of one size only"),
        (IMPORTED, {"keep": (0.5,), "easy": ("downsample",)}, "images of one size only"),
        (IMPORTED, {"batch_size": (50, 100)}, None),
    ],
)
def test_a_problem_refuses_sizes_that_the_family_does_not_have(family, options, what):
    space = family.space() + SearchedTraining(**options).space()
    if what is None:
        Problem(space, [Macs()], ["minimize: macs"])
        return
    with pytest.raises(SpaceError, match=what) as caught:
        Problem(space, [Macs()], ["minimize: macs"])
    assert caught.value.cure
    assert "train." in caught.value.where


def test_a_schedule_needs_bits_that_it_can_change():
    schedule = SearchedTraining(schedule=("constant", "cyclic")).space()
    with pytest.raises(SpaceError, match="single precision") as caught:
        Problem(SMALL.space() + schedule, [Macs()], ["minimize: macs"])
    assert caught.value.where == "train.schedule = cyclic"
    Problem(SMALL.space() + UniformBits().space() + schedule, [Macs()], ["minimize: macs"])
    constant = schedule.restrict({"train.schedule": "constant"})
    Problem(SMALL.space() + constant, [Macs()], ["minimize: macs"])


def test_a_size_that_is_pinned_away_is_not_asked_for():
    space = SkipNet().space() + SearchedTraining(resolution=(3, 8)).space()
    Problem(space.restrict({"train.resolution": 8}), [Macs()], ["minimize: macs"])


@dataclass(frozen=True)
class Fixed(TrainingPolicy):
    """A foreign policy: whatever it says, all train alike."""

    name: ClassVar[str] = "fixed"

    @property
    def sizes(self) -> tuple[int, ...]:
        return ()

    def genes(self) -> tuple[Gene, ...]:
        return (Gene("train.mood", (1, 2)),)

    def recipes(self, columns: Columns, n: int) -> Mapping[str, Values]:
        return {}


def test_a_foreign_policy_without_sizes_changes_no_layer():
    designs = designs_of(SMALL.space() + Fixed().space())
    assert isinstance(designs.layers, LayerTable)
    assert designs.recipes == {}


def test_spaces_add_up_with_bits_per_cell():
    joint = SkipNet().space() + BitsPerCell().space() + WHOLE.space()
    assert designs_of(joint).layers.n == 40
