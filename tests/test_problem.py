"""The problem: what is refused, what is measured when, and what counts."""

from __future__ import annotations

import cloudpickle
import numpy as np
import pytest

from hwnas import (
    Gene,
    Goal,
    Measurements,
    Metric,
    PerDesign,
    Problem,
    Reason,
    Space,
    When,
    measures,
)
from hwnas.design import BitsPerCell, MBConv
from hwnas.errors import ExpressionError, ProblemError, UnitError
from hwnas.evaluation import Cached, Evaluator, Expense
from hwnas.testing import toys

SPACE = Space((Gene("net.x", (1, 2, 3, 4)), Gene("hw.y", (1, 2, 3))))


class Costly(PerDesign):
    """Writes down what it is asked."""

    metrics = (Metric("error", best=0.0, worst=10.0), Metric("recall", goal=Goal.MAXIMIZE))
    reads = frozenset({"net"})

    def __init__(self):
        self.calls = []

    def measure(self, design, fidelity=1.0):
        self.calls.append((design["net.x"], design["hw.y"]))
        return {"error": 1 / design["net.x"], "recall": design["net.x"] / 4}


class Chip(Evaluator):
    """Area of a chip; the largest cannot be built."""

    metrics = (Metric("area", "m^2"), Metric("power", "W"))
    reads = frozenset({"hw"})
    expense = Expense.FREE

    def evaluate(self, designs, fidelity=1.0):
        y = designs["hw.y"] * 1.0
        reason = np.where(y == 3, int(Reason.INFEASIBLE), 0)
        notes = ["too large" if r else "" for r in reason]
        return Measurements.of(
            self.metrics, {"area": y * 1e-6, "power": y}, reason=reason, notes=notes
        )


@measures("cost", expense="free", batch=True)
def cost(designs):
    return designs["net.x"] * designs["hw.y"] * 1.0


def problem(constraints=(), objectives=("error", "area"), evaluators=None):
    return Problem(SPACE, evaluators or [Costly(), Chip()], list(objectives), list(constraints))


class TestIsRefused:
    @pytest.mark.parametrize(
        ("evaluators", "objectives", "message"),
        [([], ["error"], "nothing is measured"), ([cost], [], "nothing is optimised")],
    )
    def test_without_anything_to_do(self, evaluators, objectives, message):
        with pytest.raises(ProblemError, match=message):
            Problem(SPACE, evaluators, objectives)

    def test_a_metric_measured_twice(self):
        with pytest.raises(ProblemError, match="'cost' is measured twice"):
            Problem(SPACE, [cost, cost], ["cost"])

    def test_an_objective_that_nobody_measures(self):
        with pytest.raises(ExpressionError, match="nobody measures 'eror'") as caught:
            problem(objectives=["eror"])
        assert "'error'" in caught.value.cure

    def test_a_constraint_that_nobody_measures(self):
        with pytest.raises(ExpressionError, match="nobody measures 'are'"):
            problem(["are <= 1 mm2"])

    def test_units_that_do_not_fit(self):
        with pytest.raises(UnitError):
            problem(["area <= 1 mm"])
        with pytest.raises(UnitError):
            problem(objectives=["minimize: area + power"])

    def test_an_objective_of_unknown_direction(self):
        with pytest.raises(ExpressionError, match="which way is better"):
            problem(objectives=["area * power"])

    @pytest.mark.parametrize(
        "objectives", [["error", "error"], ["minimize: e = area", "maximize: e = power"]]
    )
    def test_a_name_used_twice(self, objectives):
        with pytest.raises(ProblemError, match="occurs twice"):
            problem(objectives=objectives)

    def test_an_evaluator_that_reads_a_part_that_is_not_there(self):
        @measures("bits", reads=["quants"])
        def bits(design):
            return 1

        with pytest.raises(ProblemError, match="'bits' reads a part") as caught:
            Problem(SPACE, [bits], ["bits"])
        assert caught.value.given == "'quants'"

    def test_a_condition_on_a_gene_that_is_not_there(self):
        open_space = SPACE + Space((Gene("quant.b", (1, 2), when=When("net.z", at_least=1)),))
        with pytest.raises(ProblemError, match=r"'quant\.b' depends on 'net\.z'"):
            Problem(open_space, [cost], ["cost"])

    def test_the_option_that_names_a_gene_that_is_not_there_is_named(self):
        cells = MBConv().space() + BitsPerCell(cells=3).space()
        with pytest.raises(
            ProblemError, match=r"'quant\.cell2\.\w+' depends on 'net\.cells'"
        ) as caught:
            Problem(cells, [cost], ["cost"])
        assert (
            caught.value.cure == "give bits_per_cell another cells_gene, or cells_gene: '' for none"
        )
        Problem(MBConv().space() + BitsPerCell(cells=3, cells_gene="").space(), [cost], ["cost"])

    @pytest.mark.parametrize(
        "constraints",
        [
            ["area <= 1 mm2", "area >= 2 mm2"],
            ["power >= 3 W", "power <= 2000 mW"],
            ["area * power <= 1 mm2*W", "area*power >= 2 mm2*W"],
        ],
    )
    def test_constraints_that_contradict_each_other(self, constraints):
        if "*W" in constraints[0]:
            constraints = [c.replace("mm2*W", "mm2 * 1 W") for c in constraints]
        with pytest.raises(ProblemError, match="contradict") as caught:
            problem(constraints)
        assert all(text in caught.value.given for text in constraints)

    def test_one_text_where_a_list_is_wanted(self):
        with pytest.raises(ProblemError):
            Problem(SPACE, [cost], "cost")


@pytest.mark.parametrize(
    "constraints",
    [["area <= 2 mm2", "area >= 2 mm2"], ["area <= 1 mm2", "power >= 2 W"],
     ["area <= 1 mm2", "area <= 2 mm2"], ["error <= recall", "error >= 0.5"]],
)  # fmt: skip
def test_constraints_that_can_be_met_together_are_accepted(constraints):
    assert len(problem(constraints).constraints) == len(constraints)


def test_parts_of_the_problem():
    whole = problem(["area <= 2 mm2", "error <= 0.5", "area * error <= 1 mm2"])
    assert list(whole.metrics) == ["error", "recall", "area", "power"]
    assert [e.name for e in whole.costly] == ["Costly"]
    assert [e.name for e in whole.free_evaluators] == ["Chip"]
    assert whole.free_metrics == {"area", "power"}
    assert whole.free_constraints == (0,)
    assert problem(objectives=["error", "recall"]).signs.tolist() == [1.0, -1.0]


class TestMeasuring:
    def test_what_free_metrics_rule_out_costs_nothing(self):
        costly = Costly()
        whole = problem(["area <= 1 mm2"], evaluators=[costly, Chip()])
        designs = whole.designs(SPACE.rows())
        measured = whole.evaluate(designs)
        y = designs["hw.y"]
        assert costly.calls == [(x, 1) for x in (1, 2, 3, 4)]
        expected = np.where(y == 1, Reason.NONE, Reason.RULED_OUT)
        np.testing.assert_array_equal(measured.reason, expected)
        assert np.isnan(measured["error"][y > 1]).all()
        np.testing.assert_array_equal(measured["area"], y * 1e-6)
        notes = {note for note, value in zip(measured.notes, y, strict=True) if value == 2}
        assert notes == {"violates area <= 1 mm2"}
        assert {n for n, value in zip(measured.notes, y, strict=True) if value == 3} == {
            "too large"
        }

    def test_a_constraint_on_something_costly_rules_nothing_out(self):
        costly = Costly()
        whole = problem(["error <= 0.3"], evaluators=[costly, Chip()])
        measured = whole.evaluate(whole.designs([[0, 0], [3, 0]]))
        assert len(costly.calls) == 2
        assert measured.feasible.all()
        assert whole.satisfied(measured).tolist() == [False, True]

    def test_a_free_constraint_may_have_no_value_somewhere(self):
        costly = Costly()
        whole = problem(["sqrt(power - 1.5 W) / sqrt(power) <= 1"], evaluators=[costly, Chip()])
        whole.evaluate(whole.designs([[0, 0], [0, 1]]))

    def test_the_costly_evaluator_can_be_stood_in_for(self):
        costly = Costly()
        whole = problem(evaluators=[costly, Chip()])
        designs = whole.designs([[0, 0], [0, 1]])
        rows = [i for chunk, _ in whole.stream(designs, Cached(costly)) for i in chunk]
        assert sorted(rows) == [0, 1]
        assert costly.calls == [(1, 1)]

    def test_metrics_come_in_the_declared_columns(self):
        whole = problem()
        measured = whole.evaluate(whole.designs([[0, 0], [0, 2]]))
        assert set(measured.columns) == set(whole.metrics)

    def test_only_free_evaluators(self):
        whole = Problem(SPACE, [cost, Chip()], ["cost"])
        measured = whole.evaluate(whole.designs(SPACE.rows()))
        np.testing.assert_array_equal(measured.feasible, whole.designs(SPACE.rows())["hw.y"] < 3)
        assert measured["cost"].tolist() == [x * y for x in (1, 2, 3, 4) for y in (1, 2, 3)]

    def test_only_costly_evaluators(self):
        whole = Problem(SPACE, [Costly()], ["error"])
        assert len(whole.free(whole.designs([[0, 0]]))) == 1
        assert whole.evaluate(whole.designs([[0, 0]])).feasible.all()

    def test_no_designs(self):
        for whole in (problem(), Problem(SPACE, [cost], ["cost"])):
            measured = whole.evaluate(whole.designs(np.empty((0, 2))))
            assert len(measured) == 0
            assert whole.losses(measured).shape == (0, len(whole.objectives))


class TestCounting:
    def test_losses_are_minimised_and_infinite_where_infeasible(self):
        whole = problem(objectives=["error", "recall", "minimize: edp = area * power"])
        measured = whole.evaluate(whole.designs([[1, 0], [3, 1], [0, 2]]))
        np.testing.assert_allclose(
            whole.losses(measured),
            [[0.5, -0.5, 1e-6], [0.25, -1.0, 4e-6], [np.inf, np.inf, np.inf]],
        )
        np.testing.assert_allclose(whole.values(measured)[:2, 1], [0.5, 1.0])

    def test_losses_without_a_finite_value_are_infinite(self):
        whole = Problem(SPACE, [cost], ["minimize: log10(cost - 2)", "cost"])
        measured = whole.evaluate(whole.designs([[0, 0], [1, 0], [2, 0]]))
        np.testing.assert_array_equal(whole.losses(measured)[:2], np.inf)
        assert whole.losses(measured)[2].tolist() == [0.0, 3.0]
        assert whole.satisfied(measured).tolist() == [False, False, True]

    def test_violations_are_amounts_excesses_have_signs(self):
        whole = problem(["area <= 1 mm2", "error <= 0.2", "recall >= 0.5"])
        measured = whole.evaluate(whole.designs([[3, 0], [0, 0], [3, 1]]))
        np.testing.assert_allclose(
            whole.excesses(measured),
            [[0.0, 0.05, -0.5], [0.0, 0.8, 0.25], [1e-6, np.inf, np.inf]],
            atol=1e-12,
        )
        np.testing.assert_allclose(
            whole.violations(measured),
            [[0.0, 0.05, 0.0], [0.0, 0.8, 0.25], [1e-6, np.inf, np.inf]],
            atol=1e-12,
        )
        np.testing.assert_allclose(
            whole.relative_violations(measured)[:2], [[0.0, 0.25, 0.0], [0.0, 4.0, 0.5]], atol=1e-9
        )

    def test_no_constraints_have_no_columns(self):
        whole = problem()
        measured = whole.evaluate(whole.designs([[0, 0]]))
        assert whole.violations(measured).shape == (1, 0)
        assert whole.satisfied(measured).tolist() == [True]

    def test_an_objective_without_a_metric_has_a_value_per_row(self):
        whole = Problem(SPACE, [cost], ["minimize: k = 3", "cost"])
        measured = whole.evaluate(whole.designs([[0, 0], [1, 1]]))
        assert whole.losses(measured).tolist() == [[3.0, 1.0], [3.0, 4.0]]


def test_a_problem_survives_the_way_to_another_process():
    whole = toys.joint()
    again = cloudpickle.loads(cloudpickle.dumps(whole))
    rows = whole.space.sample(5, np.random.default_rng(0))
    one, other = (p.losses(p.evaluate(p.designs(rows))) for p in (whole, again))
    np.testing.assert_array_equal(one, other)


def test_a_problem_cannot_be_changed():
    with pytest.raises(AttributeError):
        problem().space = SPACE
