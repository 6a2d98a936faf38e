"""The evaluator of training-free metrics: options, seeds, both kinds of networks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.stats import spearmanr  # noqa: E402

from evaluators.zero_cost import ZeroCost  # noqa: E402
from evaluators.zero_cost_metrics import PROXIES  # noqa: E402
from hwnas import BitsPerCell, Designs, SkipNet, SystolicArray, plugins  # noqa: E402
from hwnas.design import FixedNetwork, NASBench201  # noqa: E402
from hwnas.errors import DesignError, ProblemError  # noqa: E402
from hwnas.evaluation import Expense, Infeasible, Parallel  # noqa: E402
from hwnas.metrics import Goal, Reason  # noqa: E402
from hwnas.testing import EvaluatorSubject, evaluator_checks  # noqa: E402

TINY = NASBench201(image=8, channels=1, cells_per_stage=1, stem_channels=4)
SPACE = TINY.space() + SystolicArray(rows=(4, 8), columns=(4,)).space()
SKIPNET = SkipNet(cells=(1,), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 4))
ALL = tuple(PROXIES)


def drawn(n, space=SPACE, seed=0, study=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)), study)


def cell(*codes, family=TINY):
    return Designs(family.space(), np.array([codes]))[0]


SUBJECT = EvaluatorSubject(ZeroCost(metric=ALL, batch=4), SPACE, 3)


@pytest.mark.parametrize("check", evaluator_checks(), ids=str)
def test_conformance_on_nas_bench_201(check):
    check(SUBJECT)


def test_it_is_a_plug_in():
    assert plugins.load("hwnas.evaluators", "zero_cost") is ZeroCost


def test_several_metrics_are_each_as_if_asked_alone():
    designs = drawn(3)
    together = ZeroCost(metric=ALL, batch=4).evaluate(designs)
    assert all(metric.goal is Goal.MAXIMIZE for metric in together.metrics)
    both = ZeroCost(metric=("naswot", "snip"), batch=4).evaluate(designs)
    for name in ("naswot", "snip"):
        alone = ZeroCost(metric=name, batch=4).evaluate(designs)
        assert np.array_equal(alone[name], both[name], equal_nan=True)
        ok = together.feasible
        assert ok.any()
        assert np.array_equal(alone[name][ok], together[name][ok])


def test_the_study_draws_weights_and_images():
    answers = [ZeroCost(metric=ALL, batch=4).evaluate(drawn(3, study=s)) for s in (0, 0, 1)]
    ok = answers[0].feasible & answers[2].feasible
    assert ok.any()
    for name in ALL:
        same, again, other = (answer[name][ok] for answer in answers)
        assert np.array_equal(same, again)
        assert not np.isclose(same, other).any()


def test_processes_answer_alike():
    designs, evaluator = drawn(3), ZeroCost(metric=("synflow", "grad_norm"), batch=4)
    parallel = Parallel(evaluator, 2)
    try:
        for name, column in parallel.evaluate(designs).columns.items():
            assert np.array_equal(column, evaluator.evaluate(designs)[name])
    finally:
        parallel.close()


def test_bits_change_nothing():
    space = SKIPNET.space() + BitsPerCell(cells=1).space()
    genomes = np.repeat(space.sample(1, np.random.default_rng(0)), 2, axis=0)
    column = space.names.index("quant.cell1.weight_bits")
    genomes[:, column] = [0, len(space.genes[column].choices) - 1]
    answer = ZeroCost(metric=("synflow", "grad_norm"), batch=4).evaluate(Designs(space, genomes))
    assert answer["synflow"][0] == answer["synflow"][1] > 0
    assert answer["grad_norm"][0] == answer["grad_norm"][1] > 0


def test_a_data_set_is_shown():
    design = drawn(1, SKIPNET.space())[0]
    shown = [
        ZeroCost(metric="grad_norm", batch=8, data=d).measure(design) for d in ("random", "digits")
    ]
    assert shown[0] != shown[1]


def test_a_network_without_a_path_is_infeasible_or_0():
    broken = cell(0, 0, 0, 0, 0, 0)
    answer = ZeroCost(metric="jacob_cov", batch=4).measure(broken)
    assert isinstance(answer, Infeasible)
    assert answer.reason is Reason.INFEASIBLE
    assert "jacob_cov" in answer.note


def test_synflow_counts_the_paths():
    # One more skip is one more path with the same weights elsewhere, so more flow.
    flows = [
        ZeroCost(batch=2).measure(cell(*codes))["synflow"]
        for codes in ((1, 0, 0, 0, 1, 0), (1, 0, 0, 1, 1, 0), (1, 1, 1, 1, 1, 1))
    ]
    assert flows == sorted(flows)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "synflo"}, "synflow"),
        ({"metric": ()}, "nothing"),
        ({"metric": ("snip", "snip")}, "twice"),
        ({"batch": 1}, "at least 2"),
        ({"data": "digit"}, "digits"),
        ({"expense": "cheap"}, "costly"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ProblemError, match=words):
        ZeroCost(**options)


def test_what_does_not_fit_is_named():
    with pytest.raises(ProblemError, match="do not fit the data set"):
        ZeroCost(data="digits").evaluate(drawn(1, NASBench201().space()))
    with pytest.raises(ProblemError, match="too few images"):
        ZeroCost(data="digits", batch=2000).evaluate(drawn(1, SKIPNET.space()))
    with pytest.raises(DesignError):
        ZeroCost().evaluate(drawn(1, FixedNetwork().space()))


def test_expense_is_an_option():
    assert ZeroCost().expense is Expense.COSTLY
    assert ZeroCost(expense="free").expense is Expense.FREE


def test_it_ranks_as_the_published_accuracies_do(shared):
    import pandas as pd

    family = NASBench201()
    table = pd.read_parquet(shared / "data" / "nb201.parquet").sample(24, random_state=3)
    genes = [f"op_e{name.removeprefix('net.e')}" for name in family.space().names]
    designs = Designs(family.space(), table[genes].to_numpy(np.int64))
    flow = ZeroCost(metric="synflow").evaluate(designs)["synflow"]
    assert spearmanr(flow, table["acc200_c10_test"]).statistic > 0.4
