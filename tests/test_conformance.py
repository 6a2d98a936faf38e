"""Every built-in plug-in, found through its entry point, keeps the rules of its suite."""

from __future__ import annotations

from functools import cache

import pytest

from hwnas import BitsPerCell, SkipNet, SystolicArray, plugins
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

NEEDS = {"training": "torch"}
OPTIONS = {
    "training": {"epochs": 1},
    "random_forest": {"n_estimators": 10},
    "gaussian_process": {"n_restarts": 0},
    "saturating_curve": {"column": 0},
}
FEW_ROWS = {"training": 2}

SPACES = {
    "skipnet": SkipNet(),
    "skipnet, one cell": SkipNet(cells=(1,), layers_per_cell=(5,)),
    "skipnet, odd image": SkipNet(image=9, cells=(1, 2, 4), skips=("add",), channels=3),
    "bits_per_cell": BitsPerCell(),
    "systolic_array": SystolicArray(),
    "joint": JOINT,
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
    space = SMALL if name in FEW_ROWS else JOINT
    return EvaluatorSubject(build("hwnas.evaluators", name), space, rows)


@pytest.mark.parametrize("name", plugins.available("hwnas.evaluators"))
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
    check(SearcherSubject(plugins.load("hwnas.searchers", name)))
