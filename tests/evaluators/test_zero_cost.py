"""The evaluator of training-free metrics: options, seeds, both kinds of networks."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.stats import spearmanr  # noqa: E402

from evaluators.zero_cost import ZeroCost  # noqa: E402
from evaluators.zero_cost.metrics import PROXIES  # noqa: E402
from hwnas import BitsPerCell, Designs, SkipNet, SystolicArray, plugins  # noqa: E402
from hwnas.design import FixedNetwork, NASBench201  # noqa: E402
from hwnas.errors import DesignError, ProblemError  # noqa: E402
from hwnas.evaluation import Expense, Infeasible  # noqa: E402
from hwnas.metrics import Goal, Reason  # noqa: E402

TINY = NASBench201(image=8, channels=1, cells_per_stage=1, stem_channels=4)
SPACE = TINY.space() + SystolicArray(rows=(4, 8), columns=(4,)).space()
SKIPNET = SkipNet(cells=(1,), layers_per_cell=(2, 3), widths=(1, 2), skip_channels=(0, 4))
ALL = tuple(PROXIES)


def drawn(n, space=SPACE, seed=0, study=0):
    return Designs(space, space.sample(n, np.random.default_rng(seed)), study)


def cell(*codes, family=TINY):
    return Designs(family.space(), np.array([codes]))[0]


def test_it_is_a_plug_in():
    assert plugins.load("hwnas.evaluators", "zero_cost") is ZeroCost


def test_several_metrics_are_each_as_if_asked_alone():
    designs = drawn(2)
    together = ZeroCost(metric=ALL, batch=4).evaluate(designs)
    assert all(metric.goal is Goal.MAXIMIZE for metric in together.metrics)
    both = ZeroCost(metric=("naswot", "snip"), batch=4).evaluate(designs)
    for name in ALL:
        alone = ZeroCost(metric=name, batch=4).evaluate(designs)
        if name in ("naswot", "snip"):
            assert np.array_equal(alone[name], both[name], equal_nan=True)
        ok = together.feasible
        assert ok.any()
        assert np.array_equal(alone[name][ok], together[name][ok])


def test_the_study_draws_weights_and_images():
    answers = [ZeroCost(metric=ALL, batch=4).evaluate(drawn(2, study=s)) for s in (0, 0, 1)]
    ok = answers[0].feasible & answers[2].feasible
    assert ok.any()
    for name in ALL:
        same, again, other = (answer[name][ok] for answer in answers)
        assert np.array_equal(same, again)
        assert not np.isclose(same, other).any()


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
        ({"batch": 3, "metric": ("snip", "zico")}, "zico halves"),
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
        ZeroCost().evaluate(drawn(1, FixedNetwork("bert_small").space()))


def test_expense_is_an_option():
    assert ZeroCost().expense is Expense.COSTLY
    assert ZeroCost(expense="free").expense is Expense.FREE


# Operators of the edges and the published value of synflow on CIFAR-10 (its natural logarithm) of
# networks 2486, 7858, 10665, 3241, 884, 13188, 9597 and 15190: NAS-Bench-Suite-Zero (Krishnakumar
# et al., NeurIPS 2022). First weights there are those of other draws.
PUBLISHED = [
    ((4, 4, 1, 0, 4, 0), 14.76),
    ((1, 2, 1, 2, 4, 0), 36.12),
    ((0, 3, 4, 1, 3, 4), 49.07),
    ((4, 4, 4, 3, 2, 4), 54.36),
    ((0, 2, 4, 1, 2, 3), 64.21),
    ((4, 2, 1, 3, 2, 3), 72.49),
    ((1, 0, 3, 3, 3, 3), 82.74),
    ((3, 1, 3, 2, 3, 2), 100.51),
]


def test_synflow_orders_networks_as_published():
    genomes = np.array([codes for codes, _ in PUBLISHED])
    answer = ZeroCost().evaluate(Designs(NASBench201().space(), genomes))
    assert spearmanr(answer["synflow"], [value for _, value in PUBLISHED]).statistic > 0.95
