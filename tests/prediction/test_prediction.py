"""Features, predicted metrics and how they are fitted."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas.design import BitsPerCell, Designs, SkipNet, SystolicArray
from hwnas.errors import HwnasError, ProblemError
from hwnas.evaluation import ALL_PARTS, Evaluator, Expense, measures
from hwnas.metrics import Goal, Measurements, Metric, Reason
from hwnas.prediction import (
    MetricFeatures,
    PredictedMetric,
    Predictor,
    SpaceFeatures,
    fit_metric,
)
from hwnas.space import Space
from hwnas.testing import EvaluatorSubject, evaluator_checks
from hwnas.testing.elsewhere import elsewhere

SPACE = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
ERROR = Metric("error", "1", best=0.0, worst=1.0)


@measures("width", expense="free", batch=True, reads=["net"])
def width(designs):
    return designs["net.width"].astype(float)


@measures("rows", "area", expense="free", batch=True, reads=["hw"])
def array(designs):
    rows = designs["hw.rows"].astype(float)
    return {"rows": rows, "area": rows * designs["hw.columns"]}


class Shallow(Evaluator):
    """Measures designs of one or two cells only."""

    metrics = (Metric("cells"),)
    reads = frozenset({"net"})
    expense = Expense.FREE

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        cells = designs["net.cells"]
        reason = np.where(cells > 2, int(Reason.INFEASIBLE), 0)
        notes = ["too deep" if r else "" for r in reason]
        values = np.where(cells > 2, np.nan, cells)
        return Measurements.of(self.metrics, {"cells": values}, reason=reason, notes=notes)


class Line(Predictor):
    """Least squares, with the standard deviation of the residuals."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def fit(self, X, y):
        X, y = validate_data(self, X, y)
        self.line_ = LinearRegression().fit(X, y)
        self.std_ = float(np.std(y - self.line_.predict(X)))
        self.asked_: list[int] = []
        return self

    def predict(self, X, return_std=False):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        self.asked_.append(len(X))
        mean = self.line_.predict(X) + self.shift
        return (mean, np.full(len(X), self.std_)) if return_std else mean


class Holes(Line):
    """Predicts NaN for the first row."""

    def predict(self, X, return_std=False):
        mean, std = super().predict(X, return_std=True)
        mean[0] = np.nan
        return (mean, std) if return_std else mean


def draw(n: int, seed: int = 0, space: Space = SPACE) -> Designs:
    return Designs(space, space.sample(n, np.random.default_rng(seed)))


def measured(designs: Designs, slope: float = 0.1) -> Measurements:
    values = 0.5 - slope * designs["net.width"] + 0.01 * designs["net.cells"]
    return Measurements.of([ERROR], {"error": values})


# --- features -------------------------------------------------------------------------------------


def test_space_features_are_those_of_the_projected_space():
    designs = draw(40)
    for parts in (("net",), ("net", "quant"), ("quant",)):
        projected, inverse = designs.part(*parts)
        expected = projected.space.features(projected.genomes)[inverse]
        features = SpaceFeatures(*parts)
        np.testing.assert_array_equal(features.matrix(designs), expected)
        np.testing.assert_array_equal(features.matrix(projected)[inverse], expected)
        assert features.names(SPACE) == projected.space.feature_names
        assert features.reads == set(parts)
    everything = SpaceFeatures()
    np.testing.assert_array_equal(everything.matrix(designs), SPACE.features(designs.genomes))
    assert everything.reads == ALL_PARTS


def test_metric_features_are_columns_of_metrics():
    designs = draw(20)
    features = MetricFeatures([width, array])
    assert features.names(SPACE) == ("width", "rows", "area")
    assert features.reads == {"net", "hw"}
    expected = [
        designs["net.width"],
        designs["hw.rows"],
        designs["hw.rows"] * designs["hw.columns"],
    ]
    np.testing.assert_array_equal(features.matrix(designs), np.stack(expected, axis=1))
    chosen = MetricFeatures([width, array], names=["area"])
    assert (chosen.names(SPACE), chosen.reads) == (("area",), {"hw"})
    np.testing.assert_array_equal(chosen.matrix(designs)[:, 0], expected[2])


def test_features_stand_side_by_side():
    designs = draw(20)
    net, numbers = SpaceFeatures("net"), MetricFeatures([array])
    both = net + numbers
    assert both.names(SPACE) == net.names(SPACE) + numbers.names(SPACE)
    assert both.reads == {"net", "hw"}
    expected = np.hstack([net.matrix(designs), numbers.matrix(designs)])
    np.testing.assert_array_equal(both.matrix(designs), expected)
    assert both.matrix(designs[:0]).shape == (0, expected.shape[1])
    assert (both + SpaceFeatures()).reads == ALL_PARTS


def test_infeasible_designs_have_no_metric_features():
    designs = draw(30)
    column = MetricFeatures([Shallow()]).matrix(designs)[:, 0]
    deep = designs["net.cells"] > 2
    assert 0 < deep.sum() < 30
    np.testing.assert_array_equal(np.isnan(column), deep)


def test_features_that_cannot_be():
    @measures("trained")
    def trained(design):
        return 0.0

    with pytest.raises(ProblemError, match="trained is costly"):
        MetricFeatures([width, trained])
    with pytest.raises(ProblemError, match="'width'"):
        MetricFeatures([width], names=["widht"])
    with pytest.raises(ProblemError, match="twice"):
        MetricFeatures([width, width])
    with pytest.raises(ProblemError, match="no feature"):
        MetricFeatures([])
    # A costly evaluator does no harm where none of its metrics is a feature.
    assert MetricFeatures([width, trained], names=["width"]).evaluators == (width,)


# --- predicted metrics ----------------------------------------------------------------------------


def test_it_predicts_what_the_predictor_predicts():
    designs, others = draw(40), draw(50, seed=1)
    predicted = fit_metric(Line(), SpaceFeatures("net"), designs, measured(designs), "error")
    alone = Line().fit(SpaceFeatures("net").matrix(designs), measured(designs)["error"])
    expected = alone.predict(SpaceFeatures("net").matrix(others))
    answer = predicted.evaluate(others)
    np.testing.assert_allclose(answer["error"], expected, rtol=1e-12)
    # The target is linear in ranks of genes.
    np.testing.assert_allclose(answer["error"], measured(others)["error"], rtol=1e-9)
    assert predicted.metrics == (ERROR,)
    assert (predicted.expense, predicted.reads) == (Expense.FREE, {"net"})
    assert predicted.name == "Line of error"


def test_the_deviation_is_a_metric_if_asked():
    designs = draw(40)
    latency = Metric("latency", "s", Goal.MINIMIZE)
    times = Measurements.of([latency], {"latency": np.random.default_rng(0).random(40)})
    features = MetricFeatures([width])
    predicted = fit_metric(Line(), features, designs, times, "latency", with_std=True)
    answer = predicted.evaluate(designs)
    assert [(m.name, m.unit) for m in answer.metrics] == [("latency", "s"), ("latency_std", "s")]
    residuals = times["latency"] - answer["latency"]
    np.testing.assert_allclose(answer["latency_std"], np.std(residuals), rtol=1e-9)


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize(("shift", "bound"), [(5.0, 1.0), (-5.0, 0.0)])
def test_predictions_stay_within_the_metrics_bounds(goal, shift, bound):
    worst, best = (1.0, 0.0) if goal is Goal.MINIMIZE else (0.0, 1.0)
    metric = Metric("rate", "1", goal, worst=worst, best=best)
    designs = draw(10)
    rates = Measurements.of([metric], {"rate": np.linspace(0.1, 0.9, 10)})
    predicted = fit_metric(Line(shift), SpaceFeatures("net"), designs, rates, "rate")
    assert predicted.evaluate(designs)["rate"].tolist() == [bound] * 10
    open_ended = Measurements.of([Metric("rate", "1", goal)], {"rate": rates["rate"]})
    predicted = fit_metric(Line(shift), SpaceFeatures("net"), designs, open_ended, "rate")
    assert np.all(abs(predicted.evaluate(designs)["rate"] - shift) < 2)


def test_it_predicts_once_for_designs_that_do_not_differ_in_what_it_reads():
    nets = draw(5)
    many = np.repeat(nets.genomes, 20, axis=0)
    hardware = SPACE.columns_of("hw")
    many[:, hardware] = draw(100, seed=3).genomes[:, hardware]
    predicted = fit_metric(Line(), SpaceFeatures("net"), nets, measured(nets), "error")
    answer = predicted.evaluate(Designs(SPACE, many))
    assert predicted.predictor.asked_ == [len(nets.part("net")[0])]
    np.testing.assert_array_equal(answer["error"], np.repeat(predicted.evaluate(nets)["error"], 20))


def test_designs_without_features_are_infeasible():
    designs = draw(30)
    features = MetricFeatures([Shallow(), width])
    predicted = fit_metric(Line(), features, designs, measured(designs), "error", with_std=True)
    answer = predicted.evaluate(designs)
    deep = designs["net.cells"] > 2
    np.testing.assert_array_equal(answer.feasible, ~deep)
    assert set(answer.reason[deep]) == {Reason.INFEASIBLE}
    assert all(answer.notes[i] for i in np.flatnonzero(deep))
    assert not predicted.evaluate(designs[deep]).feasible.any()


def test_predictions_that_are_not_finite_are_failures():
    designs = draw(30)
    predicted = fit_metric(Holes(), SpaceFeatures("net"), designs, measured(designs), "error")
    answer = predicted.evaluate(designs)
    assert answer.reason[0] == Reason.NOT_FINITE
    assert answer.feasible[1:].any()


def test_a_space_that_was_restricted_since_is_refused():
    # Width 2 of (2, 3) has rank 0, width 2 of (1, 2, 3, 4) rank 1/3: a silent error otherwise.
    designs = draw(30)
    narrow = SPACE.restrict({"net.width": [2, 3]})
    rows, _ = SPACE.translate(designs.genomes, narrow)
    by_genes = fit_metric(Line(), SpaceFeatures("net"), designs, measured(designs), "error")
    with pytest.raises(ProblemError, match="another space"):
        by_genes.evaluate(Designs(narrow, rows))
    mixed = SpaceFeatures("net") + MetricFeatures([width])
    with pytest.raises(ProblemError, match="another space"):
        fit_metric(Line(), mixed, designs, measured(designs), "error").evaluate(
            Designs(narrow, rows)
        )
    by_metric = fit_metric(Line(), MetricFeatures([width]), designs, measured(designs), "error")
    assert by_metric.evaluate(Designs(narrow, rows)).feasible.all()
    # Other parts of the genome may change.
    other = SkipNet().space() + SystolicArray(rows=(7,)).space()
    assert by_genes.evaluate(draw(5, space=other)).feasible.all()


@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance(check):
    designs = draw(25)
    features = SpaceFeatures("net") + MetricFeatures([Shallow()])
    predicted = fit_metric(Line(), features, designs, measured(designs), "error", with_std=True)
    # Defined in a test: carried to other processes by value.
    check(EvaluatorSubject(predicted, SPACE, rows=12))


# --- fitting --------------------------------------------------------------------------------------


def test_only_feasible_rows_are_learnt_from():
    designs = draw(30)
    whole = measured(designs)
    bad = np.arange(30) % 3 == 0
    values = np.where(bad, 1e9, whole["error"])
    spoilt = Measurements.of([ERROR], {"error": values}, reason=np.where(bad, 1, 0))
    features = SpaceFeatures("net")
    predicted = fit_metric(Line(), features, designs, spoilt, "error")
    kept = fit_metric(Line(), features, designs[~bad], whole.take(~bad), "error")
    assert predicted.version == kept.version
    np.testing.assert_array_equal(
        predicted.evaluate(designs)["error"], kept.evaluate(designs)["error"]
    )


def test_the_predictor_given_is_left_as_it_is():
    designs = draw(10)
    line = Line(shift=0.25)
    predicted = fit_metric(line, SpaceFeatures("net"), designs, measured(designs), "error")
    assert not hasattr(line, "line_")
    assert predicted.predictor.shift == 0.25


def test_the_version_names_data_and_predictor():
    designs = draw(10)
    data, features = measured(designs), SpaceFeatures("net")

    def version(predictor: Predictor, features, designs, data) -> str:
        return fit_metric(predictor, features, designs, data, "error").version

    base = version(Line(), features, designs, data)
    assert version(Line(), features, designs, data) == base
    assert elsewhere(version, Line(), features, designs, data) == base
    different = {
        version(Line(0.1), features, designs, data),
        version(Holes(), features, designs, data),
        version(Line(), features, designs, measured(designs, slope=0.11)),
        version(Line(), features, designs[:9], data.take(slice(9))),
        version(Line(), features + MetricFeatures([width]), designs, data),
    }
    assert len(different | {base}) == 6


def test_too_little_to_learn_from():
    designs = draw(6)
    rows = measured(designs)
    one_left = Measurements.of([ERROR], dict(rows.columns), reason=[1, 1, 0, 1, 1, 1])
    for batch, data in ((designs, one_left), (designs[:1], rows.take(slice(1)))):
        with pytest.raises(ProblemError, match="too little") as caught:
            fit_metric(Line(), SpaceFeatures("net"), batch, data, "error")
        assert caught.value.given.startswith("1 of")
        assert caught.value.cure


def test_what_does_not_fit_together():
    designs = draw(6)
    with pytest.raises(ProblemError, match="did you mean 'error'"):
        fit_metric(Line(), SpaceFeatures("net"), designs, measured(designs), "eror")
    with pytest.raises(ProblemError, match="differ in number"):
        fit_metric(Line(), SpaceFeatures("net"), designs[:5], measured(designs), "error")
    with pytest.raises(HwnasError, match="no part 'map'"):
        fit_metric(Line(), SpaceFeatures("map"), designs, measured(designs), "error")


def test_a_predictor_has_to_fit_and_predict():
    with pytest.raises(TypeError, match="abstract"):
        Predictor()
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Predictor,), {"fit": lambda self, X, y: self})()


def test_any_regressor_will_do_without_a_deviation():
    designs = draw(20)
    predicted = fit_metric(
        LinearRegression(), SpaceFeatures("net"), designs, measured(designs), "error"
    )
    assert isinstance(predicted, PredictedMetric)
    np.testing.assert_allclose(predicted.evaluate(designs)["error"], measured(designs)["error"])


def test_the_core_does_without_scikit_learn_until_somebody_predicts():
    program = "import sys, hwnas, hwnas.evaluation, hwnas.design; print('sklearn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
