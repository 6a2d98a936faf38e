"""Wrappers instead of options: each adds one behaviour to any evaluator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce

import numpy as np

from hwnas.arrays import Bools, Floats
from hwnas.design.designs import Design, Designs
from hwnas.errors import ProblemError
from hwnas.evaluation.explanation import Explanation
from hwnas.evaluation.grid import Grid
from hwnas.evaluation.interface import ALL_PARTS, Chunk, Evaluator, Expense, collect
from hwnas.evaluation.pairing import against
from hwnas.evaluation.safety import safe_stream, safely
from hwnas.metrics import Measurements, Metric
from hwnas.space import Space, keys

_Key = tuple[int, float, int, bytes]
"""Which space, fidelity, the study's seed, the projected genome."""


class Wrapper(Evaluator):
    """Declares what another evaluator does; subclasses say what they change.

    It keeps to itself what the other knows about many designs at once (`Evaluator.fingerprints`,
    `Evaluator.against`) and where its metrics come from (`Evaluator.explain`), as that may not hold
    for answers that are changed; see `Transparent`.

    Args:
        inner: The evaluator that is wrapped.
    """

    def __init__(self, inner: Evaluator) -> None:
        self.inner = inner
        self.metrics = inner.metrics
        self.reads = inner.reads
        self.expense = inner.expense
        self.fidelities = inner.fidelities
        self.version = inner.version
        self.deterministic = inner.deterministic

    @property
    def name(self) -> str:
        """The name of the evaluator that is wrapped."""
        return self.inner.name

    def get_ready(self, space: Space, fidelity: float = 1.0) -> None:
        """Does what the evaluator does once; see `Evaluator.get_ready`."""
        self.inner.get_ready(space, fidelity)

    def close(self) -> None:
        """Lets go of what the evaluator holds; see `Evaluator.close`."""
        self.inner.close()

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch by its stream; see `Evaluator.evaluate`."""
        return collect(self.metrics, len(designs), self.stream(designs, fidelity))


class Transparent(Wrapper):
    """Changes how something is measured, not what is answered: also passes on what is alike.

    Args:
        inner: The evaluator that is wrapped.
    """

    def fingerprints(self, designs: Designs) -> list[bytes]:
        """What the evaluator cannot tell apart; see `Evaluator.fingerprints`."""
        return self.inner.fingerprints(designs)

    def against(
        self, space: Space, inner: Designs, names: frozenset[str]
    ) -> Callable[[Designs], Grid] | None:
        """How the evaluator measures grids; see `Evaluator.against`."""
        return self.inner.against(space, inner, names)

    def explain(self, design: Design) -> Explanation | None:
        """What the evaluator says; see `Evaluator.explain`."""
        return self.inner.explain(design)


class Joined(Evaluator):
    """Several evaluators as one that answers all their metrics.

    It reads what any of them reads, is COSTLY if one is, and its fidelities are those that all of
    them have.

    Args:
        evaluators: At least one.

    Raises:
        ProblemError: None is given, or two measure the same metric.
    """

    def __init__(self, evaluators: Sequence[Evaluator]) -> None:
        if not evaluators:
            raise ProblemError("nothing to join", rule="at least one evaluator")
        self.evaluators = tuple(evaluators)
        self.metrics = distinct_metrics(self.evaluators)
        everything = any(not e.reads for e in self.evaluators)
        union = frozenset().union(*(e.reads for e in self.evaluators))
        self.reads = ALL_PARTS if everything else union
        costly = any(e.expense is Expense.COSTLY for e in self.evaluators)
        self.expense = Expense.COSTLY if costly else Expense.FREE
        common = set(self.evaluators[0].fidelities).intersection(
            *(e.fidelities for e in self.evaluators)
        )
        self.fidelities = tuple(sorted(common))
        self.version = "+".join(f"{e.name}:{e.version}" for e in self.evaluators)
        self.deterministic = all(e.deterministic for e in self.evaluators)

    @property
    def name(self) -> str:
        """The names of the evaluators, joined."""
        return "+".join(e.name for e in self.evaluators)

    def get_ready(self, space: Space, fidelity: float = 1.0) -> None:
        """Does what the evaluators do once; see `Evaluator.get_ready`."""
        for evaluator in self.evaluators:
            evaluator.get_ready(space, fidelity)

    def close(self) -> None:
        """Lets go of what the evaluators hold; see `Evaluator.close`."""
        for evaluator in self.evaluators:
            evaluator.close()

    def fingerprints(self, designs: Designs) -> list[bytes]:
        """Keys of designs that none of them can tell apart; see `Evaluator.fingerprints`."""
        keys_of = [evaluator.fingerprints(designs) for evaluator in self.evaluators]
        return [b"".join(map(_with_length, together)) for together in zip(*keys_of, strict=True)]

    def against(
        self, space: Space, inner: Designs, names: frozenset[str]
    ) -> Callable[[Designs], Grid] | None:
        """Lays out each of them in its own way; see `Evaluator.against`.

        One that reads one side of the grid is asked about that side alone. Those without a wanted
        metric take part, as they decide what is feasible.
        """
        laid = [against(evaluator, space, inner, names) for evaluator in self.evaluators]
        return lambda outer: reduce(Grid.beside, (measure(outer) for measure in laid))

    def explain(self, design: Design) -> Explanation | None:
        """What any of them says, together; see `Evaluator.explain`."""
        found = [evaluator.explain(design) for evaluator in self.evaluators]
        said = [explanation for explanation in found if explanation is not None]
        return reduce(Explanation.beside, said) if said else None

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch with each in turn; see `Evaluator.evaluate`."""
        result = safely(self.evaluators[0], designs, fidelity)
        for evaluator in self.evaluators[1:]:
            result = result.beside(safely(evaluator, designs, fidelity))
        return result

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Streams the first; the others measure each chunk; see `Evaluator.stream`."""
        for rows, part in safe_stream(self.evaluators[0], designs, fidelity):
            for evaluator in self.evaluators[1:]:
                part = part.beside(safely(evaluator, designs[rows], fidelity))
            yield rows, part


def _with_length(key: bytes) -> bytes:
    # Without their lengths, "a" beside "bc" would be "ab" beside "c".
    return len(key).to_bytes(8, "big") + key


def distinct_metrics(evaluators: Sequence[Evaluator]) -> tuple[Metric, ...]:
    """All metrics of some evaluators.

    Raises:
        ProblemError: Two evaluators measure the same metric.
    """
    owner: dict[str, str] = {}
    for evaluator in evaluators:
        for metric in evaluator.metrics:
            if metric.name in owner:
                raise ProblemError(
                    f"metric {metric.name!r} is measured twice",
                    rule="one evaluator per metric",
                    given=f"{owner[metric.name]} and {evaluator.name}",
                    cure="leave one of them out",
                )
            owner[metric.name] = evaluator.name
    return tuple(metric for evaluator in evaluators for metric in evaluator.metrics)


def unwrapped(evaluators: Iterable[Evaluator]) -> Iterator[Evaluator]:
    """The evaluators inside transparent wrappers and `Joined`, in order.

    Args:
        evaluators: E.g. those of a problem.
    """
    for evaluator in evaluators:
        if isinstance(evaluator, Transparent):
            yield from unwrapped([evaluator.inner])
        elif isinstance(evaluator, Joined):
            yield from unwrapped(evaluator.evaluators)
        else:
            yield evaluator


class Cached(Transparent):
    """Measures nothing twice that differs only in parts the evaluator does not read.

    Lives in memory; a study fills it from its history (see `remember`). Failed rows are not kept.
    An evaluator that is not deterministic is passed through. So are grids (`Evaluator.against`),
    which cost less than looking up their cells.

    Args:
        inner: The evaluator that is wrapped.
    """

    def __init__(self, inner: Evaluator) -> None:
        super().__init__(inner)
        self._kept: dict[_Key, Measurements] = {}
        self._spaces: list[Space] = []

    def _keys(self, designs: Designs, fidelity: float) -> list[_Key]:
        space = designs.space
        # An index means another value in another space.
        which = next((i for i, s in enumerate(self._spaces) if s is space or s == space), -1)
        if which < 0:
            which = len(self._spaces)
            self._spaces.append(space)
        columns = designs.space.columns_of(*designs.space.read_by(self.reads))
        projected = np.ascontiguousarray(designs.genomes[:, columns])
        return [(which, fidelity, designs.seed, key) for key in keys(projected)]

    def knows(self, designs: Designs, fidelity: float = 1.0) -> Bools:
        """``bool (n,)``: the designs that need no measuring."""
        found = [key in self._kept for key in self._keys(designs, fidelity)]
        return np.array(found, dtype=np.bool_)

    def remember(self, designs: Designs, measured: Measurements, fidelity: float = 1.0) -> None:
        """Keeps measurements that were made before.

        Args:
            designs: ``n`` designs.
            measured: ``n`` rows with (at least) this evaluator's metrics.
            fidelity: At which they were made.
        """
        if not self.deterministic:
            return
        own = Measurements(
            self.metrics,
            {metric.name: measured[metric.name] for metric in self.metrics},
            measured.feasible,
            measured.reason,
            measured.notes,
        )
        for i, key in enumerate(self._keys(designs, fidelity)):
            if not measured.failed[i]:
                self._kept.setdefault(key, own.take(slice(i, i + 1)))

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Hands out what is known, then measures each other projection once."""
        if not self.deterministic:
            yield from self.inner.stream(designs, fidelity)
            return
        rows_of: dict[_Key, list[int]] = {}
        known: list[int] = []
        names = self._keys(designs, fidelity)
        for i, key in enumerate(names):
            if key in self._kept:
                known.append(i)
            else:
                rows_of.setdefault(key, []).append(i)
        if known:
            yield np.array(known), Measurements.stack(self._kept[names[i]] for i in known)
        first = np.array([rows[0] for rows in rows_of.values()], dtype=np.int64)
        for chunk, measured in self.inner.stream(designs[first], fidelity):
            self.remember(designs[first[chunk]], measured, fidelity)
            alike = [rows_of[names[first[i]]] for i in chunk]
            where = np.repeat(np.arange(len(chunk)), [len(rows) for rows in alike])
            yield np.array([row for rows in alike for row in rows]), measured.take(where)


class Noisy(Wrapper):
    """Adds Gaussian noise to the metrics, for testing how a searcher bears it.

    The noise of a design follows from the study's seed and its genome, so it is the same whenever
    the design is measured: it is noise between designs, as one training run per design has. So
    designs that the evaluator cannot tell apart differ in their noise.

    Args:
        inner: The evaluator that is wrapped.
        deviation: Standard deviation of the noise, relative to the value.
    """

    def __init__(self, inner: Evaluator, deviation: float) -> None:
        super().__init__(inner)
        self.deviation = deviation
        self.version = f"{inner.version}+noise{deviation}"

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Streams the noisy values; see `Evaluator.stream`."""
        for rows, part in self.inner.stream(designs, fidelity):
            noise = self._noise(designs[rows])
            columns = {
                metric.name: part[metric.name] * (1.0 + self.deviation * noise[:, j])
                for j, metric in enumerate(self.metrics)
            }
            yield rows, Measurements(self.metrics, columns, part.feasible, part.reason, part.notes)

    def _noise(self, designs: Designs) -> Floats:
        seeds: Sequence[int] = designs.seeds(*self.reads, stream="noise")
        draws = [np.random.default_rng(s).standard_normal(len(self.metrics)) for s in seeds]
        return np.array(draws).reshape(len(designs), len(self.metrics))
