"""What is said of fidelities, against pairs picked by hand and SciPy's correlations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from hwnas import Gene, Metric, PerDesign, Problem, Space, Study, measures
from hwnas.cli.tables import rung_table, rungs_in_short
from hwnas.evaluation.interface import collect
from hwnas.history import History
from hwnas.metrics import Measurements
from hwnas.report import write_report
from hwnas.report.rungs import rungs, section
from hwnas.rungs import JUDGED, RANKS, Agreement, Rungs, Standing, standings

SPACE = Space((Gene("net.x", tuple(range(60))), Gene("hw.y", (1, 2, 4))))
ERROR = Metric("error", worst=2.0, best=0.0)


def noise(x):
    """The same for equal designs, and nothing to do with them."""
    return np.random.default_rng(x).random()


class Levels(PerDesign):
    """An error whose lowest rung is noise; the next one ranks, but for a little."""

    metrics = (ERROR,)
    reads = frozenset({"net"})
    fidelities = (0.02, 0.1, 1.0)

    def measure(self, design, fidelity=1.0):
        x = design["net.x"]
        whole = 1 / (1 + x)
        return {"error": {0.02: noise(x), 0.1: whole + 0.02 * noise(x), 1.0: whole}[fidelity]}


@measures("cost", expense="free", batch=True)
def cost(designs):
    return 1.0 * designs["net.x"] * designs["hw.y"]


def problem(objectives=("error", "cost")):
    return Problem(SPACE, [Levels(), cost], objectives)


def told(p, rows, share):
    """Rows ``(x, y)`` as a study measures them at a share."""
    genomes = np.array(rows, dtype=np.int64)
    metrics = tuple(p.metrics.values())
    stream = p.stream(p.designs(genomes), fidelity=share)
    return genomes, collect(metrics, len(genomes), stream)


def test_correlations_are_those_of_designs_measured_both_ways():
    p = problem()
    kept = Rungs(p)
    # 3 is measured twice and with two accelerators: one setting. 40 is measured at one share only.
    kept.add(*told(p, [(x, 0) for x in (1, 3, 5, 9, 14, 40)] + [(3, 1), (3, 2)], 0.1))
    kept.add(*told(p, [(x, 2) for x in (14, 9, 5, 3, 1, 50)], 1.0))
    standing = kept.standing(0.1)
    xs = [1, 3, 5, 9, 14]
    early = [1 / (1 + x) + 0.02 * noise(x) for x in xs]
    whole = [1 / (1 + x) for x in xs]
    (found,) = standing.agreements
    assert (found.metric, found.pairs, standing.measured) == ("error", 5, 6)
    assert found.kendall == pytest.approx(kendalltau(early, whole).statistic)
    assert found.spearman == pytest.approx(spearmanr(early, whole).statistic)
    assert standing.ranks is None
    assert (standing.both, standing.blind) == (5, False)
    assert kept.standing(1.0) == Standing(1.0, 6)
    assert kept.standing(0.02).measured == 0


def test_it_is_judged_after_enough_pairs():
    p = problem()
    kept = Rungs(p)
    xs = list(range(0, 60, 60 // JUDGED))[:JUDGED]
    kept.add(*told(p, [(x, 0) for x in xs], 0.1))
    kept.add(*told(p, [(x, 0) for x in xs[:-1]], 1.0))
    assert kept.standing(0.1).ranks is None
    kept.add(*told(p, [(xs[-1], 0)], 1.0))
    assert kept.standing(0.1).ranks is True


def test_those_that_were_measured_whole_first_are_the_better_judges():
    p = problem()
    kept = Rungs(p)
    kept.add(*told(p, [(x, 0) for x in range(20)], 0.02))
    kept.add(*told(p, [(x, 0) for x in range(20 + JUDGED)], 1.0))
    assert not kept.standing(0.02).blind
    kept.add(*told(p, [(x, 1) for x in range(20, 19 + JUDGED)], 0.02))
    assert kept.standing(0.02).agreements[0].pairs == 19 + JUDGED
    kept.add(*told(p, [(19 + JUDGED, 1)], 0.02))
    standing = kept.standing(0.02)
    late = range(20, 20 + JUDGED)
    expected = kendalltau([noise(x) for x in late], [1 / (1 + x) for x in late]).statistic
    assert (standing.both, standing.blind) == (20 + JUDGED, True)
    assert standing.agreements[0].pairs == JUDGED
    assert standing.agreements[0].kendall == pytest.approx(expected)


def test_the_least_of_several_metrics_decides():
    good, bad = Agreement("a", 20, 0.9, 0.9), Agreement("b", 20, 0.1, 0.2)
    assert Standing(0.1, 20, (good, bad)).tau == 0.1
    assert Standing(0.1, 20, (good, bad)).ranks is False
    assert Standing(0.1, 20, (good, Agreement("b", 20))).ranks is None
    assert Standing(0.1, 20, (good, Agreement("b", JUDGED - 1, 0.0, 0.0))).ranks is None


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (Standing(1.0, 9), "counts"),
        (Standing(0.1, 0), "not used"),
        (Standing(0.1, 9, (Agreement("a", 9, RANKS, 0.4),)), "used"),
        (Standing(0.1, 9, (Agreement("a", 9, 0.05, 0.1),)), "skipped: ranks with tau = 0.05"),
        (
            Standing(0.1, 9, (Agreement("a", 9, 0.05, 0.1),), unheeded=True),
            "used, though it does not rank: tau = 0.05",
        ),
        (
            Standing(0.1, 9, (Agreement("a", 3, 1.0, 1.0),)),
            "used; too early to say whether it ranks",
        ),
    ],
)
def test_verdicts(standing, verdict):
    assert standing.verdict == verdict
    assert json.loads(json.dumps(standing.to_json()))["verdict"] == verdict


def test_what_does_not_vary_has_no_rank():
    assert Agreement.of("a", np.ones(9), np.arange(9.0)) == Agreement("a", 9)
    assert Agreement.of("a", np.ones(1), np.ones(1)).kendall is None


def test_a_rung_that_is_used_against_the_evidence_is_said_to_be():
    p = problem()
    first = told(p, [(x, 0) for x in range(20)], 0.02)
    second = told(p, [(x, 0) for x in range(20)], 1.0)
    third = told(p, [(40, 0)], 0.02)

    def history(*steps):
        genomes = np.concatenate([g for g, _ in steps])
        measured = Measurements.stack(m for _, m in steps)
        step = np.repeat(np.arange(len(steps)), [len(g) for g, _ in steps])
        return standings(p, genomes, measured, step)

    assert history(first)[0].ranks is None
    low, middle, whole = history(first, second)
    assert low.verdict.startswith("skipped: ranks with tau = ")
    assert (middle.verdict, whole.verdict) == ("not used", "counts")
    assert history(first, second, third)[0].unheeded
    assert history(second) == ()


@pytest.fixture(scope="module")
def climbed():
    study = Study(problem(), "mo_asha", budget=40, seed=1, name="climbed", options={"control": 10})
    for _ in study.run():
        pass
    return study


def test_a_rung_of_noise_is_skipped_and_reported(climbed, tmp_path):
    low, middle, _ = climbed.history.rungs
    assert low.tau is not None
    assert low.tau < RANKS
    assert low.verdict.startswith("skipped: ranks with tau = ")
    assert middle.verdict == "used"
    # Once it is judged nothing more is spent on it: the controls are all that it ever measured.
    assert low.measured == low.both <= 10
    assert low.blind
    written = write_report(climbed, tmp_path)
    html = written.report.read_text()
    assert '<section id="rungs">' in html
    assert low.verdict in html
    assert 'data-plot="rung-0"' in html
    said = json.loads(written.json.read_text())["rungs"]
    assert [r["verdict"] for r in said] == [low.verdict, "used", "counts"]
    assert said[0]["agreements"][0]["pairs"] == low.agreements[0].pairs
    assert low.verdict in rungs_in_short(climbed.history.rungs)
    assert [*rung_table(climbed.history.rungs).columns[0].cells] == ["0.02", "0.1", "1"]


def test_it_follows_from_the_history_alone(climbed):
    again = History(climbed.problem)
    again.add(climbed.history.rows)
    assert again.rungs == climbed.history.rungs


def test_where_no_lower_fidelity_was_used_nothing_is_said():
    study = Study(problem(), "random", budget=5, seed=1)
    for _ in study.run():
        pass
    assert study.history.rungs == ()
    assert section(rungs(study)) == ""


def test_of_metrics_only_those_count_that_objectives_need():
    class Two(Levels):
        metrics = (ERROR, Metric("loss"))

        def measure(self, design, fidelity=1.0):
            return {**super().measure(design, fidelity), "loss": 1.0}

    assert Rungs(Problem(SPACE, [Two(), cost], ["error", "cost"])).metrics == ("error",)
    both = Problem(SPACE, [Two(), cost], ["minimize: sum = error + loss", "cost"])
    assert Rungs(both).metrics == ("error", "loss")
    assert Rungs(Problem(SPACE, [Two(), cost], ["cost"])).metrics == ("error", "loss")
