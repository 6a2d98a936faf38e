"""The record of a report against brute force."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas import Study
from hwnas.history import History
from hwnas.report import Record, record
from hwnas.report.points import points, thin
from hwnas.report.trace import checkpoints, trace
from tests.report.toy import recorded, run


def rows_of(study: Study) -> list[tuple[float, ...] | None]:
    """Per row its losses if it meets all constraints, worked out one by one."""
    measured = study.history.rows.measurements
    limits = {"area": 0.5e-6, "error": 0.5}
    values = study.problem.values(measured)
    found: list[tuple[float, ...] | None] = []
    for i in range(len(measured)):
        met = all(measured[name][i] <= bound for name, bound in limits.items())
        usable = bool(measured.feasible[i]) and met and bool(np.isfinite(values[i]).all())
        losses = tuple(float(v * s) for v, s in zip(values[i], study.problem.signs, strict=True))
        found.append(losses if usable else None)
    return found


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def test_designs_are_the_rows_that_nothing_dominates(each: Study) -> None:
    rows = rows_of(each)
    seen: set[bytes] = set()
    wanted = []
    canonical = each.problem.space.canonical(each.history.rows.genomes)
    for i, losses in enumerate(rows):
        key = canonical[i].tobytes()
        if losses is None or key in seen:
            continue
        seen.add(key)
        if not any(other is not None and dominates(other, losses) for other in rows):
            wanted.append(i)
    found = recorded(each)
    assert sorted(design.number for design in found.designs) == wanted
    assert list(found.points.front.numbers) == [design.number for design in found.designs]
    for design, value in zip(found.designs, found.points.front.values, strict=True):
        assert tuple(design.objectives.values()) == value
    for quantity, number in zip(found.objectives, found.best, strict=True):
        j = list(found.objectives).index(quantity)
        best = min(losses[j] for losses in rows if losses is not None)
        assert rows[number] is not None
        assert rows[number][j] == best  # type: ignore[index]


def test_trace_is_the_history_replayed(each: Study) -> None:
    found = trace(each)
    rows = rows_of(each)
    assert found.designs[-1] == len(rows)
    assert found.evaluations[-1] == each.history.evaluations
    assert all(a <= b for a, b in itertools.pairwise(found.hypervolume))
    assert all(a < b for a, b in itertools.pairwise(found.designs))
    fronts = each.history.front_after(np.array(found.designs))
    assert each.yardstick is not None
    for k, count in enumerate(found.designs):
        known = [losses for losses in rows[:count] if losses is not None]
        for j, sign in enumerate(each.problem.signs):
            best = min((losses[j] for losses in known), default=None)
            assert found.best[k][j] == (None if best is None else best * sign)
        assert found.hypervolume[k] == pytest.approx(each.yardstick.hypervolume(fronts[k]))
    everything = np.array([losses for losses in rows if losses is not None])
    assert found.hypervolume[-1] == pytest.approx(each.yardstick.hypervolume(everything))
    assert found.hypervolume[-1] > 0


def test_evaluations_are_counted_as_the_budget_counts_them(three: Study) -> None:
    block = three.history.rows
    space = three.problem.space
    columns = [j for j, g in enumerate(space.genes) if g.part in ("net", "quant")]
    canonical = space.canonical(block.genomes)
    paid: set[tuple[int, ...]] = set()
    counts = []
    for i in range(len(block)):
        if block.measurements["area"][i] <= 0.5e-6:
            paid.add(tuple(canonical[i, columns]))
        counts.append(len(paid))
    found = trace(three)
    assert list(found.evaluations) == [counts[k - 1] for k in found.designs]
    assert len(block) > three.history.evaluations


def test_hypervolume_of_two_objectives_is_the_area_below_the_steps() -> None:
    study = run(2, seed=5)
    box = study.yardstick
    assert box is not None
    found = trace(study)
    scaled = []
    for losses in rows_of(study):
        if losses is not None:
            at = [
                (v - b) / (w - b) for v, b, w in zip(losses, box.ideal, box.reference, strict=True)
            ]
            assert not any(box.logarithmic)
            scaled.append(at)
    area, height = 0.0, 1.0
    for x, y in sorted(scaled):
        if x < 1 and y < height:
            area += (1 - x) * (height - y)
            height = y
    assert found.hypervolume[-1] == pytest.approx(area)


@given(st.integers(0, 100_000), st.integers(1, 8))
def test_checkpoints_ascend_to_the_last_row(rows: int, objectives: int) -> None:
    counts = checkpoints(rows, objectives)
    assert len(counts) <= 200
    assert (np.diff(counts) > 0).all()
    if rows:
        assert counts[0] == 1
        assert counts[-1] == rows
    if rows <= 12:
        assert len(counts) == rows


@pytest.mark.parametrize("most", [0, 10, 40])
def test_thinning_keeps_the_front(three: Study, most: int) -> None:
    whole, some = points(three), points(three, most)
    assert whole.thinned == 0
    assert some.front == whole.front
    kept = set(some.feasible.numbers) | set(some.infeasible.numbers)
    assert kept <= set(whole.feasible.numbers) | set(whole.infeasible.numbers)
    assert len(kept) == max(0, most - len(whole.front))
    others = len(whole.feasible) + len(whole.infeasible)
    assert some.thinned == others - len(kept)
    assert len(whole.front) + others + whole.without_values == len(three.history)
    rows = rows_of(three)
    assert all(rows[number] is not None for number in whole.feasible.numbers)
    assert all(rows[number] is None for number in whole.infeasible.numbers)
    assert whole.infeasible.numbers


@given(st.lists(st.integers(0, 10**6), unique=True), st.integers(-3, 60), st.integers(0, 2**64))
def test_thin_is_a_fixed_part(rows: list[int], most: int, seed: int) -> None:
    given_rows = np.sort(np.array(rows, dtype=np.int64))
    kept = thin(given_rows, most, seed)
    assert len(kept) == min(len(rows), max(most, 0))
    assert np.isin(kept, given_rows).all()
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(kept, thin(given_rows, most, seed))


def test_outcomes_add_up(each: Study) -> None:
    facts = recorded(each).facts
    assert sum(outcome.designs for outcome in facts.outcomes) == facts.designs == len(each.history)
    texts = {outcome.text: outcome for outcome in facts.outcomes}
    assert texts["violates a constraint"].designs > 0
    measured = each.history.rows.measurements
    broken = (measured["area"] > 0.5e-6).sum()
    assert texts["ruled out by free metrics, nothing costly measured"].designs == broken
    assert "area <= 0.5 mm2" in texts["ruled out by free metrics, nothing costly measured"].example
    assert facts.failures == texts["evaluator answered NaN or infinity"].designs > 0
    feasible = sum(losses is not None for losses in rows_of(each))
    assert facts.infeasible == facts.designs - feasible - facts.failures
    area = next(limit for limit in facts.limits if limit.text.startswith("area"))
    assert (area.violated, area.known) == (broken, len(measured))
    error = next(limit for limit in facts.limits if limit.text.startswith("error"))
    known = np.isfinite(measured["error"])
    assert error.violated == (measured["error"][known] > 0.5).sum()
    assert error.known == known.sum()


def test_the_same_study_gives_the_same_record(each: Study) -> None:
    assert record(each) == recorded(each)


def without_time(found: Record) -> Record:
    return dataclasses.replace(found, facts=dataclasses.replace(found.facts, seconds=0.0))


def test_a_record_depends_on_nothing_but_the_study() -> None:
    first, again, other = (run(1, 40, seed=s) for s in (1, 1, 2))
    assert without_time(record(first)) == without_time(record(again))
    assert without_time(record(first)) != without_time(record(other))


def test_parallel_lines_are_the_designs(three: Study) -> None:
    found = recorded(three)
    drawn = found.parallel
    assert drawn is not None
    assert len(drawn.genes) == 8
    assert drawn.genes_left_out == len(three.problem.space) - 8
    by_number = {design.number: design for design in found.designs}
    genes = {gene.name: gene for gene in three.problem.space.genes}
    for line, number in zip(drawn.front, sorted(by_number), strict=True):
        design = by_number[number]
        for place, axis in zip(line, drawn.genes, strict=False):
            value = design.genes.get(axis.name)
            assert place == (-1 if value is None else genes[axis.name].choices.index(value))
        assert line[len(drawn.genes) :] == tuple(design.objectives.values())
    assert {"net.width", "hw.clock"} <= {axis.name for axis in drawn.genes}


def test_no_front_says_why(hopeless: Study) -> None:
    found = recorded(hopeless)
    assert found.designs == ()
    assert found.parallel is None
    assert "error <= 0.01 violated by" in found.why_empty
    assert set(found.trace.hypervolume) == {0.0}
    assert {value for best in found.trace.best for value in best} == {None}
    assert len(found.points.infeasible) > 0


def test_a_study_that_did_not_begin(unbegun: Study) -> None:
    found = recorded(unbegun)
    assert found.trace.evaluations == ()
    assert "nothing was measured" in found.why_empty
    assert [i.note[:15] for i in found.importances] == ["too few designs"] * 2
    assert found.facts.outcomes == ()


def test_replaying_leaves_the_study_alone(three: Study) -> None:
    history: History = three.history
    before = (len(history), history.evaluations, history.front.tolist())
    record(three)
    assert (len(history), history.evaluations, history.front.tolist()) == before


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    code = (
        "import sys, hwnas.report;"
        "print([m for m in ('plotly', 'pandas', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
