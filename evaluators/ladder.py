"""Several evaluators as the fidelities of one: free metrics, supernet, short and full training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic_core.core_schema import ValidationInfo

from hwnas import plugins
from hwnas.arrays import Floats
from hwnas.design.designs import Design, Designs
from hwnas.errors import ProblemError, nearest
from hwnas.evaluation import ALL_PARTS, Evaluator, Expense, Explanation
from hwnas.evaluation.interface import Chunk, collect
from hwnas.metrics import Goal, Measurements, Metric
from hwnas.space import Space
from hwnas.studyfile.nested import nested
from hwnas.studyfile.options import option_model

_GROUP: Final = "hwnas.evaluators"
_OFFERED: Final = "fidelities"
"""The option by which an evaluator is told which lower fidelities to offer."""


@dataclass(frozen=True, eq=False)
class Rung:
    """One way of measuring what a ladder answers.

    Attributes:
        evaluator: Who measures.
        share: What it costs, as a share of the last rung, above 0 and below 1; its own
            ``fidelity`` if left out. The last rung has none.
        fidelity: At which of its own fidelities the evaluator measures.
        stands_in: Which of its metrics stands in for a metric of the ladder that it does not
            measure: a name, or the ladder's metric to a name. May be left out where both have
            one metric alone.
        written: How a study file says it, as plain values; ``None`` in Python.
    """

    evaluator: Evaluator
    share: float | None = None
    fidelity: float = 1.0
    stands_in: str | Mapping[str, str] | None = None
    written: Mapping[str, Any] | None = field(default=None, repr=False)


class _Place(BaseModel):
    """What a study file says of a rung beside the evaluator's options."""

    model_config = ConfigDict(extra="ignore")

    share: float | None = None
    fidelity: float = 1.0
    stands_in: str | dict[str, str] | None = None


def _read(given: Any, info: ValidationInfo) -> Any:
    """Builds a rung from what a study file says."""
    if isinstance(given, Rung):
        return given
    given = {"use": given} if isinstance(given, str) else given
    if not isinstance(given, Mapping) or not isinstance(given.get("use"), str):
        raise ValueError("a rung names an evaluator: {use: NAME, share: 0.05, ...}")
    place = _Place.model_validate(given)
    options = {k: v for k, v in given.items() if k != "use" and k not in _Place.model_fields}
    use, own = given["use"], place.fidelity
    known = use in plugins.available(_GROUP)
    if known and own < 1 and _OFFERED in option_model(_GROUP, use).model_fields:
        options.setdefault(_OFFERED, [own])
    folder = (info.context or {}).get("folder")
    built = nested(_GROUP, use, options, folder=folder, beside=("use", *_Place.model_fields))
    written = {**built.written, **place.model_dump(mode="json")}
    return Rung(built.plugin, place.share, own, place.stands_in, written)


_RungOption = Annotated[
    Rung,
    BeforeValidator(_read),
    PlainSerializer(lambda rung: dict(rung.written or {})),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "use": {"type": "string"},
                "share": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "fidelity": {"type": "number"},
                "stands_in": {"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}]},
            },
            "required": ["use"],
        }
    ),
]


class Ladder(Evaluator):
    """Measures a metric in several ways, from a guess to the real thing, as its fidelities.

    The last rung is the truth: it says what the metrics are, and it alone counts. The others cost
    a share of it each, which is their fidelity. Searchers that know fidelities (``greybox``,
    ``mo_asha``) use those that rank designs like the truth and skip the others; all others use
    the truth alone. In a study file::

        - use: ladder
          rungs:
            - {use: zero_cost, metric: synflow, share: 0.02}  # stands in for the error
            - {use: training, fidelity: 0.25}                 # a quarter of the epochs
            - {use: training}

    **What a stand-in answers.** A rung that measures something else, e.g. a training-free metric
    of which more is better, says nothing but how designs rank. So its value ``x`` is moved into
    the range of the metric that it stands in for by a fixed, strictly monotone function that is
    fitted to nothing: with ``s = asinh(l)``, ``l = x`` where less is better and ``-x`` where more
    is, it is ``best + (worst - best) * (1 + s / (1 + |s|)) / 2``. (A metric that declares no
    ``best`` or no ``worst`` is given a range of 1; the logarithm in ``asinh`` keeps apart what
    spans many decades.) Such a value is no error and no accuracy: it never counts as a result,
    and only its rank, or a monotone model of it, says something.

    The ladder reads what any rung reads, so that none of them is asked in vain.

    Args:
        rungs: At least two, from the cheapest to the truth; see `Rung`. In a study file each has
            the keys ``use``, ``share``, ``fidelity`` and ``stands_in`` beside the options of its
            evaluator. An evaluator with an option ``fidelities`` that is not given is told to
            offer the ``fidelity`` that is asked for.
        metrics: Which metrics of the last rung are answered; all if left out.

    Raises:
        ProblemError: The shares do not ascend, a rung does not offer its fidelity, or it has no
            metric for one of the ladder's.
    """

    expense = Expense.COSTLY

    def __init__(self, *, rungs: list[_RungOption], metrics: tuple[str, ...] = ()) -> None:
        self.rungs = tuple(rungs)
        if len(self.rungs) < 2:
            raise ProblemError(
                "a ladder has too few rungs",
                where="option rungs",
                rule="at least two: lower ones, and the truth as the last",
                given=str(len(self.rungs)),
                cure="add a cheaper rung, or use the evaluator without a ladder",
            )
        self.metrics = _answered(self.rungs[-1], metrics)
        self.fidelities = _shares(self.rungs)
        self._sources = tuple(
            tuple(_source(rung, i, metric, self.metrics) for metric in self.metrics)
            for i, rung in enumerate(self.rungs, 1)
        )
        evaluators = [rung.evaluator for rung in self.rungs]
        everything = any(not e.reads for e in evaluators)
        self.reads = ALL_PARTS if everything else frozenset().union(*(e.reads for e in evaluators))
        self.deterministic = all(e.deterministic for e in evaluators)
        self.version = "1 " + "; ".join(map(self._label, self.fidelities, self.rungs))

    def _label(self, share: float, rung: Rung) -> str:
        sources = self._sources[self.rungs.index(rung)]
        names = ",".join(source.name for source in sources)
        own, name = rung.evaluator.version, rung.evaluator.name
        return f"{share:g}: {names} of {name} {own} at {rung.fidelity:g}"

    def evaluate(self, designs: Designs, fidelity: float = 1.0) -> Measurements:
        """Measures a batch on one rung; see `Evaluator.evaluate`."""
        return collect(self.metrics, len(designs), self.stream(designs, fidelity))

    def _place(self, fidelity: float) -> int:
        if fidelity not in self.fidelities:
            raise ProblemError(
                f"the ladder has no rung at {fidelity:g}",
                rule="one of " + ", ".join(f"{f:g}" for f in self.fidelities),
                given=f"{fidelity:g}",
            )
        return self.fidelities.index(fidelity)

    def get_ready(self, space: Space, fidelity: float = 1.0) -> None:
        """Does what one rung does once; see `Evaluator.get_ready`."""
        rung = self.rungs[self._place(fidelity)]
        rung.evaluator.get_ready(space, rung.fidelity)

    def stream(self, designs: Designs, fidelity: float = 1.0) -> Iterator[Chunk]:
        """Streams what one rung measures; see `Evaluator.stream`.

        An empty batch is shown to all rungs, so that one that cannot read the space says so.

        Raises:
            ProblemError: There is no such rung.
        """
        place = self._place(fidelity)
        if not len(designs):
            for rung in self.rungs:
                yield from _none(rung.evaluator.stream(designs, rung.fidelity))
            return
        rung, sources = self.rungs[place], self._sources[place]
        for rows, part in rung.evaluator.stream(designs, rung.fidelity):
            columns = {
                metric.name: _moved(part[source.name], source, metric)
                for metric, source in zip(self.metrics, sources, strict=True)
            }
            yield (
                rows,
                Measurements(self.metrics, columns, part.feasible, part.reason, part.notes),
            )

    def explain(self, design: Design) -> Explanation | None:
        """What the last rung says; see `Evaluator.explain`."""
        return self.rungs[-1].evaluator.explain(design)

    def close(self) -> None:
        """Lets go of what the rungs hold; see `Evaluator.close`."""
        for rung in self.rungs:
            rung.evaluator.close()


def _none(stream: Iterator[Chunk]) -> Iterator[Chunk]:
    for _ in stream:
        pass
    yield from ()


def _answered(truth: Rung, names: Sequence[str]) -> tuple[Metric, ...]:
    known = {metric.name: metric for metric in truth.evaluator.metrics}
    for name in names:
        if name not in known:
            raise ProblemError(
                f"the last rung does not measure {name!r}",
                where="option metrics",
                rule="metrics of the last rung: " + ", ".join(known),
                given=repr(name),
                cure=nearest(name, known),
            )
    return tuple(known[name] for name in dict.fromkeys(names)) or tuple(known.values())


def _shares(rungs: Sequence[Rung]) -> tuple[float, ...]:
    shares: list[float] = []
    for i, rung in enumerate(rungs, 1):
        own = rung.evaluator.fidelities
        if rung.fidelity not in own:
            raise ProblemError(
                f"rung {i}, {rung.evaluator.name}, is not offered at fidelity {rung.fidelity:g}",
                where=f"option rungs, number {i}, fidelity",
                rule="one of " + ", ".join(f"{f:g}" for f in own),
                given=f"{rung.fidelity:g}",
            )
        shares.append(rung.fidelity if rung.share is None else rung.share)
    if shares[-1] != 1.0 or rungs[-1].fidelity != 1.0:
        raise ProblemError(
            "the last rung is not the whole evaluation",
            where=f"option rungs, number {len(rungs)}",
            rule="share 1 and fidelity 1: it is the truth that the others are shares of",
            given=f"share {shares[-1]:g}, fidelity {rungs[-1].fidelity:g}",
            cure="leave out share and fidelity there",
        )
    rising = all(a < b for a, b in pairwise(shares))
    if not rising or not all(math.isfinite(s) and s > 0 for s in shares):
        raise ProblemError(
            "the shares of the rungs do not ascend",
            where="option rungs",
            rule="above 0, each above the one before, and 1 at last",
            given=", ".join(f"{s:g}" for s in shares),
            cure="give each rung but the last a share: what it costs, beside a whole evaluation",
        )
    return tuple(shares)


def _source(rung: Rung, number: int, metric: Metric, wanted: Sequence[Metric]) -> Metric:
    """Which metric of a rung's evaluator stands for one of the ladder's."""
    own = {m.name: m for m in rung.evaluator.metrics}
    named = rung.stands_in
    if isinstance(named, str):
        named = {metric.name: named} if len(wanted) == 1 else {}
    name = (named or {}).get(metric.name, metric.name)
    if named is None and name not in own and len(own) == len(wanted) == 1:
        name = next(iter(own))
    where = f"option rungs, number {number}"
    if name not in own:
        raise ProblemError(
            f"rung {number}, {rung.evaluator.name}, has nothing to say about {metric.name!r}",
            where=where,
            rule=f"it measures {metric.name}, or names the metric that stands in for it; it has "
            + ", ".join(own),
            cure=f"stands_in: {{{metric.name}: {next(iter(own))}}}, or leave {metric.name} out of "
            "the ladder's metrics",
        )
    found = own[name]
    if name == metric.name and (found.unit, found.goal) != (metric.unit, metric.goal):
        raise ProblemError(
            f"rung {number}, {rung.evaluator.name}, measures another {name!r} than the last one",
            where=where,
            rule=f"{metric.goal.value}, in {metric.unit}",
            given=f"{found.goal.value}, in {found.unit}",
        )
    return found


def _moved(values: Floats, source: Metric, metric: Metric) -> Floats:
    """What a rung says, on the scale of the ladder's metric; see `Ladder`."""
    if source.name == metric.name:
        return values
    sign = 1.0 if metric.goal is Goal.MINIMIZE else -1.0
    best, worst = metric.best, metric.worst
    if best is None:
        best = 0.0 if worst is None else worst - sign
    if worst is None:
        worst = best + sign
    s = np.arcsinh(values if source.goal is Goal.MINIMIZE else -values)
    moved: Floats = best + (worst - best) * (1.0 + s / (1.0 + np.abs(s))) / 2.0
    return moved
