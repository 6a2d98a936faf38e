"""The conformance suite of evaluators.

Under pytest:

    @pytest.mark.parametrize("check", evaluator_checks(), ids=str)
    def test_conformance(check):
        check(EvaluatorSubject(MyEvaluator(), space))
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import cloudpickle
import numpy as np

from hwnas import units
from hwnas.arrays import Ints
from hwnas.design.designs import Designs
from hwnas.design.parts import AcceleratorTemplate, NetworkFamily
from hwnas.evaluation.interface import Evaluator, Expense
from hwnas.metrics import Goal, Measurements, Reason
from hwnas.space import Space, differing
from hwnas.testing.check import Check, nothing_to_check, require
from hwnas.testing.elsewhere import elsewhere, global_random_state_untouched
from hwnas.testing.explaining import check_explanation
from hwnas.testing.structure import check_grid, check_keys, grids, how_many, twins

_MANY = 64
_SELDOM = frozenset({"train"})
"""What is read wherever layers are, though few spaces have it."""


@dataclass(frozen=True)
class EvaluatorSubject:
    """An evaluator, and what it is asked about.

    Attributes:
        evaluator: The evaluator.
        space: A space whose designs it measures, with parts that it does not read, if there are
            any: only then can `reads` be checked.
        rows: How many designs are measured at once; 2 or 3 for slow evaluators, whose suite
            measures about ten times as many.
        seed: The study's seed, and that of the designs drawn.
        tolerance: How far answers that must be equal may differ, relative to their size.
    """

    evaluator: Evaluator
    space: Space
    rows: int = 7
    seed: int = 1
    tolerance: float = 1e-9

    def draw(self, n: int) -> Designs:
        """Up to ``n`` different designs, the same at every call."""
        drawn = self.space.sample(8 * n, np.random.default_rng(self.seed))
        return Designs(self.space, drawn[differing(drawn)[:n]], self.seed)

    @cached_property
    def designs(self) -> Designs:
        """The batch that most checks measure."""
        return self.draw(self.rows)

    @cached_property
    def answer(self) -> Measurements:
        """What the evaluator answers for `designs`."""
        return self.evaluator.evaluate(self.designs)

    @property
    def many(self) -> Designs:
        """A larger batch where evaluations are free."""
        return self.draw(_MANY) if self.evaluator.expense is Expense.FREE else self.designs


def checks() -> tuple[Check[EvaluatorSubject], ...]:
    """The suite: one check per rule of the contract."""
    return tuple(
        Check[EvaluatorSubject].of(function)
        for function in (
            declares_metrics,
            declares_what_it_is,
            declares_fidelities,
            declares_parts_of_the_space,
            answers_every_row,
            answers_at_every_fidelity,
            measures_something,
            answers_are_finite_or_have_a_reason,
            answers_lie_within_declared_bounds,
            batch_equals_one_by_one,
            order_does_not_matter,
            stream_answers_every_row_once,
            repeats_itself,
            repeats_itself_elsewhere,
            reads_enough,
            needs_only_what_it_reads,
            fingerprints_are_keys,
            fingerprints_tell_apart_what_differs,
            grids_are_what_their_cells_measure,
            explains_what_it_measures,
            leaves_designs_alone,
            leaves_global_random_state_alone,
        )
    )


def declares_metrics(subject: EvaluatorSubject) -> None:
    """It answers at least one metric; names differ, units are known, bounds fit the goal."""
    metrics = subject.evaluator.metrics
    require(isinstance(metrics, tuple) and metrics, f"metrics is {metrics!r}, not a filled tuple")
    names = [metric.name for metric in metrics]
    require(len(set(names)) == len(names), f"a metric is declared twice: {names}")
    for metric in metrics:
        units.scale(metric.unit)
        if metric.worst is not None and metric.best is not None:
            sign = 1.0 if metric.goal is Goal.MINIMIZE else -1.0
            require(
                sign * metric.best < sign * metric.worst,
                f"{metric.name}: best {metric.best} is no better than worst {metric.worst} "
                f"({metric.goal.value})",
            )


def declares_what_it_is(subject: EvaluatorSubject) -> None:
    """Version and name are filled texts, expense is FREE or COSTLY, deterministic true or false."""
    evaluator = subject.evaluator
    for attribute in ("version", "name"):
        value = getattr(evaluator, attribute)
        require(isinstance(value, str) and value.strip(), f"{attribute} is {value!r}, not a text")
    require(isinstance(evaluator.expense, Expense), f"expense is {evaluator.expense!r}")
    require(isinstance(evaluator.deterministic, bool), f"it says {evaluator.deterministic!r}")


def declares_fidelities(subject: EvaluatorSubject) -> None:
    """Fidelities ascend, lie between 0 and 1, and end with 1.0."""
    fidelities = subject.evaluator.fidelities
    require(
        isinstance(fidelities, tuple)
        and fidelities
        and fidelities[-1] == 1.0
        and fidelities[0] > 0
        and all(a < b for a, b in pairwise(fidelities)),
        f"fidelities is {fidelities!r}",
    )


def declares_parts_of_the_space(subject: EvaluatorSubject) -> None:
    """It reads parts that the space has."""
    reads = subject.evaluator.reads
    require(isinstance(reads, frozenset), f"reads is a {type(reads).__name__}, not a frozenset")
    strange = reads - set(subject.space.part_names) - _SELDOM
    require(
        not strange,
        f"it reads {sorted(strange)}, the space has {subject.space.part_names}: "
        "check it with a space that has them, or mend reads",
    )


def _read(subject: EvaluatorSubject) -> tuple[str, ...]:
    """The parts of the space that the evaluator says it reads."""
    return subject.space.read_by(subject.evaluator.reads)


def answers_every_row(subject: EvaluatorSubject) -> None:
    """As many rows come out as designs go in, also none or one; its metrics are the columns."""
    whole = subject.designs
    for designs in (whole[:0], whole[:1]):
        _check_rows(subject.evaluator, len(designs), subject.evaluator.evaluate(designs))
    _check_rows(subject.evaluator, len(whole), subject.answer)


def answers_at_every_fidelity(subject: EvaluatorSubject) -> None:
    """It answers at every fidelity that it declares."""
    designs = subject.designs[:1]
    fidelities = subject.evaluator.fidelities[:-1]
    if not fidelities:
        nothing_to_check("it has the one fidelity 1.0")
    for fidelity in fidelities:
        answer = subject.evaluator.evaluate(designs, fidelity)
        _check_rows(subject.evaluator, len(designs), answer)
        require(not answer.failed.any(), f"at fidelity {fidelity} it fails: {answer.notes}")


def _check_rows(evaluator: Evaluator, n: int, answer: Measurements) -> None:
    require(isinstance(answer, Measurements), f"the answer is a {type(answer).__name__}")
    require(len(answer) == n, f"{n} designs in, {len(answer)} rows out")
    require(
        answer.metrics == evaluator.metrics,
        f"it declares {[m.name for m in evaluator.metrics]}, "
        f"and answers {[m.name for m in answer.metrics]} (or with other units or goals)",
    )
    for name, column in answer.columns.items():
        require(
            column.shape == (n,) and column.dtype == np.float64,
            f"column {name!r} is {column.dtype} {column.shape}, not float64 ({n},)",
        )


def measures_something(subject: EvaluatorSubject) -> None:
    """It does not fail on a design of the sample, and finds at least one feasible."""
    answer = subject.answer
    for row in np.flatnonzero(answer.failed)[:1]:
        raise AssertionError(
            f"{answer.failed.sum()} of {len(answer)} designs failed, the first with "
            f"{Reason(int(answer.reason[row])).name}: {answer.notes[row]}"
        )
    require(
        answer.feasible.any(),
        f"none of {len(answer)} designs is feasible, so the suite can say little: "
        "check it with a space that has more feasible designs",
    )


def answers_are_finite_or_have_a_reason(subject: EvaluatorSubject) -> None:
    """Feasible rows are finite, and rows that are not feasible say why."""
    answer = subject.answer
    for name, column in answer.columns.items():
        bad = np.flatnonzero(answer.feasible & ~np.isfinite(column))
        require(not bad.size, f"metric {name!r} is not finite in feasible rows {bad}")
    known = {int(reason) for reason in Reason}
    require(set(answer.reason.tolist()) <= known, f"unknown reasons in {answer.reason}")
    require(
        np.array_equal(answer.feasible, answer.reason == Reason.NONE),
        "rows that are not feasible need a reason, feasible ones must not have one",
    )


def answers_lie_within_declared_bounds(subject: EvaluatorSubject) -> None:
    """No value is worse than the metric's worst or better than its best."""
    bounded = [m for m in subject.evaluator.metrics if (m.worst, m.best) != (None, None)]
    if not bounded:
        nothing_to_check("no metric declares its worst or its best value")
    for metric in bounded:
        sign = 1.0 if metric.goal is Goal.MINIMIZE else -1.0
        losses = sign * subject.answer[metric.name][subject.answer.feasible]
        low = -np.inf if metric.best is None else sign * metric.best
        high = np.inf if metric.worst is None else sign * metric.worst
        outside = losses[(losses < low) | (losses > high)]
        require(
            not outside.size,
            f"{metric.name} declares best {metric.best} and worst {metric.worst}, "
            f"and answers {sign * outside}",
        )


def batch_equals_one_by_one(subject: EvaluatorSubject) -> None:
    """A design measures the same alone as in a batch."""
    _only_deterministic(subject)
    designs = subject.designs
    alone = [subject.evaluator.evaluate(designs[i : i + 1]) for i in range(len(designs))]
    _check_equal(subject, subject.answer, Measurements.stack(alone), "in a batch", "alone")


def order_does_not_matter(subject: EvaluatorSubject) -> None:
    """Permuted designs give permuted rows."""
    _only_deterministic(subject)
    order = np.random.default_rng(subject.seed).permutation(len(subject.designs))[::-1]
    permuted = subject.evaluator.evaluate(subject.designs[order])
    _check_equal(subject, subject.answer.take(order), permuted, "in order", "permuted")


def stream_answers_every_row_once(subject: EvaluatorSubject) -> None:
    """The stream hands out each row once, and what it hands out is what evaluate answers."""
    designs = subject.designs
    rows: list[Ints] = []
    parts: list[Measurements] = []
    for chunk, measured in subject.evaluator.stream(designs):
        _check_rows(subject.evaluator, len(chunk), measured)
        rows.append(np.asarray(chunk))
        parts.append(measured)
    index = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    require(
        np.array_equal(np.sort(index), np.arange(len(designs))),
        f"of {len(designs)} rows it handed out {index.tolist()}",
    )
    surplus = sum(len(chunk) for chunk, _ in subject.evaluator.stream(designs[:0]))
    require(not surplus, f"of an empty batch it handed out {surplus} rows")
    if subject.evaluator.deterministic:
        streamed = Measurements.stack(parts).take(np.argsort(index))
        _check_equal(subject, subject.answer, streamed, "from evaluate", "from stream")


def repeats_itself(subject: EvaluatorSubject) -> None:
    """The same designs and study seed give the same answer again, also once it got ready."""
    _only_deterministic(subject)
    subject.evaluator.get_ready(subject.designs.space)
    again = subject.evaluator.evaluate(subject.designs)
    _check_equal(subject, subject.answer, again, "at first", "the second time")


def repeats_itself_elsewhere(subject: EvaluatorSubject) -> None:
    """A copy of it in another process, under another hash seed, gives the same answer."""
    evaluator, designs = subject.evaluator, subject.designs
    cloudpickle.loads(cloudpickle.dumps(evaluator))
    answer = elsewhere(_evaluate, evaluator, designs)
    _check_rows(evaluator, len(designs), answer)
    if evaluator.deterministic:
        _check_equal(subject, subject.answer, answer, "here", "in another process")


def _evaluate(evaluator: Evaluator, designs: Designs) -> Measurements:
    return evaluator.evaluate(designs)


def reads_enough(subject: EvaluatorSubject) -> None:
    """Genes of parts that it does not read change nothing, not even its random stream."""
    _only_deterministic(subject)
    evaluator, space = subject.evaluator, subject.space
    others = [part for part in space.part_names if part not in evaluator.reads]
    if not evaluator.reads or not others:
        nothing_to_check("it reads every part of this space")
    designs = subject.many
    own, free = space.columns_of(*_read(subject)), space.columns_of(*others)
    rng = np.random.default_rng(subject.seed)
    jump = rng.integers(1, np.maximum(space.cardinalities, 2), size=designs.genomes.shape)
    moved = np.array(designs.genomes)
    moved[:, free] = ((moved + jump) % space.cardinalities)[:, free]
    moved = space.canonical(moved)
    # A foreign gene may send own genes to sleep, which is a change of what is read.
    alike = (moved[:, own] == designs.genomes[:, own]).all(axis=1)
    alike &= (space.active(moved)[:, own] == designs.active[:, own]).all(axis=1)
    kept = np.flatnonzero(alike & (moved != designs.genomes).any(axis=1))
    if not kept.size:
        nothing_to_check(f"the parts {others} have no gene that can change by itself")
    before = evaluator.evaluate(designs[kept])
    after = evaluator.evaluate(Designs(space, moved[kept], subject.seed))
    label = f"with other genes of {' and '.join(others)}, which reads leaves out"
    _check_equal(subject, before, after, "at first", label)


def needs_only_what_it_reads(subject: EvaluatorSubject) -> None:
    """Designs of the parts that it reads, without the others, give the same answer."""
    _only_deterministic(subject)
    reads, space = _read(subject), subject.space
    if not reads or set(reads) == set(space.part_names):
        nothing_to_check("it reads every part of this space")
    if space.part(*reads).open_conditions:
        nothing_to_check("genes that it reads depend on genes that it does not read")
    projected, inverse = subject.designs.part(*reads)
    answer = subject.evaluator.evaluate(projected).take(inverse)
    _check_equal(subject, subject.answer, answer, "on whole designs", f"on {sorted(reads)} alone")


def fingerprints_are_keys(subject: EvaluatorSubject) -> None:
    """Fingerprints are one key per design of any part, equal for equal designs, in any batch."""
    check_keys(subject.evaluator, subject.space, subject.seed)


def fingerprints_tell_apart_what_differs(subject: EvaluatorSubject) -> None:
    """Designs of one part with equal fingerprints measure alike, whatever other parts are added."""
    _only_deterministic(subject)
    evaluator, space = subject.evaluator, subject.space
    found = list(twins(evaluator, space, subject.seed, how_many(evaluator, subject.rows)))
    if not found:
        nothing_to_check("it can tell all designs of this space apart")
    for part, pairs in found:
        first, second = (evaluator.evaluate(Designs(space, side, subject.seed)) for side in pairs)
        label = f"with another {part!r} part of the same fingerprint"
        _check_equal(subject, first, second, "at first", label)


def grids_are_what_their_cells_measure(subject: EvaluatorSubject) -> None:
    """Where it has a way of its own to measure grids of designs, their cells measure the same."""
    _only_deterministic(subject)
    evaluator, space = subject.evaluator, subject.space
    found = list(grids(evaluator, space, subject.seed))
    if not found:
        nothing_to_check("it measures designs one by one")
    for label, outer, inner in found:
        try:
            check_grid(evaluator, space, outer, inner, subject.tolerance)
        except AssertionError as error:
            raise AssertionError(f"{label}: {error}") from error


def explains_what_it_measures(subject: EvaluatorSubject) -> None:
    """What it says of a design fits what it measures: sums, layers, bounds."""
    answer = subject.answer
    found = 0
    for i in np.flatnonzero(answer.feasible):
        design = subject.designs[int(i)]
        said = subject.evaluator.explain(design)
        if said is not None:
            found += 1
            check_explanation(said, design, answer.take(np.array([i])), subject.tolerance)
    if not found:
        nothing_to_check("it does not say where its metrics come from")


def leaves_designs_alone(subject: EvaluatorSubject) -> None:
    """It does not write into the designs that it is given, nor into their columns."""
    designs = subject.draw(subject.rows)
    before = _contents(designs)
    subject.evaluator.evaluate(designs)
    for name, column in _contents(designs).items():
        require(np.array_equal(column, before[name]), f"it changed {name} of the designs")


def _contents(designs: Designs) -> dict[str, Any]:
    contents: dict[str, Any] = {"genomes": np.array(designs.genomes)}
    contents |= {name: np.array(column) for name, column in designs.columns.items()}
    if isinstance(designs.space.parts.get("net"), NetworkFamily):
        table = vars(designs.layers)
        contents |= {f"layers.{name}": np.array(column) for name, column in table.items()}
    if isinstance(designs.space.parts.get("hw"), AcceleratorTemplate):
        accelerators = designs.accelerators
        contents |= {f"accelerators[{k!r}]": np.array(v) for k, v in accelerators.items()}
    return contents


def leaves_global_random_state_alone(subject: EvaluatorSubject) -> None:
    """It draws from streams of its own, and leaves the global random states as they were."""
    designs = subject.designs[:1]
    subject.evaluator.evaluate(designs)  # what it imports may draw
    with global_random_state_untouched():
        subject.evaluator.evaluate(designs)


def _only_deterministic(subject: EvaluatorSubject) -> None:
    if not subject.evaluator.deterministic:
        nothing_to_check("it says that it is not deterministic")


def _check_equal(
    subject: EvaluatorSubject, a: Measurements, b: Measurements, where_a: str, where_b: str
) -> None:
    require(len(a) == len(b), f"{len(a)} rows {where_a}, {len(b)} rows {where_b}")
    differ = np.flatnonzero(a.reason != b.reason)
    if differ.size:
        first, second = (Reason(int(m.reason[differ[0]])).name for m in (a, b))
        raise AssertionError(f"row {differ[0]} is {first} {where_a}, and {second} {where_b}")
    for metric in subject.evaluator.metrics:
        left, right = a[metric.name], b[metric.name]
        close = np.isclose(left, right, rtol=subject.tolerance, atol=0.0, equal_nan=True)
        for row in np.flatnonzero(~close)[:1]:
            raise AssertionError(
                f"{metric.name} differs in {(~close).sum()} of {len(a)} rows: row {row} is "
                f"{left[row]} {where_a}, and {right[row]} {where_b}"
            )
