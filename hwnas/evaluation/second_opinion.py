"""The contract of second opinions: other people's cost models, asked about single layers.

A `SecondOpinion` puts the layers of a design into the words of a tool (`questions`), and the tool's
answers into ours (`opinion`). The tool itself runs in a process of its own, under an interpreter
that has it, and each different question is asked once (see `hwnas.verification`). It says which of
its numbers is comparable with which of ours, and what stands between the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from hwnas.arrays import Floats
from hwnas.design.designs import Design, Designs
from hwnas.evaluation.interface import Evaluator


@runtime_checkable
class CostsLayers(Protocol):
    """An evaluator that says what each layer row costs."""

    def layers(self, designs: Designs) -> Any:
        """One record of columns ``(L,)``, in the order of ``designs.layers``."""


@dataclass(frozen=True)
class Question:
    """What a tool is asked about one layer row.

    Attributes:
        request: All that the answer depends on, as JSON values: shape, bits, accelerator, options.
        repeats: How often the row consists of it, e.g. its groups.
        notes: What a person should know about it.
    """

    request: Mapping[str, Any]
    repeats: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerOpinion:
    """What a tool says about one question, once.

    Attributes:
        cycles: Clock cycles, as the tool counts them.
        energy: J; ``None`` where the tool has none.
        traffic: What is moved, by name: elements, as tools count words.
        numbers: Further numbers by name.
    """

    cycles: float
    energy: float | None = None
    traffic: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """The number of that name; ``None`` where there is none."""
        own = {"cycles": self.cycles, "energy": self.energy}
        return {**self.numbers, **self.traffic, **own}.get(name)


@dataclass(frozen=True)
class Comparison:
    """One of our numbers beside one of the tool's; both add up over layers.

    Attributes:
        name: Its name, also in `LayerOpinion.value` and in the answer of `SecondOpinion.ours`.
        unit: At rest, ``1`` for counts.
        ours: Which of our numbers it is.
        theirs: Which of the tool's.
        equal: Whether the two have to be equal, so that any difference is a fault.
    """

    name: str
    unit: str
    ours: str
    theirs: str
    equal: bool = False


@dataclass(frozen=True)
class Tool:
    """A package that may live in an environment of its own.

    Attributes:
        module: What is imported.
        requirements: What pip installs, with versions.
        variable: The environment variable that names an interpreter which has it.
        script: A Python file with ``DISTRIBUTION``, the name of the installed package, and
            ``answer(request) -> dict``, JSON values in and out. It runs under that interpreter,
            without hwnas.
    """

    module: str
    requirements: tuple[str, ...]
    variable: str
    script: Path


class SecondOpinion(ABC):
    """Another tool's answer to what layers cost. Options are arguments of the constructor.

    Attributes:
        name: As on the command line.
        tool: The package, and the script that asks it.
        comparisons: Which numbers are put side by side; the first is the one that ranks designs.
        conventions: What one side includes and the other does not, a sentence each.
        seconds: How long one question may take, s.
    """

    name: ClassVar[str]
    tool: ClassVar[Tool]
    comparisons: ClassVar[tuple[Comparison, ...]]
    conventions: ClassVar[tuple[str, ...]]
    seconds: ClassVar[float]

    @abstractmethod
    def questions(self, design: Design, evaluator: Evaluator) -> Sequence[Question | str]:
        """Puts a design into the words of the tool.

        Args:
            design: The design.
            evaluator: Who costs it here; its technology is the tool's, too.

        Returns:
            One entry per row of ``design.layers``: a question, or why the tool has no answer.

        Raises:
            HwnasError: The tool cannot say anything about such a design or evaluator.
        """

    @abstractmethod
    def opinion(self, answer: Mapping[str, Any]) -> LayerOpinion:
        """Reads what the tool's script answered.

        Raises:
            KeyError: A number is missing.
            TypeError: It is no number.
            ValueError: Likewise.
        """

    @abstractmethod
    def ours(self, design: Design, evaluator: Evaluator) -> Mapping[str, Floats]:
        """Our numbers: the name of each comparison to values ``(L,)``, for whole rows."""
