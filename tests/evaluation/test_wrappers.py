"""Joined, Cached, Noisy: each adds one behaviour and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas import Designs, Gene, Infeasible, Metric, PerDesign, Reason, Space, When
from hwnas.errors import ProblemError
from hwnas.evaluation import Cached, Evaluator, Expense, Joined, Noisy, measures
from hwnas.metrics import Measurements

SPACE = Space(
    (
        Gene("net.x", tuple(range(6))),
        Gene("quant.b", (2, 4), when=When("net.x", at_least=3)),
        Gene("hw.y", (1, 2, 3)),
    )
)
ALL = Designs(SPACE, SPACE.rows(), seed=4)


class Counting(PerDesign):
    """Counts how often it measures; some designs fail or are infeasible."""

    metrics = (Metric("error"),)
    reads = frozenset({"net", "quant"})

    def __init__(self, deterministic=True):
        self.deterministic = deterministic
        self.calls = []

    def measure(self, design, fidelity=1.0):
        self.calls.append((fidelity, design.seed, tuple(sorted(design.config.items()))))
        if design["net.x"] == 1:
            raise RuntimeError("broken")
        if design["net.x"] == 2:
            return Infeasible("cannot")
        return {"error": design["net.x"] + design.config.get("quant.b", 0) / 10 + len(self.calls)}


@measures("latency", unit="s", expense="free", batch=True, reads=("hw",), version="3")
def latency(designs):
    return 1.0 / designs["hw.y"]


@measures("area", expense="free", batch=True)
def area(designs):
    return designs["hw.y"] * 1.0


class TestJoined:
    def test_says_what_it_is(self):
        joined = Joined([Counting(), latency])
        assert [m.name for m in joined.metrics] == ["error", "latency"]
        assert joined.reads == {"net", "quant", "hw"}
        assert joined.expense is Expense.COSTLY
        assert joined.deterministic
        assert joined.version == "Counting:1+latency:3"
        assert not Joined([Counting(deterministic=False), latency]).deterministic
        assert Joined([latency]).expense is Expense.FREE

    def test_reads_everything_if_one_does(self):
        assert Joined([latency, area]).reads == frozenset()

    def test_answers_all_metrics(self):
        joined = Joined([latency, area])
        measured = joined.evaluate(ALL)
        np.testing.assert_array_equal(measured["latency"], 1 / ALL["hw.y"])
        np.testing.assert_array_equal(measured["area"], ALL["hw.y"])

    def test_a_row_is_feasible_where_both_are(self):
        measured = Joined([latency, Counting()]).evaluate(ALL)
        x = ALL["net.x"]
        expected = np.select([x == 1, x == 2], [Reason.RAISED, Reason.INFEASIBLE], Reason.NONE)
        np.testing.assert_array_equal(measured.reason, expected)
        assert np.isfinite(measured["latency"]).all()

    def test_streams_what_it_evaluates(self):
        joined = Joined([Counting(), latency])
        rows = [int(i) for chunk, part in joined.stream(ALL) for i in chunk]
        assert sorted(rows) == list(range(len(ALL)))

    def test_keeps_the_fidelities_that_all_have(self):
        one, other = Counting(), Counting()
        other.metrics = (Metric("loss"),)
        one.fidelities, other.fidelities = (0.1, 0.5, 1.0), (0.5, 1.0)
        assert Joined([one, other]).fidelities == (0.5, 1.0)

    def test_nothing_and_the_same_metric_twice_are_refused(self):
        with pytest.raises(ProblemError, match="nothing to join"):
            Joined([])
        with pytest.raises(ProblemError, match="'error' is measured twice") as caught:
            Joined([Counting(), Counting()])
        assert caught.value.given == "Counting and Counting"


class TestCached:
    def test_measures_each_projection_once(self):
        inner = Counting()
        measured = Cached(inner).evaluate(ALL)
        assert len(measured) == len(ALL)
        assert len(inner.calls) == len(ALL.part("net", "quant")[0])
        assert len(set(inner.calls)) == len(inner.calls)

    def test_answers_as_its_inner_one(self):
        plain = Designs(SPACE, SPACE.rows()[::-1])

        class Plain(Counting):
            def measure(self, design, fidelity=1.0):
                self.calls.clear()
                return super().measure(design, fidelity)

        expected = Plain().evaluate(plain)
        cached = Cached(Plain())
        for _ in range(2):
            measured = cached.evaluate(plain)
            np.testing.assert_array_equal(measured["error"], expected["error"])
            np.testing.assert_array_equal(measured.reason, expected.reason)
            assert measured.notes == expected.notes

    def test_measures_nothing_twice_but_failures(self):
        inner = Counting()
        cached = Cached(inner)
        first = cached.evaluate(ALL)
        inner.calls.clear()
        again = cached.evaluate(ALL[::-1])
        np.testing.assert_array_equal(again["error"][::-1], first["error"])
        assert {dict(config)["net.x"] for _, _, config in inner.calls} == {1}

    def test_knows_what_needs_no_measuring(self):
        cached = Cached(Counting())
        assert not cached.knows(ALL).any()
        cached.evaluate(ALL)
        np.testing.assert_array_equal(cached.knows(ALL), ALL["net.x"] != 1)

    def test_tells_seeds_and_fidelities_apart(self):
        inner = Counting()
        cached = Cached(inner)
        design = ALL[-1:]
        for seed in (0, 1):
            for fidelity in (0.5, 1.0):
                cached.evaluate(Designs(SPACE, design.genomes, seed), fidelity)
        assert len(inner.calls) == 4

    def test_tells_spaces_apart(self):
        cached = Cached(area)
        assert cached.evaluate(Designs(SPACE, [[0, 0, 0]]))["area"].tolist() == [1.0]
        pinned = SPACE.restrict({"hw.y": [2, 3]})
        assert cached.evaluate(Designs(pinned, [[0, 0, 0]]))["area"].tolist() == [2.0]

    def test_remembers_what_others_measured(self):
        inner = Counting()
        cached = Cached(inner)
        known = Measurements.of((*inner.metrics, Metric("more")), {"error": [9.0], "more": [1.0]})
        cached.remember(ALL[-1:], known)
        assert cached.evaluate(ALL[-1:])["error"].tolist() == [9.0]
        assert inner.calls == []

    def test_passes_through_what_is_not_deterministic(self):
        inner = Counting(deterministic=False)
        cached = Cached(inner)
        cached.remember(ALL[-1:], Measurements.of(inner.metrics, {"error": [9.0]}))
        cached.evaluate(ALL)
        cached.evaluate(ALL)
        assert len(inner.calls) == 2 * len(ALL)

    def test_streams_known_rows_before_it_measures(self):
        inner = Counting()
        cached = Cached(inner)
        cached.evaluate(ALL[-3:])
        inner.calls.clear()
        known = np.flatnonzero(cached.knows(ALL))
        assert 3 <= len(known) < len(ALL)
        rows, _ = next(iter(cached.stream(ALL)))
        assert sorted(rows) == known.tolist()
        assert inner.calls == []

    def test_no_designs(self):
        assert len(Cached(Counting()).evaluate(ALL[:0])) == 0


class TestNoisy:
    def test_noise_follows_genome_and_seed(self):
        noisy = Noisy(latency, 0.1)
        measured = noisy.evaluate(ALL)
        order = np.random.default_rng(0).permutation(len(ALL))
        np.testing.assert_array_equal(
            noisy.evaluate(ALL[order])["latency"], measured["latency"][order]
        )
        other = noisy.evaluate(Designs(SPACE, ALL.genomes, seed=5))
        assert (other["latency"] != measured["latency"]).all()

    def test_noise_ignores_what_is_not_read(self):
        measured = Noisy(latency, 0.1).evaluate(ALL)["latency"]
        assert len(np.unique(measured)) == 3

    def test_noise_has_the_deviation_asked_for(self):
        space = Space((Gene("net.x", tuple(range(4000))),))

        @measures("one", expense="free", batch=True)
        def one(designs):
            return np.full(len(designs), 2.0)

        values = Noisy(one, 0.05).evaluate(Designs(space, space.rows()))["one"]
        assert abs(values.mean() - 2.0) < 0.01
        assert abs(values.std() - 0.1) < 0.01

    def test_metrics_have_noise_of_their_own(self):
        @measures("a", "b", expense="free", batch=True)
        def both(designs):
            return {"a": np.ones(len(designs)), "b": np.ones(len(designs))}

        measured = Noisy(both, 0.1).evaluate(ALL)
        assert (measured["a"] != measured["b"]).all()

    def test_infeasible_rows_stay_so(self):
        measured = Noisy(Counting(), 0.1).evaluate(ALL)
        assert np.isnan(measured["error"][~measured.feasible]).all()
        assert set(measured.reason) == {Reason.NONE, Reason.RAISED, Reason.INFEASIBLE}

    def test_the_version_tells_it_apart(self):
        assert len({latency.version, Noisy(latency, 0.1).version, Noisy(latency, 0.2).version}) == 3


class Closing(Counting):
    """Notes that it was closed."""

    closed = 0

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("wrap", [Cached, lambda e: Noisy(e, 0.1), lambda e: Joined([e, latency])])
def test_closing_a_wrapper_closes_what_it_wraps(wrap):
    inner = Closing()
    wrap(inner).close()
    assert inner.closed == 1


@pytest.mark.parametrize("wrap", [Cached, lambda e: Noisy(e, 0.1)])
def test_wrappers_pass_on_what_they_wrap(wrap):
    inner: Evaluator = Counting()
    inner.fidelities = (0.5, 1.0)
    wrapped = wrap(inner)
    for attribute in ("metrics", "reads", "expense", "fidelities", "deterministic", "name"):
        assert getattr(wrapped, attribute) == getattr(inner, attribute)
