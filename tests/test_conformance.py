"""Every built-in plug-in, found through its entry point, keeps the rules of its suite."""

from __future__ import annotations

from functools import cache

import pytest

from hwnas import BitsPerCell, SkipNet, SystolicArray, plugins
from hwnas.design import (
    BitsPerLayer,
    FixedNetwork,
    ImportedNetwork,
    MappingPerLayer,
    MBConv,
    NASBench201,
    NASBenchMacro,
    SearchedTraining,
    SpatialArray,
    UniformBits,
    UniformMapping,
)
from hwnas.testing import (
    EvaluatorSubject,
    PredictorSubject,
    SearcherSubject,
    SpaceSubject,
    evaluator_checks,
    predictor_checks,
    searcher_checks,
    space_checks,
)

JOINT = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
SMALL = (
    SkipNet(cells=(1, 2), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 8)).space()
    + BitsPerCell(cells=2).space()
    + SystolicArray(rows=(4, 8), columns=(4,)).space()
)
"""For evaluators that take seconds per design."""

SPATIAL = (
    SkipNet().space()
    + BitsPerCell().space()
    + UniformMapping().space()
    + SpatialArray(
        dataflow=("nvdla", "shidiannao", "row_stationary", "G|K", "K|C|P"),
        depth=(1, 2),
        input_rf=(0, 8),
        ifmap_sram=(256, 4096, 65536),
        pe=("fixed", "bit_serial", "composable"),
    ).space()
)
"""For evaluators of spatial arrays."""
TRAINED = SearchedTraining(
    resolution=(4, 8),
    keep=(0.5, 1.0),
    batch_size=(50, 100),
    schedule=("constant", "cyclic", "progressive"),
    cycles=(2, 4),
    stages=((3, 8), (3, 4, 6, 8)),
)
COST = JOINT + TRAINED.space()
"""For evaluators of the training."""
SPACE_OF = {
    "training": SMALL + TRAINED.space(),
    "training_cost": COST,
    "zero_cost": SMALL,
    "vote": SMALL,
    "spatial": SPATIAL,
}

NEEDS = {
    "training": "torch",
    "zero_cost": "torch",
    "vote": "torch",
    "gp": "torch",
    "boosted_trees": "xgboost",
}
OPTIONS = {
    "training": {"epochs": 1},
    "zero_cost": {
        "metric": (
            *("synflow", "snip", "grad_norm", "fisher", "grasp", "gradsign", "zico"),
            *("jacob_cov", "naswot", "zen"),
        ),
        "batch": 4,
        "data": "digits",
    },
    "vote": {"metrics": ("synflow", "params"), "reference": 3, "batch": 4, "data": "digits"},
    "random_forest": {"n_estimators": 10},
    "gaussian_process": {"n_restarts": 0},
    "saturating_curve": {"column": 0},
    "isotonic": {"column": 0},
    "mlp_ranker": {"members": 3, "hidden": (16,), "steps": 80, "learning_rate": 0.02},
    "stacking": {"predictors": ("ridge", "gaussian_process"), "folds": 3},
    # Until so many designs are told they draw at random; what Optuna then does takes long, and is
    # run in tests/searchers/test_optuna_sampler.py.
    "gp": {"startup": 100},
    "tpe": {"startup": 33},
}
FEW_ROWS = {"training": 2, "zero_cost": 2, "vote": 2}

SPACES = {
    "skipnet": SkipNet(),
    "skipnet, one cell": SkipNet(cells=(1,), layers_per_cell=(5,)),
    "skipnet, odd image": SkipNet(image=9, cells=(1, 2, 4), skips=("add",), channels=3),
    "bits_per_cell": BitsPerCell(),
    "systolic_array": SystolicArray(),
    "spatial_array": SpatialArray(),
    "uniform_mapping": UniformMapping(),
    "mapping_per_layer": MappingPerLayer(layers=3),
    "nas_bench_201": NASBench201(),
    "nas_bench_macro": NASBenchMacro(),
    "mbconv": MBConv(),
    "fixed_network": FixedNetwork(),
    "imported_network": ImportedNetwork.of(FixedNetwork("bert_small").table, "mine"),
    "uniform_bits": UniformBits(),
    "bits_per_layer": BitsPerLayer(),
    "searched_training": TRAINED,
    "joint": JOINT,
    "joint, training": COST,
    "joint, NAS-Bench-201": NASBench201().space() + UniformBits().space() + SystolicArray().space(),
    "joint, spatial array": SPATIAL,
    "joint, mapping per layer": FixedNetwork().space()
    + MappingPerLayer().space()
    + SpatialArray().space(),
    "joint, bits per layer": FixedNetwork().space()
    + BitsPerLayer().space()
    + SystolicArray().space(),
}


def test_the_table_names_every_space():
    assert set(plugins.available("hwnas.spaces")) <= set(SPACES)


def build(group, name):
    """An instance of a plug-in, small enough to be tested; skips where its extra is missing."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return plugins.load(group, name)(**OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("check", space_checks(), ids=str)
def test_spaces(name, check):
    check(SpaceSubject.of(SPACES[name]))


@cache
def evaluator_subject(name):
    """Built once, because what it answers is measured once."""
    rows = FEW_ROWS.get(name, EvaluatorSubject.rows)
    return EvaluatorSubject(build("hwnas.evaluators", name), SPACE_OF.get(name, JOINT), rows)


ELSEWHERE = {"tabular", "ladder", "supernet"}
"""They need a file, rungs or a folder: their tests in tests/evaluators run the suite."""


@pytest.mark.parametrize("name", sorted(set(plugins.available("hwnas.evaluators")) - ELSEWHERE))
@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_evaluators(name, check):
    check(evaluator_subject(name))


@cache
def predictor_subject(name):
    """Built once, because it is fitted once."""
    return PredictorSubject(build("hwnas.predictors", name))


# That of scikit-learn takes long, and is run in tests/predictors.
@pytest.mark.parametrize("name", plugins.available("hwnas.predictors"))
@pytest.mark.parametrize("check", predictor_checks()[1:], ids=str)
def test_predictors(name, check):
    check(predictor_subject(name))


@pytest.mark.parametrize("name", plugins.available("hwnas.searchers"))
@pytest.mark.parametrize("check", searcher_checks(), ids=str)
def test_searchers(name, check):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    check(SearcherSubject(plugins.load("hwnas.searchers", name), OPTIONS.get(name, {})))
