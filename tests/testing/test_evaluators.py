"""The suite of evaluators lets good ones pass, and finds every kind of bad one."""

from __future__ import annotations

import itertools
import os
import random
import threading

import numpy as np
import pytest

from hwnas import Gene, Goal, Metric, Reason, Space, When
from hwnas.evaluation import Evaluator, Expense, Explanation, Roofline
from hwnas.evaluation.grid import Grid
from hwnas.metrics import Measurements
from hwnas.testing import EvaluatorSubject, evaluator_checks, run

SPACE = Space(
    (
        Gene("net.x", tuple(range(1, 9))),
        Gene("net.z", (1, 2, 3), when=When("net.x", at_least=4)),
        Gene("hw.y", (1, 2, 3, 4)),
    )
)


class Good(Evaluator):
    """Keeps every rule; its answers vary with the study's seed, and some designs are infeasible."""

    metrics = (
        Metric("error", best=0.0, worst=1.0),
        Metric("speed", "Hz", Goal.MAXIMIZE, worst=0.0),
    )
    reads = frozenset({"net"})
    expense = Expense.FREE
    fidelities = (0.5, 1.0)

    def evaluate(self, designs, fidelity=1.0):
        x = designs["net.x"].astype(float)
        z = np.where(x >= 4, designs["net.z"], 0)
        noise = np.array(designs.seeds("net", stream="noise")) / 2.0**64
        columns = {
            "error": (1 - fidelity / 2) / (x + z) * (1 + 0.1 * noise) / 2,
            "speed": 1e6 * (x + z),
        }
        reason = np.where(x == 8, int(Reason.INFEASIBLE), 0)
        return Measurements.of(self.metrics, columns, reason=reason)


class Slow(Good):
    expense = Expense.COSTLY


class Varying(Good):
    """Says that it is not deterministic."""

    deterministic = False

    def evaluate(self, designs, fidelity=1.0):
        measured = super().evaluate(designs, fidelity)
        return with_error(measured, np.random.default_rng().random(len(designs)))


def with_error(measured, error):
    columns = {**measured.columns, "error": np.asarray(error, dtype=np.float64)}
    return Measurements.of(measured.metrics, columns, reason=measured.reason)


def changed(**attributes):
    return type("Changed", (Good,), attributes)


def answering(change):
    """An evaluator whose error is changed by a function of itself, the designs and the error."""

    class Answering(Good):
        calls = 0

        def evaluate(self, designs, fidelity=1.0):
            measured = super().evaluate(designs, fidelity)
            type(self).calls += 1
            return with_error(measured, change(self, designs, measured["error"]))

    return Answering


class DropsRows(Good):
    def evaluate(self, designs, fidelity=1.0):
        measured = super().evaluate(designs, fidelity)
        return measured.take(slice(0, 3)) if len(designs) > 3 else measured


class NeedsDesigns(Good):
    def evaluate(self, designs, fidelity=1.0):
        assert designs["net.x"].max() > 0
        return super().evaluate(designs, fidelity)


class OtherMetrics(Good):
    def evaluate(self, designs, fidelity=1.0):
        measured = super().evaluate(designs, fidelity)
        own = (Metric("loss"), self.metrics[1])
        return Measurements.of(
            own, {**measured.columns, "loss": measured["error"]}, reason=measured.reason
        )


class KnowsOneFidelity(Good):
    def evaluate(self, designs, fidelity=1.0):
        assert fidelity == 1.0
        return super().evaluate(designs, fidelity)


class Fails(Good):
    def evaluate(self, designs, fidelity=1.0):
        return Measurements.nothing(self.metrics, len(designs), Reason.RAISED, "always")


class NothingIsFeasible(Good):
    def evaluate(self, designs, fidelity=1.0):
        return Measurements.nothing(self.metrics, len(designs), Reason.INFEASIBLE, "never")


class HidesNaN(Good):
    """Breaks a row after the measurements were checked."""

    def evaluate(self, designs, fidelity=1.0):
        measured = super().evaluate(designs, fidelity)
        measured["speed"][np.flatnonzero(measured.feasible)[:1]] = np.nan
        return measured


class StreamsTwice(Good):
    def stream(self, designs, fidelity=1.0):
        yield from super().stream(designs, fidelity)
        yield from super().stream(designs[:1], fidelity)


class StreamsTooFew(Good):
    def stream(self, designs, fidelity=1.0):
        yield from super().stream(designs[:-1], fidelity)


class StreamsSomethingElse(Good):
    def stream(self, designs, fidelity=1.0):
        for rows, part in super().stream(designs, fidelity):
            yield rows[::-1], part


class StreamsNobody(Good):
    def stream(self, designs, fidelity=1.0):
        yield from super().stream(designs, fidelity)
        if not len(designs):
            yield np.array([0]), Measurements.nothing(self.metrics, 1, Reason.RAISED)


class CannotTravel(Good):
    def __init__(self):
        self.lock = threading.Lock()


class LooksAtHardware(Good):
    def evaluate(self, designs, fidelity=1.0):
        assert designs["hw.y"].size >= 0
        return super().evaluate(designs, fidelity)


class Overwrites(Good):
    def evaluate(self, designs, fidelity=1.0):
        measured = super().evaluate(designs, fidelity)
        designs.columns["net.x"][:] = 0
        return measured


class Seeds(Good):
    def evaluate(self, designs, fidelity=1.0):
        random.seed(len(designs))
        return super().evaluate(designs, fidelity)


class Coarse(Good):
    """Cannot tell apart networks of 2 and of 3, and has its own way to measure grids."""

    reads = frozenset({"net", "hw"})

    def evaluate(self, designs, fidelity=1.0):
        x = np.where(designs["net.x"] == 3, 2, designs["net.x"]).astype(float)
        reason = np.where(x == 8, int(Reason.INFEASIBLE), 0)
        columns = {"error": 1 / (x + designs["hw.y"]), "speed": x * designs["hw.y"]}
        return Measurements.of(self.metrics, columns, reason=reason)

    def fingerprints(self, designs):
        x = designs.genomes[:, [n != "net.z" for n in designs.space.names]].copy()
        if "net.x" in designs.space.names:
            first = designs.space.names.index("net.x")
            x[x[:, first] == 2, first] = 1
        return [row.tobytes() for row in x]

    def against(self, space, inner, names):
        if inner.space.part_names != ("hw",):
            return None

        def measure(outer):
            x = np.where(outer["net.x"] == 3, 2, outer["net.x"]).astype(float)[:, None]
            y = inner["hw.y"][None, :]
            return Grid(
                {"error": 1 / (x + y), "speed": x * y}, np.broadcast_to(x != 8, (len(x), y.size))
            )

        return measure


class SlowCoarse(Coarse):
    expense = Expense.COSTLY


def keyed(change):
    """An evaluator whose fingerprints are changed."""

    class Keyed(Coarse):
        def fingerprints(self, designs):
            return change(super().fingerprints(designs), designs)

    return Keyed


def gridded(change):
    """An evaluator whose grids are changed."""

    class Gridded(Coarse):
        def against(self, space, inner, names):
            measure = super().against(space, inner, names)
            return measure and (lambda outer: change(measure(outer), names))

    return Gridded


def valued(change):
    """An evaluator whose grids have other values."""
    return gridded(
        lambda grid, names: Grid(
            {name: change(name, column, names) for name, column in grid.columns.items()},
            grid.feasible,
        )
    )


class SlowOfHardware(Slow):
    """Says that it does not read the accelerator, and does."""

    def evaluate(self, designs, fidelity=1.0):
        measured = super().evaluate(designs, fidelity)
        y = designs["hw.y"] if "hw.y" in designs.space.names else 1
        return with_error(measured, measured["error"] / (1 + 1e-3 * (y == 3)))


class SlowAlike(SlowCoarse):
    """Its fingerprints are those of everybody."""

    def fingerprints(self, designs):
        return [b""] * len(designs)


class AnswersOneOnly(Coarse):
    def against(self, space, inner, names):
        return super().against(space, inner, names) if len(names) > 1 else None


class Forgetful(Coarse):
    """Its second grid is another one."""

    def against(self, space, inner, names):
        measure = super().against(space, inner, names)
        seen = []

        def again(outer):
            grid = measure(outer)
            seen.append(len(outer))
            return Grid({k: v + (len(seen) > 3) for k, v in grid.columns.items()}, grid.feasible)

        return measure and again


def explaining(**said):
    """An evaluator that says something of designs with an odd x."""

    def explain(self, design):
        return Explanation(**said) if design["net.x"] % 2 else None

    return type("Explaining", (Good,), {"explain": explain})


def under(attained):
    """A roofline with its ridge at 2; layers of intensities 1 and 4."""
    return Roofline(10.0, 5.0, np.array([1.0, 4.0]), np.array(attained))


Explains = explaining(
    parts={"speed": {"a": 1.0}},
    layers={"utilization": np.array([0.0, 1.0]), "latency": np.array([7.0, 7.0])},
    roofline=under([5.0, 10.0]),
)


class Consists(Good):
    """Its energy is 2 and so are its parts and layers, or not."""

    metrics = (Metric("energy", "J"),)
    parts = (0.5, 1.5)
    layers = (0.5, 1.5)

    def evaluate(self, designs, fidelity=1.0):
        return Measurements.of(self.metrics, {"energy": np.full(len(designs), 2.0)})

    def explain(self, design):
        parts = dict(zip("ab", self.parts, strict=True))
        return Explanation({"energy": parts}, {"energy": np.array(self.layers)})


@pytest.mark.parametrize("kind", [Good, Slow, Varying, Coarse, SlowCoarse, Explains, Consists])
@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_good_ones_pass(check, kind):
    check(EvaluatorSubject(kind(), SPACE))


counter = itertools.count()
KEYS = "fingerprints are keys"
TWINS = "fingerprints tell apart what differs"
GRIDS = "grids are what their cells measure"
EXPLAINS = "explains what it measures"
ELSEWHERE = "repeats itself elsewhere"

BAD = [
    ("declares metrics", changed(metrics=())),
    ("declares metrics", changed(metrics=(Metric("a"), Metric("a", "s")))),
    ("declares metrics", changed(metrics=(Metric("a", "furlongs_per_cow"),))),
    ("declares metrics", changed(metrics=(Metric("a", best=1.0, worst=0.0),))),
    ("declares metrics", changed(metrics=(Metric("a", "1", Goal.MAXIMIZE, 1.0, 0.0),))),
    ("declares what it is", changed(version="")),
    ("declares what it is", changed(version=3)),
    ("declares what it is", changed(name="")),
    ("declares what it is", changed(expense="free")),
    ("declares what it is", changed(deterministic=None)),
    ("declares fidelities", changed(fidelities=())),
    ("declares fidelities", changed(fidelities=(0.5,))),
    ("declares fidelities", changed(fidelities=(1.0, 0.5))),
    ("declares fidelities", changed(fidelities=(0.5, 0.5, 1.0))),
    ("declares fidelities", changed(fidelities=(0.0, 1.0))),
    ("declares parts of the space", changed(reads=frozenset({"net", "quant"}))),
    ("declares parts of the space", changed(reads=("net",))),
    ("answers every row", DropsRows),
    ("answers every row", NeedsDesigns),
    ("answers every row", OtherMetrics),
    ("answers at every fidelity", KnowsOneFidelity),
    ("measures something", Fails),
    ("measures something", NothingIsFeasible),
    ("answers are finite or have a reason", HidesNaN),
    ("answers lie within declared bounds", answering(lambda e, d, error: error + 1)),
    ("answers lie within declared bounds", answering(lambda e, d, error: -error)),
    ("batch equals one by one", answering(lambda e, d, error: error / error.max(initial=1e-9))),
    ("order does not matter", answering(lambda e, d, error: error + 0.01 * np.arange(len(d)))),
    ("stream answers every row once", StreamsTwice),
    ("stream answers every row once", StreamsTooFew),
    ("stream answers every row once", StreamsSomethingElse),
    ("stream answers every row once", StreamsNobody),
    ("repeats itself", answering(lambda e, d, error: error + 1e-6 * e.calls)),
    ("repeats itself", answering(lambda e, d, error: np.random.default_rng().random(len(d)))),
    (ELSEWHERE, CannotTravel),
    (ELSEWHERE, answering(lambda e, d, error: error + (os.getpid() % 1000) * 1e-4)),
    (ELSEWHERE, answering(lambda e, d, error: error + (hash("noise") % 1000) * 1e-4)),
    ("reads enough", answering(lambda e, d, error: error * d["hw.y"])),
    ("reads enough", answering(lambda e, d, error: error + np.array(d.seeds()) / 2.0**64)),
    ("needs only what it reads", LooksAtHardware),
    ("reads enough", SlowOfHardware),
    (KEYS, keyed(lambda keys, d: keys[:-1])),
    (KEYS, keyed(lambda keys, d: [key.hex() for key in keys])),
    (KEYS, keyed(lambda keys, d: [f"{i}".encode() for i, _ in enumerate(keys)])),
    (KEYS, keyed(lambda keys, d: [key + f"{next(counter)}".encode() for key in keys])),
    (KEYS, keyed(lambda keys, d: keys or [b""])),
    (TWINS, keyed(lambda keys, d: [b""] * len(keys))),
    (TWINS, keyed(lambda keys, d: [key.replace(b"\3", b"\2") for key in keys])),
    (TWINS, SlowAlike),
    (GRIDS, gridded(lambda grid, names: grid.columns)),
    (GRIDS, gridded(lambda grid, names: Grid(grid.columns, np.ones_like(grid.feasible)))),
    (GRIDS, valued(lambda name, column, names: column * (1 + (name == "speed")))),
    (GRIDS, gridded(lambda grid, names: Grid({"error": grid.columns["error"]}, grid.feasible))),
    (GRIDS, valued(lambda name, column, names: column.T)),
    (GRIDS, valued(lambda name, column, names: column + (len(names) == 1))),
    (GRIDS, AnswersOneOnly),
    (GRIDS, Forgetful),
    (EXPLAINS, explaining(parts={"energy": {"a": 1.0}})),
    (EXPLAINS, explaining(layers={"utilization": np.array([0.5, 1.1])})),
    (EXPLAINS, explaining(roofline=under([5.0, 10.1]))),
    (EXPLAINS, explaining(roofline=under([5.1, 10.0]))),
    (EXPLAINS, type("Lacks", (Consists,), {"parts": (0.5, 1.4)})),
    (EXPLAINS, type("Lacks", (Consists,), {"layers": (0.5, 1.6)})),
    (EXPLAINS, changed(explain=lambda self, design: {"energy": {"a": 1.0}})),
    ("leaves designs alone", Overwrites),
    ("leaves global random state alone", Seeds),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), BAD, ids=[f"{i} {n}" for i, (n, _) in enumerate(BAD)])
def test_bad_ones_are_found(name, kind):
    (check,) = (check for check in evaluator_checks() if check.name == name)
    (outcome,) = run([check], EvaluatorSubject(kind(), SPACE))
    assert not outcome.passed
    assert outcome.message


def test_every_rule_is_broken_by_somebody():
    assert {name for name, _ in BAD} == {check.name for check in evaluator_checks()}


def test_an_evaluator_of_everything_need_not_be_checked_for_what_it_does_not_read():
    everything = changed(reads=frozenset())()
    outcomes = {o.check: o for o in run(evaluator_checks(), EvaluatorSubject(everything, SPACE))}
    assert outcomes["reads enough"].skipped
    assert outcomes["needs only what it reads"].skipped
    assert all(outcome.passed for outcome in outcomes.values())
