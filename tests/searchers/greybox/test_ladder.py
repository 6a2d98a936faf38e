"""Lower fidelities in the grey-box search: learnt from where they rank, dropped where not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from hwnas import Problem, Study
from hwnas.design.designs import Designs
from hwnas.errors import SearcherError
from hwnas.evaluation import Evaluator
from hwnas.metrics import Measurements, Metric
from hwnas.searchers.greybox import GreyBox
from hwnas.searchers.greybox.belief import Belief, Early
from hwnas.searchers.greybox.ladder import JUDGED
from hwnas.testing import toys


class Levels(Evaluator):
    """An error with fidelities that any function of (error, rows) makes of it."""

    metrics = (Metric("error", worst=4.0, best=0.0),)
    reads = frozenset({"net", "quant"})

    def __init__(self, levels):
        self.levels = levels
        self.fidelities = (*levels, 1.0)
        self.spent = dict.fromkeys(self.fidelities, 0)

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        self.spent[fidelity] += len(designs)
        whole = np.array([toys.joint_error(design) for design in designs])
        rows = designs.genomes[:, designs.space.columns_of("net", "quant")]
        values = whole if fidelity == 1.0 else self.levels[fidelity](whole, rows)
        return Measurements.of(self.metrics, {"error": values})


def scrambled(_, rows):
    """Says nothing about the whole value, and the same whenever it is asked."""
    return np.array([np.random.default_rng([*map(int, row), 5]).uniform() for row in rows])


def with_levels(levels):
    whole = toys.joint()
    error = Levels(levels)
    evaluators = [error, toys.joint_hardware, toys.joint_area]
    return Problem(whole.space, evaluators, whole.objectives, whole.constraints), error


def run(p, budget, seed=0, **options):
    study = Study(p, "greybox", budget=budget, seed=seed, options=options)
    for _ in study.run():
        pass
    return study


def test_a_fidelity_that_ranks_is_used_and_its_share_is_kept_to():
    p, error = with_levels({0.1: lambda whole, _: 2 * whole + 0.1})
    study = run(p, 30)
    assert study.history.evaluations <= 30
    # A fifth of five, after four times the first designs.
    assert error.spent[0.1] * 0.1 <= 0.2 * 30 + 4 * study.searcher.initial * 0.1
    assert error.spent[0.1] >= 4 * study.searcher.initial
    (rung,) = study.searcher.ladder.rungs
    assert rung.correlation(study.searcher._ledger) == pytest.approx(1.0)


def test_the_correlation_is_that_of_designs_measured_both_ways():
    p, _ = with_levels({0.1: lambda whole, rows: whole + 0.05 * scrambled(whole, rows)})
    study = run(p, 25)
    block = study.history.rows
    columns = study.searcher.fronts.outer_columns
    seen = {1.0: {}, 0.1: {}}
    for genome, value, at in zip(
        block.genomes, block.measurements["error"], block.measurements.fidelity, strict=True
    ):
        seen[at][tuple(genome[columns])] = value
    both = [k for k in seen[0.1] if k in seen[1.0]]
    assert len(both) >= JUDGED
    expected = kendalltau([seen[0.1][k] for k in both], [seen[1.0][k] for k in both]).statistic
    (rung,) = study.searcher.ladder.rungs
    assert rung.correlation(study.searcher._ledger) == pytest.approx(expected)


def test_one_that_does_not_rank_is_dropped_for_the_next():
    p, _ = with_levels({0.05: lambda whole, rows: -whole, 0.2: lambda whole, _: whole})
    study = run(p, 40)
    low, middle = study.searcher.ladder.rungs
    assert low.correlation(study.searcher._ledger) < 0
    assert study.searcher.ladder.rung(study.searcher._ledger) is middle
    assert middle.correlation(study.searcher._ledger) == pytest.approx(1.0)
    assert len(middle.ledger) >= JUDGED
    # Once it is judged nothing more is spent on it.
    rows = study.history.rows
    judged = np.flatnonzero(rows.measurements.fidelity == 0.2)[0]
    assert not (rows.measurements.fidelity[judged:] == 0.05).any()


def test_where_none_ranks_it_goes_on_without():
    p, _ = with_levels({0.1: lambda whole, rows: -whole})
    study = run(p, 40)
    last = study.history.rows.step.max()
    fidelity = study.history.rows.measurements.fidelity[study.history.rows.step == last]
    assert (fidelity == 1.0).all()
    assert study.searcher.ladder.rung(study.searcher._ledger) is None


def test_dear_fidelities_and_a_share_of_nothing_are_left_alone():
    dear, error = with_levels({0.5: lambda whole, _: whole})
    plain, _ = with_levels({})
    cheap, unused = with_levels({0.1: lambda whole, _: whole})
    runs = [run(dear, 20), run(plain, 20), run(cheap, 20, early=0.0)]
    assert error.spent[0.5] == unused.spent[0.1] == 0
    for study in runs[1:]:
        np.testing.assert_array_equal(study.history.rows.genomes, runs[0].history.rows.genomes)


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(SearcherError, match="early"):
        GreyBox(toys.joint(), early=share)


def test_a_lower_fidelity_helps_from_few_evaluations_on():
    gained = []
    for seed in range(3):
        p, _ = with_levels({0.02: lambda whole, _: whole})
        with_it = run(p, 14, seed)
        without = run(p, 14, seed, early=0.0, initial=4)
        gained.append([with_it.progress.hypervolume, without.progress.hypervolume])
    ours, plain = np.median(gained, axis=0)
    assert ours > plain


def test_a_run_that_was_cut_off_goes_on_alike(tmp_path):
    def study(**storage):
        p, _ = with_levels({0.1: lambda whole, rows: whole + 0.05 * scrambled(whole, rows)})
        return Study(p, "greybox", budget=24, seed=2, **storage)

    whole = study()
    for _ in whole.run():
        pass
    while True:
        part = study(storage=tmp_path / "j")
        for steps, _ in enumerate(part.run()):
            if steps == 3:
                break
        else:
            break
    again = study(storage=tmp_path / "j")
    one, other = again.history.rows, whole.history.rows
    order = [np.lexsort((b.position, b.step)) for b in (one, other)]
    np.testing.assert_array_equal(one.genomes[order[0]], other.genomes[order[1]])


def test_the_trend_takes_what_a_lower_fidelity_explains():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 3))
    early = rng.standard_normal(20)
    y = 5.0 + 3.0 * early
    finite = np.ones(20, dtype=bool)
    known = Early(early[:, None], np.zeros((20, 1)))
    floors = np.array([np.nan])
    belief = Belief(
        X, y[:, None], finite, floors, {}, known, lambda count: known.take(slice(count))
    )
    new = rng.standard_normal((50, 3))
    cheap = rng.standard_normal(50)
    forecast = belief.at(new, Early(cheap[:, None], np.full((50, 1), 0.25)))
    np.testing.assert_allclose(forecast.mean[:, 0], 5.0 + 3.0 * cheap, atol=0.05)
    # What is uncertain about the cheap value is thrice as uncertain here.
    np.testing.assert_allclose(forecast.deviation[:, 0], 3.0 * 0.5, rtol=0.05)
    after = forecast.measured(7)
    assert after.deviation[7, 0] < 0.05
    np.testing.assert_allclose(after.deviation[8:, 0], forecast.deviation[8:, 0], rtol=0.05)
