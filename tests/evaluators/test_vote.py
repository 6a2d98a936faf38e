"""The vote of training-free metrics: ranks among a sample, the same for equal networks."""

from __future__ import annotations

import cloudpickle
import numpy as np
import pytest
from scipy.stats import rankdata

from evaluators.counts import Macs, Params
from evaluators.nn_degree import NNDegree
from evaluators.vote import Vote
from hwnas import BitsPerCell, Designs, SkipNet, SystolicArray, plugins
from hwnas.design import NASBench201
from hwnas.errors import ProblemError
from hwnas.evaluation import Expense
from hwnas.metrics import Goal, Reason
from hwnas.testing import EvaluatorSubject, evaluator_checks

JOINT = SkipNet().space() + BitsPerCell().space() + SystolicArray().space()
SPACE = NASBench201(drop_dead_edges=True).space()
SIZES = ("params", "macs")


def drawn(n, space=SPACE, seed=1, study=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)), study)


def test_it_is_a_plug_in_that_is_free_like_its_parts():
    vote = plugins.load("hwnas.evaluators", "vote")(metrics=("params", "nn_degree"))
    assert type(vote) is Vote
    assert (vote.expense, vote.reads) == (Expense.FREE, Params.reads | NNDegree.reads)
    assert vote.metrics[0].goal is Goal.MAXIMIZE


def test_a_network_of_the_sample_has_its_mean_rank_there():
    # What the vote draws itself, drawn again: ranks by SciPy, equals sharing the middle one.
    sample = Designs(SPACE, SPACE.sample(200, np.random.default_rng([5, 3])), 3)
    votes = Vote(metrics=SIZES, reference=200, seed=5).evaluate(sample)["vote"]
    values = [e.evaluate(sample)[name] for e, name in ((Params(), "params"), (Macs(), "macs"))]
    assert len(np.unique(values[0])) < 200
    expected = np.mean([(rankdata(column) - 0.5) / 200 for column in values], axis=0)
    np.testing.assert_allclose(votes, expected, rtol=1e-12)


def test_more_is_better_and_the_ends_are_0_and_1():
    vote = Vote(metrics=("params",), reference=50)
    three_by_three, none = [3] * 6, [0] * 6
    ends = vote.evaluate(Designs(SPACE, np.array([three_by_three, none])))["vote"]
    assert 0 <= ends[1] < 0.3 < 0.9 < ends[0] <= 1
    designs = drawn(40)
    order = np.argsort(Params().evaluate(designs)["params"], kind="stable")
    assert (np.diff(vote.evaluate(designs)["vote"][order]) >= 0).all()


def test_other_designs_in_the_batch_and_pinned_genes_change_nothing():
    vote, designs = Vote(metrics=SIZES, reference=30), drawn(9)
    together = vote.evaluate(designs)["vote"]
    alone = [vote.evaluate(designs[i : i + 1])["vote"][0] for i in range(len(designs))]
    assert together.tolist() == alone
    pinned = SPACE.restrict({"net.e01": ["nor_conv_1x1", "none"], "net.e23": "nor_conv_3x3"})
    some = drawn(9, pinned)
    rows, exact = pinned.translate(some.genomes, SPACE)
    assert exact.all()
    again = Vote(metrics=SIZES, reference=30).evaluate(some)["vote"]
    assert again.tolist() == vote.evaluate(Designs(SPACE, rows))["vote"].tolist()
    copied = cloudpickle.loads(cloudpickle.dumps(vote)).evaluate(designs)["vote"]
    assert copied.tolist() == alone


def test_seeds_draw_another_sample():
    designs = drawn(20)
    votes = Vote(metrics=SIZES, reference=30).evaluate(designs)["vote"]
    other = Vote(metrics=SIZES, reference=30, seed=1)
    assert votes.tolist() != other.evaluate(designs)["vote"].tolist()
    study = Vote(metrics=SIZES, reference=30).evaluate(drawn(20, study=1))["vote"]
    assert votes.tolist() != study.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reference": 1}, "at least 2"),
        ({"metrics": ("params", "systolic")}, "'systolic' cannot vote"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ProblemError, match=words):
        Vote(**{"metrics": SIZES, **options})


@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance(check):
    check(EvaluatorSubject(Vote(metrics=("params", "nn_degree"), reference=20), JOINT))


def test_metrics_of_a_minibatch_vote_with_the_others():
    pytest.importorskip("torch")
    from evaluators.zero_cost import ZeroCost

    family = NASBench201(image=8, channels=1, cells_per_stage=1, stem_channels=4)
    designs = drawn(2, family.space(), seed=2)
    vote = Vote(metrics=("naswot", "params", "synflow"), reference=3, batch=4)
    assert vote.expense is Expense.COSTLY
    sample = Designs(designs.space, designs.space.sample(3, np.random.default_rng([0, 0])))
    ranks = []
    for evaluator, name in (
        (Params(), "params"),
        (ZeroCost(metric=("naswot", "synflow"), batch=4), "naswot"),
        (ZeroCost(metric=("naswot", "synflow"), batch=4), "synflow"),
    ):
        measured, own = evaluator.evaluate(sample), evaluator.evaluate(designs)[name]
        known = np.where(measured.feasible, measured[name], -np.inf)
        below, equal = known < own[:, None], known == own[:, None]
        ranks.append((below + equal / 2).mean(axis=1))
    np.testing.assert_allclose(vote.evaluate(designs)["vote"], np.mean(ranks, axis=0))
    free = Vote(metrics=("synflow",), expense="free", batch=4)
    assert free.expense is Expense.FREE
    with pytest.raises(ProblemError, match="synflow"):
        Vote(metrics=("synflo",))
    with pytest.raises(ProblemError, match="nothing"):
        Vote(metrics=())


def test_a_network_without_a_metric_is_infeasible():
    pytest.importorskip("torch")
    family = NASBench201(image=8, channels=1, cells_per_stage=1, stem_channels=4)
    broken = Designs(family.space(), np.zeros((1, 6), dtype=np.int64))
    answer = Vote(metrics=("jacob_cov",), reference=2, batch=4).evaluate(broken)
    assert answer.reason.tolist() == [Reason.INFEASIBLE]
    assert "jacob_cov" in answer.notes[0]
