"""Designs costed again by another tool, layer by layer, and both answers side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hwnas.design.designs import Design
from hwnas.errors import DesignError, ToolError
from hwnas.evaluation.interface import Evaluator
from hwnas.evaluation.second_opinion import (
    Comparison,
    CostsLayers,
    LayerOpinion,
    Question,
    SecondOpinion,
)
from hwnas.evaluation.wrappers import unwrapped
from hwnas.problem import Problem
from hwnas.verification.answers import Answers
from hwnas.verification.process import ToolProcess

Numbers = Mapping[str, float | None]
"""Comparison to value at rest; ``None`` where there is none."""


@dataclass(frozen=True)
class LayerVerdict:
    """One layer row, costed twice.

    Attributes:
        row: The row of ``design.layers``.
        repeats: How often the row consists of what the tool was asked about.
        ours: Our numbers, of the whole row.
        theirs: The tool's numbers, of the whole row; empty where it has none.
        missing: Why it has none.
        failed: Whether it should have some: it was asked and did not answer.
        more: Further numbers of the tool, of what it was asked about.
        notes: What a person should know about it.
    """

    row: int
    repeats: int
    ours: Numbers
    theirs: Numbers
    missing: str = ""
    failed: bool = False
    more: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DesignVerdict:
    """One design, costed twice. Sums are over the rows for which the tool has a number.

    Attributes:
        number: The design's number in the study's history.
        ours: Our sums.
        theirs: The tool's sums; ``None`` where it has no number for any row.
        layers: The rows.
    """

    number: int
    ours: Numbers
    theirs: Numbers
    layers: tuple[LayerVerdict, ...]

    @property
    def compared(self) -> int:
        """Rows that were costed twice."""
        return sum(bool(layer.theirs) for layer in self.layers)

    @property
    def complete(self) -> bool:
        """Whether the tool answered all that it was asked."""
        return not any(layer.failed for layer in self.layers)

    def ratio(self, name: str) -> float | None:
        """Ours through theirs; ``None`` where there is none."""
        return ratio_of(self.ours[name], self.theirs[name])

    def unequal(self, name: str) -> int:
        """Rows in which the two numbers differ."""
        return sum(
            layer.theirs.get(name) is not None and layer.theirs[name] != layer.ours[name]
            for layer in self.layers
        )


@dataclass(frozen=True)
class Verification:
    """Designs costed by us and by another tool.

    Attributes:
        tool: The tool's name.
        version: Its version.
        evaluator: Our evaluator.
        comparisons: What is put side by side.
        conventions: What one side includes and the other does not.
        designs: The designs.
        questions: How many different layers the tool was asked about.
        asked: How many of them it had not been asked before.
        failures: How many of them it did not answer.
    """

    tool: str
    version: str
    evaluator: str
    comparisons: tuple[Comparison, ...]
    conventions: tuple[str, ...]
    designs: tuple[DesignVerdict, ...]
    questions: int
    asked: int
    failures: int

    def rank(self, name: str) -> float | None:
        """Spearman's rank correlation of a comparison over the designs.

        ``None`` with fewer than three designs, where all are alike on one side, or where the tool
        failed on a layer of one.
        """
        pairs = [(d.ours[name], d.theirs[name]) for d in self.designs if d.complete]
        return rank_of(pairs) if len(pairs) == len(self.designs) else None

    def layer_rank(self, name: str) -> float | None:
        """The same over the different layer rows of all designs."""
        rows = (layer for design in self.designs for layer in design.layers)
        return rank_of({(row.ours[name], row.theirs[name]) for row in rows if row.theirs})

    @property
    def faults(self) -> int:
        """Layer rows that differ where they have to be equal."""
        return sum(d.unequal(c.name) for d in self.designs for c in self.comparisons if c.equal)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        names = [comparison.name for comparison in self.comparisons]
        designs = [
            {
                **asdict(design),
                "compared": design.compared,
                "complete": design.complete,
                "ratio": {name: design.ratio(name) for name in names},
            }
            for design in self.designs
        ]
        return {
            **asdict(self),
            "designs": designs,
            "faults": self.faults,
            "rank": {name: self.rank(name) for name in names},
            "layer_rank": {name: self.layer_rank(name) for name in names},
        }


def ratio_of(ours: float | None, theirs: float | None) -> float | None:
    """Ours through theirs; ``None`` where there is none."""
    return ours / theirs if ours is not None and theirs else None


def rank_of(pairs: Iterable[tuple[float | None, float | None]]) -> float | None:
    """Spearman's rank correlation of three pairs or more, else ``None``."""
    from scipy.stats import spearmanr

    known = np.array([pair for pair in pairs if None not in pair], np.float64).reshape(-1, 2)
    if len(known) < 3 or np.ptp(known, axis=0).min() == 0:
        return None
    return float(spearmanr(known[:, 0], known[:, 1]).statistic)


def coster_of(problem: Problem) -> Evaluator:
    """The evaluator of a problem that costs layers.

    Raises:
        DesignError: None does.
    """
    for evaluator in unwrapped(problem.evaluators):
        if isinstance(evaluator, CostsLayers):
            return evaluator
    raise DesignError(
        "no evaluator of this study costs layers",
        rule="a second opinion is about layers, e.g. those of the evaluator systolic",
        given=", ".join(evaluator.name for evaluator in problem.evaluators),
    )


def spread(n: int, count: int) -> list[int]:
    """At most ``count`` of ``n`` places, evenly spread, with both ends."""
    if count >= n:
        return list(range(n))
    return sorted({round(place) for place in np.linspace(0, n - 1, count)})


class Verifier:
    """Asks a tool about designs.

    Args:
        opinion: What puts layers into the tool's words.
        process: The tool.
        answers: What it answered before.
        seconds: How long one question may take, s.
        say: Is told how many questions of how many are answered, before each that is asked.
    """

    def __init__(
        self,
        opinion: SecondOpinion,
        process: ToolProcess,
        answers: Answers,
        *,
        seconds: float,
        say: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> None:
        self.opinion = opinion
        self.process = process
        self.answers = answers
        self.seconds = seconds
        self.say = say

    def verify(self, designs: Mapping[int, Design], evaluator: Evaluator) -> Verification:
        """Costs designs again.

        A layer that the tool does not answer, or not in time, is said to be missing; the others
        go on.

        Args:
            designs: By number.
            evaluator: Who costs them here.

        Returns:
            Both answers.

        Raises:
            HwnasError: The tool cannot say anything about such designs.
            MissingExtraError: The tool cannot be imported.
            ToolError: It answered none of the questions.
            StorageError: Its answers cannot be kept.
        """
        asked_of = {n: self.opinion.questions(d, evaluator) for n, d in designs.items()}
        different: dict[str, Question] = {}
        for entries in asked_of.values():
            for entry in entries:
                if isinstance(entry, Question):
                    different.setdefault(self._key(entry), entry)
        opinions, failures, asked = self._ask(different)
        verdicts = tuple(
            self._judge(number, design, asked_of[number], opinions, failures, evaluator)
            for number, design in designs.items()
        )
        return Verification(
            tool=self.opinion.name,
            version=self.answers.version,
            evaluator=evaluator.name,
            comparisons=self.opinion.comparisons,
            conventions=self.opinion.conventions,
            designs=verdicts,
            questions=len(different),
            asked=asked,
            failures=len(failures),
        )

    def _key(self, question: Question) -> str:
        return self.answers.file_of(question.request).name

    def _ask(
        self, different: Mapping[str, Question]
    ) -> tuple[dict[str, LayerOpinion], dict[str, ToolError], int]:
        opinions: dict[str, LayerOpinion] = {}
        failures: dict[str, ToolError] = {}
        asked = 0
        for done, (key, question) in enumerate(different.items()):
            known = self.answers.known(question.request)
            try:
                if known is not None:
                    opinions[key] = self._read(known)
                    continue
            except ToolError:
                pass  # kept by another version of the plug-in: it is asked again
            self.say(done, len(different))
            asked += 1
            try:
                answer = self.process.answer(question.request, self.seconds)
                opinions[key] = self._read(answer)
            except ToolError as error:
                failures[key] = error
            else:
                self.answers.keep(question.request, answer)
        if failures and not opinions:
            raise next(iter(failures.values()))
        return opinions, failures, asked

    def _read(self, answer: Mapping[str, Any]) -> LayerOpinion:
        try:
            opinion = self.opinion.opinion(answer)
            numbers = [opinion.value(c.name) for c in self.opinion.comparisons]
            good = all(number is None or math.isfinite(number) for number in numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise ToolError(
                f"{self.opinion.name} answers something strange",
                given=f"{type(error).__name__}: {error}; {str(answer)[:200]}",
            ) from error
        if not good:
            raise ToolError(f"{self.opinion.name} answers no finite number", given=str(numbers))
        return opinion

    def _judge(
        self,
        number: int,
        design: Design,
        entries: Sequence[Question | str],
        opinions: Mapping[str, LayerOpinion],
        failures: Mapping[str, ToolError],
        evaluator: Evaluator,
    ) -> DesignVerdict:
        names = [comparison.name for comparison in self.opinion.comparisons]
        columns = self.opinion.ours(design, evaluator)
        layers = []
        for row, entry in enumerate(entries):
            ours = {name: float(columns[name][row]) for name in names}
            if isinstance(entry, str):
                layers.append(LayerVerdict(row, 1, ours, {}, missing=entry))
            elif (key := self._key(entry)) in failures:
                why = failures[key].what
                layers.append(LayerVerdict(row, entry.repeats, ours, {}, why, failed=True))
            else:
                opinion = opinions[key]
                theirs = {name: _times(opinion.value(name), entry.repeats) for name in names}
                more = {**opinion.traffic, **opinion.numbers}
                layers.append(
                    LayerVerdict(row, entry.repeats, ours, theirs, more=more, notes=entry.notes)
                )
        both = {name: [la for la in layers if la.theirs.get(name) is not None] for name in names}
        return DesignVerdict(
            number,
            {name: _sum(layer.ours[name] for layer in both[name]) for name in names},
            {name: _sum(layer.theirs[name] for layer in both[name]) for name in names},
            tuple(layers),
        )


def _times(value: float | None, repeats: int) -> float | None:
    return None if value is None else value * repeats


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None
